//! A host goes back from what a rollout brought to it.

use super::{Happened, Rollouts};
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::store::{self, StoreError};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::rollout::{Event, RolloutId, way_back};
use actix::prelude::*;

/// So many of the last deploys of a host are looked at.
const LOOKED_AT: u32 = 20;

impl Rollouts {
    /// Finds out which generation ran before, and asks the host to go back to that one: the one
    /// before the newest need not be it.
    pub(super) fn take_back(
        &mut self,
        rollout: RolloutId,
        host: HostId,
        id: CommandId,
        brought: CommandId,
        ctx: &mut Context<Self>,
    ) {
        self.asking.insert(id);
        let view = self.broadcaster.send(ReadFleet);
        let of = host.clone();
        let read = self.store.read(move |conn| store::deployments::list(conn, &of, LOOKED_AT));
        let both = async move { (view.await, read.await) }.into_actor(self);
        ctx.spawn(both.map(move |(view, read), act, ctx| {
            act.asking.remove(&id);
            let unavailable = |why: String| {
                let refusal = Refusal::new(RefusalCode::Unavailable, why);
                Event::Refused { host: host.clone(), asked: id, refusal }
            };
            let event = match (view, read) {
                (Ok(view), Ok(deploys)) => match view.hosts.get(&host) {
                    None => Event::Removed(host.clone()),
                    Some(entry) => match way_back(&deploys, &entry.snapshot.generations, brought) {
                        Ok(generation) => {
                            let reason = Some("its rollout failed".to_owned());
                            let generation = Some(generation);
                            let args = Args { generation, reason, ..Args::default() };
                            act.request(rollout, host, id, Operation::Rollback, args, ctx);
                            return;
                        }
                        Err(why) => Event::NothingToTakeBack { host: host.clone(), asked: id, why },
                    },
                },
                (Ok(_), Err(error)) => unavailable(StoreError::to_string(&error)),
                (Err(_), _) => unavailable("The dashboard is shutting down.".to_owned()),
            };
            ctx.notify(Happened { rollout, event });
        }));
    }
}
