//! Agent, Git and Lock: is what the host has what it should have?

use super::{Action, Cause, DASHBOARD_VERSION, Status, Verdict};
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

/// Git and Lock, without the command that runs.
pub(super) struct Compared {
    pub(super) git: Verdict,
    pub(super) lock: Verdict,
}

/// "1 commit", "3 commits".
fn commits(n: u32) -> String {
    if n == 1 { "1 commit".to_owned() } else { format!("{n} commits") }
}

impl Rules<'_> {
    /// The live command that makes a compartment blue, if `concerns` says so of it.
    pub(super) fn running(&self, concerns: impl Fn(&Command) -> bool) -> Option<&Command> {
        self.live.iter().copied().find(|c| c.state.is_active() && concerns(c))
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
        // 1
        let restarts = |c: &Command| matches!(c.op, Operation::RestartAgent | Operation::Reboot);
        if let Some(command) = self.running(restarts) {
            return Self::working(command);
        }
        // 2
        let agent = &self.facts.agent;
        let Some(version) = &agent.version else {
            return Verdict::new(Status::Unknown, "The agent has not reported its version yet.");
        };
        // 3
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
        // 4
        if agent.stale {
            let message = format!(
                "The switch succeeded, but the host still runs the old agent ({version}): restart the agent."
            );
            return Verdict::new(Status::Error, message).offering(Action::RestartAgent);
        }
        // 5
        if version == DASHBOARD_VERSION {
            return Verdict::new(Status::Ok, format!("Agent {version}, as the dashboard."));
        }
        // 6
        if is_newer(version) {
            let message =
                format!("Agent {version} is newer than the dashboard ({DASHBOARD_VERSION}).");
            return Verdict::new(Status::Outdated, message);
        }
        let message = format!(
            "Agent {version}, dashboard {DASHBOARD_VERSION}: update the nixfleet input, pull and switch"
        );
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
            )
            .following(Cause::Source)),
            Desired::Unavailable { since, reason, last_known: _ } => Err(Verdict::new(
                Status::Error,
                Message::from(format!("Cannot fetch the remote: {reason} (since "))
                    .time(*since)
                    .text(")"),
            )
            .offering(Action::RetryFetch)
            .following(Cause::Source)),
        }
    }

    /// How the checkout relates to the head, if that was worked out for exactly these two.
    fn relation(&self, remote: &Remote) -> Option<Relation> {
        let lineage = self.facts.lineage.as_ref()?;
        let host = self.facts.checkout.as_ref()?;
        (lineage.host == *host && lineage.head == remote.commit).then_some(lineage.relation)
    }

    pub(super) fn git(&self) -> Verdict {
        let facts = self.facts;
        // 2
        if facts.checkout.is_none() && !facts.no_checkout {
            return Verdict::new(Status::Unknown, "Waiting for the host to report its commit.");
        }
        // 3, 4
        let remote = match self.remote() {
            Ok(remote) => remote,
            Err(verdict) => return verdict,
        };
        let head = &remote.commit;
        let branch = format!("origin/{}", remote.branch);
        let outdated =
            |message: String| Verdict::new(Status::Outdated, message).offering(Action::Pull);
        // 5
        let Some(host) = &facts.checkout else {
            return outdated(format!(
                "No checkout on the host: pull ({branch} is at {}).",
                head.short()
            ));
        };
        let pair = format!("(host {}, latest {})", host.short(), head.short());
        // 6
        if facts.dirty == Some(true) {
            return outdated(format!(
                "Changed by hand on the host: the files differ from their commit {pair}."
            ));
        }
        // 7
        if host == head {
            return Verdict::new(Status::Ok, format!("{} is the head of {branch}.", host.short()));
        }
        outdated(match (self.relation(remote), facts.ahead) {
            // 8
            (Some(Relation::Behind { commits: n, .. }), _) => {
                format!("{} behind {branch} {pair}. Pull to update.", commits(n))
            }
            // 9
            (_, Some(n @ 1..)) => {
                format!("Not on {branch}: {} that {branch} does not have {pair}.", commits(n))
            }
            (Some(Relation::Ahead), _) => format!("Not on {branch}: ahead of it {pair}."),
            (Some(Relation::NotOnBranch), _) => format!("Not on {branch} {pair}."),
            (None, _) => format!("Not the head of {branch} {pair}. Pull to update."),
        })
    }

    pub(super) fn lock(&self) -> Verdict {
        // 2
        let Some(host) = &self.facts.lock else {
            let message = "Waiting for the host to report its flake.lock.";
            return Verdict::new(Status::Unknown, message);
        };
        // 3, 4
        let remote = match self.remote() {
            Ok(remote) => remote,
            Err(verdict) => return verdict,
        };
        let mut verdict = self.lock_against(host, remote);
        if let Some(pr) = &remote.pending_pr {
            verdict.message = verdict.message.text(format!(" Merge PR #{} to update.", pr.number));
        }
        verdict
    }

    fn lock_against(&self, host: &LockState, remote: &Remote) -> Verdict {
        let branch = format!("origin/{}", remote.branch);
        let outdated =
            |message: String| Verdict::new(Status::Outdated, message).offering(Action::Pull);
        // 5
        if self.facts.checkout.is_none() {
            let message = "No checkout on the host: pull to get its flake.lock.".to_owned();
            return outdated(message).following(Cause::Git);
        }
        let (short, latest) = (lock_name(host), remote.lock.as_ref().map(lock_name));
        let latest = latest.unwrap_or("not told");
        match (host, &remote.lock) {
            // 6
            (LockState::Absent, Some(LockState::Absent)) => Verdict::new(
                Status::Ok,
                format!("No flake.lock, neither on the host nor on {branch}."),
            ),
            // 7
            (LockState::Hash(_), Some(LockState::Absent)) => {
                Verdict::new(Status::Error, format!("no flake.lock on {branch} (host {short})"))
                    .offering(Action::RetryFetch)
            }
            // 8: only a version.json can leave it out, and it has no pull requests.
            (_, None) => Verdict::new(Status::Outdated, CANNOT_VERIFY),
            // 9
            (LockState::Hash(host), Some(LockState::Hash(latest))) if host == latest => {
                Verdict::new(Status::Ok, format!("flake.lock is current ({short})."))
            }
            // 10
            _ if self.facts.checkout.as_ref() == Some(&remote.commit) => outdated(format!(
                "flake.lock changed by hand on the host. Latest: {latest}, host: {short}."
            )),
            // 11
            _ => {
                let by = match self.relation(remote) {
                    Some(Relation::Behind { lock_commits: n @ 1.., .. }) => {
                        format!(" by {}", commits(n))
                    }
                    Some(Relation::Behind { .. } | Relation::Ahead | Relation::NotOnBranch)
                    | None => String::new(),
                };
                outdated(format!(
                    "flake.lock outdated{by}. Latest: {latest}, host: {short}. Pull to update."
                ))
            }
        }
    }

    /// Whether the remote does not tell which flake.lock it has, so that nothing can prove one
    /// (Lock 8).
    pub(super) fn lock_cannot_be_verified(&self) -> bool {
        let told = self.desired.known().is_none_or(|remote| remote.lock.is_some());
        !told && self.facts.lock.is_some() && self.facts.checkout.is_some()
    }
}

/// What Lock says where the remote does not tell.
const CANNOT_VERIFY: &str = "Cannot verify: version.json names no lockHash";

fn lock_name(lock: &LockState) -> &str {
    match lock {
        LockState::Absent => "none",
        LockState::Hash(hash) => hash.short(),
    }
}

/// Whether an agent's version is above the dashboard's. What is no version is not.
fn is_newer(version: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let numbers = text.split(['-', '+']).next()?;
        numbers.split('.').map(|number| number.parse().ok()).collect()
    };
    match (numbers(version), numbers(DASHBOARD_VERSION)) {
        (Some(theirs), Some(ours)) => theirs > ours,
        (None, _) | (_, None) => false,
    }
}
