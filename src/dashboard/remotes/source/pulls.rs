//! Pull requests as GitHub, Gitea and Forgejo describe them: in the same words. Which of them updates
//! flake.lock, and what it brings.

use super::{cut, first_line};
use crate::dashboard::config::PullRequestRules;
use crate::domain::desired::{CheckState, PendingPr};
use crate::domain::flake_lock::{self, LockChanges};
use crate::domain::ids::Commit;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) html_url: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) merged: bool,
    pub(super) mergeable: Option<bool>,
    pub(super) head: Branch,
    #[serde(default)]
    pub(super) labels: Vec<Label>,
    pub(super) user: Option<User>,
    pub(super) node_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Branch {
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) sha: String,
}

#[derive(Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) login: String,
}

/// What was reported about a commit, as both kinds of forges say it.
#[derive(Deserialize)]
pub(super) struct Statuses {
    #[serde(default)]
    pub(super) statuses: Vec<Status>,
}

/// One report.
#[derive(Deserialize)]
pub(super) struct Status {
    context: String,
    /// GitHub's word.
    state: Option<String>,
    /// Gitea's word.
    status: Option<String>,
}

impl Status {
    /// Its name and how it stands.
    pub(super) fn state(&self) -> (String, CheckState) {
        let state = match self.state.as_deref().or(self.status.as_deref()) {
            Some("success" | "warning" | "skipped") => CheckState::Passed,
            Some("failure" | "error") => CheckState::Failed,
            Some(_) | None => CheckState::Pending,
        };
        (first_line(&self.context), state)
    }
}

/// What a user sees of a pull request that waits.
pub(super) fn pending(pull: Pull) -> Option<PendingPr> {
    (pull.state == "open").then(|| PendingPr {
        number: pull.number,
        title: first_line(&pull.title),
        url: Some(pull.html_url).filter(|url| is_web(url)).unwrap_or_default(),
        mergeable: pull.mergeable,
        head: cut(&pull.head.sha),
    })
}

/// What a pull request changes, by the heads of both branches: it is worked out once for each pair.
#[derive(Default)]
pub(super) struct KnownChanges {
    of: Option<(Commit, String)>,
    changes: Option<LockChanges>,
}

impl KnownChanges {
    /// What is known for these heads; if nothing is, `read` is asked once for both files.
    pub(super) fn at(
        &mut self,
        head: &Commit,
        pull: &str,
        read: impl FnOnce() -> Option<(String, String)>,
    ) -> Option<LockChanges> {
        let is_known =
            self.of.as_ref().is_some_and(|(at, of)| at.as_str() == head.as_str() && of == pull);
        if !is_known {
            self.changes = read().and_then(|(old, new)| flake_lock::changes(&old, &new));
            self.of = Some((head.clone(), pull.to_owned()));
        }
        self.changes.clone()
    }
}

/// How surely a pull request updates flake.lock; more is surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// A label says so. Other updates have some of these labels too.
    Label,
    /// Its author, its branch or its title says so.
    Name,
}

pub(super) fn sign(rules: &PullRequestRules, pull: &Pull) -> Option<Sign> {
    let author = pull.user.as_ref().map(|user| user.login.as_str()).unwrap_or_default();
    let title = pull.title.to_lowercase();
    let is_named = rules.branches.iter().any(|prefix| pull.head.name.starts_with(prefix.as_str()))
        || rules.titles.iter().any(|part| title.contains(&part.to_lowercase()))
        || rules.authors.iter().any(|known| known == author);
    if is_named {
        return Some(Sign::Name);
    }
    let is_labelled = pull.labels.iter().any(|label| rules.labels.contains(&label.name));
    if is_labelled { Some(Sign::Label) } else { None }
}

/// The number of the newest pull request of those with the surest sign.
pub(super) fn newest_update(rules: &PullRequestRules, pulls: &[Pull]) -> Option<u64> {
    let updates = pulls.iter().filter_map(|pull| Some((sign(rules, pull)?, pull.number)));
    updates.max().map(|(_, number)| number)
}

/// Whether a link may stand on a page.
pub(super) fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
