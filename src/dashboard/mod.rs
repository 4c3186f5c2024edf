//! The dashboard: web interface, SQLite, one actor per host.
//!
//! [`run`] starts everything and returns when the process is told to end.

mod assets;
mod auth;
#[doc(hidden)]
pub mod bench;
mod brake;
mod check;
mod clock;
pub mod config;
mod fleet;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod link;
mod live;
mod maintenance;
mod metrics;
mod notify;
mod recover;
mod remotes;
mod request_error;
mod rollouts;
mod server;
mod startup;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod upkeep;
mod views;

use crate::base::process;
pub use check::check;
use config::DashboardConfig;
pub use recover::{hash_password, reset_password, verify_audit};
pub use startup::DashboardError;
use std::path::Path;

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
    let _lock = startup::lock(data_dir)?;
    let kept = store::backup::restore(data_dir, from)?;
    process::say(&format!("{} is the database now", from.display()));
    if let Some(kept) = kept {
        process::say(&format!("the one before is kept as {}", kept.display()));
    }
    Ok(())
}
