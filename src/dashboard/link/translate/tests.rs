use super::*;
use crate::protocol::AgentMessage;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Debug;

fn looks(location: &str, device_type: &str, theme_color: &str) -> HostProfile {
    let register = Register {
        hostname: "web".to_owned(),
        location: location.to_owned(),
        device_type: device_type.to_owned(),
        theme_color: theme_color.to_owned(),
        ..Register::default()
    };
    registration(&register).profile
}

#[test]
fn what_an_agent_says_of_its_looks_is_of_the_vocabulary_or_nothing() {
    let told = looks("work", "laptop", "#7AA2F7");
    assert_eq!(told.location, Some(Place::Work));
    assert_eq!(told.device_type, Some(DeviceType::Laptop));
    assert_eq!(told.theme_color.as_ref().map(Colour::as_str), Some("#7aa2f7"));
    for hostile in ["", "Work", "<script>", "work\0", "#7aa2f7;x:url()", "../../etc"] {
        let told = looks(hostile, hostile, hostile);
        assert_eq!((told.location, told.device_type, told.theme_color), (None, None, None));
    }
}

#[test]
fn an_empty_lock_hash_means_none_only_from_an_agent_that_can_say_so() {
    for (protocol, expected) in [(None, None), (Some(3), None), (Some(4), Some(LockState::Absent))]
    {
        let lock_hash = Some(String::new());
        let register = Register { protocol, lock_hash, ..Register::default() };
        assert_eq!(registration(&register).report.lock, expected, "{protocol:?}");
    }
}

/// What a host prints decides nothing: only the first words of an agent's own reason do, where it
/// failed and speaks protocol 4.
#[test]
fn a_switch_that_its_guard_took_back_is_known_by_the_first_words_of_the_agents_reason_alone() {
    let told = |word: &str, message: &str, protocol| {
        let payload = json!({ "status": word, "exit_code": 1, "message": message });
        let Some(AgentMessage::Status(told)) = parsed("status", &payload) else { panic!("{word}") };
        let HostEvent::Ended { outcome, .. } = status(&told, protocol) else { panic!("{word}") };
        (outcome.kind, outcome.message.unwrap_or_default())
    };
    let returned = "Rolled back by itself: no link to the dashboard";
    let missing = (OutcomeKind::Returned, "no link to the dashboard".to_owned());
    assert_eq!(told("error", returned, Protocol::V4), missing);
    let nothing = (OutcomeKind::Returned, String::new());
    assert_eq!(told("error", "Rolled back by itself:", Protocol::V4), nothing);
    for (word, message, protocol, kind) in [
        ("error", returned, Protocol::V3, OutcomeKind::Failed),
        ("stopped", returned, Protocol::V4, OutcomeKind::Stopped),
        ("ok", returned, Protocol::V4, OutcomeKind::Exited),
        ("error", "error: Rolled back by itself: x", Protocol::V4, OutcomeKind::Failed),
        ("error", "", Protocol::V4, OutcomeKind::Failed),
    ] {
        assert_eq!(told(word, message, protocol), (kind, message.to_owned()), "{word} {message}");
    }
}

/// What the room makes of a message, as text; nothing of what it leaves out.
fn understood(message: &AgentMessage, protocol: Protocol) -> Option<Box<dyn Debug>> {
    match message {
        AgentMessage::Register(message) => Some(Box::new(registration(message))),
        AgentMessage::Heartbeat(message) => Some(Box::new(heartbeat(message, protocol))),
        AgentMessage::Status(message) => Some(Box::new(status(message, protocol))),
        AgentMessage::CommandComplete(message) => Some(Box::new(complete(message))),
        AgentMessage::CommandRejected(message) => Some(Box::new(rejected(message))),
        AgentMessage::TestProgress(message) => Some(Box::new(test_progress(message))),
        AgentMessage::Output(_)
        | AgentMessage::OutputBatch(_)
        | AgentMessage::CommandAccepted(_)
        | AgentMessage::CommandPhase(_)
        | AgentMessage::OperationProgress(_)
        | AgentMessage::TestResult(_) => None,
    }
}

fn parsed(kind: &str, payload: &Value) -> Option<AgentMessage> {
    let frame = json!({ "type": kind, "payload": payload }).to_string();
    AgentMessage::parse(&frame).ok().flatten()
}

fn event(kind: &str, payload: &Value) -> String {
    let message = parsed(kind, payload).expect("a frame of a 3.x agent is understood");
    let event = understood(&message, Protocol::of(None)).expect("and means something");
    format!("{event:?}")
}

/// The longest quoted text in what `{:?}` wrote, in characters.
fn longest_text(debug: &str) -> usize {
    let (mut longest, mut length, mut inside) = (0, 0, false);
    let mut chars = debug.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                inside = !inside;
                longest = longest.max(length);
                length = 0;
            }
            '\\' if inside => {
                length += 1;
                if chars.next() == Some('u') {
                    let _ = chars.by_ref().find(|c| *c == '}');
                }
            }
            _ if inside => length += 1,
            _ => {}
        }
    }
    longest
}

const ID: &str = "01928000-0000-7000-8000-000000000000";

/// A frame of each kind with every field of it.
fn whole_frames() -> Vec<(&'static str, Value)> {
    let system = json!({ "generation": 7, "store_path": "/nix/store/x", "configuration_revision":
        "abc1234", "activated_at": "2026-01-01T00:00:00Z", "agent_path": "/nix/store/y",
        "reboot_needed": true, "booted_kernel": "6.12.7", "next_kernel": "6.12.8",
        "profile_path": "/nix/store/x" });
    let built = json!({ "commit": "abc1234", "lock_hash": "", "dirty": false, "next_boot": true,
        "path": "/nix/store/b" });
    let tests = json!({ "enabled": true, "auto_run": true, "timeout_s": 60, "count": 8 });
    let generation = json!({ "generation": 7, "store_path": "/nix/store/x",
        "configuration_revision": "abc1234", "created_at": "2026-01-01T00:00:00Z",
        "current": true });
    let disk = json!({ "mount": "/boot", "free": 1, "total": 2, "inodes_free": 3 });
    let job = json!({ "command_id": ID, "op": "switch", "state": "running", "last_seq": 3 });
    vec![
        (
            "register",
            json!({ "hostname": "web", "host_type": "nixos", "agent_version": "3.1.5",
                "os_version": "26.05", "nixpkgs_version": "26.05pre", "generation": "abc1234",
                "theme_color": "#7aa2f7", "heartbeat_interval": 5, "location": "home",
                "device_type": "server", "repo_url": "https://example.org/r", "repo_dir": "/r",
                "source_commit": "abc1234", "store_path": "/nix/store/z", "binary_hash": "00",
                "protocol": 4, "features": ["resume"], "platform": "nixos",
                "boot_time": "2026-01-01T00:00:00Z", "branch": "main", "tests": tests,
                "system": system, "generations": [generation], "jobs": [job], "lock_hash": "",
                "boot_id": "b", "agent_started": "2026-01-01T00:00:00Z",
                "disk": [disk], "notices": ["a job was set aside"], "checkout": "abc1234",
                "expected_agent_path": "/nix/store/a", "tags": ["a"], "signers": ["/etc/s"] }),
        ),
        (
            "heartbeat",
            json!({ "generation": "abc1234", "nixpkgs_version": "26.05pre",
                "pending_command": "switch", "command_pid": 7, "metrics": { "cpu": 1.0, "ram": 2.0,
                "swap": 3.0, "load": 4.0 }, "lock_hash": "", "source_commit": "abc1234",
                "store_path": "/nix/store/z", "binary_hash": "00", "command_id": ID,
                "system": system, "tests": tests, "generations": [generation],
                "disk": [disk], "notices": ["a job was set aside"] }),
        ),
        (
            "status",
            json!({ "status": "error", "command": "switch", "exit_code": 1, "message": "failed",
                "generation": "abc1234", "command_id": ID, "seq": 9, "lock_hash": "",
                "system": system, "tests": tests, "timed_out": true, "blocked_by": ["space"],
                "built": built }),
        ),
        ("command_complete", json!({ "command": "switch", "exit_code": 0 })),
        (
            "command_rejected",
            json!({ "reason": "busy", "current_command": "pull", "current_pid": 7,
                "command_id": ID, "current_command_id": ID }),
        ),
        (
            "test_progress",
            json!({ "current": 1, "total": 8, "passed": 0, "running": true, "result": "GPU",
                "command_id": ID }),
        ),
    ]
}

#[test]
fn every_field_of_the_whole_frames_is_read() {
    for (kind, payload) in whole_frames() {
        let message = parsed(kind, &payload).expect(kind);
        let written: Value = serde_json::from_str(&message.to_frame()).unwrap();
        for name in payload.as_object().unwrap().keys() {
            assert!(written["payload"].get(name).is_some(), "{kind}: {name}");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        (".{1,8}", 1_usize..2_000).prop_map(|(text, times)| Value::from(text.repeat(times))),
    ];
    leaf.prop_recursive(3, 32, 12, |inner| {
        let known = prop_oneof!["[a-z_]{1,12}", Just("store_path".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::btree_map(known, inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

/// Every place in a value, as a JSON pointer.
fn places(value: &Value, above: &str, found: &mut Vec<String>) {
    found.push(above.to_owned());
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                places(inner, &format!("{above}/{name}"), found);
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                places(inner, &format!("{above}/{at}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    /// "What one host makes the dashboard store is bounded" (spec: protocol).
    #[test]
    fn whatever_stands_in_a_frame_the_text_that_comes_of_it_is_bounded(
        kind in 0_usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4),
        old in any::<bool>(),
    ) {
        let (kind, mut payload) = whole_frames().swap_remove(kind);
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&payload, "", &mut found);
            if let Some(at) = payload.pointer_mut(place.get(&found).as_str()) {
                *at = value;
            }
        }
        let protocol = Protocol::of(if old { None } else { Some(4) });
        if let Some(message) = parsed(kind, &payload) {
            let event = understood(&message, protocol).expect(kind);
            let longest = longest_text(&format!("{event:?}"));
            prop_assert!(longest <= bounds::PATH, "{longest}: {event:?}");
        }
    }
}

/// The same for every text of every message, one by one.
#[test]
fn each_text_of_each_message_is_bounded_9() {
    let mut tried = 0;
    for (kind, whole) in whole_frames() {
        let mut found = Vec::new();
        places(&whole, "", &mut found);
        for place in found {
            let mut payload = whole.clone();
            let text = payload.pointer_mut(&place).filter(|value| value.is_string());
            let Some(text) = text else { continue };
            *text = format!("/{}", "x".repeat(100_000)).into();
            let Some(message) = parsed(kind, &payload) else { continue };
            for protocol in [None, Some(4)] {
                let event = understood(&message, Protocol::of(protocol)).expect(kind);
                let longest = longest_text(&format!("{event:?}"));
                assert!(longest <= bounds::PATH, "{kind}{place}: {longest}");
            }
            tried += 1;
        }
    }
    assert!(tried > 40, "only {tried} texts");
}

#[test]
fn generations_are_ten_at_most_and_their_texts_are_bounded() {
    let long = "x".repeat(100_000);
    let one = json!({ "generation": 1, "store_path": long, "configuration_revision": long });
    let list = vec![one; 500];
    let beat = parsed("heartbeat", &json!({ "generations": list })).unwrap();
    let register = parsed("register", &json!({ "hostname": "web", "generations": list })).unwrap();
    for message in [beat, register] {
        let told = format!("{:?}", understood(&message, Protocol::of(Some(4))).unwrap());
        assert_eq!(told.matches("Generation {").count(), bounds::GENERATIONS);
        assert_eq!(longest_text(&told), bounds::NAME, "a path that is too long is none");
    }
}

#[test]
fn a_3_x_agents_register_says_who_it_is_and_no_more_than_it_knows() {
    let payload = json!({ "hostname": "web", "host_type": "macos", "agent_version": "3.1.5",
        "os_version": "26.05", "nixpkgs_version": "26.05pre", "generation": "unknown",
        "theme_color": "#7aa2f7", "heartbeat_interval": 5, "location": "home",
        "device_type": "server", "repo_url": "", "repo_dir": "/var/lib/nixfleet-agent/repo",
        "source_commit": "source-1", "binary_hash": "binary-1" });
    let Some(AgentMessage::Register(register)) = parsed("register", &payload) else {
        panic!("no register")
    };
    let told = registration(&register);
    assert_eq!(told.protocol, None);
    assert_eq!(told.profile.platform, "darwin");
    assert_eq!(told.profile.location, Some(Place::Home));
    assert_eq!((told.report.checkout, told.report.lock), (None, None));
    assert_eq!((told.jobs, told.report.system, told.report.generations), (None, None, None));
}

#[test]
fn a_3_x_agents_heartbeat_says_what_it_works_on_and_nothing_of_its_own_opinion() {
    let mut payload = json!({ "generation": "abc1234", "nixpkgs_version": "26.05pre",
        "pending_command": "switch", "command_pid": 4711,
        "metrics": { "cpu": 12.5, "ram": 140.0, "swap": -1.0, "load": 0.3 },
        "update_status": { "git": { "status": "ok", "message": "m", "checked_at": "x" } },
        "source_commit": "source-1", "binary_hash": "binary-1" });
    let told = event("heartbeat", &payload);
    assert!(told.contains("work: Some(Work { id: None, name: \"switch\" })"), "{told}");
    assert!(told.contains("cpu: 12.5, ram: 100.0, swap: 0.0, load: 0.3"), "{told}");
    assert!(!told.contains("checked_at"), "{told}");
    for nothing in [json!(null), json!("")] {
        payload["pending_command"] = nothing;
        assert!(event("heartbeat", &payload).contains("work: None"));
    }
}

#[test]
fn a_3_x_agents_outcomes_name_a_command_and_never_an_id() {
    for (status, exit_code, kind) in
        [("ok", 0, "Exited"), ("error", 1, "Failed"), ("stopped", 130, "Stopped")]
    {
        let payload = json!({ "status": status, "command": "switch", "exit_code": exit_code,
            "generation": "abc1234", "message": "command failed" });
        let told = event("status", &payload);
        assert!(told.contains("about: Name(\"switch\")"), "{told}");
        assert!(told.contains(&format!("kind: {kind}, exit_code: {exit_code}")), "{told}");
    }
    let told = event("command_complete", &json!({ "command": "test", "exit_code": 130 }));
    assert!(told.contains("kind: Stopped"), "{told}");
    let refused = json!({ "reason": "command already running", "current_command": "pull" });
    let told = event("command_rejected", &refused);
    assert!(told.contains("reason: \"command already running\""), "{told}");
    assert!(told.contains("name: \"pull\""), "{told}");
}

#[test]
fn a_3_x_agents_test_progress_may_be_anything_but_a_name() {
    for (result, text) in [
        (json!("GPU acceleration"), "Test 3 of 8: GPU acceleration"),
        (json!({ "name": "GPU", "passed": true }), "Test 3 of 8"),
        (Value::Null, "Test 3 of 8"),
    ] {
        let payload = json!({ "current": 3, "total": 8, "passed": 2, "running": true,
            "result": result });
        let told = event("test_progress", &payload);
        assert!(told.contains(&format!("text: \"{text}\"")), "{told}");
    }
}

#[test]
fn disks_and_notices_of_a_host_are_bounded_and_its_figures_make_sense() {
    let disk = json!({"mount": "/\u{7}boot", "free": 300, "total": 200, "inodes_free": 7});
    let payload = json!({
        "generation": "", "nixpkgs_version": "", "disk": vec![disk; 100],
        "notices": vec!["x".repeat(1000); 100],
    });
    let Some(AgentMessage::Heartbeat(beat)) = parsed("heartbeat", &payload) else { panic!() };
    let HostEvent::Heartbeat { report, .. } = heartbeat(&beat, Protocol::of(Some(4))) else {
        panic!()
    };
    let disks = report.disks.unwrap();
    let expected = Disk { mount: "/boot".into(), free: 200, total: 200, inodes_free: Some(7) };
    assert_eq!((disks.len(), &disks[0]), (bounds::DISKS, &expected));
    assert_eq!(report.notices, vec!["x".repeat(bounds::TEXT); bounds::NOTICES]);
}

#[test]
fn a_user_may_go_on_regardless_of_what_this_dashboard_has_a_word_for() {
    let payload = json!({
        "status": "blocked", "command": "switch", "exit_code": 1, "message": "no room",
        "blocked_by": ["space", "the moon", "power"],
    });
    let Some(AgentMessage::Status(told)) = parsed("status", &payload) else { panic!() };
    let HostEvent::Ended { outcome, .. } = status(&told, Protocol::of(Some(4))) else { panic!() };
    assert_eq!(outcome.blocked_by, [Regardless::Space, Regardless::Power]);
}

/// Finding 9 of the security review.
#[test]
fn jobs_and_files_of_signers_are_bounded() {
    let job = json!({ "command_id": "0198c0de-0000-7000-8000-000000000001", "op": "pull",
        "state": "finished", "last_seq": 0 });
    let payload = json!({ "hostname": "web", "protocol": 4, "jobs": vec![job; 400],
        "signers": vec!["/etc/signers"; 100] });
    let Some(AgentMessage::Register(register)) = parsed("register", &payload) else { panic!() };
    let told = registration(&register);
    assert_eq!(told.jobs.map(|jobs| jobs.len()), Some(bounds::JOBS));
    assert_eq!(told.profile.signers, vec!["/etc/signers"; bounds::SIGNERS]);
}

/// Findings 8 and 9 of the security review.
#[test]
fn what_a_test_printed_is_bounded_and_names_no_secret_of_an_address() {
    let told = |output: String| {
        let payload = json!({ "command_id": "0198c0de-0000-7000-8000-000000000001", "index": 1,
            "total": 1, "name": "x".repeat(1000), "outcome": "passed", "output": output });
        let Some(message) = parsed("test_result", &payload) else { panic!() };
        let beyond = exceeded(&message);
        let AgentMessage::TestResult(result) = message else { panic!() };
        (test_result(result), beyond)
    };
    let (fits, beyond) = told("x".repeat(bounds::TEST_OUTPUT));
    assert_eq!((fits.output.len(), beyond), (bounds::TEST_OUTPUT, vec![rows::NAME]));
    assert_eq!(fits.name.len(), bounds::NAME);
    let (cut, beyond) = told("x".repeat(bounds::TEST_OUTPUT + 1));
    assert!(cut.output.len() <= bounds::TEST_OUTPUT && cut.output.contains("left out"));
    assert_eq!(beyond, [rows::NAME, rows::TEST_OUTPUT]);
    let (clean, _) = told("from http://ghp_token@example.org/x".to_owned());
    assert_eq!(clean.output, "from http://…@example.org/x");
}
