//! The objects of the API. Their field names are fixed (spec: http).

use crate::base::hex;
use crate::dashboard::http::actions::id_of;
use crate::dashboard::live::model::{FleetView, HostEntry, SourceState};
use crate::dashboard::notify::{Channel, ChannelStatus, Kind, Overview};
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::sessions::SessionRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::dashboard::views::maintenance::{self, Tagged};
use crate::dashboard::views::notifications;
use crate::domain::audit::Author;
use crate::domain::closure_diff::{Alike, Change};
use crate::domain::command::{Command, State};
use crate::domain::compartment::{Action, Cause, Compartment, Status};
use crate::domain::deploy::Starts;
use crate::domain::desired::{Desired, PendingPr, Remote};
use crate::domain::disk::Disk;
use crate::domain::facts::{LockState, MissingCommit, SystemFacts, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::hold::Left;
use crate::domain::ids::{CommandId, Commit, HostId};
use crate::domain::looks::or_empty;
use crate::domain::maintenance::{Freeze, Window};
use crate::domain::message::Message;
use crate::domain::moment::Moment;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Progress, Rollout};
use crate::domain::snapshot::Metrics;
use crate::domain::tag::{Tag, Tags};
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

fn lock(lock: &LockState) -> Option<&str> {
    match lock {
        LockState::Hash(hash) => Some(hash.as_str()),
        LockState::Absent => None,
    }
}

/// The host object. Lists hold thousands of them: it borrows what it says, and is written
/// without a tree of values in between.
#[derive(Serialize)]
pub(super) struct HostObject<'a> {
    host_id: &'a HostId,
    hostname: &'a str,
    platform: &'a str,
    online: bool,
    last_seen: Option<Timestamp>,
    location: &'a str,
    device_type: &'a str,
    theme_color: &'a str,
    tags: &'a Tags,
    tags_added: &'a Tags,
    generation: Option<&'a Commit>,
    deployed: Option<Commit>,
    dirty: Option<bool>,
    ahead: Option<u32>,
    lock_hash: Option<&'a str>,
    system: &'a SystemFacts,
    agent_version: Option<&'a str>,
    agent_outdated: bool,
    pending_command: Option<PendingCommand<'a>>,
    busy_with: Option<&'a str>,
    waiting_commands: Vec<PendingCommand<'a>>,
    metrics: Option<Metrics>,
    update_status: UpdateStatus<'a>,
    missing_commits: &'a [MissingCommit],
    reboot_needed: Option<bool>,
    signers: &'a [String],
    guarded: Option<bool>,
    disk: Vec<DiskObject<'a>>,
    tests: TestSettings,
    shared_name_since: Option<Timestamp>,
    generation_drift: bool,
    pending_pr: Option<&'a PendingPr>,
    held: Option<HoldObject<'a>>,
}

#[derive(Serialize)]
struct HoldObject<'a> {
    reason: &'a str,
    by: &'a Author,
    since: Timestamp,
    pin: bool,
    applies: bool,
    left: Vec<LeftObject<'a>>,
}

#[derive(Serialize)]
struct LeftObject<'a> {
    commit: Option<&'a Commit>,
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct UpdateStatus<'a> {
    agent: CompartmentObject<'a>,
    git: CompartmentObject<'a>,
    lock: CompartmentObject<'a>,
    system: CompartmentObject<'a>,
    tests: CompartmentObject<'a>,
}

#[derive(Serialize)]
struct CompartmentObject<'a> {
    status: Status,
    message: &'a Message,
    action: Option<Action>,
    follows: Option<Cause>,
    checked_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct DiskObject<'a> {
    #[serde(flatten)]
    disk: &'a Disk,
    low: bool,
}

#[derive(Serialize)]
struct TestSettings {
    enabled: Option<bool>,
    auto_run: Option<bool>,
    auto_rollback: bool,
}

#[derive(Serialize)]
struct PendingCommand<'a> {
    command_id: CommandId,
    op: Operation,
    state: State,
    since: Timestamp,
    progress: Option<&'a str>,
}

/// The host object.
pub(super) fn host(entry: &HostEntry) -> HostObject<'_> {
    let host = &*entry.snapshot;
    let facts = &host.facts;
    let profile = &host.profile;
    HostObject {
        host_id: &host.id,
        hostname: &profile.hostname,
        platform: &profile.platform,
        online: host.online,
        last_seen: entry.pulse.last_seen,
        location: or_empty::text(profile.location.as_ref()),
        device_type: or_empty::text(profile.device_type.as_ref()),
        theme_color: or_empty::text(profile.theme_color.as_ref()),
        tags: &profile.tags,
        tags_added: &profile.overrides.tags,
        generation: facts.checkout.as_ref(),
        deployed: facts.deployed_commit(),
        dirty: facts.dirty,
        ahead: facts.ahead,
        lock_hash: facts.lock.as_ref().and_then(lock),
        system: &facts.system,
        agent_version: facts.agent.version.as_deref(),
        agent_outdated: host.agent_outdated,
        pending_command: host.command.as_ref().map(pending),
        busy_with: host.busy_with.as_deref(),
        waiting_commands: host.waiting.iter().map(pending).collect(),
        metrics: entry.pulse.metrics,
        update_status: UpdateStatus {
            agent: compartment(entry, Compartment::Agent),
            git: compartment(entry, Compartment::Git),
            lock: compartment(entry, Compartment::Lock),
            system: compartment(entry, Compartment::System),
            tests: compartment(entry, Compartment::Tests),
        },
        missing_commits: host.missing(),
        reboot_needed: facts.system.reboot_needed,
        signers: &profile.signers,
        guarded: host.is_guarded(),
        disk: profile.disks.iter().map(|disk| DiskObject { disk, low: disk.is_low() }).collect(),
        tests: TestSettings {
            enabled: facts.tests_enabled,
            auto_run: profile.tests_auto_run,
            auto_rollback: profile.overrides.auto_rollback,
        },
        shared_name_since: host.shared_name_since,
        generation_drift: host.drift,
        pending_pr: host.pending_pr.as_ref(),
        held: facts.hold.as_ref().map(|hold| HoldObject {
            reason: &hold.reason,
            by: &hold.by,
            since: hold.since,
            pin: hold.pin,
            applies: host.held,
            left: hold.left.iter().map(left).collect(),
        }),
    }
}

fn left(left: &Left) -> LeftObject<'_> {
    LeftObject { commit: left.commit.as_ref(), path: left.path.as_deref() }
}

fn compartment(entry: &HostEntry, which: Compartment) -> CompartmentObject<'_> {
    let verdict = &entry.snapshot.row[which];
    // Git and Lock were checked when the remote was read, the rest when the host spoke.
    let checked_at = match which {
        Compartment::Git | Compartment::Lock => entry.compared_at,
        Compartment::Agent | Compartment::System | Compartment::Tests => entry.pulse.last_seen,
    };
    CompartmentObject {
        status: verdict.status,
        message: &verdict.message,
        action: verdict.action,
        follows: verdict.follows,
        checked_at,
    }
}

fn pending(command: &Command) -> PendingCommand<'_> {
    PendingCommand {
        command_id: command.id,
        op: command.op,
        state: command.state,
        since: command.sent_at.unwrap_or(command.created_at),
        progress: command.progress.as_deref(),
    }
}

/// The command object, as it is now.
pub(super) fn command(command: &Command, now: Moment) -> Value {
    json!({
        "command_id": command.id,
        "host_id": command.host,
        "op": command.op,
        "args": command.args,
        "state": command.state,
        "phase": command.phase,
        "exit_code": command.exit_code,
        "reason": command.reason,
        "blocked_by": command.blocked_by,
        "requested_by": command.requested_by,
        "created_at": command.created_at,
        "sent_at": command.sent_at,
        "finished_at": command.finished_at,
        "deadline": command.deadline(now),
        "output_lines": command.output_lines,
        "built": command.built.as_ref().map(|built| json!({
            "commit": built.commit, "dirty": built.dirty, "path": built.path,
            "next_boot": built.starts == Starts::NextBoot,
        })),
    })
}

/// What would change on some hosts.
pub(super) fn plan(group: &Alike) -> Value {
    json!({ "hosts": group.hosts, "changes": group.changes })
}

/// The command object with its whole story.
pub(super) fn command_story(
    told: &Command,
    now: Moment,
    transitions: &[TransitionRecord],
    results: &[TestResult],
    changes: Option<Vec<Change>>,
) -> Value {
    let mut object = command(told, now);
    object["transitions"] = transitions
        .iter()
        .map(|step| json!({ "at": step.at, "state": step.state, "reason": step.reason }))
        .collect();
    object["test_results"] = json!(results);
    object["changes"] = json!(changes);
    object
}

/// An entry of the audit log.
pub(super) fn event(event: &EventRecord) -> Value {
    json!({
        "id": event.id, "at": event.at, "host_id": event.host,
        "category": event.category, "message": event.message, "by": event.by,
        "from": event.from, "result": event.result, "hash": hex::encode(&event.hash),
        "command_id": event.command,
    })
}

/// A rollout.
pub(super) fn rollout(rollout: &Rollout) -> Value {
    let mut object = json!(rollout);
    // Counted by a clock that says nothing to anybody else.
    object["soaks"] = json!(rollout.soaks.map(|soaks| json!({ "ends": soaks.ends })));
    if let Some(fields) = object.as_object_mut() {
        for inner in ["began", "boots", "held_back", "held_since", "of_freeze", "way_back"] {
            fields.remove(inner);
        }
    }
    object["on_failure"] = json!(rollout.way_back.on_failure);
    for (id, progress) in &rollout.hosts {
        let host = &mut object["hosts"][id.as_str()];
        host.as_object_mut().map(|host| host.remove("until"));
        if matches!(progress, Progress::Waiting { .. }) {
            host["why"] = json!(rollout.waits_for(id));
        }
        if let Some(wave) = rollout.began.get(id) {
            host["wave"] = json!(wave + 1);
        }
        if rollout.boots.contains(id) {
            host["untested"] = json!(true);
        }
        if let Some(back) = rollout.way_back.hosts.get(id) {
            host["back"] = json!(back);
            host["back"].as_object_mut().map(|back| back.remove("until"));
        }
    }
    object["wave"] = json!(rollout.wave + 1);
    object["rollout_id"] = json!(rollout.id);
    object["title"] = json!(rollout.title());
    object["over"] = json!(rollout.is_over());
    object["counts"] = json!(rollout.counts());
    object
}

/// Who is told what, and how that goes. No secret is in it.
pub(super) fn notifications(all: &Overview) -> Value {
    let settings = &all.settings;
    json!({
        "channels": all.channels.iter().map(channel).collect::<Vec<_>>(),
        "settings": {
            "offline_after": settings.limits.offline.as_secs(),
            "reboot_after": settings.limits.reboot.as_secs(),
            "remote_after": settings.limits.remote.as_secs(),
            "heartbeat": settings.heartbeat_url.as_deref().map(notifications::host_of),
            "heartbeat_every": settings.heartbeat_every.as_secs(),
            "heartbeat_at": all.heart.beaten,
            "heartbeat_error": all.heart.error,
        },
        "open": all.open,
    })
}

fn channel(status: &ChannelStatus) -> Value {
    let Channel { name, target, events, hosts, quiet, since: _ } = &status.channel;
    let mut object = json!({
        "name": name, "kind": target.name(), "to": notifications::place(target),
        "has_secret": target.secret().is_some(), "events": events, "hosts": hosts,
        "quiet_from": quiet.as_ref().map(|q| clock(q.from)),
        "quiet_to": quiet.as_ref().map(|q| clock(q.to)),
        "time_zone": quiet.as_ref().map(|q| &q.time_zone),
        "waiting": status.waiting, "error": status.error, "delivered_at": status.delivered,
    });
    if events.is_empty() {
        object["events"] = json!(Kind::ALL);
    }
    object
}

/// A generation.
pub(super) fn generation(one: &TestedGeneration) -> Value {
    let mut object = json!(one.generation);
    object["tests"] = json!(one.tests.as_ref().map(test_run));
    object["last_working"] = json!(one.last_working);
    object
}

/// A finished test run.
pub(super) fn test_run(run: &TestRun) -> Value {
    json!({
        "command_id": run.command_id, "outcome": run.outcome, "counts": run.counts,
        "first_failed": run.first_failed, "exit_code": run.exit_code, "ended_at": run.ended_at,
        "deployment": run.deployment, "store_path": run.store_path,
    })
}

/// Open pull requests that update flake.lock, at most one per source.
pub(super) fn pull_requests(remotes: &[SourceState]) -> Value {
    let mut list = Vec::new();
    for state in remotes {
        let known = state.desired.known();
        let pending = known.and_then(|remote| remote.pending_pr.as_ref());
        let Some(PendingPr { number, title, url, mergeable, head }) = pending else {
            continue;
        };
        let details = known.and_then(|remote| remote.pending_details.as_ref());
        let changes = details.and_then(|details| details.inputs.as_ref());
        list.push(json!({
            "source": *state.name, "number": number, "title": title, "url": url,
            "mergeable": mergeable, "head": head,
            "inputs": changes.map(|changes| &changes.inputs),
            "nested_inputs": changes.map(|changes| changes.nested),
            "checks": details.map(|details| &details.checks),
        }));
    }
    list.into()
}

/// Desired state, a list with one entry per source, the default first.
pub(super) fn desired(remotes: &[SourceState]) -> Value {
    remotes.iter().map(one_desired).collect()
}

fn one_desired(state: &SourceState) -> Value {
    let head = |remote: &Remote| {
        json!({
            "branch": remote.branch, "commit": remote.commit, "lock_hash": remote.lock.as_ref().and_then(lock),
            "subject": remote.subject, "committed_at": remote.committed_at,
            "fetched_at": remote.fetched_at, "pending_pr": remote.pending_pr,
        })
    };
    let mut object = match &*state.desired {
        Desired::Known(remote) => json!({ "state": "known", "remote": head(remote) }),
        Desired::NotYetFetched => json!({ "state": "not_yet_fetched" }),
        Desired::NotConfigured { setting } => {
            json!({ "state": "not_configured", "error": format!("{setting} is not set") })
        }
        Desired::Unavailable { since, reason, last_known } => json!({
            "state": "unavailable", "error": reason, "since": since,
            "last_known": last_known.as_ref().map(head),
        }),
    };
    object["source"] = json!(*state.name);
    object
}

/// That the fleet is frozen.
pub(super) fn freeze(freeze: &Freeze) -> Value {
    json!({
        "reason": freeze.reason, "by": freeze.by, "since": freeze.since, "until": freeze.until,
    })
}

/// When hosts may be changed.
pub(super) fn window(window: &Window) -> Value {
    json!({
        "id": window.id, "tag": window.tag, "days": window.days, "from": clock(window.from),
        "to": clock(window.to), "time_zone": window.time_zone, "told": window.told(),
    })
}

/// A minute of the day, as a clock shows it.
fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// All tags that hosts have.
pub(super) fn tags(view: &FleetView) -> Value {
    maintenance::tagged(view).iter().map(|(name, hosts)| tag(name, hosts)).collect()
}

/// A tag, and the hosts that have it.
pub(super) fn tag(tag: &Tag, hosts: &Tagged<'_>) -> Value {
    json!({ "tag": tag, "hosts": hosts.hosts, "added": hosts.added })
}

/// An API token, without itself.
pub(super) fn api_token(token: &ApiTokenRecord) -> Value {
    json!({
        "id": id_of(&token.token_hash),
        "name": token.name,
        "scope": token.scope.name(),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    })
}

/// A session.
pub(super) fn session(session: &SessionRecord) -> Value {
    json!({
        "id": id_of(&session.token_hash),
        "address": session.address,
        "browser": session.browser,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
    })
}
