//! What outsiders can repeat without end is told once a minute, with a number.

use super::bounds;
use super::moment::Uptime;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the ones are counted that find no place of their own.
const OTHERS: &str = "other addresses";

#[derive(Debug, Clone, Copy)]
struct Kept {
    since: Uptime,
    untold: u64,
}

/// Counts what is refused, by where it comes from (findings 2 and 19 of the security review).
#[derive(Debug, Default)]
pub struct Tally {
    kept: BTreeMap<String, Kept>,
}

impl Tally {
    /// Counts one. True: it is the first within a minute, tell it now. The others come out of
    /// [`Self::due`].
    pub fn count(&mut self, from: &str, now: Uptime) -> bool {
        let is_full = self.kept.len() >= bounds::REFUSED_ADDRESSES;
        let from = if is_full && !self.kept.contains_key(from) { OTHERS } else { from };
        match self.kept.get_mut(from) {
            Some(kept) => {
                kept.untold += 1;
                false
            }
            None => {
                self.kept.insert(from.to_owned(), Kept { since: now, untold: 0 });
                true
            }
        }
    }

    /// Who was counted and not told, and how often, whether the minute is over or not: nobody counts
    /// any more.
    pub fn rest(&mut self) -> Vec<(String, u64)> {
        let untold = std::mem::take(&mut self.kept).into_iter().filter(|(_, kept)| kept.untold > 0);
        untold.map(|(from, kept)| (from, kept.untold)).collect()
    }

    /// Who was counted and not told, and how often, where the minute is over.
    pub fn due(&mut self, now: Uptime) -> Vec<(String, u64)> {
        let minute = Duration::from_secs(bounds::REFUSALS_TOLD_EVERY_S);
        let is_over = |kept: &Kept| now.since(kept.since) >= minute;
        self.kept.retain(|_, kept| kept.untold > 0 || !is_over(kept));
        let mut told = Vec::new();
        for (from, kept) in self.kept.iter_mut().filter(|(_, kept)| is_over(kept)) {
            told.push((from.clone(), std::mem::take(&mut kept.untold)));
            kept.since = now;
        }
        told
    }
}

/// Something of which there may be many at once, and then a few in a time.
#[derive(Debug, Clone)]
pub struct Bucket {
    most: u32,
    every: Duration,
    left: u32,
    since: Uptime,
}

impl Bucket {
    /// `most` at once, and then one `every` so long.
    pub fn new(most: u32, every: Duration) -> Self {
        Self { most, every, left: most, since: Uptime::default() }
    }

    /// Takes one; false if there is none now.
    pub fn take(&mut self, now: Uptime) -> bool {
        let every = self.every.as_millis().max(1);
        let new = now.since(self.since).as_millis() / every;
        if new > 0 {
            let new = u32::try_from(new).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(new).min(self.most);
            let rest = u64::try_from(now.since(self.since).as_millis() % every).unwrap_or(0);
            self.since = now.before(Duration::from_millis(rest));
        }
        if self.left == self.most {
            self.since = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_first_is_told_at_once_and_the_rest_once_a_minute_2() {
        let (mut tally, start) = (Tally::default(), Uptime::from_millis(1_000_000));
        assert!(tally.count("10.0.0.1", start));
        for _ in 0..44_680 {
            assert!(!tally.count("10.0.0.1", start + Duration::from_secs(15)));
        }
        assert!(tally.count("10.0.0.2", start));
        assert_eq!(tally.due(start + Duration::from_secs(59)), []);
        assert_eq!(tally.due(start + MINUTE), [("10.0.0.1".to_owned(), 44_680)]);
        assert!(!tally.count("10.0.0.1", start + MINUTE), "that minute has its row");
        assert_eq!(tally.due(start + 2 * MINUTE), [("10.0.0.1".to_owned(), 1)]);
        assert_eq!(tally.due(start + 3 * MINUTE), []);
        assert!(tally.kept.is_empty());
    }

    #[test]
    fn what_is_not_told_yet_is_told_at_the_end_2() {
        let (mut tally, now) = (Tally::default(), Uptime::from_millis(1_000_000));
        for (from, times) in [("10.0.0.1", 3), ("10.0.0.2", 1)] {
            for _ in 0..times {
                tally.count(from, now);
            }
        }
        assert_eq!(tally.rest(), [("10.0.0.1".to_owned(), 2)]);
        assert_eq!(tally.rest(), []);
    }

    #[test]
    fn many_addresses_take_a_bounded_room() {
        let mut tally = Tally::default();
        let now = Uptime::from_millis(1_000_000);
        for n in 0..100_000 {
            tally.count(&format!("address {n}"), now);
        }
        assert_eq!(tally.kept.len(), bounds::REFUSED_ADDRESSES + 1);
        assert_eq!(tally.due(now + MINUTE).len(), 1);
    }

    proptest! {
        #[test]
        fn a_bucket_gives_its_burst_and_then_its_rate(
            waits in proptest::collection::vec(0_u64..30_000, 1..400)
        ) {
            let mut bucket = Bucket::new(100, Duration::from_secs(6));
            let start = Uptime::from_millis(1_000_000_000);
            let (mut now, mut given) = (start, 0_u128);
            for wait in waits {
                now = now + Duration::from_millis(wait);
                given += u128::from(bucket.take(now));
            }
            prop_assert!(given <= 100 + now.since(start).as_millis() / 6000);
        }
    }
}
