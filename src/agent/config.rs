//! What the agent runs with.

use crate::base::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How an agent rebuilds and what it looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// NixOS.
    #[serde(rename = "nixos")]
    NixOs,
    /// macOS with nix-darwin.
    Darwin,
    /// Only home-manager, on Linux or macOS.
    HomeManager,
}

impl Platform {
    /// The name on the wire of protocol 4.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NixOs => "nixos",
            Self::Darwin => "darwin",
            Self::HomeManager => "home-manager",
        }
    }
}

/// What the agent runs with.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The dashboard's WebSocket, `ws://` or `wss://`, ending in `/ws`.
    pub url: String,
    /// This host's token.
    pub token: Secret,
    /// The config repository; `None`: `repo_dir` is a clone already and its origin counts.
    pub repo_url: Option<String>,
    /// The agent's own clone.
    pub repo_dir: PathBuf,
    /// The branch to follow.
    pub branch: String,
    /// Private key for git over ssh.
    pub ssh_key: Option<PathBuf>,
    /// Time between heartbeats.
    pub interval: Duration,
    /// This host's name.
    pub hostname: String,
    /// `#rrggbb`
    pub theme_color: String,
    /// home, work or cloud
    pub location: String,
    /// server, desktop, laptop or gaming
    pub device_type: String,
    /// How to rebuild.
    pub platform: Platform,
    /// Clone, jobs and spool live here.
    pub state_dir: PathBuf,
    /// Whether tests are on.
    pub tests_enabled: bool,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: bool,
    /// How long one test may take.
    pub test_timeout: Duration,
    /// Whether a battery that is nearly empty is in the way of a switch.
    pub check_power: bool,
    /// The program used instead of nixos-rebuild, darwin-rebuild or home-manager.
    pub rebuild: Option<PathBuf>,
    /// More arguments for it.
    pub rebuild_flags: Vec<String>,
    /// Directory that stands for `/` where the agent looks at what runs
    /// (`run/current-system`, `nix/var/nix/profiles`). Other than `/` only in tests and the demo.
    pub root: PathBuf,
    /// Where store paths begin: `/nix/store`, unless Nix itself is told otherwise.
    pub store_dir: PathBuf,
    /// The user's home directory: where home-manager keeps its generations.
    pub home: PathBuf,
    /// A service manager starts the agent again when it ends.
    pub managed: bool,
}
