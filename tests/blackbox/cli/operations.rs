//! Commands that change something, and what their exit codes say.

use super::{Fleet, Ran};
use crate::support::wait_until;
use serde_json::json;

#[test]
fn an_operation_that_is_waited_for_ends_with_0_and_the_row_is_true_then() {
    let fleet = Fleet::new(&["web"]);
    let pull = fleet.run("pull web --wait").ends_with_code(0).says("web: pull succeeded\n");
    assert_eq!(fleet.user.row("web"), "ok ok ok out unk", "{pull:?}");
    // Elsewhere than on a terminal each change is a line, and none of them is drawn.
    assert!(pull.err.contains("web: pull "), "{pull:?}");
    assert!(!pull.err.contains('\u{1b}') && !pull.out.contains('\u{1b}'), "{pull:?}");
    let switch = fleet.run("switch web --wait --json").ends_with_code(0);
    assert_eq!(switch.json()[0]["state"], "succeeded", "{switch:?}");
    assert_eq!(switch.json()[0]["host_id"], "web");
    fleet.user.wait_for_row("web", "ok ok ok ok out");
    fleet.run("test web --wait").ends_with_code(0).says("web: test succeeded");
    fleet.run("status --check").ends_with_code(0).says("1 host: 1 current");
    let by = fleet.user.get("/api/events?category=command").text;
    assert!(by.contains("token cli"), "{by}");
}

#[test]
fn an_operation_that_is_not_waited_for_is_taken_and_named() {
    let fleet = Fleet::new(&["web"]);
    fleet.agents[0].set("gate");
    let switch = fleet.run("switch web --json").ends_with_code(0);
    let id = switch.json()[0]["command_id"].as_str().unwrap().to_owned();
    fleet.user.wait_for_line(&id, "waiting at the gate");
    let busy = fleet.run("switch web").ends_with_code(3).says("web: refused: ");
    assert!(busy.out.contains("busy"), "{busy:?}");
    fleet.agents[0].set("go");
    fleet.user.wait_for_state(&id, "succeeded");
    let pull = fleet.run("pull web").ends_with_code(0);
    let told = pull.out.split_once("web: pull ").expect("what was taken").1;
    let id = told.split_once('(').and_then(|(_, id)| id.split_once(')')).expect("an id").0;
    fleet.user.wait_for_state(id, "succeeded");
}

#[test]
fn what_fails_ends_with_1_and_what_is_done_on_some_with_2() {
    let fleet = Fleet::new(&["bad", "good"]);
    fleet.agents[0].set("fail-build");
    fleet.run("pull --all --wait").ends_with_code(0);
    let failed = fleet.run("switch bad --wait").ends_with_code(1).says("bad: switch failed: ");
    assert!(!failed.out.contains("good"), "{failed:?}");
    let both = fleet.run("switch bad good --wait").ends_with_code(2);
    both.says("bad: switch failed").says("good: switch succeeded");
    fleet.run("status --check").ends_with_code(2).says("1 current");
    fleet.run("logs bad -f").ends_with_code(1).says("error: builder failed with exit code 7");
    let some = fleet.run("pull good nobody --wait --json").ends_with_code(2).json();
    assert_eq!(some[1]["error"]["code"], "no_such_host", "{some}");
}

#[test]
fn what_is_refused_ends_with_3_and_says_why() {
    let mut fleet = Fleet::new(&["web"]);
    fleet.agents[0].kill_9();
    fleet.user.wait_for_offline("web");
    for wait in ["", " --wait"] {
        let ran = fleet.run(&format!("switch web{wait}")).ends_with_code(3);
        ran.says("web: refused: ").says("offline");
    }
    fleet.run("pull nobody").ends_with_code(3).says("nobody: refused: ");
    // A rollout takes it when it is back: whoever waits is told so, and waits for nothing else.
    let away = fleet.run("update web --wait").ends_with_code(3);
    away.says("web: waiting at pull: ").says("offline");
    let id = fleet.run("rollout list --json").json()[0]["rollout_id"].clone();
    fleet.run(&format!("rollout cancel {}", id.as_str().unwrap())).ends_with_code(0);
    let refused = fleet.run("update nobody --json").ends_with_code(3);
    assert_eq!(refused.json()["error"]["code"], "no_such_host", "{refused:?}");
    fleet.run("rollout show 0190a5c4-0000-7000-8000-000000000000").ends_with_code(3);
    fleet.run("logs nobody").ends_with_code(3).complains("nobody");
    fleet.run("hosts nobody").ends_with_code(3).complains("nobody");
    // Whoever can wait is not refused, and finds it done when the host is back.
    let waiting = fleet.start("pull web --queue --wait");
    wait_until("it waits for its host", || {
        let waits = fleet.user.host("web")["waiting_commands"].clone();
        if waits[0]["op"] == "pull" { Ok(()) } else { Err(waits) }
    });
    fleet.agents[0].start_again();
    Ran::from(waiting.wait_with_output().unwrap()).ends_with_code(0).says("web: pull succeeded");
}

#[test]
fn an_update_takes_all_there_is_and_says_0_again_when_nothing_is_left_to_do() {
    let fleet = Fleet::new(&["db", "web"]);
    let update = fleet.run("update --all --wait --json").ends_with_code(0);
    assert_eq!(update.json()["counts"]["done"], 2, "{update:?}");
    for name in ["db", "web"] {
        fleet
            .user
            .wait_for_row(name, if name == "web" { "ok ok ok ok ok" } else { "ok ok ok ok unk" });
    }
    fleet.run("update --all --wait").ends_with_code(0).says("current already");
    fleet.run("update web --wait --json").ends_with_code(0);
}

#[test]
fn an_update_that_some_hosts_do_not_take_part_in_ends_with_2() {
    let mut fleet = Fleet::new(&["away", "bad", "web"]);
    fleet.agents[0].kill_9();
    fleet.user.wait_for_offline("away");
    fleet.agents[1].set("fail-build");
    let ran = fleet.run("update --all --at-once 1 --wait").ends_with_code(2);
    let ran = ran.says("away: waiting at pull: ").says("bad: failed at switch: ");
    assert!(ran.out.contains("web: done"), "{ran:?}");
    fleet.run("update bad --wait").ends_with_code(1).says("1 failed");
    // What was current already has all that was asked for.
    fleet.agents[1].unset("fail-build");
    fleet.run("update bad web --wait").ends_with_code(0);
}

#[test]
fn a_rollout_is_started_listed_waited_for_and_cancelled() {
    let fleet = Fleet::new(&["web"]);
    fleet.agents[0].set("gate");
    let begun = fleet.run("rollout start update web --json").ends_with_code(0).json();
    let id = begun["rollout_id"].as_str().unwrap().to_owned();
    fleet.run("rollout list").ends_with_code(0).says(&id).says("running");
    let listed = fleet.run("rollout list --json").json();
    assert_eq!(listed[0]["rollout_id"], id);
    wait_until("it switches", || {
        let now = fleet.run(&format!("rollout show {id}")).ends_with_code(0);
        if now.out.contains("web: running at switch") { Ok(()) } else { Err(now) }
    });
    let waiting = fleet.start(&format!("rollout show {id} --wait"));
    fleet.run(&format!("rollout cancel {id}")).ends_with_code(0);
    fleet.agents[0].set("go");
    let ended = Ran::from(waiting.wait_with_output().unwrap()).ends_with_code(1);
    ended.says("web: skipped").says("cancelled by token cli");
    fleet.run(&format!("rollout cancel {id}")).ends_with_code(3).complains("over");
    fleet.run("rollout start fly web").ends_with_code(3).complains("`op`");
    fleet.run("rollout start reboot web").ends_with_code(3).complains("no need of a reboot");
}

#[test]
fn a_rollout_in_waves_is_paused_resumed_promoted_and_hosts_are_left_out_and_held() {
    let fleet = Fleet::new(&["a", "b", "c"]);
    fleet.run("hold c nobody --reason holidays").ends_with_code(2).says("c: held");
    let held = fleet.user.host("c")["held"].clone();
    assert_eq!((&held["reason"], &held["by"]), (&json!("holidays"), &json!("token cli")), "{held}");
    let asked = "update --all --waves 1,rest --soak 3600 --roll-back --json";
    let begun = fleet.run(asked).ends_with_code(0).json();
    assert_eq!((&begun["waves"], &begun["soak"]), (&json!([1, 1]), &json!(3600)), "{begun}");
    assert_eq!(begun["on_failure"], "roll_back", "{begun}");
    assert_eq!(begun["hosts"]["c"]["why"], "held (holidays)", "{begun}");
    let id = begun["rollout_id"].as_str().unwrap().to_owned();
    wait_until("the first wave soaks", || {
        let now = fleet.run(&format!("rollout show {id} --json")).json();
        if now["soaks"]["ends"].is_string() { Ok(()) } else { Err(now) }
    });
    fleet.run(&format!("rollout resume {id}")).ends_with_code(3).complains("not paused");
    fleet.run(&format!("rollout pause {id}")).ends_with_code(0).says("paused by token cli");
    fleet.run(&format!("rollout resume {id}")).ends_with_code(0).says("has soaked");
    fleet.run(&format!("rollout leave-out {id} nobody")).ends_with_code(3).complains("nobody");
    fleet.run(&format!("rollout leave-out {id} b")).ends_with_code(0).says("left out by token cli");
    fleet.run(&format!("rollout retry {id}")).ends_with_code(3).complains("No host of it failed");
    fleet.run("release c").ends_with_code(0).says("c: released");
    assert_eq!(fleet.user.host("c")["held"], json!(null));
    fleet.run("update a --reboot --all").ends_with_code(64);
    fleet.agents[2].set("gate");
    let id = fleet.run("update c --waves 1 --json").json()["rollout_id"].clone();
    let promoted = fleet.run(&format!("rollout promote {}", id.as_str().unwrap()));
    promoted.ends_with_code(3).complains("last wave");
}

#[test]
fn waiting_outlives_a_dashboard_that_is_killed_and_started_again() {
    let mut fleet = Fleet::new(&["web"]);
    fleet.agents[0].set("gate");
    let waiting = fleet.start("switch web --wait");
    let rolling = fleet.run("rollout list --json").json();
    assert_eq!(rolling, json!([]));
    wait_until("it runs", || {
        let host = fleet.user.host("web");
        if host["pending_command"]["state"] == "running" { Ok(()) } else { Err(host) }
    });
    fleet.dashboard.kill_9();
    fleet.dashboard.start_again();
    fleet.agents[0].set("go");
    let ran = Ran::from(waiting.wait_with_output().unwrap()).ends_with_code(0);
    ran.says("web: switch succeeded");
}

/// Finding 8: "Go on regardless" was told to the command line, which could not.
#[test]
fn what_is_frozen_is_refused_with_3_and_goes_on_regardless_where_that_is_said() {
    let fleet = Fleet::new(&["web"]);
    fleet.agents[0].set("fail-build");
    let failed = fleet.run("rollout start switch web --wait --json").ends_with_code(1).json();
    let id = failed["rollout_id"].as_str().unwrap().to_owned();
    fleet.agents[0].unset("fail-build");
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let body = json!({ "reason": "holidays", "until": until.to_string() }).to_string();
    assert_eq!(fleet.user.send("PUT", "/api/freeze", &body).unwrap().status, 200);
    let retry = format!("rollout retry {id}");
    for (refused, goes) in [
        ("switch web --wait", "switch web --regardless freeze --wait"),
        (
            "rollout start switch web --wait",
            "rollout start switch web --regardless freeze,windows --wait",
        ),
        (retry.as_str(), format!("{retry} --regardless freeze").as_str()),
    ] {
        let ran = fleet.run(refused).ends_with_code(3);
        assert!((ran.out.clone() + &ran.err).contains("holidays"), "{ran:?}");
        fleet.run(goes).ends_with_code(0);
        fleet.user.wait_for_idle("web");
    }
    let bad = fleet.run(&format!("{retry} --regardless rain")).ends_with_code(3);
    assert!((bad.out.clone() + &bad.err).contains("`regardless`: expected some of"), "{bad:?}");
    let events = fleet.user.get("/api/events?host=web").text;
    assert!(events.contains("Switch was started regardless of the freeze."), "{events}");
}
