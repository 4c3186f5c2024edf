//! The life of a command: a pure state machine (spec: lifecycle).
//!
//! [`step`] takes a command, an event and the time, and gives the command as it is then,
//! with what should be done about it. It does nothing itself. Every state that is not
//! terminal is left at [`Command::due`] at the latest, so no sequence of lost, late,
//! repeated or reordered messages keeps a host busy for ever.

mod machine;

pub use machine::step;

use super::audit::Author;
use super::facts::{AgentBinary, LockState, Process};
use super::ids::{CommandId, Commit, HostId};
use super::operation::{Args, Operation};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How long a command waits for its host to come back.
pub const QUEUED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a connected agent has to acknowledge a command.
pub const SENT_FOR: Duration = Duration::from_secs(30);
/// How long a command may be on its way in all, however often the link comes and goes.
pub const SENT_AT_MOST: Duration = Duration::from_secs(600);
/// How long a host may be gone before its overdue command is given up.
pub const GONE_FOR: Duration = Duration::from_secs(600);
/// How long a stop may take.
pub const STOPPING_FOR: Duration = Duration::from_secs(15);
/// How long fresh facts may take to prove the goal.
pub const VERIFYING_FOR: Duration = Duration::from_secs(90);
/// So many heartbeats a connected agent may need to acknowledge a command: one that beats every
/// minute has no time for it within [`SENT_FOR`].
pub const SENT_HEARTBEATS: u8 = 3;
/// After so many heartbeats without it, a running command is lost.
pub const MISSED_HEARTBEATS: u8 = 2;

/// One command for one host, from the click to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// Whose it is.
    pub host: HostId,
    /// What is asked.
    pub op: Operation,
    /// With what.
    pub args: Args,
    /// Where it is in its life.
    pub state: State,
    /// Who asked.
    pub requested_by: Author,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it went to the agent.
    pub sent_at: Option<Timestamp>,
    /// When it reached a terminal state.
    pub finished_at: Option<Timestamp>,
    /// When the present state must have been left, while the host is connected.
    pub deadline: Option<Timestamp>,
    /// While it is being verified: when that ends at the latest, connected or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<Timestamp>,
    /// Since when its host is gone; `None` while it is connected.
    #[serde(default)]
    pub offline_since: Option<Timestamp>,
    /// How many heartbeats in a row said that it does not run.
    #[serde(default)]
    pub missed: u8,
    /// The exit code, once there is one.
    pub exit_code: Option<i32>,
    /// Why it is in this state, for the user.
    pub reason: Option<String>,
    /// What its goal lacks, while it is being verified and when it ended `unverified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miss: Option<Miss>,
    /// Who asked it to stop.
    pub stop_by: Option<Author>,
    /// How long it may run before it is overdue.
    #[serde(default = "longest")]
    pub time_limit: Duration,
    /// It runs longer than its operation usually does.
    #[serde(default)]
    pub slow: bool,
    /// What it is doing now, in a few words ("Test 3 of 8: GPU").
    pub progress: Option<String>,
    /// Number of the last line of output that was stored.
    pub output_lines: u64,
    /// How the host was when the command was sent: what its goal is measured by.
    #[serde(default)]
    pub baseline: Baseline,
}

/// The limit of a command that was stored before commands had one: that of a switch.
fn longest() -> Duration {
    Operation::Switch.rules().deadline
}

/// How the host was when a command was sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// The remote's head.
    pub desired: Option<Commit>,
    /// The host's checkout.
    pub checkout: Option<Commit>,
    /// The host's flake.lock.
    pub lock: Option<LockState>,
    /// Store path of what ran.
    pub store_path: Option<String>,
    /// Generation that ran.
    pub generation: Option<u64>,
    /// Number of the deployment that ran.
    pub deployment: u64,
    /// The agent that was asked.
    pub agent: AgentBinary,
    /// The host's boot time.
    pub boot_time: Option<Timestamp>,
    /// How many links the host had opened.
    pub links: u64,
    /// The number of the protocol in which it was asked; `None` where that was not stored.
    pub protocol: Option<u32>,
    /// The version of the agent that was asked.
    pub agent_version: Option<String>,
    /// The process that was asked.
    pub process: Process,
}

/// The states of a command's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its host to come back.
    Queued,
    /// On its way to the agent.
    Sent,
    /// The agent works on it.
    Running,
    /// Still running past its deadline.
    Overdue,
    /// A stop was sent.
    Stopping,
    /// Exit 0; the goal is being checked.
    Verifying,
    /// Done, and proven.
    Succeeded,
    /// It ended with another exit code than 0.
    Failed,
    /// Exit 0, but the goal was not met.
    Unverified,
    /// The agent refused it.
    Rejected,
    /// A precondition failed; never sent.
    Blocked,
    /// A user stopped it.
    Stopped,
    /// The agent ended it for its time.
    TimedOut,
    /// Nobody knows how it ended.
    Lost,
    /// Its host did not come back in time.
    Expired,
    /// Taken back before it was sent.
    Cancelled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 16] = [
        Self::Queued,
        Self::Sent,
        Self::Running,
        Self::Overdue,
        Self::Stopping,
        Self::Verifying,
        Self::Succeeded,
        Self::Failed,
        Self::Unverified,
        Self::Rejected,
        Self::Blocked,
        Self::Stopped,
        Self::TimedOut,
        Self::Lost,
        Self::Expired,
        Self::Cancelled,
    ];

    /// Whether the command's life is over.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued
            | Self::Sent
            | Self::Running
            | Self::Overdue
            | Self::Stopping
            | Self::Verifying => false,
            Self::Succeeded
            | Self::Failed
            | Self::Unverified
            | Self::Rejected
            | Self::Blocked
            | Self::Stopped
            | Self::TimedOut
            | Self::Lost
            | Self::Expired
            | Self::Cancelled => true,
        }
    }

    /// Whether the command takes its host's only exclusive place.
    pub const fn is_active(self) -> bool {
        !self.is_terminal() && !matches!(self, Self::Queued)
    }

    /// The name in the API and in SQLite.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Overdue => "overdue",
            Self::Stopping => "stopping",
            Self::Verifying => "verifying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unverified => "unverified",
            Self::Rejected => "rejected",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a command ended, as the agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Ended by itself, stopped, or ended for its time.
    pub kind: OutcomeKind,
    /// The exit code.
    pub exit_code: i32,
    /// The agent's words, if any.
    pub message: Option<String>,
}

/// The ways in which a job ends on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// By itself.
    Exited,
    /// It failed, whatever its exit code.
    Failed,
    /// By a stop.
    Stopped,
    /// By the agent, for its time.
    TimedOut,
    /// It was not begun: something on the host is in the way.
    Blocked,
    /// It died with the machine, or with its unit: nobody knows how far it came.
    Interrupted,
}

/// Whether a command reached what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Yes, the facts prove it.
    Met,
    /// Not as the facts stand now.
    Missing(Miss),
    /// No, and waiting will not help.
    Missed(Miss),
}

/// What a command's goal lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Miss {
    /// The switch is done, but the agent still runs the old binary.
    StaleAgent,
    /// Anything else, in the user's words: nothing is decided by them.
    Other(String),
}

impl Miss {
    /// A miss by which nothing is decided.
    pub fn other(words: impl Into<String>) -> Self {
        Self::Other(words.into())
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaleAgent => f.write_str("stale agent binary"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// What can happen to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its host is connected (again) and can take it.
    HostOnline,
    /// Its host is gone.
    HostOffline,
    /// When it should have been sent, a precondition failed.
    Blocked(String),
    /// The agent said that it works on it.
    Runs,
    /// A heartbeat said that the agent does not work on it.
    DoesNotRun,
    /// The agent registered and has never heard of it.
    NeverHeardOf,
    /// The agent of a host that cannot resume came back without it.
    CameBackWithout,
    /// Another agent came back than the one that was asked: it speaks another protocol.
    CameBackAnother,
    /// The agent was too busy to take it, and is not any more.
    SendAgain,
    /// The agent said that it cannot stop it.
    CannotStop,
    /// The agent works on something else.
    Replaced(String),
    /// The agent refused it.
    Rejected(String),
    /// It ended.
    Ended(Outcome),
    /// The facts were compared with its goal.
    Goal(Goal),
    /// A user wants it to stop, or to be taken back.
    Stop(Author),
    /// A user gives it more time.
    Extend(Author),
    /// Time has passed.
    Tick,
    /// The clock was set: all instants move by so many milliseconds.
    ClockJumped(i64),
}

/// What the host's actor must do about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send it to the agent.
    Send,
    /// Tell the agent to stop it.
    SendStop,
    /// Journal the transition into the command's state.
    Journal,
    /// Ask the remote anew: the goal hangs on it.
    Refetch,
}

impl Command {
    /// When the state must be left, connected or not; `None` in terminal states, and for
    /// an overdue command of a connected host, where the user decides.
    pub fn due(&self) -> Option<Timestamp> {
        let gone = self.offline_since.map(|since| since + GONE_FOR);
        match self.state {
            State::Sent => gone.or(self.unacknowledged_at()),
            State::Overdue => gone,
            State::Running => self.slow_at().or(self.deadline),
            // Facts can come only from a connected host.
            State::Verifying if gone.is_some() => self.verified_by.or(self.deadline),
            State::Queued | State::Stopping | State::Verifying => self.deadline,
            State::Succeeded
            | State::Failed
            | State::Unverified
            | State::Rejected
            | State::Blocked
            | State::Stopped
            | State::TimedOut
            | State::Lost
            | State::Expired
            | State::Cancelled => None,
        }
    }

    /// Whether its log may say what it changed, or would change.
    pub fn tells_changes(&self) -> bool {
        let asked = self.op.rules().deploys || self.op == Operation::DryRun;
        asked && self.state.is_terminal()
    }

    /// When a running command should be pointed at as slow; `None` once it was.
    fn slow_at(&self) -> Option<Timestamp> {
        let warn_after = self.op.rules().warn_after;
        let ahead = self.time_limit.checked_sub(warn_after)?;
        let millis = i64::try_from(ahead.as_millis()).ok()?;
        self.deadline.filter(|_| !self.slow).map(|deadline| deadline.shifted(-millis))
    }

    /// When a connected agent has had its time and its heartbeats to acknowledge the command.
    fn unacknowledged_at(&self) -> Option<Timestamp> {
        let deadline = self.deadline?;
        let at_most = self.sent_at.map_or(deadline, |sent_at| sent_at + SENT_AT_MOST);
        if self.missed >= SENT_HEARTBEATS { Some(deadline) } else { Some(at_most.max(deadline)) }
    }

    /// A command that was just accepted for a connected host.
    pub fn sent_deadline(sent_at: Timestamp, now: Timestamp) -> Timestamp {
        (now + SENT_FOR).min(sent_at + SENT_AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_stored_by_the_first_version_can_still_be_read() {
        let stored = r#"{
            "id": "0190a5c4-0000-7000-8000-000000000000", "host": "web", "op": "pull",
            "args": {}, "state": "running", "requested_by": "admin",
            "created_at": "2026-01-18T10:30:00Z", "sent_at": null, "finished_at": null,
            "deadline": null, "exit_code": null, "reason": null, "stop_by": null,
            "progress": null, "output_lines": 0
        }"#;
        let command: Command = serde_json::from_str(stored).unwrap();
        assert_eq!(command.requested_by, Author::Admin);
        assert_eq!(command.miss, None);
        assert_eq!(command.time_limit, longest());
        assert!(!command.slow);
    }
}
