//! Tokens for the JSON API: only their SHA-256.

use super::{StoreError, instant};
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A token for the JSON API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiTokenRecord {
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// What the user called it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

fn record(row: &Row<'_>) -> rusqlite::Result<ApiTokenRecord> {
    Ok(ApiTokenRecord {
        token_hash: row.get(0)?,
        name: row.get(1)?,
        created_at: instant(row.get(2)?),
    })
}

/// Adds a token.
pub(crate) fn insert(conn: &Connection, token: &ApiTokenRecord) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO api_tokens (token_hash, name, created_at) VALUES (?1, ?2, ?3)",
        params![token.token_hash, token.name, token.created_at.as_millis()],
    )?;
    Ok(())
}

/// One token.
pub(crate) fn find(
    conn: &Connection,
    hash: &[u8; 32],
) -> Result<Option<ApiTokenRecord>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT token_hash, name, created_at FROM api_tokens WHERE token_hash = ?1",
        )?
        .query_row([hash], record)
        .optional()?)
}

/// All tokens, oldest first.
pub(crate) fn list(conn: &Connection) -> Result<Vec<ApiTokenRecord>, StoreError> {
    conn.prepare_cached("SELECT token_hash, name, created_at FROM api_tokens ORDER BY created_at")?
        .query_map([], record)?
        .map(|row| Ok(row?))
        .collect()
}

/// Removes a token.
pub(crate) fn delete(conn: &Connection, hash: &[u8; 32]) -> Result<(), StoreError> {
    conn.execute("DELETE FROM api_tokens WHERE token_hash = ?1", [hash])?;
    Ok(())
}
