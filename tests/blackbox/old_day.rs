//! Days with hosts whose 3.x agents act as the installed ones do
//! (findings 3, 12, 16, 18, 25, 40, 44, 45, 47, 48, 51, 52, 62).

use crate::old_agent::lock_hash;
use crate::support::old_host::{Kind, LINUX, MACOS, OLD_MACOS, Pair, Plan};
use crate::support::{Agent, Client, ConfigRepo, Dashboard, OldHost, wait_until};
use serde_json::{Value, json};

struct Day {
    user: Client,
    host: OldHost,
    repo: ConfigRepo,
    dashboard: Dashboard,
}

/// What a 3.x agent says about a checkout at the head.
fn head(repo: &ConfigRepo) -> Pair {
    let commit = repo.head();
    (commit[..7].to_owned(), Some(lock_hash(repo)))
}

impl Day {
    fn begin(kind: Kind, own_clone: bool) -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let host = OldHost::start(&dashboard.url, "web", kind, own_clone, head(&repo));
        user.wait_for_online("web");
        let day = Self { user, host, repo, dashboard };
        day.wait_for_row("out ok ok");
        day
    }

    fn push(&self, text: &str) {
        self.repo.push_change(text);
        self.host.remote_is(head(&self.repo));
        self.wait_for_row("out out ok out");
    }

    /// Waits for the first compartments of the row.
    #[track_caller]
    fn wait_for_row(&self, row: &str) {
        wait_until(&format!("the row begins with {row}"), || {
            let now = self.user.row("web");
            if now.starts_with(row) { Ok(()) } else { Err((now, self.user.host("web"))) }
        });
    }

    #[track_caller]
    fn run(&self, op: &str, state: &str) -> Value {
        self.user.run("web", op, state)
    }

    /// A reboot, which wants to be confirmed.
    #[track_caller]
    fn reboot(&self) -> String {
        let asked = json!({ "op": "reboot", "args": { "confirmed": true } });
        let answer = self.user.post("/api/hosts/web/commands", &asked);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["command_id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn stop(&self, id: &str) {
        let answer = self.user.post(&format!("/api/commands/{id}/stop"), &json!({}));
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    fn commands(&self) -> Vec<Value> {
        let list = self.user.get("/api/hosts/web/commands?limit=500").json();
        list.as_array().unwrap().clone()
    }

    /// Every command was asked by somebody, and everybody knows how it ended.
    #[track_caller]
    fn nothing_is_phantom_or_lost(&self) {
        for command in self.commands() {
            assert_ne!(command["requested_by"], "agent", "nobody asked for it: {command:#}");
            assert_ne!(command["state"], "lost", "{command:#}");
            assert_ne!(command["state"], "unverified", "{command:#}");
        }
    }

    /// Heartbeats come and go, and nothing changes.
    #[track_caller]
    fn stays(&self, row: &str) {
        self.wait_for_row(row);
        let commands = self.commands().len();
        self.host.wait_for_beats(5);
        assert!(self.user.row("web").starts_with(row), "{:#}", self.user.host("web"));
        assert_eq!(self.commands().len(), commands, "{:#?}", self.commands());
    }
}

fn whole_day(kind: Kind, own_clone: bool) {
    let day = Day::begin(kind, own_clone);
    morning(&day);
    afternoon(&day);
    night(&day);
    day.nothing_is_phantom_or_lost();
    migrates(day);
}

/// A push, a pull, a switch, tests that fail and pass, and a switch that fails.
fn morning(day: &Day) {
    let (user, host) = (&day.user, &day.host);
    day.push("a change");
    day.run("pull", "succeeded");
    day.stays("out ok ok out");
    host.plan("switch", Plan::replaces("source-2", "binary-2"));
    day.run("switch", "succeeded");
    day.stays("out ok ok ok out");
    host.plan("test", Plan::fails(1, "no disk"));
    day.run("test", "failed");
    day.stays("out ok ok ok err");
    host.plan("test", Plan { lines: vec![("stdout", "fine".to_owned())], ..Plan::default() });
    day.run("test", "succeeded");
    day.stays("out ok ok ok ok");
    host.plan("switch", Plan::fails(1, "error: builder for x failed"));
    let failed = day.run("switch", "failed");
    assert_eq!(failed["reason"], "error: builder for x failed");
    day.stays("out ok ok err");
    assert_eq!(
        user.says("web", "system"),
        "Switch failed: error: builder for x failed (only a switch that succeeds clears this)"
    );
}

/// A switch that is stopped and asked for again at once, and tests that follow by themselves.
fn afternoon(day: &Day) {
    let (user, host) = (&day.user, &day.host);
    host.plan("switch", Plan::held());
    let stopped = user.start("web", "switch");
    user.wait_for_state(&stopped, "running");
    day.stop(&stopped);
    user.wait_for_state(&stopped, "stopped");
    host.plan("switch", Plan::replaces("source-3", "binary-3"));
    let tests = host.heard("test");
    day.run("switch", "succeeded");
    host.wait_for("test", tests + 1);
    day.wait_for_row("out ok ok ok ok");
    assert_eq!(user.command(&stopped)["state"], "stopped");
    day.stays("out ok ok ok ok");
    // The link breaks while it builds.
    host.plan("switch", Plan::held());
    let switch = user.start("web", "switch");
    user.wait_for_state(&switch, "running");
    let links = host.links();
    host.cut();
    host.wait_for_new_link(links);
    user.wait_for_online("web");
    host.release();
    user.wait_for_state(&switch, "succeeded");
    host.wait_for("test", tests + 2);
    day.stays("out ok ok ok ok");
}

/// Refreshes, a way back, and what is done past the dashboard.
fn night(day: &Day) {
    let (user, host) = (&day.user, &day.host);
    for _ in 0..5 {
        assert_eq!(user.post("/api/hosts/web/refresh", &json!({})).status, 200);
        day.run("pull", "succeeded");
    }
    day.stays("out ok ok ok ok");
    day.run("rollback", "succeeded");
    day.stays("out ok ok out out");
    let held = user.post("/api/hosts/web/commands", &json!({ "op": "switch" }));
    assert_eq!((held.status, held.code().as_str()), (409, "held"), "{held:?}");
    assert_eq!(user.post("/api/hosts/web/release", &json!({})).status, 200);
    day.run("switch", "succeeded");
    day.wait_for_row("out ok ok ok ok");
    day.run("restart-agent", "succeeded");
    let reboot = day.reboot();
    user.wait_for_state(&reboot, "succeeded");
    day.stays("out ok ok ok ok");
    host.by_hand("force-update", Plan::held());
    wait_until("the host says what it is busy with", || {
        let now = user.host("web");
        if now["busy_with"] == "force-update" { Ok(()) } else { Err(now) }
    });
    let refused = user.post("/api/hosts/web/commands", &json!({ "op": "pull" }));
    assert_eq!((refused.status, refused.code().as_str()), (409, "host_busy"));
    assert!(refused.message().contains("busy with force-update"), "{refused:?}");
    day.stays("out ok ok ok ok");
    host.release();
    wait_until("it is free again", || {
        let now = user.host("web");
        if now["busy_with"].is_null() { Ok(()) } else { Err(now) }
    });
    day.run("pull", "succeeded");
}

/// A switch that brings the agent of version 4.
fn migrates(day: Day) {
    let Day { user, host, repo, dashboard } = day;
    let plan = Plan { leaves: true, ..Plan::default() };
    host.plan("switch", plan);
    let switch = user.start("web", "switch");
    user.wait_for_offline("web");
    drop(host);
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_state(&switch, "succeeded");
    user.wait_for_row("web", "ok ok ok ok out");
    user.run("web", "test", "succeeded");
    user.wait_for_row("web", "ok ok ok ok ok");
    let commands = user.get("/api/hosts/web/commands?limit=500").json();
    for command in commands.as_array().unwrap() {
        assert_ne!(command["requested_by"], "agent", "nobody asked for it: {command:#}");
        assert_ne!(command["state"], "lost", "{command:#}");
    }
}

#[test]
fn the_whole_day_of_a_linux_host_with_a_clone_of_its_own() {
    whole_day(LINUX, true);
}

#[test]
fn the_whole_day_of_a_linux_host_with_its_owners_clone() {
    whole_day(LINUX, false);
}

#[test]
fn the_whole_day_of_a_mac_whose_agent_exits_after_a_switch() {
    whole_day(MACOS, true);
}

#[test]
fn the_whole_day_of_a_mac_whose_agent_stays_after_a_switch() {
    whole_day(OLD_MACOS, true);
}

/// Finding 12.
#[test]
fn long_lines_of_a_3x_agent_come_in_fragments_and_its_switch_succeeds() {
    let day = Day::begin(LINUX, true);
    let long = "x".repeat(6000);
    day.host.plan("switch", Plan { lines: vec![("stdout", long.clone())], ..Plan::default() });
    let switch = day.user.start("web", "switch");
    day.user.wait_for_state(&switch, "succeeded");
    assert_eq!(day.user.output(&switch), [long]);
}

#[test]
fn a_pull_in_its_own_clone_that_cannot_be_stopped_goes_on_and_ends() {
    let day = Day::begin(LINUX, true);
    day.host.plan("pull", Plan::held());
    let pull = day.user.start("web", "pull");
    day.user.wait_for_state(&pull, "running");
    day.stop(&pull);
    let on = day.user.wait_for_state(&pull, "running");
    assert!(on["reason"].as_str().unwrap().contains("cannot be stopped"), "{on:#}");
    day.host.wait_for_beats(3);
    assert_eq!(day.user.command(&pull)["state"], "running");
    day.host.release();
    day.user.wait_for_state(&pull, "succeeded");
    day.nothing_is_phantom_or_lost();
}

#[test]
fn a_stop_that_ends_the_agent_too_is_a_stop() {
    let kind = Kind { dies_of_stop: true, ..LINUX };
    let day = Day::begin(kind, true);
    day.host.plan("switch", Plan::held());
    let switch = day.user.start("web", "switch");
    day.user.wait_for_state(&switch, "running");
    let links = day.host.links();
    day.stop(&switch);
    day.user.wait_for_state(&switch, "stopped");
    day.host.wait_for_new_link(links);
    day.user.wait_for_online("web");
    day.run("pull", "succeeded");
    day.run("switch", "succeeded");
    day.nothing_is_phantom_or_lost();
}

/// Finding 16.
#[test]
fn a_rollback_whose_end_nobody_heard_is_not_proven() {
    let day = Day::begin(LINUX, true);
    day.run("switch", "succeeded");
    day.host.plan("rollback", Plan { ends_agent: true, ..Plan::held() });
    let rollback = day.user.start("web", "rollback");
    day.user.wait_for_state(&rollback, "running");
    day.host.release();
    day.user.wait_for_state(&rollback, "verifying");
    // It would take 90 s until that is given up; nothing proves it meanwhile.
    day.host.wait_for_beats(5);
    assert_eq!(day.user.command(&rollback)["state"], "verifying");
}

/// Findings 18 and 56.
#[test]
fn a_switch_that_replaces_the_agent_by_4x_before_it_could_say_a_word_is_proven_by_that() {
    let day = Day::begin(MACOS, true);
    let plan = Plan { ends_agent: true, leaves: true, ..Plan::held() };
    day.host.plan("switch", plan);
    let switch = day.user.start("web", "switch");
    day.user.wait_for_state(&switch, "running");
    day.host.release();
    day.user.wait_for_offline("web");
    let Day { user, host, repo, dashboard } = day;
    drop(host);
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_state(&switch, "succeeded");
    user.wait_for_row("web", "ok ok ok ok out");
}

/// Finding 40.
#[test]
fn a_refresh_of_a_3x_agent_writes_into_no_log() {
    let day = Day::begin(LINUX, true);
    let pull = day.run("pull", "succeeded");
    let id = pull["command_id"].as_str().unwrap();
    let before = day.user.output(id);
    let heard = day.host.heard("refresh-all");
    day.host.wait_for_beats(2);
    assert_eq!(day.user.post("/api/hosts/web/refresh", &json!({})).status, 200);
    day.host.wait_for("refresh-all", heard + 1);
    day.host.wait_for_beats(2);
    // What came before the end of this one is stored by then.
    day.run("pull", "succeeded");
    assert_eq!(day.user.output(id), before);
}

/// Finding 45.
#[test]
fn a_3x_host_without_tests_is_told_so_and_never_tested_by_itself() {
    let day = Day::begin(LINUX, true);
    day.run("switch", "succeeded");
    day.host.wait_for_beats(3);
    assert_eq!(day.host.heard("test"), 0);
    // What the shell of a 3.x agent says where there is no script.
    day.host.plan("test", Plan { exit_code: 1, ..Plan::default() });
    day.user.start("web", "test");
    day.user.wait_for_row("web", "out ok ok ok unk");
    assert_eq!(day.user.says("web", "tests"), "No tests found");
}

/// Finding 48.
#[test]
fn a_reboot_that_a_3x_host_refuses_keeps_the_words_of_its_refusal() {
    let day = Day::begin(LINUX, true);
    day.host.plan("reboot", Plan::fails(1, ""));
    let reboot = day.reboot();
    let refused = "Reboot failed: exit status 1. Check sudo permissions.";
    day.user.wait_for_line(&reboot, refused);
    assert_eq!(day.user.command(&reboot)["state"], "running");
    let waiting = &day.user.host("web")["waiting_commands"];
    assert_eq!(waiting[0]["op"], "reboot", "{waiting}");
}

/// Finding 51.
#[test]
fn the_constant_totals_of_3x_are_not_shown() {
    let day = Day::begin(LINUX, true);
    day.host.plan("test", Plan::held());
    let test = day.user.start("web", "test");
    day.user.wait_for_state(&test, "running");
    assert_eq!(day.user.host("web")["pending_command"]["progress"], Value::Null);
    assert!(!day.user.says("web", "tests").contains(" of "), "{}", day.user.says("web", "tests"));
    day.host.release();
    day.user.wait_for_state(&test, "succeeded");
}

/// Finding 52.
#[test]
fn a_log_of_a_3x_agent_says_where_lines_may_be_missing() {
    let day = Day::begin(LINUX, true);
    let plan = Plan { lines: vec![("stdout", "building".to_owned())], ..Plan::held() };
    day.host.plan("switch", plan);
    let switch = day.user.start("web", "switch");
    day.user.wait_for_line(&switch, "building");
    let links = day.host.links();
    day.host.cut();
    day.host.wait_for_new_link(links);
    wait_until("the log says so", || {
        let lines = day.user.output(&switch);
        let said = lines.iter().any(|line| line.contains("lines may be missing"));
        if said { Ok(()) } else { Err(lines) }
    });
    day.host.release();
    day.user.wait_for_state(&switch, "succeeded");
}
