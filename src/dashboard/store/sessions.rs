//! Sessions of users: only the SHA-256 of their cookies.

use super::{StoreError, instant};
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    /// SHA-256 of the cookie.
    pub token_hash: [u8; 32],
    /// When the user logged in.
    pub created_at: Timestamp,
    /// From when on it counts no more.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// Where the user logged in from; empty where an older version made it.
    pub address: String,
    /// What the browser calls itself. Hostile text.
    pub browser: String,
}

const COLUMNS: &str = "token_hash, created_at, expires_at, last_used_at, address, browser";

fn record(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        token_hash: row.get(0)?,
        created_at: instant(row.get(1)?),
        expires_at: instant(row.get(2)?),
        last_used_at: instant(row.get(3)?),
        address: row.get(4)?,
        browser: row.get(5)?,
    })
}

/// Adds a session.
pub(crate) fn insert(conn: &Connection, session: &SessionRecord) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO sessions (token_hash, created_at, expires_at, last_used_at, address, browser)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            session.token_hash,
            session.created_at.as_millis(),
            session.expires_at.as_millis(),
            session.last_used_at.as_millis(),
            session.address,
            session.browser,
        ],
    )?;
    Ok(())
}

/// A session, expired or not.
pub(crate) fn find(
    conn: &Connection,
    hash: &[u8; 32],
) -> Result<Option<SessionRecord>, StoreError> {
    Ok(conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE token_hash = ?1"))?
        .query_row([hash], record)
        .optional()?)
}

/// The sessions that count, the one that was used last first.
pub(crate) fn list(conn: &Connection, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sessions WHERE expires_at > ?1 ORDER BY last_used_at DESC, created_at"
    ))?
    .query_map([now.as_millis()], record)?
    .map(|row| Ok(row?))
    .collect()
}

/// It was used.
pub(crate) fn touch(conn: &Connection, hash: &[u8; 32], now: Timestamp) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE sessions SET last_used_at = ?2 WHERE token_hash = ?1")?
        .execute(params![hash, now.as_millis()])?;
    Ok(())
}

/// Ends a session.
pub(crate) fn delete(conn: &Connection, hash: &[u8; 32]) -> Result<(), StoreError> {
    conn.execute("DELETE FROM sessions WHERE token_hash = ?1", [hash])?;
    Ok(())
}

/// Ends all sessions.
pub(crate) fn delete_all(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("DELETE FROM sessions", [])?;
    Ok(())
}

/// Ends all sessions but one.
pub(crate) fn delete_others(conn: &Connection, keep: &[u8; 32]) -> Result<(), StoreError> {
    conn.execute("DELETE FROM sessions WHERE token_hash <> ?1", [keep])?;
    Ok(())
}

/// Removes the sessions that count no more.
pub(crate) fn delete_expired(conn: &Connection, now: Timestamp) -> Result<(), StoreError> {
    conn.execute("DELETE FROM sessions WHERE expires_at <= ?1", [now.as_millis()])?;
    Ok(())
}
