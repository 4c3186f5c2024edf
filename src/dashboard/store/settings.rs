//! Small things that must last: a text by its name.

use super::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

/// What is stored under `key`.
pub(crate) fn get(conn: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT value FROM settings WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

/// All that is stored under keys that begin with `prefix`, by the rest of the key.
pub(crate) fn below(conn: &Connection, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
    conn.prepare_cached("SELECT substr(key, length(?1) + 1), value FROM settings WHERE substr(key, 1, length(?1)) = ?1")?
        .query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)))?
        .map(|row| Ok(row?))
        .collect()
}

/// Removes what is stored under `key`.
pub(crate) fn remove(conn: &Connection, key: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM settings WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// Stores `value` under `key`.
pub(crate) fn set(conn: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO settings (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![key, value])?;
    Ok(())
}
