//! What a host is called, how it looks, and where it is.

use super::disk::Disk;
use super::generation::Generation;
use super::looks::{Colour, DeviceType, Place, or_empty, or_null};
use super::tag::Tags;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// Where it stands; `None` until reported.
    #[serde(with = "or_empty")]
    pub location: Option<Place>,
    /// What kind of machine it is; `None` until reported.
    #[serde(with = "or_empty")]
    pub device_type: Option<DeviceType>,
    /// Its colour on the page; `None` until reported.
    #[serde(with = "or_empty")]
    pub theme_color: Option<Colour>,
    /// The tags that its configuration gives it; shown together with those that users added.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The config repository, as the agent says.
    pub repo_url: String,
    /// The agent's clone.
    pub repo_dir: String,
    /// The files on the host that say who may sign what it takes; empty: it takes any commit, or does
    /// not tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    /// The branch it follows.
    pub branch: Option<String>,
    /// How often its agent says that it is there; `None` while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beats_every: Option<Duration>,
    /// When the host was booted.
    pub boot_time: Option<Timestamp>,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: Option<bool>,
    /// How long its tests take at most, all of them; `None` while that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests_take: Option<Duration>,
    /// The last ten generations.
    pub generations: Vec<Generation>,
    /// Its disks, as far as they matter to the agent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// What users set on the dashboard.
    pub overrides: Overrides,
}

/// What users set on the dashboard for one host. It wins over what the agent says; `None`
/// leaves that to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Where it stands.
    #[serde(with = "or_null")]
    pub location: Option<Place>,
    /// What kind of machine it is.
    #[serde(with = "or_null")]
    pub device_type: Option<DeviceType>,
    /// Its colour on the page.
    #[serde(with = "or_null")]
    pub theme_color: Option<Colour>,
    /// Tags beside those that its configuration gives it.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Whether tests are on.
    pub tests_enabled: Option<bool>,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: Option<bool>,
    /// Whether failed tests after a switch roll it back without asking; off by default.
    pub auto_rollback: bool,
    /// Whether its switches are guarded (spec: guard).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<bool>,
}

impl HostProfile {
    /// Those that its configuration gives it, and those that users added.
    pub fn shown_tags(&self) -> Tags {
        self.tags.with(&self.overrides.tags)
    }

    /// Name, looks and place as they are shown.
    pub fn shown(&self) -> Self {
        let mut shown = self.clone();
        let over = &self.overrides;
        shown.location = over.location.or(self.location);
        shown.device_type = over.device_type.or(self.device_type);
        if over.theme_color.is_some() {
            shown.theme_color.clone_from(&over.theme_color);
        }
        shown.tags = self.shown_tags();
        shown.tests_auto_run = over.tests_auto_run.or(self.tests_auto_run);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_an_earlier_version_stored_is_read_and_written_in_its_words() {
        let stored = serde_json::json!({
            "hostname": "web", "platform": "nixos", "os_version": "25.11",
            "nixpkgs_version": "25.11", "location": "home", "device_type": "server",
            "theme_color": "#7aa2f7", "repo_url": "", "repo_dir": "", "branch": null,
            "heartbeat_interval": 5.0, "boot_time": null, "tests_auto_run": null,
            "generations": [],
            "overrides": {
                "location": "cloud", "device_type": null, "theme_color": "#FF0000",
                "tests_enabled": null, "tests_auto_run": false, "auto_rollback": true,
            },
        });
        let profile: HostProfile = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(profile.location, Some(Place::Home));
        assert_eq!(profile.overrides.location, Some(Place::Cloud));
        let mut again = serde_json::to_value(&profile).unwrap();
        again["heartbeat_interval"] = 5.0.into();
        assert_eq!(again, stored);
    }

    #[test]
    fn text_of_an_agent_that_an_earlier_version_stored_unchecked_becomes_nothing() {
        let stored = r#"{"location": "<script>", "device_type": "toaster", "theme_color": "",
            "overrides": {"location": "<script>"}}"#;
        let profile: HostProfile = serde_json::from_str(stored).unwrap();
        assert_eq!(profile, HostProfile::default());
        let written = serde_json::to_value(&profile).unwrap();
        assert_eq!((&written["location"], &written["theme_color"]), (&"".into(), &"".into()));
    }
}
