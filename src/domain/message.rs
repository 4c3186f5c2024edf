//! Texts for people that may hold instants.
//!
//! A message holds the instant itself, not the time that has passed since. The page
//! shows it as "2 min ago" and keeps it ticking; the API writes RFC 3339. So a row
//! that did not change is the same text a minute later.

use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// One piece of a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum Part {
    /// Plain text. It may hold what a host sent: escape it.
    Text(String),
    /// An instant.
    Time(Timestamp),
}

/// A text for people, made of plain text and instants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message(Vec<Part>);

impl Message {
    /// The pieces, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Where only text can stand: instants as date and time in UTC.
    pub fn plain(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Time(instant) => {
                // RFC 3339: `2026-01-18T10:30:00Z`.
                let told = instant.to_string();
                let part = |range| told.get(range).unwrap_or_default();
                format!("{} {} UTC", part(0..10), part(11..16))
            }
        };
        self.0.iter().map(text).collect()
    }

    /// Adds plain text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Adds all of another one.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Adds an instant.
    #[must_use]
    pub fn time(mut self, instant: Timestamp) -> Self {
        self.0.push(Part::Time(instant));
        self
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self(vec![Part::Text(text)])
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Time(instant) => instant.fmt(f),
        })
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_only_text_can_stand_an_instant_names_its_zone() {
        let at = Timestamp::parse("2026-01-18T10:30:07.5Z").unwrap();
        let message = Message::from("Last test: ").time(at).text(" (8/8 passed)");
        assert_eq!(message.plain(), "Last test: 2026-01-18 10:30 UTC (8/8 passed)");
    }
}
