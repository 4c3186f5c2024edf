//! The dashboard: web interface, SQLite, one actor per host.
//!
//! [`run`] starts everything and returns when the process is told to end.

mod assets;
mod auth;
mod clock;
pub mod config;
mod fleet;
mod http;
mod link;
mod live;
mod metrics;
mod remotes;
mod request_error;
mod rollouts;
mod startup;
mod store;
mod upkeep;
mod views;

use crate::base::process;
use config::DashboardConfig;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use store::StoreError;

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
    actix_rt::System::new().block_on(startup::serve(config))
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
