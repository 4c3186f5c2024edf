//! What a host builds before it activates anything: it may be held, or not what somebody read.

use crate::support::browser::Browser;
use crate::support::{Agent, ConfigRepo, Dashboard, StandIn, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// An agent without a guard that has cloned and is connected.
struct Host {
    repo: ConfigRepo,
    standin: StandIn,
    agent: Agent,
}

impl Host {
    fn new() -> Self {
        let (repo, standin) = (ConfigRepo::new(), StandIn::new());
        let agent = Agent::start(&standin.url, "web", &repo.remote());
        standin.knows_the_checkout();
        Self { repo, standin, agent }
    }

    fn run(&self, op: &str) -> Value {
        self.standin.outcome(&self.standin.command(op))
    }
}

/// Orders as a dashboard sends them, with what stands beside the arguments.
fn orders(host: &Host, op: &str, more: &Value) -> Value {
    let id = uuid::Uuid::now_v7().to_string();
    let mut order = json!({ "command": op, "command_id": id });
    for (field, value) in more.as_object().unwrap() {
        order[field] = value.clone();
    }
    host.standin.send("command", &order);
    host.standin.outcome(&id)
}

/// What runs, as the machine itself has it.
fn runs(host: &Host) -> Option<PathBuf> {
    fs::read_link(host.agent.dir.path().join("root/run/current-system")).ok()
}

/// Also where nothing guards a switch: a build that comes to what the host went back from activates
/// nothing, unless the user goes on regardless, and then the dashboard names nothing.
#[test]
fn a_plain_switch_that_builds_what_is_held_is_blocked_before_anything_is_activated() {
    let host = Host::new();
    host.run("switch");
    let before = runs(&host).expect("something runs");
    let commit = host.repo.push_change("what it went back from");
    host.run("pull");
    let path = host.agent.dir.path().join(format!("root/nix/store/{commit}-system"));
    let held = json!({ "held": ["/nix/store/other-system", path] });
    for op in ["switch", "pull-switch"] {
        let outcome = orders(&host, op, &held);
        assert_eq!(outcome["status"], "blocked", "{outcome}");
        assert_eq!(outcome["blocked_by"], json!(["held"]), "{outcome}");
        let why = outcome["message"].as_str().unwrap();
        assert!(why.contains("which this host went back from"), "{why}");
        assert_eq!(runs(&host), Some(before.clone()));
    }
    // Another path is none of it.
    let outcome = orders(&host, "switch", &json!({ "held": ["/nix/store/other-system"] }));
    assert_eq!(outcome["status"], "ok", "{outcome}");
    assert_eq!(runs(&host), Some(path));
}

/// What runs is what was read, or nothing changes.
#[test]
fn a_switch_of_a_plan_brings_exactly_that_and_is_blocked_where_the_build_comes_to_another_path() {
    let host = Host::new();
    host.run("switch");
    let first = host.repo.push_change("was looked at");
    host.run("pull");
    let dry = host.run("dry-run");
    let plan = dry["built"]["path"].as_str().expect("a dry run says what it came to").to_owned();
    assert!(plan.ends_with(&format!("{first}-system")), "{dry}");
    assert_eq!(dry["built"]["commit"], first, "{dry}");
    let before = runs(&host);
    host.repo.push_change("came meanwhile");
    host.run("pull");
    let switch = json!({ "args": { "plan": plan } });
    let outcome = orders(&host, "switch", &switch);
    assert_eq!(
        (&outcome["status"], outcome.get("blocked_by")),
        (&json!("blocked"), None),
        "{outcome}"
    );
    let why = outcome["message"].as_str().unwrap();
    assert!(why.contains("The plan is out of date") && why.contains(&plan), "{why}");
    assert_eq!(runs(&host), before);
    let dry = host.run("dry-run");
    let outcome = orders(&host, "switch", &json!({ "args": { "plan": dry["built"]["path"] } }));
    assert_eq!(outcome["status"], "ok", "{outcome}");
    assert_eq!(runs(&host), Some(PathBuf::from(dry["built"]["path"].as_str().unwrap())));
}

/// The page offers the plan that it shows, and only while that is of what is checked out.
#[test]
fn what_would_change_is_switched_to_by_a_click_and_a_plan_of_before_is_not_offered() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    let dry = user.run("web", "dry-run", "succeeded");
    let plan = dry["built"]["path"].as_str().expect("it says what it came to").to_owned();
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.go(&format!("{}/hosts/web", dashboard.url));
    browser.wait_for_text("#link", "live");
    browser.click("#host-page [data-op=open-dry-run]");
    browser.wait_for_text("dialog [data-op=switch-plan]", "Switch this plan");
    assert_eq!(browser.axe(), [""; 0]);
    browser.click("dialog [data-op=switch-plan]");
    let switch = wait_until("it has switched", || {
        let newest = user.get("/api/hosts/web/commands").json()[0].clone();
        if newest["state"] == "succeeded" && newest["op"] == "switch" {
            Ok(newest)
        } else {
            Err(newest)
        }
    });
    assert_eq!(switch["args"]["plan"], plan, "{switch}");
    let events = user.get("/api/events?host=web").text;
    assert!(events.contains(&format!("Switch was started, to {plan} alone.")), "{events}");
    repo.push_change("came meanwhile");
    user.wait_for_row("web", "ok out ok out out");
    user.run("web", "pull", "succeeded");
    let dialog = user.get("/hosts/web/dry-run").text;
    assert!(!dialog.contains("switch-plan") && dialog.contains("data-op=\"switch\""), "{dialog}");
    // Nor is anything else than a switch asked for with a plan.
    for (op, plan) in [("rollback", plan.as_str()), ("switch", "result"), ("switch", "/a/../b")] {
        let body = json!({ "op": op, "args": { "plan": plan } });
        let answer = user.post("/api/hosts/web/commands", &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_input"), "{answer:?}");
        assert!(answer.message().contains("plan"), "{answer:?}");
    }
}
