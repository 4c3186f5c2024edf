//! What is told, to whom, and when: no I/O, no clock.
//!
//! [`State::tick`] takes what the fleet looks like and what has happened since, and gives messages.
//! All of it is stored before any of it is sent.

mod engine;
mod note;
mod overview;
mod rules;
mod words;

pub(crate) use engine::{GIVEN_UP_AFTER, Level, Message, News, Observed, State};
pub(crate) use overview::{ChannelStatus, Heart, Overview, Settings};
pub(crate) use rules::{Channel, Quiet, Security, Target, minute_of};

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// What may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A switch or a rollback did not succeed; ends with the next that does.
    SwitchFailed,
    /// A host went back to an earlier generation.
    RolledBack,
    /// Tests failed on what runs; ends when they do no more.
    TestsRed,
    /// No agent is connected, for longer than said; ends when there is one.
    Offline,
    /// The kernel that runs is another than the system's, for longer than said; ends with the reboot.
    RebootNeeded,
    /// A source cannot be read, for longer than said; ends when it can.
    RemoteUnreadable,
    /// The last host of a rollout is through.
    RolloutEnded,
    /// Somebody logged in, or tried to.
    Login,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 8] = [
        Self::SwitchFailed,
        Self::RolledBack,
        Self::TestsRed,
        Self::Offline,
        Self::RebootNeeded,
        Self::RemoteUnreadable,
        Self::RolloutEnded,
        Self::Login,
    ];

    /// The name in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SwitchFailed => "switch_failed",
            Self::RolledBack => "rolled_back",
            Self::TestsRed => "tests_red",
            Self::Offline => "offline",
            Self::RebootNeeded => "reboot_needed",
            Self::RemoteUnreadable => "remote_unreadable",
            Self::RolloutEnded => "rollout_ended",
            Self::Login => "login",
        }
    }

    /// For people.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::SwitchFailed => "switch failed",
            Self::RolledBack => "rolled back",
            Self::TestsRed => "tests failed",
            Self::Offline => "offline",
            Self::RebootNeeded => "reboot needed",
            Self::RemoteUnreadable => "source cannot be read",
            Self::RolloutEnded => "rollout ended",
            Self::Login => "login",
        }
    }

    /// Reads a name of the API.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its subjects are hosts.
    pub(crate) const fn is_about_a_host(self) -> bool {
        match self {
            Self::SwitchFailed
            | Self::RolledBack
            | Self::TestsRed
            | Self::Offline
            | Self::RebootNeeded => true,
            Self::RemoteUnreadable | Self::RolloutEnded | Self::Login => false,
        }
    }
}
