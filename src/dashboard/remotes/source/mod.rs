//! Where desired state comes from.
//!
//! A source blocks: it is asked on a thread of its own, never by an actor. It knows
//! nothing of hosts; it reads a remote and says what it saw, or why it could not.

mod allowance;
mod git;
mod gitea;
mod github;
mod http;
mod public_github;
mod pulls;
mod version_json;

pub(crate) use allowance::Allowance;
pub(crate) use public_github::clone_url as github_address;

use crate::base::secret::Secret;
use crate::dashboard::config::{PullRequestRules, SourceSetting};
use crate::domain::desired::{PendingPr, UpdateDetails};
use crate::domain::facts::{Comparison, LockState};
use crate::domain::ids::Commit;
use crate::domain::terminal::visible;
use crate::domain::timestamp::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// So many of the commits that a host misses are named.
pub(crate) const MISSING: usize = 20;

/// For fuzzing: reads bytes as everything that a remote may answer.
pub(crate) fn read_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    version_json::read_anything(bytes);
    github::read_anything(bytes);
    gitea::read_anything(bytes);
    http::read_anything(&text);
    git::missing_of(&text);
    first_line(&text);
}

/// The head of the remote's branch, as just read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fetched {
    /// The head.
    pub commit: Commit,
    /// The flake.lock at the head; `None` if the source does not tell.
    pub lock: Option<LockState>,
    /// First line of the head's commit message. Hostile text.
    pub subject: String,
    /// When the head was committed.
    pub committed_at: Timestamp,
    /// An open pull request that updates flake.lock.
    pub pending_pr: Option<PendingPr>,
    /// What that brings; `None` if the source does not tell.
    pub pending_details: Option<UpdateDetails>,
    /// The names below `hosts/`.
    pub hosts: Vec<String>,
}

/// Why a remote could not be read, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct SourceError {
    /// The words.
    pub reason: String,
    /// The remote wants to be left alone for so long.
    pub retry_after: Option<Duration>,
}

impl SourceError {
    /// An error that says nothing about when to ask again.
    pub(crate) fn new(reason: String) -> Self {
        Self { reason, retry_after: None }
    }
}

/// Why a pull request was not merged or reverted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MergeError {
    /// The source has no pull requests.
    #[error("this source has no pull requests")]
    Unsupported,
    /// Somebody was faster.
    #[error("it was merged already")]
    AlreadyMerged,
    /// It was closed without a merge.
    #[error("it was closed")]
    Closed,
    /// Its head is another than the one that was looked at.
    #[error("it changed since you looked: look again, then merge")]
    Changed,
    /// Conflicts, or a check that is missing.
    #[error("it cannot be merged: there are conflicts, or a required check is missing")]
    NotMergeable,
    /// It is read without a token: nobody may change anything then.
    #[error("merging and reverting need a token: set {0}")]
    NeedsToken(&'static str),
    /// Only what was merged can be reverted.
    #[error("it was not merged")]
    NotMerged,
    /// The remote did not do it.
    #[error("{0}")]
    Source(#[from] SourceError),
}

/// A pull request that takes another one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reverted {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
}

/// How long somebody waits for a job of a source.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    until: Instant,
    is_given_up: Arc<AtomicBool>,
}

impl Patience {
    /// From now on so long, and no longer than until `is_given_up` is true.
    pub(crate) fn new(limit: Duration, is_given_up: Arc<AtomicBool>) -> Self {
        Self { until: Instant::now() + limit, is_given_up }
    }

    /// The time that is left, and at most `limit`.
    ///
    /// # Errors
    ///
    /// There is none, or nobody waits any more.
    fn left(&self, limit: Duration) -> Result<Duration, SourceError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.is_given_up.load(Ordering::SeqCst) {
            return Err(SourceError::new("the time for it is up".to_owned()));
        }
        Ok(left.min(limit))
    }

    /// True once nobody waits any more.
    fn is_given_up(&self) -> &AtomicBool {
        &self.is_given_up
    }
}

/// A remote. What it is asked blocks.
pub(crate) trait Source: Send {
    /// The next job begins, and is waited for so long. A job should not go on when that is over;
    /// it can be given up all the same.
    fn begin(&mut self, patience: Patience);
    /// What its rate limit still allows, if it has one and told it.
    fn allowance(&self) -> Option<Allowance> {
        None
    }
    /// Reads the head of the branch.
    fn fetch(&mut self) -> Result<Fetched, SourceError>;
    /// Says how a host's commit relates to a head that was fetched; `None` if the remote does not
    /// know the host's commit.
    fn compare(&mut self, host: &Commit, head: &Commit) -> Result<Option<Comparison>, SourceError>;
    /// Merges a pull request whose head is still `head`. Deploys nothing.
    fn merge(&mut self, _number: u64, _head: &str) -> Result<(), MergeError> {
        Err(MergeError::Unsupported)
    }
    /// Opens a pull request that takes a merged one back.
    fn revert(&mut self, _number: u64) -> Result<Reverted, MergeError> {
        Err(MergeError::Unsupported)
    }
}

/// What a source is opened with.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    /// Which one.
    pub setting: SourceSetting,
    /// The branch.
    pub branch: String,
    /// Caches live below it.
    pub data_dir: PathBuf,
    /// Base URL of GitHub's API.
    pub github_api: String,
    /// Token for it.
    pub github_token: Option<Secret>,
    /// Token for a Gitea or Forgejo.
    pub gitea_token: Option<Secret>,
    /// Private key for git over ssh.
    pub ssh_key: Option<PathBuf>,
    /// Which pull requests update flake.lock.
    pub pull_requests: PullRequestRules,
}

/// Opens a source; asks it nothing yet.
pub(crate) fn open(with: &Opening) -> Box<dyn Source> {
    match &with.setting {
        SourceSetting::Git(url) => Box::new(by_git(with, url)),
        SourceSetting::Gitea { site, owner, repo } => Box::new(open_gitea(with, site, owner, repo)),
        SourceSetting::GitHub { owner, repo } => open_github(with, owner, repo),
        SourceSetting::VersionJson(url) => {
            Box::new(version_json::VersionJson::new(url, &with.branch))
        }
    }
}

fn open_github(with: &Opening, owner: &str, repo: &str) -> Box<dyn Source> {
    let (api, branch) = (with.github_api.as_str(), with.branch.as_str());
    let token = with.github_token.as_ref().map(|token| token.expose());
    let rules = with.pull_requests.clone();
    let by_api = github::GitHub::new(owner, repo, branch, api, token, rules);
    if token.is_some() {
        return Box::new(by_api);
    }
    let url = public_github::clone_url(api, owner, repo);
    Box::new(public_github::PublicGitHub::new(by_git(with, &url), by_api))
}

fn by_git(with: &Opening, url: &str) -> git::GitSource {
    git::GitSource::new(url, &with.branch, &with.data_dir).with_ssh_key(with.ssh_key.as_deref())
}

fn open_gitea(with: &Opening, site: &str, owner: &str, repo: &str) -> gitea::Gitea {
    let token = with.gitea_token.as_ref().map(|token| token.expose());
    let mut by_git = by_git(with, &format!("{site}/{owner}/{repo}.git"));
    if let Some(token) = token {
        by_git = by_git.with_authorization(format!("token {token}"));
    }
    let api = format!("{site}/api/v1/repos/{owner}/{repo}");
    gitea::Gitea::new(by_git, api, &with.branch, token, with.pull_requests.clone())
}

/// The first line of a text of the remote, bounded.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).map(visible).take(300).collect()
}

/// A text of the remote, bounded, on one line.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(visible).take(200).collect()
}

/// What is only said beside the state of the remote is left out where it cannot be read.
fn not_told(error: SourceError) {
    log::debug!("left out: {error}");
}

/// A branch's name as part of an address.
fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
