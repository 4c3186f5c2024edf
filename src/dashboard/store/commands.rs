//! Commands, live and over. Their order is that in which they were first stored (`rowid`), because
//! no clock that anybody sets may reorder them.

use super::StoreError;
use crate::domain::command::Command;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

fn parse(json: String) -> Result<Command, StoreError> {
    Ok(serde_json::from_str(&json)?)
}

/// Adds or replaces a command.
pub(crate) fn save(conn: &Connection, command: &Command) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO commands (id, host_id, op, state, live, created_at, finished_at, command_json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, live = excluded.live,
             finished_at = excluded.finished_at, command_json = excluded.command_json
         WHERE host_id = excluded.host_id",
    )?
    .execute(params![
        command.id.to_string(),
        command.host.as_str(),
        command.op.name(),
        command.state.name(),
        !command.state.is_terminal(),
        command.created_at.as_millis(),
        command.finished_at.map(Timestamp::as_millis),
        serde_json::to_string(command)?,
    ])?;
    Ok(())
}

/// One command.
pub(crate) fn get(conn: &Connection, id: CommandId) -> Result<Option<Command>, StoreError> {
    conn.prepare_cached("SELECT command_json FROM commands WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?
        .map(parse)
        .transpose()
}

/// All commands that are not over, in the order in which they were first stored.
pub(crate) fn live(conn: &Connection) -> Result<Vec<Command>, StoreError> {
    conn.prepare_cached("SELECT command_json FROM commands WHERE live = 1 ORDER BY rowid")?
        .query_map([], |row| row.get(0))?
        .map(|json| parse(json?))
        .collect()
}

/// A host's commands that are not over, oldest first.
pub(crate) fn live_of(conn: &Connection, host: &HostId) -> Result<Vec<Command>, StoreError> {
    conn.prepare_cached(
        "SELECT command_json FROM commands WHERE live = 1 AND host_id = ?1 ORDER BY rowid",
    )?
    .query_map([host.as_str()], |row| row.get(0))?
    .map(|json| parse(json?))
    .collect()
}

/// A host's commands, newest first, from before `before` on.
pub(crate) fn history(
    conn: &Connection,
    host: &HostId,
    limit: u32,
    before: Option<CommandId>,
) -> Result<Vec<Command>, StoreError> {
    conn.prepare_cached(
        "SELECT command_json FROM commands
         WHERE host_id = ?1
             AND (?2 IS NULL OR rowid < (SELECT rowid FROM commands WHERE id = ?2))
         ORDER BY rowid DESC LIMIT ?3",
    )?
    .query_map(params![host.as_str(), before.map(|id| id.to_string()), limit], |row| row.get(0))?
    .map(|json| parse(json?))
    .collect()
}

/// Each host's newest command.
pub(crate) fn latest_per_host(conn: &Connection) -> Result<Vec<Command>, StoreError> {
    conn.prepare_cached(
        "SELECT command_json FROM commands c JOIN hosts h ON h.id = c.host_id
         WHERE c.rowid = (SELECT max(rowid) FROM commands WHERE host_id = h.id)",
    )?
    .query_map([], |row| row.get(0))?
    .map(|json| parse(json?))
    .collect()
}
