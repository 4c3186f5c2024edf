//! The life of a command: a pure state machine (spec: lifecycle).

use super::ids::{CommandId, HostId};
use super::operation::{Args, Operation};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// Who asked: a user, `agent` for one the dashboard adopted, `auto` for tests after a switch.
    pub requested_by: String,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it went to the agent.
    pub sent_at: Option<Timestamp>,
    /// When it reached a terminal state.
    pub finished_at: Option<Timestamp>,
    /// When the present state must have been left.
    pub deadline: Option<Timestamp>,
    /// The exit code, once there is one.
    pub exit_code: Option<i32>,
    /// Why it is in this state, for the user.
    pub reason: Option<String>,
    /// Who asked it to stop.
    pub stop_by: Option<String>,
    /// What it is doing now, in a few words ("Test 3 of 8: GPU").
    pub progress: Option<String>,
    /// Lines of output stored so far; also the sequence number of the last.
    pub output_lines: u64,
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
