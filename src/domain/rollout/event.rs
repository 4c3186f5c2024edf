//! What can happen to a rollout, and what follows.

use crate::domain::audit::Author;
use crate::domain::command::State;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::Operation;
use crate::domain::refusal::Refusal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What can happen to a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was just made, or time has passed. Of the hosts that were kept from their step, these
    /// might take it now.
    Tick {
        /// Which.
        ready: BTreeSet<HostId>,
    },
    /// These hosts are kept from their next step by a freeze or their windows, and why; no others.
    HeldBack(BTreeMap<HostId, String>),
    /// The host took a command that was asked for. It may be another one that does the same.
    Accepted {
        /// Which host.
        host: HostId,
        /// The id that was asked with.
        asked: CommandId,
        /// The command that counts.
        command: CommandId,
    },
    /// The host did not take a command that was asked for.
    Refused {
        /// Which host.
        host: HostId,
        /// The id that was asked with.
        asked: CommandId,
        /// Why.
        refusal: Refusal,
    },
    /// A command is over.
    Ended {
        /// Which host.
        host: HostId,
        /// Which command.
        command: CommandId,
        /// How.
        state: State,
        /// In words, where there are some. Hostile text.
        reason: Option<String>,
        /// What it brought starts at the next boot.
        boots: bool,
    },
    /// A host has nothing to take back.
    NothingToTakeBack {
        /// Which host.
        host: HostId,
        /// The id that it was to be asked with.
        asked: CommandId,
        /// Why.
        why: String,
    },
    /// A user wants no further step to start.
    Cancel(Author),
    /// A user wants no further step to start for now.
    Pause(Author),
    /// A user wants it to go on.
    Resume(Author),
    /// A user wants the next wave to begin now.
    Promote(Author),
    /// A user wants a host that waits to be left out.
    LeaveOut {
        /// Which.
        host: HostId,
        /// Who.
        by: Author,
    },
    /// A host was removed.
    Removed(HostId),
    /// A user has seen how it ended.
    Dismiss,
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Store the rollout as it is now.
    Save,
    /// Ask a host for a command, once what came before is stored.
    Ask {
        /// Which host.
        host: HostId,
        /// With this id.
        id: CommandId,
        /// What.
        op: Operation,
    },
    /// Ask a host to go back from what a command of the rollout brought, once what came before is
    /// stored.
    TakeBack {
        /// Which host.
        host: HostId,
        /// With this id.
        id: CommandId,
        /// What brought it.
        brought: CommandId,
    },
    /// Write to the audit log.
    Record {
        /// What happened.
        message: String,
        /// Who did it, if a user did.
        by: Option<Author>,
    },
}

/// How many hosts of a rollout are how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// All steps succeeded.
    pub done: usize,
    /// A step did not succeed.
    pub failed: usize,
    /// A step runs.
    pub running: usize,
    /// Its next step has not started.
    pub waiting: usize,
    /// The rollout was halted before it was through.
    pub skipped: usize,
    /// It never took part.
    pub left_out: usize,
    /// It went back, because too many of its wave failed; it is counted above too.
    pub rolled_back: usize,
}
