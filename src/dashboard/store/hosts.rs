//! Hosts: name, looks, and the facts they reported.

use super::{StoreError, instant};
use crate::domain::facts::HostFacts;
use crate::domain::ids::HostId;
use crate::domain::profile::HostProfile;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// A host as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostRecord {
    /// Its id.
    pub id: HostId,
    /// Name, looks and place.
    pub profile: HostProfile,
    /// What it reported.
    pub facts: HostFacts,
    /// When a frame last came, as of the last write.
    pub last_seen: Option<Timestamp>,
    /// When it was added. A later `save` does not change it.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, profile_json, facts_json, last_seen, created_at";

type Raw = (String, String, String, Option<i64>, i64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn record((id, profile, facts, last_seen, created_at): Raw) -> Result<HostRecord, StoreError> {
    Ok(HostRecord {
        id: HostId::parse(&id).map_err(|e| StoreError::Corrupt(format!("host {id:?}: {e}")))?,
        profile: serde_json::from_str(&profile)?,
        facts: serde_json::from_str(&facts)?,
        last_seen: last_seen.map(instant),
        created_at: instant(created_at),
    })
}

/// All hosts, by id.
pub(crate) fn load_all(conn: &Connection) -> Result<Vec<HostRecord>, StoreError> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM hosts ORDER BY id"))?;
    statement.query_map([], raw)?.map(|row| record(row?)).collect()
}

/// One host.
pub(crate) fn get(conn: &Connection, id: &HostId) -> Result<Option<HostRecord>, StoreError> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM hosts WHERE id = ?1"))?
        .query_row([id.as_str()], raw)
        .optional()?
        .map(record)
        .transpose()
}

/// Changes a host that is known. One that was removed stays removed: nothing is written.
pub(crate) fn update(conn: &Connection, host: &HostRecord) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE hosts SET profile_json = ?2, facts_json = ?3, last_seen = ?4 WHERE id = ?1",
    )?
    .execute(params![
        host.id.as_str(),
        serde_json::to_string(&host.profile)?,
        serde_json::to_string(&host.facts)?,
        host.last_seen.map(Timestamp::as_millis),
    ])?;
    Ok(())
}

/// Adds a host, also one that was removed before. One of that name is an error.
pub(crate) fn insert(conn: &Connection, host: &HostRecord) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO hosts (id, profile_json, facts_json, last_seen, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        host.id.as_str(),
        serde_json::to_string(&host.profile)?,
        serde_json::to_string(&host.facts)?,
        host.last_seen.map(Timestamp::as_millis),
        host.created_at.as_millis(),
    ])?;
    conn.prepare_cached("DELETE FROM removed_hosts WHERE id = ?1")?.execute([host.id.as_str()])?;
    Ok(())
}

/// Notes when a frame last came.
pub(crate) fn touch_last_seen(
    conn: &Connection,
    id: &HostId,
    at: Timestamp,
) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE hosts SET last_seen = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), at.as_millis()])?;
    Ok(())
}

/// Removes a host with its token, commands, output and tests. Its events stay, and its name: nobody
/// joins with it until it is [inserted](insert) again.
pub(crate) fn remove(conn: &Connection, id: &HostId, at: Timestamp) -> Result<(), StoreError> {
    conn.execute("DELETE FROM hosts WHERE id = ?1", [id.as_str()])?;
    conn.prepare_cached("INSERT OR REPLACE INTO removed_hosts (id, removed_at) VALUES (?1, ?2)")?
        .execute(params![id.as_str(), at.as_millis()])?;
    Ok(())
}

/// The names that were removed and not added again.
pub(crate) fn removed(conn: &Connection) -> Result<BTreeSet<HostId>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT id FROM removed_hosts")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names
        .map(|name| {
            let name = name?;
            HostId::parse(&name).map_err(|e| StoreError::Corrupt(format!("host {name:?}: {e}")))
        })
        .collect()
}
