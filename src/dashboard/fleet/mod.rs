//! The fleet: which hosts there are, and who speaks for each.
//!
//! It finds a host's actor, makes new ones, removes them, and passes on what concerns all
//! of them. It holds no host's state.

mod enrolment;
mod following;
pub(crate) mod host;
pub(crate) mod requests;
mod restore;
#[cfg(test)]
mod tests;

pub(crate) use enrolment::{AgentJoins, BadHostname};
pub(crate) use following::UseSources;
pub(crate) use restore::StoredFleet;

use crate::dashboard::clock::Clock;
use crate::dashboard::fleet::requests::{
    AskHost, ConfigureHost, ExtendCommand, HoldHost, RequestCommand, StopCommand,
};
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::news::{HostRemoved, Ping};
use crate::dashboard::maintenance::Kept;
use crate::dashboard::remotes::Seats;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::{Asker, AuditCategory};
use crate::domain::bounds;
use crate::domain::command::Command;
use crate::domain::desired::{Desired, MergedPr};
use crate::domain::host::{HostEvent, HostState, Restored};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::TimeLimits;
use crate::domain::profile::HostProfile;
use crate::domain::tally::Bucket;
use actix::prelude::*;
use following::Following;
use host::{Ask, Configure, FleetFace, HasStarted, HostActor, News, Surroundings};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often actors are looked at.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// What is told once in a while.
const MINUTE: Duration = Duration::from_secs(60);

/// The actor of the fleet.
pub(crate) struct FleetActor {
    store: Store,
    clock: Clock,
    broadcaster: Broadcast,
    stored: Option<StoredFleet>,
    hosts: BTreeMap<HostId, Addr<HostActor>>,
    following: BTreeMap<HostId, Following>,
    seats: Seats,
    /// The pull request that was last merged from here, by source.
    merged: BTreeMap<String, MergedPr>,
    limits: Arc<TimeLimits>,
    /// What hosts keep to.
    kept: Kept,
    /// Hosts whose queue was full when there was news for them.
    untold: BTreeSet<HostId>,
    /// Drift is worked out anew in a moment.
    drift_is_due: bool,
    /// Hosts that were removed and that readers do not know of yet.
    removed: BTreeSet<HostId>,
    /// Events about names that are none.
    bad_names: Bucket,
    /// Hosts that the shared token adds.
    new_hosts: Bucket,
    /// Events about too many of those.
    too_many_hosts: Bucket,
    /// Names that were removed: refused until somebody adds them again.
    gone: BTreeSet<HostId>,
}

impl FleetActor {
    /// A fleet as it was stored.
    pub(crate) fn new(
        store: Store,
        clock: Clock,
        broadcaster: Broadcast,
        limits: TimeLimits,
        stored: StoredFleet,
    ) -> Self {
        Self {
            store,
            clock,
            broadcaster,
            stored: Some(stored),
            hosts: BTreeMap::new(),
            following: BTreeMap::new(),
            seats: Seats::starting(),
            merged: BTreeMap::new(),
            limits: Arc::new(limits),
            kept: Kept::default(),
            untold: BTreeSet::new(),
            drift_is_due: false,
            removed: BTreeSet::new(),
            bad_names: Bucket::new(bounds::BAD_NAMES, MINUTE),
            new_hosts: Bucket::new(
                bounds::NEW_HOSTS,
                Duration::from_secs(bounds::NEW_HOST_EVERY_S),
            ),
            too_many_hosts: Bucket::new(1, MINUTE),
            gone: BTreeSet::new(),
        }
    }

    /// Hosts keep to this.
    pub(crate) fn keeping_to(mut self, kept: Kept) -> Self {
        self.kept = kept;
        self
    }

    fn default_desired(&self) -> Arc<Desired> {
        let seat = self.seats.get(0);
        seat.map_or_else(|| Arc::new(Desired::NotYetFetched), |seat| Arc::clone(&seat.desired))
    }

    fn start_host(&mut self, state: HostState, ctx: &mut Context<Self>) -> Addr<HostActor> {
        let id = state.id().clone();
        let around = Surroundings {
            store: self.store.clone(),
            clock: self.clock,
            broadcaster: self.broadcaster.clone(),
            fleet: FleetFace::new(&ctx.address()),
            kept: self.kept.clone(),
        };
        let state = state.with_limits(Arc::clone(&self.limits));
        let host = HostActor::new(state, around).start();
        self.hosts.insert(id, host.clone());
        host
    }

    fn new_host(
        &mut self,
        id: HostId,
        profile: HostProfile,
        ctx: &mut Context<Self>,
    ) -> Addr<HostActor> {
        let state = HostState::added(id, profile, self.default_desired());
        self.start_host(state, ctx)
    }

    /// An actor that panicked is gone. Its host is not: it starts again from SQLite, and stays in
    /// the list until it does.
    fn look_after_hosts(&mut self, ctx: &mut Context<Self>) {
        let failed = self.hosts.iter().filter(|(_, host)| !host.connected());
        let failed: Vec<HostId> = failed.map(|(id, _)| id.clone()).collect();
        for id in failed {
            log::error!("{id}: its actor failed; it starts again from what is stored");
            let wanted = id.clone();
            let read = self.store.read(move |conn| StoredFleet::load_one(conn, &wanted));
            ctx.wait(read.into_actor(self).map(move |restored, act, ctx| match restored {
                Ok(Some(restored)) => act.start_again(id, restored, ctx),
                Ok(None) => {
                    log::error!("{id}: it is not stored any more");
                    act.forget(&id);
                }
                Err(error) => log::error!("{id}: not read, tried again in a moment: {error}"),
            }));
        }
    }

    fn start_again(&mut self, id: HostId, restored: Restored, ctx: &mut Context<Self>) {
        let source = self.following.remove(&id).map_or(0, |following| following.source);
        let seat = self.seats.get(source);
        let desired = seat.map_or_else(|| self.default_desired(), |seat| Arc::clone(&seat.desired));
        let state = HostState::restore(restored, desired, self.clock.up());
        self.start_host(state, ctx);
        self.record_failure(id);
    }

    /// The host is gone, for good.
    fn forget(&mut self, id: &HostId) {
        self.hosts.remove(id);
        self.following.remove(id);
        self.untold.remove(id);
        self.say_removed(id.clone());
        self.tell_drift();
    }

    /// Readers learn that a host is gone, also where there is no room for it at once.
    fn say_removed(&mut self, id: HostId) {
        if !self.broadcaster.tell(HostRemoved(id.clone())) {
            self.removed.insert(id);
        }
    }

    /// Tells a host something about the world. Where its queue is full it is told again later, as
    /// things are then.
    fn tell_host(&mut self, id: &HostId, news: News) {
        let Some(host) = self.hosts.get(id) else {
            return;
        };
        if host.try_send(news).is_err() {
            self.untold.insert(id.clone());
        }
    }

    /// Tells again whoever could not be told.
    fn tell_again(&mut self) {
        for id in std::mem::take(&mut self.removed) {
            self.say_removed(id);
        }
        for id in std::mem::take(&mut self.untold) {
            let following = self.following.get(&id);
            let (source, drifts) = following.map_or((0, false), |f| (f.source, f.drifts));
            if let Some(seat) = self.seats.get(source) {
                let desired = Arc::clone(&seat.desired);
                self.tell_host(&id, News::Desired(desired));
            }
            self.tell_host(&id, News::Drift(drifts));
        }
    }

    fn record_failure(&self, id: HostId) {
        let event = store::events::NewEvent {
            at: self.clock.now(),
            host: Some(id),
            category: AuditCategory::Dashboard,
            message: "Its part of the dashboard failed and was started again.".to_owned(),
            by: None,
            from: None,
            result: None,
            command: None,
        };
        self.record(event);
    }

    /// Writes to the audit log. A failure is only logged.
    fn record(&self, event: store::events::NewEvent) {
        let write = self.store.write(move |conn| store::events::append(conn, &event));
        actix_rt::spawn(async move {
            if let Err(error) = write.await {
                log::error!("an event was not stored: {error}");
            }
        });
    }

    fn find(&self, id: &HostId) -> Result<Addr<HostActor>, RequestError> {
        let host = self.hosts.get(id).ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?;
        if !host.connected() {
            let text = "The host's part of the dashboard is being started again. Try again.";
            return Err(RequestError::Unavailable(text));
        }
        Ok(host.clone())
    }
}

impl Actor for FleetActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let now = self.clock.up();
        let desired = self.default_desired();
        if let Some(stored) = self.stored.take() {
            self.merged = stored.merged;
            self.gone = stored.gone;
            for restored in stored.hosts {
                let state = HostState::restore(restored, Arc::clone(&desired), now);
                self.start_host(state, ctx);
            }
        }
        self.tell_remotes();
        ctx.run_interval(LOOK_AFTER_EVERY, |act, ctx| {
            act.tell_again();
            act.look_after_hosts(ctx);
        });
    }
}

// ---- from the house ----

/// Answered when those who read know every host that was stored. Before that a page would show a
/// part of the fleet as if it were all of it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct EveryHostIsShown;

impl Handler<EveryHostIsShown> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: EveryHostIsShown, _: &mut Self::Context) -> Self::Result {
        let started: Vec<_> = self.hosts.values().map(|host| host.send(HasStarted)).collect();
        let broadcaster = self.broadcaster.clone();
        Box::pin(async move {
            // A host whose actor failed meanwhile starts again by itself.
            let _ = futures_util::future::join_all(started).await;
            // What hosts told it waits there before this does.
            let _ = broadcaster.send(Ping).await;
        })
    }
}

/// The dashboard stops: agents should come back at once.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

impl Handler<Shutdown> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) -> Self::Result {
        let told: Vec<_> = self.hosts.values().map(|host| host.send(News::Restarting)).collect();
        Box::pin(async move {
            for answer in told {
                // An actor that is gone has no link to close.
                let _ = answer.await;
            }
        })
    }
}

// ---- from users ----

type Answer<T> = ResponseFuture<Result<T, RequestError>>;

fn gone(_: MailboxError) -> RequestError {
    RequestError::Unavailable("The host did not answer; it may have been removed.")
}

fn not_stored(error: StoreError) -> RequestError {
    error.into()
}

impl Handler<RequestCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: RequestCommand, _: &mut Self::Context) -> Self::Result {
        let host = self.find(&msg.host);
        let RequestCommand { id, op, args, queue, by, host: _ } = msg;
        Box::pin(async move {
            let Asker { author: by, from } = by;
            let event = HostEvent::Requested { id, op, args, queue, by };
            host?.send(Ask { event, from }).await.map_err(gone)?
        })
    }
}

impl Handler<ConfigureHost> for FleetActor {
    type Result = Answer<()>;

    fn handle(&mut self, msg: ConfigureHost, _: &mut Self::Context) -> Self::Result {
        let host = self.find(&msg.host);
        let Asker { author: by, from } = msg.by;
        let event = HostEvent::Configured { change: Box::new(msg.change), by };
        Box::pin(async move { host?.send(Configure { event, from }).await.map_err(gone)? })
    }
}

impl Handler<HoldHost> for FleetActor {
    type Result = Answer<()>;

    fn handle(&mut self, msg: HoldHost, _: &mut Self::Context) -> Self::Result {
        let host = self.find(&msg.host);
        let Asker { author: by, from } = msg.by;
        let event = match msg.reason {
            Some(reason) => HostEvent::Held { reason, by },
            None => HostEvent::Released { by },
        };
        Box::pin(async move { host?.send(Configure { event, from }).await.map_err(gone)? })
    }
}

impl Handler<AskHost> for FleetActor {
    type Result = Answer<()>;

    fn handle(&mut self, msg: AskHost, _: &mut Self::Context) -> Self::Result {
        let host = self.find(&msg.0);
        Box::pin(async move { host?.send(News::Report).await.map_err(gone) })
    }
}

impl FleetActor {
    /// Finds the host of a command and asks it.
    fn ask_about(
        &self,
        id: CommandId,
        event: HostEvent,
        from: Option<String>,
        ctx: &Context<Self>,
    ) -> Answer<Command> {
        let (store, fleet) = (self.store.clone(), ctx.address());
        Box::pin(async move {
            let command = store.read(move |conn| store::commands::get(conn, id)).await;
            let command = command.map_err(not_stored)?;
            let command = command.ok_or_else(|| RequestError::NoSuchCommand(id.to_string()))?;
            let host = fleet.send(FindHost(command.host)).await.map_err(gone)??;
            host.send(Ask { event, from }).await.map_err(gone)?
        })
    }
}

#[derive(Message)]
#[rtype(result = "Result<Addr<HostActor>, RequestError>")]
pub(super) struct FindHost(pub(super) HostId);

impl Handler<FindHost> for FleetActor {
    type Result = Result<Addr<HostActor>, RequestError>;

    fn handle(&mut self, msg: FindHost, _: &mut Self::Context) -> Self::Result {
        self.find(&msg.0)
    }
}

impl Handler<StopCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: StopCommand, ctx: &mut Self::Context) -> Self::Result {
        let Asker { author: by, from } = msg.by;
        self.ask_about(msg.id, HostEvent::StopRequested { id: msg.id, by }, from, ctx)
    }
}

impl Handler<ExtendCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: ExtendCommand, ctx: &mut Self::Context) -> Self::Result {
        let Asker { author: by, from } = msg.by;
        self.ask_about(msg.id, HostEvent::ExtendRequested { id: msg.id, by }, from, ctx)
    }
}

impl Handler<Ping> for FleetActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

/// Makes the actor panic, as a bug in it would.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct PanicOfTheFleet;

#[cfg(test)]
impl Handler<PanicOfTheFleet> for FleetActor {
    type Result = ();

    fn handle(&mut self, _: PanicOfTheFleet, _: &mut Self::Context) {
        panic!("a bug");
    }
}
