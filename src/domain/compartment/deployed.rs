//! System and Tests: does what runs come from there, and does it work?

use super::remote::Rules;
use super::{Action, Status, Verdict};
use crate::domain::facts::{DeployKind, DeployOutcome, TestOutcome, TestRun};
use crate::domain::ids::Commit;
use crate::domain::message::{Message, Part};
use crate::domain::operation::Operation;
use crate::domain::protocol::Protocol;

impl Rules<'_> {
    /// The verdict of System and Tests while Git or Lock cannot be told.
    fn cannot_verify(git: &Verdict, lock: &Verdict) -> Option<Verdict> {
        let failed = [git, lock].into_iter().find(|v| v.status == Status::Error)?;
        let reason = Message::from("Cannot verify against the remote: ");
        let message = failed.message.parts().iter().fold(reason, |message, part| match part {
            Part::Text(text) => message.text(text.clone()),
            Part::Time(instant) => message.time(*instant),
        });
        Some(Verdict::new(Status::Outdated, message))
    }

    pub(super) fn system(&self, git: &Verdict, lock: &Verdict) -> Verdict {
        // 1
        if let Some(command) = self.running(|op| op.rules().deploys) {
            return Self::working(command);
        }
        let facts = self.facts;
        let deploy = facts.last_deploy.as_ref();
        // 2
        if let Some(deploy) = deploy
            && let DeployOutcome::Failed(reason) = &deploy.outcome
        {
            let what = deploy.kind.label();
            return Verdict::new(Status::Error, format!("{what} failed: {reason}"))
                .offering(Action::RetrySwitch);
        }
        // 3
        if let Some(verdict) = Self::cannot_verify(git, lock) {
            return verdict;
        }
        // 4, 5
        if git.status == Status::Outdated {
            return Verdict::new(Status::Outdated, "Remote is ahead: pull, then switch");
        }
        if lock.status == Status::Outdated {
            return Verdict::new(Status::Outdated, "Dependencies are ahead: pull, then switch");
        }
        let Some(checkout) = &facts.checkout else {
            return Verdict::new(Status::Unknown, "No deployment seen yet");
        };
        // What runs says itself which commit it was built from: no guess is needed.
        let revision = facts.system.revision();
        let proven = revision.as_ref() == Some(checkout);
        if !proven && let Some(verdict) = self.system_differs(checkout) {
            return verdict;
        }
        // 8
        let deployed = deploy.is_some_and(|d| {
            d.outcome == DeployOutcome::Succeeded
                && d.kind == DeployKind::Switch
                && d.commit.as_ref() == Some(checkout)
                && d.lock == facts.lock
        });
        if !proven && !deployed {
            // 9
            return Verdict::new(Status::Unknown, "No deployment seen yet");
        }
        if git.status != Status::Ok || lock.status != Status::Ok {
            // Deployed, but green needs the remote's word.
            return Verdict::new(Status::Outdated, "Not yet compared with the remote");
        }
        let mut message = Message::from(format!("{} is deployed", checkout.short()));
        if let Some(generation) = facts.system.generation {
            message = message.text(format!(" as generation {generation}"));
        }
        if let Some(activated_at) = facts.system.activated_at {
            message = message.text(", activated ").time(activated_at);
        }
        Verdict::new(Status::Ok, message)
    }

    /// Rules 6 and 7: something says that what runs is not the checkout.
    fn system_differs(&self, checkout: &Commit) -> Option<Verdict> {
        let facts = self.facts;
        let outdated = |text: String| Some(Verdict::new(Status::Outdated, text));
        if let Some(deploy) = &facts.last_deploy {
            match &deploy.outcome {
                DeployOutcome::Unverified(what) => {
                    return outdated(format!("{} not proven: {what}", deploy.kind.label()));
                }
                DeployOutcome::Lost(what) => {
                    let label = deploy.kind.label();
                    return outdated(format!("{label} was lost, switch again: {what}"));
                }
                DeployOutcome::Succeeded | DeployOutcome::Failed(_) => {}
            }
            // 6
            if let (Some(left), Some(runs)) = (&deploy.store_path, &facts.system.store_path)
                && left != runs
            {
                return outdated("Changed outside nixfleet".to_owned());
            }
            // 7: on purpose
            if deploy.kind == DeployKind::Rollback {
                let to = match (deploy.generation, &deploy.commit) {
                    (Some(number), Some(commit)) => {
                        format!(" to generation {number} ({})", commit.short())
                    }
                    (Some(number), None) => format!(" to generation {number}"),
                    (None, Some(commit)) => format!(" to {}", commit.short()),
                    (None, None) => String::new(),
                };
                return outdated(format!("Rolled back{to}"));
            }
        }
        // 7: the deployed commit is known, and another one
        let revision = facts.system.revision();
        let by_deploy = facts.last_deploy.as_ref().and_then(|d| d.commit.as_ref());
        if let Some(deployed) = revision.as_ref().or(by_deploy)
            && deployed != checkout
        {
            return outdated(format!(
                "Pulled, not switched: {} runs, the checkout is {}",
                deployed.short(),
                checkout.short()
            ));
        }
        // 7: a pull since the last deploy
        let pulled = facts.last_pull.as_ref();
        if pulled.is_some_and(|p| p.changed_desired && p.deployment == facts.deployment) {
            return outdated("Pulled, not switched".to_owned());
        }
        None
    }

    /// Whether a run says something about what runs now.
    fn counts(&self, run: &TestRun) -> bool {
        let same_path = match (&run.store_path, &self.facts.system.store_path) {
            (Some(then), Some(now)) => then == now,
            (None, _) | (_, None) => true,
        };
        run.deployment == self.facts.deployment && same_path
    }

    pub(super) fn tests(&self, git: &Verdict, lock: &Verdict) -> Verdict {
        // 1
        if self.facts.tests_enabled == Some(false) {
            return Verdict::new(Status::Unknown, "Tests disabled");
        }
        if self.facts.has_tests == Some(false) {
            return Verdict::new(Status::Unknown, "No tests found");
        }
        // 2
        if let Some(command) = self.running(|op| op == Operation::Test) {
            return Self::working(command);
        }
        let run = self.facts.last_tests.as_ref().filter(|run| self.counts(run));
        // 3
        if let Some(run) = run
            && run.outcome != TestOutcome::Passed
        {
            return Verdict::new(Status::Error, failed_run(run)).offering(Action::Rollback);
        }
        // 4
        if let Some(verdict) = Self::cannot_verify(git, lock) {
            return verdict;
        }
        // 5
        if self.facts.last_tests.is_none() && self.facts.last_deploy.is_none() {
            return Verdict::new(Status::Unknown, "Never ran");
        }
        // 6
        let Some(run) = run else {
            return Verdict::new(Status::Outdated, "Run tests to verify system")
                .offering(Action::RunTests);
        };
        // 7
        let passed =
            run.counts.map_or_else(String::new, |c| format!(" ({}/{})", c.passed, c.total));
        let why_not = [git, lock].into_iter().find_map(|v| match v.status {
            Status::Ok => None,
            Status::Outdated => Some("the remote is ahead"),
            Status::Working | Status::Error | Status::Unknown => {
                Some("it is not yet compared with the remote")
            }
        });
        if let Some(why_not) = why_not {
            return Verdict::new(Status::Outdated, format!("Passed{passed}, but {why_not}"));
        }
        // 8
        let protocol = Protocol::of(self.facts.agent.protocol);
        let counts = match run.counts {
            Some(counts) => format!(" ({}/{} passed)", counts.passed, counts.total),
            None if protocol.reports_what_runs() => " (passed)".to_owned(),
            // Its exit code is that of the last script, whatever became of the others.
            None => " (passed; 3.x reports the last test only)".to_owned(),
        };
        Verdict::new(Status::Ok, Message::from("Last test: ").time(run.ended_at).text(counts))
    }
}

impl DeployKind {
    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Switch => "Switch",
            Self::Rollback => "Rollback",
        }
    }
}

fn failed_run(run: &TestRun) -> String {
    let counts = match run.counts {
        Some(c) if c.failed > 0 => format!("{} of {} failed", c.failed, c.total),
        Some(c) => format!("{} of {} passed", c.passed, c.total),
        None => format!("exit code {}", run.exit_code.unwrap_or(1)),
    };
    let name = run.first_failed.as_ref().map_or_else(String::new, |name| format!(": {name}"));
    match run.outcome {
        TestOutcome::Stopped => format!("The run was stopped: {counts}{name}"),
        TestOutcome::TimedOut => format!("The run took too long: {counts}{name}"),
        TestOutcome::Failed | TestOutcome::Passed => format!("{counts}{name}"),
    }
}
