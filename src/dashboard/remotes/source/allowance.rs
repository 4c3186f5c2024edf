//! What a forge's rate limit still allows, and how fast a remote may be read with that.

use std::time::{Duration, Instant};

/// What one fetch costs at most: the head, its flake.lock, the pull requests and one of them.
const FETCH_COSTS: u64 = 4;
/// A remote is read at least that often, if the forge answers at all: what did not change costs
/// nothing, and a row must not stay green for an hour because requests are saved.
const SLOWEST: Duration = Duration::from_secs(120);

/// A forge's rate limit, as its last answer told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Requests that it allows in its period, an hour for GitHub.
    pub limit: u64,
    /// Those that are left.
    pub remaining: u64,
    /// When all of them are there again.
    pub resets_at: Instant,
}

impl Allowance {
    /// How long to wait between two fetches. Nothing while more than half of the limit is left;
    /// then what is left has to last, but for a tenth that is kept for what users ask.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        let until_reset = self.resets_at.saturating_duration_since(now);
        if self.remaining.saturating_mul(2) > self.limit {
            return Duration::ZERO;
        }
        let fetches = self.remaining.saturating_sub(self.limit / 10) / FETCH_COSTS;
        let fetches = u32::try_from(fetches).unwrap_or(u32::MAX);
        until_reset.checked_div(fetches).unwrap_or(until_reset).min(SLOWEST)
    }

    /// Whether commits may be compared, which hosts can make cost as much as they like. The last
    /// quarter is not for them.
    pub(crate) fn allows_comparing(&self, now: Instant) -> bool {
        self.remaining.saturating_mul(4) > self.limit || now >= self.resets_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finding 23 of the rows' review, and finding 11 of the security review.
    #[test]
    fn what_is_left_lasts_until_it_is_there_again() {
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        for (limit, remaining, left, pause, compares) in [
            (5000, 5000, hour, 0, true),
            (5000, 2501, hour, 0, true),
            (5000, 2500, hour, 7, true),
            (5000, 1300, hour, 18, true),
            (5000, 1250, hour, 19, false),
            (5000, 510, hour, 120, false),
            (5000, 0, hour, 120, false),
            (5000, 0, Duration::from_secs(7), 7, false),
            (5000, 0, Duration::ZERO, 0, true),
            (60, 30, hour, 120, true),
            (0, 0, hour, 120, false),
        ] {
            let allowance = Allowance { limit, remaining, resets_at: now + left };
            let case = format!("{remaining} of {limit}, {left:?}");
            assert_eq!(allowance.pause(now).as_secs(), pause, "{case}");
            assert_eq!(allowance.allows_comparing(now), compares, "{case}");
        }
    }
}
