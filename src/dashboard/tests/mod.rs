//! The rooms together, without HTTP: what is shown, sent and answered while SQLite fails, and when
//! an actor or a link ends.

mod beyond;
mod ends;
mod held_back;
mod not_stored;

use super::clock::Clock;
use super::fleet::host::{AgentConnected, FromAgent, HostActor};
use super::fleet::requests::{AddHost, RequestCommand};
use super::fleet::{AgentJoins, FleetActor, StoredFleet};
use super::link::{CloseLink, Link, SendFrame, TokenFor};
use super::live::broadcaster::{Broadcaster, Browser, Join, ToBrowser};
use super::live::model::FleetView;
use super::live::news::{Ping, ReadFleet};
use super::live::{Attention, Broadcast};
use super::request_error::RequestError;
use super::rollouts::Rollouts;
use super::store::Store;
use crate::domain::audit::Author;
use crate::domain::command::Command;
use crate::domain::ids::HostId;
use crate::domain::operation::{Args, Operation, TimeLimits};
use crate::domain::profile::Overrides;
use crate::protocol::{AgentMessage, Register};
use actix::prelude::*;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

fn id(name: &str) -> HostId {
    HostId::parse(name).unwrap()
}

/// A dashboard without its web server.
pub(super) struct House {
    store: Store,
    pub(super) broadcaster: Broadcast,
    pub(super) fleet: Addr<FleetActor>,
    rollouts: Addr<Rollouts>,
    _dir: tempfile::TempDir,
}

impl House {
    pub(super) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let stored = store.read_blocking(StoredFleet::load).unwrap();
        // No `sync` comes in between.
        let sync = Duration::from_secs(3600);
        let broadcaster =
            Broadcast::start(Broadcaster::new(sync, Attention::default(), Clock::default().now()));
        let limits = TimeLimits::default();
        let fleet =
            FleetActor::new(store.clone(), Clock::default(), broadcaster.clone(), limits, stored)
                .start();
        let rollouts = Rollouts::new(
            store.clone(),
            Clock::default(),
            fleet.clone(),
            broadcaster.clone(),
            Vec::new(),
        );
        Self { store, broadcaster, fleet, rollouts: rollouts.start(), _dir: dir }
    }

    pub(super) async fn shown(&self) -> Arc<FleetView> {
        self.broadcaster.send(ReadFleet).await.unwrap()
    }

    /// Waits until what is shown is as wanted.
    pub(super) async fn until(&self, what: &str, wanted: impl Fn(&FleetView) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while !wanted(&*self.shown().await) {
            assert!(Instant::now() < give_up, "{what}");
            actix_rt::task::yield_now().await;
        }
    }

    pub(super) async fn add(&self, name: &str) -> Result<(), RequestError> {
        let overrides = Overrides::default();
        let add = AddHost { hostname: name.to_owned(), overrides, by: Author::Admin.into() };
        self.fleet.send(add).await.unwrap().map(|_| ())
    }

    async fn joins(&self, name: &str, token: TokenFor) -> Result<Addr<HostActor>, CloseLink> {
        let joins = AgentJoins { host: id(name), hostname: name.to_owned(), token };
        self.fleet.send(joins).await.unwrap()
    }

    /// A host that is there and whose agent, of our version, is connected.
    pub(super) async fn online(&self, name: &str) -> Agent {
        let register = Register {
            hostname: name.to_owned(),
            host_type: "nixos".to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: "1".repeat(40),
            protocol: Some(4),
            jobs: Some(Vec::new()),
            ..Register::default()
        };
        self.online_with(name, register).await
    }

    /// The same, with another agent.
    async fn online_with(&self, name: &str, register: Register) -> Agent {
        self.add(name).await.unwrap();
        let host = self.joins(name, TokenFor::Host(id(name))).await.unwrap();
        let wire = Wire::default();
        let link = wire.clone().link(1);
        host.send(AgentConnected { link, register: Box::new(register) }).await.unwrap();
        self.until("online", |view| view.hosts[&id(name)].snapshot.online).await;
        Agent { host, wire }
    }

    async fn asks(&self, name: &str, op: Operation) -> Result<Command, RequestError> {
        let (args, by) = (Args::default(), Author::Admin);
        let ask = RequestCommand { id: None, host: id(name), op, args, queue: true, by: by.into() };
        self.fleet.send(ask).await.unwrap()
    }

    /// A browser that looks from now on.
    pub(super) async fn browser(&self) -> (Frames, usize) {
        let frames = Frames::default();
        let number = self.broadcaster.send(Join(frames.clone().browser())).await.unwrap();
        // The first frame greets it.
        while taken(&frames.0).is_empty() {
            actix_rt::task::yield_now().await;
        }
        (frames, number)
    }
}

/// An agent that is connected.
pub(super) struct Agent {
    pub(super) host: Addr<HostActor>,
    wire: Wire,
}

impl Agent {
    async fn says(&self, message: AgentMessage) {
        self.host.send(FromAgent { link: 1, message }).await.unwrap();
    }
}

pub(super) fn taken<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A link's other end: it keeps what is sent.
#[derive(Clone, Default)]
pub(super) struct Wire {
    frames: Arc<Mutex<Vec<String>>>,
    closed: Arc<Mutex<Vec<CloseLink>>>,
}

impl Wire {
    fn link(self, number: u64) -> Link {
        let end = self.start();
        Link::new(number, false, end.clone().recipient(), end.recipient())
    }

    /// The types of the frames that came since this was asked last.
    fn kinds(&self) -> Vec<String> {
        let kind = |frame: String| {
            let frame: Value = serde_json::from_str(&frame).unwrap();
            frame["type"].as_str().unwrap().to_owned()
        };
        taken(&self.frames).into_iter().map(kind).collect()
    }
}

impl Actor for Wire {
    type Context = Context<Self>;
}

impl Handler<SendFrame> for Wire {
    type Result = ();

    fn handle(&mut self, msg: SendFrame, _: &mut Self::Context) {
        self.frames.lock().unwrap().push(msg.0);
    }
}

impl Handler<CloseLink> for Wire {
    type Result = ();

    fn handle(&mut self, msg: CloseLink, _: &mut Self::Context) {
        self.closed.lock().unwrap().push(msg);
    }
}

/// A browser: it keeps what it gets.
#[derive(Clone, Default)]
pub(super) struct Frames(pub(super) Arc<Mutex<Vec<Value>>>);

impl Frames {
    fn browser(self) -> Browser {
        Browser { to: self.start().recipient(), waiting: Arc::default() }
    }
}

impl Actor for Frames {
    type Context = Context<Self>;
}

impl Handler<ToBrowser> for Frames {
    type Result = ();

    fn handle(&mut self, msg: ToBrowser, _: &mut Self::Context) {
        self.0.lock().unwrap().push(serde_json::from_str(&msg.0).unwrap());
    }
}

/// Lets every message that is under way arrive: each actor answers once after what it has now.
pub(super) async fn settle(house: &House) {
    for _ in 0..8 {
        house.fleet.send(Ping).await.unwrap();
        house.broadcaster.send(Ping).await.unwrap();
        actix_rt::task::yield_now().await;
    }
}
