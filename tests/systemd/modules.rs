//! The units that the modules make, started by systemd.

use crate::host::{AGENT, Host, NAME};
use crate::runner::{Test, tests};
use crate::support::{Client, wait_until};
use serde_json::json;
use std::fs;

const DASHBOARD: &str = "nixfleet-dashboard.service";

pub const TESTS: &[Test] = tests![
    the_agents_unit_is_watched_and_never_given_up,
    systemd_finds_no_fault_in_the_units_and_the_dashboard_is_confined,
    a_percent_sign_reaches_the_agent_as_it_is,
    an_agent_whose_clone_is_missing_is_online,
    a_switch_that_changes_the_dashboard_restarts_it_at_the_end,
];

// Findings systemd 11 and 12.
fn the_agents_unit_is_watched_and_never_given_up() {
    let host = Host::new();
    for (property, value) in [
        ("Type", "notify"),
        ("WatchdogUSec", "1min"),
        ("NRestarts", "0"),
        ("StartLimitIntervalUSec", "0"),
    ] {
        assert_eq!(host.machine.property(AGENT, property), value, "{property}");
    }
    let system = &host.user.host(NAME)["system"];
    assert_eq!(system["generation"], 1, "{system}");
    assert_eq!(system["store_path"], host.runs());
    // Finding systemd 15: the time stood there twice.
    let journal = host.machine.journal(AGENT);
    assert!(journal.contains("agent of alpha"), "{journal}");
    assert!(!journal.contains("[20") && !journal.contains("<6>"), "{journal}");
    // What it is does not depend on what the machine looks like.
    host.machine.run(&["rm", "/etc/NIXOS"]);
    host.machine.run(&["systemctl", "restart", AGENT]);
    host.user.wait_for_row(NAME, "ok ok ok ok unk");
}

/// A dashboard beside the agent, on a port of its own choice.
fn with_a_dashboard() -> Host {
    let dashboard = json!({
        "enable": true, "source": "/srv/config.git", "port": 0,
        "agentTokenFile": "/etc/nixfleet-token",
    });
    Host::with(&json!({ "services": { "dashboard": dashboard } }))
}

// Specification: packaging, "under 2.0".
fn systemd_finds_no_fault_in_the_units_and_the_dashboard_is_confined() {
    let host = with_a_dashboard();
    for unit in [AGENT, DASHBOARD] {
        let verified = host.machine.try_run(&["systemd-analyze", "verify", unit]).unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && !said.contains("nixfleet"), "{unit}: {said}");
    }
    let judged = host.machine.run(&["systemd-analyze", "security", "--no-pager", DASHBOARD]);
    let exposure = judged.lines().find_map(|line| {
        let (_, rest) =
            line.split_once("Overall exposure level for nixfleet-dashboard.service: ")?;
        rest.split(' ').next()?.parse::<f64>().ok()
    });
    assert!(exposure.is_some_and(|exposure| exposure < 2.0), "{judged}");
}

// Finding systemd 6.
fn a_percent_sign_reaches_the_agent_as_it_is() {
    let environment = json!({ "GREETING": "50%host %% and a $HOME" });
    let host = Host::with(&json!({ "services": { "agent": { "environment": environment } } }));
    let variables = host.machine.run(&["cat", &format!("/proc/{}/environ", host.agent())]);
    let greeting = variables.split('\0').find_map(|one| one.strip_prefix("GREETING="));
    assert_eq!(greeting, Some("50%host %% and a $HOME"));
}

// Finding systemd 8: it was only "offline".
fn an_agent_whose_clone_is_missing_is_online() {
    let clone = json!({ "repoUrl": null, "repoDir": "/srv/nothing" });
    let host = Host::installed(&json!({ "services": { "agent": clone } }));
    host.user.wait_for_online(NAME);
}

/// The address that the dashboard inside has chosen, by its journal.
fn address(host: &Host) -> String {
    wait_until("the dashboard says where it is", || {
        let journal = host.machine.journal(DASHBOARD);
        let said = journal.lines().rev().find_map(|line| line.split_once(" dashboard: "));
        said.map(|(_, url)| url.to_owned()).ok_or(journal)
    })
}

// Finding systemd 10: it was down for the whole activation.
fn a_switch_that_changes_the_dashboard_restarts_it_at_the_end() {
    let mut host = with_a_dashboard();
    let before = host.machine.property(DASHBOARD, "MainPID");
    let answers = |host: &Host| {
        wait_until("the dashboard answers", || {
            let answer = Client::visitor(&address(host)).try_get("/health");
            answer.filter(|answer| answer.status == 200).ok_or("not yet")
        });
    };
    answers(&host);
    let owner = host.machine.run(&["stat", "-c", "%U %a", "/var/lib/nixfleet"]);
    assert_eq!(owner, "nixfleet 700");
    host.pull(&json!({ "services": { "dashboard": { "branch": "stable" } } }));
    let id = host.switch_until("activate");
    answers(&host);
    assert_eq!(host.machine.property(DASHBOARD, "MainPID"), before);
    host.open("activate");
    host.user.wait_for_state(&id, "succeeded");
    assert_ne!(host.machine.property(DASHBOARD, "MainPID"), before);
    answers(&host);
    assert!(fs::exists(host.machine.file("/var/lib/nixfleet/nixfleet.db")).unwrap());
}
