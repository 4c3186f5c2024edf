//! The remote desired state, and how well it is known.

use super::facts::LockState;
use super::ids::Commit;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// What the version fetcher last learned from the remote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Desired {
    /// No source was given; names the missing setting.
    NotConfigured {
        /// E.g. `NIXFLEET_SOURCE`.
        setting: String,
    },
    /// Start-up, before the first answer.
    NotYetFetched,
    /// The remote answered.
    Known(Remote),
    /// The remote could not be read.
    Unavailable {
        /// Since when.
        since: Timestamp,
        /// Why, in words for the user.
        reason: String,
        /// What it said before.
        last_known: Option<Remote>,
    },
}

impl Desired {
    /// What the remote says now; `None` unless the last fetch succeeded.
    pub fn known(&self) -> Option<&Remote> {
        match self {
            Self::Known(remote) => Some(remote),
            Self::NotConfigured { .. } | Self::NotYetFetched | Self::Unavailable { .. } => None,
        }
    }
}

/// The head of the remote's branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// The branch, without `origin/`.
    pub branch: String,
    /// Its head.
    pub commit: Commit,
    /// The flake.lock at the head.
    pub lock: LockState,
    /// First line of the head's commit message. Hostile text.
    pub subject: String,
    /// When the head was committed.
    pub committed_at: Timestamp,
    /// When the remote was last read.
    pub fetched_at: Timestamp,
    /// An open pull request that updates flake.lock.
    pub pending_pr: Option<PendingPr>,
}

impl Remote {
    /// Whether both say the same about the remote, whenever they were read.
    pub fn same_state(&self, other: &Remote) -> bool {
        Self {
            fetched_at: other.fetched_at,
            ..self.clone()
        } == *other
    }
}

/// An open pull request that updates flake.lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPr {
    /// Its number.
    pub number: u64,
    /// Its title. Hostile text.
    pub title: String,
    /// Its page.
    pub url: String,
    /// Whether it can be merged now.
    pub mergeable: bool,
}
