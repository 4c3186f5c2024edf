//! What a command's end means for the facts.

use super::apply::Turn;
use super::event::{About, HostEffect, Report, Said};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::bounds;
use crate::domain::command::{Command, Event, Outcome, OutcomeKind, State, WorkPhase};
use crate::domain::facts::Pull;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use crate::domain::test_report::TestResult;

impl Turn<'_, '_> {
    /// The agent says that a command ended.
    pub(super) fn ended(&mut self, about: &About, outcome: &Outcome, report: &Report) {
        if let About::Name(name) = about
            && self.old_agent_ended_nameless(name, outcome)
        {
            // Something that was asked beside commands; what it found comes with it.
            self.merge(report);
            return;
        }
        let id = match about {
            About::Id(_) => self.resolve(about),
            About::Name(name) => self.resolve_old_outcome(name, outcome),
        };
        let repeats = id.is_none() && self.repeats(about);
        self.ends_what_timed_out(about);
        if let About::Name(name) = about
            && let Some(op) = Operation::parse(name)
        {
            self.old_agent_ended(op, outcome);
        }
        let Some(id) = id else {
            if !repeats {
                let message =
                    format!("The agent reported the end of {about} which does not run; ignored.");
                self.odd(message);
            }
            return;
        };
        if !(-1..=255).contains(&outcome.exit_code) {
            let message =
                format!("Exit code {} of {about} is out of range; ignored.", outcome.exit_code);
            self.odd(message);
            return;
        }
        if self.state.find(id).is_some_and(|c| c.state == State::Queued) {
            self.odd(format!(
                "The agent reported the end of {about}, which was never sent; ignored."
            ));
            return;
        }
        let mut outcome = outcome.clone();
        if matches!(about, About::Name(_)) {
            self.old_agent_says(id, &mut outcome);
        }
        if outcome.message.as_ref().is_none_or(|m| m.trim().is_empty()) {
            outcome.message = self.state.last_error_line.clone();
        }
        let ends_now = |c: &Command| c.id == id && c.waits_for_its_outcome();
        if self.state.command().is_some_and(ends_now) {
            // Facts of a job that is over for long say nothing about now.
            self.merge(report);
            let tells = report.system.as_ref().is_some_and(|system| system.paths().are_known());
            self.state.paths_told = tells;
        }
        self.note_what_was_built(id, &outcome, report);
        let in_its_pull = |c: &Command| {
            c.op == Operation::PullSwitch && c.phase == Some(WorkPhase::Pull) && c.built.is_none()
        };
        if outcome.kind == OutcomeKind::Failed && self.state.find(id).is_some_and(in_its_pull) {
            let why = outcome.message.unwrap_or_else(|| format!("exit code {}", outcome.exit_code));
            outcome.message = Some(format!("Pull failed: {why}"));
        }
        if !self.state.protocol().reports_what_runs() && outcome.kind == OutcomeKind::Exited {
            // A 3.x agent proves a switch by the link it opens after it.
            let links = self.state.links;
            self.state.commands.set_links(id, links);
        }
        self.said = Some(Said::from(report));
        self.step_id(id, &Event::Ended(outcome));
        self.said = None;
    }

    pub(super) fn test_ended(&mut self, about: &About, mut result: TestResult) {
        let Some(id) = self.resolve(about) else {
            self.odd(format!("A test result of {about}, which does not run; ignored."));
            return;
        };
        if result.index > bounds::TEST_RESULTS || result.total > bounds::TEST_RESULTS {
            self.exceeded(bounds::rows::TEST_RESULTS);
            return;
        }
        let printed = self.state.printed_by_tests.saturating_add(result.output.len());
        if printed > bounds::TEST_OUTPUTS {
            self.exceeded(bounds::rows::TEST_OUTPUTS);
            "Left out: the tests of this run printed too much.".clone_into(&mut result.output);
        } else {
            self.state.printed_by_tests = printed;
        }
        if *self.state.results_of.get_or_insert(id) == id {
            self.state.results.retain(|r| r.index != result.index);
            // What it printed is in SQLite; nothing is decided by it.
            self.state.results.push(TestResult { output: String::new(), ..result.clone() });
            self.state.results.sort_by_key(|r| r.index);
        }
        self.effects.push(HostEffect::SaveTestResult(id, Box::new(result)));
    }

    pub(super) fn progress(&mut self, about: &About, text: &str) {
        let Some(id) = self.resolve(about) else {
            return;
        };
        self.step_id(id, &Event::Runs);
        self.state.commands.set_progress(id, text.chars().take(200).collect());
    }

    /// The agent says what a command's job is doing.
    pub(super) fn phase(&mut self, id: CommandId, phase: WorkPhase) {
        let Some(op) = self.state.find(id).map(|command| command.op) else {
            self.odd(format!("A phase of command {id}, which does not run; ignored."));
            return;
        };
        self.step_id(id, &Event::Runs);
        let rules = op.rules();
        if rules.deploys && (rules.pulls || phase != WorkPhase::Pull) {
            self.step_id(id, &Event::Phase(phase));
        } else {
            self.odd(format!("A phase that {op} does not have; ignored."));
        }
    }

    /// A command entered a terminal state: the facts follow.
    pub(super) fn finished(&mut self, command: &Command) {
        let rules = command.op.rules();
        self.state.ended = Some((command.id, self.now.up));
        self.runs_on(command);
        let told_to_stop = command.stop_by.is_some() || command.out_of_time;
        if told_to_stop && !self.state.protocol().names_commands_by_id() {
            self.state.echoes.stopped(self.now.up);
        }
        let exited_well = matches!(command.state, State::Succeeded | State::Unverified);
        if rules.pulls && exited_well {
            let facts = &mut self.state.facts;
            let before = &command.baseline;
            facts.last_pull = Some(Pull {
                command_id: command.id,
                changed_desired: before.checkout != facts.checkout || before.lock != facts.lock,
                deployment: facts.deployment,
                ended_at: self.now.at,
            });
        }
        let runs_now = rules.deploys && self.deployed(command);
        if command.op == Operation::Test {
            self.tested(command);
        }
        self.effects.push(HostEffect::Complete(Box::new(command.clone())));
        if rules.exclusive {
            self.state.last_error_line = None;
        }
        if runs_now && command.op != Operation::Rollback {
            self.test_by_itself();
        }
        let tests_failed = command.op == Operation::Test && command.state == State::Failed;
        let by_itself = command.requested_by == Author::Auto;
        if tests_failed && by_itself && self.state.profile.overrides.auto_rollback {
            self.rollback_by_itself();
        }
    }

    /// A command that timed out, and of whose end nothing was heard, may still run: the host is
    /// busy with it for as long as its agent names it.
    fn runs_on(&mut self, command: &Command) {
        let unheard = command.state == State::TimedOut && command.exit_code.is_none();
        if unheard && command.op.rules().exclusive && self.state.online {
            self.state.overrun = Some((command.id, command.op));
        }
    }

    /// The end of what had timed out before is heard.
    fn ends_what_timed_out(&mut self, about: &About) {
        let ends = |(id, op): (CommandId, Operation)| match about {
            About::Id(ended) => *ended == id,
            About::Name(name) => Operation::parse(name) == Some(op),
        };
        if self.state.overrun.is_some_and(ends) {
            self.state.overrun = None;
        }
    }

    /// After failed tests of a switch, where a user has asked for that.
    fn rollback_by_itself(&mut self) {
        let reason = Some("the tests after the switch failed".to_owned());
        let args = Args { reason, ..Args::default() };
        if self.state.allows(Operation::Rollback, &args).is_ok() {
            self.requested(None, Operation::Rollback, args, false, Author::Auto);
        } else {
            let message = "Rollback after failed tests could not start.".to_owned();
            self.record(AuditCategory::Command, message, None);
        }
    }
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "command {id}"),
            Self::Name(name) if name.is_empty() => f.write_str("a command"),
            Self::Name(name) => write!(f, "`{}`", name.escape_debug()),
        }
    }
}
