//! What a wave waits for, and what becomes of one that fails (spec: guard, "Rollouts in waves").

use crate::support::browser::Browser;
use crate::support::new_host::{NEW, NewHost};
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};

struct Lab {
    repo: ConfigRepo,
    dashboard: Dashboard,
    user: Client,
}

impl Lab {
    fn new() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        Self { repo, dashboard, user }
    }

    /// Hosts that are one commit behind, and that commit.
    fn behind(&self, names: &[&'static str]) -> (Vec<NewHost>, String) {
        let old = self.repo.head();
        let join = |name: &&'static str| NewHost::joins(&self.dashboard, name, &old);
        let hosts: Vec<NewHost> = names.iter().map(join).collect();
        let head = self.repo.push_change("something new");
        wait_until("the new commit is known", || {
            let remote = self.user.get("/api/desired").json()[0]["remote"].clone();
            if remote["commit"] == head.as_str() { Ok(()) } else { Err(remote) }
        });
        (hosts, head)
    }

    #[track_caller]
    fn start(&self, body: &Value) -> String {
        let answer = self.user.post("/api/rollouts", body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["rollout_id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_wave_of_which_one_failed_goes_back_to_what_ran_before_it_and_says_so() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a", "b", "c"]);
    let [a, b, _] = hosts.as_mut_slice() else { panic!("three hosts") };
    let id = lab.start(&json!({
        "op": "update", "all": true, "waves": [2, "rest"], "on_failure": "roll_back",
    }));
    a.pulls(&head);
    a.switches();
    b.pulls(&head);
    let switch = b.takes("switch");
    b.ends(&switch, &json!({ "status": "error", "message": "does not build" }));
    // The generation that ran before is not the number before.
    let rollback = a.rolls_back();
    assert_eq!(rollback["args"]["generation"], 1, "{rollback}");
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["on_failure"], "roll_back", "{ended}");
    assert_eq!(ended["counts"]["rolled_back"], 1, "{ended}");
    assert_eq!(ended["counts"]["skipped"], 1, "{ended}");
    assert_eq!(ended["hosts"]["a"]["back"], json!({ "state": "rolled_back" }), "{ended}");
    assert_eq!(ended["hosts"]["b"]["back"]["state"], "nothing", "{ended}");
    assert!(ended["hosts"]["c"].get("back").is_none(), "{ended}");
    // What was left is held, with the reason.
    wait_until("it is held", || {
        let held = lab.user.host("a")["held"].clone();
        let told = held["reason"] == "its rollout failed" && held["left"][0]["path"] == NEW;
        if told { Ok(()) } else { Err(held) }
    });
    let events = lab.user.get("/api/events?category=rollout").text;
    assert!(events.contains("Update of 3 hosts rolls back wave 1: 1 failed."), "{events}");
    assert!(events.contains("1 rolled back"), "{events}");
    let page = lab.user.get("/rollouts").text;
    for part in ["rolled back", "nothing to go back from"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_wave_goes_on_with_going_back_after_a_restart_of_the_dashboard() {
    let mut lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a", "b"]);
    let [a, b] = hosts.as_mut_slice() else { panic!("two hosts") };
    let id =
        lab.start(&json!({ "op": "update", "all": true, "waves": [2], "on_failure": "roll_back" }));
    a.pulls(&head);
    a.switches();
    b.pulls(&head);
    let switch = b.takes("switch");
    b.ends(&switch, &json!({ "status": "error", "message": "does not build" }));
    let first = a.takes("rollback");
    // That cannot be taken back as a whole, and says so.
    let cancel = lab.user.post(&format!("/api/rollouts/{id}/cancel"), &json!({}));
    assert_eq!((cancel.status, cancel.code()), (409, "not_running".to_owned()), "{cancel:?}");
    assert!(cancel.message().contains("is rolled back"), "{cancel:?}");
    lab.dashboard.kill_9();
    lab.dashboard.start_again();
    lab.user = lab.dashboard.login();
    a.comes_back_with(&lab.dashboard, &first);
    b.comes_back(&lab.dashboard);
    a.has_rolled_back(&first);
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["counts"]["rolled_back"], 1, "{ended}");
}

/// The review of rollouts, 1.
#[test]
fn a_host_that_fails_while_the_rollout_is_paused_takes_its_wave_back() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a", "b"]);
    let [a, b] = hosts.as_mut_slice() else { panic!("two hosts") };
    let body = json!({ "op": "update", "all": true, "waves": ["rest"], "on_failure": "roll_back" });
    let id = lab.start(&body);
    a.pulls(&head);
    a.switches();
    b.pulls(&head);
    let switch = b.takes("switch");
    let paused = lab.user.post(&format!("/api/rollouts/{id}/pause"), &json!({}));
    assert_eq!(paused.status, 202, "{paused:?}");
    b.ends(&switch, &json!({ "status": "error", "message": "does not build" }));
    a.rolls_back();
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["hosts"]["a"]["back"], json!({ "state": "rolled_back" }), "{ended}");
    assert_eq!(ended["paused"], Value::Null, "{ended}");
}

/// The review of rollouts, 2.
#[test]
fn what_is_queued_for_a_host_that_is_away_is_no_step_until_it_runs() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a", "b"]);
    let [a, b] = hosts.as_mut_slice() else { panic!("two hosts") };
    a.link.hang_up();
    lab.user.wait_for_offline("a");
    let pull = json!({ "op": "pull", "queue": true });
    let queued = lab.user.post("/api/hosts/a/commands", &pull);
    assert_eq!(queued.status, 202, "{queued:?}");
    let queued = queued.json()["command_id"].clone();
    let id = lab.start(&json!({ "op": "pull", "all": true, "waves": [1, "rest"] }));
    b.pulls(&head);
    let told = |what: &str, so: &dyn Fn(&Value) -> bool| {
        wait_until(what, || {
            let now = lab.user.get(&format!("/api/rollouts/{id}")).json();
            if so(&now) { Ok(now) } else { Err(now) }
        })
    };
    let now = told("b is through", &|now| now["counts"]["done"] == 1);
    let away = &now["hosts"]["a"];
    assert_eq!((&away["state"], &away["away"]), (&json!("waiting"), &json!(true)), "{now}");
    a.comes_back(&lab.dashboard);
    let order = a.takes("pull");
    assert_eq!(order["command_id"], queued);
    told("what was queued counts", &|now| now["hosts"]["a"]["command"] == queued);
    head.clone_into(&mut a.checkout);
    a.ends(&order, &json!({ "status": "ok", "exit_code": 0, "generation": head, "dirty": false }));
    assert_eq!(lab.user.wait_for_end_of(&id)["counts"]["done"], 2);
}

/// The review of rollouts, 8.
#[test]
fn a_rollout_that_goes_back_begins_in_a_freeze() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a"]);
    let [a] = hosts.as_mut_slice() else { panic!("one host") };
    let id = lab.start(&json!({ "op": "update", "hosts": ["a"] }));
    a.pulls(&head);
    a.switches();
    lab.user.wait_for_end_of(&id);
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let freeze = json!({ "reason": "holidays", "until": until.to_string() });
    let frozen = lab.user.send("PUT", "/api/freeze", &freeze.to_string()).unwrap();
    assert_eq!(frozen.status, 200, "{frozen:?}");
    let id = lab.start(&json!({ "op": "rollback", "hosts": ["a"], "regardless": ["freeze"] }));
    a.rolls_back();
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["counts"]["done"], 1, "{ended}");
    // It needed nobody's leave, and says nothing of any.
    assert_eq!(ended["regardless"], json!([]), "{ended}");
}

/// The review of rollouts, 10.
#[test]
fn the_page_asks_for_the_same_steps_once_more_in_the_same_order_of_those_that_failed() {
    let lab = Lab::new();
    let (mut hosts, _) = lab.behind(&["a", "b"]);
    let [a, _] = hosts.as_mut_slice() else { panic!("two hosts") };
    let id = lab.start(&json!({
        "op": "switch", "hosts": ["a", "b"], "reboot": true, "one_first": true, "at_once": 2,
        "on_failure": "roll_back", "stop_after": 2,
    }));
    let switch = a.takes("switch");
    a.ends(&switch, &json!({ "status": "error", "message": "does not build" }));
    let ended = lab.user.wait_for_end_of(&id);
    let page = lab.user.get("/rollouts").text;
    let path = format!("/rollouts/{id}/retry");
    assert!(page.contains(&format!("href=\"{path}\"")), "{page}");
    let asks = lab.user.get(&path);
    assert_eq!(asks.status, 200, "{asks:?}");
    for part in [
        "Switch, Test, Reboot 1 host",
        "each host does switch, then test, then reboot.",
        "one first · rolls its wave back after 2 failures",
        "Those that need it are rebooted",
    ] {
        assert!(asks.text.contains(part), "{part}: {asks:?}");
    }
    assert_eq!(lab.user.post_form(&path, &[]).status, 303);
    let again = lab.user.get("/api/rollouts").json()[0].clone();
    assert_ne!(again["id"], ended["id"]);
    for field in ["steps", "one_first", "at_once", "on_failure", "stop_after"] {
        assert_eq!(again[field], ended[field], "{field}");
    }
    assert!(again["hosts"].get("b").is_none(), "{again}");
    let switch = a.takes("switch");
    a.runs_what_it_built(&switch);
    let ended = lab.user.wait_for_end_of(again["id"].as_str().unwrap());
    assert_eq!(ended["counts"]["done"], 1, "{ended}");
    // Nobody failed: there is nothing to ask for.
    let path = format!("/rollouts/{}/retry", again["id"].as_str().unwrap());
    assert_eq!(lab.user.get(&path).status, 409);
}

#[test]
fn a_host_that_waits_for_a_boot_is_not_tested_and_is_done_after_its_reboot() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a", "b"]);
    let [a, b] = hosts.as_mut_slice() else { panic!("two hosts") };
    let id = lab.start(&json!({ "op": "update", "hosts": ["a", "b"], "reboot": true }));
    for host in [&mut *a, &mut *b] {
        host.pulls(&head);
    }
    a.sets_the_next_boot();
    // One comes up with what was meant, the other one does not.
    b.sets_the_next_boot();
    a.reboots(&lab.dashboard, true);
    b.reboots(&lab.dashboard, false);
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["steps"], json!(["pull", "switch", "test", "reboot"]), "{ended}");
    assert_eq!(ended["title"], "Update and reboot of 2 hosts", "{ended}");
    let note = "not tested: it was started by a reboot";
    let done = &ended["hosts"]["a"];
    assert_eq!((&done["state"], &done["note"]), (&json!("done"), &json!(note)), "{ended}");
    assert_eq!(done["untested"], true, "{ended}");
    let why = ended["hosts"]["b"]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("Reboot unverified") && why.contains("came up"), "{ended}");
}

#[test]
fn only_hosts_that_need_it_are_rebooted_and_only_by_name() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a"]);
    for (body, part) in [
        (json!({ "op": "update", "all": true, "reboot": true }), "`reboot`"),
        (json!({ "op": "reboot", "all": true }), "`op`"),
        (json!({ "op": "pull", "hosts": ["a"], "reboot": true }), "`reboot`"),
        (json!({ "op": "pull", "hosts": ["a"], "on_failure": "roll_back" }), "`on_failure`"),
        (json!({ "op": "update", "hosts": ["a"], "on_failure": "panic" }), "`on_failure`"),
    ] {
        let answer = lab.user.post("/api/rollouts", &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_input"), "{body}");
        assert!(answer.message().contains(part), "{body}: {answer:?}");
    }
    let none = lab.user.post("/api/rollouts", &json!({ "op": "reboot", "hosts": ["a"] }));
    assert_eq!((none.status, none.code().as_str()), (409, "nothing_to_do"), "{none:?}");
    assert!(none.message().contains("no need of a reboot"), "{none:?}");
    let id = lab.start(&json!({ "op": "pull-switch", "hosts": ["a"], "reboot": true }));
    let host = &mut hosts[0];
    let order = host.takes("pull-switch");
    head.clone_into(&mut host.checkout);
    host.runs_what_it_built(&order);
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["hosts"]["a"]["note"], "a needs no reboot.", "{ended}");
}

/// Finding 6: no boot has a way back, so one box does not reboot a whole fleet; and who needs nothing but
/// that is in the dialog.
#[test]
fn the_page_offers_to_reboot_only_hosts_that_are_picked_and_names_those_that_need_nothing_else() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a"]);
    let host = &mut hosts[0];
    let switch = lab.user.start("a", "pull-switch");
    let order = host.takes("pull-switch");
    head.clone_into(&mut host.checkout);
    let lock = crate::old_agent::lock_hash(&lab.repo);
    let mut built = host.built();
    built["lock_hash"] = json!(lock);
    let how = json!({
        "status": "ok", "exit_code": 0, "dirty": false, "built": built, "lock_hash": lock,
        "system": { "generation": 4, "store_path": NEW, "profile_path": NEW },
    });
    host.ends(&order, &how);
    lab.user.wait_for_state(&switch, "succeeded");
    let tagged = lab.user.post("/api/tags", &json!({ "tag": "canary", "hosts": ["a"] }));
    assert_eq!(tagged.status, 200, "{tagged:?}");
    let asked = |query: &str| lab.user.get(&format!("/rollouts/new?op=update{query}")).text;
    let named = "&hosts=a";
    wait_until("it needs nothing", || {
        let page = asked(named);
        if page.contains("There is nothing to do.") { Ok(()) } else { Err(lab.user.row("a")) }
    });
    let system = json!({
        "generation": 4, "store_path": NEW, "profile_path": NEW,
        "reboot_needed": true, "booted_kernel": "6.12.4", "next_kernel": "6.12.5",
    });
    host.link.send("heartbeat", &json!({ "system": system }));
    wait_until("it needs a reboot", || {
        let page = asked(named);
        if page.contains("nothing but a reboot") { Ok(()) } else { Err(page) }
    });
    let page = asked(named);
    assert!(page.contains("name=\"reboot\" value=\"true\" required"), "{page}");
    assert!(page.contains("name=\"hosts[]\" value=\"a\""), "{page}");
    for others in ["", "&tag=canary", "&group=due"] {
        let page = asked(others);
        assert!(!page.contains("name=\"reboot\""), "{others}: {page}");
    }
    let sent = [("op", "update"), ("hosts[]", "a"), ("reboot", "true")];
    let started = lab.user.post_form("/rollouts", &sent);
    assert!(started.status < 400, "{started:?}");
    host.takes("pull");
    let rollout = lab.user.get("/api/rollouts").json()[0].clone();
    assert_eq!(rollout["steps"], json!(["pull", "switch", "test", "reboot"]), "{rollout}");
}

#[test]
fn a_switch_in_waves_is_followed_by_its_tests_and_the_next_wave_by_their_success() {
    let lab = Lab::new();
    let names = ["a", "b"];
    let start = |name: &str| Agent::start(&lab.dashboard.url, name, &lab.repo.remote());
    let _agents = names.map(start);
    for name in names {
        lab.user.wait_for_row(name, "ok ok ok out unk");
    }
    let id = lab.start(&json!({ "op": "switch", "all": true, "waves": [1, "rest"] }));
    let ended = lab.user.wait_for_end_of(&id);
    assert_eq!(ended["steps"], json!(["switch", "test"]), "{ended}");
    assert_eq!(ended["counts"]["done"], 2, "{ended}");
}

#[test]
fn the_page_pauses_a_rollout_resumes_it_and_begins_its_next_wave_by_clicks() {
    let lab = Lab::new();
    let (mut hosts, head) = lab.behind(&["a", "b", "c"]);
    let [a, b, c] = hosts.as_mut_slice() else { panic!("three hosts") };
    let waves = json!({ "op": "pull", "all": true, "waves": [1, 1, "rest"], "soak": 3600 });
    let id = lab.start(&waves);
    let pull = a.takes("pull");
    let browser = Browser::start();
    browser.login(&lab.dashboard.url, &lab.dashboard.password);
    browser.click("header nav a[href='/rollouts']");
    browser.wait_for_text("#link", "live");
    browser.wait_for_text(".rolling header", "wave 1 of 3");
    browser.click(".rolling [data-op=pause]");
    browser.wait_for_text(".rolling header", "paused by admin");
    browser.wait_for_text(".rolling [data-of=host-b]", "waits: paused by admin");
    assert_eq!(browser.axe(), [""; 0]);
    browser.click(".rolling [data-op=resume]");
    browser.wait_for_text(".rolling [data-of=host-b]", "wave 1 of 3 is under way");
    // Without waiting for the end of this one.
    browser.click(".rolling [data-op=promote]");
    b.pulls(&head);
    browser.wait_for_text(".rolling header", "wave 2 of 3");
    browser.click(".rolling [data-op=promote]");
    c.pulls(&head);
    browser.wait_for(".rolling:not(:has([data-op=promote]))");
    head.clone_into(&mut a.checkout);
    a.ends(&pull, &json!({ "status": "ok", "exit_code": 0, "generation": head, "dirty": false }));
    assert_eq!(lab.user.wait_for_end_of(&id)["counts"]["done"], 3);
    browser.wait_for_text("#ended", "3 done");
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}
