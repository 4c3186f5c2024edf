//! What was deployed on each host, and how that ended.

use super::StoreError;
use crate::domain::facts::Deploy;
use crate::domain::ids::HostId;
use rusqlite::{Connection, params};

/// Adds or replaces a deploy.
pub(crate) fn save(conn: &Connection, host: &HostId, deploy: &Deploy) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO deployments (command_id, host_id, ended_at, deploy_json)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        deploy.command_id.to_string(),
        host.as_str(),
        deploy.ended_at.as_millis(),
        serde_json::to_string(deploy)?,
    ])?;
    Ok(())
}

/// A host's deploys, newest first.
pub(crate) fn list(
    conn: &Connection,
    host: &HostId,
    limit: u32,
) -> Result<Vec<Deploy>, StoreError> {
    conn.prepare_cached(
        "SELECT deploy_json FROM deployments WHERE host_id = ?1 ORDER BY ended_at DESC LIMIT ?2",
    )?
    .query_map(params![host.as_str(), limit], |row| row.get::<_, String>(0))?
    .map(|json| Ok(serde_json::from_str(&json?)?))
    .collect()
}
