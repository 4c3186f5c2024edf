//! The row of five compartments (spec: compartments).
//!
//! Everything about a row is decided by [`evaluate`], from facts and desired state that
//! come in as arguments. No rule reads a clock. What is stored are the facts, never a row.

use super::command::Command;
use super::desired::{Desired, Remote};
use super::facts::{
    DeployKind, DeployOutcome, HostFacts, LockState, Relation, TestOutcome, TestRun,
};
use super::message::Message;
use super::operation::Operation;
use serde::{Deserialize, Serialize};

/// Status of one compartment. The order is that of the specification's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Current against the remote desired state, and proven so.
    Ok,
    /// An action is needed, or the proof is missing.
    Outdated,
    /// A real problem.
    Error,
    /// An operation on this compartment runs.
    Working,
    /// Warm-up, or tests are disabled.
    Unknown,
}

impl Status {
    /// The name in the API and in `data-status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Outdated => "outdated",
            Self::Error => "error",
            Self::Working => "working",
            Self::Unknown => "unknown",
        }
    }
}

/// The five compartments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compartment {
    /// Is the tooling current?
    Agent,
    /// Is the config current?
    Git,
    /// Are the dependencies current?
    Lock,
    /// Is the deployment current?
    System,
    /// Does the system actually work?
    Tests,
}

impl Compartment {
    /// All five, in the order of the row.
    pub const ALL: [Self; 5] = [Self::Agent, Self::Git, Self::Lock, Self::System, Self::Tests];

    /// The name in the API and in `data-compartment`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Git => "git",
            Self::Lock => "lock",
            Self::System => "system",
            Self::Tests => "tests",
        }
    }

    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::Git => "Git",
            Self::Lock => "Lock",
            Self::System => "System",
            Self::Tests => "Tests",
        }
    }
}

/// What a click on a compartment offers to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Pull.
    Pull,
    /// Pull and switch.
    PullSwitch,
    /// Run the tests.
    RunTests,
    /// Stop what runs.
    Stop,
    /// Fetch the remote again.
    RetryFetch,
    /// Switch again, or roll back.
    RetrySwitch,
    /// Roll back.
    Rollback,
    /// Restart the agent.
    RestartAgent,
}

/// One compartment's status and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Its status.
    pub status: Status,
    /// Why, in the user's words.
    pub message: Message,
    /// What a click offers.
    pub action: Option<Action>,
}

/// The five verdicts in the order of [`Compartment::ALL`].
pub type Row = [Verdict; 5];

/// The version of this program: the one agents should have.
pub const DASHBOARD_VERSION: &str = env!("CARGO_PKG_VERSION");
/// The protocols that the dashboard speaks.
pub const PROTOCOLS: std::ops::RangeInclusive<u32> = 3..=4;

impl Verdict {
    fn new(status: Status, message: impl Into<Message>) -> Self {
        Self { status, message: message.into(), action: None }
    }

    fn offering(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }
}

/// The row of a host: a pure function of what it reported, what runs on it by our order
/// (`live`: commands that are not over), and what the remote says.
pub fn evaluate(facts: &HostFacts, live: &[&Command], desired: &Desired) -> Row {
    let rules = Rules { facts, live, desired };
    // System and Tests go by the comparison itself: a pull that runs hides it from the
    // row, but makes nothing current.
    let git = rules.git();
    let lock = rules.lock();
    let system = rules.system(&git, &lock);
    let tests = rules.tests(&git, &lock);
    match rules.running(|op| op.rules().pulls).map(Rules::working) {
        Some(pulls) => [rules.agent(), pulls.clone(), pulls, system, tests],
        None => [rules.agent(), git, lock, system, tests],
    }
}

struct Rules<'a> {
    facts: &'a HostFacts,
    live: &'a [&'a Command],
    desired: &'a Desired,
}

/// "1 commit", "3 commits".
fn commits(n: u32) -> String {
    if n == 1 { "1 commit".to_owned() } else { format!("{n} commits") }
}

impl Rules<'_> {
    /// The live command that makes a compartment blue, if `concerns` says so of it.
    fn running(&self, concerns: impl Fn(Operation) -> bool) -> Option<&Command> {
        self.live.iter().copied().find(|c| c.state.is_active() && concerns(c.op))
    }

    fn working(command: &Command) -> Verdict {
        use super::command::State;
        let label = command.op.label();
        let what = match (&command.progress, command.state) {
            (Some(progress), _) => progress.clone(),
            (None, State::Sent) => format!("{label} sent, waiting for the agent"),
            (None, State::Verifying) => format!("{label} ended, checking the result"),
            (None, State::Stopping) => format!("{label} is being stopped"),
            (None, State::Overdue) => format!("{label} runs longer than expected"),
            (None, _) => format!("{label} runs"),
        };
        let since = command.sent_at.unwrap_or(command.created_at);
        let message = Message::from(what).text(" since ").time(since);
        Verdict::new(Status::Working, message).offering(Action::Stop)
    }

    fn agent(&self) -> Verdict {
        if let Some(command) = self.running(|op| op == Operation::RestartAgent) {
            return Self::working(command);
        }
        let agent = &self.facts.agent;
        let Some(version) = &agent.version else {
            return Verdict::new(Status::Unknown, "The agent has not reported its version yet.");
        };
        let protocol = agent.protocol.unwrap_or(3);
        if !PROTOCOLS.contains(&protocol) {
            let message = format!(
                "Agent {version} speaks protocol {protocol}, dashboard {DASHBOARD_VERSION} speaks {} to {}: install an agent of the dashboard's version.",
                PROTOCOLS.start(),
                PROTOCOLS.end()
            );
            return Verdict::new(Status::Error, message);
        }
        if agent.stale {
            let message = format!(
                "The switch succeeded, but the agent still runs the old binary ({version}): restart the agent."
            );
            return Verdict::new(Status::Error, message).offering(Action::RestartAgent);
        }
        if version == DASHBOARD_VERSION {
            return Verdict::new(Status::Ok, format!("Agent {version}, as the dashboard."));
        }
        let message = format!("Agent {version}, dashboard {DASHBOARD_VERSION}: pull and switch");
        Verdict::new(Status::Outdated, message).offering(Action::PullSwitch)
    }

    /// What Git and Lock have in common: they are compared with the remote, or there is a
    /// reason why they are not.
    fn remote(&self) -> Result<&Remote, Verdict> {
        match self.desired {
            Desired::Known(remote) => Ok(remote),
            Desired::NotYetFetched => {
                Err(Verdict::new(Status::Unknown, "Waiting for the first answer of the remote."))
            }
            Desired::NotConfigured { setting } => Err(Verdict::new(
                Status::Error,
                format!("No remote to compare with: set {setting} on the dashboard."),
            )),
            Desired::Unavailable { since, reason, last_known: _ } => Err(Verdict::new(
                Status::Error,
                Message::from(format!("Cannot fetch the remote: {reason} (since "))
                    .time(*since)
                    .text(")"),
            )
            .offering(Action::RetryFetch)),
        }
    }

    /// How the checkout relates to the head, if that was worked out for exactly these two.
    fn relation(&self, remote: &Remote) -> Option<Relation> {
        let lineage = self.facts.lineage.as_ref()?;
        let host = self.facts.checkout.as_ref()?;
        (lineage.host == *host && lineage.head == remote.commit).then_some(lineage.relation)
    }

    fn git(&self) -> Verdict {
        let Some(host) = &self.facts.checkout else {
            return Verdict::new(Status::Unknown, "The host has not reported a commit yet.");
        };
        let remote = match self.remote() {
            Ok(remote) => remote,
            Err(verdict) => return verdict,
        };
        let head = &remote.commit;
        let branch = format!("origin/{}", remote.branch);
        if host == head {
            return Verdict::new(Status::Ok, format!("{} is the head of {branch}.", host.short()));
        }
        let pair = format!("(host {}, latest {})", host.short(), head.short());
        let message = match self.relation(remote) {
            Some(Relation::Behind { commits: n, .. }) => {
                format!("{} behind {branch} {pair}. Pull to update.", commits(n))
            }
            Some(Relation::Ahead) => format!("Not on {branch}: ahead of it {pair}."),
            Some(Relation::NotOnBranch) => format!("Not on {branch} {pair}."),
            None => format!("Not the head of {branch} {pair}. Pull to update."),
        };
        Verdict::new(Status::Outdated, message).offering(Action::Pull)
    }

    fn lock(&self) -> Verdict {
        let Some(host) = &self.facts.lock else {
            return Verdict::new(Status::Unknown, "The host has not reported its flake.lock yet.");
        };
        let remote = match self.remote() {
            Ok(remote) => remote,
            Err(verdict) => return verdict,
        };
        let branch = format!("origin/{}", remote.branch);
        let mut verdict = match (host, &remote.lock) {
            (LockState::Absent, LockState::Absent) => Verdict::new(
                Status::Ok,
                format!("No flake.lock, neither on the host nor on {branch}."),
            ),
            (LockState::Hash(host), LockState::Absent) => Verdict::new(
                Status::Error,
                format!("no flake.lock on {branch} (host {})", host.short()),
            )
            .offering(Action::RetryFetch),
            (LockState::Hash(host), LockState::Hash(latest)) if host == latest => {
                Verdict::new(Status::Ok, format!("flake.lock is current ({}).", host.short()))
            }
            (host, LockState::Hash(latest)) => {
                let by = match self.relation(remote) {
                    Some(Relation::Behind { lock_commits: n @ 1.., .. }) => {
                        format!(" by {}", commits(n))
                    }
                    Some(Relation::Behind { .. } | Relation::Ahead | Relation::NotOnBranch)
                    | None => String::new(),
                };
                let host = match host {
                    LockState::Absent => "none",
                    LockState::Hash(hash) => hash.short(),
                };
                let latest = latest.short();
                Verdict::new(
                    Status::Outdated,
                    format!(
                        "flake.lock outdated{by}. Latest: {latest}, host: {host}. Pull to update."
                    ),
                )
                .offering(Action::Pull)
            }
        };
        if let Some(pr) = &remote.pending_pr {
            verdict.message = verdict.message.text(format!(" Merge PR #{} to update.", pr.number));
        }
        verdict
    }

    /// The verdict of System and Tests while Git or Lock cannot be told.
    fn cannot_verify(git: &Verdict, lock: &Verdict) -> Option<Verdict> {
        let failed = [git, lock].into_iter().find(|v| v.status == Status::Error)?;
        let reason = Message::from("Cannot verify against the remote: ");
        let message = failed.message.parts().iter().fold(reason, |message, part| match part {
            super::message::Part::Text(text) => message.text(text.clone()),
            super::message::Part::Time(instant) => message.time(*instant),
        });
        Some(Verdict::new(Status::Outdated, message))
    }

    fn system(&self, git: &Verdict, lock: &Verdict) -> Verdict {
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
    fn system_differs(&self, checkout: &super::ids::Commit) -> Option<Verdict> {
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

    fn tests(&self, git: &Verdict, lock: &Verdict) -> Verdict {
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
        let counts = run.counts.map_or_else(
            || " (passed)".to_owned(),
            |c| format!(" ({}/{} passed)", c.passed, c.total),
        );
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
