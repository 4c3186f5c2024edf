//! What users ask of rollouts.

use crate::dashboard::request_error::RequestError;
use crate::domain::audit::Asker;
use crate::domain::ids::HostId;
use crate::domain::maintenance::Regardless;
use crate::domain::operation::Operation;
use crate::domain::rollout::{OnFailure, Rollout, RolloutId, Wave};
use crate::domain::tag::Tag;
use actix::Message;

/// Starts a rollout. Answers once it is stored, and hosts are being asked.
#[derive(Message)]
#[rtype(result = "Result<Rollout, RequestError>")]
pub(crate) struct StartRollout {
    /// What each host does, in this order.
    pub steps: Vec<Operation>,
    /// Which hosts, beside those with one of the tags; `None`: all there are.
    pub hosts: Option<Vec<HostId>>,
    /// The hosts that have one of these.
    pub tags: Vec<Tag>,
    /// How many hosts may be in a step that changes what runs, at once.
    pub at_once: u32,
    /// One host goes through all steps before any other begins. If it fails, no other does.
    pub one_first: bool,
    /// How large the waves are; empty: all in one, or as `one_first` says.
    pub waves: Vec<Wave>,
    /// Seconds between a wave that is done and the next one.
    pub soak: u64,
    /// What holds hosts back and is gone on regardless of.
    pub regardless: Regardless,
    /// When so many hosts failed, no further step starts.
    pub stop_after: Option<u32>,
    /// What becomes of a wave then.
    pub on_failure: OnFailure,
    /// Who asks.
    pub by: Asker,
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
    pub by: Asker,
}

/// What a user can do about a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RolloutChange {
    /// Running steps end, no more start.
    Cancel,
    /// Running steps end, no more start until it is resumed.
    Pause,
    /// It goes on.
    Resume,
    /// The next wave begins now.
    Promote,
    /// A host that waits takes part no more.
    LeaveOut(HostId),
    /// It is over, and was seen.
    Dismiss,
}
