//! What the actors do when one of them fails.

use super::host::{HostIsAt, Panic};
use super::{FindHost, PanicOfTheFleet};
use crate::dashboard::fleet::requests::{AddHost, RequestCommand};
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::tests::House;
use crate::domain::audit::Author;
use crate::domain::ids::{Commit, HostId};
use crate::domain::operation::{Args, Operation};
use crate::domain::profile::Overrides;
use std::time::{Duration, Instant};

#[actix_rt::test]
async fn an_actor_that_panics_starts_again_from_the_store_and_its_host_answers() {
    let House { fleet, .. } = &House::open();
    let (hostname, by) = ("web".to_owned(), Author::Admin);
    let added = fleet
        .send(AddHost { hostname, overrides: Overrides::default(), by: by.clone().into() })
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
        by: by.into(),
    };
    let queued = fleet.send(pull).await.unwrap();
    assert!(!matches!(queued, Err(RequestError::NoSuchHost(_))), "{queued:?}");
    assert!(queued.is_ok(), "{queued:?}");
}

/// Finding B8: without these there is nothing to go on with, and nobody noticed.
#[actix_rt::test]
async fn a_vital_actor_that_panics_is_noticed_by_name() {
    let House { fleet, broadcaster, .. } = &House::open();
    assert!(fleet.connected() && broadcaster.lives());
    assert!(broadcaster.send(crate::dashboard::live::broadcaster::Panic).await.is_err());
    assert!(!broadcaster.lives());
    assert!(fleet.send(PanicOfTheFleet).await.is_err());
    assert!(!fleet.connected());
}

/// A fleet that comes back after a restart moves one host at a time. When each of them made the
/// majority be worked out anew and told, 2,000 hosts cost 180 KiB each instead of 40.
#[actix_rt::test]
async fn hosts_that_come_back_one_by_one_are_not_told_of_every_majority_on_the_way() {
    let House { fleet, broadcaster, .. } = &House::open();
    for n in 0..60 {
        let by = Author::Admin;
        let add = AddHost {
            hostname: format!("host{n}"),
            overrides: Overrides::default(),
            by: by.into(),
        };
        assert!(fleet.send(add).await.unwrap().is_ok());
    }
    let before = broadcaster.send(ReadFleet).await.unwrap().version;
    for n in 0..60 {
        // One commit, the other, and in the end the first has one host more than it.
        let commit = if n % 2 == 0 || n == 59 { "aaaaaaa" } else { "bbbbbbb" };
        let host = HostId::parse(&format!("host{n}")).unwrap();
        let commit = Commit::parse(commit);
        let at = HostIsAt { host, commit, repo_url: String::new(), branch: None };
        fleet.send(at).await.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(30);
    let view = loop {
        let view = broadcaster.send(ReadFleet).await.unwrap();
        if view.hosts.values().filter(|host| host.snapshot.drift).count() == 29 {
            break view;
        }
        assert!(Instant::now() < until, "the hosts at the other commit never drifted");
        actix_rt::task::yield_now().await;
    };
    let changes = view.version - before;
    assert!(changes <= 60, "{changes} changes for 60 hosts");
}
