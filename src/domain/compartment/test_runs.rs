//! Tests: does what runs work?

use super::remote::{Compared, Rules};
use super::{Action, Cause, Status, Verdict};
use crate::domain::deployed::Deployed;
use crate::domain::facts::{TestOutcome, TestRun};
use crate::domain::ids::Commit;
use crate::domain::message::Message;
use crate::domain::operation::Operation;
use crate::domain::protocol::Protocol;

impl Rules<'_> {
    pub(super) fn tests(&self, compared: &Compared) -> Verdict {
        let facts = self.facts;
        // 1
        if facts.tests_enabled == Some(false) {
            return Verdict::new(Status::Unknown, "Tests disabled");
        }
        if facts.has_tests == Some(false) {
            return Verdict::new(Status::Unknown, "No tests found");
        }
        // 2
        if let Some(command) = self.running(|c| c.op == Operation::Test) {
            return Self::working(command);
        }
        let newest = facts.last_tests.as_ref().filter(|run| run.deployment == facts.deployment);
        // 3
        if let Some(run) = newest.filter(|run| failed(run)) {
            return Verdict::new(Status::Error, failed_run(run)).offering(Action::Rollback);
        }
        // 4
        if let Some(verdict) = self.cannot_verify(compared) {
            return verdict;
        }
        // 5
        if facts.last_tests.is_none() && facts.last_deploy.is_none() {
            return Verdict::new(Status::Unknown, "Never ran");
        }
        // 6
        let Some(run) = newest.filter(|run| run.outcome == TestOutcome::Passed) else {
            return Verdict::new(Status::Outdated, run_tests(newest)).offering(Action::RunTests);
        };
        // 7
        if let Some(verdict) = self.passed_on_something_else(run, compared) {
            return verdict;
        }
        // 8
        let causes = [(&compared.git, Cause::Git), (&compared.lock, Cause::Lock)];
        if let Some((verdict, cause)) = causes.iter().find(|(v, _)| v.status == Status::Unknown) {
            return Verdict::like(verdict, Status::Unknown, *cause);
        }
        // 9
        let protocol = Protocol::of(facts.agent.protocol);
        let counts = match run.counts {
            Some(counts) => format!(" ({}/{} passed)", counts.passed, counts.total),
            None if protocol.reports_what_runs() => " (passed)".to_owned(),
            // Its exit code is that of the last script, whatever became of the others.
            None => " (passed; 3.x reports the last test only)".to_owned(),
        };
        Verdict::new(Status::Ok, Message::from("Last test ").time(run.ended_at).text(counts))
    }

    /// 7: a run passed, and something newer is there, or what it passed on is not known.
    fn passed_on_something_else(&self, run: &TestRun, compared: &Compared) -> Option<Verdict> {
        let facts = self.facts;
        let counts =
            run.counts.map_or_else(String::new, |c| format!(" ({}/{})", c.passed, c.total));
        let on = match facts.deployed() {
            Deployed::Commit { commit, .. } => format!(" on {}", commit.short()),
            Deployed::NoCommit(_) | Deployed::Unknown => String::new(),
        };
        let passed = format!("Passed{counts}{on}; ");
        let causes = [(&compared.git, Cause::Git), (&compared.lock, Cause::Lock)];
        if let Some((ahead, cause)) = causes.into_iter().find(|(v, _)| v.status == Status::Outdated)
        {
            let message = Message::from(passed).and(&ahead.message);
            return Some(Verdict { message, ..Verdict::like(ahead, Status::Outdated, cause) });
        }
        if facts.runs_the_checkout() {
            return None;
        }
        let checkout = facts.checkout.as_ref().map_or("unknown", Commit::short);
        let what = match facts.deployed() {
            Deployed::Commit { .. } => format!("the checkout is {checkout}, not switched"),
            Deployed::NoCommit(_) | Deployed::Unknown => {
                format!("what runs is not known to be the checkout ({checkout})")
            }
        };
        let verdict = Verdict::new(Status::Outdated, passed + &what);
        Some(verdict.offering(Action::Switch).following(Cause::System))
    }
}

/// Whether a run makes Tests red (3).
fn failed(run: &TestRun) -> bool {
    let any = run.counts.is_some_and(|counts| counts.failed > 0);
    match run.outcome {
        TestOutcome::Failed | TestOutcome::TimedOut => true,
        TestOutcome::Passed
        | TestOutcome::Stopped
        | TestOutcome::Lost
        | TestOutcome::Unverified => any,
    }
}

/// Why no run counts (6).
fn run_tests(newest: Option<&TestRun>) -> &'static str {
    match newest.map(|run| run.outcome) {
        Some(TestOutcome::Stopped) => "Run tests to verify system: the last run was stopped",
        Some(TestOutcome::Lost) => "Run tests to verify system: the last run was lost",
        Some(TestOutcome::Unverified) => "Run tests to verify system: the last run proved nothing",
        Some(TestOutcome::Passed | TestOutcome::Failed | TestOutcome::TimedOut) | None => {
            "Run tests to verify system"
        }
    }
}

fn failed_run(run: &TestRun) -> String {
    let counts = match run.counts {
        Some(c) if c.failed > 0 => format!("{} of {} failed", c.failed, c.total),
        Some(c) => format!("{} of {} passed", c.passed, c.total),
        None => run.exit_code.map_or_else(|| "no result".to_owned(), |c| format!("exit code {c}")),
    };
    let name = run.first_failed.as_ref().map_or_else(String::new, |name| format!(": {name}"));
    match run.outcome {
        TestOutcome::Stopped => format!("The run was stopped: {counts}{name}"),
        TestOutcome::TimedOut => format!("The run took too long: {counts}{name}"),
        TestOutcome::Failed | TestOutcome::Passed | TestOutcome::Lost | TestOutcome::Unverified => {
            format!("{counts}{name}")
        }
    }
}
