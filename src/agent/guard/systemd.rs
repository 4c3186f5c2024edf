//! What is asked of systemd for a guarded switch: a timer that belongs to it, units of their own,
//! and how units are.

use super::intent::Intent;
use super::units::{self, UnitStates};
use crate::base::child::{self, Bounds};
use crate::base::secret;
use crate::domain::ids::CommandId;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How long systemd may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How long a unit may take to stop: one that hangs in the kernel takes four times its own limit.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// How often systemd is asked that gives no answer, and the time from one to the next.
const TRIES: u32 = 6;
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// So much of what systemd says of its units is read.
const MOST: usize = 4 * 1024 * 1024;

/// The guard's service and timer, without their endings.
pub(crate) fn guard_unit(id: CommandId) -> String {
    format!("nixfleet-guard-{id}")
}

/// The unit of the job.
pub(crate) fn job_unit(id: CommandId) -> String {
    format!("nixfleet-job-{id}.service")
}

/// The unit that activates the new system.
pub(super) fn activation_unit(id: CommandId) -> String {
    format!("nixfleet-activate-{id}.service")
}

/// The environment of what activates: whole, because the service manager's own can be anything.
fn environment(command: &mut Command) {
    let path = std::env::var("PATH").unwrap_or_default();
    let lang = std::env::var("LANG").unwrap_or_else(|_| "C.UTF-8".to_owned());
    for (name, value) in [("PATH", path), ("LANG", lang), ("HOME", "/root".to_owned())] {
        command.arg(format!("--setenv={name}={value}"));
    }
    if let Ok(value) = std::env::var("LOCALE_ARCHIVE") {
        command.arg(format!("--setenv=LOCALE_ARCHIVE={value}"));
    }
}

fn systemd_run(unit: &str) -> Command {
    let mut command = Command::new("systemd-run");
    secret::hide_from(&mut command);
    command.env("LC_ALL", "C");
    command.args(["--quiet", "--collect", "--service-type=exec"]);
    command.args(["--working-directory=/", "--property=TimeoutStopSec=10s"]);
    command.arg(format!("--unit={unit}"));
    environment(&mut command);
    command
}

fn systemctl(arguments: &[&str]) -> Command {
    let mut command = Command::new("systemctl");
    secret::hide_from(&mut command);
    command.env("LC_ALL", "C").args(arguments);
    command
}

/// Runs it; the error is what it complains.
fn ask(command: &mut Command, within: Duration) -> Result<String, String> {
    let bounds = Bounds { timeout: Some(within), ..Bounds::default() };
    let program = command.get_program().to_string_lossy().into_owned();
    let output = child::output(command, MOST, &bounds).map_err(|e| format!("{program}: {e}"))?;
    if !output.ended.ok() {
        return Err(format!("{program}: {} {}", output.ended.code, output.stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same for what may be asked again: an activation lets systemd start itself anew, and whoever
/// asks in that moment gets no answer.
fn insist(words: &[&str], within: Duration) -> Result<String, String> {
    let mut tries = 1;
    loop {
        match ask(&mut systemctl(words), within) {
            Err(_) if tries < TRIES => {
                tries += 1;
                thread::sleep(TRY_AGAIN);
            }
            answer => return answer,
        }
    }
}

/// Arms the timer: after `after` the guard's service begins, whoever lives then.
///
/// # Errors
///
/// What systemd says.
pub(crate) fn arm(intent: &Intent, dir: &Path, after: Duration) -> Result<(), String> {
    let mut command = systemd_run(&guard_unit(intent.id));
    command
        .arg("--description=Brings the system back that ran before")
        .arg(format!("--on-active={}s", after.as_secs().max(1)))
        .args(["--timer-property=AccuracySec=1s", "--timer-property=IgnoreOnIsolate=yes"])
        .args(["--property=IgnoreOnIsolate=yes", "--property=Restart=on-failure"])
        .args(["--property=RestartSec=1s", "--property=StartLimitIntervalSec=0"])
        .args(["--property=KillMode=mixed", "--property=OOMScoreAdjust=-900"])
        .arg("--setenv=NIXOS_NO_CHECK=1")
        .arg("--")
        .arg(&intent.exe)
        .arg("guard-return")
        .arg(dir);
    ask(&mut command, ANSWERS_WITHIN).map(drop)
}

/// Starts the guard's service now. It is told in the log that this cannot be done: the timer is left.
pub(crate) fn start_the_guard(id: CommandId) {
    let unit = format!("{}.service", guard_unit(id));
    if let Err(error) = insist(&["start", "--no-block", &unit], ANSWERS_WITHIN) {
        log::warn!("the guard cannot be started at once: {error}");
    }
}

/// Stops the timer.
pub(crate) fn disarm(id: CommandId) {
    let unit = format!("{}.timer", guard_unit(id));
    if !is_active(&unit) {
        return;
    }
    if let Err(error) = insist(&["stop", &unit], ANSWERS_WITHIN) {
        // It fires, and the guard finds that it is over.
        log::warn!("the timer of the guard cannot be stopped: {error}");
    }
}

/// How a system is activated.
#[derive(Debug, Clone, Copy)]
pub(super) enum Activates {
    /// The new one, which checks before whether it may be.
    New,
    /// The same, and the user goes on regardless of what it finds.
    Regardless,
    /// The old one, within this time. It was good once; what it checks now may be what was broken.
    Old(Duration),
}

/// Begins to activate a system in a unit of its own. What it prints is appended to `log`.
pub(super) fn activate(
    intent: &Intent,
    unit: &str,
    system: &Path,
    status: &Path,
    log: &Path,
    how: Activates,
) -> Result<(), String> {
    let mut command = systemd_run(unit);
    for stream in ["StandardOutput", "StandardError"] {
        command.arg(format!("--property={stream}=append:{}", log.display()));
    }
    if let Activates::Old(limit) = how {
        command.arg(format!("--property=RuntimeMaxSec={}s", limit.as_secs()));
    }
    if matches!(how, Activates::Old(_) | Activates::Regardless) {
        command.arg("--setenv=NIXOS_NO_CHECK=1");
    }
    command.arg("--").arg(&intent.exe).arg("guard-activate").arg(system).arg(status);
    ask(&mut command, ANSWERS_WITHIN).map(drop)
}

fn state(unit: &str) -> Result<String, String> {
    let words = ["show", "--value", "--property=ActiveState", unit];
    insist(&words, ANSWERS_WITHIN).map(|state| state.trim().to_owned())
}

/// Whether a unit is there and not over.
pub(crate) fn is_active(unit: &str) -> bool {
    let words = ["active", "activating", "reloading", "deactivating"];
    // Who cannot be asked is not known to be gone.
    state(unit).map_or(true, |state| words.contains(&state.as_str()))
}

/// Whether a unit is up.
pub(super) fn is_up(unit: &str) -> bool {
    state(unit).is_ok_and(|state| state == "active")
}

/// Stops a unit, kindly and then not.
pub(super) fn stop(unit: &str) {
    if !is_active(unit) {
        return;
    }
    let _ = insist(&["stop", unit], STOPS_WITHIN);
    if is_active(unit) {
        kill(unit);
    }
}

/// Kills a unit at once. Whether it is gone is asked afterwards.
pub(super) fn kill(unit: &str) {
    let _ = ask(&mut systemctl(&["kill", "--signal=SIGKILL", unit]), ANSWERS_WITHIN);
}

/// Reboots the machine; by force, where it does not shut down otherwise.
///
/// # Errors
///
/// What systemd says.
pub(super) fn reboot(by_force: bool) -> Result<(), String> {
    let words: &[&str] = if by_force { &["reboot", "--force"] } else { &["reboot"] };
    ask(&mut systemctl(words), ANSWERS_WITHIN).map(drop)
}

/// How the units are now.
///
/// # Errors
///
/// What systemd says.
pub(super) fn units() -> Result<UnitStates, String> {
    let properties = "--property=Id,ActiveState,SubState,StateChangeTimestampMonotonic";
    insist(&["show", "--all", properties, "*"], ANSWERS_WITHIN).map(|text| units::read(&text))
}
