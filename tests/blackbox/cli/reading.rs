//! Commands that only read: the fleet, logs, the audit log.

use super::{Fleet, Ran};
use crate::support::{PATIENCE, kill_9, wait_until};
use std::io::{BufRead, BufReader};
use std::sync::mpsc::channel;
use std::thread;

#[test]
fn status_says_how_the_fleet_is_and_what_each_host_needs() {
    let mut fleet = Fleet::new(&["db", "web"]);
    fleet.agents[0].kill_9();
    fleet.user.wait_for_offline("db");
    let status = fleet.run("status").ends_with_code(0).says("2 hosts: 2 needs action, 1 offline");
    let status = status.says("default: main at ").says("(something new), read at ");
    let line = |name: &str| status.out.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("db").contains("offline"), "{status:?}");
    assert!(line("web").contains("needs action") && line("web").contains("Git: "), "{status:?}");
    fleet.run("status --check").ends_with_code(1);
    let json = fleet.run("status --json").ends_with_code(0).json();
    assert_eq!(json["counts"]["needs_action"], 2, "{json}");
    assert_eq!(json["counts"]["offline"], 1, "{json}");
    assert_eq!(json["hosts"][1]["standing"], "needs-action", "{json}");
    assert_eq!(json["sources"][0]["state"], "known", "{json}");
}

#[test]
fn hosts_shows_the_rows_that_the_page_shows() {
    let fleet = Fleet::new(&["db", "web"]);
    fleet.user.wait_for_row("web", "ok out ok out unk");
    let hosts = fleet.run("hosts").ends_with_code(0);
    let row: Vec<&str> = hosts.out.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row, ["web", "online", "ok", "outdated", "ok", "outdated", "unknown"]);
    fleet.user.wait_for_saying("web", "git", "1 commit behind");
    let one = fleet.run("hosts web").ends_with_code(0).says("1 commit behind");
    assert!(!one.out.lines().any(|line| line.starts_with("db ")), "{one:?}");
    // The page and the command are read one after the other, and the row is checked all the time.
    wait_until("both say the same", || {
        let json = fleet.run("hosts --json").ends_with_code(0).json();
        assert_eq!(json[0]["host_id"], "db");
        let (told, shown) = (&json[1]["update_status"], &fleet.user.host("web")["update_status"]);
        if told == shown { Ok(()) } else { Err((told.clone(), shown.clone())) }
    });
}

#[test]
fn a_log_is_followed_to_its_end_and_the_exit_code_is_that_of_the_command() {
    let fleet = Fleet::new(&["web"]);
    fleet.run("logs web").ends_with_code(3).complains("has had no command yet");
    fleet.agents[0].set("gate");
    let id = fleet.user.start("web", "switch");
    let mut following = fleet.start("logs web --follow");
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map_while(Result::ok);
    // It comes while the command runs: the gate is still closed.
    let seen: Vec<String> =
        lines.by_ref().take_while(|line| line != "waiting at the gate").collect();
    assert!(seen.iter().any(|line| line == "before 10"), "{seen:?}");
    fleet.agents[0].set("go");
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.starts_with("Done.")), "{rest:?}");
    let ended = Ran::from(following.wait_with_output().unwrap()).ends_with_code(0);
    ended.complains("switch succeeded");
    let whole = fleet.run(&format!("logs {id}")).ends_with_code(0);
    assert_eq!(whole.out.lines().map(str::to_owned).collect::<Vec<_>>(), fleet.user.output(&id));
    let last = fleet.run("logs web -n 2").ends_with_code(0);
    assert_eq!(last.out.lines().count(), 2, "{last:?}");
    assert!(whole.out.ends_with(&last.out), "{last:?}");
    let json = fleet.run("logs web --json -n 1").ends_with_code(0).json();
    assert!(json["text"].as_str().unwrap().starts_with("Done."), "{json}");
}

#[test]
fn events_are_told_from_the_oldest_and_followed() {
    let fleet = Fleet::new(&["web"]);
    fleet.run("pull web --wait").ends_with_code(0);
    let events = fleet.run("events --host web --category command").ends_with_code(0);
    let line = events.out.lines().find(|line| line.contains("(by token cli)"));
    assert!(line.is_some_and(|line| line.contains(" command web: ")), "{events:?}");
    let json = fleet.run("events --json -n 3").ends_with_code(0).json();
    let ids: Vec<i64> =
        json.as_array().unwrap().iter().map(|e| e["id"].as_i64().unwrap()).collect();
    assert!(ids.len() == 3 && ids.is_sorted(), "{json}");
    let mut following = fleet.start("events -f -n 1 --category command");
    let lines = BufReader::new(following.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (tell, told) = channel();
    let reader = thread::spawn(move || lines.for_each(|line| tell.send(line).unwrap_or_default()));
    told.recv_timeout(PATIENCE).expect("the last entry");
    fleet.run("switch web --wait").ends_with_code(0);
    let new =
        wait_until("the new entry is told", || told.try_recv().map_err(|error| error.to_string()));
    assert!(new.contains("web") && new.contains("(by token cli)"), "{new}");
    kill_9(&mut following);
    reader.join().unwrap();
}
