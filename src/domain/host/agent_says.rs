//! Whose word counts (spec: lifecycle, "Reconciliation"): the agent's about what runs on
//! its host, the dashboard's about what was asked.

use super::apply::Turn;
use super::commands::Place;
use super::echoes::Echoes;
use super::event::{About, HostEffect, Job, Registration, Report, Work};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::bounds;
use crate::domain::command::{Command, Event, Outcome, OutcomeKind, State};
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use std::time::Duration;

/// A 3.x agent repeats an outcome within so long.
const REPEATS_WITHIN: Duration = Duration::from_secs(60);

/// Whether it is one of those of which a host runs one at a time, and may be running.
fn takes_the_place(command: &Command) -> bool {
    command.op.rules().exclusive && command.state.is_active()
}

impl Turn<'_, '_> {
    pub(super) fn connected(&mut self, registration: Registration, known: Vec<Command>) {
        if self.state.online {
            self.takes_over(&registration);
        } else {
            self.tell_of_the_way_back();
        }
        self.state.online = true;
        self.state.overrun = None;
        self.state.links += 1;
        self.state.comparing = None;
        self.state.odd = 0;
        self.seen();
        self.introduce(&registration);
        self.merge(&registration.report);
        for command in known {
            self.remembered(command);
        }
        if let Some(told) = &registration.held {
            self.agent_holds(told);
        }
        if self.state.protocol().resumes_jobs() {
            self.state.echoes = Echoes::default();
        } else {
            self.state.echoes.new_link();
            self.say_that_lines_may_be_missing();
        }
        self.look_at_the_boot();
        self.step_those(|command| command.state.is_active(), &Event::HostOnline);
        self.another_agent_came();
        match &registration.jobs {
            Some(jobs) => self.has_jobs(jobs),
            // It does not say what it runs; the first stop may have been lost with the link.
            None => self.step_all(&Event::StopAgain),
        }
        self.came_back();
    }

    /// A link opens while another one is open. Where they are not of one process, and that
    /// happens again and again, two machines use one name.
    fn takes_over(&mut self, registration: &Registration) {
        let old = &self.state.facts.agent.process;
        if self.state.takeovers.happens(&registration.process, old, self.now) {
            let name = &self.state.profile.hostname;
            let message = format!(
                "Links of {name} take over from one another again and again: two machines use this name."
            );
            self.record(AuditCategory::Host, message, None);
        }
    }

    /// The agent says which jobs it has, all of them.
    fn has_jobs(&mut self, jobs: &[Job]) {
        let is_named = |command: &Command| jobs.iter().any(|job| job.id == command.id);
        let unnamed = |command: &Command| takes_the_place(command) && !is_named(command);
        for id in self.state.commands.ids_of_live(unnamed) {
            self.send_once_more(id, &Event::NeverHeardOf);
        }
        if let Some(job) = jobs.iter().find(|job| job.running) {
            let name = job.op.map_or("an unknown operation", Operation::name);
            self.works(&Work { id: Some(job.id), name: name.to_owned() });
        }
        for job in jobs.iter().filter(|job| !job.running) {
            let commands = &self.state.commands;
            if commands.find(job.id).is_none() && !commands.is_over(job.id) {
                // Its output and outcome follow: it is recorded, and changes nothing else.
                self.adopt_finished(job.id, job.op);
            }
        }
    }

    /// An agent that speaks another protocol than the one that was asked to switch or to roll
    /// back is there because that was done.
    fn another_agent_came(&mut self) {
        let last_lost = self.state.commands.last().filter(|last| last.state == State::Lost);
        let Some(command) = self.state.command().or(last_lost) else {
            return;
        };
        if command.op.rules().deploys && self.state.was_asked_of_another(command) {
            let id = command.id;
            self.step_id(id, &Event::CameBackAnother);
        }
    }

    /// A command that is over, as stored.
    pub(super) fn remembered(&mut self, command: Command) {
        if command.host == self.state.id {
            self.state.commands.attach(command);
        }
    }

    /// Lines of output came.
    pub(super) fn output(
        &mut self,
        id: Option<CommandId>,
        first_seq: Option<u64>,
        count: u64,
        last_error: Option<&str>,
    ) {
        let last_error = last_error.filter(|line| !line.trim().is_empty());
        let owner = if id.is_some() { id } else { self.owner_of_old_line() };
        if let Some(line) = last_error
            && owner.is_some_and(|owner| self.state.commands.exclusive_is(owner))
        {
            let line: String = line.trim().chars().take(500).collect();
            self.state.last_error_line = Some(line);
        }
        if let Some(owner) = owner.filter(|_| id.is_none()) {
            self.old_agent_speaks_of(owner, last_error);
        }
        let place = owner.and_then(|id| self.state.commands.take_lines(id, first_seq, count));
        if let Some(Place::TooFar) = place {
            self.exceeded(bounds::rows::LINE_NUMBER_JUMP);
            return;
        }
        match (place, id) {
            (Some(Place::At(id, first_seq)), _) => {
                self.effects.push(HostEffect::StoreOutput { id, first_seq });
            }
            (None, Some(id)) => {
                self.odd(format!("Output of command {id}, which is not this host's; ignored."));
            }
            // Lines of a 3.x agent that runs nothing say nothing.
            (None, None) | (Some(Place::TooFar), _) => {}
        }
    }

    /// An agent that opened a new link has done what restart-agent and reboot ask for, where it
    /// does not say that it is the same process, or the same boot.
    fn came_back(&mut self) {
        let outcome = Outcome {
            kind: OutcomeKind::Exited,
            exit_code: 0,
            message: None,
            blocked_by: Vec::new(),
        };
        let now = self.state.facts.agent.process.clone();
        let done = |command: &Command| {
            let then = &command.baseline.process;
            let is_another = match command.op {
                Operation::RestartAgent => now.is_another(then),
                Operation::Reboot => now.is_of_another_boot(then),
                Operation::Pull
                | Operation::Switch
                | Operation::PullSwitch
                | Operation::Test
                | Operation::Rollback
                | Operation::DryRun => return false,
            };
            command.state.is_active() && is_another != Some(false)
        };
        self.step_those(done, &Event::Ended(outcome));
    }

    pub(super) fn heartbeat(&mut self, report: &Report, work: Option<Work>) {
        self.merge(report);
        self.state.metrics = report.metrics.or(self.state.metrics);
        let ids = self.state.protocol().names_commands_by_id();
        match work {
            Some(work) if ids => {
                self.works(&work);
                self.runs_nothing_but(work.id);
            }
            Some(work) => self.old_agent_works(&work),
            None if ids => {
                self.state.overrun = None;
                self.runs_nothing_but(None);
            }
            None => {
                self.state.overrun = None;
                self.old_agent_is_idle();
            }
        }
    }

    /// An agent that says what it works on by ids works on nothing else. There is more than one to
    /// speak of only where more than one was stored (finding 43).
    fn runs_nothing_but(&mut self, named: Option<CommandId>) {
        let ours = self.state.command().map(|command| command.id);
        let unnamed = |command: &Command| {
            let speaks_of_it = named.is_none() || Some(command.id) != ours;
            takes_the_place(command) && Some(command.id) != named && speaks_of_it
        };
        self.step_those(unnamed, &Event::DoesNotRun);
    }

    /// The agent says what it works on.
    pub(super) fn works(&mut self, work: &Work) {
        let op = Operation::parse(&work.name);
        if op.is_none() && work.id.is_none() {
            // What has no name here is no command, and ends none.
            return;
        }
        if let Some(command) = self.state.command() {
            let id = command.id;
            let same = match work.id {
                Some(theirs) => theirs == id,
                None => op == Some(command.op),
            };
            if same {
                self.step_id(id, &Event::Runs);
                if work.id.is_some() {
                    self.step_id(id, &Event::StopAgain);
                }
                return;
            }
            if command.state == State::Sent {
                // It crossed the command on the wire; the agent will refuse it.
                return;
            }
            self.step_id(id, &Event::Replaced(format!("`{}`", work.name.escape_debug())));
        }
        if self.works_on_what_timed_out(work, op) {
            return;
        }
        let last_lost = self.state.commands.last().filter(|c| c.state == State::Lost);
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

    /// Whether the agent still works on what has timed out here: then the host is busy with it.
    fn works_on_what_timed_out(&mut self, work: &Work, op: Option<Operation>) -> bool {
        let last = self.state.commands.last();
        let named = match work.id {
            Some(id) => self.state.find(id).or(last.filter(|last| last.id == id)),
            None => last.filter(|last| op == Some(last.op)),
        };
        let timed_out = named.filter(|command| command.state == State::TimedOut);
        self.state.overrun = timed_out.map(|command| (command.id, command.op));
        self.state.overrun.is_some()
    }

    /// The agent runs something that the dashboard does not know: it is shown as what it is.
    fn adopt(&mut self, id: Option<CommandId>, op: Operation) {
        if !op.rules().exclusive {
            return;
        }
        if let Some(id) = id
            && self.state.commands.is_over(id)
        {
            self.odd(format!("The agent says that it runs command {id}, which is over; ignored."));
            return;
        }
        if !self.may_adopt() {
            return;
        }
        let mut command = self.new_command(id, op, Args::default(), Author::Agent);
        command.state = State::Running;
        command.reached = true;
        command.start_timers(self.now.up);
        command.reason = Some("The agent ran it when it connected.".to_owned());
        let message = format!("Adopted {op}, which the agent says it runs.");
        self.record_of(command.id, message, None);
        self.begin(command);
    }

    /// Whether one more job that the dashboard did not ask for becomes a command: a few a minute
    /// (finding 9 of the security review).
    fn may_adopt(&mut self) -> bool {
        let now = self.now.up;
        let minute = Duration::from_secs(60);
        self.state.adopted.retain(|at| now.since(*at) < minute);
        let most = usize::try_from(bounds::UNKNOWN_JOBS_A_MINUTE).unwrap_or(usize::MAX);
        if self.state.adopted.len() >= most {
            self.exceeded(bounds::rows::UNKNOWN_JOBS_A_MINUTE);
            return false;
        }
        self.state.adopted.push(now);
        true
    }

    fn adopt_finished(&mut self, id: CommandId, op: Option<Operation>) {
        let Some(op) = op else {
            self.odd(format!("The agent has a job {id} of an unknown operation."));
            return;
        };
        if !self.may_adopt() {
            return;
        }
        let mut command = self.new_command(Some(id), op, Args::default(), Author::Agent);
        command.state = State::Lost;
        command.reached = true;
        command.finished_at = Some(self.now.at);
        command.reason = Some("It ran without the dashboard's knowledge.".to_owned());
        self.effects
            .push(HostEffect::SaveCommand { command: Box::new(command.clone()), journal: true });
        self.state.commands.attach(command);
    }

    pub(super) fn rejected(&mut self, about: &About, reason: &str, work: Option<Work>) {
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
            About::Name(_) if self.state.protocol().names_commands_by_id() => None,
            About::Name(_) => {
                let sent = self.state.live().filter(|c| c.state == State::Sent);
                sent.max_by_key(|c| (c.asked, c.id)).map(|c| c.id)
            }
        };
        let old = !self.state.protocol().names_commands_by_id();
        if let Some(work) = work.as_ref().filter(|_| old)
            && self.old_agent_puts_off(refused, work)
        {
            return;
        }
        let nameless = work.as_ref().filter(|work| old && Operation::parse(&work.name).is_none());
        let reason = match nameless {
            Some(work) => format!("The host is busy with {}.", work.name.escape_debug()),
            None => reason,
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
        by: Author,
    ) -> Command {
        Command {
            id: id.unwrap_or_else(|| (self.new_id)()),
            host: self.state.id.clone(),
            op,
            args,
            state: State::Sent,
            requested_by: by,
            created_at: self.now.at,
            asked: self.now.up,
            sent_at: None,
            finished_at: None,
            timer: None,
            at_most: None,
            gone_since: None,
            missed: 0,
            exit_code: None,
            reason: None,
            miss: None,
            blocked_by: Vec::new(),
            over_freeze: None,
            kept_back: None,
            stop_by: None,
            out_of_time: false,
            returned: None,
            interrupted: false,
            ended_with: None,
            time_limit: self.state.time_limit(op),
            slow: false,
            phase: None,
            guarded: false,
            progress: None,
            output_lines: 0,
            reached: false,
            built: None,
            baseline: self.state.next_baseline(),
        }
    }

    /// A new command takes its place.
    pub(super) fn begin(&mut self, command: Command) {
        let effects = &mut self.effects;
        effects.push(HostEffect::SaveCommand { command: Box::new(command.clone()), journal: true });
        effects.push(HostEffect::Announce(Box::new(command.clone())));
        if command.op == Operation::Test {
            self.state.results.clear();
            self.state.results_of = Some(command.id);
            self.state.printed_by_tests = 0;
        }
        if command.op.rules().exclusive && command.state.is_active() {
            self.state.last_error_line = None;
        }
        self.state.commands.put(command);
    }

    /// The command that a message of the agent is about.
    pub(super) fn resolve(&self, about: &About) -> Option<CommandId> {
        match about {
            About::Id(id) => self.state.find(*id).map(|c| c.id),
            About::Name(name) => {
                let command = self.state.command()?;
                let op = Operation::parse(name);
                (name.is_empty() || op == Some(command.op)).then_some(command.id)
            }
        }
    }

    /// Whether an outcome that belongs to nothing that runs only repeats the last one.
    pub(super) fn repeats(&self, about: &About) -> bool {
        let Some(last) = self.state.commands.last() else {
            return false;
        };
        match about {
            About::Id(id) => last.id == *id,
            About::Name(name) => {
                let ended = self.state.ended.filter(|(id, _)| *id == last.id);
                let recent = ended.is_some_and(|(_, at)| self.now.up.since(at) < REPEATS_WITHIN);
                recent && (name.is_empty() || Operation::parse(name) == Some(last.op))
            }
        }
    }
}
