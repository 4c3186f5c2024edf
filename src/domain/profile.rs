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
    /// What users set on the dashboard.
    pub overrides: Overrides,
}

/// What users set on the dashboard for one host. It wins over what the agent says; `None`
/// leaves that to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// home, work, cloud.
    pub location: Option<String>,
    /// server, desktop, laptop, gaming.
    pub device_type: Option<String>,
    /// `#rrggbb`, checked.
    pub theme_color: Option<String>,
    /// Whether tests are on.
    pub tests_enabled: Option<bool>,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: Option<bool>,
    /// Whether failed tests after a switch roll it back without asking; off by default.
    pub auto_rollback: bool,
}

impl HostProfile {
    /// Name, looks and place as they are shown.
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        let over = &self.overrides;
        for (own, set) in [
            (&mut shown.location, &over.location),
            (&mut shown.device_type, &over.device_type),
            (&mut shown.theme_color, &over.theme_color),
        ] {
            if let Some(set) = set {
                own.clone_from(set);
            }
        }
        shown.tests_auto_run = over.tests_auto_run.or(self.tests_auto_run);
        shown
    }
}
