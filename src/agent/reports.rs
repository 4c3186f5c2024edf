//! What the agent tells of itself and its machine.

use super::facts::{self, Snapshot};
use super::{Agent, disk, platform};
use crate::agent::config::Platform;
use crate::base::secret;
use crate::domain::facts::Feature;
use crate::domain::generation::Generation;
use crate::domain::ids::CommandId;
use crate::domain::looks::or_empty;
use crate::domain::operation::Operation;
use crate::domain::repeated::Repeated;
use crate::protocol::{self, Heartbeat, HeldReport, Register};

/// What was told last on this link, so that it is not repeated.
#[derive(Debug, Default)]
pub(crate) struct Told {
    generations: Vec<Generation>,
    snapshot: Snapshot,
}

/// The first message on a link.
pub(crate) fn register(agent: &Agent, told: &mut Told) -> Register {
    let (config, snapshot) = (&agent.config, &agent.snapshot);
    *told = Told { generations: snapshot.generations.clone(), snapshot: snapshot.clone() };
    Register {
        hostname: config.hostname.clone(),
        host_type: match config.platform {
            Platform::Darwin => "macos",
            Platform::HomeManager if cfg!(target_os = "macos") => "macos",
            Platform::NixOs | Platform::HomeManager => "nixos",
        }
        .to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        os_version: facts::os_version(),
        nixpkgs_version: String::new(),
        generation: snapshot.checkout.clone().unwrap_or_default(),
        theme_color: or_empty::text(config.theme_color.as_ref()).to_owned(),
        heartbeat_interval: config.interval.as_secs_f64(),
        location: or_empty::text(config.location.as_ref()).to_owned(),
        device_type: or_empty::text(config.device_type.as_ref()).to_owned(),
        repo_url: secret::address_without_credentials(config.repo_url.as_deref().unwrap_or("")),
        repo_dir: config.repo_dir.to_string_lossy().into_owned(),
        source_commit: option_env!("NIXFLEET_COMMIT").map(str::to_owned),
        store_path: facts::own_store_path(),
        binary_hash: agent.binary_hash.clone(),
        protocol: Some(protocol::VERSION),
        features: features(agent),
        platform: Some(config.platform.name().to_owned()),
        boot_time: facts::boot_time(),
        branch: Some(config.branch.clone()),
        tests: snapshot.tests,
        system: Some(snapshot.system.clone()),
        generations: snapshot.generations.clone(),
        jobs: Some(agent.jobs.report()),
        lock_hash: snapshot.lock_hash.clone(),
        boot_id: facts::boot_id(),
        agent_started: Some(agent.started),
        checkout: Some(snapshot.checkout.clone()),
        dirty: Some(snapshot.dirty),
        ahead: Some(snapshot.ahead),
        expected_agent_path: Some(snapshot.system.agent_path.clone()),
        disk: Some(snapshot.disk.clone()),
        // After the jobs: looking at them finds those that cannot be read.
        notices: agent.notices.take(),
        tags: Some(config.tags.iter().map(ToString::to_string).collect()),
        guard: None,
        signers: signers(agent),
        held: Some(held(agent)),
    }
}

/// The files that say who may sign what this host takes.
fn signers(agent: &Agent) -> Vec<String> {
    let files = &agent.config.signers;
    let named = files.allowed.iter().chain(&files.keyring);
    named.map(|file| file.to_string_lossy().into_owned()).collect()
}

/// What this host went back from. What a system was built from, its generation tells, where no job
/// did.
fn held(agent: &Agent) -> Vec<HeldReport> {
    let snapshot = &agent.snapshot;
    let revision = |path: &String| {
        let generations = &snapshot.generations;
        let found = generations.iter().find(|known| known.store_path.as_ref() == Some(path))?;
        found.configuration_revision.clone()
    };
    let report = |told: Repeated| HeldReport {
        command_id: told.left.of,
        commit: told.left.commit.map_or_else(
            || told.left.path.as_ref().and_then(revision),
            |commit| Some(commit.to_string()),
        ),
        path: told.left.path,
        reason: told.reason,
    };
    let held = agent.jobs.held(snapshot.system.store_path.as_deref());
    held.into_iter().map(report).collect()
}

/// What this agent can do here.
fn features(agent: &Agent) -> Vec<String> {
    let site = &agent.site;
    let guard = site.is_guarded().then_some(Feature::Guard.name());
    let boot = platform::of(site).boots_later().then_some(Feature::Boot.name());
    let features = ["jobs", "test-results", "resume"].into_iter().chain(guard).chain(boot);
    features.map(str::to_owned).collect()
}

/// A heartbeat. `work` is the command that runs as far as the dashboard can know.
pub(crate) fn heartbeat(
    agent: &mut Agent,
    work: Option<(CommandId, Operation)>,
    told: &mut Told,
) -> Heartbeat {
    let metrics = agent.meter.measure();
    let snapshot = &agent.snapshot;
    let disk_changed = disk::differs_visibly(&told.snapshot.disk, &snapshot.disk);
    let mut last = std::mem::replace(&mut told.snapshot, snapshot.clone());
    if !disk_changed {
        told.snapshot.disk = std::mem::take(&mut last.disk);
    }
    let generations_changed = snapshot.generations != told.generations;
    told.generations.clone_from(&snapshot.generations);
    let agent_path = snapshot.system.agent_path.clone();
    Heartbeat {
        generation: snapshot.checkout.clone().unwrap_or_default(),
        nixpkgs_version: String::new(),
        pending_command: work.map(|(_, op)| op.name().to_owned()),
        command_pid: None,
        metrics,
        lock_hash: snapshot.lock_hash.clone(),
        source_commit: None,
        store_path: None,
        binary_hash: None,
        command_id: work.map(|(id, _)| id),
        system: Some(snapshot.system.clone()),
        tests: snapshot.tests,
        generations: generations_changed.then(|| snapshot.generations.clone()),
        checkout: changed(&last.checkout, snapshot.checkout.clone()),
        dirty: changed(&last.dirty, snapshot.dirty),
        ahead: changed(&last.ahead, snapshot.ahead),
        expected_agent_path: changed(&last.system.agent_path, agent_path),
        disk: disk_changed.then(|| snapshot.disk.clone()),
        notices: agent.notices.take(),
    }
}

/// What is to be told of a fact: nothing while it is as it was.
fn changed<T: PartialEq>(last: &Option<T>, now: Option<T>) -> Option<Option<T>> {
    if *last == now { None } else { Some(now) }
}
