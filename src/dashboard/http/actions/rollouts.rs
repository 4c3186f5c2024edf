//! Rollouts: started, and changed.

use super::super::error::{HttpError, said_back};
use super::super::extract::{Changer, Reader, host_id};
use super::maintenance::regardless_of;
use super::tags::tag_of;
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::store;
use crate::domain::closure_diff::{self, Alike};
use crate::domain::command::{Command, State};
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::refusal::RefusalCode;
use crate::domain::rollout::{
    OnFailure, Progress, Rollout, RolloutId, SOAK_AT_MOST, SWITCH_AT_ONCE, UPDATE, Wave,
};
use serde::Deserialize;

/// What a rollout is started with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dashboard::http) struct NewRollout {
    /// `update`, or one operation.
    pub(in crate::dashboard::http) op: String,
    /// Which hosts; none if `all` is set.
    #[serde(default)]
    pub(in crate::dashboard::http) hosts: Vec<String>,
    /// The hosts that have one of these tags, beside those that are named.
    #[serde(default)]
    pub(in crate::dashboard::http) tags: Vec<String>,
    /// All hosts there are.
    #[serde(default)]
    pub(in crate::dashboard::http) all: bool,
    /// How many hosts may be in a step that changes what runs, at once.
    pub(in crate::dashboard::http) at_once: Option<u32>,
    /// One host goes through all steps before any other begins.
    #[serde(default)]
    pub(in crate::dashboard::http) one_first: bool,
    /// How many hosts begin together: numbers, "10%", and "rest" at the end.
    pub(in crate::dashboard::http) waves: Option<Vec<WaveField>>,
    /// Seconds between a wave that is done and the next one.
    #[serde(default)]
    pub(in crate::dashboard::http) soak: u64,
    /// What holds hosts back and is gone on regardless of: `freeze`, `windows`.
    #[serde(default)]
    pub(in crate::dashboard::http) regardless: Vec<String>,
    /// When so many hosts failed, no further step starts.
    pub(in crate::dashboard::http) stop_after: Option<u32>,
    /// What becomes of the wave then: `halt`, or `roll_back`.
    pub(in crate::dashboard::http) on_failure: Option<String>,
    /// Reboot the hosts that need it, after all other steps.
    #[serde(default)]
    pub(in crate::dashboard::http) reboot: bool,
    /// The one-time code, where something is to reboot and it is set up.
    pub(in crate::dashboard::http) totp: Option<String>,
}

/// The size of a wave, as it is sent.
#[derive(Deserialize)]
#[serde(untagged)]
pub(in crate::dashboard::http) enum WaveField {
    /// So many hosts.
    Number(u32),
    /// Any size in words.
    Text(String),
}

impl WaveField {
    fn read(&self) -> Option<Wave> {
        match self {
            Self::Number(number) => Wave::parse(&number.to_string()),
            Self::Text(text) => Wave::parse(text),
        }
    }
}

/// Waves that take somebody, each of them, and `rest` at the end alone.
fn waves_of(sent: Option<&[WaveField]>, one_first: bool) -> Result<Vec<Wave>, HttpError> {
    let Some(sent) = sent else {
        return Ok(Vec::new());
    };
    let expected = "expected numbers of hosts from 1, shares such as 10%, and at the end rest";
    let bad = || HttpError::bad("waves", expected);
    let waves: Vec<Wave> =
        sent.iter().map(|one| one.read().ok_or_else(bad)).collect::<Result<_, _>>()?;
    let rest = waves.iter().position(|wave| *wave == Wave::Rest);
    if waves.is_empty() || rest.is_some_and(|at| at + 1 < waves.len()) {
        return Err(bad());
    }
    if one_first {
        return Err(HttpError::bad("waves", "expected without `one_first`"));
    }
    Ok(waves)
}

/// Seconds, of a week at most, and only where one wave comes after another.
fn soak_of(sent: u64, has_waves: bool) -> Result<u64, HttpError> {
    let most = SOAK_AT_MOST.as_secs();
    if sent > 0 && !has_waves {
        let expected =
            "expected with `waves` or `one_first`: without them no wave comes after another";
        return Err(HttpError::bad("soak", expected));
    }
    if sent > most {
        return Err(HttpError::bad("soak", format!("expected at most {most} seconds")));
    }
    Ok(sent)
}

/// What becomes of the wave when too many failed.
fn on_failure_of(sent: Option<&str>, steps: &[Operation]) -> Result<OnFailure, HttpError> {
    let on_failure = sent.map_or(Some(OnFailure::Halt), OnFailure::parse);
    let on_failure =
        on_failure.ok_or_else(|| HttpError::bad("on_failure", "expected halt or roll_back"))?;
    let switches = |op: &Operation| op.rules().deploys && *op != Operation::Rollback;
    if on_failure == OnFailure::RollBack && !steps.iter().any(switches) {
        let expected = "expected halt: this brings nothing that could be rolled back";
        return Err(HttpError::bad("on_failure", expected));
    }
    Ok(on_failure)
}

/// The steps with a reboot at the end, where that was asked for. No boot has a way back: only hosts
/// that somebody named are rebooted (spec: guard, "Needs a reboot").
async fn with_reboot(
    changer: &Changer,
    mut steps: Vec<Operation>,
    asked: &NewRollout,
) -> Result<Vec<Operation>, HttpError> {
    if !asked.reboot && !steps.contains(&Operation::Reboot) {
        return Ok(steps);
    }
    let field = if asked.reboot { "reboot" } else { "op" };
    if asked.hosts.is_empty() || !asked.tags.is_empty() {
        let expected = "expected `hosts` by name: a boot has no way back";
        return Err(HttpError::bad(field, expected));
    }
    if asked.reboot {
        if !steps.iter().any(|op| op.rules().deploys) {
            let expected = "expected with an operation that changes what runs";
            return Err(HttpError::bad(field, expected));
        }
        steps.push(Operation::Reboot);
    }
    super::confirm(changer, Operation::Reboot, asked.totp.as_deref()).await?;
    Ok(steps)
}

/// What a change of a rollout is about.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::dashboard::http) struct ChangeBody {
    /// `leave-out`: the host.
    host: Option<String>,
    /// `retry`: the one-time code, where something is to reboot and it is set up.
    totp: Option<String>,
    /// `retry`: what holds hosts back and is gone on regardless of: `freeze`, `windows`.
    regardless: Vec<String>,
}

impl ChangeBody {
    /// What a retry is asked with.
    pub(in crate::dashboard::http) fn of_retry(
        totp: Option<String>,
        regardless: Vec<String>,
    ) -> Self {
        Self { host: None, totp, regardless }
    }

    fn read(self, what: &str) -> Result<RolloutChange, HttpError> {
        match what {
            "cancel" => Ok(RolloutChange::Cancel),
            "dismiss" => Ok(RolloutChange::Dismiss),
            "pause" => Ok(RolloutChange::Pause),
            "resume" => Ok(RolloutChange::Resume),
            "promote" => Ok(RolloutChange::Promote),
            "leave-out" => {
                let name = self.host.unwrap_or_default();
                if name.is_empty() {
                    return Err(HttpError::bad("host", "expected the host that is left out"));
                }
                host_id(&name).map(RolloutChange::LeaveOut)
            }
            _ => Err(HttpError::not_found()),
        }
    }
}

/// The steps behind a name: `update`, or one operation that may be asked of several hosts.
pub(in crate::dashboard::http) fn steps_of(name: &str) -> Result<Vec<Operation>, HttpError> {
    if name == "update" {
        return Ok(UPDATE.to_vec());
    }
    Operation::parse(name).map(|op| vec![op]).ok_or_else(|| {
        let (name, known) = (said_back(name), Operation::ALL.map(Operation::name).join(", "));
        HttpError::bad("op", format!("got {name:?}; expected update, {known}"))
    })
}

/// So many of a host's last commands are looked at for its dry run.
const LOOKED_AT: u32 = 50;

/// What would change on the hosts of a rollout of dry runs, as far as these are done.
pub(in crate::dashboard::http) async fn plans_of(
    reader: &Reader,
    id: RolloutId,
) -> Result<Vec<Alike>, HttpError> {
    let read = reader.searched(move |conn| {
        let Some(rollout) = store::rollouts::get(conn, id)? else {
            return Ok(None);
        };
        let mut told = Vec::new();
        for (host, progress) in &rollout.hosts {
            if !matches!(progress, Progress::Done { .. }) {
                continue;
            }
            let history = store::commands::history(conn, host, LOOKED_AT, None)?;
            let is_of_it = |command: &Command| {
                command.op == Operation::DryRun
                    && command.state == State::Succeeded
                    && command.args.commit.is_none()
                    && command.requested_by == rollout.requested_by
                    && command.created_at >= rollout.created_at
                    && rollout.finished_at.is_none_or(|end| command.created_at <= end)
            };
            let changes = match history.iter().find(|command| is_of_it(command)) {
                Some(command) => store::output::changes(conn, command.id)?,
                None => None,
            };
            told.push((host.clone(), changes));
        }
        let has_dry_runs = rollout.steps.contains(&Operation::DryRun);
        Ok(Some((has_dry_runs, closure_diff::alike(told))))
    });
    match read.await? {
        None => Err(HttpError::no_such_rollout(&id.to_string())),
        Some((false, _)) => {
            let text = "It has no dry runs: nothing says what would change.";
            Err(HttpError::new(RefusalCode::NothingToDo, text))
        }
        Some((true, groups)) => Ok(groups),
    }
}

/// A rollout of which hosts failed, and these.
pub(in crate::dashboard::http) async fn failed_of(
    reader: &Reader,
    id: RolloutId,
) -> Result<(Rollout, Vec<HostId>), HttpError> {
    let found = reader.stored(move |conn| store::rollouts::get(conn, id)).await?;
    let Some(rollout) = found else {
        return Err(HttpError::no_such_rollout(&id.to_string()));
    };
    let failed = |(host, progress): (&HostId, &Progress)| {
        matches!(progress, Progress::Failed { .. }).then(|| host.clone())
    };
    let hosts: Vec<HostId> = rollout.hosts.iter().filter_map(failed).collect();
    if hosts.is_empty() {
        let text = "No host of it failed.";
        return Err(HttpError::new(RefusalCode::NothingToDo, text));
    }
    Ok((rollout, hosts))
}

/// Starts the same once more, of the hosts that failed.
pub(in crate::dashboard::http) async fn retry_rollout(
    changer: &Changer,
    id: RolloutId,
    body: ChangeBody,
) -> Result<Rollout, HttpError> {
    let regardless = regardless_of(&body.regardless)?;
    let (before, hosts) = failed_of(changer, id).await?;
    if before.steps.contains(&Operation::Reboot) {
        super::confirm(changer, Operation::Reboot, body.totp.as_deref()).await?;
    }
    let start = StartRollout {
        steps: before.steps,
        hosts: Some(hosts),
        tags: Vec::new(),
        at_once: before.at_once,
        one_first: before.one_first,
        waves: Vec::new(),
        soak: if before.one_first { before.soak } else { 0 },
        regardless,
        stop_after: before.stop_after,
        on_failure: before.way_back.on_failure,
        by: changer.asker(),
    };
    Ok(changer.rollouts().send(start).await??)
}

/// Starts a rollout.
pub(in crate::dashboard::http) async fn start_rollout(
    changer: &Changer,
    asked: NewRollout,
) -> Result<Rollout, HttpError> {
    let steps = steps_of(&asked.op)?;
    let NewRollout { ref hosts, ref tags, all, at_once, one_first, ref waves, soak, .. } = asked;
    let stop_after = asked.stop_after;
    let regardless = regardless_of(&asked.regardless)?;
    if all != (hosts.is_empty() && tags.is_empty()) {
        return Err(HttpError::bad("hosts", "expected a list of hosts, or `tags`, or `all`: true"));
    }
    let tags = tags.iter().map(|tag| tag_of("tags", tag)).collect::<Result<_, _>>()?;
    let in_waves = waves_of(waves.as_deref(), one_first)?;
    let named = hosts.iter().map(|name| host_id(name)).collect::<Result<Vec<_>, _>>()?;
    let soak = soak_of(soak, one_first || !in_waves.is_empty())?;
    let on_failure = on_failure_of(asked.on_failure.as_deref(), &steps)?;
    let steps = with_reboot(changer, steps, &asked).await?;
    let counts = !in_waves.is_empty() || on_failure == OnFailure::RollBack;
    let start = StartRollout {
        steps,
        hosts: if all { None } else { Some(named) },
        tags,
        at_once: at_once.unwrap_or(SWITCH_AT_ONCE),
        one_first,
        // Waves are there to stop in between.
        stop_after: stop_after.or_else(|| counts.then_some(1)),
        on_failure,
        soak,
        waves: in_waves,
        regardless,
        by: changer.asker(),
    };
    Ok(changer.rollouts().send(start).await??)
}

/// Cancels, dismisses, pauses or resumes a rollout, begins its next wave, or leaves a host out.
pub(in crate::dashboard::http) async fn change_rollout(
    changer: &Changer,
    id: RolloutId,
    what: &str,
    body: ChangeBody,
) -> Result<Rollout, HttpError> {
    let change = body.read(what)?;
    // Rollouts that are over are known to SQLite alone: their actor cannot tell them from none.
    let found = changer.stored(move |conn| store::rollouts::get(conn, id)).await?;
    if found.is_none() {
        return Err(HttpError::no_such_rollout(&id.to_string()));
    }
    Ok(changer.rollouts().send(ChangeRollout { id, change, by: changer.asker() }).await??)
}
