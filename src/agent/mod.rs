//! The agent: connects out to the dashboard and runs the operations.
//!
//! The agent itself only follows. What it runs are jobs ([`jobs`]), each under a detached
//! supervisor, so that the agent may die at any time and nothing is lost.

pub mod config;
mod connection;
mod facts;
mod follower;
pub mod jobs;
mod metrics;
mod operations;
mod platform;
mod repository;
mod site;

use crate::agent::config::AgentConfig;
use crate::base::process;
use connection::Connection;
use site::Site;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

/// First and longest wait before the clone is tried again.
const CLONE_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its directory cannot be used.
    #[error("NIXFLEET_STATE_DIR: cannot use {path}: {source}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another agent uses the directory.
    #[error("{0} is in use by another agent")]
    InUse(PathBuf),
    /// It was told to restart and could not.
    #[error("cannot start again: {0}")]
    Restart(io::Error),
}

impl AgentError {
    /// Whether whoever started it must change a setting: the exit code says so.
    pub fn is_bad_setting(&self) -> bool {
        match self {
            Self::StateDir { .. } => true,
            Self::InUse(_) | Self::Restart(_) => false,
        }
    }
}

/// Runs the agent until it is ended by a signal. Jobs go on without it.
pub fn run(config: AgentConfig) -> Result<(), AgentError> {
    let path = config.state_dir.clone();
    let state_dir = |source| AgentError::StateDir { path: path.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(state_dir)?;
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path.join("agent.lock"))
        .map_err(state_dir)?;
    let _lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| AgentError::InUse(path.clone()))?;
    log::info!(
        "nixfleet {} agent of {} ({}), dashboard {}",
        env!("CARGO_PKG_VERSION"),
        config.hostname,
        config.platform.name(),
        config.url
    );
    // An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    clone_in_the_background(Site::of(&config));
    let managed = config.managed;
    let mut connection = Connection::new(config).map_err(state_dir)?;
    actix_rt::System::new().block_on(async {
        process::ready();
        if let Some(every) = process::watched() {
            // On the loop that does everything else: while that hangs, nobody is told.
            actix_rt::spawn(async move {
                loop {
                    process::alive();
                    actix_rt::time::sleep(every).await;
                }
            });
        }
        let (ended, ran) = (Box::pin(ended()), Box::pin(connection.run()));
        futures_util::future::select(ended, ran).await;
    });
    // A service manager starts it again; without one it has to do so itself.
    if connection.is_restarting() && !managed {
        return Err(AgentError::Restart(start_again()));
    }
    Ok(())
}

/// Replaces this process by a new one of the same program, arguments and environment.
fn start_again() -> io::Error {
    use std::os::unix::process::CommandExt;
    match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}

/// The first clone, so that the host has facts before anybody pulls.
fn clone_in_the_background(site: Site) {
    if repository::checkout(&site).is_some() {
        return;
    }
    let work = move || {
        let mut wait = CLONE_AGAIN.0;
        let mut complained = String::new();
        while let Err(why) = repository::make(&site) {
            if why != complained {
                log::error!("NIXFLEET_REPO_URL: the config repository cannot be cloned: {why}");
                complained = why;
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(CLONE_AGAIN.1);
        }
        log::info!(
            "the config repository is at {}",
            repository::checkout(&site).unwrap_or_default()
        );
    };
    if let Err(error) = std::thread::Builder::new().name("clone".to_owned()).spawn(work) {
        log::error!("no thread to clone the config repository: {error}");
    }
}

async fn ended() {
    use actix_rt::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    let (interrupt, terminate) = (Box::pin(interrupt.recv()), Box::pin(terminate.recv()));
    futures_util::future::select(interrupt, terminate).await;
}
