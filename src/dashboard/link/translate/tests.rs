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
        "reboot_needed": true });
    let tests = json!({ "enabled": true, "auto_run": true, "timeout_s": 60, "count": 8 });
    let generation = json!({ "generation": 7, "store_path": "/nix/store/x",
        "configuration_revision": "abc1234", "created_at": "2026-01-01T00:00:00Z",
        "current": true });
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
                "boot_id": "b", "agent_started": "2026-01-01T00:00:00Z" }),
        ),
        (
            "heartbeat",
            json!({ "generation": "abc1234", "nixpkgs_version": "26.05pre",
                "pending_command": "switch", "command_pid": 7, "metrics": { "cpu": 1.0, "ram": 2.0,
                "swap": 3.0, "load": 4.0 }, "lock_hash": "", "source_commit": "abc1234",
                "store_path": "/nix/store/z", "binary_hash": "00", "command_id": ID,
                "system": system, "tests": tests, "generations": [generation] }),
        ),
        (
            "status",
            json!({ "status": "error", "command": "switch", "exit_code": 1, "message": "failed",
                "generation": "abc1234", "command_id": ID, "seq": 9, "lock_hash": "",
                "system": system, "tests": tests, "timed_out": true }),
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
            prop_assert!(longest <= MAX_TEXT + 40, "{longest}: {event:?}");
        }
    }
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
        assert_eq!(told.matches("Generation {").count(), MAX_GENERATIONS);
        assert_eq!(longest_text(&told), MAX_TEXT);
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
