//! What a command's end means for the facts.

use super::apply::Turn;
use super::{About, HostEffect, Report};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::command::{Command, Event, Miss, Outcome, OutcomeKind, State};
use crate::domain::desired::Desired;
use crate::domain::facts::{
    Deploy, DeployKind, DeployOutcome, HostFacts, Pull, TestOutcome, TestRun,
};
use crate::domain::ids::Commit;
use crate::domain::operation::{Args, Operation};
use crate::domain::test_report::{self, TestCaseOutcome, TestResult};

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
        let ends_now =
            |c: &Command| c.id == id && (c.state != State::Verifying || c.exit_code.is_none());
        if self.state.command().is_some_and(ends_now) {
            // Facts of a job that is over for long say nothing about now.
            self.merge(report);
        }
        if !self.state.protocol().reports_what_runs() && outcome.kind == OutcomeKind::Exited {
            // A 3.x agent proves a switch by the link it opens after it.
            let links = self.state.links;
            self.state.commands.set_links(id, links);
        }
        self.step_id(id, &Event::Ended(outcome));
    }

    pub(super) fn test_ended(&mut self, about: &About, result: TestResult) {
        let Some(id) = self.resolve(about) else {
            self.odd(format!("A test result of {about}, which does not run; ignored."));
            return;
        };
        if self.state.commands.exclusive_is(id) {
            self.state.results.retain(|r| r.index != result.index);
            self.state.results.push(result.clone());
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

    /// A command entered a terminal state: the facts follow.
    pub(super) fn finished(&mut self, command: &Command) {
        let rules = command.op.rules();
        if command.stop_by.is_some() && !self.state.protocol().names_commands_by_id() {
            self.state.echoes.stopped(self.now);
        }
        let exited_well = matches!(command.state, State::Succeeded | State::Unverified);
        if rules.pulls && exited_well {
            let facts = &mut self.state.facts;
            let before = &command.baseline;
            facts.last_pull = Some(Pull {
                command_id: command.id,
                changed_desired: before.checkout != facts.checkout || before.lock != facts.lock,
                deployment: facts.deployment,
                ended_at: self.now,
            });
        }
        if rules.deploys {
            self.deployed(command);
        }
        if command.op == Operation::Test {
            self.tested(command);
        }
        self.effects.push(HostEffect::Complete(Box::new(command.clone())));
        if rules.exclusive {
            self.state.last_error_line = None;
        }
        if command.state == State::Succeeded
            && matches!(command.op, Operation::Switch | Operation::PullSwitch)
        {
            self.test_by_itself();
        }
        let tests_failed = command.op == Operation::Test && command.state == State::Failed;
        let by_itself = command.requested_by == Author::Auto;
        if tests_failed && by_itself && self.state.profile.overrides.auto_rollback {
            self.rollback_by_itself();
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

    fn deployed(&mut self, command: &Command) {
        let reason = || command.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
        let outcome = match command.state {
            State::Succeeded => DeployOutcome::Succeeded,
            State::Unverified => match command.miss {
                Some(Miss::StaleAgent) => {
                    self.state.facts.agent.stale = true;
                    DeployOutcome::Succeeded
                }
                Some(Miss::Other(_)) | None => DeployOutcome::Unverified(reason()),
            },
            State::Failed | State::TimedOut | State::Stopped => DeployOutcome::Failed(reason()),
            State::Lost => DeployOutcome::Lost(reason()),
            State::Rejected | State::Blocked | State::Expired | State::Cancelled => return,
            State::Queued
            | State::Sent
            | State::Running
            | State::Overdue
            | State::Stopping
            | State::Verifying => return,
        };
        let before = &command.baseline;
        let facts = &mut self.state.facts;
        // The late truth about a lost deploy must not hide a newer one.
        if let Some(last) = &facts.last_deploy
            && last.command_id != command.id
            && last.command_id > command.id
        {
            return;
        }
        let runs = facts.system.store_path.as_ref();
        let proven_unchanged = runs.is_some() && runs == before.store_path.as_ref();
        if matches!(outcome, DeployOutcome::Succeeded | DeployOutcome::Unverified(_))
            || !proven_unchanged
        {
            facts.deployment += 1;
        }
        let kind = match command.op {
            Operation::Rollback => DeployKind::Rollback,
            _ => DeployKind::Switch,
        };
        let commit = match kind {
            DeployKind::Switch => facts.checkout.clone(),
            // What a rollback deployed is known only if the system says so itself.
            DeployKind::Rollback => facts.system.revision(),
        };
        let subject =
            commit.as_ref().and_then(|commit| subject_of(&self.state.desired, facts, commit));
        let deploy = Deploy {
            command_id: command.id,
            kind,
            subject,
            commit,
            lock: facts.lock.clone(),
            store_path: facts.system.store_path.clone(),
            generation: facts.system.generation,
            outcome,
            exit_code: command.exit_code,
            ended_at: self.now,
        };
        facts.last_deploy = Some(deploy.clone());
        self.effects.push(HostEffect::SaveDeploy(Box::new(deploy)));
    }

    fn tested(&mut self, command: &Command) {
        if !self.state.protocol().reports_what_runs() && self.state.facts.has_tests == Some(false) {
            // It found none to run.
            return;
        }
        let counts = test_report::count(&self.state.results);
        let outcome = match command.state {
            State::Succeeded => TestOutcome::Passed,
            State::Failed => TestOutcome::Failed,
            State::Stopped => TestOutcome::Stopped,
            State::TimedOut => TestOutcome::TimedOut,
            // Nobody knows, or it never began: the last run that ended stays.
            State::Unverified
            | State::Lost
            | State::Rejected
            | State::Blocked
            | State::Expired
            | State::Cancelled => return,
            State::Queued
            | State::Sent
            | State::Running
            | State::Overdue
            | State::Stopping
            | State::Verifying => return,
        };
        let first_failed = self
            .state
            .results
            .iter()
            .find(|r| r.outcome != TestCaseOutcome::Passed)
            .map(|r| r.name.clone());
        let run = TestRun {
            command_id: command.id,
            deployment: command.baseline.deployment,
            store_path: command.baseline.store_path.clone(),
            counts: (counts.total > 0).then_some(counts),
            outcome,
            first_failed,
            exit_code: command.exit_code,
            ended_at: self.now,
        };
        self.effects.push(HostEffect::SaveTestRun(Box::new(run.clone())));
        self.state.facts.last_tests = Some(run);
    }

    /// Tests that waited for the host to know whether it has some.
    pub(super) fn start_waiting_tests(&mut self) {
        if !self.state.tests_wait {
            return;
        }
        let busy = self.state.command().map(|command| command.op);
        if busy.is_some_and(|op| op.rules().deploys || op == Operation::Test) {
            self.state.tests_wait = false;
        } else if busy.is_none() && self.state.facts.has_tests.is_some() {
            self.state.tests_wait = false;
            self.test_by_itself();
        }
    }

    /// After a switch that succeeded tests run by themselves, where that is on.
    fn test_by_itself(&mut self) {
        let profile = &self.state.profile;
        let set = profile.overrides.tests_auto_run;
        let on = set.or(profile.tests_auto_run).unwrap_or(true);
        // A 3.x agent does not say whether there are any.
        let seen =
            self.state.facts.has_tests == Some(true) || self.state.facts.last_tests.is_some();
        if !seen && !self.state.protocol().reports_what_runs() {
            return;
        }
        if on && self.state.facts.has_tests.is_none() && self.state.protocol().reports_what_runs() {
            // Its first clone is not there yet: it does not know.
            self.state.tests_wait = true;
            return;
        }
        if on && self.state.allows(Operation::Test, &Args::default()).is_ok() {
            self.requested(None, Operation::Test, Args::default(), false, Author::Auto);
        }
    }
}

/// The first line of a commit's message, where the remote told it.
fn subject_of(desired: &Desired, facts: &HostFacts, commit: &Commit) -> Option<String> {
    let head = desired.known().filter(|remote| remote.commit == *commit);
    let missed = facts.lineage.as_ref().map_or(&[][..], |lineage| &lineage.missing);
    let missed = missed.iter().find(|missing| missing.commit == *commit);
    head.map(|remote| remote.subject.clone()).or_else(|| missed.map(|m| m.subject.clone()))
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
