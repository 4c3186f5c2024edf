//! A freeze: until it ends, nothing is rolled out to any host.

use crate::domain::audit::Author;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// No freeze lasts longer: one that was forgotten ends.
pub const FREEZE_AT_MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Who froze the fleet, why, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Why. Hostile text.
    pub reason: String,
    /// Who.
    pub by: Author,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
}

impl Freeze {
    /// "frozen until 2026-11-30 08:00 UTC: holidays"
    pub fn told(&self) -> String {
        format!("frozen until {}: {}", minute(self.until), self.reason)
    }
}

/// An instant to the minute, in UTC.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}
