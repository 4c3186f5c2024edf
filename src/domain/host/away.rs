//! Hosts that come, and hosts that were away: what the audit log, and so a host's timeline, says of
//! that. A link that breaks and is there again says nothing about a host.

use super::apply::Turn;
use crate::domain::audit::AuditCategory;
use std::time::Duration;

/// Whoever is away for less was not away.
const AWAY: Duration = Duration::from_secs(300);

impl Turn<'_, '_> {
    /// An agent connects to a host that has none: for the first time, or after it was away. What was
    /// while no dashboard ran is not known, and not told.
    pub(super) fn tell_of_the_way_back(&mut self) {
        let message = match self.state.last_seen {
            None => "Its agent connected for the first time.".to_owned(),
            Some(_) if self.state.links == 0 => return,
            Some(seen) => match self.now.at.since(seen) {
                away if away < AWAY => return,
                away => format!("Its agent is connected again. It was away for {}.", lasted(away)),
            },
        };
        self.record(AuditCategory::Host, message, None);
    }
}

/// "12 min", "3 h", "2 d"
fn lasted(time: Duration) -> String {
    match time.as_secs() / 60 {
        minutes @ 0..60 => format!("{minutes} min"),
        minutes @ 60..1440 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / 1440),
    }
}
