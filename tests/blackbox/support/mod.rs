//! What the tests share: processes, repositories, clients, and waiting for conditions.

pub mod agent;
pub mod browser;
pub mod client;
pub mod cutter;
pub mod dashboard;
pub mod flood;
pub mod gitea;
pub mod github;
pub mod live;
pub mod new_host;
pub mod old_agent;
pub mod old_host;
mod pipe;
pub mod proxy;
pub mod repo;
#[cfg(target_os = "linux")]
pub mod set_clock;
pub mod standin;
mod stopwatch;
pub mod web;

pub use agent::Agent;
pub use client::Client;
pub use dashboard::Dashboard;
pub use gitea::Gitea;
pub use github::GitHub;
pub use live::Live;
pub use old_agent::OldAgent;
pub use old_host::OldHost;
pub use pipe::Pipe;
pub use proxy::Proxy;
pub use repo::ConfigRepo;
#[cfg(target_os = "linux")]
pub use set_clock::SetClock;
pub use standin::StandIn;
pub use stopwatch::Stopwatch;
pub use web::Web;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take to come true. Generous: a machine may be busy, or stand still for a
/// while. Nothing that works waits for so long.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `look` answers `Ok`; panics with the last `Err` when patience is over.
#[track_caller]
pub fn wait_until<T, E: Debug>(what: &str, look: impl FnMut() -> Result<T, E>) -> T {
    match poll(PATIENCE, look) {
        Ok(found) => found,
        Err(last) => panic!("waited in vain until {what}: {last:#?}"),
    }
}

/// Looks again and again until `look` answers `Ok`; the last `Err` when patience is over. It polls,
/// because nobody tells a test what it waits for: that another process wrote a file, that a page
/// shows something, that a machine is up. The pause is no measure of anything: it only leaves the
/// processor to those who are waited for.
pub fn poll<T, E>(patience: Duration, mut look: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    const PAUSE: Duration = Duration::from_millis(20);
    let until = Instant::now() + patience;
    loop {
        match look() {
            Err(_) if Instant::now() < until => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}

/// What is found within one minute, in which things are counted. Where a slow machine needs longer,
/// nothing was found, and it is looked again.
#[track_caller]
pub fn within_a_minute<T>(mut look: impl FnMut() -> T) -> T {
    wait_until("it is all done within a minute", || {
        let began = Instant::now();
        let found = look();
        let took = began.elapsed();
        if took < Duration::from_secs(55) { Ok(found) } else { Err(took) }
    })
}

/// As a power cut would.
pub fn kill_9(child: &mut Child) {
    child.kill().expect("the process can be killed");
    child.wait().expect("the process was ours");
}

/// The binary under test, without any setting of the machine that runs the tests.
pub fn nixfleet() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nixfleet"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NIXFLEET_") {
            command.env_remove(name);
        }
    }
    command.env_remove("STATE_DIRECTORY").env_remove("INVOCATION_ID");
    command
}

/// Processes whose environment or arguments name a directory.
pub fn processes_of(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.to_str().unwrap().as_bytes().to_vec();
    let names = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(dir.len()).any(|window| window == dir)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| names(path.join("cmdline")) || names(path.join("environ")))
        .collect()
}
