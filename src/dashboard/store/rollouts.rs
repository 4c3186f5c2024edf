//! Rollouts, whole.

use super::StoreError;
use crate::domain::rollout::{Rollout, RolloutId};
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

fn parse(json: String) -> Result<Rollout, StoreError> {
    Ok(serde_json::from_str(&json)?)
}

/// Adds or replaces a rollout. It is live until somebody has seen how it ended.
pub(crate) fn save(conn: &Connection, rollout: &Rollout) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO rollouts (id, live, finished_at, rollout_json)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        rollout.id.to_string(),
        !(rollout.is_over() && rollout.dismissed),
        rollout.finished_at.map(Timestamp::as_millis),
        serde_json::to_string(rollout)?,
    ])?;
    Ok(())
}

/// One rollout.
pub(crate) fn get(conn: &Connection, id: RolloutId) -> Result<Option<Rollout>, StoreError> {
    conn.prepare_cached("SELECT rollout_json FROM rollouts WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?
        .map(parse)
        .transpose()
}

/// All that run, or whose end nobody has seen yet, oldest first.
pub(crate) fn live(conn: &Connection) -> Result<Vec<Rollout>, StoreError> {
    conn.prepare_cached("SELECT rollout_json FROM rollouts WHERE live = 1 ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .map(|json| parse(json?))
        .collect()
}

/// The newest ones.
pub(crate) fn list(conn: &Connection, limit: u32) -> Result<Vec<Rollout>, StoreError> {
    conn.prepare_cached("SELECT rollout_json FROM rollouts ORDER BY id DESC LIMIT ?1")?
        .query_map([limit], |row| row.get(0))?
        .map(|json| parse(json?))
        .collect()
}
