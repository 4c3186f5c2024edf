//! The fleet: which hosts there are, and who speaks for each.
//!
//! It finds a host's actor, makes new ones, removes them, and passes on what concerns all
//! of them. It holds no host's state.

mod enrolment;
mod following;
pub mod host;
pub mod requests;
mod restore;
#[cfg(test)]
mod tests;

pub use enrolment::{AgentJoins, BadHostname};
pub use following::UseSources;
pub use restore::StoredFleet;

use crate::dashboard::clock::Clock;
use crate::dashboard::fleet::requests::{
    AskHost, ConfigureHost, ExtendCommand, RequestCommand, StopCommand,
};
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::news::Ping;
use crate::dashboard::remotes::Seats;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::AuditCategory;
use crate::domain::command::Command;
use crate::domain::desired::{Desired, MergedPr};
use crate::domain::host::{HostEvent, HostState};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::TimeLimits;
use crate::domain::profile::HostProfile;
use crate::domain::timestamp::Timestamp;
use actix::prelude::*;
use following::Following;
use host::{Ask, FleetFace, HostActor, News, Surroundings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often clocks and actors are looked at.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// A clock that is off by so much within that time was set.
const CLOCK_JUMP: Duration = Duration::from_secs(5);

/// The actor of the fleet.
pub struct FleetActor {
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
    /// When both clocks were last read: that of the machine and one that nobody sets.
    clocks: (Timestamp, Instant),
}

impl FleetActor {
    /// A fleet as it was stored.
    pub fn new(
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
            clocks: (clock.now(), Instant::now()),
        }
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

    /// Deadlines are instants of the machine's clock. When somebody sets that, they move
    /// with it: a day that did not pass makes nothing overdue.
    fn look_at_clocks(&mut self) {
        let (now, at) = (self.clock.now(), Instant::now());
        let (then, then_at) = std::mem::replace(&mut self.clocks, (now, at));
        let passed = i64::try_from((at - then_at).as_millis()).unwrap_or(i64::MAX);
        let jumped = now.as_millis() - then.as_millis() - passed;
        if jumped.unsigned_abs() < CLOCK_JUMP.as_millis().try_into().unwrap_or(u64::MAX) {
            return;
        }
        log::warn!("the clock was set by {jumped} ms; deadlines move with it");
        for host in self.hosts.values() {
            host.do_send(News::ClockJumped(jumped));
        }
    }

    /// An actor that panicked is gone. Its host is not: it starts again from SQLite.
    fn look_after_hosts(&mut self, ctx: &mut Context<Self>) {
        let gone: Vec<HostId> = self
            .hosts
            .iter()
            .filter(|(_, host)| !host.connected())
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.hosts.remove(&id);
            log::error!("{id}: its actor failed; it starts again from what is stored");
            let wanted = id.clone();
            let read = self.store.read(move |conn| StoredFleet::load_one(conn, &wanted));
            ctx.wait(read.into_actor(self).map(move |restored, act, ctx| match restored {
                Ok(Some(restored)) => {
                    let source = act.following.remove(&id).map_or(0, |f| f.source);
                    let seat = act.seats.get(source);
                    let desired =
                        seat.map_or_else(|| act.default_desired(), |s| Arc::clone(&s.desired));
                    let state = HostState::restore(restored, desired, act.clock.now());
                    act.start_host(state, ctx);
                    act.record_failure(id);
                }
                Ok(None) => log::error!("{id}: it is not stored any more"),
                Err(error) => log::error!("{id}: not read: {error}"),
            }));
        }
    }

    fn record_failure(&self, id: HostId) {
        let event = store::events::NewEvent {
            at: self.clock.now(),
            host: Some(id),
            category: AuditCategory::Dashboard,
            message: "Its part of the dashboard failed and was started again.".to_owned(),
            by: None,
        };
        let write = self.store.write(move |conn| store::events::append(conn, &event));
        actix_rt::spawn(async move {
            if let Err(error) = write.await {
                log::error!("an event was not stored: {error}");
            }
        });
    }

    fn find(&self, id: &HostId) -> Result<Addr<HostActor>, RequestError> {
        self.hosts.get(id).cloned().ok_or_else(|| RequestError::NoSuchHost(id.to_string()))
    }
}

impl Actor for FleetActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let now = self.clock.now();
        let desired = self.default_desired();
        if let Some(stored) = self.stored.take() {
            self.merged = stored.merged;
            for restored in stored.hosts {
                let state = HostState::restore(restored, Arc::clone(&desired), now);
                self.start_host(state, ctx);
            }
        }
        self.tell_remotes();
        ctx.run_interval(LOOK_AFTER_EVERY, |act, ctx| {
            act.look_at_clocks();
            act.look_after_hosts(ctx);
        });
    }
}

// ---- from the house ----

/// The dashboard stops: agents should come back at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Shutdown;

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
            host?.send(Ask(HostEvent::Requested { id, op, args, queue, by })).await.map_err(gone)?
        })
    }
}

impl Handler<ConfigureHost> for FleetActor {
    type Result = Answer<()>;

    fn handle(&mut self, msg: ConfigureHost, _: &mut Self::Context) -> Self::Result {
        let host = self.find(&msg.host);
        let (change, by) = (Box::new(msg.change), msg.by);
        Box::pin(async move { host?.send(News::Configured { change, by }).await.map_err(gone) })
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
    fn ask_about(&self, id: CommandId, event: HostEvent, ctx: &Context<Self>) -> Answer<Command> {
        let (store, fleet) = (self.store.clone(), ctx.address());
        Box::pin(async move {
            let command = store.read(move |conn| store::commands::get(conn, id)).await;
            let command = command.map_err(not_stored)?;
            let command = command.ok_or_else(|| RequestError::NoSuchCommand(id.to_string()))?;
            let host = fleet.send(FindHost(command.host)).await.map_err(gone)??;
            host.send(Ask(event)).await.map_err(gone)?
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
        self.ask_about(msg.id, HostEvent::StopRequested { id: msg.id, by: msg.by }, ctx)
    }
}

impl Handler<ExtendCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: ExtendCommand, ctx: &mut Self::Context) -> Self::Result {
        self.ask_about(msg.id, HostEvent::ExtendRequested { id: msg.id, by: msg.by }, ctx)
    }
}

impl Handler<Ping> for FleetActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
