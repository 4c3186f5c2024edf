//! What is old enough to go.

use super::StoreError;
use super::events::chain;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, params};
use std::time::Duration;

/// How much one step removes at most, so that no other write waits long.
const STEP: u32 = 200;

/// Removes commands and rollouts that are over, and events that are older than said, a bounded number
/// of each. Every host keeps its newest command. Returns how many rows went; 0: all done.
pub(crate) fn prune(
    conn: &Connection,
    now: Timestamp,
    commands: Duration,
    events: Duration,
) -> Result<usize, StoreError> {
    let before = |age: Duration| {
        now.shifted(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX)).as_millis()
    };
    let gone = conn.execute(
        "DELETE FROM commands WHERE id IN (
             SELECT c.id FROM commands c
             WHERE c.live = 0 AND c.finished_at < ?1
               AND c.id < (SELECT max(id) FROM commands WHERE host_id = c.host_id)
             LIMIT ?2)",
        params![before(commands), STEP],
    )?;
    let events = chain::prune(conn, Timestamp::from_millis(before(events)), STEP)?;
    let rollouts = conn.execute(
        "DELETE FROM rollouts WHERE id IN
             (SELECT id FROM rollouts WHERE live = 0 AND finished_at < ?1 LIMIT ?2)",
        params![before(commands), STEP],
    )?;
    Ok(gone + events + rollouts)
}
