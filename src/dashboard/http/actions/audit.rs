//! Which entries of the audit log somebody wants.

use super::super::error::HttpError;
use super::super::extract::host_id;
use crate::dashboard::store::events::EventFilter;
use crate::domain::timestamp::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// What a query says. What is empty filters nothing.
#[derive(Deserialize, Clone)]
pub(in crate::dashboard::http) struct Wanted {
    /// A host.
    #[serde(default)]
    pub(in crate::dashboard::http) host: String,
    /// A kind of event.
    #[serde(default)]
    pub(in crate::dashboard::http) category: String,
    /// Words: what host, message, author or address hold, each of them.
    #[serde(default)]
    pub(in crate::dashboard::http) q: String,
    /// `failed`: only what did not go well.
    #[serde(default)]
    pub(in crate::dashboard::http) outcome: String,
    /// A day: nothing before it.
    #[serde(default)]
    pub(in crate::dashboard::http) from: String,
    /// A day: nothing after it.
    #[serde(default)]
    pub(in crate::dashboard::http) to: String,
    /// The number of an entry: only those before it.
    pub(in crate::dashboard::http) before: Option<i64>,
    /// So many at most.
    pub(in crate::dashboard::http) limit: Option<u32>,
    /// `json`, `jsonl` or `csv`.
    #[serde(default)]
    pub(in crate::dashboard::http) format: String,
}

impl Wanted {
    /// Checks every field.
    pub(in crate::dashboard::http) fn read(&self, limit: u32) -> Result<EventFilter, HttpError> {
        let (host, category) = (self.host.trim(), self.category.trim());
        Ok(EventFilter {
            host: if host.is_empty() { None } else { Some(host_id(host)?) },
            category: Some(category.to_owned()).filter(|category| !category.is_empty()),
            words: words(&self.q)?,
            failed: match self.outcome.as_str() {
                "" => false,
                "failed" => true,
                _ => return Err(HttpError::bad("outcome", "expected failed, or nothing")),
            },
            from: day("from", &self.from)?,
            to: day("to", &self.to)?.map(|day| day + Duration::from_secs(24 * 3600)),
            before: self.before,
            limit,
        })
    }
}

/// So many characters may be searched for.
const LONGEST: usize = 200;
/// So many words.
const WORDS: usize = 8;

/// The words of a search.
fn words(text: &str) -> Result<Vec<String>, HttpError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if text.chars().count() > LONGEST || words.len() > WORDS {
        let expected = format!("expected at most {WORDS} words and {LONGEST} characters");
        return Err(HttpError::bad("q", expected));
    }
    Ok(words)
}

/// Midnight UTC of a day; `None` for an empty field.
fn day(field: &str, text: &str) -> Result<Option<Timestamp>, HttpError> {
    if text.is_empty() {
        return Ok(None);
    }
    let midnight = Timestamp::parse(&format!("{text}T00:00:00Z"));
    let midnight = midnight.ok_or_else(|| HttpError::bad(field, "a day such as 2026-01-18"))?;
    Ok(Some(midnight))
}
