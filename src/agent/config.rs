//! What the agent runs with.

use crate::base::secret::Secret;
use crate::domain::looks::{Colour, DeviceType, Place};
use crate::domain::tag::Tags;
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

/// Settings of the guard on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardSettings {
    /// Whether switches are guarded.
    pub enabled: bool,
    /// Whether the host reboots when the old system does not come back otherwise.
    pub reboot: bool,
    /// Units that may fail.
    pub ignore_units: Vec<String>,
    /// How long an activation may take.
    pub activation: Duration,
    /// How long an activated system has to be confirmed.
    pub window: Duration,
}

impl GuardSettings {
    /// No activation may take longer: until it ends, or is ended, the host is between two systems, and
    /// its way back waits as long.
    pub const ACTIVATION_AT_MOST: Duration = Duration::from_secs(2 * 3600);
    /// No system may take longer to prove itself.
    pub const WINDOW_AT_MOST: Duration = Duration::from_secs(3600);
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            reboot: true,
            ignore_units: Vec::new(),
            activation: Duration::from_secs(15 * 60),
            window: Duration::from_secs(120),
        }
    }
}

/// Who may sign what this host takes. Where neither is set it takes any commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignerFiles {
    /// Keys of ssh, in git's format of allowed signers.
    pub allowed: Option<PathBuf>,
    /// Keys of gpg, as exported, or a keybox.
    pub keyring: Option<PathBuf>,
}

/// What the agent runs with.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The dashboard's WebSocket, `ws://` or `wss://`, ending in `/ws`.
    pub url: String,
    /// Certificates to know the dashboard by; `None`: those of the system.
    pub ca: Option<PathBuf>,
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
    /// The colour of its row; `None` leaves that to the dashboard.
    pub theme_color: Option<Colour>,
    /// Where it stands, where that was said.
    pub location: Option<Place>,
    /// What kind of machine it is, where that was said.
    pub device_type: Option<DeviceType>,
    /// Words by which the host is found and chosen.
    pub tags: Tags,
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
    /// How its switches are guarded.
    pub guard: GuardSettings,
    /// Who may sign what it takes.
    pub signers: SignerFiles,
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
