//! One host's state, and how events change it.
//!
//! [`HostState::apply`] is the only way to change a host. It is pure: what must be
//! stored, sent or shown goes out as [`HostEffect`]s. The host's actor carries them out.

mod event;
mod goal;
mod needs;
mod outcome;
mod reconcile;
mod requests;
#[cfg(test)]
mod tests;
mod turn;

pub use event::{About, HostEffect, HostEvent, Job, Registration, Report, TestSetup, Work};

use super::command::{self, Baseline, Command, State};
use super::compartment::{self, DASHBOARD_VERSION};
use super::desired::Desired;
use super::facts::HostFacts;
use super::ids::{CommandId, Commit, HostId};
use super::operation::{Args, Operation, TimeLimits};
use super::profile::HostProfile;
use super::snapshot::{HostSnapshot, LastCommand, Metrics, Pulse};
use super::test_report::TestResult;
use super::timestamp::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use turn::Turn;

/// Everything the dashboard holds about one host.
#[derive(Debug, Clone)]
pub struct HostState {
    /// Its id.
    pub id: HostId,
    /// Name, looks and place.
    pub profile: HostProfile,
    /// What it reported.
    pub facts: HostFacts,
    /// When a frame last came.
    pub last_seen: Option<Timestamp>,
    /// Load.
    pub metrics: Option<Metrics>,
    /// Whether an agent is connected.
    pub online: bool,
    /// How many links its agents opened since the dashboard started.
    links: u64,
    /// The exclusive command, if one is active.
    command: Option<Command>,
    /// Other commands that are not over: queued ones, restart-agent, reboot.
    others: Vec<Command>,
    /// Commands that are over for the dashboard, but whose job the agent still has.
    attached: Vec<Command>,
    /// The command that ended last.
    last: Option<Command>,
    /// Ids of the commands that ended since the dashboard started, the last few of them.
    over: VecDeque<CommandId>,
    /// Results of the test run that is going on.
    results: Vec<TestResult>,
    /// The last line on stderr of what runs: all a 3.x agent says about a failure.
    last_error_line: Option<String>,
    desired: Arc<Desired>,
    limits: Arc<TimeLimits>,
    drift: bool,
    comparing: Option<(Commit, Commit)>,
    /// How many messages of this link made no sense.
    odd: u32,
}

/// What a host is restored from.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its id.
    pub id: HostId,
    /// Name, looks and place.
    pub profile: HostProfile,
    /// What it reported.
    pub facts: HostFacts,
    /// When a frame last came.
    pub last_seen: Option<Timestamp>,
    /// Its commands that are not over.
    pub live: Vec<Command>,
    /// The command that ended last.
    pub last: Option<Command>,
    /// Results stored for the live test run.
    pub results: Vec<TestResult>,
}

/// So many commands that are over are kept for what the agent still says about them.
const ATTACHED: usize = 32;

/// Makes ids for commands that nobody asked for by a click.
pub type NewId<'a> = &'a mut dyn FnMut() -> CommandId;

impl HostState {
    /// A host that was never seen.
    pub fn new(id: HostId, hostname: &str, desired: Arc<Desired>) -> Self {
        let profile = HostProfile { hostname: hostname.to_owned(), ..HostProfile::default() };
        let restored = Restored {
            id,
            profile,
            facts: HostFacts::default(),
            last_seen: None,
            live: Vec::new(),
            last: None,
            results: Vec::new(),
        };
        Self::restore(restored, desired, Timestamp::default())
    }

    /// A host as it was stored. It is offline until its agent comes back; deadlines are
    /// counted from now where they lie further away than the operation allows.
    pub fn restore(from: Restored, desired: Arc<Desired>, now: Timestamp) -> Self {
        let mut state = Self {
            id: from.id,
            profile: from.profile,
            facts: from.facts,
            last_seen: from.last_seen,
            metrics: None,
            online: false,
            links: 0,
            command: None,
            others: Vec::new(),
            attached: Vec::new(),
            last: from.last,
            over: VecDeque::new(),
            results: from.results,
            last_error_line: None,
            desired,
            limits: Arc::default(),
            drift: false,
            comparing: None,
            odd: 0,
        };
        for mut command in from.live {
            // Links are counted from the dashboard's start; after a restart of the
            // dashboard every agent opens its first.
            command.baseline.links = 0;
            if command.state != State::Queued {
                command.offline_since = Some(now);
                let longest = now + command.time_limit.max(command::VERIFYING_FOR);
                command.deadline = command.deadline.map(|d| d.min(longest));
            }
            let exclusive = command.op.rules().exclusive && command.state.is_active();
            if exclusive && state.command.is_none() {
                state.command = Some(command);
            } else {
                state.others.push(command);
            }
        }
        state
    }

    /// The same host with other time limits than those of the table.
    #[must_use]
    pub fn with_limits(mut self, limits: Arc<TimeLimits>) -> Self {
        self.limits = limits;
        self
    }

    /// The exclusive command, if one is active.
    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// Every command that is not over, and those whose job the agent still has.
    pub fn find(&self, id: CommandId) -> Option<&Command> {
        self.live().chain(&self.attached).find(|c| c.id == id)
    }

    /// Every command that is not over.
    pub fn live(&self) -> impl Iterator<Item = &Command> {
        self.command.iter().chain(&self.others)
    }

    /// When [`HostEvent::Tick`] is next due; `None` while nothing waits.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.live().filter_map(Command::due).min()
    }

    /// The protocol the host's agent speaks.
    pub fn protocol(&self) -> u32 {
        self.facts.agent.protocol.unwrap_or(3)
    }

    /// The remote as this host was last told.
    pub fn desired(&self) -> &Arc<Desired> {
        &self.desired
    }

    /// What changes with every heartbeat.
    pub fn pulse(&self) -> Pulse {
        Pulse { last_seen: self.last_seen, metrics: self.metrics }
    }

    /// What page and API show.
    pub fn snapshot(&self) -> HostSnapshot {
        let live: Vec<&Command> = self.live().collect();
        let remote = self.desired.known();
        HostSnapshot {
            id: self.id.clone(),
            profile: self.profile.shown(),
            online: self.online,
            agent_outdated: self
                .facts
                .agent
                .version
                .as_ref()
                .is_some_and(|version| version != DASHBOARD_VERSION),
            row: compartment::evaluate(&self.facts, &live, &self.desired),
            facts: self.facts.clone(),
            command: self.command.clone(),
            waiting: self.others.clone(),
            last_command: self.last.as_ref().map(|c| LastCommand {
                id: c.id,
                op: c.op,
                state: c.state,
                finished_at: c.finished_at,
            }),
            generations: self.profile.generations.clone(),
            drift: self.drift,
            pending_pr: remote.and_then(|r| r.pending_pr.clone()),
            source: remote.map(|r| r.source.clone()),
            allowed: Operation::ALL
                .into_iter()
                .map(|op| (op, self.allows(op, &Args { confirmed: Some(true), ..Args::default() })))
                .collect(),
        }
    }

    /// Takes a place for lines of output: which command they belong to, and the number
    /// of the first. Protocol 3 gives neither; its lines belong to what runs. `None` if
    /// there is no such command. `last_error`: the last line of stderr among them.
    pub fn output(
        &mut self,
        id: Option<CommandId>,
        first_seq: Option<u64>,
        count: u64,
        last_error: Option<&str>,
    ) -> Option<(CommandId, u64)> {
        if let Some(line) = last_error.filter(|line| !line.trim().is_empty()) {
            self.last_error_line = Some(line.trim().chars().take(500).collect());
        }
        let command = match id {
            Some(id) => self
                .command
                .iter_mut()
                .chain(&mut self.others)
                .chain(&mut self.attached)
                .find(|c| c.id == id)?,
            // The last lines of a 3.x agent may come after its outcome.
            None => self.command.as_mut().or(self.last.as_mut())?,
        };
        let first = first_seq.unwrap_or(command.output_lines + 1);
        command.output_lines = command.output_lines.max((first + count).saturating_sub(1));
        Some((command.id, first))
    }

    /// Brings a stored command back that the agent still talks about.
    pub fn attach(&mut self, command: Command) {
        if self.find(command.id).is_none() && command.host == self.id {
            self.attached.push(command);
            if self.attached.len() > ATTACHED {
                self.attached.remove(0);
            }
        }
    }

    /// Lets `event` happen at `now`. The same state and event always give the same.
    pub fn apply(
        &mut self,
        event: HostEvent,
        now: Timestamp,
        new_id: NewId<'_>,
    ) -> Vec<HostEffect> {
        let before = (self.profile.clone(), self.facts.clone());
        let mut turn = Turn { state: self, now, new_id, effects: Vec::new() };
        turn.handle(event);
        turn.verify();
        turn.dispatch();
        turn.compare();
        let mut effects = turn.effects;
        if (&before.0, &before.1) != (&self.profile, &self.facts) {
            effects.insert(0, HostEffect::SaveHost);
        }
        effects
    }
}

impl HostState {
    /// How the host is now, for a command that is sent now.
    fn baseline(&self) -> Baseline {
        let remote = match &*self.desired {
            Desired::Known(remote) => Some(remote),
            Desired::Unavailable { last_known, .. } => last_known.as_ref(),
            Desired::NotConfigured { .. } | Desired::NotYetFetched => None,
        };
        Baseline {
            desired: remote.map(|r| r.commit.clone()),
            checkout: self.facts.checkout.clone(),
            lock: self.facts.lock.clone(),
            store_path: self.facts.system.store_path.clone(),
            generation: self.facts.system.generation,
            deployment: self.facts.deployment,
            agent: self.facts.agent.binary.clone(),
            boot_time: self.profile.boot_time,
            links: self.links,
        }
    }
}
