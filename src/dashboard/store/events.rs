//! The audit log. Entries are only ever added; [`chain`] says how that is proved.

pub(crate) mod chain;

use super::{StoreError, instant};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

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
    /// From where: an address, or what a trusted proxy calls it.
    pub from: Option<String>,
    /// What came of it, in a word: `done`, `accepted`, `refused`, or how a command ended.
    pub result: Option<&'static str>,
    /// Which command it is about, if about one.
    pub command: Option<CommandId>,
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
    /// From where.
    pub from: Option<String>,
    /// What came of it, in a word.
    pub result: Option<String>,
    /// Which command it is about, if about one. Retention may have removed that.
    pub command: Option<CommandId>,
    /// SHA-256 of all that and of the entry before it.
    pub hash: [u8; 32],
}

/// Which entries are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventFilter {
    /// About this host only.
    pub host: Option<HostId>,
    /// Of this category only.
    pub category: Option<String>,
    /// With all of these words in host, message, author or address, in any case of ASCII letters.
    pub words: Vec<String>,
    /// Only what did not go well.
    pub failed: bool,
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
    let (last, before) = chain::head(conn)?;
    let mut record = EventRecord {
        id: last + 1,
        at: event.at,
        host: event.host.clone(),
        category: event.category.name().to_owned(),
        message: event.message.clone(),
        by: event.by.as_ref().map(Author::to_string),
        from: event.from.clone(),
        result: event.result.map(str::to_owned),
        command: event.command,
        hash: [0; 32],
    };
    record.hash = chain::link(&before, &record);
    conn.prepare_cached(
        "INSERT INTO events (id, at, host_id, category, message, by_whom, from_where, result, hash,
                             command_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        record.id,
        record.at.as_millis(),
        record.host.as_ref().map(HostId::as_str),
        record.category,
        record.message,
        record.by,
        record.from,
        record.result,
        record.hash,
        record.command.map(|id| id.to_string()),
    ])?;
    Ok(record.id)
}

/// What [`record`] reads, in its order.
const COLUMNS: &str =
    "id, at, host_id, category, message, by_whom, from_where, result, hash, command_id";

/// Reads an entry. One whose hash is no hash has none, and neither has one whose command is not written
/// as it is written here: what cannot be read counts like what can.
fn record(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    let host: Option<String> = row.get(2)?;
    let hash: Vec<u8> = row.get(8)?;
    let command: Option<String> = row.get(9)?;
    let known = command.as_deref().and_then(CommandId::parse);
    let is_ours = command == known.map(|id| id.to_string());
    Ok(EventRecord {
        id: row.get(0)?,
        at: instant(row.get(1)?),
        host: host.and_then(|id| HostId::parse(&id).ok()),
        category: row.get(3)?,
        message: row.get(4)?,
        by: row.get(5)?,
        from: row.get(6)?,
        result: row.get(7)?,
        command: known,
        hash: hash.try_into().ok().filter(|_| is_ours).unwrap_or_default(),
    })
}

/// The kinds there are, in alphabetical order.
pub(crate) fn categories(conn: &Connection) -> Result<Vec<String>, StoreError> {
    conn.prepare_cached("SELECT DISTINCT category FROM events ORDER BY category")?
        .query_map([], |row| row.get(0))?
        .map(|row| Ok(row?))
        .collect()
}

/// Results of what did not go well.
const FAILED: &str = "'failed', 'timed_out', 'lost', 'unverified', 'rejected', 'refused'";

/// A pattern of SQLite's LIKE for a text that holds this one.
fn holding(word: &str) -> String {
    let escaped: String = word
        .chars()
        .flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c]))
        .collect();
    format!("%{escaped}%")
}

/// Which command an entry is about that was written before entries said so: the one that its host was
/// asked for, or that ended, at that very instant. `None` if that is not known any more.
pub(crate) fn command_of(
    conn: &Connection,
    event: &EventRecord,
) -> Result<Option<CommandId>, StoreError> {
    let Some(host) =
        event.host.as_ref().filter(|_| event.category == AuditCategory::Command.name())
    else {
        return Ok(None);
    };
    let found: Option<String> = conn
        .prepare_cached(
            "SELECT id FROM commands WHERE host_id = ?1 AND (created_at = ?2 OR finished_at = ?2)
             ORDER BY rowid DESC LIMIT 1",
        )?
        .query_row(params![host.as_str(), event.at.as_millis()], |row| row.get(0))
        .optional()?;
    Ok(found.and_then(|id| CommandId::parse(&id)))
}

/// The entries that were asked for, newest first.
pub(crate) fn list(
    conn: &Connection,
    filter: &EventFilter,
) -> Result<Vec<EventRecord>, StoreError> {
    let patterns =
        serde_json::to_string(&filter.words.iter().map(|word| holding(word)).collect::<Vec<_>>())?;
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM events
         WHERE (?1 IS NULL OR host_id = ?1) AND (?2 IS NULL OR category = ?2)
           AND (?3 IS NULL OR id < ?3)
           AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6)
           AND (NOT ?7 OR result IN ({FAILED}))
           AND NOT EXISTS (SELECT 1 FROM json_each(?8) AS word WHERE
               (coalesce(host_id, '') || ' ' || message || ' ' || coalesce(by_whom, '') || ' '
                   || coalesce(from_where, '')) NOT LIKE word.value ESCAPE '\\')
         ORDER BY id DESC LIMIT ?4",
    ))?
    .query_map(
        params![
            filter.host.as_ref().map(HostId::as_str),
            filter.category,
            filter.before,
            filter.limit,
            filter.from.map(Timestamp::as_millis),
            filter.to.map(Timestamp::as_millis),
            filter.failed,
            patterns,
        ],
        record,
    )?
    .map(|row| Ok(row?))
    .collect()
}
