//! The life of commands and links on real processes: phases, clocks, takeovers, names that were
//! removed. The numbers are those of the findings that the tests come from.

use crate::support::{Agent, Client, ConfigRepo, Dashboard, OldAgent, StandIn, wait_until};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use std::fs;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Finding 42: whether a switch may be stopped for its time depends on whether it still builds.
#[test]
fn an_agent_tells_that_a_switch_builds_and_when_it_begins_to_activate_42() {
    let (repo, standin) = (ConfigRepo::new(), StandIn::new());
    let agent = Agent::start(&standin.url, "web", &repo.remote());
    standin.knows_the_checkout();
    let run = agent.dir.path().join("root/run/nixos");
    fs::create_dir_all(&run).unwrap();
    let lock = fs::File::create(run.join("switch-to-configuration.lock")).unwrap();
    agent.set("gate");
    let id = standin.command("switch");
    standin.hears_line(&id, "waiting at the gate");
    let phase = |wanted: &'static str| {
        standin.hears("command_phase", |told| told["command_id"] == *id && told["phase"] == wanted)
    };
    phase("build");
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e).unwrap();
    phase("activate");
    drop(lock);
    agent.set("go");
    assert_eq!(standin.outcome(&id)["status"], "ok");
    assert_eq!(standin.all("command_phase").len(), 2);
    let back = standin.command("rollback");
    standin
        .hears("command_phase", |told| told["command_id"] == *back && told["phase"] == "activate");
}

/// Asks for a pull; answers the status and the code of the refusal, if it is one.
fn pull(user: &Client, host: &str) -> (u16, String) {
    let answer = user.post(&format!("/api/hosts/{host}/commands"), &json!({ "op": "pull" }));
    let code = if answer.status == 202 { String::new() } else { answer.code() };
    (answer.status, code)
}

/// Finding 42: what is overdue ends, by whether it may be stopped.
#[test]
fn what_is_overdue_is_stopped_unless_it_activates_and_its_host_is_busy_while_it_goes_on_42() {
    let repo = ConfigRepo::new();
    let source = repo.remote();
    let dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", source.to_str().unwrap()),
        ("NIXFLEET_TIME_LIMITS", "test=1s,rollback=1s"),
    ]);
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.heartbeat();
    user.wait_for_online("web");
    // Tests change nothing on the host.
    let id = user.start("web", "test");
    agent.expect_command("test");
    agent.begin("test");
    agent.heartbeat();
    user.wait_for_state(&id, "overdue");
    agent.expect_command("stop");
    agent.status("stopped", "test", 130, "");
    agent.pending = None;
    agent.heartbeat();
    user.wait_for_state(&id, "timed_out");
    // A rollback may be activating: an agent of 3.x never says.
    wait_until("a rollback may be asked", || {
        let ask = json!({ "op": "rollback" });
        let answer = user.post("/api/hosts/web/commands", &ask);
        if answer.status == 202 { Ok(()) } else { Err(answer) }
    });
    agent.expect_command("rollback");
    agent.begin("rollback");
    agent.heartbeat();
    let host = wait_until("it has timed out", || {
        let host = user.host("web");
        if host["busy_with"] == "rollback" { Ok(host) } else { Err(host) }
    });
    assert_eq!(host["pending_command"], Value::Null);
    assert_eq!(pull(&user, "web"), (409, "host_busy".to_owned()));
    agent.heartbeat();
    assert_eq!(pull(&user, "web"), (409, "host_busy".to_owned()));
    agent.pending = None;
    agent.heartbeat();
    wait_until("it is free", || match pull(&user, "web") {
        (202, _) => Ok(()),
        refused => Err(refused),
    });
    // Nothing was sent to it in between: least of all a stop.
    agent.expect_command("pull");
}

/// Finding 37: a removed host was back within a second, by the shared token.
#[test]
fn the_name_of_a_removed_host_is_refused_until_somebody_adds_it_again_37() {
    let repo = ConfigRepo::new();
    let mut dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    agent.heartbeat();
    user.wait_for_online("web");
    assert_eq!(user.delete("/api/hosts/web").status, 204);
    assert_eq!(agent.expect_close().0, 1008);
    let token = crate::support::dashboard::TOKEN;
    let refused = |url: &str, token: &str, name: &str| {
        let mut agent = OldAgent::connect(url, token, name).unwrap();
        !agent.try_register()
    };
    assert!(refused(&dashboard.url, token, "web"));
    // However it is written, and also after a restart.
    assert!(refused(&dashboard.url, token, "WEB"));
    dashboard.kill_9();
    dashboard.start_again();
    assert!(refused(&dashboard.url, token, "web"));
    let user = dashboard.login();
    assert_eq!(user.get("/api/hosts/web").status, 404);
    // Another name is nobody's loss.
    assert!(!refused(&dashboard.url, token, "db"));
    let added = user.post("/api/hosts", &json!({ "hostname": "web" }));
    assert_eq!(added.status, 201, "{added:?}");
    let own = added.json()["token"].as_str().unwrap().to_owned();
    assert!(!refused(&dashboard.url, &own, "web"));
}

/// Finding 49: ten takeovers in nine seconds, and nobody was told.
#[test]
fn two_machines_with_one_name_are_an_event_and_a_notice_49() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &repo.head());
    let shared = || user.host("web")["shared_name_since"].clone();
    for takeover in 1..=3 {
        assert_eq!(shared(), Value::Null, "{takeover}");
        let newer = OldAgent::join(&dashboard.url, "web", &repo.head());
        assert_eq!(agent.expect_close().0, 4001, "{takeover}");
        agent = newer;
    }
    wait_until("it is noticed", || if shared().is_string() { Ok(()) } else { Err(shared()) });
    let events = user.get("/api/events?host=web").text;
    assert_eq!(events.matches("two machines").count(), 1, "{events}");
    assert!(user.get("/").text.contains("Two machines use this name"));
    assert!(user.get("/hosts/web").text.contains("Two machines use this name"));
}

/// Finding 49: of two agents the newer has the link, and the older leaves it alone for a while.
#[test]
fn of_two_agents_with_one_name_the_newer_has_the_link_and_the_older_pauses_49() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _older = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    let newer = Agent::prepare();
    newer.set("gate");
    let newer = newer.run(&format!(
        "NIXFLEET_URL={} NIXFLEET_TOKEN={} NIXFLEET_REPO_URL={} NIXFLEET_HOSTNAME=web NIXFLEET_LOCATION=cloud {} --agent",
        dashboard.url,
        crate::support::dashboard::TOKEN,
        repo.remote().display(),
        env!("CARGO_BIN_EXE_nixfleet"),
    ));
    let dir = newer.dir.path().join("state/repo/.git");
    wait_until("the newer one has the link and a checkout", || {
        let host = user.host("web");
        let newer = host["location"] == "cloud" && user.row("web").starts_with("ok ok");
        if newer && dir.exists() { Ok(()) } else { Err(host) }
    });
    let id = user.start("web", "switch");
    user.wait_for_line(&id, "waiting at the gate");
    newer.set("go");
    user.wait_for_state(&id, "succeeded");
    assert_eq!(user.host("web")["shared_name_since"], Value::Null, "one takeover is none");
}

/// Finding 27 and point 4: the clock of the dashboard's machine is set a day forward and a day
/// back, while it runs and across restarts, while commands are queued, running and verifying.
#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_is_set_by_a_day_ends_prolongs_and_reorders_nothing_27() {
    const DAY: i64 = 24 * 3600;
    let (repo, clock) = (ConfigRepo::new(), crate::support::SetClock::new());
    let source = repo.remote();
    let variables = clock.variables();
    let mut settings: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    settings.push(("NIXFLEET_SOURCE", source.to_str().unwrap()));
    let mut dashboard = Dashboard::start(&settings);
    let user = dashboard.login();
    let join = |dashboard: &Dashboard, name: &str, pending: Option<&str>| {
        let mut agent = OldAgent::join(&dashboard.url, name, &repo.head());
        agent.pending = pending.map(str::to_owned);
        agent.heartbeat();
        agent
    };
    join(&dashboard, "away", None).hang_up();
    user.wait_for_offline("away");
    let ask = json!({ "op": "pull", "queue": true });
    let queued = user.post("/api/hosts/away/commands", &ask).json();
    let queued = queued["command_id"].as_str().unwrap().to_owned();
    let mut busy = join(&dashboard, "busy", None);
    user.wait_for_online("busy");
    let running = user.start("busy", "switch");
    busy.expect_command("switch");
    busy.begin("switch");
    busy.heartbeat();
    user.wait_for_state(&running, "running");
    // A 3.x agent that has said that it is done, and not come back yet.
    let mut done = join(&dashboard, "done", None);
    user.wait_for_online("done");
    let verifying = user.start("done", "switch");
    done.expect_command("switch");
    done.begin("switch");
    done.heartbeat();
    done.status("ok", "switch", 0, "");
    user.wait_for_state(&verifying, "verifying");
    done.hang_up();
    user.wait_for_offline("done");

    let all_go_on = |user: &Client, what: &str| {
        for (id, state) in [(&queued, "queued"), (&running, "running"), (&verifying, "verifying")] {
            assert_eq!(user.command(id)["state"], state, "{what}");
        }
    };
    let mut newest = Vec::new();
    for (what, ahead) in [("a day forward", DAY), ("a day back", -DAY), ("as it was", 0)] {
        // While it runs, and then across a restart.
        clock.set(ahead);
        let user = dashboard.login();
        busy.heartbeat();
        all_go_on(&user, what);
        clock.set(ahead - 2 * ahead);
        dashboard.kill_9();
        clock.set(ahead);
        dashboard.start_again();
        let user = dashboard.login();
        // What a heartbeat brings about comes after all that time brings about at the start.
        busy = join(&dashboard, "busy", Some("switch"));
        user.wait_for_online("busy");
        all_go_on(&user, what);
        let seen = user.host("busy")["last_seen"].as_str().unwrap().to_owned();
        let seen = OffsetDateTime::parse(&seen, &Rfc3339).unwrap();
        let really = (seen - OffsetDateTime::now_utc()).whole_seconds() - ahead;
        assert!(really.abs() < 3600, "{what}: the clock was set, and that is shown: {seen}");
        // A command that is over is the last one, whatever its id says.
        let mut other = join(&dashboard, "other", None);
        user.wait_for_online("other");
        let id = user.start("other", "pull");
        other.expect_command("pull");
        other.end("pull", 1);
        user.wait_for_state(&id, "failed");
        newest.insert(0, id);
        let told = user.get("/api/hosts/other/commands").json();
        let told: Vec<&str> =
            told.as_array().unwrap().iter().map(|c| c["command_id"].as_str().unwrap()).collect();
        assert_eq!(told, newest, "{what}");
    }
    // And all of them end as they would have.
    let user = dashboard.login();
    busy.end("switch", 1);
    user.wait_for_state(&running, "failed");
    let _done = join(&dashboard, "done", None);
    user.wait_for_state(&verifying, "succeeded");
    let mut away = join(&dashboard, "away", None);
    away.expect_command("pull");
}
