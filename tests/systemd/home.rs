//! The agent of one user's home, run by that user's own service manager.

use crate::host::{Host, NAME};
use crate::runner::{Test, tests};
use serde_json::json;

pub const TESTS: &[Test] = tests![a_users_agent_runs_its_jobs_in_units_of_the_user];

/// The home of that user.
const HOME_NAME: &str = "me-laptop";
/// Makes the user, and puts the unit where home-manager puts it.
const MOVE_IN: &str = r"
useradd --create-home me
cp /etc/nixfleet-token /home/me/token
units=/home/me/.config/systemd/user
mkdir -p $units/default.target.wants
cp /run/current-system/home/nixfleet-agent.service $units/
ln -s ../nixfleet-agent.service $units/default.target.wants/
chown -R me: /home/me
# A path on the same machine that another user owns is no remote that a user has.
git config --system --add safe.directory '*'
systemctl start user@$(id -u me).service
";

fn a_users_agent_runs_its_jobs_in_units_of_the_user() {
    let mut host = Host::new();
    let agent = host.agent_settings();
    host.pull(&json!({ "home": { "agent": {
        "enable": true,
        "url": agent["url"],
        "repoUrl": agent["repoUrl"],
        "interval": 1,
        "hostname": HOME_NAME,
        "tokenFile": "/home/me/token",
        "environment": { "GREETING": "50% of \"it\"" },
    } } }));
    host.user.run(NAME, "switch", "succeeded");
    host.machine.run(&["bash", "-euc", MOVE_IN]);
    host.user.wait_for_online(HOME_NAME);
    let environ = "cat $(grep -lz ^GREETING= /proc/[0-9]*/environ | head -n 1)";
    let variables = host.machine.run(&["sh", "-c", environ]);
    let greeting = variables.split('\0').find_map(|one| one.strip_prefix("GREETING="));
    assert_eq!(greeting, Some("50% of \"it\""));
    // Who has seen it run has seen its unit.
    host.repo.test(
        HOME_NAME,
        "T01-where.sh",
        "#!/bin/sh\n# Name: Where\nid -un\ncat /proc/self/cgroup\n",
    );
    host.repo.push("a test that says where it runs");
    host.user.run(HOME_NAME, "pull", "succeeded");
    let test = host.user.run(HOME_NAME, "test", "succeeded");
    let said = host.user.output(test["command_id"].as_str().unwrap()).join("\n");
    assert!(said.contains("\nme\n"), "{said}");
    assert!(said.contains("/user@") && said.contains("/nixfleet-job-"), "{said}");
}
