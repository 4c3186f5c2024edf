//! Stored, then true: what SQLite cannot write has not happened, whoever asks or says it
//! (invariant of docs/ARCHITECTURE.md, "A host's state").

use crate::support::{Client, ConfigRepo, Dashboard, OldAgent, wait_until};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Another program that holds the database's only lock for writing.
struct Lock(Connection);

impl Lock {
    fn on(dashboard: &Dashboard) -> Self {
        let path = dashboard.dir.path().join("nixfleet.db");
        let conn = Connection::open(path).unwrap();
        conn.busy_timeout(Duration::from_secs(30)).unwrap();
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(conn)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

fn shown(user: &Client, host: &str) -> Value {
    let mut host = user.get(&format!("/api/hosts/{host}")).json();
    // The link and the load are shown before they are stored.
    for volatile in ["last_seen", "metrics", "online", "update_status"] {
        host.as_object_mut().unwrap().remove(volatile);
    }
    host
}

/// Findings B1 and 26: a setting that was not stored was answered with 200 and shown.
#[test]
fn while_sqlite_is_locked_every_change_is_503_and_nothing_of_it_is_shown() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.heartbeat();
    user.wait_for_online("web");
    let before = shown(&user, "web");
    let lock = Lock::on(&dashboard);
    let answers = [
        user.patch("/api/hosts/web", &json!({ "location": "work" })),
        user.post("/api/hosts/web/commands", &json!({ "op": "pull" })),
        user.post("/api/hosts", &json!({ "hostname": "db" })),
        user.delete("/api/hosts/web"),
        user.post("/api/rollouts", &json!({ "op": "update", "hosts": ["web"] })),
        user.post("/api/tokens", &json!({ "name": "t" })),
    ];
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 503, "change {number}: {answer:?}");
    }
    assert_eq!(shown(&user, "web"), before);
    assert_eq!(user.get("/api/hosts/db").status, 404);
    assert_eq!(user.get("/api/rollouts").json(), json!([]));
    lock.release();
    // And it was not done later either.
    let set = user.patch("/api/hosts/web", &json!({ "device_type": "laptop" }));
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(set.json()["device_type"], "laptop");
    assert_eq!(set.json()["location"], before["location"]);
    assert_eq!(user.get("/api/hosts/web/commands").json(), json!([]));
}

/// Finding 4: after one failed write the host stayed online for ever, its command without a
/// deadline.
#[test]
fn a_link_that_ends_while_sqlite_is_locked_is_seen_to_be_gone() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.lock_hash = Some("a".repeat(64));
    agent.heartbeat();
    user.wait_for_online("web");
    let id = user.start("web", "switch");
    agent.expect_command("switch");
    agent.pending = Some("switch".to_owned());
    agent.heartbeat();
    user.wait_for_state(&id, "running");
    let lock = Lock::on(&dashboard);
    // A fact changes: this has to be stored, and cannot be.
    agent.lock_hash = Some("b".repeat(64));
    agent.heartbeat();
    agent.hang_up();
    user.wait_for_offline("web");
    lock.release();
    user.wait_for_offline("web");
    let refused = user.post("/api/hosts/web/commands", &json!({ "op": "pull" }));
    assert_eq!(refused.status, 409, "{refused:?}");
}

/// What a 3.x agent says it never says again: it waits for SQLite, in its order.
#[test]
fn the_outcome_of_a_3x_agent_outlives_a_database_that_cannot_be_written() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.heartbeat();
    user.wait_for_online("web");
    let id = user.start("web", "test");
    agent.expect_command("test");
    agent.pending = Some("test".to_owned());
    agent.heartbeat();
    user.wait_for_state(&id, "running");
    let lock = Lock::on(&dashboard);
    agent.output("the only line");
    agent.status("error", "test", 3, "command failed");
    agent.pending = None;
    agent.heartbeat();
    // Asked while it waits: nothing is pretended.
    let asked = user.post("/api/hosts/web/commands", &json!({ "op": "pull" }));
    assert_eq!(asked.status, 503, "{asked:?}");
    assert_eq!(user.command(&id)["state"], "running");
    lock.release();
    let ended = user.wait_for_state(&id, "failed");
    assert_eq!(ended["exit_code"], 3);
    assert_eq!(user.output(&id), ["the only line"]);
}

/// Findings 19 and B9: late facts of a host that was removed brought it back as a ghost.
#[test]
fn a_host_that_is_removed_while_its_facts_change_stays_removed() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    for round in 0..12 {
        let name = format!("ghost{round}");
        let mut agent = OldAgent::join(&dashboard.url, &name, &repo.head());
        user.wait_for_online(&name);
        for change in 0..30 {
            agent.lock_hash = Some(format!("{change:064x}"));
            agent.heartbeat();
        }
        assert_eq!(user.delete(&format!("/api/hosts/{name}")).status, 204);
        assert_eq!(user.get(&format!("/api/hosts/{name}")).status, 404);
    }
    let page = user.get("/").text;
    assert!(!page.contains("host-ghost"), "a removed host is on the page");
    let stored = Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    let hosts: i64 = stored.query_row("SELECT count(*) FROM hosts", [], |row| row.get(0)).unwrap();
    assert_eq!(hosts, 0);
}

/// Finding B9: a snapshot said "idle" while the host was already busy.
#[test]
fn a_busy_host_is_not_removed() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.heartbeat();
    user.wait_for_online("web");
    user.start("web", "pull");
    let refused = user.delete("/api/hosts/web");
    assert_eq!((refused.status, refused.code().as_str()), (409, "host_busy"), "{refused:?}");
    assert_eq!(user.get("/api/hosts/web").status, 200);
}

/// Finding B2: two users, two fields, one moment: both stay.
#[test]
fn settings_of_two_users_at_one_moment_both_stay() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    assert_eq!(user.post("/api/hosts", &json!({ "hostname": "web" })).status, 201);
    for round in 0..30 {
        let (place, colour) = (["home", "work"][round % 2], format!("#{round:06x}"));
        let change = |body: Value| {
            let user = user.clone();
            std::thread::spawn(move || user.patch("/api/hosts/web", &body).status)
        };
        let both = [change(json!({ "location": place })), change(json!({ "theme_color": colour }))];
        for one in both {
            assert_eq!(one.join().unwrap(), 200);
        }
        let host = user.get("/api/hosts/web").json();
        assert_eq!((&host["location"], &host["theme_color"]), (&json!(place), &json!(colour)));
    }
}

/// Page B6: after a restart every offline host said "never seen".
#[test]
fn a_dashboard_that_was_killed_still_knows_when_an_offline_host_was_seen() {
    let repo = ConfigRepo::new();
    let mut dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.heartbeat();
    user.wait_for_online("web");
    agent.hang_up();
    user.wait_for_offline("web");
    let before = user.get("/api/hosts/web").json()["last_seen"].clone();
    let seen = OffsetDateTime::parse(before.as_str().unwrap(), &Rfc3339).unwrap();
    let seen = i64::try_from(seen.unix_timestamp_nanos() / 1_000_000).unwrap();
    let stored = Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    wait_until("last seen is stored", || {
        let at: Option<i64> =
            stored.query_row("SELECT last_seen FROM hosts", [], |row| row.get(0)).unwrap();
        if at == Some(seen) { Ok(()) } else { Err(format!("{at:?}, not {seen}")) }
    });
    dashboard.kill_9();
    dashboard.start_again();
    let user = dashboard.login();
    assert_eq!(user.get("/api/hosts/web").json()["last_seen"], before);
}
