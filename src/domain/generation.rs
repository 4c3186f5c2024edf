//! Generations of a host's system, and drift between hosts.

use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// One generation in a host's system profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number in the profile.
    pub generation: u64,
    /// Its resolved store path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    /// The flake commit it was built from, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_revision: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Whether it runs now.
    #[serde(default)]
    pub current: bool,
}
