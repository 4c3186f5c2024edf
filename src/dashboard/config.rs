//! What the dashboard runs with.

use crate::base::secret::{self, Secret};
use crate::domain::operation::TimeLimits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// A repository of a Gitea or Forgejo.
    Gitea {
        /// Its address, without a slash at the end.
        site: String,
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

impl SourceSetting {
    /// Where hosts can clone it from; `None` where only its state is known. No user and no password
    /// is in it.
    pub fn clone_address(&self) -> Option<String> {
        match self {
            Self::GitHub { owner, repo } => Some(format!("https://github.com/{owner}/{repo}.git")),
            Self::Gitea { site, owner, repo } => Some(format!("{site}/{owner}/{repo}.git")),
            Self::Git(url) => Some(secret::address_without_credentials(url)),
            Self::VersionJson(_) => None,
        }
    }
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
    /// Parts of their titles, in any case.
    pub titles: Vec<String>,
    /// Who opened them.
    pub authors: Vec<String>,
}

impl Default for PullRequestRules {
    /// What the update-flake-lock action and Renovate do, and what NixFleet 3 knew them by.
    fn default() -> Self {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self {
            branches: own(&["update_flake_lock", "update-flake-lock", "renovate/lock-file"]),
            labels: own(&["flake-update", "flake.lock", "automated", "dependencies"]),
            titles: own(&["flake.lock", "Update flake", "Bump flake"]),
            authors: Vec::new(),
        }
    }
}

/// The files that TLS is spoken with, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
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
    /// Token for the API of a Gitea or Forgejo, and for git there.
    pub gitea_token: Option<Secret>,
    /// Private key for git over ssh.
    pub ssh_key: Option<PathBuf>,
    /// Base URL of GitHub's API.
    pub github_api: String,
    /// How long an answer of the remote is used.
    pub fetch_ttl: Duration,
    /// What TLS is spoken with; `None`: it is not.
    pub tls: Option<TlsFiles>,
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

impl DashboardConfig {
    /// Whether users reach it over TLS: its own, or that of a proxy before it.
    pub fn is_https(&self) -> bool {
        match &self.base_url {
            Some(url) => url.starts_with("https://"),
            None => self.tls.is_some(),
        }
    }
}
