//! What the broadcaster is told, and asked.

use super::model::{FleetView, HostEntry, Remotes};
use crate::domain::command::Command;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::maintenance::Maintenance;
use crate::domain::rollout::Rollout;
use crate::domain::snapshot::{HostSnapshot, Pulse};
use crate::domain::timestamp::Timestamp;
use crate::protocol::Line;
use actix::{Message, Recipient};
use std::sync::Arc;

/// Answered at once, by an actor that does its work.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ping;

/// From the Rollouts: how they are, and what holds them back.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RolloutsChanged {
    /// Those that run, and those whose end nobody has seen, oldest first.
    pub rollouts: Arc<Vec<Rollout>>,
    /// The freeze while it lasts, and the windows.
    pub maintenance: Arc<Maintenance>,
}

/// Reads the whole fleet.
#[derive(Message)]
#[rtype(result = "Arc<FleetView>")]
pub(crate) struct ReadFleet;

/// Reads one host.
#[derive(Message)]
#[rtype(result = "Option<HostEntry>")]
pub(crate) struct ReadHost(pub HostId);

/// From a HostActor: its host looks like this now. Sent after every change of the snapshot, once
/// for each fact that changed it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HostChanged {
    /// What everybody reads.
    pub snapshot: Arc<HostSnapshot>,
    /// What changes with every heartbeat.
    pub pulse: Pulse,
    /// Why it changed.
    pub cause: Cause,
}

/// Why a host looks different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its agent is gone.
    WentOffline,
    /// Anything else.
    Changed,
}

/// From a HostActor: a frame came. Sent for every heartbeat.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HostPulse(pub HostId, pub Pulse);

/// From the FleetActor: the host was removed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HostRemoved(pub HostId);

/// From the FleetActor: the remotes look like this now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DesiredChanged(pub Remotes);

/// From a HostActor: a command was accepted for its host; its log begins.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CommandQueued(pub Arc<Command>);

/// From a HostActor: these lines of output are stored now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CommandOutput {
    /// Whose.
    pub host: HostId,
    /// Which command.
    pub command_id: CommandId,
    /// Number of the first line.
    pub first_seq: u64,
    /// The lines.
    pub lines: Arc<[Line]>,
}

/// From a HostActor: a command reached a terminal state.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub(crate) struct CommandComplete(pub Arc<Command>);

/// A remote was read, with or without news.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub(crate) struct WasRead {
    /// The source's name.
    pub source: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// Somebody in the house wants to hear of every command that is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Subscribe(pub Recipient<CommandComplete>);
