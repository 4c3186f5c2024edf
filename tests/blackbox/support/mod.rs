//! What the tests share: processes, repositories, clients, and waiting for conditions.

pub mod agent;
pub mod browser;
pub mod client;
pub mod cutter;
pub mod dashboard;
pub mod github;
pub mod old_agent;
pub mod old_host;
pub mod proxy;
pub mod repo;
pub mod standin;

pub use agent::Agent;
pub use client::Client;
pub use dashboard::Dashboard;
pub use github::GitHub;
pub use old_agent::OldAgent;
pub use old_host::OldHost;
pub use proxy::Proxy;
pub use repo::ConfigRepo;
pub use standin::StandIn;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take to come true. Generous: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` answers `Ok`; panics with the last `Err` when patience is over.
#[track_caller]
pub fn wait_until<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() >= until => {
                panic!("waited in vain until {what}: {last:#?}")
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
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
