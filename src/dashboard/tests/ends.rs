//! However an actor or a link ends, somebody learns of it.

use super::*;
use crate::dashboard::fleet::host::AgentGone;
use crate::dashboard::live::broadcaster::Leave;
use crate::dashboard::notify::{Notifier, Stored};
use crate::dashboard::rollouts;
use crate::dashboard::upkeep::{failure_of, vital};

/// Finding B8: the rollouts stood still, and nobody noticed.
#[actix_rt::test]
async fn rollouts_that_panic_end_the_dashboard_by_name() {
    let house = House::open();
    let (broadcaster, told) = (house.broadcaster.clone(), Stored::default());
    let notifier =
        Notifier::new(house.store.clone(), Clock::default(), broadcaster.clone(), None, told)
            .start();
    let vital = vital(house.fleet.clone(), house.rollouts.clone(), notifier, broadcaster);
    assert!(house.rollouts.send(rollouts::Panic).await.is_err());
    assert_eq!(failure_of(&vital).await, "rollouts");
}

/// Finding B6: one disconnect sent the same row twice and counted the version up by two.
#[actix_rt::test]
async fn a_disconnect_sends_its_row_once_and_counts_the_version_up_by_one_b6() {
    let house = House::open();
    let agent = house.online("web").await;
    settle(&house).await;
    let (frames, _) = house.browser().await;
    let before = house.shown().await.version;
    agent.host.send(AgentGone { link: 1 }).await.unwrap();
    house.until("offline", |view| !view.hosts[&id("web")].snapshot.online).await;
    settle(&house).await;
    assert_eq!(house.shown().await.version, before + 1);
    let mut sent = taken(&frames.0);
    sent.retain(|frame| frame["type"] != "host_heartbeat");
    let kinds: Vec<_> = sent.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["host_offline"]);
    let fragments = sent[0]["fragments"].as_array().unwrap();
    let rows = fragments.iter().filter(|fragment| fragment["id"] == "host-web").count();
    assert_eq!(rows, 1);
}

#[actix_rt::test]
async fn a_link_that_was_replaced_takes_nothing_down_when_it_ends() {
    let house = House::open();
    let agent = house.online("web").await;
    agent.host.send(AgentGone { link: 0 }).await.unwrap();
    settle(&house).await;
    assert!(house.shown().await.hosts[&id("web")].snapshot.online);
}

#[actix_rt::test]
async fn a_browser_that_left_gets_nothing_more() {
    let house = House::open();
    let (gone, number) = house.browser().await;
    let (stays, _) = house.browser().await;
    house.broadcaster.send(Leave(number)).await.unwrap();
    house.add("web").await.unwrap();
    house.until("it is shown", |view| view.hosts.len() == 1).await;
    settle(&house).await;
    assert!(!taken(&stays.0).is_empty());
    assert!(taken(&gone.0).is_empty());
}
