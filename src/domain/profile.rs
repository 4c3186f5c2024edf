//! What a host is called, how it looks, and where it is.

use super::generation::Generation;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Name, looks and place of a host: nothing that a compartment is decided by.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostProfile {
    /// The name as the host writes it.
    pub hostname: String,
    /// `nixos`, `darwin` or `home-manager`; empty until reported.
    pub platform: String,
    /// Version of the operating system.
    pub os_version: String,
    /// Version of nixpkgs.
    pub nixpkgs_version: String,
    /// home, work, cloud.
    pub location: String,
    /// server, desktop, laptop, gaming.
    pub device_type: String,
    /// `#rrggbb`, checked.
    pub theme_color: String,
    /// The config repository, as the agent says.
    pub repo_url: String,
    /// The agent's clone.
    pub repo_dir: String,
    /// The branch it follows.
    pub branch: Option<String>,
    /// Seconds between heartbeats.
    pub heartbeat_interval: f64,
    /// When the host was booted.
    pub boot_time: Option<Timestamp>,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: Option<bool>,
    /// The last ten generations.
    pub generations: Vec<Generation>,
}
