//! A rollout that is about to begin: who takes part, and in which waves.

use super::maintenance::held_back;
use super::requests::StartRollout;
use crate::dashboard::live::model::FleetView;
use crate::dashboard::request_error::RequestError;
use crate::domain::ids::HostId;
use crate::domain::maintenance::{Maintenance, Restraint};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::rollout::{
    Progress, Rollout, RolloutId, WayBack, followed_by_tests, plan, sizes,
};
use crate::domain::tag::Tag;
use crate::domain::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn invalid(field: &'static str, expected: &str) -> RequestError {
    RequestError::Invalid { field, expected: expected.to_owned() }
}

/// The hosts that were named, and those with one of the tags, each once. A tag that no host has is
/// a mistake.
fn chosen(named: Vec<HostId>, tags: &[Tag], view: &FleetView) -> Result<Vec<HostId>, RequestError> {
    let mut wanted: BTreeSet<HostId> = named.into_iter().collect();
    for tag in tags {
        let hosts: Vec<HostId> = view.tagged(tag).cloned().collect();
        if hosts.is_empty() {
            let expected = format!("expected tags that hosts have; none has `{tag}`");
            return Err(invalid("tags", &expected));
        }
        wanted.extend(hosts);
    }
    Ok(wanted.into_iter().collect())
}

/// Who takes part is decided here, from the fleet as it is now.
pub(super) fn make(
    msg: StartRollout,
    view: &FleetView,
    maintenance: &Maintenance,
    now: Timestamp,
) -> Result<Rollout, RequestError> {
    let StartRollout {
        steps,
        hosts,
        tags,
        at_once,
        one_first,
        waves,
        soak,
        stop_after,
        on_failure,
        regardless,
        by,
    } = msg;
    if at_once == 0 {
        return Err(invalid("at_once", "expected 1 or more"));
    }
    if stop_after == Some(0) {
        return Err(invalid("stop_after", "expected 1 or more"));
    }
    let wanted: Vec<HostId> = match hosts {
        Some(hosts) => chosen(hosts, &tags, view)?,
        None => view.hosts.keys().cloned().collect(),
    };
    if let Some(unknown) = wanted.iter().find(|id| !view.hosts.contains_key(id)) {
        return Err(RequestError::NoSuchHost(unknown.to_string()));
    }
    let chosen = wanted.iter().filter_map(|id| view.hosts.get(id)).map(|entry| &*entry.snapshot);
    let in_waves = one_first || !waves.is_empty();
    let steps = if in_waves { followed_by_tests(steps) } else { steps };
    let plan = plan(&steps, chosen);
    if plan.hosts.is_empty() {
        let told = plan.exclusions().join(" ");
        let told = if told.is_empty() { "No host was chosen.".to_owned() } else { told };
        let message = format!("There is nothing to do. {told}");
        return Err(RequestError::Refused(Refusal::new(RefusalCode::NothingToDo, message)));
    }
    let waits = Progress::next(0);
    let waves = if waves.is_empty() { Vec::new() } else { sizes(&waves, plan.hosts.len()) };
    let mut progress: BTreeMap<HostId, Progress> =
        plan.hosts.into_iter().map(|id| (id, waits.clone())).collect();
    for (why, hosts) in plan.left_out {
        let left_out = Progress::LeftOut { why };
        progress.extend(hosts.into_iter().map(|id| (id, left_out.clone())));
    }
    let rollout = Rollout {
        id: RolloutId(uuid::Uuid::now_v7()),
        steps,
        at_once,
        one_first,
        waves,
        soak,
        wave: 0,
        began: BTreeMap::new(),
        soaks: None,
        paused: None,
        regardless,
        of_freeze: None,
        held_back: BTreeMap::new(),
        held_since: BTreeMap::new(),
        stop_after,
        requested_by: by.author,
        created_at: now,
        halted: None,
        finished_at: None,
        dismissed: false,
        hosts: progress,
        boots: BTreeSet::new(),
        way_back: WayBack { on_failure, ..WayBack::default() },
    };
    kept_to(rollout, view, maintenance, now)
}

/// The rollout, with those who are held back; refused where the fleet is frozen and it minds that.
fn kept_to(
    mut rollout: Rollout,
    view: &FleetView,
    maintenance: &Maintenance,
    now: Timestamp,
) -> Result<Rollout, RequestError> {
    let freeze = maintenance.freeze_at(now);
    rollout.begins_in(freeze);
    if let Some(freeze) = freeze
        && rollout.begins_with_a_change()
        && !rollout.regardless.contains(&Restraint::Freeze)
    {
        let why = format!("The fleet is {}. Go on regardless, or wait.", freeze.told());
        return Err(RequestError::Refused(Refusal::new(RefusalCode::Frozen, why)));
    }
    let hosts = rollout.hosts.keys().filter_map(|id| view.hosts.get(id));
    let hosts = hosts.map(|entry| &*entry.snapshot);
    rollout.held_back = held_back(maintenance, &rollout, hosts, now);
    Ok(rollout)
}

/// ", regardless of the freeze"; empty where it minds all there is.
pub(super) fn regardless_of(rollout: &Rollout) -> String {
    let all: Vec<&str> = rollout.regardless.iter().map(|one| one.label()).collect();
    if all.is_empty() { String::new() } else { format!(", regardless of {}", all.join(" and ")) }
}
