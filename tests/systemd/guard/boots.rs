//! What cannot be activated, and starts at the next boot.

use super::{Systems, host, host_with};
use crate::host::{Host, NAME};
use crate::runner::{Test, tests};
use crate::support::wait_until;
use serde_json::{Value, json};

pub const TESTS: &[Test] = tests![
    a_system_that_cannot_be_activated_starts_at_the_next_boot,
    a_rollback_that_cannot_be_activated_asks_first,
    what_is_asked_to_start_at_the_next_boot_activates_nothing_forwards_and_back,
    a_kernel_that_does_not_fit_on_boot_is_blocked_before_anything_changes,
];

impl Host {
    /// Nothing was activated, and the new system starts at the next boot. Answers it.
    #[track_caller]
    fn waits_for_a_boot(&self, id: &str, before: &Systems, why: &str) -> String {
        let command = self.wait_for_the_end(id);
        let output = self.user.output(id);
        assert_eq!(command["state"], "succeeded", "{command} {output:#?}");
        let said = command["reason"].as_str().unwrap_or_default();
        assert!(said.contains("starts at the next boot"), "{command}");
        assert!(output.iter().any(|line| line.contains(why)), "{why}: {output:#?}");
        let [runs, profile, default] = self.systems();
        assert_eq!(runs, before.old, "{command}");
        assert!(profile == default && profile != runs, "{profile} {default} {command}");
        self.nothing_is_left();
        self.user.wait_for_saying(NAME, "system", "reboot to finish");
        profile
    }

    /// Boots the machine; what boots is current then, and nobody is told to do more.
    #[track_caller]
    fn boots_into(&mut self, new: &str) {
        self.machine.reboot();
        self.machine.run(&["mkdir", "-p", "/run/control"]);
        self.user.wait_for_row(NAME, "ok ok ok ok out");
        assert_eq!(self.systems(), [new, new, new].map(str::to_owned));
    }
}

fn of_dbus(version: &str) -> Value {
    json!({ "fault": "", "inhibitors": { "dbus": version } })
}

fn a_system_that_cannot_be_activated_starts_at_the_next_boot() {
    let mut host = host_with(&of_dbus("a"));
    let (id, before) = host.guarded_switch_to(&of_dbus("b"));
    let new = host.waits_for_a_boot(&id, &before, "dbus would change");
    host.boots_into(&new);
    // The same inhibitors: it is activated as ever.
    host.is_kept_without_the_fault(&json!({ "motd": "two" }));
    let (id, before) = host.guarded_switch_to(&json!({ "fault": "init" }));
    let new = host.waits_for_a_boot(&id, &before, "cannot replace the one that runs");
    host.boots_into(&new);
    // Killed before the boot entry is written: it is written all the same.
    host.pull(&of_dbus("c"));
    let before = host.before();
    let id = host.switch_held_in("keep");
    host.machine.signal("KILL", &host.supervisor(&id));
    host.open("boot");
    host.waits_for_a_boot(&id, &before, "dbus would change");
}

fn a_rollback_that_cannot_be_activated_asks_first() {
    let mut host = host_with(&of_dbus("a"));
    let (id, before) = host.guarded_switch_to(&of_dbus("b"));
    let new = host.waits_for_a_boot(&id, &before, "dbus would change");
    host.boots_into(&new);
    let rollback = host.user.run(NAME, "rollback", "blocked");
    assert_eq!(rollback["blocked_by"], json!(["inhibitors"]), "{rollback}");
    assert_eq!(host.systems(), [new.clone(), new.clone(), new]);
    host.nothing_is_left();
    let asks = |op: &str, args: Value| {
        let body = json!({ "op": op, "args": args });
        let answer = host.user.post(&format!("/api/hosts/{NAME}/commands"), &body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["command_id"].as_str().unwrap().to_owned()
    };
    let id = asks("rollback", json!({ "regardless": ["inhibitors"] }));
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "succeeded", "{command} {:#?}", host.user.output(&id));
    let old = before.old;
    assert_eq!(host.systems(), [old.clone(), old.clone(), old]);
}

fn what_is_asked_to_start_at_the_next_boot_activates_nothing_forwards_and_back() {
    let mut host = host();
    host.pull(&json!({ "motd": "two" }));
    let asks = |host: &Host, op: &str| {
        let body = json!({ "op": op, "args": { "boot": true } });
        let answer = host.user.post(&format!("/api/hosts/{NAME}/commands"), &body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["command_id"].as_str().unwrap().to_owned()
    };
    let before = host.before();
    let id = asks(&host, "switch");
    let new = host.waits_for_a_boot(&id, &before, "It is to start at the next boot.");
    host.boots_into(&new);
    let now = host.before();
    let id = asks(&host, "rollback");
    let old = host.waits_for_a_boot(&id, &now, "It is to start at the next boot.");
    assert_eq!(old, before.old);
    host.machine.reboot();
    wait_until("the row says what runs", || {
        let told = host.user.host(NAME);
        if told["system"]["store_path"] == old.as_str() { Ok(()) } else { Err(told) }
    });
    assert_eq!(host.systems(), [old.clone(), old.clone(), old]);
    // What was left is held, before that boot and after it.
    let told = host.user.host(NAME);
    assert_eq!(told["held"]["left"][0]["path"], new.as_str(), "{told}");
}

fn a_kernel_that_does_not_fit_on_boot_is_blocked_before_anything_changes() {
    let mut host = host();
    let make = "mkdir -p /srv/kernels && cd /srv/kernels && \
        truncate -s 8T 6.12.5 && echo 4 > 6.12.4 && echo 6 > 6.12.6";
    host.machine.run(&["sh", "-c", make]);
    let (id, before) = host.guarded_switch_to(&json!({ "kernel": "6.12.5" }));
    let reason = "the new kernel and initrd need 12582912 MiB";
    let command = host.came_back(&id, &before, "blocked", reason);
    assert_eq!(command["blocked_by"], json!(["space"]), "{command}");
    host.is_kept_without_the_fault(&json!({ "kernel": "6.12.6" }));
    wait_until("the row says which kernel runs and which would boot", || {
        let page = host.user.get("/").text;
        if page.contains("Linux 6.12.4 runs, 6.12.6 would boot") { Ok(()) } else { Err(page) }
    });
}
