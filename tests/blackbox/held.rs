//! A host that went back is left out of rollouts until the remote has another commit, or somebody
//! releases it. What its guard does is in tests/systemd/guard.rs; here an agent says it.

use crate::support::agent::Agent;
use crate::support::browser::Browser;
use crate::support::dashboard::TOKEN;
use crate::support::new_host::{NEW, NewHost as Host, OLD, WHY};
use crate::support::old_agent::OldAgent;
use crate::support::{Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};

fn updates(user: &Client, hosts: &[&str]) -> String {
    let answer = user.post("/api/rollouts", &json!({ "op": "update", "hosts": hosts }));
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["rollout_id"].as_str().unwrap().to_owned()
}

/// The host has pulled the newest commit, and its guard took the switch to it back.
fn returned(repo: &ConfigRepo, dashboard: &Dashboard, user: &Client) -> (Host, String) {
    let mut a = Host::joins(dashboard, "a", &repo.head());
    user.wait_for_online("a");
    let head = repo.push_change("breaks the network");
    wait_until("the new commit is known", || {
        let remote = user.get("/api/desired").json()[0]["remote"].clone();
        if remote["commit"] == head.as_str() { Ok(()) } else { Err(remote) }
    });
    let first = updates(user, &["a"]);
    a.pulls(&head);
    a.returns();
    let ended = user.wait_for_end_of(&first);
    assert_eq!(ended["counts"]["failed"], 1, "{ended}");
    wait_until("the host is held", || {
        let host = user.host("a");
        if host["held"].is_object() { Ok(()) } else { Err(host) }
    });
    (a, head)
}

#[test]
fn a_host_that_went_back_is_left_out_of_the_next_rollout_which_says_so_until_it_is_released() {
    let repo = ConfigRepo::new();
    let mut dashboard = Dashboard::with_source(&repo.remote());
    let mut user = dashboard.login();
    let (mut a, head) = returned(&repo, &dashboard, &user);
    let held = user.host("a")["held"].clone();
    assert_eq!((&held["reason"], &held["by"]), (&json!(WHY), &json!("auto")), "{held}");
    assert_eq!((&held["applies"], &held["pin"]), (&json!(true), &json!(false)), "{held}");
    assert_eq!(held["left"], json!([{ "commit": head, "path": NEW }]), "{held}");

    // All of it is there after a restart of the dashboard.
    dashboard.kill_9();
    dashboard.start_again();
    user = dashboard.login();
    a.comes_back(&dashboard);
    user.wait_for_online("a");
    assert_eq!(user.host("a")["held"], held);
    let again = user.post("/api/rollouts", &json!({ "op": "update", "all": true }));
    assert_eq!((again.status, again.code().as_str()), (409, "nothing_to_do"), "{again:?}");
    assert!(again.message().contains(&format!("1 held ({WHY}) is left out: a.")), "{again:?}");
    let switch = user.post("/api/hosts/a/commands", &json!({ "op": "switch" }));
    assert_eq!((switch.status, switch.code().as_str()), (409, "held"), "{switch:?}");
    assert!(switch.message().contains(WHY), "{switch:?}");
    let page = user.get("/").text;
    assert!(page.contains("Held at gen 1") && page.contains("Release…"), "{page}");

    // A rollout of more hosts takes the others, and names it.
    let mut b = Host::joins(&dashboard, "b", &repo.git(&["rev-parse", "HEAD~1"]));
    user.wait_for_online("b");
    let second = updates(&user, &["a", "b"]);
    b.pulls(&head);
    let rollout = user.get(&format!("/api/rollouts/{second}")).json();
    let left_out = json!({ "state": "left_out", "why": format!("held ({WHY})") });
    assert_eq!(rollout["hosts"]["a"], left_out, "{rollout}");
    let switch = b.takes("switch");
    b.ends(&switch, &json!({ "status": "error", "message": "does not build" }));
    user.wait_for_end_of(&second);

    // Released, it takes part again.
    let released = user.post("/api/hosts/a/release", &json!({}));
    assert_eq!((released.status, &released.json()["held"]), (200, &Value::Null), "{released:?}");
    updates(&user, &["a"]);
    a.pulls(&head);
    a.returns();
    let events = user.get("/api/events?host=a").text;
    assert!(events.contains("Held: what was left") && events.contains("Released."), "{events}");
}

#[test]
fn another_commit_is_rolled_out_and_blocked_on_the_host_if_it_builds_what_was_left() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let (mut a, _) = returned(&repo, &dashboard, &user);
    let fix = repo.push_change("mends it, they say");
    wait_until("the hold is not about this commit", || {
        let held = user.host("a")["held"].clone();
        if held["applies"] == false { Ok(()) } else { Err(held) }
    });
    let rollout = updates(&user, &["a"]);
    a.pulls(&fix);
    let switch = a.takes("switch");
    assert_eq!(switch["held"], json!([NEW]), "{switch}");
    let how = json!({ "status": "blocked", "message": "held", "blocked_by": ["held"] });
    a.ends(&switch, &how);
    let ended = user.wait_for_end_of(&rollout);
    assert_eq!(ended["counts"]["failed"], 1, "{ended}");
    // Somebody wants it all the same: nothing is told as held, and it ends with that.
    let args = json!({ "regardless": ["held"] });
    let answer = user.post("/api/hosts/a/commands", &json!({ "op": "switch", "args": args }));
    assert_eq!(answer.status, 202, "{answer:?}");
    let switch = a.takes("switch");
    assert_eq!(switch.get("held"), None, "{switch}");
    let system = json!({ "generation": 2, "store_path": NEW, "profile_path": NEW });
    let ok = json!({ "status": "ok", "exit_code": 0, "system": system, "built": a.built() });
    a.ends(&switch, &ok);
    user.wait_for_state(switch["command_id"].as_str().unwrap(), "succeeded");
    wait_until("the host is held no more", || {
        let held = user.host("a")["held"].clone();
        if held.is_null() { Ok(()) } else { Err(held) }
    });
}

#[test]
fn a_user_holds_a_host_at_any_head_and_bad_reasons_are_refused_with_the_fields_name() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _a = Host::joins(&dashboard, "a", &repo.head());
    user.wait_for_online("a");
    for (body, part) in [
        (json!({ "reason": "x".repeat(201) }), "`reason`: expected at most 200 characters"),
        (json!({ "reason": 7 }), "body"),
        (json!({ "why": "x" }), "why"),
    ] {
        let answer = user.post("/api/hosts/a/hold", &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_input"), "{answer:?}");
        assert!(answer.message().contains(part), "{body}: {answer:?}");
    }
    let nobody = user.post("/api/hosts/nobody/hold", &json!({}));
    assert_eq!((nobody.status, nobody.code().as_str()), (404, "no_such_host"));
    let held = user.post("/api/hosts/a/hold", &json!({ "reason": "<b>on holiday</b>" }));
    assert_eq!(held.status, 200, "{held:?}");
    let told = held.json()["held"].clone();
    assert_eq!((&told["pin"], &told["by"]), (&json!(true), &json!("admin")), "{told}");
    repo.push_change("something new");
    wait_until("the host is behind", || {
        let git = user.host("a")["update_status"]["git"]["status"].clone();
        if git == "outdated" { Ok(()) } else { Err(git) }
    });
    assert_eq!(user.host("a")["held"]["applies"], true);
    let all = user.post("/api/rollouts", &json!({ "op": "update", "all": true }));
    assert_eq!((all.status, all.code().as_str()), (409, "nothing_to_do"), "{all:?}");
    let page = user.get("/").text;
    assert!(page.contains("&lt;b&gt;on holiday") && !page.contains("<b>on holiday"), "{page}");
    // What changes nothing that runs may be rolled out.
    let pull = user.post("/api/rollouts", &json!({ "op": "pull", "all": true }));
    assert_eq!(pull.status, 202, "{pull:?}");
}

#[test]
fn the_page_marks_a_host_that_is_held_and_releases_it_by_clicks() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _a = returned(&repo, &dashboard, &user);
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.wait_for_text("#host-a .why .hold", "Held at gen 1");
    browser.wait_for_text("#host-a .why", WHY);
    browser.wait_for_text("#host-a .do .next", "Release…");
    browser.ask("a", "release");
    browser.wait_for_text("dialog[data-dialog=release]", WHY);
    assert_eq!(browser.axe(), [""; 0]);
    browser.click("dialog button[data-op=release]");
    browser.wait_for_text("#host-a .do .next", "Retry");
    assert_eq!(user.host("a")["held"], Value::Null);
    // And held again, with words.
    browser.click("#host-a [data-op=menu]");
    browser.click("#dialogs [data-op=open-hold]");
    browser.type_in("#hold-reason", "until Monday");
    browser.click("dialog button[data-op=hold]");
    browser.wait_for_text("#host-a .why .hold", "Held at gen 1");
    assert_eq!(user.host("a")["held"]["reason"], "until Monday");
    assert_eq!(browser.complaints(), [""; 0]);
}

const LEFT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// An agent that repeats that its host left the newest commit.
fn repeats(dashboard: &Dashboard, head: &str) -> OldAgent {
    let mut link = OldAgent::connect(&dashboard.url, TOKEN, "a").expect("the token is right");
    let held = json!([{ "command_id": LEFT, "commit": head, "path": NEW, "reason": WHY }]);
    let payload = json!({
        "protocol": 4, "jobs": [], "hostname": "a", "host_type": "nixos",
        "agent_version": env!("CARGO_PKG_VERSION"), "generation": head, "dirty": false,
        "system": { "generation": 1, "store_path": OLD, "profile_path": OLD }, "held": held,
    });
    link.send("register", &payload);
    let answer = link.receive();
    assert_eq!(answer["type"], "registered", "{answer}");
    link
}

#[track_caller]
fn hears_of_the_release(link: &mut OldAgent) {
    let told = loop {
        let message = link.receive();
        if message["type"] == "released" {
            break message["payload"].clone();
        }
    };
    assert_eq!(told, json!({ "command_ids": [LEFT] }), "{told}");
}

/// Spec: guard, "Held": stored at the dashboard, repeated by the agent.
#[test]
fn what_is_held_outlives_the_dashboards_database_and_stays_released_once_somebody_releases_it() {
    let repo = ConfigRepo::new();
    let mut dashboard = Dashboard::with_source(&repo.remote());
    let mut user = dashboard.login();
    let head = repo.head();
    wait_until("the remote is read", || {
        let remote = user.get("/api/desired").json()[0]["remote"].clone();
        if remote["commit"] == head.as_str() { Ok(()) } else { Err(remote) }
    });
    // This dashboard has never seen the host.
    let mut link = repeats(&dashboard, &head);
    user.wait_for_online("a");
    let held = user.host("a")["held"].clone();
    assert_eq!((&held["reason"], &held["by"]), (&json!(WHY), &json!("agent")), "{held}");
    assert_eq!((&held["applies"], &held["pin"]), (&json!(true), &json!(false)), "{held}");
    assert_eq!(held["left"], json!([{ "commit": head, "path": NEW }]), "{held}");
    let switch = user.post("/api/hosts/a/commands", &json!({ "op": "switch" }));
    assert_eq!((switch.status, switch.code().as_str()), (409, "held"), "{switch:?}");
    let page = user.get("/").text;
    assert!(page.contains("Held at gen 1") && page.contains("Release…"), "{page}");
    let release = |user: &Client| {
        let released = user.post("/api/hosts/a/release", &json!({}));
        assert_eq!((released.status, &released.json()["held"]), (200, &Value::Null));
    };
    release(&user);
    hears_of_the_release(&mut link);
    // The agent was killed before it could forget: after a restart it is told again.
    link.hang_up();
    dashboard.kill_9();
    dashboard.start_again();
    user = dashboard.login();
    let mut link = repeats(&dashboard, &head);
    hears_of_the_release(&mut link);
    user.wait_for_online("a");
    assert_eq!(user.host("a")["held"], Value::Null);
    let events = user.get("/api/events?host=a").text;
    assert_eq!(events.matches("Held, as its agent repeats").count(), 1, "{events}");
}

#[test]
fn a_real_agent_repeats_what_its_host_left_until_it_hears_of_the_release() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let head = repo.head();
    let mut agent = Agent::start(&dashboard.url, "a", &repo.remote());
    user.wait_for_online("a");
    agent.kill_9();
    // As a return has left it, of which a dashboard of before had all.
    let file = agent.dir.path().join("state/jobs/held");
    let left = json!({ "commit": head, "path": NEW, "of": LEFT, "reason": WHY });
    std::fs::write(&file, json!({ "left": [left], "runs": null }).to_string()).unwrap();
    agent.start_again();
    wait_until("the host is held", || {
        let held = user.host("a")["held"].clone();
        if held["left"][0]["path"] == NEW { Ok(()) } else { Err(held) }
    });
    assert_eq!(user.host("a")["held"]["reason"], WHY);
    let released = user.post("/api/hosts/a/release", &json!({}));
    assert_eq!((released.status, &released.json()["held"]), (200, &Value::Null), "{released:?}");
    wait_until("the agent has forgotten it", || {
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains(LEFT) { Err(text) } else { Ok(()) }
    });
}
