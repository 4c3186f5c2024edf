//! Everything the dashboard holds about one host, and what can be read of it.

use super::commands::Commands;
use super::echoes::Echoes;
use super::event::Report;
use super::takeovers::Takeovers;
use crate::domain::command::{Baseline, Command, Goal, State};
use crate::domain::compartment::{self, DASHBOARD_VERSION};
use crate::domain::desired::Desired;
use crate::domain::facts::HostFacts;
use crate::domain::ids::{CommandId, Commit, HostId};
use crate::domain::maintenance::Restraints;
use crate::domain::moment::Uptime;
use crate::domain::operation::{Args, Operation, TimeLimits};
use crate::domain::profile::HostProfile;
use crate::domain::protocol::Protocol;
use crate::domain::snapshot::{HostSnapshot, LastCommand, Metrics, Pulse};
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Everything the dashboard holds about one host.
#[derive(Debug, Clone)]
pub struct HostState {
    /// Its id.
    pub(super) id: HostId,
    /// Name, looks and place.
    pub(super) profile: HostProfile,
    /// What it reported.
    pub(super) facts: HostFacts,
    /// When a frame last came.
    pub(super) last_seen: Option<Timestamp>,
    /// Load.
    pub(super) metrics: Option<Metrics>,
    /// Whether an agent is connected.
    pub(super) online: bool,
    /// How many links its agents opened since the dashboard started.
    pub(super) links: u64,
    /// Its commands.
    pub(super) commands: Commands,
    /// Results of the test run that began last.
    pub(super) results: Vec<TestResult>,
    /// Which run that is.
    pub(super) results_of: Option<CommandId>,
    /// Whether the last word of the agent on this link about what runs told both paths.
    pub(super) paths_told: bool,
    /// Tests are to follow a switch as soon as the host says that it has some.
    pub(super) tests_wait: bool,
    /// What a 3.x agent may still say about what is over.
    pub(super) echoes: Echoes,
    /// The last line on stderr of what runs: all a 3.x agent says about a failure.
    pub(super) last_error_line: Option<String>,
    /// The remote, as this host was last told.
    pub(super) desired: Arc<Desired>,
    /// How long operations may take.
    pub(super) limits: Arc<TimeLimits>,
    /// What holds it back, as that was last looked at: before anything may begin.
    pub(super) restraints: Restraints,
    /// It runs another commit than most hosts of its source.
    pub(super) drift: bool,
    /// The two commits whose relation was asked for.
    pub(super) comparing: Option<(Commit, Commit)>,
    /// Links that took over from one that was open.
    pub(super) takeovers: Takeovers,
    /// What its agent still works on though it timed out here.
    pub(super) overrun: Option<(CommandId, Operation)>,
    /// Which command ended last since the dashboard started, and when.
    pub(super) ended: Option<(CommandId, Uptime)>,
    /// When it was last told that it went beyond a bound, by the bound.
    pub(super) exceeded: BTreeMap<&'static str, Uptime>,
    /// When jobs became commands that the dashboard had not asked for, in the last minute.
    pub(super) adopted: Vec<Uptime>,
    /// When notices of the agent were recorded, in the last minute.
    pub(super) noted: Vec<Uptime>,
    /// How much the tests of the run that goes on have printed, in bytes.
    pub(super) printed_by_tests: usize,
    /// How many messages of this link made no sense.
    pub(super) odd: u32,
    /// The heartbeat that was applied last, without its load, if nothing else was since: the same
    /// one again changes nothing.
    pub(super) heard_last: Option<Box<Report>>,
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

/// Makes ids for commands that nobody asked for by a click.
pub type NewId<'a> = &'a mut dyn FnMut() -> CommandId;

impl HostState {
    /// A host that was never seen.
    pub fn new(id: HostId, hostname: &str, desired: Arc<Desired>) -> Self {
        let profile = HostProfile { hostname: hostname.to_owned(), ..HostProfile::default() };
        Self::added(id, profile, desired)
    }

    /// A host of which only this is known.
    pub fn added(id: HostId, profile: HostProfile, desired: Arc<Desired>) -> Self {
        let restored = Restored {
            id,
            profile,
            facts: HostFacts::default(),
            last_seen: None,
            live: Vec::new(),
            last: None,
            results: Vec::new(),
        };
        Self::restore(restored, desired, Uptime::default())
    }

    /// A host as it was stored. It is offline until its agent comes back; time in which no
    /// dashboard ran counts for nothing.
    pub fn restore(from: Restored, desired: Arc<Desired>, now: Uptime) -> Self {
        let runs = from.live.iter().find(|command| command.op == Operation::Test);
        let mut state = Self {
            results_of: runs.map(|command| command.id),
            paths_told: false,
            id: from.id,
            profile: from.profile,
            facts: from.facts,
            last_seen: from.last_seen,
            metrics: None,
            online: false,
            links: 0,
            commands: Commands::restore(from.live, from.last, now),
            results: from.results,
            tests_wait: false,
            echoes: Echoes::default(),
            last_error_line: None,
            desired,
            limits: Arc::default(),
            restraints: Restraints::default(),
            drift: false,
            comparing: None,
            takeovers: Takeovers::default(),
            overrun: None,
            ended: None,
            exceeded: BTreeMap::new(),
            adopted: Vec::new(),
            noted: Vec::new(),
            printed_by_tests: 0,
            odd: 0,
            heard_last: None,
        };
        state.restore_misses();
        state
    }

    /// Earlier versions stored what a goal lacks only in words: it is worked out anew.
    fn restore_misses(&mut self) {
        let untold =
            |command: &Command| command.state == State::Verifying && command.miss.is_none();
        for id in self.commands.ids_of_live(untold) {
            let goal = self.commands.find(id).map(|command| self.goal(command));
            if let Some(Goal::Missing(miss)) = goal {
                self.commands.set_miss(id, miss);
            }
        }
    }

    /// The same host with other time limits than those of the table.
    #[must_use]
    pub fn with_limits(mut self, limits: Arc<TimeLimits>) -> Self {
        self.limits = limits;
        self
    }

    /// Its id.
    pub fn id(&self) -> &HostId {
        &self.id
    }

    /// Name, looks and place, as the host says them, with what users have set beside it.
    pub fn profile(&self) -> &HostProfile {
        &self.profile
    }

    /// What it reported.
    pub fn facts(&self) -> &HostFacts {
        &self.facts
    }

    /// When a frame last came.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.last_seen
    }

    /// The exclusive command, if one is active.
    pub fn command(&self) -> Option<&Command> {
        self.commands.exclusive()
    }

    /// A command that is not over, or whose job the agent still has.
    pub fn find(&self, id: CommandId) -> Option<&Command> {
        self.commands.find(id)
    }

    /// Every command that is not over.
    pub fn live(&self) -> impl Iterator<Item = &Command> {
        self.commands.live()
    }

    /// When [`HostEvent::Tick`](super::HostEvent::Tick) is next due; `None` while nothing waits.
    pub fn next_due(&self) -> Option<Uptime> {
        let commands = self.live().filter_map(Command::due).min();
        let waits = self.commands.next_queued(&BTreeSet::new()).is_some();
        let quiet = if waits { self.echoes.quiet_until() } else { None };
        commands.into_iter().chain(quiet).chain(self.takeovers.until()).min()
    }

    /// How long an operation may take on this host: a test run as long as its tests, where it is
    /// known how many there are and how long each may take.
    pub(super) fn time_limit(&self, op: Operation) -> Duration {
        let tests = self.profile.tests_take.filter(|_| op == Operation::Test);
        self.limits.set(op).or(tests).unwrap_or_else(|| op.rules().deadline)
    }

    /// How to speak with the host's agent.
    pub fn protocol(&self) -> Protocol {
        Protocol::of(self.facts.agent.protocol)
    }

    /// Whether its agent has a link.
    pub fn is_online(&self) -> bool {
        self.online
    }

    /// What its agent works on beside its command: what timed out, or what has no name here.
    /// Hostile text.
    pub fn busy_with(&self) -> Option<&str> {
        if !self.online {
            return None;
        }
        let overrun = self.overrun.map(|(_, op)| op.name());
        overrun.or(self.echoes.busy_with())
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
            plain_link: false,
            online: self.online,
            agent_outdated: self
                .facts
                .agent
                .version
                .as_ref()
                .is_some_and(|version| version != DASHBOARD_VERSION),
            row: compartment::evaluate(&self.facts, &live, &self.desired),
            facts: self.facts.clone(),
            command: self.command().cloned(),
            waiting: self.commands.others().to_vec(),
            busy_with: self.busy_with().map(str::to_owned),
            shared_name_since: self.takeovers.since(),
            last_command: self.commands.last().map(|c| LastCommand {
                id: c.id,
                op: c.op,
                state: c.state,
                finished_at: c.finished_at,
            }),
            generations: self.profile.generations.clone(),
            drift: self.drift,
            held: self.hold_applies(),
            pending_pr: remote.and_then(|r| r.pending_pr.clone()),
            forge: self.desired.forge().cloned(),
            source: remote.map(|r| r.source.clone()),
            allowed: Operation::ALL
                .into_iter()
                .map(|op| (op, self.allows(op, &Args { confirmed: Some(true), ..Args::default() })))
                .collect(),
        }
    }
}

impl HostState {
    /// What runs was built from. A host that tells no path is believed to run its checkout where
    /// nothing else is known.
    fn ran(&self) -> Option<Commit> {
        let untold = self.facts.system.store_path.is_none();
        self.facts.deployed_commit().or_else(|| self.facts.checkout.clone().filter(|_| untold))
    }

    /// How the host is now, for a command that is sent now, which gets the host's next number.
    pub(super) fn next_baseline(&mut self) -> Baseline {
        self.facts.orders += 1;
        let remote = match &*self.desired {
            Desired::Known(remote) => Some(remote),
            Desired::Unavailable { last_known, .. } => last_known.as_ref(),
            Desired::NotConfigured { .. } | Desired::NotYetFetched => None,
        };
        Baseline {
            desired: remote.map(|r| r.commit.clone()),
            checkout: self.facts.checkout.clone(),
            lock: self.facts.lock.clone(),
            dirty: self.facts.dirty,
            store_path: self.facts.system.store_path.clone(),
            deployed: self.ran(),
            profile_path: self.facts.system.profile_path.clone(),
            generation: self.facts.system.generation,
            deployment: self.facts.deployment,
            order: self.facts.orders,
            agent: self.facts.agent.binary.clone(),
            boot_time: self.profile.boot_time,
            links: self.links,
            protocol: Some(self.protocol().number()),
            agent_version: self.facts.agent.version.clone(),
            process: self.facts.agent.process.clone(),
        }
    }
}
