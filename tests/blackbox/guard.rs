//! The dashboard's part of a guarded switch. What happens on a host is in tests/systemd/guard/.

use crate::support::dashboard::TOKEN;
use crate::support::old_agent::OldAgent;
use crate::support::{Client, Dashboard, nixfleet, wait_until};
use serde_json::{Value, json};

const SWITCH: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A host whose agent says so much of itself. Answers what the dashboard told it.
fn joins(dashboard: &Dashboard, name: &str, more: &Value) -> (OldAgent, Value) {
    let mut link = OldAgent::connect(&dashboard.url, TOKEN, name).expect("the token is right");
    let mut payload = json!({ "hostname": name, "host_type": "nixos", "agent_version": "4.0.0" });
    for (field, value) in more.as_object().unwrap() {
        payload[field] = value.clone();
    }
    link.send("register", &payload);
    let told = link.receive();
    assert_eq!(told["type"], "registered", "{told}");
    (link, told["payload"].clone())
}

#[test]
fn the_dashboard_repeats_what_a_guarded_switch_wants_confirmed_and_says_that_it_can() {
    let dashboard = Dashboard::start(&[]);
    let guard = json!({ "command_id": SWITCH, "nonce": "5f" });
    let (_link, told) = joins(&dashboard, "a", &json!({ "protocol": 4, "guard": guard }));
    assert_eq!(told["guard"], guard, "{told}");
    assert_eq!(told["features"], json!(["resume", "guard"]), "{told}");
    // What is no such question is not repeated, and the host joins all the same.
    let long = json!({ "command_id": SWITCH, "nonce": "5".repeat(201) });
    let (_link, told) = joins(&dashboard, "b", &json!({ "protocol": 4, "guard": long }));
    assert!(told.get("guard").is_none(), "{told}");
    let (_link, told) = joins(&dashboard, "c", &json!({ "protocol": 4 }));
    assert!(told.get("guard").is_none() && told.get("features").is_some(), "{told}");
    // An agent of 3.x gets what it always got.
    let (_link, told) = joins(&dashboard, "d", &json!({ "agent_version": "3.1.5" }));
    assert_eq!(told, json!({ "host_id": "d" }));
}

/// A guarded switch that runs on a host.
fn switching(dashboard: &Dashboard, user: &Client) -> (OldAgent, String) {
    let (mut agent, _) = joins(dashboard, "a", &json!({ "protocol": 4, "jobs": [] }));
    user.wait_for_online("a");
    let id = user.start("a", "rollback");
    assert_eq!(agent.receive()["payload"]["command_id"], id.as_str());
    agent.send("command_accepted", &json!({ "command_id": id }));
    (agent, id)
}

#[test]
fn the_page_and_the_api_say_which_phase_a_guarded_switch_is_in_and_a_keep_is_not_stopped() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let (mut agent, id) = switching(&dashboard, &user);
    for (phase, text) in [
        ("preflight", "looking at the host"),
        ("arm", "preparing the way back"),
        ("activate", "activating"),
        ("confirm", "waiting for the host to prove itself"),
        ("return", "going back to the system of before"),
        ("keep", "keeping it"),
    ] {
        agent.send("command_phase", &json!({ "command_id": id, "phase": phase }));
        wait_until(&format!("it is said that it is in {phase}"), || {
            let command = user.command(&id);
            if command["phase"] == phase { Ok(()) } else { Err(command) }
        });
        // The page is told after the command's own actor.
        wait_until(&format!("the page says {text:?}"), || {
            let page = user.get("/").text;
            if page.contains(text) { Ok(()) } else { Err(page) }
        });
    }
    let answer = user.post(&format!("/api/commands/{id}/stop"), &json!({}));
    assert_eq!((answer.status, answer.code().as_str()), (409, "host_busy"), "{answer:?}");
    assert!(answer.message().contains("roll back instead"), "{answer:?}");
    assert_eq!(user.command(&id)["state"], "running");
}

#[test]
fn a_switch_that_nobody_could_confirm_is_offered_without_the_guard() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let (mut agent, id) = switching(&dashboard, &user);
    let why = "The new system of a contains no agent that could confirm it: switch without guard?";
    let status = json!({
        "command_id": id, "command": "rollback", "status": "blocked", "exit_code": 1, "seq": 1,
        "message": why, "blocked_by": ["guard"],
    });
    agent.send("status", &status);
    let command = user.wait_for_state(&id, "blocked");
    assert_eq!(command["reason"], why, "{command}");
    assert_eq!(command["blocked_by"], json!(["guard"]), "{command}");
}

#[test]
fn what_starts_at_the_next_boot_succeeds_and_says_so() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let (mut agent, id) = switching(&dashboard, &user);
    let (runs, boots) = ("/nix/store/a-system", "/nix/store/b-system");
    let built =
        json!({ "commit": "", "lock_hash": "", "dirty": false, "path": boots, "next_boot": true });
    let status = json!({
        "command_id": id, "command": "rollback", "status": "ok", "exit_code": 0, "seq": 1,
        "built": built, "system": { "store_path": runs, "profile_path": boots },
    });
    agent.send("status", &status);
    let command = user.wait_for_state(&id, "succeeded");
    assert!(command["reason"].as_str().unwrap().contains("starts at the next boot"), "{command}");
}

#[test]
fn the_row_says_which_kernel_runs_and_which_would_boot() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let system = json!({
        "reboot_needed": true, "booted_kernel": "6.12.4", "next_kernel": "6.12.5<b>",
    });
    let (_link, _) = joins(&dashboard, "a", &json!({ "protocol": 4, "system": system }));
    wait_until("the row says so", || {
        let page = user.get("/").text;
        let said = page.contains("Linux 6.12.4 runs, 6.12.5&lt;b&gt; would boot");
        if said { Ok(()) } else { Err(page) }
    });
    assert_eq!(user.host("a")["system"]["next_kernel"], "6.12.5<b>");
}

/// Which commits a host takes is its own affair; who looks at it sees that, and by whose keys.
#[test]
fn a_host_that_takes_only_signed_commits_says_so_and_by_which_files() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let files = json!(["/etc/nixfleet/allowed-signers", "/etc/<b>.gpg", "", "/3", "/4", "/5"]);
    let (mut link, _) = joins(&dashboard, "a", &json!({ "protocol": 4, "signers": files }));
    user.wait_for_online("a");
    let told = user.host("a")["signers"].clone();
    assert_eq!(told, json!(["/etc/nixfleet/allowed-signers", "/etc/<b>.gpg", "/3"]), "{told}");
    let page = user.get("/hosts/a").text;
    assert!(page.contains("only signed ones") && page.contains("/etc/&lt;b&gt;.gpg"), "{page}");
    // It takes any again, and says nothing of it.
    link.hang_up();
    let (_link, _) = joins(&dashboard, "a", &json!({ "protocol": 4 }));
    wait_until("it takes any commit", || {
        let told = user.host("a")["signers"].clone();
        if told == json!([]) { Ok(()) } else { Err(told) }
    });
    assert!(!user.get("/hosts/a").text.contains("only signed ones"));
}

#[test]
fn an_agent_says_which_format_of_a_guarded_switch_it_can_confirm_without_any_setting() {
    let output = nixfleet().args(["--agent", "--guard-format"]).env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1\n");
    let output = nixfleet().args(["--dashboard", "--guard-format"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// What users set on the page goes with each order; without that the host does as it is set up.
#[test]
fn users_turn_the_guard_of_a_host_on_and_off_and_its_page_says_which() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let features = json!({ "protocol": 4, "platform": "nixos", "features": ["guard", "boot"] });
    let (mut agent, _) = joins(&dashboard, "a", &features);
    user.wait_for_online("a");
    for (set, told, says) in [
        (Value::Null, Value::Null, "guarded: what ran before"),
        (json!(false), json!(false), "not guarded, as set here"),
        (json!(true), json!(true), "as set here"),
        (Value::Null, Value::Null, "guarded: what ran before"),
    ] {
        let changed = user.patch("/api/hosts/a", &json!({ "guard": set }));
        assert_eq!(changed.status, 200, "{changed:?}");
        wait_until(&format!("its page says {says}"), || {
            let page = user.get("/hosts/a").text;
            if page.contains(says) { Ok(()) } else { Err(page) }
        });
        assert_eq!(user.host("a")["guarded"], set != json!(false));
        let id = user.start("a", "rollback");
        let order = agent.receive()["payload"].clone();
        assert_eq!(order["args"]["guard"], told, "{order}");
        let status = json!({
            "command_id": id, "command": "rollback", "status": "error", "exit_code": 1, "seq": 1,
        });
        agent.send("status", &status);
        user.wait_for_state(&id, "failed");
        assert_eq!(agent.receive()["type"], "ack");
    }
    let dialog = user.get("/hosts/a/settings").text;
    assert!(dialog.contains("name=\"guard\""), "{dialog}");
}

/// An agent that would activate it at once is not asked.
#[test]
fn only_an_agent_that_can_is_asked_to_have_a_system_start_at_the_next_boot() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let (_old, _) = joins(&dashboard, "old", &json!({ "protocol": 4, "platform": "nixos" }));
    let (_mac, _) = joins(&dashboard, "mac", &json!({ "protocol": 4, "platform": "darwin" }));
    for host in ["old", "mac"] {
        user.wait_for_online(host);
        let body = json!({ "op": "rollback", "args": { "boot": true } });
        let refused = user.post(&format!("/api/hosts/{host}/commands"), &body);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "not_supported"),
            "{refused:?}"
        );
        assert!(!user.get(&format!("/hosts/{host}/menu")).text.contains("boot=true"));
    }
}
