//! The guarded switch on a real systemd: stand-ins for a broken system that really cut the network,
//! hang, fail a unit or kill the agent; every phase killed, stopped, and without power. Each with
//! its negative control: the same without the fault is kept.

pub mod boots;
pub mod restarts;

use crate::host::{AGENT, Host, NAME, wait_long};
use crate::runner::{Test, tests};
use crate::support::wait_until;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub const TESTS: &[Test] = tests![
    a_guarded_switch_that_replaces_the_agent_is_kept_and_leaves_nothing_behind,
    a_guarded_rollback_is_kept_under_the_number_of_its_generation,
    a_dashboard_that_is_away_returns_no_healthy_system,
    a_new_system_with_a_wrong_address_of_the_dashboard_comes_back,
    a_new_system_whose_unit_or_probe_fails_comes_back_unless_that_may_fail,
    an_activation_that_stops_half_way_or_hangs_comes_back,
    an_activation_that_kills_the_agent_or_restarts_dbus_is_kept,
    a_timer_that_cannot_be_armed_refuses_the_switch_before_anything_changes,
    a_new_system_that_nobody_could_confirm_is_blocked_unless_the_user_goes_on_regardless,
    what_activates_nothing_is_blocked_and_nothing_comes_back,
    a_guarded_switch_stopped_in_each_phase_ends_in_one_whole_system,
    a_supervisor_killed_in_each_phase_ends_in_one_whole_system,
    a_power_cut_in_each_phase_ends_in_one_whole_system,
    a_boot_entry_that_cannot_be_written_puts_all_of_it_back,
    another_system_that_is_activated_meanwhile_is_left_alone,
    a_return_that_is_killed_goes_on,
    a_timer_that_is_lost_in_the_same_boot_is_armed_again,
];

/// Those that wait for a minute: so long the network of before may take to be there again.
pub const LONG: &[Test] = tests![
    a_network_that_is_cut_outside_of_every_unit_ends_in_a_restart_into_the_old_system,
    a_network_that_stays_cut_where_nothing_may_reboot_leaves_the_old_system_and_holds_the_new,
];

const DEFAULT: &str = "/boot/default";
const PROFILE: &str = "/nix/var/nix/profiles/system";

/// Where a systemd-run that arms a timer waits, or fails.
const SYSTEMD_RUN: &str = r#"#!/bin/sh
case " $* " in
  *" --on-active="*)
    [ ! -e /run/control/no-timer ] || { echo "Failed to start transient timer unit" >&2; exit 1; }
    [ ! -e /run/control/gate-arm ] || : > /run/control/at-arm
    while [ -e /run/control/gate-arm ]; do sleep 0.05; done
    ;;
esac
exec /usr/bin/systemd-run.real "$@"
"#;
/// A probe that waits as long as a test wants.
const PROBE: &str = "#!/bin/sh\n[ ! -e /run/control/gate-confirm ] || : > /run/control/at-confirm\n\
    while [ -e /run/control/gate-confirm ]; do sleep 0.05; done\n";

/// As `ip link set lo up`, which is not there.
const LO_UP: &str = r#"socket(my $s, 2, 2, 0) or die;
    my $up = pack("Z16 s x22", "lo", 1); ioctl($s, 0x8914, $up) or die"#;

/// The systems that a test has seen.
struct Systems {
    old: String,
}

impl Host {
    fn resolved(&self, path: &str) -> String {
        self.machine.says(&["readlink", "-f", path])
    }

    /// What runs, what is the profile, and what boots.
    fn systems(&self) -> [String; 3] {
        [self.runs(), self.resolved(PROFILE), self.resolved(DEFAULT)]
    }

    /// What the job says that it does, also while its agent is away.
    fn phase(&self, id: &str) -> String {
        let file = format!("/var/lib/nixfleet-agent/jobs/{id}/phase.json");
        fs::read_to_string(self.machine.file(&file)).unwrap_or_default().trim().to_owned()
    }

    #[track_caller]
    fn wait_for_phase(&self, id: &str, phase: &str) {
        wait_until(&format!("the job is in {phase}"), || {
            let now = self.phase(id);
            if now == format!("\"{phase}\"") { Ok(()) } else { Err(now) }
        });
    }

    /// Starts a guarded switch and waits until it stands still in a phase.
    #[track_caller]
    fn switch_held_in(&mut self, phase: &str) -> String {
        let gate = match phase {
            "keep" => "boot",
            other => other,
        };
        self.close(gate);
        let id = self.user.start(NAME, "switch");
        self.wait_for_phase(&id, phase);
        wait_until("it waits there", || {
            let at = format!("/run/control/at-{gate}");
            let output = self.machine.try_run(&["test", "-e", &at]);
            if output.is_some_and(|o| o.status.success()) { Ok(()) } else { Err("not yet") }
        });
        id
    }

    fn supervisor(&self, id: &str) -> String {
        self.machine.property(&format!("nixfleet-job-{id}.service"), "MainPID")
    }

    /// All that a guarded switch makes outside of its job's directory.
    fn leavings(&self) -> Vec<String> {
        let units = ["job", "guard", "activate", "return"].map(|n| format!("nixfleet-{n}-*"));
        let mut left: Vec<String> =
            units.iter().flat_map(|pattern| self.machine.units(pattern)).collect();
        let roots = self.machine.says(&["ls", "/nix/var/nix/gcroots/nixfleet"]);
        left.extend(roots.lines().map(str::to_owned));
        left
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        wait_until("nothing of the guard is left", || {
            let left = self.leavings();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
    }

    /// The new system is profile and boot entry, and nothing is left of the guard.
    #[track_caller]
    fn was_kept(&self, id: &str, before: &Systems) {
        let command = self.wait_for_the_end(id);
        assert_eq!(command["state"], "succeeded", "{command} {:#?}", self.user.output(id));
        let new = self.runs();
        assert_ne!(new, before.old, "{command}");
        assert_eq!(self.systems(), [new.clone(), new.clone(), new], "{command}");
        self.nothing_is_left();
    }

    /// The old system runs, is the profile and boots, and nothing is left of the guard.
    #[track_caller]
    fn came_back(&self, id: &str, before: &Systems, state: &str, reason: &str) -> Value {
        let command = self.wait_for_the_end(id);
        let output = self.user.output(id);
        assert_eq!(command["state"], state, "{command} {output:#?}");
        let said = command["reason"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{reason}: {command}");
        let old = &before.old;
        assert_eq!(self.systems(), [old.clone(), old.clone(), old.clone()], "{command}");
        self.nothing_is_left();
        wait_until("the row says what runs", || {
            let said = self.user.host(NAME)["system"]["store_path"].clone();
            if said == old.as_str() { Ok(()) } else { Err(said) }
        });
        command
    }

    fn before(&self) -> Systems {
        Systems { old: self.runs() }
    }

    /// Brings another system to the host, and switches to it.
    #[track_caller]
    fn guarded_switch_to(&mut self, change: &Value) -> (String, Systems) {
        self.pull(change);
        let before = self.before();
        (self.user.start(NAME, "switch"), before)
    }

    /// A change that nothing is wrong with.
    #[track_caller]
    fn is_kept_without_the_fault(&mut self, change: &Value) {
        let (id, before) = self.guarded_switch_to(change);
        self.was_kept(&id, &before);
    }
}

/// A guarded host whose timer and probe can be held.
fn host() -> Host {
    host_with(&json!({}))
}

fn host_with(change: &Value) -> Host {
    let host = Host::guarded(change);
    host.machine.run(&["mv", "/usr/bin/systemd-run", "/usr/bin/systemd-run.real"]);
    let program = host.machine.file("/usr/bin/systemd-run");
    fs::write(&program, SYSTEMD_RUN).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    host.machine.run(&["mkdir", "-p", "/run/control"]);
    host
}

fn write_probe(host: &Host, text: &str) {
    let path = format!("hosts/{NAME}/probes/P01-it-works.sh");
    host.repo.write(&path, text);
    host.repo.mode(&path, 0o755);
}

fn a_guarded_switch_that_replaces_the_agent_is_kept_and_leaves_nothing_behind() {
    let mut host = host();
    write_probe(&host, PROBE);
    let agent = host.agent();
    let (id, before) = host.guarded_switch_to(&json!({ "release": "2" }));
    host.was_kept(&id, &before);
    assert_ne!(host.agent(), agent);
    let known = host.user.host(NAME);
    assert_eq!(known["system"]["generation"], 2, "{known}");
    let output = host.user.output(&id);
    for line in
        ["guarded: ", "activating the configuration...", "# Probe P01-it-works.sh passed", "kept: "]
    {
        let times = output.iter().filter(|said| said.starts_with(line)).count();
        assert_eq!(times, 1, "{line}: {output:#?}");
    }
    host.user.wait_for_row(NAME, "ok ok ok ok out");
}

fn a_guarded_rollback_is_kept_under_the_number_of_its_generation() {
    let mut host = host();
    let first = host.runs();
    host.is_kept_without_the_fault(&json!({ "motd": "two" }));
    let second = host.before();
    let rollback = host.user.run(NAME, "rollback", "succeeded");
    assert_eq!(host.runs(), first, "{rollback}");
    assert_eq!(host.systems(), [first.clone(), first.clone(), first]);
    assert_eq!(host.user.host(NAME)["system"]["generation"], 1);
    assert_eq!(host.machine.says(&["readlink", PROFILE]), "system-1-link");
    assert_ne!(second.old, host.runs());
    host.nothing_is_left();
}

fn a_dashboard_that_is_away_returns_no_healthy_system() {
    let mut host = host();
    host.pull(&json!({ "motd": "two" }));
    let before = host.before();
    let id = host.switch_held_in("activate");
    host.dashboard.kill_9();
    host.open("activate");
    wait_long("the host has decided", || {
        if host.resolved(PROFILE) == before.old { Err("not yet") } else { Ok(()) }
    });
    host.dashboard.start_again();
    host.was_kept(&id, &before);
    let output = host.user.output(&id);
    let said = "without the dashboard's word";
    assert!(output.iter().any(|line| line.contains(said)), "{output:#?}");
    wait_until("the audit log says so", || {
        let events = host.user.get("/api/events").text;
        if events.contains("without the dashboard") { Ok(()) } else { Err(events) }
    });
    // With the dashboard it is asked, and gives its word.
    let (id, before) = host.guarded_switch_to(&json!({ "motd": "three" }));
    host.was_kept(&id, &before);
    assert!(!host.user.output(&id).iter().any(|line| line.contains(said)));
}

fn a_new_system_with_a_wrong_address_of_the_dashboard_comes_back() {
    let mut host = host();
    let wrong = json!({ "services": { "agent": { "url": "http://127.0.0.1:9" } } });
    let (id, before) = host.guarded_switch_to(&wrong);
    host.came_back(&id, &before, "failed", "Rolled back by itself");
    let url = host.dashboard.url.clone();
    let right = json!({ "services": { "agent": { "url": url } }, "motd": "two" });
    host.is_kept_without_the_fault(&right);
}

fn a_new_system_whose_unit_or_probe_fails_comes_back_unless_that_may_fail() {
    let mut host = host();
    let unit = |command: &str| {
        json!({ "demo": { "broken": {
            "serviceConfig": { "ExecStart": command, "Type": "oneshot", "RemainAfterExit": true },
            "wantedBy": ["multi-user.target"],
        } } })
    };
    let (id, before) = host.guarded_switch_to(&unit("/bin/false"));
    host.came_back(&id, &before, "failed", "broken.service failed");
    host.is_kept_without_the_fault(&unit("/bin/true"));

    write_probe(&host, "#!/bin/sh\necho no work done\nexit 3\n");
    let (id, before) = host.guarded_switch_to(&json!({ "motd": "two" }));
    let reason = "the probe P01-it-works.sh failed with exit code 3";
    host.came_back(&id, &before, "failed", reason);
    assert!(host.user.output(&id).iter().any(|line| line == "no work done"));
    write_probe(&host, PROBE);
    host.is_kept_without_the_fault(&json!({ "motd": "three" }));

    let ignored =
        json!({ "services": { "agent": { "guard": { "ignoreUnits": ["broken.service"] } } } });
    host.is_kept_without_the_fault(&ignored);
    host.is_kept_without_the_fault(&unit("/bin/false"));
}

fn an_activation_that_stops_half_way_or_hangs_comes_back() {
    let mut host = host();
    for (fault, reason) in [
        ("half", "the activation ended with exit code 1"),
        ("hang", "the activation did not come to an end within 20 s"),
    ] {
        let (id, before) = host.guarded_switch_to(&json!({ "fault": fault }));
        host.came_back(&id, &before, "failed", reason);
    }
    host.is_kept_without_the_fault(&json!({ "fault": "" , "motd": "two" }));
}

fn an_activation_that_kills_the_agent_or_restarts_dbus_is_kept() {
    let mut host = host();
    for fault in ["agent", "dbus"] {
        host.is_kept_without_the_fault(&json!({ "fault": fault }));
    }
}

fn a_timer_that_cannot_be_armed_refuses_the_switch_before_anything_changes() {
    let mut host = host();
    host.machine.run(&["touch", "/run/control/no-timer"]);
    let (id, before) = host.guarded_switch_to(&json!({ "motd": "two" }));
    let reason = "The way back cannot be prepared; nothing has changed";
    host.came_back(&id, &before, "failed", reason);
    let output = host.user.output(&id);
    assert!(!output.iter().any(|line| line.contains("activating")), "{output:#?}");
    host.machine.run(&["rm", "/run/control/no-timer"]);
    host.is_kept_without_the_fault(&json!({ "motd": "three" }));
}

fn a_new_system_that_nobody_could_confirm_is_blocked_unless_the_user_goes_on_regardless() {
    let mut host = host();
    host.machine.run(&["cp", "/srv/nixfleet/nixfleet", "/srv/nixfleet/real"]);
    // An agent from before the guard knows no such flag.
    let old = "#!/bin/sh\ncase \"$*\" in *--guard-format*) exit 2 ;; esac\n\
        exec \"${0%/*}/real\" \"$@\"\n";
    fs::write(host.machine.file("/root/old-agent"), old).unwrap();
    host.machine.run(&[
        "sh",
        "-c",
        "chmod +x /root/old-agent; mv /root/old-agent /srv/nixfleet/nixfleet",
    ]);
    let (id, before) = host.guarded_switch_to(&json!({ "release": "2" }));
    let command = host.came_back(&id, &before, "blocked", "switch without guard?");
    assert_eq!(command["blocked_by"], json!(["guard"]), "{command}");
    let body = json!({ "op": "switch", "args": { "regardless": ["guard"] } });
    let answer = host.user.post(&format!("/api/hosts/{NAME}/commands"), &body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["command_id"].as_str().unwrap().to_owned();
    host.was_kept(&id, &before);
    let output = host.user.output(&id);
    assert!(!output.iter().any(|line| line.starts_with("guarded:")), "{output:#?}");
}

fn what_activates_nothing_is_blocked_and_nothing_comes_back() {
    let mut host = host();
    let (id, before) = host.guarded_switch_to(&json!({ "fault": "locked" }));
    host.came_back(&id, &before, "blocked", "Somebody else activates");
    let output = host.user.output(&id);
    assert!(!output.iter().any(|line| line.contains("comes back:")), "{output:#?}");
    host.is_kept_without_the_fault(&json!({ "fault": "", "motd": "two" }));
}

/// The phases in which a test can hold a guarded switch.
const PHASES: [&str; 5] = ["build", "arm", "activate", "confirm", "keep"];

fn gate_of(phase: &str) -> &str {
    if phase == "keep" { "boot" } else { phase }
}

fn a_guarded_switch_stopped_in_each_phase_ends_in_one_whole_system() {
    let mut host = host();
    write_probe(&host, PROBE);
    for phase in PHASES {
        host.pull(&json!({ "motd": format!("stopped in {phase}") }));
        let before = host.before();
        let id = host.switch_held_in(phase);
        if phase == "keep" {
            wait_until("the dashboard knows", || {
                let command = host.user.command(&id);
                if command["phase"] == "keep" { Ok(()) } else { Err(command) }
            });
        }
        let answer = host.user.post(&format!("/api/commands/{id}/stop"), &json!({}));
        if phase == "keep" {
            assert_eq!(answer.status, 409, "{answer:?}");
            assert!(answer.message().contains("roll back instead"), "{answer:?}");
            host.open("boot");
            host.was_kept(&id, &before);
            continue;
        }
        assert_eq!(answer.status, 202, "{answer:?}");
        if phase == "arm" {
            // It is told, and armed then: the stop counts before anything is activated.
            let mark = format!("/var/lib/nixfleet-agent/jobs/{id}/stop");
            wait_until("the job is told", || {
                if host.machine.file(&mark).exists() { Ok(()) } else { Err("not yet") }
            });
            host.open("arm");
        }
        host.came_back(&id, &before, "stopped", "");
        host.open(gate_of(phase));
    }
}

fn a_supervisor_killed_in_each_phase_ends_in_one_whole_system() {
    let mut host = host();
    write_probe(&host, PROBE);
    for phase in PHASES {
        host.pull(&json!({ "motd": format!("killed in {phase}") }));
        let before = host.before();
        let id = host.switch_held_in(phase);
        host.machine.signal("KILL", &host.supervisor(&id));
        match phase {
            "build" | "arm" => {
                host.open(phase);
                host.came_back(&id, &before, "lost", "killed");
            }
            "keep" => {
                host.open("boot");
                host.was_kept(&id, &before);
            }
            _ => {
                let reason = "Rolled back by itself: its job was killed";
                host.came_back(&id, &before, "failed", reason);
                host.open(phase);
            }
        }
    }
}

fn a_power_cut_in_each_phase_ends_in_one_whole_system() {
    let mut host = host();
    write_probe(&host, PROBE);
    for phase in PHASES {
        host.pull(&json!({ "motd": format!("no power in {phase}") }));
        let before = host.before();
        let id = host.switch_held_in(phase);
        host.machine.cut_power();
        host.machine.boot();
        host.machine.run(&["mkdir", "-p", "/run/control"]);
        let reason = match phase {
            "build" => "Interrupted by a restart of the machine",
            "keep" => "Interrupted by a restart of the machine in its last step",
            _ => "the system of before was booted",
        };
        host.user.wait_for_online(NAME);
        host.came_back(&id, &before, "lost", reason);
    }
    host.is_kept_without_the_fault(&json!({ "motd": "with power" }));
}

fn a_boot_entry_that_cannot_be_written_puts_all_of_it_back() {
    let mut host = host();
    let (id, before) = host.guarded_switch_to(&json!({ "fault": "full" }));
    host.came_back(&id, &before, "failed", "no space left on /boot");
    host.is_kept_without_the_fault(&json!({ "fault": "", "motd": "two" }));
}

fn another_system_that_is_activated_meanwhile_is_left_alone() {
    let mut host = host();
    write_probe(&host, PROBE);
    let third = host.runs();
    host.is_kept_without_the_fault(&json!({ "motd": "two" }));
    host.pull(&json!({ "motd": "three" }));
    let id = host.switch_held_in("confirm");
    host.machine.run(&[&format!("{third}/bin/switch-to-configuration"), "test"]);
    host.open("confirm");
    let command = host.wait_for_the_end(&id);
    assert_eq!(command["state"], "failed", "{command}");
    let reason = command["reason"].as_str().unwrap();
    assert!(reason.contains("Another system was activated meanwhile"), "{command}");
    assert_eq!(host.runs(), third);
    host.nothing_is_left();
}

fn a_return_that_is_killed_goes_on() {
    let mut host = host();
    write_probe(&host, "#!/bin/sh\nexit 1\n");
    host.pull(&json!({ "motd": "two" }));
    let before = host.before();
    let id = host.user.start(NAME, "switch");
    host.wait_for_phase(&id, "return");
    let guard = format!("nixfleet-guard-{id}.service");
    host.machine.try_run(&["systemctl", "kill", "--signal=KILL", &guard]);
    host.came_back(&id, &before, "failed", "Rolled back by itself: the probe");
    // The agent keeps what was left, for a dashboard that loses its database, until it is released.
    let file = host.machine.file("/var/lib/nixfleet-agent/jobs/held");
    let is_kept = || fs::read_to_string(&file).unwrap_or_default().contains(&id);
    wait_until("the agent keeps it", || if is_kept() { Ok(()) } else { Err("not yet") });
    let answer = host.user.post(&format!("/api/hosts/{NAME}/release"), &json!({}));
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_until(
        "the agent has forgotten it",
        || if is_kept() { Err("it is there") } else { Ok(()) },
    );
}

fn a_timer_that_is_lost_in_the_same_boot_is_armed_again() {
    let mut host = host();
    write_probe(&host, PROBE);
    host.pull(&json!({ "motd": "two" }));
    let before = host.before();
    let id = host.switch_held_in("confirm");
    // All that belongs to the switch is taken from systemd, as a soft-reboot does it.
    host.machine.run(&["systemctl", "stop", AGENT]);
    let (job, guard) = (format!("nixfleet-job-{id}.service"), format!("nixfleet-guard-{id}"));
    let stop = format!(
        "systemctl stop {guard}.timer; systemctl mask --runtime {guard}.service; \
         systemctl kill --signal=KILL {job}; sleep 1; systemctl unmask --runtime {guard}.service; \
         systemctl stop {guard}.service {guard}.timer; systemctl reset-failed"
    );
    host.machine.says(&["sh", "-c", &stop]);
    host.machine.run(&["systemctl", "start", AGENT]);
    host.open("confirm");
    host.came_back(&id, &before, "failed", "Rolled back by itself");
}

fn a_network_that_is_cut_outside_of_every_unit_ends_in_a_restart_into_the_old_system() {
    let mut host = host();
    let (id, before) = host.guarded_switch_to(&json!({ "fault": "network" }));
    host.machine.wait_for_its_reboot();
    host.user.wait_for_online(NAME);
    let reason = "The machine was restarted for that";
    host.came_back(&id, &before, "failed", reason);
    host.is_kept_without_the_fault(&json!({ "fault": "", "motd": "two" }));
}

fn a_network_that_stays_cut_where_nothing_may_reboot_leaves_the_old_system_and_holds_the_new() {
    let guard = json!({ "reboot": false });
    let mut host = Host::guarded(&json!({ "services": { "agent": { "guard": guard } } }));
    let (id, before) = host.guarded_switch_to(&json!({ "fault": "network" }));
    // Nobody hears of it until somebody mends the network.
    let outcome = format!("/var/lib/nixfleet-agent/jobs/{id}/status.json");
    wait_long("the guard has ended", || {
        if host.machine.file(&outcome).exists() { Ok(()) } else { Err(host.phase(&id)) }
    });
    host.machine.says(&["perl", "-e", LO_UP]);
    let reason = "is missing, and guard.reboot is off";
    host.came_back(&id, &before, "failed", reason);
    let held = &host.user.host(NAME)["held"];
    assert_eq!(held["by"], "auto", "{held}");
}
