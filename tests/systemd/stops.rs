//! Stop in every phase of a switch.

use crate::host::{ACTIVATION, Host, NAME};
use crate::runner::{Test, tests};
use crate::silence::Silence;
use crate::support::wait_until;
use serde_json::{Value, json};
use std::fs;

pub const TESTS: &[Test] = tests![
    a_switch_stopped_while_it_builds_changes_nothing,
    a_switch_stopped_before_it_activates_activates_nothing,
    a_stop_while_it_activates_lets_that_end_and_says_what_runs,
];

/// Those that wait for a minute: so long a stop lets an activation go on.
pub const LONG: &[Test] = tests![
    an_activation_that_does_not_end_is_stopped_after_a_minute,
    a_stop_that_cannot_end_the_activation_says_what_still_runs,
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

/// Waits until the job knows that it is to stop.
#[track_caller]
fn wait_for_the_mark(host: &Host, id: &str) {
    wait_until("the job is told to stop", || {
        let job = host.machine.file("/var/lib/nixfleet-agent/jobs").join(id);
        if job.join("stop").exists() { Ok(()) } else { Err("not yet") }
    });
}

// Finding systemd 1: the unit of nixos-rebuild went on, and `stopped` was said.
fn a_stop_while_it_activates_lets_that_end_and_says_what_runs() {
    let (mut host, id) = stopping_at("activate");
    let before = host.runs();
    wait_for_the_mark(&host, &id);
    assert_eq!(host.user.command(&id)["state"], "stopping");
    host.open("activate");
    let command = ended(&host, &id);
    assert_eq!(command["state"], "succeeded", "{command}");
    assert_ne!(host.runs(), before);
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    assert_eq!(host.user.host(NAME)["system"]["store_path"], host.runs());
    host.switches_again();
}

fn an_activation_that_does_not_end_is_stopped_after_a_minute() {
    let (mut host, id) = stopping_at("activate");
    let before = host.runs();
    wait_for_the_mark(&host, &id);
    // It is left alone for a while: what it does is not done by halves without need.
    assert_eq!(host.machine.units(ACTIVATION).len(), 1);
    let command = ended(&host, &id);
    assert_eq!(command["state"], "stopped", "{command}");
    assert_eq!(host.runs(), before);
    assert_eq!(host.user.host(NAME)["system"]["store_path"], before);
    host.open("activate");
    host.switches_again();
}

fn a_stop_that_cannot_end_the_activation_says_what_still_runs() {
    let mut host = Host::new();
    // Only the waiting for what cannot be ended is shorter than systemd's own.
    let dir = host.machine.file("/etc/systemd/system.conf.d");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("shorter.conf"), "[Manager]\nDefaultTimeoutStopSec=1\n").unwrap();
    host.machine.run(&["systemctl", "daemon-reload"]);
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("activate");
    let unit = host.machine.units(ACTIVATION).remove(0);
    // The gate is what the activation looks at.
    let silence = Silence::over(&host.machine, "/run/control", &unit);
    let answer = host.user.post(&format!("/api/commands/{id}/stop"), &json!({}));
    assert_eq!(answer.status, 202, "{answer:?}");
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "failed", "{command}");
    assert_eq!(command["reason"], format!("stopped, but {unit} still runs"));
    // Nothing is begun beside it.
    let blocked = host.user.run(NAME, "switch", "blocked");
    assert!(blocked["reason"].as_str().unwrap().contains(&unit), "{blocked}");
    drop(silence);
    wait_until("the activation has ended", || {
        let left = host.machine.units(ACTIVATION);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    host.machine.run(&["umount", "--lazy", "/run/control"]);
    host.open("activate");
    host.switches_again();
}
