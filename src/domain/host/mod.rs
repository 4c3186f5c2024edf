//! One host's state, and how events change it.
//!
//! [`HostState::apply`] is the only way to change a host. It is pure: what must be
//! stored, sent or shown goes out as [`HostEffect`]s. The host's actor carries them out.

mod event;
mod goal;
mod needs;
mod outcome;
mod reconcile;
#[cfg(test)]
mod tests;

pub use event::{About, HostEffect, HostEvent, Job, Registration, Report, TestSetup, Work};

use super::command::{self, Baseline, Command, Event, Goal, State};
use super::compartment::{self, DASHBOARD_VERSION};
use super::desired::Desired;
use super::facts::{Comparison, HostFacts, Lineage};
use super::generation::Generation;
use super::ids::{CommandId, Commit, HostId};
use super::operation::{Args, Operation, TimeLimits};
use super::snapshot::{HostSnapshot, Metrics, Pulse};
use super::test_report::TestResult;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Name, looks and place of a host: nothing that a compartment is decided by.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostProfile {
    /// The name as the host writes it.
    pub hostname: String,
    /// `nixos`, `darwin` or `home-manager`; empty until reported.
    pub platform: String,
    /// Version of the operating system.
    pub os_version: String,
    /// Version of nixpkgs.
    pub nixpkgs_version: String,
    /// home, work, cloud.
    pub location: String,
    /// server, desktop, laptop, gaming.
    pub device_type: String,
    /// `#rrggbb`, checked.
    pub theme_color: String,
    /// The config repository, as the agent says.
    pub repo_url: String,
    /// The agent's clone.
    pub repo_dir: String,
    /// The branch it follows.
    pub branch: Option<String>,
    /// Seconds between heartbeats.
    pub heartbeat_interval: f64,
    /// When the host was booted.
    pub boot_time: Option<Timestamp>,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: Option<bool>,
    /// The last ten generations.
    pub generations: Vec<Generation>,
}

/// Why an operation cannot start now. The `code` is that of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// E.g. `host_busy`, `host_offline`.
    pub code: &'static str,
    /// In the user's words.
    pub message: String,
}

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
            profile: self.profile.clone(),
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
            last_command: self.last.as_ref().map(|c| (c.id, c.op)),
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

/// So many commands that are over are kept for what the agent still says about them.
const ATTACHED: usize = 32;
/// So many ids of commands that are over are kept: no agent runs one of them again.
const OVER: usize = 16;
/// So many messages of one link that make no sense are recorded.
const ODD_MESSAGES: u32 = 20;

/// One event being applied.
struct Turn<'a, 'b> {
    state: &'a mut HostState,
    now: Timestamp,
    new_id: NewId<'b>,
    effects: Vec<HostEffect>,
}

impl Turn<'_, '_> {
    fn handle(&mut self, event: HostEvent) {
        if event.is_said_by_agent() && !self.state.online {
            // Its link is gone; what it still has to say it says on the next one.
            return;
        }
        match event {
            HostEvent::Connected { registration, known } => self.connected(*registration, known),
            HostEvent::Disconnected => self.disconnected(),
            HostEvent::Heartbeat { report, work } => self.heartbeat(&report, work),
            HostEvent::Accepted(id) => {
                self.seen();
                self.step_id(id, &Event::Runs);
            }
            HostEvent::Rejected { about, reason, work } => self.rejected(&about, &reason, work),
            HostEvent::Ended { about, outcome, report } => self.ended(&about, &outcome, &report),
            HostEvent::Progress { about, text } => self.progress(&about, &text),
            HostEvent::TestEnded { about, result } => self.test_ended(&about, result),
            HostEvent::Requested { op, args, queue, by } => self.requested(op, args, queue, by),
            HostEvent::StopRequested { id, by } => self.user_event(id, &Event::Stop(by)),
            HostEvent::ExtendRequested { id, by } => self.user_event(id, &Event::Extend(by)),
            HostEvent::DesiredChanged(desired) => self.state.desired = desired,
            HostEvent::Compared { host, head, comparison } => self.compared(host, head, comparison),
            HostEvent::Drift(drift) => self.state.drift = drift,
            HostEvent::Odd(what) => self.odd(what),
            HostEvent::Tick => self.step_all(&Event::Tick),
            HostEvent::ClockJumped(millis) => self.step_all(&Event::ClockJumped(millis)),
        }
    }

    fn seen(&mut self) {
        self.state.last_seen = Some(self.now);
    }

    fn record(&mut self, category: &'static str, message: String) {
        self.effects.push(HostEffect::Record { category, message, by: None });
    }

    /// Records a message of the agent that makes no sense and changes nothing. An agent that
    /// sends many fills no audit log.
    fn odd(&mut self, what: String) {
        self.state.odd = self.state.odd.saturating_add(1);
        match self.state.odd {
            ..ODD_MESSAGES => self.record("protocol", what),
            ODD_MESSAGES => {
                let more = "Further such messages are not recorded until it reconnects.";
                self.record("protocol", format!("{what} {more}"));
            }
            _ => {}
        }
    }

    /// Steps every live command.
    fn step_all(&mut self, event: &Event) {
        let ids: Vec<CommandId> = self.state.live().map(|c| c.id).collect();
        for id in ids {
            self.step_id(id, event);
        }
    }

    /// Steps one command, wherever it is, and puts it where it then belongs.
    /// Returns false if the host has no such command.
    fn step_id(&mut self, id: CommandId, event: &Event) -> bool {
        let Some(before) = self.take(id) else {
            return false;
        };
        let late = before.state == State::Lost
            && before.op.rules().exclusive
            && self.state.command.is_some();
        if late && *event == Event::Runs {
            // Only one runs at a time; which one is for the next heartbeat to say.
            self.put(before);
            return false;
        }
        let (mut after, mut effects) = command::step(&before, event, self.now);
        if late && after.state == State::Verifying {
            // Its place is taken, so nobody waits for facts that would prove it.
            let goal = match self.state.goal(&after) {
                Goal::Missing(what) => Goal::Missed(what),
                goal @ (Goal::Met | Goal::Missed(_)) => goal,
            };
            let (verified, _) = command::step(&after, &Event::Goal(goal), self.now);
            after = verified;
            effects = vec![command::Effect::Journal];
        }
        for effect in effects {
            match effect {
                command::Effect::Send => self.effects.push(HostEffect::Run {
                    id,
                    op: after.op,
                    args: after.args.clone(),
                }),
                command::Effect::SendStop => self.effects.push(HostEffect::Stop(id)),
                command::Effect::Journal => self.effects.push(HostEffect::SaveCommand {
                    command: Box::new(after.clone()),
                    journal: true,
                }),
                command::Effect::Refetch => self.effects.push(HostEffect::Refetch),
            }
        }
        let ended = after.state.is_terminal() && after.state != before.state;
        self.put(after.clone());
        if ended {
            self.finished(&after);
        }
        true
    }

    fn take(&mut self, id: CommandId) -> Option<Command> {
        let state = &mut *self.state;
        if state.command.as_ref().is_some_and(|c| c.id == id) {
            return state.command.take();
        }
        for list in [&mut state.others, &mut state.attached] {
            if let Some(at) = list.iter().position(|c| c.id == id) {
                return Some(list.remove(at));
            }
        }
        if state.last.as_ref().is_some_and(|c| c.id == id) {
            return state.last.clone();
        }
        None
    }

    fn put(&mut self, command: Command) {
        let state = &mut *self.state;
        if command.state.is_terminal() {
            if !state.over.contains(&command.id) {
                state.over.push_back(command.id);
                if state.over.len() > OVER {
                    state.over.pop_front();
                }
            }
            // Only a lost one can still change: the agent may come back with the truth.
            if command.state == State::Lost && !state.attached.iter().any(|c| c.id == command.id) {
                state.attached.push(command.clone());
                if state.attached.len() > ATTACHED {
                    state.attached.remove(0);
                }
            }
            let newer =
                state.last.as_ref().is_none_or(|last| last.created_at <= command.created_at);
            if newer || state.last.as_ref().is_some_and(|last| last.id == command.id) {
                state.last = Some(command);
            }
        } else if command.op.rules().exclusive
            && command.state.is_active()
            && state.command.is_none()
        {
            state.command = Some(command);
        } else {
            state.others.push(command);
        }
    }

    fn disconnected(&mut self) {
        self.state.online = false;
        self.state.metrics = None;
        self.step_all(&Event::HostOffline);
    }

    /// Sends what waits, as soon as the host is there and idle.
    fn dispatch(&mut self) {
        while self.state.online && self.state.command.is_none() {
            let queued = self.state.others.iter().filter(|c| c.state == State::Queued);
            let Some(next) = queued.min_by_key(|c| (c.created_at, c.id)).map(|c| c.id) else {
                return;
            };
            let Some(command) = self.state.find(next) else {
                return;
            };
            match self.state.allows(command.op, &command.args.clone()) {
                Ok(()) => {
                    let baseline = self.state.baseline();
                    if let Some(c) = self.state.others.iter_mut().find(|c| c.id == next) {
                        c.baseline = baseline;
                    }
                    self.step_id(next, &Event::HostOnline);
                    if let Some(command) = self.state.find(next).cloned() {
                        self.effects.push(HostEffect::Announce(Box::new(command)));
                    }
                }
                Err(refusal) => {
                    self.step_id(next, &Event::Blocked(refusal.message));
                }
            }
        }
    }

    /// Asks once how the checkout and the head relate, when that is worth knowing.
    fn compare(&mut self) {
        let Some(remote) = self.state.desired.known() else {
            return;
        };
        let Some(host) = self.state.facts.checkout.clone() else {
            return;
        };
        let head = remote.commit.clone();
        let known = self.state.facts.lineage.as_ref();
        if host == head || known.is_some_and(|l| l.host == host && l.head == head) {
            return;
        }
        let pair = (host.clone(), head.clone());
        if self.state.comparing.as_ref() != Some(&pair) {
            self.state.comparing = Some(pair);
            self.effects.push(HostEffect::Compare { host, head });
        }
    }

    fn compared(&mut self, host: Commit, head: Commit, comparison: Option<Comparison>) {
        let asked = self.state.comparing.as_ref();
        if asked.is_none_or(|(a, b)| *a != host || *b != head) {
            return;
        }
        // A failure is asked again when the remote or the host moves.
        if let Some(Comparison { relation, missing }) = comparison {
            self.state.facts.lineage = Some(Lineage { host, head, relation, missing });
            self.state.comparing = None;
        }
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
