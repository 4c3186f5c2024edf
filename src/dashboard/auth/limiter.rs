//! How often a login may be tried.

use crate::domain::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Tries per address and window.
const PER_ADDRESS: u32 = 10;
/// Tries of all addresses together and window.
const IN_ALL: u32 = 60;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered at most.
const ADDRESSES: usize = 10_000;

/// Counts tries per address and in all, in windows of a minute.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    window_began: Timestamp,
    in_all: u32,
    by_address: BTreeMap<IpAddr, u32>,
}

impl Limiter {
    /// Counts a try. An error says how long to wait.
    pub(super) fn attempt(&mut self, peer: IpAddr, now: Timestamp) -> Result<(), Duration> {
        if now.since(self.window_began) >= WINDOW || now < self.window_began {
            *self = Self { window_began: now, ..Self::default() };
        }
        let count = self.by_address.get(&peer).copied().unwrap_or(0);
        let full = self.by_address.len() >= ADDRESSES && count == 0;
        if self.in_all >= IN_ALL || count >= PER_ADDRESS || full {
            return Err(WINDOW.saturating_sub(now.since(self.window_began)));
        }
        self.in_all += 1;
        self.by_address.insert(peer, count + 1);
        Ok(())
    }

    /// A right password clears the address.
    pub(super) fn succeeded(&mut self, peer: IpAddr) {
        if let Some(count) = self.by_address.remove(&peer) {
            self.in_all = self.in_all.saturating_sub(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_after_ten_tries_and_a_minute_forgives() {
        let mut limiter = Limiter::default();
        let (peer, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Timestamp::from_secs(1_000_000);
        for _ in 0..PER_ADDRESS {
            assert_eq!(limiter.attempt(peer, start), Ok(()));
        }
        assert_eq!(
            limiter.attempt(peer, start + Duration::from_secs(20)),
            Err(Duration::from_secs(40))
        );
        assert_eq!(limiter.attempt(other, start), Ok(()));
        assert_eq!(limiter.attempt(peer, start + WINDOW), Ok(()));
    }

    #[test]
    fn many_addresses_together_wait_too() {
        let mut limiter = Limiter::default();
        let start = Timestamp::from_secs(1_000_000);
        let tries =
            (0..200_u8).filter(|n| limiter.attempt(IpAddr::from([10, 0, 1, *n]), start).is_ok());
        assert_eq!(tries.count(), IN_ALL as usize);
    }
}
