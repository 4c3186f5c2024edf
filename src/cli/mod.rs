//! Flags and environment, one struct per role. The only room that reads the environment.

mod options;
mod parse;
mod values;

pub use parse::{CliError, environment, parse};

use crate::domain::operation::TimeLimits;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A secret from a file or the environment. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where desired state comes from (`NIXFLEET_SOURCE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSetting {
    /// `github:owner/repo`
    GitHub {
        /// The owner.
        owner: String,
        /// The repository.
        repo: String,
    },
    /// A git URL or a path.
    Git(String),
    /// The URL of a version.json.
    VersionJson(String),
}

/// One of the remotes that hosts follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSource {
    /// Its name; `default` if none was given.
    pub name: String,
    /// Where it is.
    pub setting: SourceSetting,
    /// The branch of it that hosts follow.
    pub branch: String,
}

/// Which pull requests update flake.lock: one of these is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestRules {
    /// Beginnings of their branches' names.
    pub branches: Vec<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Who opened them.
    pub authors: Vec<String>,
}

impl Default for PullRequestRules {
    /// What the update-flake-lock action and Renovate do.
    fn default() -> Self {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self {
            branches: own(&["update_flake_lock", "update-flake-lock", "renovate/lock-file"]),
            labels: own(&["flake-update", "flake.lock"]),
            authors: Vec::new(),
        }
    }
}

/// What the dashboard runs with.
#[derive(Debug, Clone)]
pub struct DashboardConfig {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Database and secrets live here.
    pub data_dir: PathBuf,
    /// The address that users and agents see, without a slash at the end.
    pub base_url: Option<String>,
    /// Argon2id or bcrypt hash of the admin password.
    pub password_hash: Option<Secret>,
    /// Base32 TOTP secret.
    pub totp_secret: Option<Secret>,
    /// Key that CSRF tokens are derived with.
    pub session_secret: Option<Secret>,
    /// Shared enrolment token: whoever has it may create hosts.
    pub agent_token: Option<Secret>,
    /// Where desired state comes from. The first is for hosts that match none.
    pub sources: Vec<NamedSource>,
    /// Key that senders of webhooks sign with; without it there are none.
    pub hook_secret: Option<Secret>,
    /// Which pull requests update flake.lock.
    pub pull_requests: PullRequestRules,
    /// Token for GitHub's API.
    pub github_token: Option<Secret>,
    /// Base URL of GitHub's API.
    pub github_api: String,
    /// How long an answer of the remote is used.
    pub fetch_ttl: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// How long commands are kept.
    pub command_retention: Duration,
    /// How long events are kept.
    pub event_retention: Duration,
    /// How long operations may take before they are overdue.
    pub time_limits: TimeLimits,
    /// How often browsers are told the version.
    pub sync_interval: Duration,
}

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

/// What the command line asks for.
#[derive(Debug)]
pub enum Role {
    /// `--dashboard`
    Dashboard(Box<DashboardConfig>),
    /// `--agent`
    Agent(Box<AgentConfig>),
    /// `--demo`
    Demo {
        /// Where its dashboard listens; `None`: port 8000, or a free one if that is taken.
        listen: Option<SocketAddr>,
    },
    /// `backup FILE`: a copy of the dashboard's database.
    Backup {
        /// The dashboard's directory.
        data_dir: PathBuf,
        /// Where to.
        file: PathBuf,
    },
    /// `restore FILE`: the way back.
    Restore {
        /// The dashboard's directory.
        data_dir: PathBuf,
        /// The backup.
        file: PathBuf,
    },
    /// `job-run DIR`, used by the agent itself: the detached supervisor of one job.
    JobRun {
        /// The job's directory.
        dir: PathBuf,
    },
}
