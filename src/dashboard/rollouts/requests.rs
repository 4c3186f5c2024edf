//! What users ask of rollouts.

use crate::dashboard::request_error::RequestError;
use crate::domain::audit::Author;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Rollout, RolloutId};
use actix::Message;

/// Starts a rollout. Answers once it is stored, and hosts are being asked.
#[derive(Message)]
#[rtype(result = "Result<Rollout, RequestError>")]
pub(crate) struct StartRollout {
    /// What each host does, in this order.
    pub steps: Vec<Operation>,
    /// Which hosts; `None`: all there are.
    pub hosts: Option<Vec<HostId>>,
    /// How many hosts may be in a step that changes what runs, at once.
    pub at_once: u32,
    /// When so many hosts failed, no further step starts.
    pub stop_after: Option<u32>,
    /// Who asks.
    pub by: Author,
}

/// Changes a rollout.
#[derive(Message)]
#[rtype(result = "Result<Rollout, RequestError>")]
pub(crate) struct ChangeRollout {
    /// Which.
    pub id: RolloutId,
    /// How.
    pub change: RolloutChange,
    /// Who asks.
    pub by: Author,
}

/// What a user can do about a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RolloutChange {
    /// Running steps end, no more start.
    Cancel,
    /// It is over, and was seen.
    Dismiss,
}

impl RolloutChange {
    /// Reads the name in the API.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "cancel" => Some(Self::Cancel),
            "dismiss" => Some(Self::Dismiss),
            _ => None,
        }
    }
}
