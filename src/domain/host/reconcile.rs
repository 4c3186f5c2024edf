//! Whose word counts (spec: lifecycle, "Reconciliation"): the agent's about what runs on
//! its host, the dashboard's about what was asked.

use super::turn::Turn;
use super::{About, HostEffect, Registration, Report, Work};
use crate::domain::command::{Command, Event, Outcome, OutcomeKind, State};
use crate::domain::facts::AgentBinary;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use std::time::Duration;

/// The clocks of a host and of the dashboard may differ by so much.
const AHEAD_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// A 3.x agent repeats an outcome within so long.
const REPEATS_WITHIN: Duration = Duration::from_secs(60);

impl Turn<'_, '_> {
    pub(super) fn connected(&mut self, registration: Registration, known: Vec<Command>) {
        self.state.online = true;
        self.state.links += 1;
        self.state.comparing = None;
        self.state.odd = 0;
        self.seen();
        self.introduce(&registration);
        self.merge(&registration.report);
        for command in known {
            self.state.attach(command);
        }
        self.step_all_active(&Event::HostOnline);
        if let Some(jobs) = &registration.jobs {
            let ours = self.state.command.as_ref().map(|c| c.id);
            let running = jobs.iter().find(|job| job.running);
            if let Some(id) = ours.filter(|id| !jobs.iter().any(|job| job.id == *id)) {
                self.step_id(id, &Event::NeverHeardOf);
            }
            if let Some(job) = running {
                let name = job.op.map_or("an unknown operation", Operation::name);
                self.works(&Work { id: Some(job.id), name: name.to_owned() });
            }
            for job in jobs.iter().filter(|job| !job.running) {
                if self.state.find(job.id).is_none()
                    && self.state.last.as_ref().is_none_or(|c| c.id != job.id)
                {
                    // Its output and outcome follow: it is recorded, and changes nothing else.
                    self.adopt_finished(job.id, job.op);
                }
            }
        }
        self.came_back();
    }

    fn step_all_active(&mut self, event: &Event) {
        let active = self.state.live().filter(|c| c.state.is_active());
        let ids: Vec<CommandId> = active.map(|c| c.id).collect();
        for id in ids {
            self.step_id(id, event);
        }
    }

    /// An agent that opened a new link has done what restart-agent and reboot ask for.
    fn came_back(&mut self) {
        let asked = self.state.others.iter().filter(|c| {
            matches!(c.op, Operation::RestartAgent | Operation::Reboot) && c.state.is_active()
        });
        let ids: Vec<CommandId> = asked.map(|c| c.id).collect();
        for id in ids {
            let outcome = Outcome { kind: OutcomeKind::Exited, exit_code: 0, message: None };
            self.step_id(id, &Event::Ended(outcome));
        }
    }

    pub(super) fn heartbeat(&mut self, report: &Report, work: Option<Work>) {
        self.seen();
        self.merge(report);
        self.state.metrics = report.metrics.or(self.state.metrics);
        if let Some(work) = work {
            self.works(&work);
            return;
        }
        let Some(command) = &self.state.command else {
            return;
        };
        let new_link = self.state.links > command.baseline.links;
        let event = if self.state.protocol() < 4 && new_link {
            let deploys = command.op.rules().deploys || command.state == State::Stopping;
            if deploys { Event::CameBackWithout } else { Event::DoesNotRun }
        } else {
            Event::DoesNotRun
        };
        self.step_id(command.id, &event);
    }

    /// The agent says what it works on.
    fn works(&mut self, work: &Work) {
        let op = Operation::parse(&work.name);
        if let Some(command) = &self.state.command {
            let id = command.id;
            let same = match work.id {
                Some(theirs) => theirs == id,
                None => op == Some(command.op),
            };
            if same {
                self.step_id(id, &Event::Runs);
                return;
            }
            if command.state == State::Sent {
                // It crossed the command on the wire; the agent will refuse it.
                return;
            }
            self.step_id(id, &Event::Replaced(format!("`{}`", work.name.escape_debug())));
        }
        let last_lost = self.state.last.as_ref().filter(|c| c.state == State::Lost);
        let lost = match work.id {
            Some(id) => self.state.find(id).map(|c| c.id),
            None => last_lost.filter(|c| op == Some(c.op)).map(|c| c.id),
        };
        if let Some(id) = lost {
            let over = self.state.find(id).map(|c| c.state);
            if let Some(over) = over.filter(|s| s.is_terminal() && *s != State::Lost) {
                self.odd(format!(
                    "The agent says that it runs command {id}, which is {}; ignored.",
                    over.name()
                ));
                return;
            }
            self.step_id(id, &Event::Runs);
        } else if let Some(op) = op {
            self.adopt(work.id, op);
        }
    }

    /// The agent runs something that the dashboard does not know: it is shown as what it is.
    fn adopt(&mut self, id: Option<CommandId>, op: Operation) {
        if !op.rules().exclusive {
            return;
        }
        if let Some(id) = id
            && (self.state.over.contains(&id)
                || self.state.last.as_ref().is_some_and(|c| c.id == id))
        {
            self.odd(format!("The agent says that it runs command {id}, which is over; ignored."));
            return;
        }
        let mut command = self.new_command(id, op, Args::default(), "agent".to_owned());
        command.state = State::Running;
        command.deadline = Some(self.now + command.time_limit);
        command.reason = Some("The agent ran it when it connected.".to_owned());
        self.record("command", format!("Adopted {op}, which the agent says it runs."));
        self.begin(command);
    }

    fn adopt_finished(&mut self, id: CommandId, op: Option<Operation>) {
        let Some(op) = op else {
            self.odd(format!("The agent has a job {id} of an unknown operation."));
            return;
        };
        let mut command = self.new_command(Some(id), op, Args::default(), "agent".to_owned());
        command.state = State::Lost;
        command.finished_at = Some(self.now);
        command.reason = Some("It ran without the dashboard's knowledge.".to_owned());
        self.effects
            .push(HostEffect::SaveCommand { command: Box::new(command.clone()), journal: true });
        self.state.attached.push(command);
    }

    pub(super) fn rejected(&mut self, about: &About, reason: &str, work: Option<Work>) {
        self.seen();
        if let (About::Id(id), Some(work)) = (about, &work)
            && work.id == Some(*id)
        {
            // Refused because it runs already: it runs.
            self.works(work);
            return;
        }
        let reason = if reason.trim().is_empty() { "The agent gave no reason." } else { reason };
        let reason: String = reason.chars().take(500).collect();
        let refused = match about {
            About::Id(id) => self.state.find(*id).map(|c| c.id),
            // A 3.x agent names what runs, not what it refused: that is what was sent last.
            About::Name(_) if self.state.protocol() >= 4 => None,
            About::Name(_) => {
                let sent = self.state.live().filter(|c| c.state == State::Sent);
                sent.max_by_key(|c| c.sent_at).map(|c| c.id)
            }
        };
        match refused {
            Some(id) => {
                self.step_id(id, &Event::Rejected(reason));
            }
            None => self.odd(format!("The agent refused {about}, which was not sent; ignored.")),
        }
        if let Some(work) = work {
            self.works(&work);
        }
    }

    pub(super) fn new_command(
        &mut self,
        id: Option<CommandId>,
        op: Operation,
        args: Args,
        by: String,
    ) -> Command {
        Command {
            id: id.unwrap_or_else(|| (self.new_id)()),
            host: self.state.id.clone(),
            op,
            args,
            state: State::Sent,
            requested_by: by,
            created_at: self.now,
            sent_at: None,
            finished_at: None,
            deadline: None,
            offline_since: None,
            missed: 0,
            exit_code: None,
            reason: None,
            stop_by: None,
            time_limit: self.state.limits.of(op),
            slow: false,
            progress: None,
            output_lines: 0,
            baseline: self.state.baseline(),
        }
    }

    /// A new command takes its place.
    pub(super) fn begin(&mut self, command: Command) {
        let effects = &mut self.effects;
        effects.push(HostEffect::SaveCommand { command: Box::new(command.clone()), journal: true });
        effects.push(HostEffect::Announce(Box::new(command.clone())));
        if command.op == Operation::Test {
            self.state.results.clear();
        }
        if command.op.rules().exclusive && command.state.is_active() {
            self.state.last_error_line = None;
        }
        self.put(command);
    }

    /// The command that a message of the agent is about.
    pub(super) fn resolve(&self, about: &About) -> Option<CommandId> {
        match about {
            About::Id(id) => self.state.find(*id).map(|c| c.id),
            About::Name(name) => {
                let command = self.state.command.as_ref()?;
                let op = Operation::parse(name);
                (name.is_empty() || op == Some(command.op)).then_some(command.id)
            }
        }
    }

    /// Whether an outcome that belongs to nothing that runs only repeats the last one.
    pub(super) fn repeats(&self, about: &About) -> bool {
        let Some(last) = &self.state.last else {
            return false;
        };
        match about {
            About::Id(id) => last.id == *id,
            About::Name(name) => {
                let recent = last.finished_at.is_some_and(|at| self.now.since(at) < REPEATS_WITHIN);
                recent && (name.is_empty() || Operation::parse(name) == Some(last.op))
            }
        }
    }

    /// Takes over what a message says; what it lacks stays as it was.
    pub(super) fn merge(&mut self, report: &Report) {
        let state = &mut *self.state;
        let facts = &mut state.facts;
        if report.checkout.is_some() {
            facts.checkout.clone_from(&report.checkout);
        }
        if report.lock.is_some() {
            facts.lock.clone_from(&report.lock);
        }
        if let Some(version) = &report.nixpkgs_version {
            state.profile.nixpkgs_version.clone_from(version);
        }
        let future = self.now + AHEAD_AT_MOST;
        let mut system = report.system.clone();
        if let Some(system) = &mut system
            && system.activated_at.is_some_and(|at| at > future)
        {
            system.activated_at = None;
            self.odd("The agent says its system was activated in the future; ignored.".to_owned());
        }
        let state = &mut *self.state;
        let facts = &mut state.facts;
        if let Some(system) = &system {
            let (old, new) = (&facts.system.store_path, &system.store_path);
            if old.is_some() && new.is_some() && old != new {
                // By a switch of ours or by somebody else's: what runs is another.
                facts.deployment += 1;
            }
            facts.system.merge(system);
        }
        if let Some(tests) = report.tests {
            facts.tests_enabled_by_host = Some(tests.enabled);
            let set = state.profile.overrides.tests_enabled;
            facts.tests_enabled = set.or(facts.tests_enabled_by_host);
            state.profile.tests_auto_run = Some(tests.auto_run);
            if let Some(count) = tests.count {
                facts.has_tests = Some(count > 0);
            }
        }
        if let Some(generations) = &report.generations {
            state.profile.generations.clone_from(generations);
        }
        merge_binary(&mut facts.agent.binary, &report.binary);
    }

    /// Takes over what an agent says about itself when it connects.
    fn introduce(&mut self, registration: &Registration) {
        let agent = &mut self.state.facts.agent;
        let mut binary = agent.binary.clone();
        merge_binary(&mut binary, &registration.report.binary);
        if agent.binary.binary_hash != binary.binary_hash
            || agent.binary.store_path != binary.store_path
            || registration.version.as_ref().is_some_and(|v| agent.version.as_ref() != Some(v))
        {
            agent.stale = false;
        }
        if registration.version.is_some() {
            agent.version.clone_from(&registration.version);
        }
        agent.protocol = registration.protocol;
        agent.features.clone_from(&registration.features);
        let (profile, new) = (&mut self.state.profile, &registration.profile);
        for (old, new) in [
            (&mut profile.hostname, &new.hostname),
            (&mut profile.platform, &new.platform),
            (&mut profile.os_version, &new.os_version),
            (&mut profile.nixpkgs_version, &new.nixpkgs_version),
            (&mut profile.location, &new.location),
            (&mut profile.device_type, &new.device_type),
            (&mut profile.theme_color, &new.theme_color),
            (&mut profile.repo_url, &new.repo_url),
            (&mut profile.repo_dir, &new.repo_dir),
        ] {
            if !new.is_empty() {
                old.clone_from(new);
            }
        }
        if new.branch.is_some() {
            profile.branch.clone_from(&new.branch);
        }
        if new.heartbeat_interval > 0.0 {
            profile.heartbeat_interval = new.heartbeat_interval;
        }
        let future = self.now + AHEAD_AT_MOST;
        match new.boot_time {
            Some(at) if at > future => {
                self.odd("The agent says its host was booted in the future; ignored.".to_owned());
            }
            Some(at) => profile.boot_time = Some(at),
            None => {}
        }
    }
}

fn merge_binary(old: &mut AgentBinary, new: &AgentBinary) {
    for (old, new) in [
        (&mut old.source_commit, &new.source_commit),
        (&mut old.store_path, &new.store_path),
        (&mut old.binary_hash, &new.binary_hash),
    ] {
        if new.is_some() {
            old.clone_from(new);
        }
    }
}
