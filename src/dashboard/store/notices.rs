//! What has happened and was not looked at by the notifier yet. Triggers write it, in the transaction
//! of what it is about (schema.sql), so nothing is lost and nothing comes twice.

use super::StoreError;
use rusqlite::Connection;

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Its number.
    pub id: i64,
    /// `command`, `rollout` or `login`.
    pub kind: String,
    /// A command or a rollout as it is stored, or an entry of the audit log.
    pub json: String,
}

/// The oldest notices, at most so many.
pub(crate) fn oldest(conn: &Connection, limit: u32) -> Result<Vec<Notice>, StoreError> {
    conn.prepare_cached("SELECT id, kind, notice_json FROM notices ORDER BY id LIMIT ?1")?
        .query_map([limit], |row| {
            Ok(Notice { id: row.get(0)?, kind: row.get(1)?, json: row.get(2)? })
        })?
        .map(|row| Ok(row?))
        .collect()
}

/// Removes all up to one that was looked at.
pub(crate) fn remove_to(conn: &Connection, id: i64) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM notices WHERE id <= ?1")?.execute([id])?;
    Ok(())
}
