//! Time that passed, which nobody can set, beside the time of day, which is only shown.

use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long dashboards have run on this database, in all, in milliseconds of the machine's
/// monotonic clock. Nobody sets it, and it stands still while no dashboard runs. It never goes
/// back by more than the minute after which it is stored, and not behind what was stored.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Uptime(u64);

impl Uptime {
    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How much time passed since `earlier`; zero if that is to come.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// So much earlier; the beginning at most.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }
}

impl std::ops::Add<Duration> for Uptime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// The time of day: to be shown, never to be compared.
    pub at: Timestamp,
    /// Time that passed: all that anything is counted by.
    pub up: Uptime,
}

impl Moment {
    /// What time of day it is, or was, at `up`, as the clock goes now.
    pub fn time_of_day(self, up: Uptime) -> Timestamp {
        let ahead = i128::from(up.as_millis()) - i128::from(self.up.as_millis());
        let limit = if ahead < 0 { i64::MIN } else { i64::MAX };
        self.at.shifted(i64::try_from(ahead).unwrap_or(limit))
    }
}

/// Time that runs down, and can stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Countdown {
    /// It runs, and is over then.
    Until(Uptime),
    /// It stands still, and so much is left.
    Left(Duration),
}

impl Countdown {
    /// A countdown that begins now.
    pub fn from(now: Uptime, time: Duration) -> Self {
        Self::Until(now + time)
    }

    /// The same, standing still from now on.
    #[must_use]
    pub fn paused(self, now: Uptime) -> Self {
        Self::Left(self.left(now))
    }

    /// The same, going on from now on.
    #[must_use]
    pub fn resumed(self, now: Uptime) -> Self {
        Self::Until(now + self.left(now))
    }

    /// How much is left.
    pub fn left(self, now: Uptime) -> Duration {
        match self {
            Self::Until(until) => until.since(now),
            Self::Left(left) => left,
        }
    }

    /// When it is over; `None` while it stands still.
    pub fn until(self) -> Option<Uptime> {
        match self {
            Self::Until(until) => Some(until),
            Self::Left(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_countdown_that_stands_still_loses_nothing() {
        let begin = Uptime::from_millis(5_000);
        let left = Countdown::from(begin, MINUTE).paused(begin + MINUTE / 4);
        assert_eq!(left, Countdown::Left(MINUTE * 3 / 4));
        let later = begin + MINUTE * 100;
        assert_eq!(left.resumed(later).until(), Some(later + MINUTE * 3 / 4));
        // What is over stays over.
        assert_eq!(Countdown::from(begin, MINUTE).paused(later).left(later), Duration::ZERO);
    }

    #[test]
    fn a_time_of_day_is_that_of_the_clock_as_it_goes_now() {
        let now = Moment { at: Timestamp::from_secs(1000), up: Uptime::from_millis(9_000) };
        assert_eq!(now.time_of_day(now.up + MINUTE), Timestamp::from_secs(1060));
        assert_eq!(now.time_of_day(Uptime::default()), Timestamp::from_secs(991));
        let _ = now.time_of_day(Uptime::from_millis(u64::MAX));
    }
}
