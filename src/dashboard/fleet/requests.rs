//! What users ask of the fleet, and of its remotes.

use crate::dashboard::live::model::Remotes;
use crate::dashboard::remotes::source::Reverted;
use crate::dashboard::request_error::RequestError;
use crate::domain::audit::Asker;
use crate::domain::command::Command;
use crate::domain::host::Change;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::{Args, Operation};
use crate::domain::profile::Overrides;
use actix::Message;

/// Asks for an operation on a host. Answers once the command is journaled (and sent, if
/// the host is online): the snapshot that everybody reads shows it already.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub(crate) struct RequestCommand {
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
    pub by: Asker,
}

/// Asks to stop, or to take back, a command.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub(crate) struct StopCommand {
    /// Which.
    pub id: CommandId,
    /// Who asks.
    pub by: Asker,
}

/// Gives an overdue or running command its operation's time once more.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub(crate) struct ExtendCommand {
    /// Which.
    pub id: CommandId,
    /// Who asks.
    pub by: Asker,
}

/// Changes what the dashboard says about a host.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct ConfigureHost {
    /// Which.
    pub host: HostId,
    /// What changes; the rest stays.
    pub change: Change,
    /// Who asks.
    pub by: Asker,
}

/// Holds a host, or lets it go.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct HoldHost {
    /// Which.
    pub host: HostId,
    /// Why it is held; `None`: it is let go.
    pub reason: Option<String>,
    /// Who asks.
    pub by: Asker,
}

/// Adds a host before it ever connects. Answers its token, which is shown this once.
#[derive(Message)]
#[rtype(result = "Result<NewHost, RequestError>")]
pub(crate) struct AddHost {
    /// Its name.
    pub hostname: String,
    /// What is set on the dashboard from the start.
    pub overrides: Overrides,
    /// Who asks.
    pub by: Asker,
}

/// A host that was just added.
#[derive(Debug, Clone)]
pub(crate) struct NewHost {
    /// Its id.
    pub id: HostId,
    /// Its token; only the hash is stored.
    pub token: String,
}

/// Removes a host, its token and its connection.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct RemoveHost {
    /// Which.
    pub host: HostId,
    /// Who asks.
    pub by: Asker,
}

/// Fetches the remote of a host anew, or all of them, and answers when that is done.
#[derive(Message)]
#[rtype(result = "Result<Remotes, RequestError>")]
pub(crate) struct RefreshDesired(pub Option<HostId>);

/// Asks a host's agent to report at once. Does nothing while it is offline.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct AskHost(pub HostId);

/// Merges a pull request that updates flake.lock. Deploys nothing.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct MergePullRequest {
    /// The source it belongs to; the default if missing.
    pub source: Option<String>,
    /// Its number.
    pub number: u64,
    /// The head that was looked at.
    pub head: String,
    /// Who asks.
    pub by: Asker,
}

/// Opens a pull request that takes back one that was merged from here.
#[derive(Message)]
#[rtype(result = "Result<Reverted, RequestError>")]
pub(crate) struct RevertPullRequest {
    /// The source it belongs to; the default if missing.
    pub source: Option<String>,
    /// The number of the merged one.
    pub number: u64,
    /// Who asks.
    pub by: Asker,
}
