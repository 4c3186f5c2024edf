//! What a fetcher is asked, and what it tells.

use super::source::{MergeError, Reverted};
use crate::domain::desired::Desired;
use crate::domain::facts::Comparison;
use crate::domain::ids::{Commit, HostId};
use actix::Message;
use std::sync::Arc;

/// A remote says something new.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Publish {
    /// The source's name.
    pub source: Arc<str>,
    /// What it says.
    pub desired: Arc<Desired>,
}

/// Fetch anew; answers what the remote says then. At most one fetch is in flight and one
/// waits, however many ask.
#[derive(Message)]
#[rtype(result = "Result<Arc<Desired>, ()>")]
pub(crate) struct Refresh;

/// How do these commits relate? Answers why not, if that cannot be told. A host has one such
/// question at a time: an older one of its is forgotten.
#[derive(Message)]
#[rtype(result = "Result<Comparison, String>")]
pub(crate) struct Compare {
    /// Who asks.
    pub by: HostId,
    /// The host's commit.
    pub host: Commit,
    /// The remote's head.
    pub head: Commit,
}

/// Merge a pull request whose head is still the one that was looked at.
#[derive(Message)]
#[rtype(result = "Result<(), MergeError>")]
pub(crate) struct Merge {
    /// Its number.
    pub number: u64,
    /// The head that was looked at.
    pub head: String,
}

/// Open a pull request that takes a merged one back.
#[derive(Message)]
#[rtype(result = "Result<Reverted, MergeError>")]
pub(crate) struct Revert {
    /// The number of the merged one.
    pub number: u64,
}
