//! From whatever the file is to the schema of this program.
//!
//! `schema.sql` is the whole schema as it is now. A file of an older version is carried
//! there step by step; both ways end in the same schema, which a test proves.

use super::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

const SCHEMA: &str = include_str!("../../../schema.sql");
/// What carries version n to n + 1, from version 1 on.
const STEPS: &[&str] = &[
    // 1 to 2: the history of what was deployed.
    "CREATE TABLE deployments (
         command_id  TEXT PRIMARY KEY,
         host_id     TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
         ended_at    INTEGER NOT NULL,
         deploy_json TEXT NOT NULL
     ) STRICT;
     CREATE INDEX deployments_by_host ON deployments (host_id, ended_at DESC);",
    // 2 to 3: rollouts.
    "CREATE TABLE rollouts (
         id           TEXT PRIMARY KEY,
         live         INTEGER NOT NULL,
         finished_at  INTEGER,
         rollout_json TEXT NOT NULL
     ) STRICT;
     CREATE INDEX rollouts_live ON rollouts (id) WHERE live = 1;",
];

/// The version of `schema.sql`.
pub(super) fn current_version() -> i64 {
    1 + i64::try_from(STEPS.len()).unwrap_or(0)
}

/// Makes or migrates the schema, in one transaction. Refuses, and leaves alone, what is
/// newer than this program or no database at all.
pub(super) fn bring_up_to_date(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let unusable = |error: rusqlite::Error| StoreError::Unusable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let known = current_version();
    let found: i64 =
        conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(unusable)?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let check: String =
        conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(unusable)?;
    if check != "ok" {
        return Err(StoreError::Unusable { path: path.to_owned(), reason: check });
    }
    if found == 0 {
        let tables: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables > 0 {
            let reason = "it belongs to another program".to_owned();
            return Err(StoreError::Unusable { path: path.to_owned(), reason });
        }
    }
    let _: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if found == known {
        return Ok(());
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if found == 0 {
        transaction.execute_batch(SCHEMA)?;
    } else {
        let done = usize::try_from(found - 1).unwrap_or(0);
        for step in &STEPS[done..] {
            transaction.execute_batch(step)?;
        }
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each table and index is made of, however it is indented.
    fn schema(conn: &Connection) -> Vec<String> {
        let mut statement = conn
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|sql| sql.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_database_of_version_1_ends_in_the_schema_of_a_new_one() {
        let path = Path::new("test.db");
        let mut new = Connection::open_in_memory().unwrap();
        bring_up_to_date(&mut new, path).unwrap();
        let mut old = Connection::open_in_memory().unwrap();
        // Version 1 is today's schema without what the steps add.
        old.execute_batch(SCHEMA).unwrap();
        old.execute_batch("DROP TABLE deployments; DROP TABLE rollouts; PRAGMA user_version = 1")
            .unwrap();
        assert_ne!(schema(&old), schema(&new));
        bring_up_to_date(&mut old, path).unwrap();
        assert_eq!(schema(&old), schema(&new));
        let version: i64 = old.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, current_version());
    }
}
