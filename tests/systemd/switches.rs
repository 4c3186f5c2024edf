//! Switches under a real systemd: units that change, and the agent among them.

use crate::host::{AGENT, Host, NAME};
use crate::runner::{Test, tests};
use crate::support::wait_until;
use serde_json::json;

pub const TESTS: &[Test] = tests![
    a_switch_that_replaces_the_agent_is_told_whole_by_the_new_one,
    an_agent_killed_in_a_switch_is_back_and_tells_how_it_ended,
];

fn a_switch_that_replaces_the_agent_is_told_whole_by_the_new_one() {
    let mut host = Host::new();
    let (old_agent, old_system) = (host.agent(), host.runs());
    let commit = host.pull(&json!({ "release": "2" }));
    let id = host.user.start(NAME, "switch");
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "succeeded", "{command}");
    let output = host.user.output(&id);
    for line in [
        "building the system configuration...",
        "activating the configuration...",
        "restarting the following units: nixfleet-agent.service",
        &format!("Done. The new configuration is {}", host.runs()),
    ] {
        let times = output.iter().filter(|said| *said == line).count();
        assert_eq!(times, 1, "{line}: {output:#?}");
    }
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    assert_ne!(host.agent(), old_agent);
    assert_ne!(host.runs(), old_system);
    let exe = host.machine.run(&["readlink", &format!("/proc/{}/exe", host.agent())]);
    assert!(exe.contains("nixfleet-2"), "{exe}");
    let known = host.user.host(NAME);
    assert_eq!(known["system"]["configuration_revision"], commit.as_str(), "{known}");
    assert_eq!(known["system"]["generation"], 2, "{known}");
    wait_until("no unit of a job is left", || {
        let left = host.units_of_jobs();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

fn an_agent_killed_in_a_switch_is_back_and_tells_how_it_ended() {
    let mut host = Host::new();
    host.pull(&json!({ "motd": "two" }));
    let id = host.switch_until("activate");
    host.machine.run(&["systemctl", "kill", "--signal=KILL", AGENT]);
    wait_until("systemd has started it again", || {
        let restarts = host.machine.property(AGENT, "NRestarts");
        if restarts == "1" { Ok(()) } else { Err(restarts) }
    });
    host.open("activate");
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "succeeded", "{command}");
    host.user.wait_for_row(NAME, "ok ok ok ok out");
    assert!(host.user.output(&id).iter().any(|line| line.starts_with("Done. ")));
}
