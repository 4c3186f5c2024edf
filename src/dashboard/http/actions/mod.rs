//! What a user can do, each written once.
//!
//! Invariant: a rule has one home. The API and the pages are two skins of these functions: what
//! they check, refuse and say is the same for both. Who calls was proved before (`extract`).

mod access;
mod audit;
mod maintenance;
mod notifications;
mod rollouts;
mod settings;
mod tags;

pub(super) use access::{
    MadeToken, end_session, id_of, new_api_token, remove_api_token, renew_host_token, told_of,
};
pub(super) use audit::Wanted;
pub(super) use maintenance::{
    NewFreeze, NewWindow, add_window, freeze, remove_window, restraints_of, thaw,
};
pub(super) use notifications::{notification_settings, put_channel, remove_channel, test_channel};
pub(super) use rollouts::{
    ChangeBody, NewRollout, WaveField, change_rollout, failed_of, plans_of, retry_rollout,
    start_rollout, steps_of,
};
pub(super) use settings::{NewHost, Settings, SettingsForm};
pub(super) use tags::{add_tag, remove_tag, tag_of};

use super::error::{HttpError, said_back};
use super::extract::{Admin, Changer, Reader};
use crate::dashboard::auth::LoginError;
use crate::dashboard::fleet::requests::{
    self, AddHost, AskHost, ConfigureHost, ExtendCommand, HoldHost, MergePullRequest,
    RefreshDesired, RemoveHost, RequestCommand, RevertPullRequest, StopCommand,
};
use crate::dashboard::live::model::Remotes;
use crate::dashboard::remotes::source::Reverted;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store;
use crate::domain::audit::Asker;
use crate::domain::command::Command;
use crate::domain::host::Change;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::RefusalCode;

/// So many characters may say why a host is held.
const REASON: usize = 200;
/// What to do after a merge.
pub(super) const AFTER_MERGE: &str =
    "Nothing was deployed. Every host's Lock is behind now: pull, then switch.";
/// What to do after a revert.
pub(super) const AFTER_REVERT: &str =
    "Merge that pull request, then pull and switch the hosts. Until then nothing changes.";

// ---- hosts ----

/// The hosts that the default repository names and that were not added yet.
pub(super) async fn new_names(reader: &Reader) -> Result<Vec<String>, HttpError> {
    let view = reader.fleet_view().await?;
    let known = view.remotes.first().and_then(|state| state.desired.known());
    let named = known.into_iter().flat_map(|remote| &remote.hosts);
    let is_new = |name: &&String| HostId::parse(name).is_ok_and(|id| !view.hosts.contains_key(&id));
    Ok(named.filter(is_new).cloned().collect())
}

/// Adds a host before it ever connects. Answers its token, which is shown this once.
pub(super) async fn add_host(
    admin: &Admin,
    asked: NewHost,
) -> Result<requests::NewHost, HttpError> {
    let (hostname, overrides) = asked.read()?;
    let add = AddHost { hostname, overrides, by: admin.asker() };
    Ok(admin.fleet().send(add).await??)
}

/// Removes a host, its token and its connection. Its own actor refuses while it runs something.
pub(super) async fn remove_host(admin: &Admin, host: HostId) -> Result<(), HttpError> {
    Ok(admin.fleet().send(RemoveHost { host, by: admin.asker() }).await??)
}

/// Changes settings of a host; what the change does not name stays.
pub(super) async fn configure_host(
    admin: &Admin,
    host: HostId,
    change: Change,
) -> Result<(), HttpError> {
    tags::keeps_windows(admin, &host, &change.tags).await?;
    Ok(admin.fleet().send(ConfigureHost { host, change, by: admin.asker() }).await??)
}

/// Holds a host: rollouts leave it out until it is released.
pub(super) async fn hold_host(
    changer: &Changer,
    host: HostId,
    reason: String,
) -> Result<(), HttpError> {
    if reason.chars().count() > REASON {
        return Err(HttpError::bad("reason", format!("expected at most {REASON} characters")));
    }
    let hold = HoldHost { host, reason: Some(reason), by: changer.asker() };
    Ok(changer.fleet().send(hold).await??)
}

/// Lets a host go, also one that nobody holds.
pub(super) async fn release_host(changer: &Changer, host: HostId) -> Result<(), HttpError> {
    let release = HoldHost { host, reason: None, by: changer.asker() };
    Ok(changer.fleet().send(release).await??)
}

/// Reads the host's remote anew, and asks its agent how it is.
pub(super) async fn refresh_host(changer: &Changer, host: HostId) -> Result<(), HttpError> {
    changer.host(&host).await?;
    changer.fleet().send(RefreshDesired(Some(host.clone()))).await??;
    Ok(changer.fleet().send(AskHost(host)).await??)
}

/// Reads all remotes anew, and asks every host that is there how it is.
pub(super) async fn refresh_all(changer: &Changer) -> Result<Remotes, HttpError> {
    let remotes = changer.fleet().send(RefreshDesired(None)).await??;
    let view = changer.fleet_view().await?;
    for host in view.hosts.keys() {
        // A host that is not asked now says how it is with its next heartbeat.
        if changer.fleet().try_send(AskHost(host.clone())).is_err() {
            log::debug!("{host} is not asked to report: the fleet is busy");
        }
    }
    Ok(remotes)
}

// ---- commands ----

/// What was asked for, by the names that were sent.
pub(super) struct Asked<'a> {
    /// The operation.
    pub(super) op: &'a str,
    /// With what.
    pub(super) args: Args,
    /// Wait for an offline host instead of refusing.
    pub(super) queue: bool,
    /// The one-time code, for what needs to be confirmed.
    pub(super) totp: Option<&'a str>,
}

/// An operation that may be asked of hosts: it is in the table, and confirmed if need be.
pub(super) struct Order {
    op: Operation,
    args: Args,
    queue: bool,
    by: Asker,
}

impl Order {
    /// Checks what was asked for.
    pub(super) async fn check(changer: &Changer, asked: Asked<'_>) -> Result<Self, HttpError> {
        let Asked { op, args, queue, totp } = asked;
        let op = Operation::parse(op).ok_or_else(|| unknown_operation(op))?;
        if args.commit.is_some() && op != Operation::DryRun {
            return Err(HttpError::bad(
                "args.commit",
                "only a dry run can be of another commit".to_owned(),
            ));
        }
        if args.plan.is_some() && !matches!(op, Operation::Switch | Operation::PullSwitch) {
            return Err(HttpError::bad("args.plan", "only a switch can be of a plan".to_owned()));
        }
        let deploys = [Operation::Switch, Operation::PullSwitch, Operation::Rollback];
        if args.boot.is_some() && !deploys.contains(&op) {
            let expected = "only a switch or a rollback can wait for the next boot";
            return Err(HttpError::bad("args.boot", expected));
        }
        if args.guard.is_some() && !deploys.contains(&op) {
            return Err(HttpError::bad("args.guard", "only a switch or a rollback has a guard"));
        }
        if op.rules().needs_confirmation {
            confirm(changer, op, totp).await?;
        }
        Ok(Self { op, args, queue, by: changer.asker() })
    }

    /// What is asked for.
    pub(super) fn op(&self) -> Operation {
        self.op
    }

    /// With what.
    pub(super) fn args(&self) -> &Args {
        &self.args
    }

    /// Whether it waits for an offline host.
    pub(super) fn queue(&self) -> bool {
        self.queue
    }
}

/// What needs a confirmation needs the one-time code too, where that is set up.
async fn confirm(changer: &Changer, op: Operation, code: Option<&str>) -> Result<(), HttpError> {
    match changer.confirms(code).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(LoginError::Wrong | LoginError::Csrf) => {
            let text = format!("`totp`: {} needs the one-time code.", op.label());
            Err(HttpError::code_needed(text))
        }
        Err(error @ (LoginError::TooMany(_) | LoginError::Unavailable(_))) => Err(error.into()),
    }
}

/// An operation that is not in the table.
fn unknown_operation(name: &str) -> HttpError {
    let known = Operation::ALL.map(Operation::name).join(", ");
    let name = said_back(name);
    HttpError::bad("op", format!("there is no operation {name:?}; expected one of {known}"))
}

/// Asks a host for an operation. The host itself refuses what a freeze or its windows hold back, and
/// records what it goes on regardless of.
pub(super) async fn run(
    changer: &Changer,
    host: HostId,
    order: &Order,
) -> Result<Command, HttpError> {
    let Order { op, args, queue, by } = order;
    let (op, args, queue, by) = (*op, args.clone(), *queue, by.clone());
    let request = RequestCommand { id: None, host, op, args, queue, by };
    Ok(changer.fleet().send(request).await??)
}

/// With what a command of this host was asked for, to ask once more. What it went on regardless of is
/// asked anew.
pub(super) async fn args_of(
    changer: &Changer,
    host: &HostId,
    id: CommandId,
) -> Result<Args, HttpError> {
    let found = changer.stored(move |conn| store::commands::get(conn, id)).await?;
    let command = found.filter(|command| command.host == *host);
    let command = command.ok_or_else(|| RequestError::NoSuchCommand(id.to_string()))?;
    Ok(Args { regardless: Vec::new(), ..command.args })
}

/// What a user can do about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandChange {
    /// End it, or take it back.
    Stop,
    /// Give it its operation's time once more.
    Extend,
}

impl CommandChange {
    /// Reads the last word of the address.
    pub(super) fn parse(word: &str) -> Result<Self, HttpError> {
        match word {
            "stop" => Ok(Self::Stop),
            "extend" => Ok(Self::Extend),
            _ => Err(HttpError::not_found()),
        }
    }
}

/// Stops or extends a command.
pub(super) async fn change_command(
    changer: &Changer,
    id: CommandId,
    change: CommandChange,
) -> Result<Command, HttpError> {
    let by = changer.asker();
    match change {
        CommandChange::Stop => Ok(changer.fleet().send(StopCommand { id, by }).await??),
        CommandChange::Extend => Ok(changer.fleet().send(ExtendCommand { id, by }).await??),
    }
}

// ---- pull requests ----

/// Which pull request shall be merged.
pub(super) struct Merge {
    /// The source it belongs to; the default if missing.
    pub(super) source: Option<String>,
    /// Its number.
    pub(super) number: u64,
    /// The head that was looked at; if missing, the one that the dashboard saw last.
    pub(super) head: Option<String>,
}

/// Merges a pull request that updates flake.lock. Deploys nothing. Only what somebody looked at
/// is merged: the user, or the dashboard.
pub(super) async fn merge(changer: &Changer, merge: Merge) -> Result<(), HttpError> {
    let Merge { source, number, head } = merge;
    let seen = match head {
        Some(head) => Some(head),
        None => last_seen_head(changer, source.as_deref(), number).await?,
    };
    let unseen = seen.is_none();
    // No head is this one, so what nobody looked at is refused, with the reason if there is one.
    let head = seen.unwrap_or_default();
    let by = changer.asker();
    let merged = changer.fleet().send(MergePullRequest { source, number, head, by }).await?;
    match merged {
        Err(RequestError::Refused(refusal)) if unseen && refusal.code == RefusalCode::Changed => {
            let text = format!("#{number} does not wait here: say which head shall be merged");
            Err(HttpError::bad("head", text))
        }
        other => Ok(other?),
    }
}

/// The head of a pull request that waits on the page.
async fn last_seen_head(
    changer: &Changer,
    source: Option<&str>,
    number: u64,
) -> Result<Option<String>, HttpError> {
    let view = changer.fleet_view().await?;
    let state = match source {
        Some(name) => view.remotes.iter().find(|state| *state.name == *name),
        None => view.remotes.first(),
    };
    let pending = state.and_then(|state| state.desired.known()?.pending_pr.as_ref());
    match pending {
        Some(pr) if pr.number == number => Ok(Some(pr.head.clone())),
        Some(_) | None => Ok(None),
    }
}

/// Opens a pull request that takes back one that was merged from here.
pub(super) async fn revert(
    changer: &Changer,
    source: Option<String>,
    number: u64,
) -> Result<Reverted, HttpError> {
    let by = changer.asker();
    Ok(changer.fleet().send(RevertPullRequest { source, number, by }).await??)
}
