//! Starts every room and ends them again.

use super::auth::{self, Auth, Secrets};
use super::clock::Clock;
use super::config::DashboardConfig;
use super::fleet::{FleetActor, Shutdown, StoredFleet, UseSources};
use super::http::{self, AgentDoor, App, Rooms};
use super::live::Attention;
use super::live::broadcaster::Broadcaster;
use super::remotes::{House, Seats};
use super::rollouts::Rollouts;
use super::store::{self, Store};
use super::{DashboardError, lock, upkeep};
use crate::base::process;
use actix::Actor;
use actix_web::middleware::Compress;
use actix_web::{HttpServer, web};
use std::sync::Arc;

pub(super) async fn serve(config: DashboardConfig) -> Result<(), DashboardError> {
    let _lock = lock(&config.data_dir)?;
    let clock = Clock;
    let store = Store::open(&config.data_dir)?;
    let (secrets, first_start) = Secrets::prepare(&config).map_err(DashboardError::Setting)?;
    let totp = config.totp_secret.as_ref().map(|secret| secret.expose());
    let auth = Auth::new(secrets, totp, store.clone(), clock).map_err(DashboardError::Setting)?;
    let stored = store.read_blocking(StoredFleet::load)?;

    let attention = Attention::default();
    let broadcaster =
        Broadcaster::new(config.sync_interval, attention.clone(), clock.now()).start();
    let fleet = FleetActor::new(
        store.clone(),
        clock,
        broadcaster.clone(),
        config.time_limits.clone(),
        stored,
    )
    .start();
    let seats = Seats::start(&House {
        config: &config,
        attention: &attention,
        subscriber: fleet.clone().recipient(),
        readings: broadcaster.clone().recipient(),
        clock,
    });
    fleet.do_send(UseSources(seats));
    let going = store.read_blocking(store::rollouts::live)?;
    let rollouts =
        Rollouts::new(store.clone(), clock, fleet.clone(), broadcaster.clone(), going).start();
    upkeep::keep_pruned(store.clone(), clock, &config);

    let enrolment = config.agent_token.as_ref().map(|token| auth::token_hash(token.expose()));
    let door = AgentDoor::new(fleet.clone(), store.clone(), enrolment);
    let config = Arc::new(config);
    let app = App::new(Rooms {
        config: Arc::clone(&config),
        store: store.clone(),
        clock,
        auth,
        fleet: fleet.clone(),
        rollouts,
        broadcaster: broadcaster.clone(),
    });
    let listen = config.listen;
    let (app_data, door_data) = (web::Data::new(app), web::Data::new(door));
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(app_data.clone())
            .app_data(door_data.clone())
            .wrap(Compress::default())
            .wrap(http::headers())
            .configure(http::configure)
    })
    .workers(2)
    .shutdown_timeout(5)
    .disable_signals()
    .bind(listen)
    .map_err(|source| DashboardError::Listen { address: listen, source })?;
    let bound = server.addrs().first().copied().unwrap_or(listen);
    greet(&config, bound, first_start.password.as_deref());
    process::ready();
    upkeep::keep_alive(store, fleet.clone(), broadcaster);
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(async move {
        ended().await;
        log::info!("stopping");
        process::stopping();
        // Agents are told to come back at once, so that a restart is not seen as a loss.
        let _ = fleet.send(Shutdown).await;
        handle.stop(true).await;
    });
    server.await?;
    Ok(())
}

/// What a person reads who has just started it.
fn greet(config: &DashboardConfig, bound: std::net::SocketAddr, password: Option<&str>) {
    let own = format!("http://{bound}");
    let url = config.base_url.as_ref().unwrap_or(&own);
    let mut text = format!("nixfleet {} dashboard: {own}\n", env!("CARGO_PKG_VERSION"));
    if let Some(password) = password {
        let dir = config.data_dir.display();
        text += &format!(
            "admin password: {password}\n  \
             It is shown only now. A hash of it is kept in {dir}.\n\
             to add a host: open {url}, log in, and choose Add host.\n  \
             It gives you the host's token and the command that starts its agent.\n"
        );
    }
    if config.sources.is_empty() {
        text += "no remote yet: set --source / NIXFLEET_SOURCE to your config repository.\n";
    }
    process::say(text.trim_end());
}

async fn ended() {
    use actix_rt::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        log::error!("signals cannot be caught; only SIGKILL ends the dashboard");
        return std::future::pending().await;
    };
    let (interrupt, terminate) = (Box::pin(interrupt.recv()), Box::pin(terminate.recv()));
    futures_util::future::select(interrupt, terminate).await;
}
