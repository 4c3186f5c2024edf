//! What goes on for as long as the dashboard runs: the watchdog, and the end of what is old.

use super::clock::Clock;
use super::config::DashboardConfig;
use super::fleet::FleetActor;
use super::live::Broadcast;
use super::live::news::Ping;
use super::rollouts::Rollouts;
use super::store::{self, Store};
use crate::base::process;
use actix::Addr;
use std::time::Duration;

/// How often actors are looked at.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// How often old commands and events are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Waits until an actor that everything needs has failed; returns its name. Hosts and remotes are
/// started again by the fleet; without these there is nothing to go on with, so that the process
/// ends with a log line and the service manager starts it again.
pub(super) async fn failure_of(vital: &[Vital]) -> &'static str {
    loop {
        if let Some(dead) = vital.iter().find(|actor| !(actor.lives)()) {
            return dead.name;
        }
        actix_rt::time::sleep(LOOK_AFTER_EVERY).await;
    }
}

/// An actor that everything needs.
pub(super) struct Vital {
    pub(super) name: &'static str,
    pub(super) lives: Box<dyn Fn() -> bool>,
}

/// The actors that everything needs.
pub(super) fn vital(
    fleet: Addr<FleetActor>,
    rollouts: Addr<Rollouts>,
    broadcaster: Broadcast,
) -> Vec<Vital> {
    vec![
        Vital { name: "fleet", lives: Box::new(move || fleet.connected()) },
        Vital { name: "rollouts", lives: Box::new(move || rollouts.connected()) },
        Vital { name: "broadcaster", lives: Box::new(move || broadcaster.lives()) },
    ]
}

/// Tells the service manager's watchdog, if there is one, for as long as the actors and SQLite
/// answer.
pub(super) fn keep_alive(store: Store, fleet: Addr<FleetActor>, broadcaster: Broadcast) {
    let Some(every) = process::watched() else {
        return;
    };
    actix_rt::spawn(async move {
        loop {
            let asked = (fleet.send(Ping).await, broadcaster.send(Ping).await);
            let read = store.read(|conn| store::settings::get(conn, "health")).await;
            match (asked, read) {
                ((Ok(()), Ok(())), Ok(_)) => process::alive(),
                (_, read) => log::error!("not alive: {read:?}"),
            }
            actix_rt::time::sleep(every).await;
        }
    });
}

/// Removes what is older than the retention, a little at a time.
pub(super) fn keep_pruned(store: Store, clock: Clock, config: &DashboardConfig) {
    let (commands, events) = (config.command_retention, config.event_retention);
    actix_rt::spawn(async move {
        loop {
            let now = clock.now();
            let step =
                store.write(move |conn| store::retention::prune(conn, now, commands, events));
            match step.await {
                Ok(0) => actix_rt::time::sleep(PRUNE_EVERY).await,
                Ok(_) => {}
                Err(error) => {
                    log::error!("old commands and events were not removed: {error}");
                    actix_rt::time::sleep(PRUNE_EVERY).await;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[actix_rt::test]
    async fn the_first_vital_actor_that_fails_ends_the_wait_b8() {
        let lives = Rc::new(Cell::new(true));
        let seen = Rc::clone(&lives);
        let vital = [
            Vital { name: "fleet", lives: Box::new(|| true) },
            Vital { name: "rollouts", lives: Box::new(move || seen.get()) },
        ];
        lives.set(false);
        assert_eq!(failure_of(&vital).await, "rollouts");
    }
}
