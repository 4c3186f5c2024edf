//! The dashboard: web interface, SQLite, one actor per host.
//!
//! [`run`] starts everything and returns when the process is told to end.

pub mod actors;
pub mod api;
pub mod assets;
pub mod auth;
pub mod clock;
pub mod messages;
pub mod metrics;
pub mod pages;
pub mod sockets;
pub mod sources;
pub mod store;
pub mod translate;
pub mod views;

use crate::cli::DashboardConfig;
use crate::process;
use actix::{Actor, Addr};
use actix_web::http::header;
use actix_web::middleware::{Compress, DefaultHeaders};
use actix_web::{HttpServer, web};
use actors::broadcaster::Broadcaster;
use actors::fleet::{FleetActor, Shutdown, StoredFleet, UseSources};
use actors::rollouts::Rollouts;
use actors::sources::{House, Seats};
use actors::version_fetcher::Attention;
use auth::{Auth, Secrets};
use clock::Clock;
use messages::Ping;
use sockets::agent::AgentDoor;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{Store, StoreError};

/// The broadcaster's address.
pub type Broadcast = Addr<Broadcaster>;

/// How often old commands and events are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// What every HTTP handler can reach.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<DashboardConfig>,
    /// SQLite.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who may do what.
    pub auth: Arc<Auth>,
    /// Asks and tells about hosts.
    pub fleet: Addr<FleetActor>,
    /// Starts rollouts and goes on with them.
    pub rollouts: Addr<Rollouts>,
    /// Reads the fleet and joins its live updates.
    pub broadcaster: Broadcast,
}

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
    /// The data directory is in use.
    #[error("{0} is in use by another dashboard")]
    InUse(PathBuf),
}

/// Runs the dashboard until SIGINT or SIGTERM.
pub fn run(config: DashboardConfig) -> Result<(), DashboardError> {
    actix_rt::System::new().block_on(serve(config))
}

/// Writes a copy of the database, which may be in use. `to` must not exist.
pub fn backup(data_dir: &Path, to: &Path) -> Result<(), DashboardError> {
    store::backup::backup(data_dir, to)?;
    process::say(&format!("{} is a copy of the database in {}", to.display(), data_dir.display()));
    Ok(())
}

/// Puts a backup in the place of the database. Refused while a dashboard uses the directory.
pub fn restore(data_dir: &Path, from: &Path) -> Result<(), DashboardError> {
    let _lock = lock(data_dir)?;
    let kept = store::backup::restore(data_dir, from)?;
    process::say(&format!("{} is the database now", from.display()));
    if let Some(kept) = kept {
        process::say(&format!("the one before is kept as {}", kept.display()));
    }
    Ok(())
}

/// Holds the data directory for this process alone.
fn lock(data_dir: &Path) -> Result<nix::fcntl::Flock<std::fs::File>, DashboardError> {
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

async fn serve(config: DashboardConfig) -> Result<(), DashboardError> {
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
    keep_pruned(store.clone(), clock, &config);

    let door = AgentDoor {
        fleet: fleet.clone(),
        store: store.clone(),
        enrolment: config.agent_token.as_ref().map(|token| auth::token_hash(token.expose())),
    };
    let listen = config.listen;
    let app = App {
        config: Arc::new(config),
        store,
        clock,
        auth: Arc::new(auth),
        fleet: fleet.clone(),
        rollouts,
        broadcaster,
    };
    let (app_data, door_data) = (web::Data::new(app.clone()), web::Data::new(door));
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(app_data.clone())
            .app_data(door_data.clone())
            .wrap(Compress::default())
            .wrap(headers())
            .route("/ws", web::get().to(sockets::agent::connect))
            .route("/live", web::get().to(sockets::browser::connect))
            .route("/assets/{name}", web::get().to(assets::serve))
            .configure(api::configure)
            .configure(api::configure_hooks)
            .configure(pages::configure)
    })
    .workers(2)
    .shutdown_timeout(5)
    .disable_signals()
    .bind(listen)
    .map_err(|source| DashboardError::Listen { address: listen, source })?;
    let bound = server.addrs().first().copied().unwrap_or(listen);
    greet(&app, bound, first_start.password.as_deref());
    process::ready();
    keep_alive(&app);
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

/// Security headers of every answer.
fn headers() -> DefaultHeaders {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                  connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}

/// What a person reads who has just started it.
fn greet(app: &App, bound: std::net::SocketAddr, password: Option<&str>) {
    let own = format!("http://{bound}");
    let url = app.config.base_url.as_ref().unwrap_or(&own);
    let mut text = format!("nixfleet {} dashboard: {own}\n", env!("CARGO_PKG_VERSION"));
    if let Some(password) = password {
        let dir = app.config.data_dir.display();
        text += &format!(
            "admin password: {password}\n  \
             It is shown only now. A hash of it is kept in {dir}.\n\
             to add a host: open {url}, log in, and choose Add host.\n  \
             It gives you the host's token and the command that starts its agent.\n"
        );
    }
    if app.config.sources.is_empty() {
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

/// Tells the service manager's watchdog, if there is one, for as long as the actors and SQLite
/// answer.
fn keep_alive(app: &App) {
    let Some(every) = process::watched() else {
        return;
    };
    let (store, fleet, broadcaster) =
        (app.store.clone(), app.fleet.clone(), app.broadcaster.clone());
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
fn keep_pruned(store: Store, clock: Clock, config: &DashboardConfig) {
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
