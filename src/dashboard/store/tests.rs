use super::*;
use crate::domain::command::{Baseline, Command, State};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::{Args, Operation};
use crate::protocol::{Line, Stream};
use proptest::prelude::*;
use std::sync::mpsc;

fn wait<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    actix_rt::System::new().block_on(future)
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(in crate::dashboard) fn host_record(name: &str) -> hosts::HostRecord {
    hosts::HostRecord {
        id: HostId::parse(name).unwrap(),
        profile: crate::domain::profile::HostProfile {
            hostname: name.into(),
            ..Default::default()
        },
        facts: Default::default(),
        last_seen: None,
        created_at: Timestamp::from_secs(1),
    }
}

pub(in crate::dashboard) fn command(host: &str, state: State) -> Command {
    Command {
        id: CommandId(uuid::Uuid::now_v7()),
        host: HostId::parse(host).unwrap(),
        op: Operation::Switch,
        args: Args::default(),
        state,
        requested_by: crate::domain::audit::Author::Admin,
        created_at: Timestamp::from_secs(1),
        sent_at: None,
        finished_at: state.is_terminal().then(|| Timestamp::from_secs(2)),
        deadline: None,
        offline_since: None,
        verified_by: None,
        missed: 0,
        exit_code: None,
        reason: None,
        miss: None,
        stop_by: None,
        time_limit: std::time::Duration::from_secs(60),
        slow: false,
        progress: None,
        output_lines: 0,
        baseline: Baseline::default(),
    }
}

fn memory() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(include_str!("../../../schema.sql")).unwrap();
    conn.pragma_update(None, "foreign_keys", true).unwrap();
    conn
}

fn lines(texts: &[&str]) -> Vec<Line> {
    texts.iter().map(|t| Line { stream: Stream::Stdout, text: (*t).to_owned() }).collect()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = temp();
    let store = Store::open(dir.path()).unwrap();
    let host = host_record("a");
    let saved = host.clone();
    wait(store.write(move |conn| hosts::insert(conn, &saved))).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.read_blocking(hosts::load_all).unwrap(), [host]);
}

#[test]
fn the_database_is_private_and_in_wal_mode() {
    let dir = temp();
    let store = Store::open(&dir.path().join("new")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("new").join(FILE_NAME)), 0o600);
    assert_eq!(mode(&dir.path().join("new")), 0o700);
    let journal: String = store
        .read_blocking(|c| Ok(c.query_row("PRAGMA journal_mode", [], |row| row.get(0))?))
        .unwrap();
    assert_eq!(journal, "wal");
}

#[test]
fn a_write_that_fails_undoes_only_itself() {
    let dir = temp();
    let store = Store::open(dir.path()).unwrap();
    // The first write holds the thread until all three are queued, so they share a group.
    let (go, gate) = mpsc::channel::<()>();
    let first = store.write(move |conn| {
        gate.recv().unwrap();
        settings::set(conn, "first", "1")
    });
    let second = store.write(|conn| {
        settings::set(conn, "second", "1")?;
        Err::<(), _>(StoreError::Corrupt("on purpose".into()))
    });
    let third = store.write(|conn| settings::set(conn, "third", "1"));
    go.send(()).unwrap();
    let all = async { Ok((first.await, second.await, third.await)) };
    let (first, second, third) = wait(all).unwrap();
    assert!(first.is_ok() && second.is_err() && third.is_ok());
    let get = |key| store.read_blocking(|conn| settings::get(conn, key)).unwrap();
    assert_eq!(
        (get("first"), get("second"), get("third")),
        (Some("1".into()), None, Some("1".into()))
    );
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let dir = temp();
    drop(Store::open(dir.path()).unwrap());
    let path = dir.path().join(FILE_NAME);
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = temp();
    let path = dir.path().join(FILE_NAME);
    let rubbish = b"this is not a database, it is a letter to my aunt".repeat(100);
    fs::write(&path, &rubbish).unwrap();
    let error = Store::open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), rubbish);
}

#[test]
fn a_full_disk_is_an_error_of_the_write_and_not_the_end() {
    let dir = temp();
    let store = Store::open(dir.path()).unwrap();
    let pages = wait(store.write(|conn| {
        let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(pages)
    }))
    .unwrap();
    let big = "x".repeat(1 << 20);
    let failed = wait(store.write(move |conn| settings::set(conn, "big", &big)));
    assert!(failed.is_err());
    wait(store.write(move |conn| {
        Ok(conn.query_row(&format!("PRAGMA max_page_count = {}", pages + 1000), [], |_| Ok(()))?)
    }))
    .unwrap();
    wait(store.write(|conn| settings::set(conn, "small", "x"))).unwrap();
    assert_eq!(store.read_blocking(|c| settings::get(c, "big")).unwrap(), None);
}

#[test]
fn commands_are_found_by_life_and_by_host() {
    let conn = memory();
    for name in ["a", "b"] {
        hosts::insert(&conn, &host_record(name)).unwrap();
    }
    let running = command("a", State::Running);
    let over = command("a", State::Failed);
    let other = command("b", State::Succeeded);
    for c in [&running, &over, &other] {
        commands::save(&conn, c).unwrap();
    }
    assert_eq!(commands::live(&conn).unwrap(), std::slice::from_ref(&running));
    let a = HostId::parse("a").unwrap();
    assert_eq!(commands::history(&conn, &a, 10, None).unwrap(), [over.clone(), running.clone()]);
    assert_eq!(commands::history(&conn, &a, 10, Some(over.id)).unwrap(), [running]);
    let mut latest = commands::latest_per_host(&conn).unwrap();
    latest.sort_by_key(|c| c.host.clone());
    assert_eq!(latest, [over, other]);
    hosts::remove(&conn, &a).unwrap();
    assert_eq!(commands::history(&conn, &a, 10, None).unwrap(), []);
}

#[test]
fn a_command_is_never_taken_over_by_another_host() {
    let conn = memory();
    for name in ["a", "b"] {
        hosts::insert(&conn, &host_record(name)).unwrap();
    }
    let mine = command("a", State::Running);
    commands::save(&conn, &mine).unwrap();
    let theirs = Command { host: HostId::parse("b").unwrap(), ..mine.clone() };
    commands::save(&conn, &theirs).unwrap();
    assert_eq!(commands::get(&conn, mine.id).unwrap(), Some(mine));
}

#[test]
fn transitions_keep_their_order() {
    let conn = memory();
    hosts::insert(&conn, &host_record("a")).unwrap();
    let c = command("a", State::Running);
    commands::save(&conn, &c).unwrap();
    let story: Vec<_> = [State::Sent, State::Running, State::Lost]
        .into_iter()
        .map(|state| transitions::TransitionRecord {
            at: Timestamp::from_secs(5),
            state,
            reason: Some(state.name().to_owned()),
        })
        .collect();
    for transition in &story {
        transitions::append(&conn, c.id, transition).unwrap();
    }
    assert_eq!(transitions::list(&conn, c.id).unwrap(), story);
}

#[test]
fn lines_that_come_twice_are_stored_once() {
    let conn = memory();
    hosts::insert(&conn, &host_record("a")).unwrap();
    let c = command("a", State::Running);
    commands::save(&conn, &c).unwrap();
    assert_eq!(output::append(&conn, c.id, 1, &lines(&["one", "two"])).unwrap(), 2);
    assert_eq!(output::append(&conn, c.id, 1, &lines(&["one", "two", "three"])).unwrap(), 3);
    assert_eq!(output::append(&conn, c.id, 2, &lines(&["two"])).unwrap(), 3);
    let all = output::read(&conn, c.id, 0, 100).unwrap();
    let texts: Vec<(u64, &str)> = all.iter().map(|(n, l)| (*n, l.text.as_str())).collect();
    assert_eq!(texts, [(1, "one"), (2, "two"), (3, "three")]);
    let tail = output::tail(&conn, c.id, 2, None).unwrap();
    assert_eq!(tail.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 3]);
}

proptest! {
    #[test]
    fn output_comes_back_as_it_was_however_it_was_cut(
        texts in prop::collection::vec("[^\n]{0,20}", 0..40),
        cuts in prop::collection::vec(1_usize..10, 1..20),
        after in 0_u64..50,
    ) {
        let conn = memory();
        hosts::insert(&conn, &host_record("a")).unwrap();
        let c = command("a", State::Running);
        commands::save(&conn, &c).unwrap();
        let all: Vec<Line> = texts.iter().enumerate().map(|(n, text)| Line {
            stream: if n % 3 == 0 { Stream::Stderr } else { Stream::Stdout },
            text: text.clone(),
        }).collect();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            if at >= all.len() { break; }
            let end = (at + cut).min(all.len());
            output::append(&conn, c.id, at as u64 + 1, &all[at..end]).unwrap();
            at = end;
        }
        let expected: Vec<(u64, Line)> =
            (1..).zip(all).filter(|(seq, _)| *seq > after).collect();
        prop_assert_eq!(output::read(&conn, c.id, after, 1000).unwrap(), expected);
    }
}

#[test]
fn what_is_old_goes_and_the_newest_command_stays() {
    let conn = memory();
    hosts::insert(&conn, &host_record("a")).unwrap();
    let old = command("a", State::Succeeded);
    let newest = command("a", State::Succeeded);
    for c in [&old, &newest] {
        commands::save(&conn, c).unwrap();
    }
    let day = Duration::from_secs(86_400);
    let gone = retention::prune(&conn, Timestamp::from_secs(10 * 86_400), day, day).unwrap();
    assert_eq!(gone, 1);
    assert_eq!(commands::get(&conn, old.id).unwrap(), None);
    assert!(commands::get(&conn, newest.id).unwrap().is_some());
}
