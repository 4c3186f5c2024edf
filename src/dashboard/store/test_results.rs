//! Test runs and the results of their tests.

use super::StoreError;
use crate::domain::facts::TestRun;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, params};

/// Adds or replaces the result of one test of a run.
pub(crate) fn save(
    conn: &Connection,
    id: CommandId,
    result: &TestResult,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO test_results (command_id, position, result_json)
         VALUES (?1, ?2, ?3)",
    )?
    .execute(params![id.to_string(), result.index, serde_json::to_string(result)?])?;
    Ok(())
}

/// The results of a run, in order.
pub(crate) fn list(conn: &Connection, id: CommandId) -> Result<Vec<TestResult>, StoreError> {
    conn.prepare_cached(
        "SELECT result_json FROM test_results WHERE command_id = ?1 ORDER BY position",
    )?
    .query_map([id.to_string()], |row| row.get::<_, String>(0))?
    .map(|json| Ok(serde_json::from_str(&json?)?))
    .collect()
}

/// Adds or replaces a finished run.
pub(crate) fn save_run(conn: &Connection, host: &HostId, run: &TestRun) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO test_runs (command_id, host_id, ended_at, run_json)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        run.command_id.to_string(),
        host.as_str(),
        run.ended_at.as_millis(),
        serde_json::to_string(run)?,
    ])?;
    Ok(())
}

/// A host's finished runs, newest first, from before `before` on.
pub(crate) fn runs(
    conn: &Connection,
    host: &HostId,
    limit: u32,
    before: Option<Timestamp>,
) -> Result<Vec<TestRun>, StoreError> {
    conn.prepare_cached(
        "SELECT run_json FROM test_runs WHERE host_id = ?1 AND (?2 IS NULL OR ended_at < ?2)
         ORDER BY ended_at DESC LIMIT ?3",
    )?
    .query_map(params![host.as_str(), before.map(Timestamp::as_millis), limit], |row| {
        row.get::<_, String>(0)
    })?
    .map(|json| Ok(serde_json::from_str(&json?)?))
    .collect()
}
