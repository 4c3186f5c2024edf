//! How notifications do, for those who look.

use super::engine::Limits;
use super::rules::Channel;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What all channels have in common, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// How long a state must last.
    pub(crate) limits: Limits,
    /// An address that is called for as long as the dashboard is well. It is a secret.
    pub(crate) heartbeat_url: Option<String>,
    /// How often.
    pub(crate) heartbeat_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let heartbeat_every = Duration::from_secs(60);
        Self { limits: Limits::default(), heartbeat_url: None, heartbeat_every }
    }
}

/// The outgoing heartbeat.
#[derive(Clone, Default)]
pub(crate) struct Heart {
    /// When the address was called last.
    pub(crate) called: Option<Timestamp>,
    /// When it said yes last.
    pub(crate) beaten: Option<Timestamp>,
    /// Why it did not.
    pub(crate) error: Option<String>,
    pub(crate) calling: bool,
}

/// How a channel does.
pub(crate) struct ChannelStatus {
    /// The channel, with its secret: whoever shows it leaves that out.
    pub(crate) channel: Channel,
    /// Messages on their way.
    pub(crate) waiting: usize,
    /// Why the oldest was not delivered.
    pub(crate) error: Option<String>,
    /// When a message was delivered last.
    pub(crate) delivered: Option<Timestamp>,
}

/// All about notifications.
pub(crate) struct Overview {
    /// By name.
    pub(crate) channels: Vec<ChannelStatus>,
    /// What they have in common.
    pub(crate) settings: Settings,
    /// The outgoing heartbeat.
    pub(crate) heart: Heart,
    /// How many incidents are open.
    pub(crate) open: usize,
}
