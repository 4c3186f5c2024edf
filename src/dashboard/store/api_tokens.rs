//! Tokens for the JSON API: only their SHA-256.

use super::{StoreError, instant};
use crate::domain::scope::Scope;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A token for the JSON API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiTokenRecord {
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// What the user called it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it counts no more; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

const COLUMNS: &str = "token_hash, name, scope, created_at, expires_at, last_used_at";

/// A scope that this version does not know allows the least.
fn record(row: &Row<'_>) -> rusqlite::Result<ApiTokenRecord> {
    let scope: String = row.get(2)?;
    Ok(ApiTokenRecord {
        token_hash: row.get(0)?,
        name: row.get(1)?,
        scope: Scope::parse(&scope).unwrap_or(Scope::Read),
        created_at: instant(row.get(3)?),
        expires_at: row.get::<_, Option<i64>>(4)?.map(instant),
        last_used_at: row.get::<_, Option<i64>>(5)?.map(instant),
    })
}

/// Adds a token.
pub(crate) fn insert(conn: &Connection, token: &ApiTokenRecord) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO api_tokens (token_hash, name, scope, created_at, expires_at, last_used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            token.token_hash,
            token.name,
            token.scope.name(),
            token.created_at.as_millis(),
            token.expires_at.map(Timestamp::as_millis),
            token.last_used_at.map(Timestamp::as_millis),
        ],
    )?;
    Ok(())
}

/// One token, expired or not.
pub(crate) fn find(
    conn: &Connection,
    hash: &[u8; 32],
) -> Result<Option<ApiTokenRecord>, StoreError> {
    Ok(conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM api_tokens WHERE token_hash = ?1"))?
        .query_row([hash], record)
        .optional()?)
}

/// All tokens, oldest first.
pub(crate) fn list(conn: &Connection) -> Result<Vec<ApiTokenRecord>, StoreError> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM api_tokens ORDER BY created_at"))?
        .query_map([], record)?
        .map(|row| Ok(row?))
        .collect()
}

/// It was used.
pub(crate) fn touch(conn: &Connection, hash: &[u8; 32], now: Timestamp) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE api_tokens SET last_used_at = ?2 WHERE token_hash = ?1")?
        .execute(params![hash, now.as_millis()])?;
    Ok(())
}

/// Removes a token.
pub(crate) fn delete(conn: &Connection, hash: &[u8; 32]) -> Result<(), StoreError> {
    conn.execute("DELETE FROM api_tokens WHERE token_hash = ?1", [hash])?;
    Ok(())
}
