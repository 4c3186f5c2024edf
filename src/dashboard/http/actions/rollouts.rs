//! Rollouts: started, and changed.

use super::super::error::{HttpError, said_back};
use super::super::extract::{Changer, host_id};
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::store;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Rollout, RolloutId, SWITCH_AT_ONCE, UPDATE};
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
    /// All hosts there are.
    #[serde(default)]
    pub(in crate::dashboard::http) all: bool,
    /// How many hosts may be in a step that changes what runs, at once.
    pub(in crate::dashboard::http) at_once: Option<u32>,
    /// When so many hosts failed, no further step starts.
    pub(in crate::dashboard::http) stop_after: Option<u32>,
}

/// The steps behind a name: `update`, or one operation that needs no confirmation.
pub(in crate::dashboard::http) fn steps_of(name: &str) -> Result<Vec<Operation>, HttpError> {
    if name == "update" {
        return Ok(UPDATE.to_vec());
    }
    let known = Operation::ALL.into_iter().filter(|op| !op.rules().needs_confirmation);
    match Operation::parse(name) {
        Some(op) if !op.rules().needs_confirmation => Ok(vec![op]),
        Some(_) | None => {
            let known: Vec<&str> = known.map(Operation::name).collect();
            let (name, known) = (said_back(name), known.join(", "));
            Err(HttpError::bad("op", format!("got {name:?}; expected update, {known}")))
        }
    }
}

/// Starts a rollout.
pub(in crate::dashboard::http) async fn start_rollout(
    changer: &Changer,
    asked: NewRollout,
) -> Result<Rollout, HttpError> {
    let NewRollout { op, hosts, all, at_once, stop_after } = asked;
    let steps = steps_of(&op)?;
    if all != hosts.is_empty() {
        return Err(HttpError::bad("hosts", "expected a list of hosts, or `all`: true"));
    }
    let named = hosts.iter().map(|name| host_id(name)).collect::<Result<Vec<_>, _>>()?;
    let start = StartRollout {
        steps,
        hosts: if all { None } else { Some(named) },
        at_once: at_once.unwrap_or(SWITCH_AT_ONCE),
        stop_after,
        by: changer.author(),
    };
    Ok(changer.rollouts().send(start).await??)
}

/// Cancels or dismisses a rollout.
pub(in crate::dashboard::http) async fn change_rollout(
    changer: &Changer,
    id: RolloutId,
    what: &str,
) -> Result<Rollout, HttpError> {
    let change = RolloutChange::parse(what).ok_or_else(HttpError::not_found)?;
    // Rollouts that are over are known to SQLite alone: their actor cannot tell them from none.
    let found = changer.stored(move |conn| store::rollouts::get(conn, id)).await?;
    if found.is_none() {
        return Err(HttpError::no_such_rollout(&id.to_string()));
    }
    Ok(changer.rollouts().send(ChangeRollout { id, change, by: changer.author() }).await??)
}
