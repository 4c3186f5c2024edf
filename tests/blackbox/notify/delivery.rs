//! What is told, once, with its end, also when nobody takes it at first.

use super::{Fleet, count, taking, told, webhook};
use crate::support::web::Reply;
use crate::support::{Agent, Web, wait_until};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

#[test]
fn a_failed_switch_is_told_once_and_so_is_its_end() {
    let fleet = Fleet::new();
    let web = taking();
    fleet.channel("ops", &webhook(&web));
    fleet.fail_a_switch();
    let first = told(&web, "web: switch failed");
    let body: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!((&body["event"], &body["alarm"]), (&json!("switch_failed"), &json!(true)), "{body}");
    assert!(body["body"].as_str().unwrap().contains("Switch failed: "), "{body}");
    // A second failure is the same incident; a success is its end.
    fleet.fail_a_switch();
    fleet.user.run("web", "switch", "succeeded");
    let end = told(&web, "Over: web: switch failed");
    let body: Value = serde_json::from_str(&end.body).unwrap();
    assert_eq!(body["alarm"], false, "{body}");
    assert_eq!(count(&web, "\"title\":\"web: switch failed\""), 1);
    // Whoever has the secret can prove where it comes from, and when.
    let (seconds, signature) =
        (&end.headers["x-nixfleet-timestamp"], &end.headers["x-nixfleet-signature"]);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"sesame").unwrap();
    mac.update(format!("{seconds}.{}", end.body).as_bytes());
    let expected: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(*signature, format!("sha256={expected}"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(now.as_secs().abs_diff(seconds.parse().unwrap()) < 120, "{seconds}");
}

#[test]
fn a_message_that_is_refused_is_shown_and_tried_again_also_after_a_restart() {
    let mut fleet = Fleet::new();
    let status = Arc::new(AtomicU16::new(503));
    let seen = Arc::clone(&status);
    let web = Web::new(move |_| match seen.load(Ordering::SeqCst) {
        200 => Reply::ok(""),
        other => Reply::Answer(other, Vec::new(), "overloaded, come again".into()),
    });
    fleet.channel("ops", &webhook(&web));
    fleet.fail_a_switch();
    let first = told(&web, "web: switch failed");
    wait_until("the failure is shown", || {
        let now = fleet.status("ops");
        let error = now["error"].as_str().unwrap_or_default().to_owned();
        if error.contains("503") && error.contains("come again") { Ok(()) } else { Err(now) }
    });
    assert_eq!(fleet.status("ops")["waiting"], 1);
    let page = fleet.user.get("/settings/notifications").text;
    assert!(page.contains("Not delivered, it is tried again"), "{page}");
    fleet.dashboard.kill_9();
    status.store(200, Ordering::SeqCst);
    fleet.dashboard.start_again();
    wait_until("it is delivered", || {
        let now = fleet.status("ops");
        if now["waiting"] == 0 && now["delivered_at"].is_string() { Ok(()) } else { Err(now) }
    });
    // It is the same message, by its number: whoever counts them counts one.
    let ids = |web: &Web| {
        web.heard().iter().map(|r| r.headers["x-nixfleet-delivery"].clone()).collect::<Vec<_>>()
    };
    assert!(ids(&web).len() >= 2 && ids(&web).iter().all(|id| *id == ids(&web)[0]), "{first:?}");
    let after = ids(&web).len();
    fleet.dashboard.kill_9();
    fleet.dashboard.start_again();
    fleet.user.wait_for_online("web");
    // What was told is told no more; what comes next is.
    fleet.user.run("web", "switch", "succeeded");
    told(&web, "Over: web: switch failed");
    assert_eq!(ids(&web).len(), after + 1);
}

#[test]
fn one_who_hangs_holds_up_nobody_else_and_no_page() {
    let fleet = Fleet::new();
    let (hanging, cut, good) = (Web::new(|_| Reply::Hang), Web::new(|_| Reply::Cut), taking());
    for (name, web) in [("a-hangs", &hanging), ("b-cuts", &cut), ("c-takes", &good)] {
        fleet.channel(name, &webhook(web));
    }
    fleet.fail_a_switch();
    told(&hanging, "web: switch failed");
    told(&good, "web: switch failed");
    assert_eq!(fleet.user.get("/").status, 200);
    wait_until("both failures are shown", || {
        let all = [fleet.status("a-hangs"), fleet.status("b-cuts")];
        if all.iter().all(|one| one["error"].is_string()) { Ok(()) } else { Err(all) }
    });
    assert_eq!(fleet.status("c-takes")["error"], Value::Null);
}

#[test]
fn many_hosts_that_fail_at_once_are_one_message() {
    let fleet = Fleet::new();
    let web = taking();
    fleet.channel("ops", &webhook(&web));
    let names = ["a", "b", "c"];
    let remote = fleet.repo.remote();
    let agents: Vec<Agent> =
        names.iter().map(|name| Agent::start(&fleet.dashboard.url, name, &remote)).collect();
    for (name, agent) in names.iter().zip(&agents) {
        fleet.user.wait_for_row(name, "ok ok ok out unk");
        agent.set("fail-build");
        agent.set("gate");
    }
    let ids: Vec<String> = names.iter().map(|name| fleet.user.start(name, "switch")).collect();
    for id in &ids {
        fleet.user.wait_for_line(id, "waiting at the gate");
    }
    agents.iter().for_each(|agent| agent.set("go"));
    let message = told(&web, "3 × switch failed");
    let body: Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!(body["body"].as_str().unwrap().lines().count(), 3, "{body}");
}

#[test]
fn states_that_last_are_told_with_their_end() {
    let mut fleet = Fleet::new();
    let web = taking();
    fleet.channel("ops", &webhook(&web));
    let soon = json!({ "offline_after": 1, "remote_after": 1 });
    assert_eq!(fleet.put("settings", &soon).status, 200);
    fleet.agent.kill_9();
    told(&web, "\"title\":\"web: offline\"");
    fleet.agent.start_again();
    told(&web, "Over: web: offline");
    let (remote, away) = (fleet.repo.remote(), fleet.repo.remote().with_extension("away"));
    std::fs::rename(&remote, &away).unwrap();
    told(&web, "default: source cannot be read");
    std::fs::rename(&away, &remote).unwrap();
    told(&web, "Over: default: source cannot be read");
    fleet.repo.test("web", "T01-first.sh", "#!/bin/sh\nexit 1\n");
    fleet.repo.push("a test that fails");
    fleet.user.run("web", "pull", "succeeded");
    fleet.user.run("web", "switch", "succeeded");
    fleet.user.run("web", "test", "failed");
    told(&web, "\"title\":\"web: tests failed\"");
    fleet.repo.test("web", "T01-first.sh", "#!/bin/sh\nexit 2\n");
    fleet.repo.push("another");
    fleet.user.run("web", "pull", "succeeded");
    fleet.user.run("web", "switch", "succeeded");
    fleet.user.run("web", "rollback", "succeeded");
    told(&web, "web: rolled back");
    told(&web, "Over: web: tests failed");
}

#[test]
fn a_rollout_that_ends_and_a_login_are_told() {
    let fleet = Fleet::new();
    let web = taking();
    fleet.channel("ops", &webhook(&web));
    let rollout = fleet.user.post("/api/rollouts", &json!({ "op": "pull", "hosts": ["web"] }));
    assert_eq!(rollout.status, 202, "{rollout:?}");
    let ended = told(&web, "rollout ended");
    assert!(ended.body.contains("Pull of 1 host: 1 done."), "{ended:?}");
    let id = rollout.json()["rollout_id"].as_str().unwrap().to_owned();
    fleet.user.post(&format!("/api/rollouts/{id}/dismiss"), &json!({}));
    fleet.dashboard.login();
    told(&web, "Logged in from 127.0.0.1");
    // A rollout that somebody has looked at has not ended again.
    assert_eq!(count(&web, "rollout ended"), 1);
}

#[test]
fn the_heartbeat_goes_out_for_as_long_as_the_dashboard_is_well() {
    let fleet = Fleet::new();
    let status = Arc::new(AtomicU16::new(200));
    let seen = Arc::clone(&status);
    let web = Web::new(move |_| Reply::status(seen.load(Ordering::SeqCst)));
    let beat =
        json!({ "heartbeat_url": format!("{}/ping/secret-id", web.url), "heartbeat_every": 1 });
    assert_eq!(fleet.put("settings", &beat).status, 200);
    wait_until("it beats", || if web.heard().len() >= 2 { Ok(()) } else { Err(web.heard()) });
    assert_eq!(web.heard()[0].path, "/ping/secret-id");
    let all = fleet.user.get("/api/notifications").text;
    assert!(!all.contains("secret-id") && all.contains("127.0.0.1"), "{all}");
    status.store(500, Ordering::SeqCst);
    wait_until("the failure is shown", || {
        let all = fleet.user.get("/api/notifications").json();
        let error = all["settings"]["heartbeat_error"].clone();
        if error.as_str().is_some_and(|e| e.contains("500")) { Ok(()) } else { Err(all) }
    });
    assert_eq!(fleet.put("settings", &json!({ "heartbeat_url": "" })).status, 200);
    let all = fleet.user.get("/api/notifications").json();
    assert_eq!(all["settings"]["heartbeat"], Value::Null, "{all}");
}
