//! Agent, Git and Lock: is what the host has what it should have?

use super::{Action, DASHBOARD_VERSION, Status, Verdict};
use crate::domain::command::{Command, State};
use crate::domain::desired::{Desired, Remote};
use crate::domain::facts::{HostFacts, LockState, Relation};
use crate::domain::message::Message;
use crate::domain::operation::Operation;
use crate::domain::protocol::Protocol;

/// What a row is decided by.
pub(super) struct Rules<'a> {
    pub(super) facts: &'a HostFacts,
    pub(super) live: &'a [&'a Command],
    pub(super) desired: &'a Desired,
}

/// "1 commit", "3 commits".
fn commits(n: u32) -> String {
    if n == 1 { "1 commit".to_owned() } else { format!("{n} commits") }
}

impl Rules<'_> {
    /// The live command that makes a compartment blue, if `concerns` says so of it.
    pub(super) fn running(&self, concerns: impl Fn(Operation) -> bool) -> Option<&Command> {
        self.live.iter().copied().find(|c| c.state.is_active() && concerns(c.op))
    }

    pub(super) fn working(command: &Command) -> Verdict {
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

    pub(super) fn agent(&self) -> Verdict {
        if let Some(command) = self.running(|op| op == Operation::RestartAgent) {
            return Self::working(command);
        }
        let agent = &self.facts.agent;
        let Some(version) = &agent.version else {
            return Verdict::new(Status::Unknown, "The agent has not reported its version yet.");
        };
        if let Some(protocol) = agent.protocol
            && !Protocol::is_known(protocol)
        {
            let message = format!(
                "Agent {version} speaks protocol {protocol}, dashboard {DASHBOARD_VERSION} speaks {} to {}: install an agent of the dashboard's version.",
                Protocol::OLDEST.number(),
                Protocol::OURS.number()
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

    pub(super) fn git(&self) -> Verdict {
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

    pub(super) fn lock(&self) -> Verdict {
        let Some(host) = &self.facts.lock else {
            return Verdict::new(Status::Unknown, "The host has not reported its flake.lock yet.");
        };
        let remote = match self.remote() {
            Ok(remote) => remote,
            Err(verdict) => return verdict,
        };
        let branch = format!("origin/{}", remote.branch);
        let Some(latest) = &remote.lock else {
            // Only a version.json can leave it out, and it has no pull requests.
            let message = "Cannot verify: version.json names no lockHash";
            return Verdict::new(Status::Outdated, message);
        };
        let mut verdict = match (host, latest) {
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
}
