//! Starts every room and ends them again.

use super::auth::{Auth, Refusals, Secrets};
use super::clock::Clock;
use super::config::DashboardConfig;
use super::fleet::{EveryHostIsShown, FleetActor, Shutdown, StoredFleet, UseSources};
use super::http::{AgentDoor, App, Rooms};
use super::live::broadcaster::Broadcaster;
use super::live::{Attention, Broadcast};
use super::maintenance::Kept;
use super::notify::{self, Notifier};
use super::remotes::{House, Seats};
use super::rollouts::{self, Rollouts};
use super::server;
use super::store::{self, Store, StoreError};
use super::tls::Certificates;
use super::upkeep;
use crate::base::process;
use actix::Actor;
use actix_web::web;
use futures_util::future::Either;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the dashboard did not start.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting or secret is not as expected; the text names it.
    #[error("{0}")]
    Setting(String),
    /// The address cannot be listened on.
    #[error("--listen / NIXFLEET_LISTEN: cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the web server failed: {0}")]
    Server(#[from] std::io::Error),
    /// An actor that everything needs failed.
    #[error("the {0} failed; the dashboard ends, so that it is started anew")]
    ActorFailed(&'static str),
    /// The data directory is in use.
    #[error("{0} is in use by another dashboard")]
    InUse(PathBuf),
}

impl DashboardError {
    /// Whether whoever started it must change a setting: the exit code says so.
    pub fn is_bad_setting(&self) -> bool {
        match self {
            Self::Setting(_) => true,
            Self::Store(_)
            | Self::Listen { .. }
            | Self::Server(_)
            | Self::ActorFailed(_)
            | Self::InUse(_) => false,
        }
    }
}

/// Holds the data directory for this process alone.
pub(super) fn lock(data_dir: &Path) -> Result<nix::fcntl::Flock<std::fs::File>, DashboardError> {
    let setting = |what: std::io::Error| {
        let dir = data_dir.display();
        DashboardError::Setting(format!("--data-dir / NIXFLEET_DATA_DIR: cannot use {dir}: {what}"))
    };
    std::fs::create_dir_all(data_dir).map_err(setting)?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(data_dir.join("lock"))
        .map_err(setting)?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| DashboardError::InUse(data_dir.to_owned()))
}

/// Whether a dashboard uses the directory now. Looks only.
pub(super) fn is_locked(data_dir: &Path) -> bool {
    let Ok(file) = std::fs::File::open(data_dir.join("lock")) else {
        return false;
    };
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockSharedNonblock).is_err()
}

pub(super) async fn serve(config: DashboardConfig) -> Result<(), DashboardError> {
    let _lock = lock(&config.data_dir)?;
    let certificates = config.tls.clone().map(Certificates::read).transpose();
    let certificates = certificates.map_err(DashboardError::Setting)?;
    let store = Store::open(&config.data_dir)?;
    let clock = Clock::after(store.read_blocking(store::uptime::get)?);
    let (secrets, first_start) = Secrets::prepare(&config).map_err(DashboardError::Setting)?;
    let totp = config.totp_secret.as_ref().map(|secret| secret.expose());
    let auth = Auth::new(secrets, totp, store.clone(), clock).map_err(DashboardError::Setting)?;
    let stored = store.read_blocking(StoredFleet::load)?;

    let kept = Kept::new(rollouts::maintenance::load(&store)?);

    let attention = Attention::default();
    let broadcaster =
        Broadcast::start(Broadcaster::new(config.sync_interval, attention.clone(), clock.now()));
    let fleet = FleetActor::new(
        store.clone(),
        clock,
        broadcaster.clone(),
        config.time_limits.clone(),
        stored,
    )
    .keeping_to(kept.clone())
    .start();
    let seats = Seats::start(&House {
        config: &config,
        attention: &attention,
        subscriber: fleet.clone().recipient(),
        readings: broadcaster.recipient(),
        clock,
    });
    // Past the queue's bound: once, at the start.
    fleet.do_send(UseSources(seats));
    let going = store.read_blocking(store::rollouts::live)?;
    let rollouts = Rollouts::new(store.clone(), clock, fleet.clone(), broadcaster.clone(), going)
        .governed_by(kept)
        .start();
    upkeep::keep_pruned(store.clone(), clock, &config);
    upkeep::keep_counting(store.clone(), clock);

    let changes = auth.token_changes();
    let config = Arc::new(config);
    let agents = Refusals::default();
    let refused = upkeep::Refused { logins: auth.refusals().clone(), agents: agents.clone() };
    refused.clone().keep_telling(store.clone(), clock);
    let own = Arc::clone(&config);
    let door = AgentDoor::new(fleet.clone(), store.clone(), clock, own, changes, agents);
    if fleet.send(EveryHostIsShown).await.is_err() {
        return Err(DashboardError::ActorFailed("fleet"));
    }
    // Only now: a host that is not shown yet is not gone.
    let told = notify::Stored::load(&store)?;
    let link = config.base_url.clone();
    let notifier = Notifier::new(store.clone(), clock, broadcaster.clone(), link, told).start();
    let vital =
        upkeep::vital(fleet.clone(), rollouts.clone(), notifier.clone(), broadcaster.clone());
    let app = App::new(Rooms {
        config: Arc::clone(&config),
        store: store.clone(),
        clock,
        auth,
        fleet: fleet.clone(),
        rollouts,
        notifier,
        broadcaster: broadcaster.clone(),
    });
    let listen = config.listen;
    let shown = Arc::clone(&config);
    let (app_data, door_data) = (web::Data::new(app), web::Data::new(door));
    let started = server::start(config, certificates.as_ref(), app_data, door_data);
    let (server, bound) =
        started.map_err(|source| DashboardError::Listen { address: listen, source })?;
    if let Some(certificates) = certificates {
        actix_rt::spawn(certificates.keep_fresh());
    }
    greet(&shown, bound, first_start.password.as_deref());
    process::ready();
    upkeep::keep_alive(store.clone(), fleet.clone(), broadcaster);
    let (handle, own) = (server.handle(), store.clone());
    actix_rt::spawn(async move {
        ended().await;
        log::info!("stopping");
        process::stopping();
        // Agents are told to come back at once, so that a restart is not seen as a loss.
        let _ = fleet.send(Shutdown).await;
        upkeep::store_uptime(&own, clock).await;
        handle.stop(true).await;
    });
    let failed = std::pin::pin!(upkeep::failure_of(&vital));
    match futures_util::future::select(server, failed).await {
        Either::Left((ended, _)) => {
            refused.tell_the_rest(&store, clock).await;
            Ok(ended?)
        }
        Either::Right((name, _)) => Err(DashboardError::ActorFailed(name)),
    }
}

/// What a person reads who has just started it.
fn greet(config: &DashboardConfig, bound: std::net::SocketAddr, password: Option<&str>) {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let own = format!("{scheme}://{bound}");
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
