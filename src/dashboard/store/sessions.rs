//! Sessions of users: only the SHA-256 of their cookies.

use super::{StoreError, instant};
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    /// SHA-256 of the cookie.
    pub token_hash: [u8; 32],
    /// When the user logged in.
    pub created_at: Timestamp,
    /// From when on it counts no more.
    pub expires_at: Timestamp,
}

/// Adds a session.
pub(crate) fn insert(conn: &Connection, session: &SessionRecord) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO sessions (token_hash, created_at, expires_at) VALUES (?1, ?2, ?3)",
        params![session.token_hash, session.created_at.as_millis(), session.expires_at.as_millis()],
    )?;
    Ok(())
}

/// A session, expired or not.
pub(crate) fn find(
    conn: &Connection,
    hash: &[u8; 32],
) -> Result<Option<SessionRecord>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT token_hash, created_at, expires_at FROM sessions WHERE token_hash = ?1",
        )?
        .query_row([hash], |row| {
            Ok(SessionRecord {
                token_hash: row.get(0)?,
                created_at: instant(row.get(1)?),
                expires_at: instant(row.get(2)?),
            })
        })
        .optional()?)
}

/// Ends a session.
pub(crate) fn delete(conn: &Connection, hash: &[u8; 32]) -> Result<(), StoreError> {
    conn.execute("DELETE FROM sessions WHERE token_hash = ?1", [hash])?;
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
