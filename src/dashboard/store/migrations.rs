//! From whatever the file is to the schema of this program.
//!
//! `schema.sql` is the whole schema as it is now. A file of an older version is carried
//! there step by step; both ways end in the same schema, which a test proves.

use super::StoreError;
use super::events::chain;
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
    // 3 to 4: tokens with a scope and an end, sessions that can be told apart. Tokens of before could do
    // everything, and still can.
    "ALTER TABLE host_tokens RENAME TO host_tokens_3;
     DROP INDEX host_tokens_by_host;
     CREATE TABLE host_tokens (
         token_hash   BLOB PRIMARY KEY,
         host_id      TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
         created_at   INTEGER NOT NULL,
         expires_at   INTEGER,
         shared_until INTEGER
     ) STRICT;
     CREATE INDEX host_tokens_by_host ON host_tokens (host_id);
     INSERT INTO host_tokens (token_hash, host_id, created_at)
         SELECT token_hash, host_id, created_at FROM host_tokens_3;
     DROP TABLE host_tokens_3;
     ALTER TABLE sessions RENAME TO sessions_3;
     CREATE TABLE sessions (
         token_hash   BLOB PRIMARY KEY,
         created_at   INTEGER NOT NULL,
         expires_at   INTEGER NOT NULL,
         last_used_at INTEGER NOT NULL,
         address      TEXT NOT NULL,
         browser      TEXT NOT NULL
     ) STRICT;
     INSERT INTO sessions SELECT token_hash, created_at, expires_at, created_at, '', '' FROM sessions_3;
     DROP TABLE sessions_3;
     ALTER TABLE api_tokens RENAME TO api_tokens_3;
     CREATE TABLE api_tokens (
         token_hash   BLOB PRIMARY KEY,
         name         TEXT NOT NULL,
         scope        TEXT NOT NULL,
         created_at   INTEGER NOT NULL,
         expires_at   INTEGER,
         last_used_at INTEGER
     ) STRICT;
     INSERT INTO api_tokens (token_hash, name, scope, created_at)
         SELECT token_hash, name, 'admin', created_at FROM api_tokens_3;
     DROP TABLE api_tokens_3;",
    // 4 to 5: the audit log says from where and with what result, and is a chain.
    "ALTER TABLE events RENAME TO events_4;
     DROP INDEX events_by_host;
     DROP INDEX events_at;
     CREATE TABLE events (
         id         INTEGER PRIMARY KEY AUTOINCREMENT,
         at         INTEGER NOT NULL,
         host_id    TEXT,
         category   TEXT NOT NULL,
         message    TEXT NOT NULL,
         by_whom    TEXT,
         from_where TEXT,
         result     TEXT,
         hash       BLOB NOT NULL
     ) STRICT;
     CREATE INDEX events_by_host ON events (host_id, id DESC);
     CREATE INDEX events_at ON events (at);
     INSERT INTO events
         SELECT id, at, host_id, category, message, by_whom, NULL, NULL, zeroblob(32) FROM events_4;
     DELETE FROM sqlite_sequence WHERE name = 'events';
     INSERT INTO sqlite_sequence SELECT 'events', seq FROM sqlite_sequence WHERE name = 'events_4';
     DROP TABLE events_4;
     CREATE TABLE audit_anchor (
         id    INTEGER NOT NULL,
         hash  BLOB NOT NULL,
         began INTEGER NOT NULL
     ) STRICT;
     INSERT INTO audit_anchor VALUES (0, zeroblob(32), 0);",
    // 5 to 6: names that were removed, and commands in the order in which they were stored.
    "CREATE TABLE removed_hosts (
         id         TEXT PRIMARY KEY,
         removed_at INTEGER NOT NULL
     ) STRICT;
     DROP INDEX commands_by_host;
     CREATE INDEX commands_by_host ON commands (host_id);",
    // 6 to 7: what the notifier has not looked at yet.
    "CREATE TABLE notices (
         id          INTEGER PRIMARY KEY AUTOINCREMENT,
         kind        TEXT NOT NULL,
         notice_json TEXT NOT NULL
     ) STRICT;
     CREATE TRIGGER notice_of_a_command AFTER UPDATE OF state ON commands
     WHEN NEW.live = 0 AND NEW.state <> OLD.state AND NEW.op IN ('switch', 'pull-switch', 'rollback')
     BEGIN
         INSERT INTO notices (kind, notice_json) VALUES ('command', NEW.command_json);
     END;
     CREATE TRIGGER notice_of_a_rollout BEFORE INSERT ON rollouts
     WHEN NEW.finished_at IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM rollouts WHERE id = NEW.id AND finished_at IS NOT NULL
     )
     BEGIN
         INSERT INTO notices (kind, notice_json) VALUES ('rollout', NEW.rollout_json);
     END;
     CREATE TRIGGER notice_of_a_login AFTER INSERT ON events WHEN NEW.category = 'login'
     BEGIN
         INSERT INTO notices (kind, notice_json)
         VALUES ('login', json_object('at', NEW.at, 'message', NEW.message));
     END;",
    // 7 to 8: the audit log says which command an entry is about.
    "ALTER TABLE events ADD COLUMN command_id TEXT;",
];
/// The step that ends in this version has a second half, in Rust and then in SQL.
const CHAIN: i64 = 5;
const AFTER_CHAIN: &str = "CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
     BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
     CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
     WHEN OLD.id > (SELECT id FROM audit_anchor)
     BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;";

/// The version of `schema.sql`.
pub(super) fn current_version() -> i64 {
    1 + i64::try_from(STEPS.len()).unwrap_or(0)
}

/// Whether a database that is only read is of this program's version.
pub(super) fn is_current(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = current_version();
    if found == known {
        return Ok(());
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let reason = format!("it is of version {found}, the dashboard brings it to {known}");
    Err(StoreError::Unusable { path: path.to_owned(), reason })
}

/// Which version a database has, and which one this program knows. Refuses what is newer than this
/// program or no database of ours; changes nothing.
pub(super) fn look(conn: &Connection, path: &Path) -> Result<(i64, i64), StoreError> {
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
            let reason = "it belongs to another program; NixFleet 3 had its history in a file of \
                          this name, and that is not carried over"
                .to_owned();
            return Err(StoreError::Unusable { path: path.to_owned(), reason });
        }
    }
    Ok((found, known))
}

/// Makes or migrates the schema, in one transaction. Refuses, and leaves alone, what is
/// newer than this program or no database at all.
pub(super) fn bring_up_to_date(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let (found, known) = look(conn, path)?;
    let _: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if found == known {
        return Ok(());
    }
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if found == 0 {
        transaction.execute_batch(SCHEMA)?;
    } else {
        for (step, reached) in STEPS.iter().zip(2..).skip_while(|(_, reached)| *reached <= found) {
            transaction.execute_batch(step)?;
            if reached == CHAIN {
                chain::begin(&transaction)?;
                transaction.execute_batch(AFTER_CHAIN)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::Scope;
    use crate::domain::timestamp::Timestamp;

    /// What each table and index is made of, however it is indented.
    fn schema(conn: &Connection) -> Vec<String> {
        let mut statement = conn
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let words = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
        // A column that was added later stands behind a comma of its own.
        rows.map(|sql| words(sql.unwrap()).replace(" ,", ",").replace(" )", ")")).collect()
    }

    /// A database of version 3, or of version 1: with what it had in it.
    fn old(version: i64) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        // Today's schema without what the steps add.
        conn.execute_batch(SCHEMA).unwrap();
        conn.execute_batch(
            "DROP TABLE removed_hosts; DROP INDEX commands_by_host;
             CREATE INDEX commands_by_host ON commands (host_id, id DESC);
             DROP TABLE host_tokens; DROP TABLE sessions; DROP TABLE api_tokens;
             CREATE TABLE host_tokens (
                 token_hash BLOB PRIMARY KEY,
                 host_id    TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
                 created_at INTEGER NOT NULL
             ) STRICT;
             CREATE INDEX host_tokens_by_host ON host_tokens (host_id);
             CREATE TABLE sessions (
                 token_hash BLOB PRIMARY KEY,
                 created_at INTEGER NOT NULL,
                 expires_at INTEGER NOT NULL
             ) STRICT;
             CREATE TABLE api_tokens (
                 token_hash BLOB PRIMARY KEY,
                 name       TEXT NOT NULL,
                 created_at INTEGER NOT NULL
             ) STRICT;
             DROP TABLE events; DROP TABLE audit_anchor;
             CREATE TABLE events (
                 id       INTEGER PRIMARY KEY AUTOINCREMENT,
                 at       INTEGER NOT NULL,
                 host_id  TEXT,
                 category TEXT NOT NULL,
                 message  TEXT NOT NULL,
                 by_whom  TEXT
             ) STRICT;
             CREATE INDEX events_by_host ON events (host_id, id DESC);
             CREATE INDEX events_at ON events (at);
             INSERT INTO events VALUES (3, 1, 'web', 'host', 'Added.', 'admin'), (5, 2, NULL, 'login', 'In.', NULL),
                 (6, 3, NULL, 'login', 'Out.', NULL);
             DELETE FROM events WHERE id = 6;
             INSERT INTO hosts VALUES ('web', '{}', '{}', NULL, 1);
             INSERT INTO host_tokens VALUES (zeroblob(32), 'web', 1);
             INSERT INTO sessions VALUES (zeroblob(32), 2, 9000000000000);
             INSERT INTO api_tokens VALUES (zeroblob(32), 'ci', 3);",
        )
        .unwrap();
        // Triggers on tables that stay; the one of logins went with its table.
        conn.execute_batch(
            "DROP TABLE notices; DROP TRIGGER notice_of_a_command;
             DROP TRIGGER notice_of_a_rollout;",
        )
        .unwrap();
        if version == 1 {
            conn.execute_batch("DROP TABLE deployments; DROP TABLE rollouts").unwrap();
        }
        conn.pragma_update(None, "user_version", version).unwrap();
        conn
    }

    #[test]
    fn a_database_of_version_1_ends_in_the_schema_of_a_new_one() {
        let path = Path::new("test.db");
        let mut new = Connection::open_in_memory().unwrap();
        bring_up_to_date(&mut new, path).unwrap();
        for version in [1, 3] {
            let mut old = old(version);
            assert_ne!(schema(&old), schema(&new));
            bring_up_to_date(&mut old, path).unwrap();
            assert_eq!(schema(&old), schema(&new));
            let version: i64 = old.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            assert_eq!(version, current_version());
        }
    }

    #[test]
    fn tokens_and_sessions_of_before_stay_and_tokens_can_do_what_they_could() {
        let mut old = old(3);
        bring_up_to_date(&mut old, Path::new("test.db")).unwrap();
        let token = super::super::api_tokens::find(&old, &[0; 32]).unwrap().unwrap();
        assert_eq!((token.name.as_str(), token.scope), ("ci", Scope::Admin));
        assert_eq!((token.expires_at, token.last_used_at), (None, None));
        let session = super::super::sessions::find(&old, &[0; 32]).unwrap().unwrap();
        assert_eq!(session.expires_at, Timestamp::from_millis(9_000_000_000_000));
        let host = super::super::host_tokens::find(&old, &[0; 32], Timestamp::from_secs(1));
        let host = host.unwrap().unwrap();
        assert_eq!((host.host.as_str(), host.expires_at), ("web", None));
    }

    #[test]
    fn an_audit_log_of_before_becomes_a_chain_and_goes_on() {
        let mut old = old(3);
        bring_up_to_date(&mut old, Path::new("test.db")).unwrap();
        assert_eq!(chain::verify(&old).unwrap(), chain::Verdict::Whole(2));
        let event = super::super::events::NewEvent {
            at: Timestamp::from_secs(1),
            host: None,
            category: crate::domain::audit::AuditCategory::Login,
            message: "In.".to_owned(),
            by: None,
            from: None,
            result: None,
            command: None,
        };
        // No number is given twice.
        assert_eq!(super::super::events::append(&old, &event).unwrap(), 7);
        assert_eq!(chain::verify(&old).unwrap(), chain::Verdict::Whole(3));
    }
}
