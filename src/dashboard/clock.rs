//! The one place of the dashboard that reads the time of day.

use crate::domain::timestamp::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time. A type of its own, so that what needs the time says so.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock;

impl Clock {
    /// The time of day.
    pub(crate) fn now(self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Timestamp::from_millis(millis)
    }
}
