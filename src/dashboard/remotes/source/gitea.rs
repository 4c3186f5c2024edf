//! A repository on a Gitea or Forgejo: git reads it, the forge's API is asked for pull requests.

use super::git::GitSource;
use super::http::{Answer, Request, Web};
use super::pulls::{self, KnownChanges, Pull, Status, Statuses, is_web, newest_update};
use super::{
    Fetched, MergeError, Patience, Reverted, Source, SourceError, cut, encode, first_line, not_told,
};
use crate::dashboard::config::PullRequestRules;
use crate::domain::desired::{Checks, PendingPr, UpdateDetails};
use crate::domain::facts::Comparison;
use crate::domain::ids::Commit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The largest answer that is read.
const LIMIT: usize = 8 * 1024 * 1024;
/// How often pull requests are looked at while nothing moves. A forge of one's own has no limit of
/// requests, but it is often a small machine.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// What has to be set before anything can be changed.
const TOKEN: &str = "NIXFLEET_GITEA_TOKEN";

/// One repository and branch.
pub(super) struct Gitea {
    git: GitSource,
    web: Web,
    /// `SITE/api/v1/repos/OWNER/REPO`
    repo: String,
    branch: String,
    rules: PullRequestRules,
    has_token: bool,
    changes: KnownChanges,
    /// When pull requests were looked at last, and what the head was then.
    looked: Option<(Instant, Commit)>,
    pending: Option<(PendingPr, UpdateDetails)>,
}

/// A pull request, with what only this kind of forge says.
#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    pull: Pull,
    merge_base: Option<String>,
}

#[derive(Deserialize)]
struct ChangedFile {
    filename: String,
}

#[derive(Deserialize)]
struct FileAt {
    sha: String,
}

impl Gitea {
    pub(super) fn new(
        git: GitSource,
        repo: String,
        branch: &str,
        token: Option<&str>,
        rules: PullRequestRules,
    ) -> Self {
        Self {
            git,
            web: Web::new(token),
            repo,
            branch: branch.to_owned(),
            rules,
            has_token: token.is_some(),
            changes: KnownChanges::default(),
            looked: None,
            pending: None,
        }
    }

    fn send(
        &mut self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, SourceError> {
        let url = format!("{}{path}", self.repo);
        let accept = "application/json";
        self.web.ask(&Request { method, url: &url, accept, etag: None, body, limit: LIMIT })
    }

    fn read<T: DeserializeOwned>(&mut self, path: &str, what: &str) -> Result<T, SourceError> {
        let answer = self.send("GET", path, None)?;
        if answer.status != 200 {
            return Err(answer.refusal(what));
        }
        answer.json(what)
    }

    fn pull(&mut self, number: u64) -> Result<Whole, SourceError> {
        self.read(&format!("/pulls/{number}"), &format!("pull request #{number}"))
    }

    fn pending(&mut self, at: &Commit) -> Result<Option<(PendingPr, UpdateDetails)>, SourceError> {
        let open: Vec<Value> = self.read("/pulls?state=open&limit=50", "the pull requests")?;
        let of_branch = |pull: &Value| pull["base"]["ref"].as_str() == Some(&self.branch);
        let open: Vec<Pull> = open
            .into_iter()
            .filter(of_branch)
            .filter_map(|pull| serde_json::from_value(pull).ok())
            .collect();
        let Some(number) = newest_update(&self.rules, &open) else {
            return Ok(None);
        };
        let Whole { pull, merge_base } = self.pull(number)?;
        let Some(pr) = pulls::pending(pull) else {
            return Ok(None);
        };
        let details = self.details(at, &pr, merge_base.as_deref());
        Ok(Some((pr, details)))
    }

    /// What a pull request brings. What cannot be read of it is not told.
    fn details(&mut self, at: &Commit, pr: &PendingPr, base: Option<&str>) -> UpdateDetails {
        let mut known = std::mem::take(&mut self.changes);
        let inputs = known
            .at(at, &pr.head, || Some((self.lock_at(base?).ok()?, self.lock_at(&pr.head).ok()?)));
        self.changes = known;
        let path = format!("/commits/{}/status", encode(&pr.head));
        let statuses: Option<Statuses> = self.read(&path, "the checks").map_err(not_told).ok();
        let statuses = statuses.map(|answer| answer.statuses).unwrap_or_default();
        UpdateDetails { inputs, checks: Checks::together(statuses.iter().map(Status::state)) }
    }

    /// The text of flake.lock.
    fn lock_at(&mut self, commit: &str) -> Result<String, SourceError> {
        let answer = self.send("GET", &format!("/raw/flake.lock?ref={}", encode(commit)), None)?;
        if answer.status != 200 {
            return Err(answer.refusal("flake.lock"));
        }
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    fn look(&mut self, head: &Commit) {
        let now = Instant::now();
        let is_fresh = self.looked.as_ref().is_some_and(|(at, seen)| {
            now.duration_since(*at) < LOOK_EVERY && seen.as_str() == head.as_str()
        });
        if is_fresh {
            return;
        }
        self.looked = Some((now, head.clone()));
        match self.pending(head) {
            Ok(pending) => self.pending = pending,
            // What is compared comes from git: this is no failure of the remote.
            Err(error) => log::info!("pull requests were not read: {error}"),
        }
    }

    /// A new branch on which flake.lock is as it was before a pull request, if nothing else was
    /// changed by it, and nobody changed flake.lock since: this kind of forge reverts nothing itself.
    fn branch_with_old_lock(&mut self, number: u64, whole: &Whole) -> Result<String, SourceError> {
        let refuse = |why: &str| Err(SourceError::new(format!("{why}: take it back by hand")));
        let files: Vec<ChangedFile> =
            self.read(&format!("/pulls/{number}/files?limit=50"), "its files")?;
        if files.iter().any(|file| file.filename != "flake.lock") {
            return refuse("it changed more than flake.lock");
        }
        let Some(base) = &whole.merge_base else {
            return refuse("the forge does not say where it began");
        };
        let old = self.lock_at(base)?;
        let (merged, now) =
            (self.lock_at(&whole.pull.head.sha)?, self.lock_at(&self.branch.clone())?);
        if merged != now {
            return refuse("flake.lock was changed again since");
        }
        let at = format!("/contents/flake.lock?ref={}", encode(&self.branch));
        let file: FileAt = self.read(&at, "flake.lock")?;
        let name = format!("revert-{number}-{}", file.sha.chars().take(7).collect::<String>());
        let body = json!({
            "content": STANDARD.encode(&old), "sha": file.sha, "branch": self.branch,
            "new_branch": name, "message": format!("flake.lock: take #{number} back"),
        });
        let answer = self.send("PUT", "/contents/flake.lock", Some(&body))?;
        match answer.status {
            200 | 201 => Ok(name),
            _ => Err(answer.refusal("the branch that takes it back")),
        }
    }
}

impl Source for Gitea {
    fn begin(&mut self, patience: Patience) {
        self.git.begin(patience.clone());
        self.web.begin(patience);
    }

    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let read = self.git.fetch().map_err(|error| {
            if self.has_token {
                return error;
            }
            let reason = format!(
                "{} (read without a token; a private repository needs {TOKEN})",
                error.reason
            );
            SourceError { reason, ..error }
        })?;
        self.look(&read.commit);
        let (pending_pr, pending_details) = self.pending.clone().unzip();
        Ok(Fetched { pending_pr, pending_details, ..read })
    }

    fn compare(&mut self, host: &Commit, head: &Commit) -> Result<Option<Comparison>, SourceError> {
        self.git.compare(host, head)
    }

    fn merge(&mut self, number: u64, head: &str) -> Result<(), MergeError> {
        if !self.has_token {
            return Err(MergeError::NeedsToken(TOKEN));
        }
        let Whole { pull, .. } = self.pull(number)?;
        if pull.merged {
            return Err(MergeError::AlreadyMerged);
        }
        if pull.state != "open" {
            return Err(MergeError::Closed);
        }
        if pull.head.sha != head {
            return Err(MergeError::Changed);
        }
        let body = json!({ "Do": "merge", "head_commit_id": head });
        let answer = self.send("POST", &format!("/pulls/{number}/merge"), Some(&body))?;
        // What is read next shows it.
        self.looked = None;
        match answer.status {
            200 => Ok(()),
            405 => Err(MergeError::NotMergeable),
            409 => Err(MergeError::Changed),
            _ => Err(answer.refusal(&format!("the merge of #{number}")).into()),
        }
    }

    fn revert(&mut self, number: u64) -> Result<Reverted, MergeError> {
        if !self.has_token {
            return Err(MergeError::NeedsToken(TOKEN));
        }
        let whole = self.pull(number)?;
        if !whole.pull.merged {
            return Err(MergeError::NotMerged);
        }
        let branch = self.branch_with_old_lock(number, &whole)?;
        let title = format!("Revert \"{}\"", first_line(&whole.pull.title));
        let body = json!({
            "title": title, "head": branch, "base": self.branch, "body": format!("Takes #{number} back."),
        });
        let answer = self.send("POST", "/pulls", Some(&body))?;
        if answer.status != 201 {
            return Err(answer.refusal(&format!("the revert of #{number}")).into());
        }
        let made: Value = answer.json("the revert")?;
        match (made["number"].as_u64(), made["html_url"].as_str().filter(|url| is_web(url))) {
            (Some(number), Some(url)) => Ok(Reverted { number, url: url.to_owned() }),
            _ => Err(SourceError::new(format!(
                "no pull request was made: {}",
                cut(&made.to_string())
            ))
            .into()),
        }
    }
}

/// For fuzzing: reads bytes as every answer of this kind of forge.
pub(super) fn read_anything(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Whole>(bytes);
    let _ = serde_json::from_slice::<Statuses>(bytes);
    let _ = serde_json::from_slice::<Vec<ChangedFile>>(bytes);
}
