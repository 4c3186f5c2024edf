//! From the wire to the domain: what an agent's frame means, for either protocol.
//!
//! Pure, and total: whatever a host sends becomes an event or nothing. Fields that are
//! not what they should be count as missing, and are named in the list of complaints.

use crate::base::secret;
use crate::domain::bounds::{self, Bound, rows};
use crate::domain::command::{Outcome, OutcomeKind};
use crate::domain::deploy::{Built, Starts};
use crate::domain::disk::Disk;
use crate::domain::facts::{AgentBinary, Feature, LockState, Process, SystemFacts};
use crate::domain::generation::Generation;
use crate::domain::hold::Left;
use crate::domain::host::{About, HostEvent, Job, Registration, Report, TestSetup, Work};
use crate::domain::ids::{CommandId, Commit, HostId, LockHash};
use crate::domain::looks::{Colour, DeviceType, Place};
use crate::domain::operation::{Operation, Regardless};
use crate::domain::profile::HostProfile;
use crate::domain::protocol::Protocol;
use crate::domain::repeated::Repeated;
use crate::domain::snapshot::Metrics;
use crate::domain::tag::Tags;
use crate::domain::terminal::visible;
use crate::domain::test_report::TestResult;
use crate::protocol;
use crate::protocol::{
    AgentMessage, CommandComplete, CommandRejected, DiskReport, Heartbeat, HeldReport, Line,
    OutcomeStatus, Register, Status, SystemReport, TestProgress, TestResultMessage, TestSettings,
    Told,
};
use std::borrow::Cow;
use std::time::Duration;

fn cut(from: &str, most: usize) -> String {
    // Agents before 4.0 tell addresses as they have them (finding 8 of the security review).
    let from = secret::without_credentials(from);
    from.chars().filter(|c| !c.is_control()).map(visible).take(most).collect()
}

/// A reason or a message.
fn text(from: &str) -> String {
    cut(from, bounds::TEXT)
}

/// A name, a version, a branch.
fn name(from: &str) -> String {
    cut(from, bounds::NAME)
}

/// A path or an address. One that is too long is none: cut it would be another one.
fn path(from: &str) -> String {
    if from.len() > bounds::PATH { String::new() } else { cut(from, bounds::PATH) }
}

fn some_text(from: Option<&String>) -> Option<String> {
    from.map(|t| text(t)).filter(|t| !t.is_empty())
}

fn some_name(from: Option<&String>) -> Option<String> {
    from.map(|t| name(t)).filter(|t| !t.is_empty())
}

fn some_path(from: Option<&String>) -> Option<String> {
    from.map(|t| path(t)).filter(|t| !t.is_empty())
}

/// The bounds that a message goes beyond, as far as that is seen from the message alone.
pub(crate) fn exceeded(message: &AgentMessage) -> Vec<&'static Bound> {
    let mut beyond = Vec::new();
    let mut look = |is_beyond: bool, bound| {
        if is_beyond {
            beyond.push(bound);
        }
    };
    let is_long = |text: &str| text.len() > bounds::NAME && text.chars().count() > bounds::NAME;
    let is_far = |path: &Option<String>| path.as_ref().is_some_and(|p| p.len() > bounds::PATH);
    match message {
        AgentMessage::Register(register) => {
            let Register { os_version, nixpkgs_version, agent_version, branch, .. } = &**register;
            let branch = branch.as_deref().unwrap_or_default();
            let names = [os_version, nixpkgs_version, agent_version, branch];
            look(names.into_iter().any(is_long), rows::NAME);
            let paths = [&register.repo_url, &register.repo_dir];
            look(paths.iter().any(|path| path.len() > bounds::PATH), rows::PATH);
            look(is_far(&register.store_path), rows::PATH);
            look(register.generations.len() > bounds::GENERATIONS, rows::GENERATIONS);
            let jobs = register.jobs.as_ref().map_or(0, Vec::len);
            look(jobs > bounds::JOBS, rows::JOBS);
        }
        AgentMessage::Heartbeat(beat) => {
            look(is_long(&beat.nixpkgs_version), rows::NAME);
            look(is_far(&beat.store_path), rows::PATH);
            let generations = beat.generations.as_ref().map_or(0, Vec::len);
            look(generations > bounds::GENERATIONS, rows::GENERATIONS);
        }
        AgentMessage::TestResult(result) => {
            look(is_long(&result.name), rows::NAME);
            look(result.output.len() > bounds::TEST_OUTPUT, rows::TEST_OUTPUT);
        }
        _ => {}
    }
    beyond
}

/// What a test did, with texts that fit.
pub(crate) fn test_result(message: TestResultMessage) -> TestResult {
    let mut result = message.into_result();
    result.name = name(&result.name);
    let output = secret::without_credentials(&result.output).into_owned();
    result.output = bounds::without_middle(output, bounds::TEST_OUTPUT);
    result
}

/// Lines of output, which name no secret of an address.
pub(crate) fn lines(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        if let Cow::Owned(told) = secret::without_credentials(&line.text) {
            line.text = told;
        }
    }
    lines
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
        store_path: some_path(report.store_path.as_ref()),
        configuration_revision: some_name(report.configuration_revision.as_ref()),
        activated_at: report.activated_at,
        agent_path: some_path(report.agent_path.as_ref()),
        reboot_needed: report.reboot_needed,
        booted_kernel: some_name(report.booted_kernel.as_ref()),
        next_kernel: some_name(report.next_kernel.as_ref()),
        profile_path: some_path(report.profile_path.as_ref()),
        profile_generation: None,
    }
}

fn tests(settings: TestSettings) -> TestSetup {
    TestSetup { enabled: settings.enabled, auto_run: settings.auto_run, count: settings.count }
}

fn timeout(settings: TestSettings) -> Duration {
    Duration::from_secs(settings.timeout_s)
}

fn metrics(from: protocol::Metrics) -> Metrics {
    let percent = |v: f64| {
        if v.is_finite() { v.clamp(0.0, 100.0) } else { 0.0 }
    };
    let load = if from.load.is_finite() { from.load.clamp(0.0, 100_000.0) } else { 0.0 };
    Metrics { cpu: percent(from.cpu), ram: percent(from.ram), swap: percent(from.swap), load }
}

/// What a message says of the checkout: that there is none, or its commit. `generation` is what
/// agents say that know no `checkout`.
fn checkout(told: &Told<String>, generation: Option<&str>) -> (Option<Commit>, bool) {
    match told {
        Some(Some(commit)) => (Commit::parse(commit), false),
        Some(None) => (None, true),
        None => (generation.and_then(Commit::parse), false),
    }
}

fn told_path(told: &Told<String>) -> Told<String> {
    told.as_ref().map(|path| some_path(path.as_ref()))
}

fn binary(
    source_commit: Option<&String>,
    store_path: Option<&String>,
    binary_hash: Option<&String>,
) -> AgentBinary {
    AgentBinary {
        source_commit: some_name(source_commit),
        store_path: some_path(store_path),
        binary_hash: some_name(binary_hash),
    }
}

/// The last generations of a host.
fn generations(told: &[Generation]) -> Vec<Generation> {
    let bounded = |generation: &Generation| Generation {
        store_path: some_path(generation.store_path.as_ref()),
        configuration_revision: some_name(generation.configuration_revision.as_ref()),
        ..generation.clone()
    };
    told.iter().take(bounds::GENERATIONS).map(bounded).collect()
}

/// The disks of a host.
fn disks(told: &[DiskReport]) -> Vec<Disk> {
    let disk = |told: &DiskReport| Disk {
        mount: path(&told.mount),
        free: told.free.min(told.total),
        total: told.total,
        inodes_free: told.inodes_free,
    };
    told.iter().take(bounds::DISKS).map(disk).collect()
}

/// What an agent did by itself. One message holds only so many.
fn notices(told: &[String]) -> Vec<String> {
    told.iter().take(bounds::NOTICES).filter_map(|notice| some_text(Some(notice))).collect()
}

/// The files that say who may sign what the host takes.
fn signers(told: &[String]) -> Vec<String> {
    told.iter()
        .take(bounds::SIGNERS)
        .map(|file| path(file))
        .filter(|file| !file.is_empty())
        .collect()
}

/// What a host repeats that it left. What names neither a commit nor a path holds nothing.
fn held(told: &[HeldReport]) -> Vec<Repeated> {
    let one = |told: &HeldReport| Repeated {
        left: Left {
            commit: told.commit.as_deref().and_then(Commit::parse),
            path: some_path(told.path.as_ref()),
            of: told.command_id,
        },
        reason: text(&told.reason),
    };
    let newest = told.len().saturating_sub(bounds::HELD);
    let all = told.iter().skip(newest).map(one);
    all.filter(|one| one.left.commit.is_some() || one.left.path.is_some()).collect()
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

/// What of an agent's features is known here.
fn features(told: &[String]) -> Vec<Feature> {
    let says = |feature: &Feature| told.iter().any(|name| name == feature.name());
    Feature::ALL.into_iter().filter(says).collect()
}

/// No agent is heard so seldom that this is passed, in seconds.
const BEATS_WITHIN_S: u64 = 86_400;

/// What a `register` says.
pub(crate) fn registration(register: &Register) -> Registration {
    let protocol = Protocol::of(register.protocol);
    let profile = HostProfile {
        hostname: text(&register.hostname),
        platform: platform(register),
        os_version: name(&register.os_version),
        nixpkgs_version: name(&register.nixpkgs_version),
        location: Place::parse(&register.location),
        device_type: DeviceType::parse(&register.device_type),
        theme_color: Colour::parse(&register.theme_color.to_ascii_lowercase()),
        repo_url: secret::address_without_credentials(&path(&register.repo_url)),
        repo_dir: path(&register.repo_dir),
        signers: signers(&register.signers),
        branch: some_name(register.branch.as_ref()),
        beats_every: Duration::try_from_secs_f64(register.heartbeat_interval)
            .ok()
            .filter(|every| (1..=BEATS_WITHIN_S).contains(&every.as_secs())),
        boot_time: register.boot_time,
        tests_auto_run: None,
        generations: Vec::new(),
        ..HostProfile::default()
    };
    let (checkout, no_checkout) = checkout(&register.checkout, Some(&register.generation));
    Registration {
        profile,
        version: some_name(Some(&register.agent_version)),
        protocol: register.protocol,
        process: Process {
            boot_id: some_name(register.boot_id.as_ref()),
            started: register.agent_started,
        },
        features: features(&register.features),
        report: Report {
            checkout,
            no_checkout,
            dirty: register.dirty,
            ahead: register.ahead,
            expected_agent: told_path(&register.expected_agent_path),
            built: None,
            lock: lock(register.lock_hash.as_ref(), protocol),
            nixpkgs_version: None,
            binary: binary(
                register.source_commit.as_ref(),
                register.store_path.as_ref(),
                register.binary_hash.as_ref(),
            ),
            system: register.system.as_ref().map(system),
            tests: register.tests.map(tests),
            test_timeout: register.tests.map(timeout),
            generations: Some(generations(&register.generations)).filter(|list| !list.is_empty()),
            disks: register.disk.as_deref().map(disks),
            notices: notices(&register.notices),
            metrics: None,
        },
        held: register.held.as_deref().filter(|_| protocol.names_commands_by_id()).map(held),
        tags: register.tags.as_ref().map(|told| Tags::known(told.iter().map(String::as_str))),
        jobs: protocol.resumes_jobs().then(|| {
            register
                .jobs
                .iter()
                .flatten()
                .take(bounds::JOBS)
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
    let (checkout, no_checkout) = checkout(&beat.checkout, Some(&beat.generation));
    HostEvent::Heartbeat {
        report: Box::new(Report {
            checkout,
            no_checkout,
            dirty: beat.dirty,
            ahead: beat.ahead,
            expected_agent: told_path(&beat.expected_agent_path),
            built: None,
            lock: lock(beat.lock_hash.as_ref(), protocol),
            nixpkgs_version: some_name(Some(&beat.nixpkgs_version)),
            binary: binary(
                beat.source_commit.as_ref(),
                beat.store_path.as_ref(),
                beat.binary_hash.as_ref(),
            ),
            system: beat.system.as_ref().map(system),
            tests: beat.tests.map(tests),
            test_timeout: beat.tests.map(timeout),
            generations: beat.generations.as_deref().map(generations),
            disks: beat.disk.as_deref().map(disks),
            notices: notices(&beat.notices),
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

/// How the message of an agent of protocol 4 begins whose guard took a switch back (spec: guard).
/// This is the only place that decides by an agent's words.
const RETURNED: &str = "Rolled back by itself:";

/// What was missing, where the host's guard took back what was activated.
fn returned(status: &Status, protocol: Protocol) -> Option<String> {
    let failed = status.status == OutcomeStatus::Error && status.timed_out != Some(true);
    let message =
        status.message.as_deref().filter(|_| protocol.names_commands_by_id() && failed)?;
    Some(text(message.strip_prefix(RETURNED)?.trim_start()))
}

/// What a `status` says.
pub(crate) fn status(status: &Status, protocol: Protocol) -> HostEvent {
    let missing = returned(status, protocol);
    let kind = match status.status {
        OutcomeStatus::Error if missing.is_some() => OutcomeKind::Returned,
        OutcomeStatus::Ok => OutcomeKind::Exited,
        OutcomeStatus::Error if status.timed_out == Some(true) => OutcomeKind::TimedOut,
        OutcomeStatus::Error => OutcomeKind::Failed,
        OutcomeStatus::Blocked => OutcomeKind::Blocked,
        OutcomeStatus::Interrupted => OutcomeKind::Interrupted,
        OutcomeStatus::TimedOut => OutcomeKind::TimedOut,
        OutcomeStatus::Stopped => OutcomeKind::Stopped,
    };
    let (checkout, no_checkout) = checkout(&status.checkout, status.generation.as_deref());
    HostEvent::Ended {
        about: about(status.command_id, &status.command),
        outcome: Outcome {
            kind,
            exit_code: exit_code(status.exit_code),
            message: some_text(missing.as_ref().or(status.message.as_ref())),
            // A word of a newer agent is nothing that this dashboard could offer.
            blocked_by: status.blocked_by.iter().filter_map(|key| Regardless::parse(key)).collect(),
        },
        report: Box::new(Report {
            checkout,
            no_checkout,
            dirty: status.dirty,
            ahead: status.ahead,
            built: status.built.as_ref().map(|built| Built {
                commit: Commit::parse(&built.commit),
                lock: lock(Some(&built.lock_hash), protocol),
                dirty: built.dirty,
                path: built.path.as_ref().filter(|path| path.len() <= bounds::PATH).cloned(),
                starts: if built.next_boot { Starts::NextBoot } else { Starts::Now },
            }),
            lock: lock(status.lock_hash.as_ref(), protocol),
            system: status.system.as_ref().map(system),
            tests: status.tests.map(tests),
            test_timeout: status.tests.map(timeout),
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
            blocked_by: Vec::new(),
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
