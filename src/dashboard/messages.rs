//! What actors of the dashboard say to each other and to the HTTP handlers.

use crate::dashboard::sources::Reverted;
use crate::domain::command::Command;
use crate::domain::desired::{Desired, MergedPr};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::Refusal;
use crate::domain::operation::{Args, Operation};
use crate::domain::profile::Overrides;
use crate::domain::rollout::{Rollout, RolloutId};
use crate::domain::snapshot::{HostSnapshot, Pulse};
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use crate::protocol::Line;
use actix::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a request about a host was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// 404
    #[error("there is no host `{0}`")]
    NoSuchHost(String),
    /// 404
    #[error("there is no command `{0}`")]
    NoSuchCommand(String),
    /// 409, with the refusal's code.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// 400: the field, and what was expected.
    #[error("`{field}`: {expected}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What was expected.
        expected: String,
    },
    /// 503: SQLite or an actor did not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// Answered at once, by an actor that does its work.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ping;

// ---- to the FleetActor ----

/// Asks for an operation on a host. Answers once the command is journaled (and sent, if
/// the host is online): the snapshot that everybody reads shows it already.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub struct RequestCommand {
    /// Chosen by a rollout; made anew if missing.
    pub id: Option<CommandId>,
    /// Which host.
    pub host: HostId,
    /// What.
    pub op: Operation,
    /// With what.
    pub args: Args,
    /// Wait for an offline host instead of refusing.
    pub queue: bool,
    /// Who asks, for the audit log.
    pub by: String,
}

/// Asks to stop, or to take back, a command.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub struct StopCommand {
    /// Which.
    pub id: CommandId,
    /// Who asks.
    pub by: String,
}

/// Gives an overdue or running command its operation's time once more.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub struct ExtendCommand {
    /// Which.
    pub id: CommandId,
    /// Who asks.
    pub by: String,
}

/// Changes what the dashboard says about a host.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub struct ConfigureHost {
    /// Which.
    pub host: HostId,
    /// All of it as it shall be.
    pub overrides: Overrides,
    /// Who asks.
    pub by: String,
}

/// Adds a host before it ever connects. Answers its token, which is shown this once.
#[derive(Message)]
#[rtype(result = "Result<NewHost, RequestError>")]
pub struct AddHost {
    /// Its name.
    pub hostname: String,
    /// Who asks.
    pub by: String,
}

/// A host that was just added.
#[derive(Debug, Clone)]
pub struct NewHost {
    /// Its id.
    pub id: HostId,
    /// Its token; only the hash is stored.
    pub token: String,
}

/// Removes a host, its token and its connection.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub struct RemoveHost {
    /// Which.
    pub host: HostId,
    /// Who asks.
    pub by: String,
}

/// Fetches the remote of a host anew, or all of them, and answers when that is done.
#[derive(Message)]
#[rtype(result = "Result<Remotes, RequestError>")]
pub struct RefreshDesired(pub Option<HostId>);

/// Asks a host's agent to report at once. Does nothing while it is offline.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub struct AskHost(pub HostId);

/// Merges a pull request that updates flake.lock. Deploys nothing.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub struct MergePullRequest {
    /// The source it belongs to; the default if missing.
    pub source: Option<String>,
    /// Its number.
    pub number: u64,
    /// The head that was looked at.
    pub head: String,
    /// Who asks.
    pub by: String,
}

/// Opens a pull request that takes back one that was merged from here.
#[derive(Message)]
#[rtype(result = "Result<Reverted, RequestError>")]
pub struct RevertPullRequest {
    /// The source it belongs to; the default if missing.
    pub source: Option<String>,
    /// The number of the merged one.
    pub number: u64,
    /// Who asks.
    pub by: String,
}

// ---- to the Rollouts ----

/// Starts a rollout. Answers once it is stored, and hosts are being asked.
#[derive(Message)]
#[rtype(result = "Result<Rollout, RequestError>")]
pub struct StartRollout {
    /// What each host does, in this order.
    pub steps: Vec<Operation>,
    /// Which hosts; `None`: all there are.
    pub hosts: Option<Vec<HostId>>,
    /// How many hosts may be in a step that changes what runs, at once.
    pub at_once: u32,
    /// When so many hosts failed, no further step starts.
    pub stop_after: Option<u32>,
    /// Who asks.
    pub by: String,
}

/// Changes a rollout.
#[derive(Message)]
#[rtype(result = "Result<Rollout, RequestError>")]
pub struct ChangeRollout {
    /// Which.
    pub id: RolloutId,
    /// How.
    pub change: RolloutChange,
    /// Who asks.
    pub by: String,
}

/// What a user can do about a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutChange {
    /// Running steps end, no more start.
    Cancel,
    /// It is over, and was seen.
    Dismiss,
}

impl RolloutChange {
    /// Reads the name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "cancel" => Some(Self::Cancel),
            "dismiss" => Some(Self::Dismiss),
            _ => None,
        }
    }
}

// ---- to the Broadcaster ----

/// From the Rollouts: those that run, and those whose end nobody has seen, oldest first.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RolloutsChanged(pub Arc<Vec<Rollout>>);

/// One host as it is now, for reading.
#[derive(Debug, Clone)]
pub struct HostEntry {
    /// Everything that a render of the row needs.
    pub snapshot: Arc<HostSnapshot>,
    /// What changes with every heartbeat.
    pub pulse: Pulse,
    /// When the remote that it is compared with was last read.
    pub compared_at: Option<Timestamp>,
}

/// The whole fleet as it is now, for reading.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// Grows by one with every change.
    pub version: u64,
    /// All hosts.
    pub hosts: BTreeMap<HostId, HostEntry>,
    /// The remotes, the default first.
    pub remotes: Remotes,
    /// Rollouts that run, or whose end nobody has seen, oldest first.
    pub rollouts: Arc<Vec<Rollout>>,
    /// When each source was last read.
    pub read_at: BTreeMap<Arc<str>, Timestamp>,
}

/// What is known of each source, the default first.
pub type Remotes = Arc<Vec<SourceState>>;

/// What is known of one source.
#[derive(Debug, Clone)]
pub struct SourceState {
    /// Its name.
    pub name: Arc<str>,
    /// What it says.
    pub desired: Arc<Desired>,
    /// The pull request that was merged from here last.
    pub merged: Option<MergedPr>,
}

/// Reads the whole fleet.
#[derive(Message)]
#[rtype(result = "Arc<FleetView>")]
pub struct ReadFleet;

/// Reads one host.
#[derive(Message)]
#[rtype(result = "Option<HostEntry>")]
pub struct ReadHost(pub HostId);

/// From a HostActor: its host looks like this now. Sent after every change of the snapshot.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HostChanged(pub Arc<HostSnapshot>);

/// From a HostActor: a frame came. Sent for every heartbeat.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HostPulse(pub HostId, pub Pulse);

/// From a HostActor: its agent is gone (the snapshot follows as `HostChanged`).
#[derive(Message)]
#[rtype(result = "()")]
pub struct HostOffline(pub HostId);

/// From the FleetActor: the host was removed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HostRemoved(pub HostId);

/// From the FleetActor: the remotes look like this now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DesiredChanged(pub Remotes);

/// From a HostActor: a command was accepted for its host; its log begins.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CommandQueued(pub Arc<Command>);

/// From a HostActor: these lines of output are stored now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CommandOutput {
    /// Whose.
    pub host: HostId,
    /// Which command.
    pub command_id: CommandId,
    /// Number of the first line.
    pub first_seq: u64,
    /// The lines.
    pub lines: Arc<[Line]>,
}

/// From a HostActor: a test ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CommandTestResult {
    /// Whose.
    pub host: HostId,
    /// Which command.
    pub command_id: CommandId,
    /// The result.
    pub result: Arc<TestResult>,
}

/// From a HostActor: a command reached a terminal state.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct CommandComplete(pub Arc<Command>);
