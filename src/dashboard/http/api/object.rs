//! The objects of the API. Their field names are fixed (spec: http).

use crate::dashboard::live::model::{HostEntry, SourceState};
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::closure_diff::Change;
use crate::domain::command::Command;
use crate::domain::compartment::Compartment;
use crate::domain::desired::{Desired, PendingPr, Remote};
use crate::domain::facts::{LockState, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::looks::or_empty;
use crate::domain::rollout::Rollout;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::test_report::TestResult;
use serde_json::{Value, json};

fn lock(lock: &LockState) -> Option<&str> {
    match lock {
        LockState::Hash(hash) => Some(hash.as_str()),
        LockState::Absent => None,
    }
}

/// The host object.
pub(super) fn host(entry: &HostEntry) -> Value {
    let host = &entry.snapshot;
    let facts = &host.facts;
    let mut statuses = serde_json::Map::new();
    for (compartment, verdict) in host.row.iter() {
        // Git and Lock were checked when the remote was read, the rest when the host spoke.
        let checked_at = match compartment {
            Compartment::Git | Compartment::Lock => entry.compared_at,
            Compartment::Agent | Compartment::System | Compartment::Tests => entry.pulse.last_seen,
        };
        statuses.insert(
            compartment.name().to_owned(),
            json!({
                "status": verdict.status, "message": verdict.message,
                "action": verdict.action, "checked_at": checked_at,
            }),
        );
    }
    json!({
        "host_id": host.id,
        "hostname": host.profile.hostname,
        "platform": host.profile.platform,
        "online": host.online,
        "last_seen": entry.pulse.last_seen,
        "location": or_empty::text(host.profile.location.as_ref()),
        "device_type": or_empty::text(host.profile.device_type.as_ref()),
        "theme_color": or_empty::text(host.profile.theme_color.as_ref()),
        "generation": facts.checkout,
        "lock_hash": facts.lock.as_ref().and_then(lock),
        "system": facts.system,
        "agent_version": facts.agent.version,
        "agent_outdated": host.agent_outdated,
        "pending_command": host.command.as_ref().map(pending),
        "busy_with": host.busy_with,
        "waiting_commands": host.waiting.iter().map(pending).collect::<Vec<_>>(),
        "metrics": entry.pulse.metrics,
        "update_status": statuses,
        "missing_commits": missing(host),
        "reboot_needed": facts.system.reboot_needed,
        "tests": {
            "enabled": facts.tests_enabled, "auto_run": host.profile.tests_auto_run,
            "auto_rollback": host.profile.overrides.auto_rollback,
        },
        "generation_drift": host.drift,
        "pending_pr": host.pending_pr,
    })
}

/// The newest of the commits that the host does not have, if it is behind.
fn missing(host: &HostSnapshot) -> Vec<Value> {
    host.missing().iter().map(|m| json!({ "commit": m.commit, "subject": m.subject })).collect()
}

fn pending(command: &Command) -> Value {
    json!({
        "command_id": command.id, "op": command.op, "state": command.state,
        "since": command.sent_at.unwrap_or(command.created_at), "progress": command.progress,
    })
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
