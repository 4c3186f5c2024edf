//! What the end of a test run means for the facts, and when one starts by itself.

use super::apply::Turn;
use super::event::HostEffect;
use crate::domain::audit::Author;
use crate::domain::command::{Command, Ending};
use crate::domain::facts::{TestOutcome, TestRun};
use crate::domain::operation::{Args, Operation};
use crate::domain::test_report::{self, TestCaseOutcome, TestResult};

/// How a run ended; `None` if it was none: nothing of it happened on the host.
fn outcome(command: &Command, any_failed: bool) -> Option<TestOutcome> {
    Some(match command.came_of_it()? {
        // Whatever the exit code says, and whoever heard it.
        Ending::Succeeded | Ending::Unverified | Ending::Lost if any_failed => TestOutcome::Failed,
        Ending::Succeeded => TestOutcome::Passed,
        Ending::Failed => TestOutcome::Failed,
        Ending::Stopped => TestOutcome::Stopped,
        Ending::TimedOut => TestOutcome::TimedOut,
        Ending::Unverified => TestOutcome::Unverified,
        Ending::Lost => TestOutcome::Lost,
    })
}

impl Turn<'_, '_> {
    /// A test run is over.
    pub(super) fn tested(&mut self, command: &Command) {
        if !self.state.protocol().reports_what_runs() && self.state.facts.has_tests == Some(false) {
            // It found none to run.
            return;
        }
        let owns = self.state.results_of == Some(command.id);
        let results: &[TestResult] = if owns { &self.state.results } else { &[] };
        let counts = test_report::count(results);
        let Some(outcome) = outcome(command, counts.failed > 0) else {
            return;
        };
        let failed = results.iter().find(|r| r.outcome != TestCaseOutcome::Passed);
        let run = TestRun {
            command_id: command.id,
            order: command.baseline.order,
            deployment: command.baseline.deployment,
            store_path: command.baseline.store_path.clone(),
            counts: (counts.total > 0).then_some(counts),
            outcome,
            first_failed: failed.map(|result| result.name.clone()),
            exit_code: command.exit_code,
            ended_at: self.now.at,
        };
        self.effects.push(HostEffect::SaveTestRun(Box::new(run.clone())));
        let last = self.state.facts.last_tests.as_ref();
        if !last.is_some_and(|last| command.is_before(last.command_id, last.order)) {
            self.state.facts.last_tests = Some(run);
        }
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
    pub(super) fn test_by_itself(&mut self) {
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
