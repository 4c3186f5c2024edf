//! Tokens of hosts: only their SHA-256.

use super::StoreError;
use crate::domain::ids::HostId;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

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

/// Whose token it is.
pub(crate) fn find(conn: &Connection, token_hash: &[u8; 32]) -> Result<Option<HostId>, StoreError> {
    let host: Option<String> = conn
        .prepare_cached("SELECT host_id FROM host_tokens WHERE token_hash = ?1")?
        .query_row([token_hash], |row| row.get(0))
        .optional()?;
    host.map(|id| HostId::parse(&id).map_err(|e| StoreError::Corrupt(e.to_string()))).transpose()
}

/// Whether a host has a token of its own.
pub(crate) fn exists_for(conn: &Connection, host: &HostId) -> Result<bool, StoreError> {
    let exists = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM host_tokens WHERE host_id = ?1)")?
        .query_row([host.as_str()], |row| row.get(0))?;
    Ok(exists)
}
