//! From the wire to the domain: what an agent's frame means, for either protocol.
//!
//! Pure, and total: whatever a host sends becomes an event or nothing. Fields that are
//! not what they should be count as missing, and are named in the list of complaints.

use crate::domain::command::{Outcome, OutcomeKind};
use crate::domain::facts::{AgentBinary, LockState, Process, SystemFacts};
use crate::domain::generation::Generation;
use crate::domain::host::{About, HostEvent, Job, Registration, Report, TestSetup, Work};
use crate::domain::ids::{CommandId, Commit, HostId, LockHash};
use crate::domain::looks::{Colour, DeviceType, Place};
use crate::domain::operation::Operation;
use crate::domain::profile::HostProfile;
use crate::domain::protocol::Protocol;
use crate::domain::snapshot::Metrics;
use crate::protocol;
use crate::protocol::{
    CommandComplete, CommandRejected, Heartbeat, OutcomeStatus, Register, Status, SystemReport,
    TestProgress, TestSettings,
};

/// The longest text of a host that is kept, in characters.
const MAX_TEXT: usize = 300;
/// So many generations of a host are kept.
const MAX_GENERATIONS: usize = 10;

fn text(from: &str) -> String {
    from.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

fn some_text(from: Option<&String>) -> Option<String> {
    from.map(|t| text(t)).filter(|t| !t.is_empty())
}

/// The lock of a checkout. A protocol 4 agent says with an empty hash that there is no
/// flake.lock; from a 3.x agent it means that it could not read one.
fn lock(hash: Option<&String>, protocol: Protocol) -> Option<LockState> {
    match hash.map(|h| h.trim()) {
        Some("") if protocol.can_say_there_is_no_lock() => Some(LockState::Absent),
        Some(hash) => LockHash::parse(hash).map(LockState::Hash),
        None => None,
    }
}

fn system(report: &SystemReport) -> SystemFacts {
    SystemFacts {
        generation: report.generation,
        store_path: some_text(report.store_path.as_ref()),
        configuration_revision: some_text(report.configuration_revision.as_ref()),
        activated_at: report.activated_at,
        agent_path: some_text(report.agent_path.as_ref()),
        reboot_needed: report.reboot_needed,
    }
}

fn tests(settings: TestSettings) -> TestSetup {
    TestSetup { enabled: settings.enabled, auto_run: settings.auto_run, count: settings.count }
}

fn metrics(from: protocol::Metrics) -> Metrics {
    let percent = |v: f64| {
        if v.is_finite() { v.clamp(0.0, 100.0) } else { 0.0 }
    };
    let load = if from.load.is_finite() { from.load.clamp(0.0, 100_000.0) } else { 0.0 };
    Metrics { cpu: percent(from.cpu), ram: percent(from.ram), swap: percent(from.swap), load }
}

fn binary(
    source_commit: Option<&String>,
    store_path: Option<&String>,
    binary_hash: Option<&String>,
) -> AgentBinary {
    AgentBinary {
        source_commit: some_text(source_commit),
        store_path: some_text(store_path),
        binary_hash: some_text(binary_hash),
    }
}

/// The last generations of a host.
fn generations(told: &[Generation]) -> Vec<Generation> {
    let bounded = |generation: &Generation| Generation {
        store_path: some_text(generation.store_path.as_ref()),
        configuration_revision: some_text(generation.configuration_revision.as_ref()),
        ..generation.clone()
    };
    told.iter().take(MAX_GENERATIONS).map(bounded).collect()
}

/// The platform, from protocol 4's `platform` or protocol 3's `host_type`.
fn platform(register: &Register) -> String {
    let name = register.platform.as_deref().unwrap_or(register.host_type.as_str());
    match name {
        "nixos" => "nixos".to_owned(),
        "macos" | "darwin" => "darwin".to_owned(),
        "home-manager" => "home-manager".to_owned(),
        _ => String::new(),
    }
}

/// What a `register` says.
pub(crate) fn registration(register: &Register) -> Registration {
    let protocol = Protocol::of(register.protocol);
    let profile = HostProfile {
        hostname: text(&register.hostname),
        platform: platform(register),
        os_version: text(&register.os_version),
        nixpkgs_version: text(&register.nixpkgs_version),
        location: Place::parse(&register.location),
        device_type: DeviceType::parse(&register.device_type),
        theme_color: Colour::parse(&register.theme_color.to_ascii_lowercase()),
        repo_url: text(&register.repo_url),
        repo_dir: text(&register.repo_dir),
        branch: some_text(register.branch.as_ref()),
        boot_time: register.boot_time,
        tests_auto_run: None,
        generations: Vec::new(),
        ..HostProfile::default()
    };
    Registration {
        profile,
        version: some_text(Some(&register.agent_version)),
        protocol: register.protocol,
        process: Process {
            boot_id: some_text(register.boot_id.as_ref()),
            started: register.agent_started,
        },
        report: Report {
            checkout: Commit::parse(&register.generation),
            lock: lock(register.lock_hash.as_ref(), protocol),
            nixpkgs_version: None,
            binary: binary(
                register.source_commit.as_ref(),
                register.store_path.as_ref(),
                register.binary_hash.as_ref(),
            ),
            system: register.system.as_ref().map(system),
            tests: register.tests.map(tests),
            generations: Some(generations(&register.generations)).filter(|list| !list.is_empty()),
            metrics: None,
        },
        jobs: protocol.resumes_jobs().then(|| {
            register
                .jobs
                .iter()
                .flatten()
                .take(256)
                .map(|job| Job {
                    id: job.command_id,
                    op: Operation::parse(&job.op),
                    running: job.state == protocol::JobState::Running,
                })
                .collect()
        }),
    }
}

/// What a `heartbeat` says.
pub(crate) fn heartbeat(beat: &Heartbeat, protocol: Protocol) -> HostEvent {
    let pending = beat.pending_command.as_deref().filter(|name| !name.is_empty());
    HostEvent::Heartbeat {
        report: Box::new(Report {
            checkout: Commit::parse(&beat.generation),
            lock: lock(beat.lock_hash.as_ref(), protocol),
            nixpkgs_version: some_text(Some(&beat.nixpkgs_version)),
            binary: binary(
                beat.source_commit.as_ref(),
                beat.store_path.as_ref(),
                beat.binary_hash.as_ref(),
            ),
            system: beat.system.as_ref().map(system),
            tests: beat.tests.map(tests),
            generations: beat.generations.as_deref().map(generations),
            metrics: beat.metrics.map(metrics),
        }),
        work: pending.map(|name| Work { id: beat.command_id, name: text(name) }),
    }
}

fn about(id: Option<CommandId>, name: &str) -> About {
    id.map_or_else(|| About::Name(text(name)), About::Id)
}

fn exit_code(code: i64) -> i32 {
    // Out of range stays out of range: the domain refuses it.
    i32::try_from(code).unwrap_or(if code < 0 { i32::MIN } else { i32::MAX })
}

/// What a `status` says.
pub(crate) fn status(status: &Status, protocol: Protocol) -> HostEvent {
    let kind = match status.status {
        OutcomeStatus::Ok => OutcomeKind::Exited,
        OutcomeStatus::Error if status.timed_out == Some(true) => OutcomeKind::TimedOut,
        OutcomeStatus::Error => OutcomeKind::Failed,
        OutcomeStatus::Blocked => OutcomeKind::Blocked,
        OutcomeStatus::Interrupted => OutcomeKind::Interrupted,
        OutcomeStatus::TimedOut => OutcomeKind::TimedOut,
        OutcomeStatus::Stopped => OutcomeKind::Stopped,
    };
    HostEvent::Ended {
        about: about(status.command_id, &status.command),
        outcome: Outcome {
            kind,
            exit_code: exit_code(status.exit_code),
            message: some_text(status.message.as_ref()),
        },
        report: Box::new(Report {
            checkout: status.generation.as_deref().and_then(Commit::parse),
            lock: lock(status.lock_hash.as_ref(), protocol),
            system: status.system.as_ref().map(system),
            tests: status.tests.map(tests),
            ..Report::default()
        }),
    }
}

/// What a `command_complete` says.
pub(crate) fn complete(complete: &CommandComplete) -> HostEvent {
    HostEvent::Ended {
        about: About::Name(text(&complete.command)),
        outcome: Outcome {
            kind: if complete.exit_code == 130 {
                OutcomeKind::Stopped
            } else {
                OutcomeKind::Exited
            },
            exit_code: exit_code(complete.exit_code),
            message: None,
        },
        report: Box::default(),
    }
}

/// What a `command_rejected` says.
pub(crate) fn rejected(rejected: &CommandRejected) -> HostEvent {
    let current = rejected.current_command.as_deref().filter(|name| !name.is_empty());
    HostEvent::Rejected {
        about: about(rejected.command_id, ""),
        reason: text(&rejected.reason),
        work: current.map(|name| Work { id: rejected.current_command_id, name: text(name) }),
    }
}

/// What a `test_progress` says; `None` if nothing.
pub(crate) fn test_progress(progress: &TestProgress) -> Option<HostEvent> {
    if progress.total == 0 {
        return None;
    }
    let name = match &progress.result {
        serde_json::Value::String(name) if !name.is_empty() => format!(": {}", text(name)),
        _ => String::new(),
    };
    Some(HostEvent::Progress {
        about: about(progress.command_id, "test"),
        text: format!("Test {} of {}{name}", progress.current, progress.total),
    })
}

/// The host a `register` is for. The error is what the agent is told.
pub(crate) fn host_id(register: &Register) -> Result<HostId, String> {
    HostId::parse(&register.hostname).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
