//! A day with a fleet, on real parts.

use crate::support::{Agent, Client, ConfigRepo, Dashboard};
use serde_json::json;

/// A host that follows the remote and was switched and tested: a green row.
struct Day {
    repo: ConfigRepo,
    dashboard: Dashboard,
    agent: Agent,
    user: Client,
}

impl Day {
    fn begin() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let agent = Agent::start(&dashboard.url, "web", &repo.remote());
        user.wait_for_online("web");
        user.wait_for_row("web", "ok ok ok out unk");
        user.run("web", "switch", "succeeded");
        user.run("web", "test", "succeeded");
        user.wait_for_row("web", "ok ok ok ok ok");
        Self { repo, dashboard, agent, user }
    }
}

#[test]
fn from_a_fresh_start_over_a_push_to_a_row_that_is_green_again() {
    let day = Day::begin();
    let (user, repo) = (&day.user, &day.repo);

    let pushed = repo.push_change("a change");
    user.wait_for_row("web", "ok out ok out out");
    user.wait_for_saying("web", "git", "1 commit behind origin/main");
    user.wait_for_saying("web", "git", &pushed[..7]);

    user.run("web", "pull", "succeeded");
    user.wait_for_row("web", "ok ok ok out out");
    assert_eq!(user.host("web")["generation"], pushed.as_str());
    assert_ne!(user.host("web")["deployed"], pushed.as_str());
    assert!(user.says("web", "system").starts_with("Pulled, not switched"));

    let switch = user.run("web", "switch", "succeeded");
    assert_eq!(switch["exit_code"], 0);
    user.wait_for_row("web", "ok ok ok ok out");
    assert_eq!(user.host("web")["deployed"], pushed.as_str());
    assert_eq!(user.says("web", "tests"), "Run tests to verify system");

    user.run("web", "test", "succeeded");
    user.wait_for_row("web", "ok ok ok ok ok");
    assert!(user.says("web", "tests").contains("1/1 passed"));
}

/// Built and made what boots, while what runs goes on.
#[test]
fn a_switch_at_the_next_boot_activates_nothing_and_the_row_says_that_a_reboot_is_missing() {
    let day = Day::begin();
    let user = &day.user;
    let runs = user.host("web")["system"]["store_path"].clone();
    let pushed = day.repo.push_change("a new kernel");
    user.run("web", "pull", "succeeded");
    let page = user.get("/hosts/web/menu").text;
    assert!(page.contains("/hosts/web/commands?boot=true"), "{page}");
    let asked = user.post_form("/hosts/web/commands?boot=true", &[("op", "switch")]);
    assert_eq!(asked.status, 303, "{asked:?}");
    user.wait_for_saying("web", "system", "eboot to finish");
    let host = user.host("web");
    assert_eq!(host["system"]["store_path"], runs, "what runs goes on");
    let boots = host["system"]["profile_path"].as_str().unwrap();
    assert!(boots.ends_with(&format!("{pushed}-system")), "{host}");
    user.wait_for_row("web", "ok ok ok out out");
    let told = user.get("/api/events?host=web&limit=50").text;
    assert!(told.contains("to start at the next boot"), "{told}");
    // Nothing else can wait for a boot.
    for (op, args, field) in [
        ("pull", json!({ "boot": true }), "args.boot"),
        ("test", json!({ "guard": false }), "args.guard"),
    ] {
        let body = json!({ "op": op, "args": args });
        let refused = user.post("/api/hosts/web/commands", &body);
        assert_eq!((refused.status, refused.code().as_str()), (400, "bad_input"), "{refused:?}");
        assert!(refused.message().contains(field), "{refused:?}");
    }
}

#[test]
fn a_failing_test_turns_tests_red_and_is_named() {
    let day = Day::begin();
    let script = "#!/bin/sh\n# Name: Disk is mounted\necho no disk >&2\nexit 3\n";
    day.repo.test("web", "T02-disk.sh", script);
    day.repo.push("a test that fails");
    day.user.wait_for_row("web", "ok out ok out out");
    day.user.run("web", "pull", "succeeded");
    day.user.run("web", "switch", "succeeded");
    let run = day.user.run("web", "test", "failed");
    day.user.wait_for_row("web", "ok ok ok ok err");
    assert_eq!(day.user.says("web", "tests"), "1 of 2 failed: Disk is mounted");
    assert_eq!(run["exit_code"], 1);
    let results = run["test_results"].as_array().unwrap();
    let outcomes: Vec<_> = results.iter().map(|r| (&r["name"], &r["outcome"])).collect();
    assert_eq!(json!(outcomes), json!([["First", "passed"], ["Disk is mounted", "failed"]]));
    assert!(results[1]["output"].as_str().unwrap().contains("no disk"));
}

#[test]
fn a_change_of_flake_lock_turns_lock_yellow_too() {
    let day = Day::begin();
    day.repo.write("flake.lock", "{ \"version\": 7, \"nodes\": {} }\n");
    day.repo.push("flake.lock: update");
    day.user.wait_for_row("web", "ok out out out out");
    day.user.run("web", "pull", "succeeded");
    day.user.wait_for_row("web", "ok ok ok out out");
}

#[test]
fn a_switch_that_fails_to_build_is_red_with_its_last_error_line_until_one_succeeds() {
    let day = Day::begin();
    day.agent.set("fail-build");
    let failed = day.user.run("web", "switch", "failed");
    assert_eq!(failed["exit_code"], 1);
    day.user.wait_for_row("web", "ok ok ok err ok");
    let says = day.user.says("web", "system");
    assert_eq!(says, "Switch failed: error: builder failed with exit code 7");

    day.agent.unset("fail-build");
    day.user.run("web", "switch", "succeeded");
    day.user.wait_for_row("web", "ok ok ok ok out");
}

#[test]
fn a_pull_that_changes_nothing_leaves_a_green_row_green() {
    let day = Day::begin();
    day.user.run("web", "pull", "succeeded");
    assert_eq!(day.user.row("web"), "ok ok ok ok ok");
}

#[test]
fn a_remote_that_cannot_be_fetched_is_red_with_its_reason_and_recovers_by_itself() {
    let day = Day::begin();
    let (here, away) = (day.repo.remote(), day.repo.remote().with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    day.user.wait_for_row("web", "ok err err out out");
    assert!(day.user.says("web", "system").starts_with("Cannot verify against the remote: "));
    std::fs::rename(&away, &here).unwrap();
    day.user.wait_for_row("web", "ok ok ok ok ok");
}

#[test]
fn a_rollback_is_yellow_on_purpose_and_needs_tests_again() {
    let day = Day::begin();
    day.repo.push_change("a second generation");
    day.user.wait_for_row("web", "ok out ok out out");
    day.user.run("web", "pull", "succeeded");
    day.user.run("web", "switch", "succeeded");
    day.user.run("web", "test", "succeeded");
    day.user.wait_for_row("web", "ok ok ok ok ok");
    day.user.run("web", "rollback", "succeeded");
    day.user.wait_for_row("web", "ok ok ok out out");
    assert!(day.user.says("web", "system").starts_with("Rolled back to generation 1"));
}

#[test]
fn tests_run_by_themselves_after_a_switch_where_that_is_on() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let auto = [("NIXFLEET_TESTS_AUTO_RUN", "true")];
    let _agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &auto);
    user.wait_for_row("web", "ok ok ok out unk");
    user.start("web", "switch");
    user.wait_for_row("web", "ok ok ok ok ok");
}

#[test]
fn host_state_survives_a_restart_of_the_dashboard() {
    let mut day = Day::begin();
    let before = day.user.host("web");
    drop(day.agent);
    day.dashboard.kill_9();
    day.dashboard.start_again();
    let user = day.dashboard.login();
    user.wait_for_row("web", "ok ok ok ok ok");
    let after = user.host("web");
    assert_eq!(after["online"], false);
    for field in ["generation", "lock_hash", "system", "agent_version", "platform"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    // B6 of the findings about the page: it was seen.
    assert!(after["last_seen"].is_string(), "{after}");
}

#[test]
fn a_stop_ends_the_running_switch_and_says_who_asked() {
    let day = Day::begin();
    day.agent.set("gate");
    let id = day.user.start("web", "switch");
    day.user.wait_for_line(&id, "waiting at the gate");
    let answer = day.user.post(&format!("/api/commands/{id}/stop"), &json!({}));
    assert_eq!(answer.status, 202, "{answer:?}");
    let stopped = day.user.wait_for_state(&id, "stopped");
    assert_eq!(stopped["reason"], "Stopped by admin.");
    day.user.wait_for_row("web", "ok ok ok out ok");
    assert!(!day.user.output(&id).iter().any(|line| line == "after 1"));
}

#[test]
fn the_whole_story_of_a_command_can_be_read() {
    let day = Day::begin();
    let switch = day.user.run("web", "switch", "succeeded");
    let states: Vec<_> =
        switch["transitions"].as_array().unwrap().iter().map(|t| t["state"].clone()).collect();
    assert_eq!(json!(states), json!(["sent", "running", "verifying", "succeeded"]));
    assert_eq!(switch["requested_by"], "admin");
}

#[test]
fn a_switch_that_takes_too_long_is_overdue_until_it_is_given_time_or_stopped() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", repo.remote().to_str().unwrap()),
        ("NIXFLEET_TIME_LIMITS", "switch=1s"),
    ]);
    let user = dashboard.login();
    let agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    agent.set("gate");
    let id = user.start("web", "switch");
    user.wait_for_state(&id, "overdue");
    assert_eq!(user.row("web"), "ok ok ok wrk unk");
    let extended = user.post(&format!("/api/commands/{id}/extend"), &json!({}));
    assert_eq!((extended.status, &extended.json()["state"]), (202, &json!("running")));
    user.wait_for_state(&id, "overdue");
    agent.set("go");
    let switch = user.wait_for_state(&id, "succeeded");
    let states: Vec<_> =
        switch["transitions"].as_array().unwrap().iter().map(|t| t["state"].clone()).collect();
    assert_eq!(
        json!(states),
        json!(["sent", "running", "overdue", "running", "overdue", "verifying", "succeeded"])
    );
}

#[test]
fn commands_for_a_host_that_is_away_wait_for_it_and_survive_the_dashboard() {
    let mut day = Day::begin();
    day.agent.kill_9();
    day.user.wait_for_offline("web");
    let ask = |op: &str| {
        let answer = day.user.post("/api/hosts/web/commands", &json!({ "op": op, "queue": true }));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["command_id"].as_str().unwrap().to_owned()
    };
    let (pull, test, taken_back) = (ask("pull"), ask("test"), ask("dry-run"));
    assert_eq!(day.user.host("web")["waiting_commands"].as_array().unwrap().len(), 3);
    day.user.post(&format!("/api/commands/{taken_back}/stop"), &json!({}));
    day.user.wait_for_state(&taken_back, "cancelled");
    day.dashboard.kill_9();
    day.dashboard.start_again();
    day.agent.start_again();
    let user = day.dashboard.login();
    user.wait_for_state(&pull, "succeeded");
    user.wait_for_state(&test, "succeeded");
    user.wait_for_row("web", "ok ok ok ok ok");
}

#[test]
fn a_host_without_tests_of_its_own_runs_those_common_to_all() {
    let repo = ConfigRepo::new();
    repo.write("tests/T01-common.sh", "#!/bin/sh\n# Name: Common\n");
    repo.mode("tests/T01-common.sh", 0o755);
    repo.push("common tests");
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "other", &repo.remote());
    user.wait_for_row("other", "ok ok ok out unk");
    let run = user.run("other", "test", "succeeded");
    assert_eq!(run["test_results"][0]["name"], "Common");
}

#[test]
fn settings_of_the_dashboard_win_and_survive_a_restart() {
    let mut day = Day::begin();
    let set = json!({ "tests_enabled": false, "theme_color": "#123456", "location": "work" });
    let answer = day.user.patch("/api/hosts/web", &set);
    assert_eq!((answer.status, &answer.json()["location"]), (200, &json!("work")));
    day.user.wait_for_row("web", "ok ok ok ok unk");
    for (field, value) in [
        ("theme_color", json!("red")),
        ("location", json!("moon")),
        ("tests_enabled", json!("maybe")),
        ("colour", json!("#123456")),
    ] {
        let refused = day.user.patch("/api/hosts/web", &json!({ field: value }));
        assert_eq!(refused.status, 400, "{field}");
        assert!(refused.message().contains(field) || field == "tests_enabled", "{refused:?}");
    }
    day.dashboard.kill_9();
    day.dashboard.start_again();
    let user = day.dashboard.login();
    user.wait_for_online("web");
    user.wait_for_row("web", "ok ok ok ok unk");
    assert_eq!(user.host("web")["theme_color"], "#123456");
    let back = json!({ "tests_enabled": null, "location": null });
    assert_eq!(user.patch("/api/hosts/web", &back).status, 200);
    user.wait_for_row("web", "ok ok ok ok ok");
    assert_eq!(user.host("web")["location"], "");
}
