//! A freeze that came while nobody looked (the review of rollouts, 12).

use super::*;
use crate::dashboard::maintenance::Kept;
use crate::dashboard::rollouts::requests::StartRollout;
use crate::dashboard::rollouts::{Panic, Rollouts};
use crate::dashboard::store;
use crate::domain::maintenance::{Freeze, Maintenance};
use crate::domain::rollout::OnFailure;
use crate::protocol::{CommandAccepted, Status};

/// Frozen from now on, for an hour.
fn frozen() -> Maintenance {
    let now = Clock::default().now();
    let until = now + Duration::from_secs(3600);
    let freeze = Freeze { reason: "holidays".into(), by: Author::Admin, since: now, until };
    Maintenance { freeze: Some(freeze), ..Maintenance::default() }
}

#[actix_rt::test]
async fn what_came_while_the_dashboard_was_away_is_no_reason_to_deploy_in_a_freeze() {
    let house = House::open();
    let agent = house.online("web").await;
    let start = StartRollout {
        steps: vec![Operation::DryRun, Operation::PullSwitch],
        hosts: Some(vec![id("web")]),
        tags: Vec::new(),
        at_once: 1,
        one_first: false,
        waves: Vec::new(),
        soak: 0,
        regardless: crate::domain::maintenance::Regardless::new(),
        stop_after: None,
        on_failure: OnFailure::Halt,
        by: Author::Admin.into(),
    };
    house.rollouts.send(start).await.unwrap().unwrap();
    house.until("asked", |view| view.hosts[&id("web")].snapshot.command.is_some()).await;
    settle(&house).await;
    // It ends, and what comes after it was stored before the freeze.
    assert!(house.rollouts.send(Panic).await.is_err());
    let stored = house.store.read_blocking(store::rollouts::live).unwrap();
    let (store, fleet) = (house.store.clone(), house.fleet.clone());
    let again = Rollouts::new(store, Clock::default(), fleet, house.broadcaster.clone(), stored)
        .governed_by(Kept::new(frozen()))
        .start();
    let shown = house.shown().await;
    let command_id = shown.hosts[&id("web")].snapshot.command.as_ref().unwrap().id;
    agent.says(AgentMessage::CommandAccepted(CommandAccepted { command_id, pid: None })).await;
    agent.wire.kinds();
    let ended: Status = serde_json::from_value(serde_json::json!({
        "status": "ok", "command": "dry-run", "exit_code": 0, "generation": "1".repeat(40),
        "command_id": command_id, "seq": 1,
    }))
    .unwrap();
    agent.says(AgentMessage::Status(Box::new(ended))).await;
    let waits = |view: &FleetView| {
        let mut all = view.rollouts.iter().filter_map(|rollout| rollout.waits_for(&id("web")));
        all.any(|why| why.starts_with("frozen until "))
    };
    house.until("it waits for the end of the freeze", waits).await;
    assert!(house.shown().await.hosts[&id("web")].snapshot.command.is_none());
    assert!(!agent.wire.kinds().contains(&"command".to_owned()));
    drop(again);
}
