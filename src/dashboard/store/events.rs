//! The audit log.

use super::{StoreError, instant};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::ids::HostId;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, params};

/// What is written to the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// About which host, if about one.
    pub host: Option<HostId>,
    /// What it is about.
    pub category: AuditCategory,
    /// What happened. May hold hostile text.
    pub message: String,
    /// Who did it, if a user did.
    pub by: Option<Author>,
}

/// One entry of the audit log, as it is stored: other versions may have written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRecord {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// About which host, if about one.
    pub host: Option<HostId>,
    /// What it is about: the name of an [`AuditCategory`].
    pub category: String,
    /// What happened. May hold hostile text.
    pub message: String,
    /// Who did it, if a user did.
    pub by: Option<String>,
}

/// Which entries are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventFilter {
    /// About this host only.
    pub host: Option<HostId>,
    /// Of this category only.
    pub category: Option<String>,
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this only.
    pub to: Option<Timestamp>,
    /// With a lower number only.
    pub before: Option<i64>,
    /// So many at most.
    pub limit: u32,
}

/// Adds an entry and returns its number.
pub(crate) fn append(conn: &Connection, event: &NewEvent) -> Result<i64, StoreError> {
    conn.prepare_cached(
        "INSERT INTO events (at, host_id, category, message, by_whom) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        event.at.as_millis(),
        event.host.as_ref().map(HostId::as_str),
        event.category.name(),
        event.message,
        event.by.as_ref().map(Author::to_string),
    ])?;
    Ok(conn.last_insert_rowid())
}

/// The kinds there are, in alphabetical order.
pub(crate) fn categories(conn: &Connection) -> Result<Vec<String>, StoreError> {
    conn.prepare_cached("SELECT DISTINCT category FROM events ORDER BY category")?
        .query_map([], |row| row.get(0))?
        .map(|row| Ok(row?))
        .collect()
}

/// The entries that were asked for, newest first.
pub(crate) fn list(
    conn: &Connection,
    filter: &EventFilter,
) -> Result<Vec<EventRecord>, StoreError> {
    conn.prepare_cached(
        "SELECT id, at, host_id, category, message, by_whom FROM events
         WHERE (?1 IS NULL OR host_id = ?1) AND (?2 IS NULL OR category = ?2)
           AND (?3 IS NULL OR id < ?3)
           AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6)
         ORDER BY id DESC LIMIT ?4",
    )?
    .query_map(
        params![
            filter.host.as_ref().map(HostId::as_str),
            filter.category,
            filter.before,
            filter.limit,
            filter.from.map(Timestamp::as_millis),
            filter.to.map(Timestamp::as_millis),
        ],
        |row| {
            let host: Option<String> = row.get(2)?;
            Ok(EventRecord {
                id: row.get(0)?,
                at: instant(row.get(1)?),
                host: host.and_then(|id| HostId::parse(&id).ok()),
                category: row.get(3)?,
                message: row.get(4)?,
                by: row.get(5)?,
            })
        },
    )?
    .map(|row| Ok(row?))
    .collect()
}
