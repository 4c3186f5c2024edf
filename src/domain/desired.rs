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
    /// The name of the source that was read.
    pub source: String,
    /// The branch, without `origin/`.
    pub branch: String,
    /// Its head.
    pub commit: Commit,
    /// The flake.lock at the head; `None` if the source does not tell, as a version.json without
    /// `lockHash`.
    pub lock: Option<LockState>,
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
        Self { fetched_at: other.fetched_at, ..self.clone() } == *other
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
    /// Whether it can be merged now; `None` while the forge is working that out.
    pub mergeable: Option<bool>,
    /// The commit it would merge: what a user looked at.
    pub head: String,
}

/// A pull request that was merged from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedPr {
    /// Its number.
    pub number: u64,
    /// Its title. Hostile text.
    pub title: String,
    /// When it was merged.
    pub at: Timestamp,
    /// The number of the pull request that takes it back, if there is one.
    pub reverted_by: Option<u64>,
}

impl Desired {
    /// Why the remote cannot be read, if it cannot.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Unavailable { reason, .. } => Some(reason),
            Self::Known(_) | Self::NotConfigured { .. } | Self::NotYetFetched => None,
        }
    }
}

/// What is known after a fetch, and whether that is news: a change, an error or a
/// recovery is; having read the same once more is not.
pub fn learn(before: &Desired, answer: Result<Remote, String>, now: Timestamp) -> (Desired, bool) {
    match answer {
        Ok(remote) => {
            let news = before.known().is_none_or(|known| !known.same_state(&remote));
            (Desired::Known(remote), news)
        }
        Err(reason) => {
            let (since, last_known) = match before {
                Desired::Unavailable { since, last_known, .. } => (*since, last_known.clone()),
                Desired::Known(remote) => (now, Some(remote.clone())),
                Desired::NotConfigured { .. } | Desired::NotYetFetched => (now, None),
            };
            let news = before.failure() != Some(reason.as_str());
            (Desired::Unavailable { since, reason, last_known }, news)
        }
    }
}

/// Whether two ways of writing a repository's address mean the same one: by https, by ssh,
/// as `github:owner/repo`, with or without `.git`, user and port.
pub fn same_repository(one: &str, other: &str) -> bool {
    !one.trim().is_empty() && plain_address(one) == plain_address(other)
}

/// `host/path`, in lower case; a path of this machine as it is.
fn plain_address(text: &str) -> String {
    let text = text.trim().trim_end_matches('/').trim_end_matches(".git");
    if let Some(name) = text.strip_prefix("github:") {
        return format!("github.com/{}", name.to_ascii_lowercase());
    }
    let (authority, path) = match text.split_once("://") {
        Some(("file", path)) => return path.to_owned(),
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        // git@host:path
        None => match text.split_once(':') {
            Some((authority, path)) if !authority.contains('/') => (authority, path),
            _ => return text.to_owned(),
        },
    };
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.split(':').next().unwrap_or(host);
    format!("{host}/{}", path.trim_start_matches('/')).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(commit: &str, fetched_at: i64) -> Remote {
        Remote {
            source: "default".into(),
            branch: "main".into(),
            commit: Commit::parse(commit).unwrap(),
            lock: Some(LockState::Absent),
            subject: "s".into(),
            committed_at: Timestamp::from_secs(1),
            fetched_at: Timestamp::from_secs(fetched_at),
            pending_pr: None,
        }
    }

    #[test]
    fn one_repository_has_many_addresses() {
        let ways = [
            "github:Owner/nixcfg",
            "https://github.com/owner/nixcfg",
            "https://github.com/owner/nixcfg.git",
            "https://token@github.com/owner/nixcfg/",
            "git@github.com:owner/nixcfg.git",
            "ssh://git@github.com:22/owner/nixcfg",
        ];
        for way in ways {
            assert!(same_repository(ways[0], way), "{way}");
            assert!(!same_repository("https://github.com/owner/other", way), "{way}");
        }
        assert!(same_repository("/srv/git/nixcfg.git", "file:///srv/git/nixcfg"));
        assert!(!same_repository("", ""));
    }

    #[test]
    fn changes_errors_and_recoveries_are_news_and_repeats_are_not() {
        let at = Timestamp::from_secs;
        let (first, news) = learn(&Desired::NotYetFetched, Ok(remote("aaaaaaa", 1)), at(1));
        assert!(news);
        let (again, news) = learn(&first, Ok(remote("aaaaaaa", 2)), at(2));
        assert!(!news);
        let (moved, news) = learn(&again, Ok(remote("bbbbbbb", 3)), at(3));
        assert!(news);
        let (down, news) = learn(&moved, Err("403".into()), at(4));
        assert!(news);
        let (still, news) = learn(&down, Err("403".into()), at(5));
        assert!(!news);
        let (worse, news) = learn(&still, Err("DNS".into()), at(6));
        assert!(news);
        let expected = Desired::Unavailable {
            since: at(4),
            reason: "DNS".into(),
            last_known: Some(remote("bbbbbbb", 3)),
        };
        assert_eq!(worse, expected);
        let (back, news) = learn(&worse, Ok(remote("bbbbbbb", 7)), at(7));
        assert!(news && back.known().is_some());
    }
}
