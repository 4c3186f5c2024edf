//! What goes on for as long as the dashboard runs: the watchdog, and the end of what is old.

use super::clock::Clock;
use super::config::DashboardConfig;
use super::fleet::FleetActor;
use super::live::Broadcast;
use super::live::news::Ping;
use super::store::{self, Store};
use crate::base::process;
use actix::Addr;
use std::time::Duration;

/// How often old commands and events are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

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
