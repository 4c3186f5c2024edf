//! The remote desired state, and how well it is known.

use super::facts::LockState;
use super::flake_lock::LockChanges;
use super::forge::Forge;
use super::ids::{Commit, HostId};
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

impl Desired {
    /// Where its forge has pages of it: that stays so while the remote cannot be read.
    pub fn forge(&self) -> Option<&Forge> {
        match self {
            Self::Known(remote) | Self::Unavailable { last_known: Some(remote), .. } => {
                remote.forge.as_ref()
            }
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
    /// What that pull request brings; `None` if the source does not tell.
    #[serde(default)]
    pub pending_details: Option<UpdateDetails>,
    /// The names below `hosts/`, for whoever adds a host.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Where its forge has pages of it; `None` where that is not known.
    #[serde(default)]
    pub forge: Option<Forge>,
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

/// What a pull request brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateDetails {
    /// What it changes in flake.lock; `None` if that could not be read.
    pub inputs: Option<LockChanges>,
    /// What the forge's checks say of its head.
    pub checks: Checks,
}

/// What the forge's checks say of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "failed")]
pub enum Checks {
    /// There are none, or the forge does not tell.
    None,
    /// One at least runs or waits; none has failed.
    Pending,
    /// All passed.
    Passed,
    /// These failed. Hostile texts.
    Failed(Vec<String>),
}

/// How one check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// It runs or waits.
    Pending,
    /// It passed, or need not.
    Passed,
    /// It failed, or was given up.
    Failed,
}

impl Checks {
    /// What several checks say together: one that failed counts more than one that runs.
    pub fn together(checks: impl IntoIterator<Item = (String, CheckState)>) -> Self {
        let (mut failed, mut pending, mut any) = (Vec::new(), false, false);
        for (name, state) in checks {
            any = true;
            pending |= state == CheckState::Pending;
            if state == CheckState::Failed {
                failed.push(name);
            }
        }
        match (failed.is_empty(), pending, any) {
            (false, _, _) => Self::Failed(failed),
            (true, true, _) => Self::Pending,
            (true, false, true) => Self::Passed,
            (true, false, false) => Self::None,
        }
    }
}

/// So many names of a repository are offered.
const OFFERED: usize = 1000;

/// The hosts that the entries of a directory `hosts/` mean: directories and Nix files, sorted. What
/// is shared by all, and what cannot be a hostname, is none.
pub fn named_hosts<'a>(entries: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const SHARED: [&str; 4] = ["default", "common", "shared", "modules"];
    let names = entries.into_iter().filter_map(|entry| {
        let name = entry.trim_end_matches('/').rsplit('/').next()?;
        let name = name.strip_suffix(".nix").unwrap_or(name);
        let is_host = !SHARED.contains(&name) && HostId::parse(name).is_ok();
        is_host.then(|| name.to_owned())
    });
    let names: std::collections::BTreeSet<String> = names.take(OFFERED).collect();
    names.into_iter().collect()
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
            pending_details: None,
            hosts: Vec::new(),
            forge: None,
        }
    }

    #[test]
    fn names_of_hosts_are_directories_and_nix_files_that_can_be_hostnames() {
        let entries = [
            "hosts/web",
            "hosts/db.nix",
            "hosts/default.nix",
            "hosts/common",
            "hosts/a b",
            "hosts/web/",
        ];
        assert_eq!(named_hosts(entries), ["db", "web"]);
    }

    #[test]
    fn one_failed_check_counts_more_than_one_that_runs() {
        use CheckState::{Failed, Passed, Pending};
        let together = |states: &[(&str, CheckState)]| {
            Checks::together(states.iter().map(|(name, state)| ((*name).to_owned(), *state)))
        };
        assert_eq!(together(&[]), Checks::None);
        assert_eq!(together(&[("a", Passed)]), Checks::Passed);
        assert_eq!(together(&[("a", Passed), ("b", Pending)]), Checks::Pending);
        let failed = Checks::Failed(vec!["b".into()]);
        assert_eq!(together(&[("a", Pending), ("b", Failed), ("c", Passed)]), failed);
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
