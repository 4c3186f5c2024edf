//! The one place of the dashboard that reads the time.

use crate::domain::moment::{Moment, Uptime};
use crate::domain::timestamp::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. A type of its own, so that what needs the time says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    /// How long dashboards had run before this one.
    before: Uptime,
}

#[cfg(test)]
impl Default for Clock {
    fn default() -> Self {
        Self::after(Uptime::default())
    }
}

impl Clock {
    /// A clock that goes on from where the one of the dashboard before stood.
    pub(crate) fn after(before: Uptime) -> Self {
        Self { started: Instant::now(), before }
    }

    /// The time of day.
    pub(crate) fn now(self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Timestamp::from_millis(millis)
    }

    /// How long dashboards have run, this one included: nobody sets that.
    pub(crate) fn up(self) -> Uptime {
        self.before + self.started.elapsed()
    }

    /// This moment, by both.
    pub(crate) fn moment(self) -> Moment {
        Moment { at: self.now(), up: self.up() }
    }
}
