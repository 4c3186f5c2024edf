//! Tokens of hosts: only their SHA-256.

use super::{StoreError, instant};
use crate::domain::ids::HostId;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// A token of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostTokenRecord {
    /// Whose it is.
    pub host: HostId,
    /// From when on it counts no more: another one was made. `None`: it is the newest.
    pub expires_at: Option<Timestamp>,
}

/// Adds a token of a host.
pub(crate) fn insert(
    conn: &Connection,
    token_hash: &[u8; 32],
    host: &HostId,
    created_at: Timestamp,
) -> Result<(), StoreError> {
    conn.execute(
        "INSERT INTO host_tokens (token_hash, host_id, created_at) VALUES (?1, ?2, ?3)",
        params![token_hash, host.as_str(), created_at.as_millis()],
    )?;
    Ok(())
}

/// Adds a token in the place of the one before, which counts until `old_until`. So does the shared
/// token for a host that had none of its own.
pub(crate) fn renew(
    conn: &Connection,
    token_hash: &[u8; 32],
    host: &HostId,
    now: Timestamp,
    old_until: Timestamp,
) -> Result<(), StoreError> {
    let (now, old_until) = (now.as_millis(), old_until.as_millis());
    conn.execute(
        "DELETE FROM host_tokens WHERE host_id = ?1 AND expires_at <= ?2",
        params![host.as_str(), now],
    )?;
    conn.execute(
        "INSERT INTO host_tokens (token_hash, host_id, created_at, shared_until)
         SELECT ?1, ?2, ?3,
             CASE WHEN EXISTS (SELECT 1 FROM host_tokens WHERE host_id = ?2)
             THEN (SELECT max(shared_until) FROM host_tokens WHERE host_id = ?2) ELSE ?4 END",
        params![token_hash, host.as_str(), now, old_until],
    )?;
    conn.execute(
        "UPDATE host_tokens SET expires_at = ?3
         WHERE host_id = ?1 AND token_hash <> ?2 AND expires_at IS NULL",
        params![host.as_str(), token_hash, old_until],
    )?;
    Ok(())
}

/// A token that counts.
pub(crate) fn find(
    conn: &Connection,
    token_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<HostTokenRecord>, StoreError> {
    let found: Option<(String, Option<i64>)> = conn
        .prepare_cached(
            "SELECT host_id, expires_at FROM host_tokens
             WHERE token_hash = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .query_row(params![token_hash, now.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, expires_at)) = found else {
        return Ok(None);
    };
    let host = HostId::parse(&id).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    Ok(Some(HostTokenRecord { host, expires_at: expires_at.map(instant) }))
}

/// Until when the shared token opens a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedToken {
    /// The host has no token of its own.
    Opens,
    /// It was given one of its own a while ago.
    OpensUntil(Timestamp),
    /// Not at all: the host has a token of its own.
    OpensNothing,
}

/// Whether the shared token opens a host now.
pub(crate) fn shared_for(
    conn: &Connection,
    host: &HostId,
    now: Timestamp,
) -> Result<SharedToken, StoreError> {
    let (own, until): (i64, Option<i64>) = conn
        .prepare_cached("SELECT count(*), max(shared_until) FROM host_tokens WHERE host_id = ?1")?
        .query_row([host.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match (own, until.map(instant)) {
        (0, _) => SharedToken::Opens,
        (_, Some(until)) if until > now => SharedToken::OpensUntil(until),
        (_, _) => SharedToken::OpensNothing,
    })
}
