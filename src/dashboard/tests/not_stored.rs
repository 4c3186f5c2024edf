//! "Stored, then true" (spec: lifecycle), against every actor that writes: while SQLite refuses,
//! nothing is answered, shown or sent as done.

use super::*;
use crate::dashboard::fleet::requests::{ConfigureHost, RemoveHost, StopCommand};
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::store;
use crate::dashboard::store::events::{self, EventFilter};
use crate::domain::command::State;
use crate::domain::host::{Change, Set};
use crate::domain::looks::Place;
use crate::domain::rollout::{Rollout, RolloutId};
use crate::protocol::{CommandAccepted, OutcomeStatus, Status};

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, RequestError>) {
    let Err(RequestError::Unavailable(text)) = &answer else { panic!("{answer:?}") };
    assert_eq!(*text, RequestError::DATABASE);
}

/// What the audit log says.
fn said(house: &House) -> Vec<String> {
    let all = EventFilter { limit: u32::MAX, ..EventFilter::default() };
    let said = house.store.read_blocking(|conn| events::list(conn, &all)).unwrap();
    said.into_iter().map(|event| event.message).collect()
}

#[actix_rt::test]
async fn a_host_that_could_not_be_stored_is_not_there() {
    let house = House::open();
    let refusing = house.store.fail_writes();
    assert_unavailable(house.add("web").await);
    let joined = house.joins("db", TokenFor::Enrolment).await;
    assert!(matches!(joined, Err(CloseLink::TryAgain(_))));
    settle(&house).await;
    assert!(house.shown().await.hosts.is_empty());
    assert!(said(&house).is_empty(), "{:?}", said(&house));
    drop(refusing);
    house.add("web").await.unwrap();
    house.joins("db", TokenFor::Enrolment).await.unwrap();
    house.until("both are there", |view| view.hosts.len() == 2).await;
}

#[actix_rt::test]
async fn a_host_whose_removal_could_not_be_stored_stays() {
    let house = House::open();
    let agent = house.online("web").await;
    let refusing = house.store.fail_writes();
    let remove = || RemoveHost { host: id("web"), by: Author::Admin.into() };
    assert_unavailable(house.fleet.send(remove()).await.unwrap());
    settle(&house).await;
    assert!(house.shown().await.hosts[&id("web")].snapshot.online);
    assert!(taken(&agent.wire.closed).is_empty());
    drop(refusing);
    house.fleet.send(remove()).await.unwrap().unwrap();
    house.until("it is gone", |view| view.hosts.is_empty()).await;
}

#[actix_rt::test]
async fn a_command_that_could_not_be_stored_is_not_sent_and_not_shown() {
    let house = House::open();
    let agent = house.online("web").await;
    agent.wire.kinds();
    let refusing = house.store.fail_writes();
    assert_unavailable(house.asks("web", Operation::Pull).await);
    settle(&house).await;
    assert!(house.shown().await.hosts[&id("web")].snapshot.command.is_none());
    assert_eq!(agent.wire.kinds(), [""; 0]);
    drop(refusing);
    house.asks("web", Operation::Pull).await.unwrap();
    house.until("it runs", |view| view.hosts[&id("web")].snapshot.command.is_some()).await;
    assert_eq!(agent.wire.kinds(), ["command"]);
}

#[actix_rt::test]
async fn settings_and_a_stop_that_could_not_be_stored_change_nothing() {
    let house = House::open();
    let agent = house.online("web").await;
    let command = house.asks("web", Operation::Pull).await.unwrap();
    house.until("it runs", |view| view.hosts[&id("web")].snapshot.command.is_some()).await;
    agent.wire.kinds();
    let before = house.shown().await;
    let refusing = house.store.fail_writes();
    let change = Change { location: Set::To(Place::Cloud), ..Change::default() };
    let configure = ConfigureHost { host: id("web"), change, by: Author::Admin.into() };
    assert_unavailable(house.fleet.send(configure).await.unwrap());
    let stop = StopCommand { id: command.id, by: Author::Admin.into() };
    assert_unavailable(house.fleet.send(stop).await.unwrap());
    settle(&house).await;
    let after = house.shown().await;
    assert_eq!(after.version, before.version);
    assert_eq!(after.hosts[&id("web")].snapshot, before.hosts[&id("web")].snapshot);
    assert_eq!(agent.wire.kinds(), [""; 0]);
    drop(refusing);
}

#[actix_rt::test]
async fn an_outcome_that_could_not_be_stored_is_not_acknowledged_and_its_command_goes_on() {
    let house = House::open();
    let agent = house.online("web").await;
    let command = house.asks("web", Operation::Pull).await.unwrap();
    let command_id = command.id;
    agent.says(AgentMessage::CommandAccepted(CommandAccepted { command_id, pid: None })).await;
    agent.wire.kinds();
    let refusing = house.store.fail_writes();
    let ended: Status = serde_json::from_value(serde_json::json!({
        "status": OutcomeStatus::Ok, "command": "pull", "exit_code": 0,
        "generation": "2".repeat(40), "command_id": command_id, "seq": 1,
    }))
    .unwrap();
    agent.says(AgentMessage::Status(Box::new(ended))).await;
    settle(&house).await;
    let shown = house.shown().await;
    let snapshot = &shown.hosts[&id("web")].snapshot;
    let shown_as = snapshot.command.as_ref().map(|command| (command.id, command.state));
    assert_eq!(shown_as, Some((command_id, State::Running)));
    assert_eq!(agent.wire.kinds(), [""; 0]);
    // It says it again on its next link; that this one is gone holds all the same.
    assert!(!snapshot.online);
    assert!(matches!(taken(&agent.wire.closed)[..], [CloseLink::TryAgain(_)]));
    drop(refusing);
}

fn rollout(hosts: &[&str]) -> StartRollout {
    StartRollout {
        steps: vec![Operation::Pull],
        hosts: Some(hosts.iter().map(|name| id(name)).collect()),
        tags: Vec::new(),
        at_once: 1,
        one_first: false,
        waves: Vec::new(),
        soak: 0,
        regardless: crate::domain::maintenance::Regardless::new(),
        stop_after: None,
        on_failure: crate::domain::rollout::OnFailure::Halt,
        by: Author::Admin.into(),
    }
}

async fn change(
    house: &House,
    id: RolloutId,
    change: RolloutChange,
) -> Result<Rollout, RequestError> {
    let by = Author::Admin;
    house.rollouts.send(ChangeRollout { id, change, by: by.into() }).await.unwrap()
}

fn stored_rollouts(house: &House) -> Vec<Rollout> {
    house.store.read_blocking(store::rollouts::live).unwrap()
}

#[actix_rt::test]
async fn a_rollout_that_could_not_be_stored_is_not_shown_and_asks_nobody() {
    let house = House::open();
    let agent = house.online("web").await;
    agent.wire.kinds();
    let refusing = house.store.fail_writes();
    assert_unavailable(house.rollouts.send(rollout(&["web"])).await.unwrap());
    settle(&house).await;
    assert!(house.shown().await.rollouts.is_empty());
    assert!(stored_rollouts(&house).is_empty());
    assert_eq!(agent.wire.kinds(), [""; 0]);
    drop(refusing);
    house.rollouts.send(rollout(&["web"])).await.unwrap().unwrap();
    house
        .until("its host is asked", |view| view.hosts[&id("web")].snapshot.command.is_some())
        .await;
    assert_eq!(stored_rollouts(&house).len(), 1);
}

#[actix_rt::test]
async fn a_cancel_that_could_not_be_stored_leaves_the_rollout_going() {
    let house = House::open();
    let _agent = house.online("web").await;
    let started = house.rollouts.send(rollout(&["web"])).await.unwrap().unwrap();
    house
        .until("its host is asked", |view| view.hosts[&id("web")].snapshot.command.is_some())
        .await;
    settle(&house).await;
    let refusing = house.store.fail_writes();
    assert_unavailable(change(&house, started.id, RolloutChange::Cancel).await);
    settle(&house).await;
    let halted = |rollouts: &[Rollout]| rollouts.iter().any(|rollout| rollout.halted.is_some());
    assert!(!halted(&house.shown().await.rollouts));
    assert!(!halted(&stored_rollouts(&house)));
    drop(refusing);
    change(&house, started.id, RolloutChange::Cancel).await.unwrap();
    house.until("it is cancelled", |view| halted(&view.rollouts)).await;
}
