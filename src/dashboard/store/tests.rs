use super::*;
use crate::domain::command::{Baseline, Command, State};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::moment::Uptime;
use crate::domain::operation::{Args, Operation};
use crate::domain::terminal::plain;
use crate::protocol::{Line, Stream};
use proptest::prelude::*;
use std::sync::mpsc;
use std::time::{Duration, Instant};

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
        asked: Uptime::default(),
        timer: None,
        at_most: None,
        gone_since: None,
        missed: 0,
        exit_code: None,
        reason: None,
        miss: None,
        blocked_by: Vec::new(),
        over_freeze: None,
        kept_back: None,
        stop_by: None,
        out_of_time: false,
        returned: None,
        interrupted: false,
        ended_with: None,
        time_limit: std::time::Duration::from_secs(60),
        slow: false,
        phase: None,
        guarded: false,
        progress: None,
        output_lines: 0,
        reached: true,
        built: None,
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
    hosts::remove(&conn, &a, Timestamp::from_secs(1)).unwrap();
    assert!(hosts::removed(&conn).unwrap().into_iter().eq([a.clone()]));
    assert_eq!(commands::history(&conn, &a, 10, None).unwrap(), []);
    hosts::insert(&conn, &host_record("a")).unwrap();
    assert!(hosts::removed(&conn).unwrap().is_empty());
}

/// Finding 24: ids are made by the machine's clock, which anybody can set.
#[test]
fn commands_are_read_in_the_order_in_which_they_were_stored_whatever_their_ids_say_24() {
    let conn = memory();
    hosts::insert(&conn, &host_record("a")).unwrap();
    let earlier = command("a", State::Failed);
    let mut later = command("a", State::Succeeded);
    // The clock was set back in between.
    later.id = CommandId(uuid::Uuid::from_u128(1));
    for c in [&earlier, &later, &earlier] {
        commands::save(&conn, c).unwrap();
    }
    let a = HostId::parse("a").unwrap();
    let read = |before| commands::history(&conn, &a, 10, before).unwrap();
    assert_eq!(read(None), [later.clone(), earlier.clone()]);
    assert_eq!(read(Some(later.id)), [earlier]);
    assert_eq!(commands::latest_per_host(&conn).unwrap(), [later]);
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
        let (conn, id, all) = stored(&texts, &cuts);
        let expected: Vec<(u64, Line)> =
            (1..).zip(all).filter(|(seq, _)| *seq > after).collect();
        prop_assert_eq!(output::read(&conn, id, after, 1000).unwrap(), expected);
    }

    /// Lines are passed over many at a time where none can be meant; nobody notices.
    #[test]
    fn a_search_finds_the_last_lines_that_show_the_text_and_no_others(
        texts in prop::collection::vec("([abAB Ä\t\r\u{202e}]|\u{1b}\\[1m|\u{8}){0,6}", 0..60),
        cuts in prop::collection::vec(1_usize..20, 1..10),
        wanted in "[abÄ]{1,2}",
        count in 1_usize..20,
    ) {
        let (conn, id, all) = stored(&texts, &cuts);
        let shows = |line: &Line| plain(&line.text).to_lowercase().contains(&wanted.to_lowercase());
        let mut expected: Vec<_> = (1..).zip(all).filter(|(_, line)| shows(line)).collect();
        expected.drain(..expected.len().saturating_sub(count));
        let until = Instant::now() + Duration::from_secs(3600);
        let found = output::search(&conn, id, &wanted, count, until).unwrap();
        prop_assert_eq!(found, (expected, true));
    }
}

/// A command with these lines as its output, stored in pieces of these sizes.
fn stored(texts: &[String], cuts: &[usize]) -> (Connection, CommandId, Vec<Line>) {
    let conn = memory();
    hosts::insert(&conn, &host_record("a")).unwrap();
    let c = command("a", State::Running);
    commands::save(&conn, &c).unwrap();
    let line = |(n, text): (usize, &String)| Line {
        stream: if n.is_multiple_of(3) { Stream::Stderr } else { Stream::Stdout },
        text: text.clone(),
    };
    let all: Vec<Line> = texts.iter().enumerate().map(line).collect();
    let mut at = 0;
    for cut in cuts.iter().cycle() {
        if at >= all.len() {
            break;
        }
        let end = (at + cut).min(all.len());
        output::append(&conn, c.id, at as u64 + 1, &all[at..end]).unwrap();
        at = end;
    }
    (conn, c.id, all)
}

/// Finding 9 of the security review.
#[test]
fn of_too_much_output_the_middle_goes_and_the_log_says_so_9() {
    let conn = memory();
    hosts::insert(&conn, &host_record("h")).unwrap();
    let command = command("h", State::Running);
    commands::save(&conn, &command).unwrap();
    let (most, mut events) = (40_000, 0);
    for n in 1..=1000 {
        let text = format!("line {n} {}", "x".repeat(500));
        output::append(&conn, command.id, n, &lines(&[&text])).unwrap();
        if output::size(&conn, command.id).unwrap() > most {
            let (size, is_first) = output::leave_out_the_middle(&conn, command.id, most).unwrap();
            assert_eq!(size, output::size(&conn, command.id).unwrap());
            assert!(size <= most, "{size}");
            events += u32::from(is_first);
        }
    }
    let kept = output::read(&conn, command.id, 0, 10_000).unwrap();
    let said: Vec<_> = kept.iter().filter(|(_, line)| line.text.contains("left out")).collect();
    assert_eq!((said.len(), events), (1, 1));
    assert!(kept[0].1.text.starts_with("line 1 ") && kept[20].1.text.starts_with("line 21 "));
    let last = kept.last().unwrap();
    assert!(last.0 == 1000 && last.1.text.starts_with("line 1000 "));
    // Each line is there or counted.
    let gone: usize = said[0].1.text.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert_eq!(gone + kept.len() - 1, 1000);
    assert!(kept.is_sorted_by_key(|(seq, _)| *seq));
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

/// Finding 4 of the security review.
#[test]
fn whoever_searches_keeps_no_reader_from_others_4() {
    let dir = temp();
    let store = Store::open(dir.path()).unwrap();
    let read = wait(async {
        let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let mut ends = Vec::new();
        for _ in 0..2 * READERS {
            let (store, begins) = (store.clone(), begins.clone());
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            actix_rt::spawn(async move {
                let search = store.search(move |_| {
                    let _ = begins.send(());
                    let _ = ended.recv();
                    Ok(())
                });
                let _ = search.await;
            });
        }
        begun.recv().await;
        let mut read = Ok(());
        for _ in 0..100 {
            read = read.and(store.read(|_| Ok(())).await);
        }
        drop(ends);
        read
    });
    assert!(read.is_ok(), "{read:?}");
}
