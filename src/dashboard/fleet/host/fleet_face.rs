//! What a host tells the fleet. The fleet knows its hosts; a host knows only whom to tell.

use super::HostActor;
use crate::domain::ids::{Commit, HostId};
use actix::dev::ToEnvelope;
use actix::prelude::*;

/// Where a host is, and what it follows.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HostIsAt {
    /// Whose.
    pub host: HostId,
    /// The commit that runs, where that is known.
    pub commit: Option<Commit>,
    /// Its config repository, as its agent says.
    pub repo_url: String,
    /// Its branch.
    pub branch: Option<String>,
}

/// A host waits for its remote's newest word.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FetchSoon(pub HostId);

/// A host wants to know how its commit relates to the remote's head.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkOutLineage {
    /// Who wants to know.
    pub asked_by: Addr<HostActor>,
    /// Its id.
    pub id: HostId,
    /// Its commit.
    pub host: Commit,
    /// The remote's head.
    pub head: Commit,
}

/// The fleet, as a host sees it.
#[derive(Clone)]
pub(crate) struct FleetFace {
    positions: Recipient<HostIsAt>,
    fetches: Recipient<FetchSoon>,
    lineage: Recipient<WorkOutLineage>,
}

impl FleetFace {
    /// The face of an actor that hears all three.
    pub(crate) fn new<A>(fleet: &Addr<A>) -> Self
    where
        A: Actor + Handler<HostIsAt> + Handler<FetchSoon> + Handler<WorkOutLineage>,
        A::Context:
            ToEnvelope<A, HostIsAt> + ToEnvelope<A, FetchSoon> + ToEnvelope<A, WorkOutLineage>,
    {
        Self {
            positions: fleet.clone().recipient(),
            fetches: fleet.clone().recipient(),
            lineage: fleet.clone().recipient(),
        }
    }

    /// False if there was no room for it.
    pub(super) fn is_at(&self, position: HostIsAt) -> bool {
        self.positions.try_send(position).is_ok()
    }

    /// Where there is no room for it, the remote is read when it would have been anyway.
    pub(super) fn fetch_soon(&self, host: HostId) {
        if self.fetches.try_send(FetchSoon(host)).is_err() {
            log::debug!("the fleet is too busy to read a remote at once");
        }
    }

    /// Gives the question back if there was no room for it.
    pub(super) fn work_out(&self, lineage: WorkOutLineage) -> Option<WorkOutLineage> {
        match self.lineage.try_send(lineage) {
            Err(SendError::Full(lineage)) => Some(lineage),
            Ok(()) | Err(SendError::Closed(_)) => None,
        }
    }
}
