//! Where desired state comes from.
//!
//! A source blocks: it is asked on a thread of its own, never by an actor. It knows
//! nothing of hosts; it reads a remote and says what it saw, or why it could not.

mod git;

use crate::cli::SourceSetting;
use crate::domain::facts::{LockState, Relation};
use crate::domain::ids::Commit;
use crate::domain::timestamp::Timestamp;
use std::path::Path;

/// The head of the remote's branch, as just read.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// The head.
    pub commit: Commit,
    /// The flake.lock at the head.
    pub lock: LockState,
    /// First line of the head's commit message. Hostile text.
    pub subject: String,
    /// When the head was committed.
    pub committed_at: Timestamp,
}

/// Why a remote could not be read, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// A remote.
pub trait Source: Send {
    /// Reads the head of the branch.
    fn fetch(&mut self) -> Result<Fetched, SourceError>;
    /// Says how a host's commit relates to a head that was fetched.
    fn relation(&mut self, host: &Commit, head: &Commit) -> Result<Relation, SourceError>;
}

/// The source that a setting asks for. Caches live below `data_dir`.
pub fn open(setting: &SourceSetting, branch: &str, data_dir: &Path) -> Box<dyn Source> {
    match setting {
        SourceSetting::Git(url) => Box::new(git::GitSource::new(url, branch, data_dir)),
        SourceSetting::GitHub { .. } | SourceSetting::VersionJson(_) => Box::new(NotYet),
    }
}

/// A kind of source that this version cannot read.
struct NotYet;

impl NotYet {
    fn error<T>() -> Result<T, SourceError> {
        Err(SourceError(
            "this version reads git URLs and paths only; give NIXFLEET_SOURCE as one".to_owned(),
        ))
    }
}

impl Source for NotYet {
    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        Self::error()
    }

    fn relation(&mut self, _: &Commit, _: &Commit) -> Result<Relation, SourceError> {
        Self::error()
    }
}
