//! What operations and facts need to know about this machine: the agent's settings
//! without its secrets. Written into every job, so that the job needs no agent.

use crate::agent::config::{AgentConfig, GuardSettings, Platform, SignerFiles};
use crate::base::secret;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The machine as operations see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "its fields are those of `AgentConfig`, which says what they are")]
pub struct Site {
    pub hostname: String,
    pub platform: Platform,
    pub repo_url: Option<String>,
    pub repo_dir: PathBuf,
    pub branch: String,
    pub ssh_key: Option<PathBuf>,
    pub rebuild: Option<PathBuf>,
    #[serde(default)]
    pub rebuild_flags: Vec<String>,
    pub root: PathBuf,
    pub store_dir: PathBuf,
    pub home: PathBuf,
    pub state_dir: PathBuf,
    pub tests_enabled: bool,
    pub tests_auto_run: bool,
    pub test_timeout: Duration,
    #[serde(default)]
    pub check_power: bool,
    /// The dashboard's address.
    #[serde(default)]
    pub url: String,
    /// What the dashboard is known by.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub guard: GuardSettings,
    #[serde(default)]
    pub signers: SignerFiles,
}

impl Site {
    /// Takes what is not secret.
    pub fn of(config: &AgentConfig) -> Self {
        Self {
            hostname: config.hostname.clone(),
            platform: config.platform,
            repo_url: config.repo_url.clone(),
            repo_dir: config.repo_dir.clone(),
            branch: config.branch.clone(),
            ssh_key: config.ssh_key.clone(),
            rebuild: config.rebuild.clone(),
            rebuild_flags: config.rebuild_flags.clone(),
            root: config.root.clone(),
            store_dir: config.store_dir.clone(),
            home: config.home.clone(),
            state_dir: config.state_dir.clone(),
            tests_enabled: config.tests_enabled,
            tests_auto_run: config.tests_auto_run,
            test_timeout: config.test_timeout,
            check_power: config.check_power,
            url: secret::address_without_credentials(&config.url),
            ca: config.ca.clone(),
            guard: config.guard.clone(),
            signers: config.signers.clone(),
        }
    }

    /// Whether switches of this machine are guarded, as it is set up.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.enabled && self.can_be_guarded()
    }

    /// Whether they could be. Only NixOS can; and what stands for `/` elsewhere is no machine that
    /// systemd could bring back.
    pub(crate) fn can_be_guarded(&self) -> bool {
        self.platform == Platform::NixOs && self.root == Path::new("/")
    }

    /// Where this host's tests are.
    pub fn tests_dir(&self) -> PathBuf {
        self.repo_dir.join("hosts").join(&self.hostname).join("tests")
    }

    /// Where tests lie that are common to all hosts without tests of their own.
    pub fn common_tests_dir(&self) -> PathBuf {
        self.repo_dir.join("tests")
    }
}
