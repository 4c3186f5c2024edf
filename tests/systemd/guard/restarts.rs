//! Restarts of the machine in the middle, and activations that take their time.

use super::{PROBE, host, write_probe};
use crate::host::NAME;
use crate::runner::{Test, tests};
use crate::support::wait_until;
use serde_json::json;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = tests![
    a_machine_that_is_restarted_in_each_phase_runs_no_return,
    an_activation_that_takes_longer_than_the_window_is_kept,
];

/// The default of the next boot is the system of before: a return would only be in its way.
fn a_machine_that_is_restarted_in_each_phase_runs_no_return() {
    let mut host = host();
    write_probe(&host, PROBE);
    for (phase, reason) in [
        ("activate", "the system of before was booted"),
        ("confirm", "the system of before was booted"),
        ("keep", "Interrupted by a restart of the machine in its last step"),
    ] {
        host.pull(&json!({ "motd": format!("restarted in {phase}") }));
        let before = host.before();
        let id = host.switch_held_in(phase);
        host.machine.reboot();
        host.machine.run(&["mkdir", "-p", "/run/control"]);
        host.user.wait_for_online(NAME);
        host.came_back(&id, &before, "lost", reason);
        let output = host.user.output(&id);
        assert!(!output.iter().any(|line| line.contains("comes back:")), "{phase}: {output:#?}");
    }
    host.is_kept_without_the_fault(&json!({ "motd": "not restarted" }));
}

/// Longer than the window, and within its own limit: the window begins when it has ended.
fn an_activation_that_takes_longer_than_the_window_is_kept() {
    let mut host = host();
    host.pull(&json!({ "motd": "slow" }));
    let before = host.before();
    let id = host.switch_held_in("activate");
    let began = Instant::now();
    wait_until("it took longer than the window", || {
        if began.elapsed() > Duration::from_secs(13) { Ok(()) } else { Err(began.elapsed()) }
    });
    host.open("activate");
    host.was_kept(&id, &before);
}
