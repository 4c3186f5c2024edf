//! A public repository on GitHub, read without a token.
//!
//! Without a token GitHub answers 60 requests of its API in an hour, and what did not change
//! counts too. So git reads the repository, which has no such limit, and the API is only asked
//! for pull requests, rarely (finding 23 of the rows' review).

use super::git::GitSource;
use super::github::GitHub;
use super::{Allowance, Fetched, MergeError, Patience, Reverted, Source, SourceError};
use crate::domain::desired::PendingPr;
use crate::domain::facts::Comparison;
use crate::domain::ids::Commit;
use std::time::{Duration, Instant};

/// How often pull requests are looked at: 2 requests each, 24 in an hour.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// How often while something is open: whether one can be merged, or whether it just was.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// So many requests are left to other programs of this machine.
const KEPT: u64 = 10;

/// One repository and branch.
pub(super) struct PublicGitHub {
    git: GitSource,
    api: GitHub,
    /// When pull requests were looked at last, and what the head was then.
    looked: Option<(Instant, Commit)>,
    pending: Option<PendingPr>,
}

/// Where git finds what the API describes.
pub(crate) fn clone_url(api: &str, owner: &str, repo: &str) -> String {
    let enterprise = api.strip_suffix("/api/v3").unwrap_or(api);
    let site = match enterprise.split_once("://api.") {
        Some((scheme, domain)) => format!("{scheme}://{domain}"),
        None => enterprise.to_owned(),
    };
    format!("{site}/{owner}/{repo}.git")
}

/// Whether pull requests are to be looked at now.
fn is_due(since: Duration, head_moved: bool, pending: Option<&PendingPr>) -> bool {
    let is_open = match pending {
        Some(pull) => head_moved || pull.mergeable.is_none(),
        None => false,
    };
    since >= if is_open { LOOK_AGAIN } else { LOOK_EVERY }
}

impl PublicGitHub {
    pub(super) fn new(git: GitSource, api: GitHub) -> Self {
        Self { git, api, looked: None, pending: None }
    }

    fn look(&mut self, head: &Commit) {
        let now = Instant::now();
        if let Some((at, seen)) = &self.looked {
            let head_moved = seen.as_str() != head.as_str();
            if !is_due(now.duration_since(*at), head_moved, self.pending.as_ref()) {
                return;
            }
        }
        let is_scarce =
            |allowance: Allowance| allowance.remaining <= KEPT && now < allowance.resets_at;
        if self.api.allowance().is_some_and(is_scarce) {
            return;
        }
        self.looked = Some((now, head.clone()));
        match self.api.pending() {
            Ok(pending) => self.pending = pending,
            // What is compared comes from git: this is no failure of the remote.
            Err(error) => log::info!("pull requests were not read: {error}"),
        }
    }
}

impl Source for PublicGitHub {
    fn begin(&mut self, patience: Patience) {
        self.git.begin(patience.clone());
        self.api.begin(patience);
    }

    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let read = self.git.fetch().map_err(|error| {
            let hint = "read without a token; a private repository needs NIXFLEET_GITHUB_TOKEN";
            SourceError { reason: format!("{} ({hint})", error.reason), ..error }
        })?;
        self.look(&read.commit);
        Ok(Fetched { pending_pr: self.pending.clone(), ..read })
    }

    fn compare(&mut self, host: &Commit, head: &Commit) -> Result<Option<Comparison>, SourceError> {
        self.git.compare(host, head)
    }

    fn merge(&mut self, _: u64, _: &str) -> Result<(), MergeError> {
        Err(MergeError::NeedsToken("NIXFLEET_GITHUB_TOKEN"))
    }

    fn revert(&mut self, _: u64) -> Result<Reverted, MergeError> {
        Err(MergeError::NeedsToken("NIXFLEET_GITHUB_TOKEN"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_finds_what_the_api_describes() {
        for (api, url) in [
            ("https://api.github.com", "https://github.com/o/r.git"),
            ("https://github.example.org/api/v3", "https://github.example.org/o/r.git"),
            ("https://api.tenant.ghe.com", "https://tenant.ghe.com/o/r.git"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/o/r.git"),
        ] {
            assert_eq!(clone_url(api, "o", "r"), url);
        }
    }

    /// Two requests a look: never more than 60 in an hour while nothing is open.
    #[test]
    fn pull_requests_are_looked_at_rarely() {
        let pending = |mergeable| PendingPr {
            number: 1,
            title: String::new(),
            url: String::new(),
            mergeable,
            head: String::new(),
        };
        let (known, checking) = (pending(Some(true)), pending(None));
        for (seconds, head_moved, pull, due) in [
            (299, true, None, false),
            (300, false, None, true),
            (299, false, Some(&known), false),
            (59, true, Some(&known), false),
            (60, true, Some(&known), true),
            (60, false, Some(&checking), true),
        ] {
            let since = Duration::from_secs(seconds);
            assert_eq!(is_due(since, head_moved, pull), due, "{seconds} {head_moved} {pull:?}");
        }
        assert!(2 * 3600 / LOOK_EVERY.as_secs() <= 60 - KEPT);
    }
}
