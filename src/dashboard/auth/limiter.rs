//! How often a login may be tried.

use super::Peer;
use crate::domain::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Tries of each source and window.
const PER_SOURCE: u32 = 10;
/// Tries of all strangers together and window.
const OF_STRANGERS: u32 = 60;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// For whom tries are counted. Whoever proved to be the administrator before has a budget that
/// nobody else can use up (finding 15).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// An address from which nobody logged in yet.
    Stranger(Peer),
    /// An address from which somebody logged in.
    Address(Peer),
    /// A browser in which somebody logged in: the id of its cookie.
    Browser(String),
    /// Somebody who is logged in, or a program: the hash of what proves it.
    Caller([u8; 32]),
}

/// Counts tries per source, in windows of a minute. What is remembered is bounded by
/// [`OF_STRANGERS`], and by the administrator's own browsers, addresses, sessions and tokens.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    window_began: Timestamp,
    of_strangers: u32,
    by_source: BTreeMap<Source, u32>,
}

impl Limiter {
    /// Counts a try. An error says how long to wait.
    pub(super) fn attempt(&mut self, source: &Source, now: Timestamp) -> Result<(), Duration> {
        if now.since(self.window_began) >= WINDOW || now < self.window_began {
            *self = Self { window_began: now, ..Self::default() };
        }
        let is_stranger = matches!(source, Source::Stranger(_));
        let count = self.by_source.get(source).copied().unwrap_or(0);
        if count >= PER_SOURCE || (is_stranger && self.of_strangers >= OF_STRANGERS) {
            return Err(WINDOW.saturating_sub(now.since(self.window_began)));
        }
        self.of_strangers += u32::from(is_stranger);
        self.by_source.insert(source.clone(), count + 1);
        Ok(())
    }

    /// A right answer clears the source.
    pub(super) fn succeeded(&mut self, source: &Source) {
        let count = self.by_source.remove(source).unwrap_or(0);
        if matches!(source, Source::Stranger(_)) {
            self.of_strangers = self.of_strangers.saturating_sub(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn stranger(n: u8) -> Source {
        Source::Stranger(Peer::Address(IpAddr::from([10, 0, 1, n])))
    }

    #[test]
    fn an_address_waits_after_ten_tries_and_a_minute_forgives() {
        let mut limiter = Limiter::default();
        let (peer, other) = (stranger(1), stranger(2));
        let start = Timestamp::from_secs(1_000_000);
        for _ in 0..PER_SOURCE {
            assert_eq!(limiter.attempt(&peer, start), Ok(()));
        }
        assert_eq!(
            limiter.attempt(&peer, start + Duration::from_secs(20)),
            Err(Duration::from_secs(40))
        );
        assert_eq!(limiter.attempt(&other, start), Ok(()));
        assert_eq!(limiter.attempt(&peer, start + WINDOW), Ok(()));
    }

    #[test]
    fn many_strangers_together_wait_and_nobody_who_was_here_before_waits_for_them_15() {
        let mut limiter = Limiter::default();
        let start = Timestamp::from_secs(1_000_000);
        let tries = (0..200).filter(|n| limiter.attempt(&stranger(*n), start).is_ok());
        assert_eq!(tries.count(), OF_STRANGERS as usize);
        let home = Peer::Address(IpAddr::from([10, 0, 2, 1]));
        for known in
            [Source::Address(home), Source::Browser("b".to_owned()), Source::Caller([1; 32])]
        {
            for _ in 0..PER_SOURCE {
                assert_eq!(limiter.attempt(&known, start), Ok(()));
            }
            assert_eq!(limiter.attempt(&known, start), Err(WINDOW), "{known:?}");
            limiter.succeeded(&known);
            assert_eq!(limiter.attempt(&known, start), Ok(()));
        }
    }
}
