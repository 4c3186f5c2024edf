//! The life of a command: a pure state machine (spec: lifecycle).
//!
//! [`step`] takes a command, an event and the time, and gives the command as it is then,
//! with what should be done about it. It does nothing itself. Every state that is not
//! terminal is left at [`Command::leaves_by`] at the latest, so no sequence of lost, late,
//! repeated or reordered messages keeps a host busy for ever.

mod machine;
mod phase;
mod timers;

pub use machine::{WAITS_FOR_HOST, restored, step};
pub use phase::WorkPhase;
pub use timers::*;

use super::audit::Author;
use super::deploy::{Built, Paths};
use super::facts::{AgentBinary, LockState, Process};
use super::ids::{CommandId, Commit, HostId};
use super::moment::{Countdown, Uptime};
use super::operation::{Args, Operation, Regardless};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

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
    /// When it was asked, by the time of day.
    pub created_at: Timestamp,
    /// When it was asked, by time that passed: what orders a host's commands.
    #[serde(default)]
    pub asked: Uptime,
    /// When it went to the agent, by the time of day.
    pub sent_at: Option<Timestamp>,
    /// When it reached a terminal state, by the time of day.
    pub finished_at: Option<Timestamp>,
    /// What counts down in the present state.
    #[serde(default)]
    pub timer: Option<Countdown>,
    /// What bounds the present state however often the link comes and goes, where that is not
    /// the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Countdown>,
    /// Since when its host is gone; `None` while it is connected.
    #[serde(default)]
    pub gone_since: Option<Uptime>,
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
    /// What blocked it on the host, where the user may go on regardless of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<Regardless>,
    /// Which freeze it was asked for regardless of: since when that lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_freeze: Option<Timestamp>,
    /// While it waits on a host that is there: which freeze or window keeps it back, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_back: Option<String>,
    /// Who asked it to stop.
    pub stop_by: Option<Author>,
    /// The dashboard told it to stop, because its time was up.
    #[serde(default)]
    pub out_of_time: bool,
    /// The host's guard took back what it had activated; what was missing. Hostile text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<String>,
    /// The agent said that it died with the machine or with its unit: it is lost, and nobody will
    /// know more.
    #[serde(default)]
    pub interrupted: bool,
    /// How long it may run before it is overdue.
    #[serde(default = "longest")]
    pub time_limit: Duration,
    /// It runs longer than its operation usually does.
    #[serde(default)]
    pub slow: bool,
    /// What its job is doing, where the agent tells that and it deploys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<WorkPhase>,
    /// Its host's guard has it: it ends when that has decided.
    #[serde(default)]
    pub guarded: bool,
    /// What it is doing now, in a few words ("Test 3 of 8: GPU").
    pub progress: Option<String>,
    /// Number of the last line of output that was stored.
    pub output_lines: u64,
    /// The agent has taken it: it said so, or told of it.
    #[serde(default)]
    pub reached: bool,
    /// The paths at its end, as its outcome says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_with: Option<Paths>,
    /// What it built, as its outcome says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Built>,
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
    /// Whether the checkout was changed by hand.
    pub dirty: Option<bool>,
    /// Store path of what ran.
    pub store_path: Option<String>,
    /// What that was built from, as far as it was known.
    pub deployed: Option<Commit>,
    /// What the system profile pointed to.
    pub profile_path: Option<String>,
    /// Generation that ran.
    pub generation: Option<u64>,
    /// Number of the deployment that ran.
    pub deployment: u64,
    /// Its number among the commands of its host.
    pub order: u64,
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

    /// Where it is in its life; `None` if that is over.
    pub const fn live(self) -> Option<Live> {
        match self {
            Self::Queued => Some(Live::Queued),
            Self::Sent => Some(Live::Sent),
            Self::Running => Some(Live::Running),
            Self::Overdue => Some(Live::Overdue),
            Self::Stopping => Some(Live::Stopping),
            Self::Verifying => Some(Live::Verifying),
            Self::Succeeded
            | Self::Failed
            | Self::Unverified
            | Self::Rejected
            | Self::Blocked
            | Self::Stopped
            | Self::TimedOut
            | Self::Lost
            | Self::Expired
            | Self::Cancelled => None,
        }
    }

    /// Whether the command's life is over.
    pub const fn is_terminal(self) -> bool {
        self.live().is_none()
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

/// The states of a command that is not over, each as in [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`State` says what each is")]
pub enum Live {
    Queued,
    Sent,
    Running,
    Overdue,
    Stopping,
    Verifying,
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
    /// Of one that was not begun: what it would not be kept from if the user went on regardless.
    pub blocked_by: Vec<Regardless>,
}

/// The ways in which a job ends on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// By itself.
    Exited,
    /// It failed, whatever its exit code.
    Failed,
    /// It failed, and the host's guard brought back what ran before. The message says what was
    /// missing.
    Returned,
    /// By a stop.
    Stopped,
    /// By the agent, for its time.
    TimedOut,
    /// It was not begun: something on the host is in the way.
    Blocked,
    /// It died with the machine, or with its unit: nobody knows how far it came.
    Interrupted,
}

/// How a command ended that began on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Well, and proven.
    Succeeded,
    /// Well as it says, and not proven.
    Unverified,
    /// Badly.
    Failed,
    /// It took too long.
    TimedOut,
    /// Somebody stopped it.
    Stopped,
    /// Nobody knows how.
    Lost,
}

/// Why a command may not begin for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBack {
    /// By what, all of it: what a user may go on regardless of.
    pub by: Vec<Regardless>,
    /// In words, and until when.
    pub why: String,
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
    /// When it should have been sent, a freeze or the host's windows kept it back.
    KeptBack(KeptBack),
    /// The agent said that it works on it.
    Runs,
    /// The agent said what its job is doing.
    Phase(WorkPhase),
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
    /// It was told to stop, and its agent names it still, or is there anew: it is told again.
    StopAgain,
    /// Time has passed.
    Tick,
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
    /// Store it as it is; its state is the same.
    Save,
    /// Ask the remote anew: the goal hangs on it.
    Refetch,
}

impl Command {
    /// How it ended, in words.
    pub fn told_end(&self) -> String {
        let state = self.state.name().replace('_', " ");
        let code = self.exit_code.map_or(String::new(), |code| format!(", exit code {code}"));
        let why = self.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
        format!("{} ended: {state}{code}{why}", self.op.label())
    }

    /// What came of it on its host; `None` while that is not known, and where nothing of it
    /// happened there.
    pub fn came_of_it(&self) -> Option<Ending> {
        let ending = match self.state {
            State::Succeeded => Ending::Succeeded,
            State::Unverified => Ending::Unverified,
            State::Failed => Ending::Failed,
            State::TimedOut => Ending::TimedOut,
            State::Stopped => Ending::Stopped,
            State::Lost => Ending::Lost,
            State::Rejected | State::Blocked | State::Expired | State::Cancelled => return None,
            State::Queued
            | State::Sent
            | State::Running
            | State::Overdue
            | State::Stopping
            | State::Verifying => return None,
        };
        // What was only sent never was.
        if self.reached { Some(ending) } else { None }
    }

    /// Whether it was sent to its host before another one of the same kind was: its late truth
    /// changes nothing then. Numbers are the host's own.
    pub fn is_before(&self, id: CommandId, order: u64) -> bool {
        id != self.id && order > self.baseline.order
    }

    /// Whether a word about how it ended still says something: the first one does.
    pub fn waits_for_its_outcome(&self) -> bool {
        match self.state.live() {
            Some(Live::Sent | Live::Running | Live::Overdue | Live::Stopping) => true,
            // A 3.x agent that came back may deliver its outcome late.
            Some(Live::Verifying) => self.exit_code.is_none(),
            Some(Live::Queued) => false,
            None => self.state == State::Lost && !self.interrupted,
        }
    }

    /// Whether it works on the checkout now, as far as the agent tells.
    pub fn pulls_now(&self) -> bool {
        let in_its_pull = self.phase.is_none_or(|phase| phase == WorkPhase::Pull);
        self.op.rules().pulls && (in_its_pull || !self.op.rules().deploys)
    }

    /// Whether it ended before it had begun to change what runs: only its pull did anything.
    pub fn ended_in_its_pull(&self) -> bool {
        let well = matches!(self.state, State::Succeeded | State::Unverified);
        let in_its_pull = self.op.rules().pulls && self.phase == Some(WorkPhase::Pull);
        in_its_pull && self.built.is_none() && !well
    }

    /// What it is to be asked with so that what blocked it does so no more; `None` if it was not
    /// blocked, or by something that nobody may pass over.
    pub fn regardless(&self) -> Option<Vec<Regardless>> {
        if self.state != State::Blocked || self.blocked_by.is_empty() {
            return None;
        }
        let mut all = [self.args.regardless.clone(), self.blocked_by.clone()].concat();
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// Whether its log may say what it changed, or would change.
    pub fn tells_changes(&self) -> bool {
        let asked = self.op.rules().deploys || self.op == Operation::DryRun;
        asked && self.state.is_terminal()
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
        // Its time is counted anew: what was left was not stored.
        let now = Uptime::from_millis(7);
        let command = restored(command, now);
        assert_eq!(command.leaves_by(), Some(now + longest()));
    }
}
