//! The objects of the API. Their field names are fixed (spec: http).

use crate::dashboard::live::model::{HostEntry, SourceState};
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::closure_diff::Change;
use crate::domain::command::{Command, State};
use crate::domain::compartment::{Action, Compartment, Status};
use crate::domain::desired::{Desired, PendingPr, Remote};
use crate::domain::facts::{LockState, MissingCommit, SystemFacts, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::ids::{CommandId, Commit, HostId};
use crate::domain::looks::or_empty;
use crate::domain::message::Message;
use crate::domain::operation::Operation;
use crate::domain::rollout::Rollout;
use crate::domain::snapshot::Metrics;
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
    generation: Option<&'a Commit>,
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
    tests: TestSettings,
    generation_drift: bool,
    pending_pr: Option<&'a PendingPr>,
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
    checked_at: Option<Timestamp>,
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
        generation: facts.checkout.as_ref(),
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
        tests: TestSettings {
            enabled: facts.tests_enabled,
            auto_run: profile.tests_auto_run,
            auto_rollback: profile.overrides.auto_rollback,
        },
        generation_drift: host.drift,
        pending_pr: host.pending_pr.as_ref(),
    }
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

/// The command object.
pub(super) fn command(command: &Command) -> Value {
    json!({
        "command_id": command.id,
        "host_id": command.host,
        "op": command.op,
        "args": command.args,
        "state": command.state,
        "exit_code": command.exit_code,
        "reason": command.reason,
        "requested_by": command.requested_by,
        "created_at": command.created_at,
        "sent_at": command.sent_at,
        "finished_at": command.finished_at,
        "deadline": command.deadline,
        "output_lines": command.output_lines,
    })
}

/// The command object with its whole story.
pub(super) fn command_story(
    told: &Command,
    transitions: &[TransitionRecord],
    results: &[TestResult],
    changes: Option<Vec<Change>>,
) -> Value {
    let mut object = command(told);
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
    })
}

/// A rollout.
pub(super) fn rollout(rollout: &Rollout) -> Value {
    let mut object = json!(rollout);
    object["rollout_id"] = json!(rollout.id);
    object["title"] = json!(rollout.title());
    object["over"] = json!(rollout.is_over());
    object["counts"] = json!(rollout.counts());
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
        let pending = state.desired.known().and_then(|remote| remote.pending_pr.as_ref());
        let Some(PendingPr { number, title, url, mergeable, head }) = pending else {
            continue;
        };
        list.push(json!({
            "source": *state.name, "number": number, "title": title, "url": url,
            "mergeable": mergeable, "head": head,
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
