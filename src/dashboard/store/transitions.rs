//! The journal of commands: every state entered, when and why.

use super::{StoreError, instant};
use crate::domain::command::State;
use crate::domain::ids::CommandId;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, params};

/// A state that a command entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransitionRecord {
    /// When.
    pub at: Timestamp,
    /// Which state.
    pub state: State,
    /// Why.
    pub reason: Option<String>,
}

/// Adds a transition after the others of the command.
pub(crate) fn append(
    conn: &Connection,
    id: CommandId,
    transition: &TransitionRecord,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO transitions (command_id, seq, at, state, reason)
         VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM transitions WHERE command_id = ?1),
             ?2, ?3, ?4)",
    )?
    .execute(params![
        id.to_string(),
        transition.at.as_millis(),
        transition.state.name(),
        transition.reason,
    ])?;
    Ok(())
}

/// A command's transitions, in order.
pub(crate) fn list(conn: &Connection, id: CommandId) -> Result<Vec<TransitionRecord>, StoreError> {
    conn.prepare_cached(
        "SELECT at, state, reason FROM transitions WHERE command_id = ?1 ORDER BY seq",
    )?
    .query_map([id.to_string()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
    })?
    .map(|row| {
        let (at, name, reason) = row?;
        let state = State::ALL.into_iter().find(|state| state.name() == name);
        let state = state.ok_or_else(|| StoreError::Corrupt(format!("state {name:?}")))?;
        Ok(TransitionRecord { at: instant(at), state, reason })
    })
    .collect()
}
