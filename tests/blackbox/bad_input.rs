//! Bad input gets a clear error where a user sees it, and loses nothing.

use crate::support::dashboard::TOKEN;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, OldAgent, processes_of, wait_until};
use serde_json::{Value, json};

fn with_old_agent(name: &str) -> (Dashboard, Client, OldAgent) {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let agent = OldAgent::join(&dashboard.url, name, "abc1234");
    user.wait_for_online(name);
    (dashboard, user, agent)
}

#[test]
fn a_wrong_token_is_refused_with_401_before_the_upgrade() {
    let dashboard = Dashboard::start(&[]);
    for token in ["", "wrong", &TOKEN[1..]] {
        let refused = OldAgent::connect(&dashboard.url, token, "web").err();
        assert_eq!(refused, Some(401), "{token:?}");
    }
}

#[test]
fn a_token_of_one_host_cannot_register_another() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let added = user.post("/api/hosts", &json!({ "hostname": "one" }));
    assert_eq!(added.status, 201, "{added:?}");
    let token = added.json()["token"].as_str().unwrap().to_owned();
    let mut agent = OldAgent::connect(&dashboard.url, &token, "two").expect("the token is one");
    agent.send("register", &json!({ "hostname": "two" }));
    let (code, reason) = agent.expect_close();
    assert_eq!(code, 1008);
    assert!(reason.contains("another host"), "{reason}");
    assert_eq!(user.get("/api/hosts/two").status, 404);
}

#[test]
fn a_hostname_that_is_none_is_refused_with_1008_and_an_event() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    for name in ["", "-x", "../etc", "a b", "<script>", &"x".repeat(254)] {
        let mut agent = OldAgent::connect(&dashboard.url, TOKEN, name).expect("the token is right");
        agent.send("register", &json!({ "hostname": name }));
        let (code, reason) = agent.expect_close();
        assert_eq!(code, 1008, "{name:?}");
        assert!(reason.contains("hostname"), "{name:?}: {reason}");
    }
    assert_eq!(user.get("/api/hosts").json(), json!([]));
    wait_until("the refusal is in the audit log", || {
        let events = user.get("/api/events").text;
        if events.contains("../etc") { Ok(()) } else { Err(events) }
    });
}

#[test]
fn a_frame_that_is_no_json_object_closes_with_1008_and_the_host_is_not_lost() {
    for frame in ["hello", "[]", "{\"payload\":{}}", "{\"type\":1}"] {
        let (dashboard, user, mut agent) = with_old_agent("web");
        agent.send_text(frame);
        assert_eq!(agent.expect_close().0, 1008, "{frame:?}");
        let mut back = OldAgent::join(&dashboard.url, "web", "abc1234");
        back.heartbeat();
        user.wait_for_online("web");
    }
}

#[test]
fn a_frame_larger_than_1_mib_closes_with_1009() {
    let (_dashboard, _user, mut agent) = with_old_agent("web");
    agent.send_whole(&"x".repeat(1024 * 1024 + 1));
    assert_eq!(agent.expect_close().0, 1009);
}

#[test]
fn fragments_of_more_than_1_mib_together_close_with_1009() {
    let (_dashboard, _user, mut agent) = with_old_agent("web");
    agent.send_text(&"x".repeat(1024 * 1024 + 1));
    assert_eq!(agent.expect_close().0, 1009);
}

#[test]
fn unknown_types_and_fields_are_ignored() {
    let (_dashboard, user, mut agent) = with_old_agent("web");
    agent.send("song", &json!({ "title": "la" }));
    agent.send("heartbeat", &json!({ "generation": "def5678", "mood": "fine" }));
    wait_until("the heartbeat counts", || {
        let host = user.host("web");
        if host["generation"] == "def5678" { Ok(()) } else { Err(host) }
    });
}

#[test]
fn an_unknown_host_is_404() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    for answer in [
        user.get("/api/hosts/nobody"),
        user.post("/api/hosts/nobody/commands", &json!({ "op": "pull" })),
        user.post("/api/hosts/..%2fetc/commands", &json!({ "op": "pull" })),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (404, "no_such_host"), "{answer:?}");
    }
    assert_eq!(user.get("/hosts/nobody").status, 404);
}

#[test]
fn an_unknown_operation_is_400_and_names_the_field_and_the_choices() {
    let (_dashboard, user, _agent) = with_old_agent("web");
    let answer = user.post("/api/hosts/web/commands", &json!({ "op": "explode" }));
    assert_eq!(answer.status, 400);
    for word in ["op", "explode", "pull", "switch", "test"] {
        assert!(answer.message().contains(word), "{word}: {answer:?}");
    }
}

#[test]
fn a_body_that_is_not_what_was_expected_is_400_and_says_what_is_missing() {
    let (_dashboard, user, _agent) = with_old_agent("web");
    for body in ["", "{", "[]", "{\"operation\":\"pull\"}", "{\"op\":7}"] {
        let answer = user.post_text("/api/hosts/web/commands", body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_input"), "{body:?}");
    }
    let large = format!("{{\"op\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(user.post_text("/api/hosts/web/commands", &large).status, 413);
}

#[test]
fn a_busy_host_is_409_and_goes_on_with_what_it_does() {
    let (_dashboard, user, mut agent) = with_old_agent("web");
    let pull = user.start("web", "pull");
    agent.expect_command("pull");
    let answer = user.post("/api/hosts/web/commands", &json!({ "op": "test" }));
    assert_eq!((answer.status, answer.code().as_str()), (409, "host_busy"));
    assert!(answer.message().contains("pull"), "{answer:?}");
    assert_eq!(user.host("web")["pending_command"]["command_id"], pull.as_str());
}

#[test]
fn an_offline_host_is_409_and_says_that_the_command_may_be_queued() {
    let (_dashboard, user, agent) = with_old_agent("web");
    drop(agent);
    user.wait_for_offline("web");
    let answer = user.post("/api/hosts/web/commands", &json!({ "op": "pull" }));
    assert_eq!((answer.status, answer.code().as_str()), (409, "host_offline"));
    assert!(answer.message().contains("queue"), "{answer:?}");
}

#[test]
fn a_switch_without_a_remote_to_verify_against_is_409_with_the_reason() {
    let (_dashboard, user, _agent) = with_old_agent("web");
    let answer = user.post("/api/hosts/web/commands", &json!({ "op": "switch" }));
    assert_eq!((answer.status, answer.code().as_str()), (409, "remote_unavailable"));
    assert!(answer.message().contains("NIXFLEET_SOURCE"), "{answer:?}");
}

#[test]
fn a_visitor_sees_nothing_and_a_wrong_password_does_not_let_in() {
    let dashboard = Dashboard::start(&[]);
    let visitor = Client::visitor(&dashboard.url);
    assert_eq!(visitor.get("/").status, 303);
    assert_eq!(visitor.get("/events").status, 303);
    for path in ["/api/hosts", "/api/events", "/api/version", "/api/desired"] {
        assert_eq!(visitor.get(path).status, 401, "{path}");
    }
    let refused = visitor.try_login("wrong");
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(refused.text.contains("password"), "{refused:?}");
}

#[test]
fn a_change_without_the_pages_token_is_403() {
    let (_dashboard, user, _agent) = with_old_agent("web");
    let other_site = user.clone().without_csrf();
    let answer = other_site.post("/api/hosts/web/commands", &json!({ "op": "pull" }));
    assert_eq!((answer.status, answer.code().as_str()), (403, "csrf"));
    assert!(user.host("web")["pending_command"].is_null());
}

#[test]
fn the_repository_that_cannot_be_cloned_is_named_in_the_log_of_the_pull() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let nowhere = repo.remote().with_extension("nowhere");
    let _agent = Agent::start(&dashboard.url, "web", &nowhere);
    user.wait_for_online("web");
    let pull = user.run("web", "pull", "failed");
    let log = user.output(pull["command_id"].as_str().unwrap()).join("\n");
    assert!(log.contains("nowhere"), "{log}");
    // There is no checkout, and the row says so; of its flake.lock nothing is known.
    user.wait_for_row("web", "ok out unk out unk");
    assert!(user.says("web", "git").starts_with("No checkout on the host: pull"));
}

#[test]
fn a_missing_rebuild_program_is_named_in_the_row() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let missing = [("NIXFLEET_REBUILD", "/nonexistent/rebuild")];
    let _agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &missing);
    user.wait_for_row("web", "ok ok ok out unk");
    user.run("web", "switch", "failed");
    user.wait_for_row("web", "ok ok ok err out");
    let says = user.says("web", "system");
    assert!(says.contains("/nonexistent/rebuild"), "{says}");
}

#[test]
fn a_test_script_that_is_not_executable_fails_and_says_how_to_mend_it() {
    let repo = ConfigRepo::new();
    repo.mode("hosts/web/tests/T01-first.sh", 0o644);
    repo.push("forgot chmod");
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    let run = user.run("web", "test", "failed");
    let output = run["test_results"][0]["output"].as_str().unwrap();
    assert!(output.contains("chmod +x hosts/web/tests/T01-first.sh"), "{output}");
    user.wait_for_row("web", "ok ok ok out err");
}

#[test]
fn hostile_text_of_a_host_is_shown_as_text() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let mut agent = OldAgent::connect(&dashboard.url, TOKEN, "web").expect("the token is right");
    let evil = "<script>alert(1)</script>";
    agent.send(
        "register",
        &json!({
            "hostname": "web", "host_type": evil, "agent_version": evil, "os_version": evil,
            "theme_color": "red;}</style><script>", "location": evil, "device_type": evil,
            "generation": evil, "repo_url": evil,
        }),
    );
    user.wait_for_online("web");
    for page in ["/", "/hosts/web", "/events"] {
        let html = user.get(page).text;
        assert!(!html.contains("<script>alert"), "{page}");
        assert!(!html.contains("</style><script>"), "{page}");
    }
}

#[test]
fn contradictions_of_an_agent_are_recorded_and_change_nothing() {
    let (_dashboard, user, mut agent) = with_old_agent("web");
    let pull = user.start("web", "pull");
    agent.expect_command("pull");
    let nobodys = "0190a5c4-0000-7000-8000-000000000000";
    agent.send(
        "status",
        &json!({ "status": "ok", "command": "pull", "exit_code": 0, "command_id": nobodys }),
    );
    agent.status("ok", "pull", 70000, "");
    agent.send(
        "output_batch",
        &json!({ "command_id": nobodys, "first_seq": 1, "lines": [{ "stream": "stdout", "text": "x" }] }),
    );
    wait_until("all of it is in the audit log", || {
        let events = user.get("/api/events?host=web&category=protocol").json();
        if events.as_array().unwrap().len() == 3 { Ok(()) } else { Err(events) }
    });
    assert_eq!(user.command(&pull)["state"], "sent");
    assert_eq!(user.host("web")["generation"], "abc1234");
}

/// Pushes these tests of `web`, runs them there and answers their results.
fn run_of(repo: &ConfigRepo, scripts: &[(&str, &str)], settings: &[(&str, &str)]) -> Vec<Value> {
    for (name, script) in scripts {
        repo.test("web", name, &format!("#!/bin/sh\n{script}\n"));
    }
    repo.push("nasty tests");
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), settings);
    user.wait_for_row("web", "ok ok ok out unk");
    let run = user.run("web", "test", "failed");
    assert_eq!(user.row("web"), "ok ok ok out err");
    // The agent itself is the only process of that directory that goes on.
    wait_until("no test has left a process behind", || {
        let left = processes_of(agent.dir.path());
        if left.len() == 1 { Ok(()) } else { Err(left) }
    });
    run["test_results"].as_array().unwrap().clone()
}

fn outcomes(results: &[Value]) -> Vec<&str> {
    results.iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

#[test]
fn a_test_that_hangs_ends_and_the_next_one_runs() {
    let scripts = [
        ("T01-first.sh", "echo fine"),
        ("T02-hangs.sh", "sleep 1000 & sleep 1000"),
        ("T03-last.sh", "echo fine"),
    ];
    let limit = [("NIXFLEET_TEST_TIMEOUT", "15")];
    let results = run_of(&ConfigRepo::new(), &scripts, &limit);
    assert_eq!(outcomes(&results), ["passed", "timed_out", "passed"]);
}

#[test]
fn tests_that_flood_or_want_a_terminal_end_and_the_next_one_runs() {
    let scripts = [
        ("T01-first.sh", "echo fine"),
        ("T02-floods.sh", "head -c 20000000 /dev/zero | tr '\\0' 'x' | fold -w 1000"),
        ("T03-binary.sh", "head -c 10000 /dev/urandom"),
        ("T04-terminal.sh", "read -r answer && exit 0; test -t 0 && exit 0; exit 7"),
        ("T05-background.sh", "(sleep 1000; echo late) >/dev/null 2>&1 & echo started"),
        ("T06-tap.sh", "echo 1..2; echo ok 1; echo ok 2"),
    ];
    let results = run_of(&ConfigRepo::new(), &scripts, &[]);
    assert_eq!(outcomes(&results), ["passed", "passed", "passed", "failed", "passed", "passed"]);
    assert_eq!(results[5]["subtests"], json!({ "passed": 2, "failed": 0, "total": 2 }));
    assert!(results[1]["output"].as_str().unwrap().len() <= 70_000);
}

#[test]
fn what_a_test_starts_in_a_session_of_its_own_ends_with_it_22() {
    let repo = ConfigRepo::new();
    // Nobody else's sleep takes so long.
    let long = 900_000_000_u64 + u64::from(std::process::id());
    let starts = format!("setsid sleep {long} >/dev/null 2>&1 & sleep 1; echo started");
    let looks = format!(
        "for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <\"$p\" | grep -q '^sleep {long}' \
         && exit 1; done 2>/dev/null; exit 0"
    );
    for (name, script) in [("T01-starts.sh", starts), ("T02-looks.sh", looks)] {
        repo.test("web", name, &format!("#!/bin/sh\n{script}\n"));
    }
    repo.push("a test that leaves something");
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    let run = user.run("web", "test", "succeeded");
    assert_eq!(run["test_results"].as_array().unwrap().len(), 3, "{run}");
}

#[test]
fn a_reboot_needs_a_confirmation_and_the_one_time_code_where_that_is_set_up() {
    let (_dashboard, user, mut agent) = with_old_agent("web");
    let path = "/api/hosts/web/commands";
    let bare = user.post(path, &json!({ "op": "reboot" }));
    assert_eq!((bare.status, bare.code().as_str()), (409, "confirmation_required"));
    let sure = json!({ "op": "reboot", "args": { "confirmed": true } });
    assert_eq!(user.post(path, &sure).status, 202);
    agent.expect_command("reboot");

    let secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    let dashboard = Dashboard::start(&[("NIXFLEET_TOTP_SECRET", secret)]);
    let mut agent = OldAgent::join(&dashboard.url, "web", "abc1234");
    agent.heartbeat();
    let user = Client::login_with_code(&dashboard.url, &dashboard.password, secret);
    user.wait_for_online("web");
    for code in ["", "000000"] {
        let asked = json!({ "op": "reboot", "args": { "confirmed": true }, "totp": code });
        let answer = user.post(path, &asked);
        assert_eq!((answer.status, answer.code().as_str()), (403, "confirmation_required"));
    }
    let guess = json!({ "op": "reboot", "args": { "confirmed": true }, "totp": "000001" });
    let statuses: Vec<u16> = (0..10).map(|_| user.post(path, &guess).status).collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}
