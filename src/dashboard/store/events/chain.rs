//! The audit log is append-only, and who looks can see it: each entry carries a hash of itself and
//! of the entry before it. What retention removes is a beginning of the log; the hash of the last
//! entry that went is kept, and the chain goes on from there. Whoever can write the file can also
//! write a new chain: compare an exported hash from before.

use super::{COLUMNS, EventRecord, record};
use crate::dashboard::store::StoreError;
use crate::domain::ids::HostId;
use crate::domain::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// The number and the hash of the newest entry; of the last one that was removed, where there is
/// none.
pub(super) fn head(conn: &Connection) -> Result<(i64, [u8; 32]), StoreError> {
    let newest = conn
        .prepare_cached("SELECT id, hash FROM events ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    match newest {
        // A hash that somebody shortened is none: the next entry tells.
        Some((id, hash)) => Ok((id.max(used(conn)?), hash.try_into().unwrap_or_default())),
        None => {
            let (id, hash, _) = anchor(conn)?;
            Ok((id.max(used(conn)?), hash))
        }
    }
}

/// The last number that was ever given.
fn used(conn: &Connection) -> Result<i64, StoreError> {
    let seq = conn
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}

/// Number and hash of the last entry that was removed, and up to which number entries were there
/// before there was a chain.
fn anchor(conn: &Connection) -> Result<(i64, [u8; 32], i64), StoreError> {
    let (id, hash, began): (i64, Vec<u8>, i64) = conn
        .prepare_cached("SELECT id, hash, began FROM audit_anchor")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok((id, hash.try_into().unwrap_or_default(), began))
}

/// The hash of an entry that comes after the one with the hash `before`. Each text counts with
/// its length, so that none can be moved into the next.
pub(super) fn link(before: &[u8; 32], event: &EventRecord) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(event.id.to_be_bytes());
    hash.update(event.at.as_millis().to_be_bytes());
    for text in [
        event.host.as_ref().map(HostId::as_str),
        Some(&event.category),
        Some(&event.message),
        event.by.as_deref(),
        event.from.as_deref(),
        event.result.as_deref(),
    ] {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(text.unwrap_or_default());
    }
    // Entries of before had no such field.
    if let Some(command) = event.command {
        hash.update(command.0.as_bytes());
    }
    hash.finalize().into()
}

/// Removes the beginning of the log that is older than `cutoff`, at most `limit` entries. Answers
/// how many went.
pub(in crate::dashboard::store) fn prune(
    conn: &Connection,
    cutoff: Timestamp,
    limit: u32,
) -> Result<usize, StoreError> {
    // Up to the first entry that is not old: a clock that was set makes no gaps.
    let last: Option<(i64, Vec<u8>)> = conn
        .prepare_cached(
            "SELECT id, hash FROM
                 (SELECT id, hash FROM events
                  WHERE id < coalesce((SELECT min(id) FROM events WHERE at >= ?1), id + 1)
                  ORDER BY id LIMIT ?2)
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![cutoff.as_millis(), limit], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, hash)) = last else {
        return Ok(0);
    };
    conn.execute("UPDATE audit_anchor SET id = ?1, hash = ?2", params![id, hash])?;
    Ok(conn.execute("DELETE FROM events WHERE id <= ?1", [id])?)
}

/// Chains the entries that were there before there was a chain. Only a migration may: after it,
/// entries cannot be changed.
pub(in crate::dashboard::store) fn begin(conn: &Connection) -> Result<(), StoreError> {
    let entries = read_all(conn)?;
    let first = entries.first().map_or(used(conn)?, |event| event.id - 1);
    let mut before = [0; 32];
    for event in &entries {
        before = link(&before, event);
        conn.prepare_cached("UPDATE events SET hash = ?2 WHERE id = ?1")?
            .execute(params![event.id, before])?;
    }
    let began = used(conn)?;
    conn.execute("UPDATE audit_anchor SET id = ?1, began = ?2", params![first, began])?;
    Ok(())
}

/// Before there was a chain no entry named a command.
fn read_all(conn: &Connection) -> Result<Vec<EventRecord>, StoreError> {
    let columns = COLUMNS.replace("command_id", "NULL");
    conn.prepare(&format!("SELECT {columns} FROM events ORDER BY id"))?
        .query_map([], record)?
        .map(|row| Ok(row?))
        .collect()
}

/// What an audit log is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Each entry follows from the one before: so many of them.
    Whole(usize),
    /// It breaks: where, and how.
    Broken {
        /// The number of the first entry that is not right, or is missing.
        id: i64,
        /// When that entry says it was; `None` if it is missing.
        at: Option<Timestamp>,
        /// In words.
        why: &'static str,
    },
}

/// Looks at every entry.
pub(in crate::dashboard::store) fn verify(conn: &Connection) -> Result<Verdict, StoreError> {
    let (mut last, mut before, began) = anchor(conn)?;
    let broken = |id, at, why| Ok(Verdict::Broken { id, at, why });
    let mut count = 0;
    let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM events ORDER BY id"))?;
    for event in statement.query_map([], record)? {
        let event = event?;
        if event.id > began && event.id != last + 1 && last >= began {
            return broken(last + 1, None, "it is missing");
        }
        if event.id <= last {
            return broken(event.id, Some(event.at), "it was removed before, and came back");
        }
        if link(&before, &event) != event.hash {
            let why = "its hash is not that of what it says and of the entry before it";
            return broken(event.id, Some(event.at), why);
        }
        (last, before, count) = (event.id, event.hash, count + 1);
    }
    if used(conn)? > last.max(began) {
        return broken(last + 1, None, "it is missing, and all after it");
    }
    Ok(Verdict::Whole(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::store::events::{NewEvent, append};
    use crate::dashboard::store::migrations;
    use crate::domain::audit::{AuditCategory, Author};
    use crate::domain::ids::CommandId;
    use std::path::Path;
    use std::time::Duration;

    fn event(n: i64) -> NewEvent {
        NewEvent {
            at: Timestamp::from_secs(n * 60),
            host: HostId::parse("web").ok(),
            category: AuditCategory::Command,
            message: format!("Entry {n}."),
            by: Some(Author::Admin),
            from: Some("192.0.2.1".to_owned()),
            result: Some("done"),
            command: CommandId::parse("0198c0de-0000-7000-8000-000000000001").filter(|_| n != 4),
        }
    }

    fn log(entries: i64) -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrations::bring_up_to_date(&mut conn, Path::new("test.db")).unwrap();
        for n in 1..=entries {
            assert_eq!(append(&conn, &event(n)).unwrap(), n);
        }
        conn
    }

    /// As somebody would who can write the file.
    fn tamper(conn: &Connection, sql: &str) {
        conn.execute_batch(
            "DROP TRIGGER events_are_not_changed; DROP TRIGGER events_are_not_removed;",
        )
        .unwrap();
        conn.execute_batch(sql).unwrap();
    }

    fn broken_at(conn: &Connection) -> i64 {
        match verify(conn).unwrap() {
            Verdict::Broken { id, .. } => id,
            Verdict::Whole(_) => panic!("nothing is seen of it"),
        }
    }

    #[test]
    fn whatever_is_changed_in_the_log_is_seen_where_it_was_changed() {
        for (sql, at) in [
            ("UPDATE events SET message = 'Nothing.' WHERE id = 3", 3),
            ("UPDATE events SET at = at + 1 WHERE id = 3", 3),
            ("UPDATE events SET host_id = NULL WHERE id = 3", 3),
            ("UPDATE events SET category = 'host' WHERE id = 3", 3),
            ("UPDATE events SET by_whom = NULL WHERE id = 3", 3),
            ("UPDATE events SET from_where = '192.0.2.2' WHERE id = 3", 3),
            ("UPDATE events SET result = 'refused' WHERE id = 3", 3),
            ("UPDATE events SET command_id = NULL WHERE id = 3", 3),
            (
                "UPDATE events SET command_id = '0198c0de-0000-7000-8000-000000000002' WHERE id = 3",
                3,
            ),
            ("UPDATE events SET command_id = 'nonsense' WHERE id = 3", 3),
            ("UPDATE events SET command_id = upper(command_id) WHERE id = 3", 3),
            // Where there was none.
            ("UPDATE events SET command_id = 'nonsense' WHERE id = 4", 4),
            ("UPDATE events SET command_id = '' WHERE id = 4", 4),
            ("UPDATE events SET hash = zeroblob(32) WHERE id = 3", 3),
            ("UPDATE events SET by_whom = '', message = 'Entry 3.admin' WHERE id = 3", 3),
            ("DELETE FROM events WHERE id = 3", 3),
            ("DELETE FROM events WHERE id = 1", 1),
            ("DELETE FROM events WHERE id = 5", 5),
            ("DELETE FROM events", 1),
            (
                "UPDATE events SET id = 9 WHERE id = 3; UPDATE events SET id = 3 WHERE id = 4;
                 UPDATE events SET id = 4 WHERE id = 9",
                3,
            ),
        ] {
            let conn = log(5);
            assert_eq!(verify(&conn).unwrap(), Verdict::Whole(5));
            tamper(&conn, sql);
            assert_eq!(broken_at(&conn), at, "{sql}");
            // What comes after does not heal it.
            append(&conn, &event(6)).unwrap();
            assert_eq!(broken_at(&conn), at, "{sql}");
        }
    }

    /// Whoever can write the file can also count a hash: the entry after it was made after another.
    #[test]
    fn an_entry_that_was_changed_together_with_its_hash_is_seen_by_the_next_one() {
        let conn = log(5);
        let entry = |id: i64| {
            let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1");
            conn.query_row(&sql, [id], record).unwrap()
        };
        let changed = EventRecord { message: "Nothing.".to_owned(), ..entry(3) };
        let hash = link(&entry(2).hash, &changed);
        tamper(&conn, "UPDATE events SET message = 'Nothing.' WHERE id = 3");
        assert_eq!(broken_at(&conn), 3);
        conn.execute("UPDATE events SET hash = ?1 WHERE id = 3", [hash]).unwrap();
        assert_eq!(broken_at(&conn), 4);
    }

    #[test]
    fn the_program_itself_can_neither_change_nor_remove_an_entry() {
        let conn = log(3);
        for sql in ["UPDATE events SET message = ''", "DELETE FROM events WHERE id = 3"] {
            let refused = conn.execute_batch(sql).unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{refused}");
        }
    }

    #[test]
    fn retention_does_not_break_the_chain() {
        let conn = log(10);
        let cutoff = Timestamp::from_secs(5 * 60);
        assert_eq!(prune(&conn, cutoff, 3).unwrap(), 3);
        assert_eq!(verify(&conn).unwrap(), Verdict::Whole(7));
        assert_eq!(prune(&conn, cutoff, 3).unwrap(), 1);
        assert_eq!(prune(&conn, cutoff, 3).unwrap(), 0);
        assert_eq!(verify(&conn).unwrap(), Verdict::Whole(6));
        assert_eq!(prune(&conn, cutoff + Duration::from_secs(3600), 100).unwrap(), 6);
        assert_eq!(verify(&conn).unwrap(), Verdict::Whole(0));
        assert_eq!(append(&conn, &event(11)).unwrap(), 11);
        assert_eq!(verify(&conn).unwrap(), Verdict::Whole(1));
        tamper(&conn, "DELETE FROM events");
        assert_eq!(broken_at(&conn), 11);
    }

    #[test]
    fn an_entry_of_a_clock_that_was_ahead_makes_no_gap_in_the_log() {
        let conn = log(2);
        append(&conn, &NewEvent { at: Timestamp::from_secs(1_000_000), ..event(3) }).unwrap();
        append(&conn, &event(4)).unwrap();
        assert_eq!(prune(&conn, Timestamp::from_secs(500_000), 100).unwrap(), 2);
        assert_eq!(verify(&conn).unwrap(), Verdict::Whole(2));
    }
}
