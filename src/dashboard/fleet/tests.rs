//! What the actors do when one of them fails.

use super::host::Panic;
use super::{FindHost, FleetActor, PanicOfTheFleet, StoredFleet};
use crate::dashboard::clock::Clock;
use crate::dashboard::fleet::requests::{AddHost, RequestCommand};
use crate::dashboard::live::broadcaster::Broadcaster;
use crate::dashboard::live::{Attention, Broadcast};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::Store;
use crate::domain::audit::Author;
use crate::domain::ids::HostId;
use crate::domain::operation::{Args, Operation, TimeLimits};
use crate::domain::profile::Overrides;
use actix::Actor;
use std::time::{Duration, Instant};

#[actix_rt::test]
async fn an_actor_that_panics_starts_again_from_the_store_and_its_host_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let stored = store.read_blocking(StoredFleet::load).unwrap();
    let broadcaster = Broadcast::start(Broadcaster::new(
        Duration::from_secs(30),
        Attention::default(),
        Clock.now(),
    ));
    let limits = TimeLimits::default();
    let fleet = FleetActor::new(store, Clock, broadcaster, limits, stored).start();
    let (hostname, by) = ("web".to_owned(), Author::Admin);
    let added = fleet
        .send(AddHost { hostname, overrides: Overrides::default(), by: by.clone() })
        .await
        .unwrap();
    assert!(added.is_ok());
    let id = HostId::parse("web").unwrap();
    let first = fleet.send(FindHost(id.clone())).await.unwrap().unwrap();
    assert!(first.send(Panic).await.is_err());

    let until = Instant::now() + Duration::from_secs(30);
    let second = loop {
        match fleet.send(FindHost(id.clone())).await.unwrap() {
            Ok(host) if host != first && host.connected() => break host,
            _ => assert!(Instant::now() < until, "it did not start again"),
        }
        actix_rt::task::yield_now().await;
    };
    assert!(second.connected());
    let pull = RequestCommand {
        id: None,
        host: id,
        op: Operation::Pull,
        args: Args::default(),
        queue: true,
        by,
    };
    let queued = fleet.send(pull).await.unwrap();
    assert!(!matches!(queued, Err(RequestError::NoSuchHost(_))), "{queued:?}");
    assert!(queued.is_ok(), "{queued:?}");
}

/// Finding B8: without these there is nothing to go on with, and nobody noticed.
#[actix_rt::test]
async fn a_vital_actor_that_panics_is_noticed_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let stored = store.read_blocking(StoredFleet::load).unwrap();
    let broadcaster = Broadcast::start(Broadcaster::new(
        Duration::from_secs(30),
        Attention::default(),
        Clock.now(),
    ));
    let limits = TimeLimits::default();
    let fleet = FleetActor::new(store, Clock, broadcaster.clone(), limits, stored).start();
    assert!(fleet.connected() && broadcaster.lives());
    assert!(broadcaster.send(crate::dashboard::live::broadcaster::Panic).await.is_err());
    assert!(!broadcaster.lives());
    assert!(fleet.send(PanicOfTheFleet).await.is_err());
    assert!(!fleet.connected());
}
