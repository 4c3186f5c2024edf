//! Faults of the machine around a switch.

use crate::host::{AGENT, Host, NAME};
use crate::runner::{Test, tests};
use crate::support::wait_until;
use serde_json::json;
use std::fs;

pub const TESTS: &[Test] = tests![
    a_host_is_back_after_a_reboot_and_after_a_power_cut,
    a_reboot_in_a_build_interrupts_it_and_it_is_not_begun_again,
    a_reboot_in_an_activation_interrupts_it_and_the_row_says_what_runs,
    a_power_cut_in_a_switch_interrupts_it_and_it_never_runs_again,
    a_job_whose_unit_is_stopped_by_hand_was_interrupted,
    an_agent_that_hangs_in_a_switch_is_killed_by_the_watchdog_and_tells_how_it_ended,
    a_supervisor_killed_in_a_build_loses_the_command_and_leaves_nothing,
    a_supervisor_killed_in_an_activation_says_what_still_runs,
    a_full_disk_in_a_switch_loses_neither_its_outcome_nor_the_link,
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

/// What a switch says first.
const BEGINS: &str = "building the system configuration";

/// The end of a command that a machine that went down has interrupted. It is told once the machine
/// is back, and nothing of it ever runs again.
fn was_interrupted(host: &Host, id: &str) {
    let lines = host.user.output(id);
    let command = host.wait_for_the_end(id);
    assert_eq!(command["state"], "lost", "{command}");
    assert!(command["reason"].as_str().unwrap().contains("nterrupted"), "{command}");
    assert_eq!(command["exit_code"], json!(null), "{command}");
    host.user.wait_for_online(NAME);
    host.user.wait_for_idle(NAME);
    assert_eq!(host.units_of_jobs(), [""; 0]);
    let begun = |lines: &[String]| lines.iter().filter(|line| line.starts_with(BEGINS)).count();
    assert_eq!((begun(&lines), begun(&host.user.output(id))), (1, 1), "{lines:#?}");
    wait_until("the row says what runs", || {
        let (said, runs) = (host.user.host(NAME)["system"]["store_path"].clone(), host.runs());
        if said == runs.as_str() { Ok(()) } else { Err((said, runs)) }
    });
}

fn a_reboot_in_a_build_interrupts_it_and_it_is_not_begun_again() {
    let mut host = Host::new();
    let before = host.runs();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("build");
    host.machine.reboot();
    was_interrupted(&host, &id);
    assert_eq!(host.runs(), before);
    host.switches_again();
}

fn a_reboot_in_an_activation_interrupts_it_and_the_row_says_what_runs() {
    let mut host = Host::new();
    let before = host.runs();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("activate");
    host.machine.reboot();
    was_interrupted(&host, &id);
    // Profile and boot loader were set before: the new system was booted.
    assert_ne!(host.runs(), before);
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    host.switches_again();
}

fn a_power_cut_in_a_switch_interrupts_it_and_it_never_runs_again() {
    let mut host = Host::new();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("profile");
    host.machine.cut_power();
    host.user.wait_for_offline(NAME);
    host.machine.boot();
    was_interrupted(&host, &id);
    assert_eq!(host.user.command(&id)["reason"], "Interrupted by a restart of the machine.");
    host.switches_again();
}

// Finding systemd 3: it was recorded as a failure.
fn a_job_whose_unit_is_stopped_by_hand_was_interrupted() {
    let mut host = Host::new();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("build");
    host.machine.run(&["systemctl", "stop", &unit_of_the_job(&host)]);
    was_interrupted(&host, &id);
    host.open("build");
    host.switches_again();
}

fn an_agent_that_hangs_in_a_switch_is_killed_by_the_watchdog_and_tells_how_it_ended() {
    let mut host = Host::new();
    // Only the waiting is shorter than in the unit of the module.
    let dir = host.machine.file("/etc/systemd/system/nixfleet-agent.service.d");
    fs::create_dir_all(&dir).unwrap();
    let shorter = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n";
    fs::write(dir.join("shorter.conf"), shorter).unwrap();
    host.machine.run(&["systemctl", "daemon-reload"]);
    host.machine.run(&["systemctl", "restart", AGENT]);
    host.user.wait_for_online(NAME);
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("profile");
    let before = host.agent();
    host.machine.signal("STOP", &before);
    wait_until("another agent runs", || {
        let now = host.agent();
        let another = now != "0" && now != before;
        if another { Ok(()) } else { Err(now) }
    });
    assert!(host.machine.journal(AGENT).contains("Watchdog timeout"));
    host.open("profile");
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "succeeded", "{command}");
    assert!(host.user.output(&id).iter().any(|line| line.starts_with("Done. ")));
    host.user.wait_for_row(NAME, "ok ok ok ok out");
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
    assert_eq!(command["state"], "lost", "{command}");
    assert_eq!(host.user.host(NAME)["system"]["generation"], 1);
    wait_until("nothing of the job lives", || {
        let left = host.units_of_jobs();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    host.open("build");
    host.switches_again();
}

fn a_supervisor_killed_in_an_activation_says_what_still_runs() {
    let mut host = Host::new();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("activate");
    let supervisor = host.machine.property(&unit_of_the_job(&host), "MainPID");
    host.machine.signal("KILL", &supervisor);
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "lost", "{command}");
    let reason = command["reason"].as_str().unwrap();
    assert!(reason.contains("switch-to-configuration that it began still runs"), "{command}");
    let blocked = host.user.run(NAME, "switch", "blocked");
    assert!(blocked["reason"].as_str().unwrap().contains("activates"), "{blocked}");
    // The dashboard has heard what ran before that ends.
    host.wait_for_two_heartbeats();
    host.open("activate");
    // Nobody waits for it any more: what runs is seen by itself.
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    host.switches_again();
}

// Finding systemd 2: the host went offline, with its job "running", until there was room.
fn a_full_disk_in_a_switch_loses_neither_its_outcome_nor_the_link() {
    let mut host = Host::new();
    let jobs = "/var/lib/nixfleet-agent/jobs";
    host.machine.run(&["systemctl", "stop", AGENT]);
    host.machine.run(&["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", jobs]);
    host.machine.run(&["systemctl", "start", AGENT]);
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("profile");
    let fill = |host: &Host| {
        let fill = format!("cat /dev/zero 2> /dev/null >> {jobs}/fill; df --output=avail {jobs}");
        let left = host.machine.says(&["sh", "-c", &fill]);
        assert_eq!(left.lines().last().map(str::trim), Some("0"), "{left}");
    };
    fill(&host);
    host.open("profile");
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "succeeded", "{command}");
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    // An agent that is started on it is online, and says what it has.
    let before = host.agent();
    host.machine.run(&["systemctl", "kill", "--signal=KILL", AGENT]);
    wait_until("another agent runs", || {
        let now = host.agent();
        if now != "0" && now != before { Ok(()) } else { Err(now) }
    });
    host.user.wait_for_online(NAME);
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    // The job that ended has made some.
    fill(&host);
    let pull = host.user.run(NAME, "pull", "rejected");
    assert!(pull["reason"].as_str().unwrap().contains("disk"), "{pull}");
    host.machine.run(&["rm", &format!("{jobs}/fill")]);
    host.switches_again();
}
