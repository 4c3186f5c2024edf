//! Stop in every phase of a switch.

use crate::host::{Host, NAME};
use crate::runner::{Test, tests};
use serde_json::{Value, json};

pub const TESTS: &[Test] = tests![
    a_switch_stopped_while_it_builds_changes_nothing,
    a_switch_stopped_before_it_activates_activates_nothing,
];

/// A host whose switch waits at a gate, and was told to stop.
fn stopping_at(gate: &str) -> (Host, String) {
    let mut host = Host::new();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until(gate);
    let answer = host.user.post(&format!("/api/commands/{id}/stop"), &json!({}));
    assert_eq!(answer.status, 202, "{answer:?}");
    (host, id)
}

/// Looks at the machine at the moment when the command has ended; answers how.
fn ended(host: &Host, id: &str) -> Value {
    let command = host.wait_for_the_end(id);
    assert_eq!(host.units_of_jobs(), [""; 0], "{command}");
    let processes = host.machine.says(&["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
    assert!(!processes.contains("switch-to-configuration"), "{processes}");
    command
}

/// The same for a gate that stays closed.
fn stop_at(gate: &str) -> (Host, Value) {
    let (host, id) = stopping_at(gate);
    let command = ended(&host, &id);
    (host, command)
}

fn a_switch_stopped_while_it_builds_changes_nothing() {
    let (mut host, command) = stop_at("build");
    assert_eq!(command["state"], "stopped", "{command}");
    assert_eq!(host.user.host(NAME)["system"]["generation"], 1);
    host.open("build");
    host.switches_again();
}

fn a_switch_stopped_before_it_activates_activates_nothing() {
    let (mut host, command) = stop_at("profile");
    assert_eq!(command["state"], "stopped", "{command}");
    assert_eq!(host.user.host(NAME)["system"]["generation"], 1);
    host.open("profile");
    host.switches_again();
}
