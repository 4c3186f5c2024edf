//! Faults of the machine around a switch.

use crate::host::{AGENT, Host, NAME};
use crate::runner::{Test, tests};
use crate::support::wait_until;
use serde_json::json;
use std::fs;

pub const TESTS: &[Test] = tests![
    a_host_is_back_after_a_reboot_and_after_a_power_cut,
    an_agent_that_hangs_is_killed_by_the_watchdog_and_started_again,
    a_supervisor_killed_in_a_build_loses_the_command_and_leaves_nothing,
];

fn a_host_is_back_after_a_reboot_and_after_a_power_cut() {
    let mut host = Host::new();
    let before = host.runs();
    host.machine.reboot();
    host.user.wait_for_row(NAME, "ok ok ok ok unk");
    host.machine.cut_power();
    host.user.wait_for_offline(NAME);
    host.machine.boot();
    host.user.wait_for_row(NAME, "ok ok ok ok unk");
    assert_eq!(host.runs(), before);
    host.switches_again();
}

fn an_agent_that_hangs_is_killed_by_the_watchdog_and_started_again() {
    let host = Host::new();
    // Only the waiting is shorter than in the unit of the module.
    let dir = host.machine.file("/etc/systemd/system/nixfleet-agent.service.d");
    fs::create_dir_all(&dir).unwrap();
    let shorter = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n";
    fs::write(dir.join("shorter.conf"), shorter).unwrap();
    host.machine.run(&["systemctl", "daemon-reload"]);
    host.machine.run(&["systemctl", "restart", AGENT]);
    host.user.wait_for_online(NAME);
    let before = host.agent();
    host.machine.signal("STOP", &before);
    wait_until("another agent runs", || {
        let now = host.agent();
        let another = now != "0" && now != before;
        if another { Ok(()) } else { Err(now) }
    });
    host.user.wait_for_online(NAME);
    assert!(host.machine.journal(AGENT).contains("Watchdog timeout"));
}

/// The unit of the one job that runs.
fn unit_of_the_job(host: &Host) -> String {
    let units = host.machine.units("nixfleet-job-*");
    assert_eq!(units.len(), 1, "{units:?}");
    units[0].clone()
}

fn a_supervisor_killed_in_a_build_loses_the_command_and_leaves_nothing() {
    let mut host = Host::new();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("build");
    let supervisor = host.machine.property(&unit_of_the_job(&host), "MainPID");
    host.machine.signal("KILL", &supervisor);
    let command = host.wait_for_the_end(&id);
    assert!(["lost", "failed"].contains(&command["state"].as_str().unwrap()), "{command}");
    assert_eq!(host.user.host(NAME)["system"]["generation"], 1);
    wait_until("nothing of the job lives", || {
        let left = host.units_of_jobs();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    host.open("build");
    host.switches_again();
}
