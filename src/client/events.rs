//! `nixfleet events`: the audit log.

use super::api::{Api, read};
use super::ending::{Ending, Trouble};
use super::output::Out;
use super::progress::Progress;
use super::text::safe;
use super::waiting::Patience;
use serde::Deserialize;
use serde_json::Value;

/// So many entries are asked for at once.
const PAGE: u32 = 500;

/// Which entries.
pub(super) struct Filter<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) category: Option<&'a str>,
}

#[derive(Deserialize)]
struct Entry {
    id: i64,
    at: String,
    host_id: Option<String>,
    category: String,
    message: String,
    by: Option<String>,
}

/// Prints the last entries, the oldest first; goes on with what comes if asked to.
pub(super) fn show(
    api: &Api,
    out: &mut Out,
    filter: &Filter<'_>,
    last: u32,
    follow: bool,
) -> Result<Ending, Trouble> {
    let mut newest = 0;
    let entries = newest_first(api, filter, last, 0)?;
    if out.for_programs() && !follow {
        let oldest_first: Vec<Value> = entries.into_iter().rev().collect();
        out.programs(&Value::Array(oldest_first))?;
        return Ok(Ending::Done);
    }
    tell(out, entries, &mut newest)?;
    if !follow {
        return Ok(Ending::Done);
    }
    let (mut patience, mut progress) = (Patience::new(), Progress::new());
    loop {
        Patience::pause();
        let entries = newest_first(api, filter, u32::MAX, newest);
        if let Some(entries) = patience.with(entries, &mut progress)? {
            tell(out, entries, &mut newest)?;
        }
    }
}

/// At most so many entries that are newer than one that was seen.
fn newest_first(
    api: &Api,
    filter: &Filter<'_>,
    most: u32,
    seen: i64,
) -> Result<Vec<Value>, Trouble> {
    let mut found: Vec<Value> = Vec::new();
    let mut before = None;
    loop {
        let have = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let limit = most.saturating_sub(have).min(PAGE);
        if limit == 0 {
            return Ok(found);
        }
        let page = api.get(&query(filter, limit, before)?)?;
        let entries: Vec<Value> = read(&page)?;
        let (asked, count) = (usize::try_from(limit).unwrap_or(usize::MAX), entries.len());
        for entry in entries {
            let id = read::<Entry>(&entry)?.id;
            if id <= seen {
                return Ok(found);
            }
            before = Some(id);
            found.push(entry);
        }
        if count < asked {
            return Ok(found);
        }
    }
}

fn query(filter: &Filter<'_>, limit: u32, before: Option<i64>) -> Result<String, Trouble> {
    let mut fields = vec![("limit", limit.to_string())];
    let before = before.map(|id| ("before", id.to_string()));
    fields.extend(before);
    fields.extend(filter.host.map(|host| ("host", host.to_owned())));
    fields.extend(filter.category.map(|category| ("category", category.to_owned())));
    let query = serde_urlencoded::to_string(fields).map_err(|e| Trouble::Away(e.to_string()))?;
    Ok(format!("/api/events?{query}"))
}

fn tell(out: &mut Out, newest_first: Vec<Value>, newest: &mut i64) -> Result<(), Trouble> {
    for value in newest_first.into_iter().rev() {
        let entry: Entry = read(&value)?;
        if out.for_programs() {
            out.json_line(&value)?;
        } else {
            let Entry { at, host_id, category, message, by, .. } = &entry;
            let host = host_id.as_ref().map(|host| format!(" {host}:")).unwrap_or_default();
            let by = by.as_ref().map(|by| format!(" (by {by})")).unwrap_or_default();
            out.line(&safe(&format!("{at} {category}{host} {message}{by}")))?;
        }
        *newest = (*newest).max(entry.id);
    }
    Ok(())
}
