//! The agent: connects out to the dashboard and runs the operations.
//!
//! The agent itself only follows. What it runs are jobs ([`jobs`]), each under a detached
//! supervisor, so that the agent may die at any time and nothing is lost.

mod check;
pub mod config;
mod connection;
mod disk;
mod facts;
mod follower;
pub mod guard;
pub mod jobs;
mod metrics;
mod notices;
mod operations;
mod orders;
mod platform;
mod read;
mod reports;
mod repository;
mod session;
mod site;
mod state_dir;
mod tls;

use crate::base::process;
use crate::domain::ids::WholeCommit;
use crate::domain::timestamp::Timestamp;

pub use check::check;
use config::AgentConfig;
use facts::{Facts, Snapshot};
use jobs::Jobs;
use metrics::Meter;
use notices::Notices;
use repository::Whose;
use site::Site;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// Its directory could be written by others, who could plant jobs there.
    #[error("NIXFLEET_STATE_DIR: {0}")]
    Unsafe(String),
    /// The clone cannot be given to the agent.
    #[error("{0}")]
    Adopt(String),
    /// The owner's word for a commit cannot be kept.
    #[error("{0}")]
    Trust(String),
    /// Another agent uses the directory.
    #[error("{0} is in use by another agent")]
    InUse(PathBuf),
    /// It was told to restart and could not.
    #[error("cannot start again: {0}")]
    Restart(io::Error),
}

/// The agent while it runs.
pub struct Agent {
    config: AgentConfig,
    site: Site,
    jobs: Arc<Jobs>,
    facts: Arc<Mutex<Facts>>,
    notices: Notices,
    /// The machine as it was seen last.
    snapshot: Snapshot,
    meter: Meter,
    binary_hash: Option<String>,
    started: Timestamp,
    /// It was told to restart.
    restart: bool,
}

impl Agent {
    fn new(config: AgentConfig, jobs: Jobs) -> Self {
        let site = Site::of(&config);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            facts: Arc::new(Mutex::new(Facts::new(site.clone()))),
            notices: jobs.notices(),
            jobs: Arc::new(jobs),
            snapshot: Snapshot::default(),
            meter: Meter::new(),
            binary_hash: facts::binary_hash(),
            started: Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(0)),
            restart: false,
            site,
            config,
        }
    }
}

impl AgentError {
    /// Whether whoever started it must change a setting: the exit code says so.
    pub fn is_bad_setting(&self) -> bool {
        match self {
            Self::StateDir { .. } | Self::Unsafe(_) => true,
            Self::Adopt(_) | Self::Trust(_) | Self::InUse(_) | Self::Restart(_) => false,
        }
    }
}

/// Runs the agent until it is ended by a signal. Jobs go on without it.
///
/// # Errors
///
/// Its directory cannot be used, or it was told to restart and could not.
pub fn run(config: AgentConfig) -> Result<(), AgentError> {
    let path = config.state_dir.clone();
    let state_dir = |source| AgentError::StateDir { path: path.clone(), source };
    state_dir::prepare(&path).map_err(state_dir)?;
    if let Some(why) = state_dir::is_unsafe(&path) {
        return Err(AgentError::Unsafe(why));
    }
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
    let jobs = Jobs::open(&config.state_dir).map_err(state_dir)?;
    let managed = config.managed;
    let mut agent = Agent::new(config, jobs);
    in_the_background("clone", {
        let (site, notices) = (agent.site.clone(), agent.notices.clone());
        move || take_care_of_the_clone(&site, &notices)
    });
    in_the_background("jobs", {
        let jobs = Arc::clone(&agent.jobs);
        move || jobs.start_what_never_began()
    });
    in_the_background("guard", {
        let jobs = Arc::clone(&agent.jobs);
        move || guard::watch::run(&jobs)
    });
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
        connection::run(&mut agent, Box::pin(ended())).await;
    });
    // A service manager starts it again; without one it has to do so itself.
    if agent.restart && !managed {
        return Err(AgentError::Restart(start_again()));
    }
    Ok(())
}

/// Gives the clone to the agent (`nixfleet --agent --adopt-clone`). Answers what to tell.
///
/// # Errors
///
/// There is no clone, or it cannot be marked.
pub fn adopt_clone(config: &AgentConfig) -> Result<String, AgentError> {
    repository::adopt(&Site::of(config)).map_err(AgentError::Adopt)
}

/// Takes the owner's word for a commit after the branch was rewritten (`nixfleet --agent --trust`).
/// Answers what to tell.
///
/// # Errors
///
/// There is no directory of an agent, or it cannot be written.
pub fn trust(config: &AgentConfig, commit: &WholeCommit) -> Result<String, AgentError> {
    repository::signed::trust(&Site::of(config), commit).map_err(AgentError::Trust)
}

/// Replaces this process by a new one of the same program, arguments and environment.
fn start_again() -> io::Error {
    use std::os::unix::process::CommandExt;
    match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}

fn in_the_background(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        log::error!("no thread for {name}: {error}");
    }
}

/// The mark on a clone that is the agent's, and the first clone, so that the host has facts before
/// anybody pulls.
fn take_care_of_the_clone(site: &Site, notices: &Notices) {
    match repository::mark_if_ours(site) {
        Ok(true) => {
            let dir = site.repo_dir.display();
            notices.add(format!("{dir} is marked as the agent's clone: a pull resets it"));
        }
        Ok(false) => {}
        Err(error) => log::error!("{} cannot be marked: {error}", site.repo_dir.display()),
    }
    match repository::whose(site) {
        Whose::Nobody | Whose::Agent => first_clone(site),
        Whose::User => log::info!("{} is a user's clone", site.repo_dir.display()),
        Whose::Foreign(why) => log::error!("NIXFLEET_REPO_DIR: {why}"),
    }
}

fn first_clone(site: &Site) {
    if repository::checkout(site).is_some() {
        return;
    }
    let mut wait = CLONE_AGAIN.0;
    let mut complained = String::new();
    while let Err(why) = repository::own::make(site) {
        if why != complained {
            log::error!("NIXFLEET_REPO_URL: the config repository cannot be cloned: {why}");
            complained = why;
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(CLONE_AGAIN.1);
    }
    log::info!("the config repository is at {}", repository::checkout(site).unwrap_or_default());
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
