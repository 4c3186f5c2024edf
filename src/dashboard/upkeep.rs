//! What goes on for as long as the dashboard runs: the watchdog, and the end of what is old.

use super::auth::Refusals;
use super::clock::Clock;
use super::config::DashboardConfig;
use super::fleet::FleetActor;
use super::live::Broadcast;
use super::live::news::Ping;
use super::notify::Notifier;
use super::rollouts::Rollouts;
use super::store::events::NewEvent;
use super::store::{self, Store};
use crate::base::process;
use crate::domain::audit::{self, AuditCategory};
use actix::Addr;
use std::time::Duration;

/// How often actors are looked at.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// How often it is stored how long the dashboard has run.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether refusals are to be told.
const TELL_EVERY: Duration = Duration::from_secs(5);
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
    notifier: Addr<Notifier>,
    broadcaster: Broadcast,
) -> Vec<Vital> {
    vec![
        Vital { name: "fleet", lives: Box::new(move || fleet.connected()) },
        Vital { name: "rollouts", lives: Box::new(move || rollouts.connected()) },
        Vital { name: "notifier", lives: Box::new(move || notifier.connected()) },
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

/// Stores once a minute how long the dashboard has run: what a crash can take away from the time
/// that was counted. With each transition of a command it is stored too.
pub(super) fn keep_counting(store: Store, clock: Clock) {
    actix_rt::spawn(async move {
        loop {
            actix_rt::time::sleep(COUNT_EVERY).await;
            store_uptime(&store, clock).await;
        }
    });
}

/// Stores how long the dashboard has run.
pub(super) async fn store_uptime(store: &Store, clock: Clock) {
    let up = clock.up();
    if let Err(error) = store.write(move |conn| store::uptime::set(conn, up)).await {
        log::error!("how long the dashboard runs was not stored: {error}");
    }
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

/// What was refused: logins are told in the audit log, agents in the log.
#[derive(Clone)]
pub(super) struct Refused {
    pub(super) logins: Refusals,
    pub(super) agents: Refusals,
}

impl Refused {
    /// Tells once a minute how many more there were.
    pub(super) fn keep_telling(self, store: Store, clock: Clock) {
        actix_rt::spawn(async move {
            loop {
                actix_rt::time::sleep(TELL_EVERY).await;
                let now = clock.up();
                tell(&store, clock, self.logins.due(now), self.agents.due(now)).await;
            }
        });
    }

    /// Tells what was not told yet: the dashboard stops.
    pub(super) async fn tell_the_rest(&self, store: &Store, clock: Clock) {
        tell(store, clock, self.logins.rest(), self.agents.rest()).await;
    }
}

async fn tell(store: &Store, clock: Clock, logins: Vec<(String, u64)>, agents: Vec<(String, u64)>) {
    for (from, count) in agents {
        log::warn!("{count} more links of agents from {from} were refused");
    }
    let at = clock.now();
    for (from, count) in logins {
        let message = format!("{count} more logins from {from} failed.");
        let (category, result) = (AuditCategory::Login, Some(audit::REFUSED));
        let from = Some(from);
        let event =
            NewEvent { at, host: None, category, message, by: None, from, result, command: None };
        let stored = store.write(move |conn| store::events::append(conn, &event)).await;
        if let Err(error) = stored {
            log::error!("an event was not stored: {error}");
        }
    }
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
