//! The fleet as everybody reads it.

use crate::domain::desired::{Desired, MergedPr};
use crate::domain::group::Group;
use crate::domain::ids::HostId;
use crate::domain::maintenance::Maintenance;
use crate::domain::rollout::Rollout;
use crate::domain::snapshot::{HostSnapshot, Pulse};
use crate::domain::tag::Tag;
use crate::domain::timestamp::Timestamp;
use crate::domain::why::Why;
use maud::Markup;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// One host as it is now, for reading.
#[derive(Debug, Clone)]
pub(crate) struct HostEntry {
    /// Everything that a render of the row needs.
    pub snapshot: Arc<HostSnapshot>,
    /// What changes with every heartbeat.
    pub pulse: Pulse,
    /// When the remote that it is compared with was last read.
    pub compared_at: Option<Timestamp>,
    /// The row of this snapshot, before and after its pulse, once somebody has looked: a page
    /// renders only what has changed since the one before.
    pub rendered: Arc<OnceLock<[Markup; 2]>>,
    /// The group it is in, and is counted in.
    pub group: Group,
    /// Its row's sentence.
    pub why: Arc<Why>,
}

impl HostEntry {
    /// A host that nobody has looked at since it changed.
    pub(crate) fn new(snapshot: Arc<HostSnapshot>, pulse: Pulse) -> Self {
        let seen = pulse.last_seen.is_some();
        let group = Group::of(&snapshot.row, snapshot.online, seen);
        let why = Arc::new(snapshot.why(pulse.last_seen));
        Self { snapshot, pulse, compared_at: None, rendered: Arc::default(), group, why }
    }
}

/// The whole fleet as it is now, for reading.
#[derive(Debug, Clone)]
pub(crate) struct FleetView {
    /// Grows by one with every change.
    pub version: u64,
    /// All hosts.
    pub hosts: BTreeMap<HostId, HostEntry>,
    /// The remotes, the default first.
    pub remotes: Remotes,
    /// Rollouts that run, or whose end nobody has seen, oldest first.
    pub rollouts: Arc<Vec<Rollout>>,
    /// The freeze while it lasts, and the windows.
    pub maintenance: Arc<Maintenance>,
    /// When each source was last read.
    pub read_at: BTreeMap<Arc<str>, Timestamp>,
}

impl FleetView {
    /// The hosts that have this tag.
    pub(crate) fn tagged<'a>(&'a self, tag: &'a Tag) -> impl Iterator<Item = &'a HostId> {
        let has = |(_, entry): &(&HostId, &HostEntry)| entry.snapshot.profile.tags.contains(tag);
        self.hosts.iter().filter(has).map(|(id, _)| id)
    }
}

/// What is known of each source, the default first.
pub(crate) type Remotes = Arc<Vec<SourceState>>;

/// What is known of one source.
#[derive(Debug, Clone)]
pub(crate) struct SourceState {
    /// Its name.
    pub name: Arc<str>,
    /// What it says.
    pub desired: Arc<Desired>,
    /// The pull request that was merged from here last.
    pub merged: Option<MergedPr>,
}
