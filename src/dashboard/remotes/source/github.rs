//! A repository on GitHub, read by its REST API.
//!
//! Every request is conditional: an answer that did not change costs no rate limit.

use super::http::{Answer, Request, Web};
use super::pulls::{self, KnownChanges, Pull, Status, Statuses, is_web, newest_update};
use super::{
    Allowance, Fetched, MISSING, MergeError, Patience, Reverted, Source, SourceError, cut, encode,
    first_line, not_told,
};
use crate::base::hex;
use crate::dashboard::config::PullRequestRules;
use crate::domain::desired::{CheckState, Checks, PendingPr, UpdateDetails, named_hosts};
use crate::domain::facts::{Comparison, LockState, MissingCommit, Relation};
use crate::domain::ids::{Commit, LockHash};
use crate::domain::timestamp::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const JSON: &str = "application/vnd.github+json";
const RAW: &str = "application/vnd.github.raw+json";
/// The largest JSON answer that is read, and the largest flake.lock.
const LIMIT: usize = 8 * 1024 * 1024;
/// So many pages are read of a list that has no end for us.
const PAGES: usize = 10;

/// One repository and branch.
pub(super) struct GitHub {
    web: Web,
    /// `API/repos/OWNER/REPO`
    repo: String,
    api: String,
    branch: String,
    rules: PullRequestRules,
    /// Answers with their ETags, by address.
    cache: HashMap<String, (String, Vec<u8>)>,
    lock: Option<(Commit, LockState)>,
    hosts: Option<(Commit, Vec<String>)>,
    changes: KnownChanges,
}

#[derive(Deserialize)]
struct CommitAnswer {
    sha: String,
    commit: CommitBody,
}

#[derive(Deserialize)]
struct CommitBody {
    message: String,
    committer: Signature,
}

#[derive(Deserialize)]
struct Signature {
    date: String,
}

#[derive(Deserialize)]
struct MergeBase {
    merge_base_commit: Sha,
}

#[derive(Deserialize)]
struct Sha {
    sha: String,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    conclusion: Option<String>,
}

impl CheckRun {
    fn state(&self) -> (String, CheckState) {
        let state = match self.conclusion.as_deref() {
            None => CheckState::Pending,
            Some("success" | "neutral" | "skipped") => CheckState::Passed,
            Some(_) => CheckState::Failed,
        };
        (first_line(&self.name), state)
    }
}

#[derive(Deserialize)]
struct CompareAnswer {
    status: String,
    ahead_by: u32,
    commits: Vec<CommitAnswer>,
}

impl GitHub {
    pub(super) fn new(
        owner: &str,
        repo: &str,
        branch: &str,
        api: &str,
        token: Option<&str>,
        rules: PullRequestRules,
    ) -> Self {
        Self {
            web: Web::new(token),
            repo: format!("{api}/repos/{owner}/{repo}"),
            api: api.to_owned(),
            branch: branch.to_owned(),
            rules,
            cache: HashMap::new(),
            lock: None,
            hosts: None,
            changes: KnownChanges::default(),
        }
    }

    fn send(&mut self, request: &Request<'_>) -> Result<Answer, SourceError> {
        self.web.ask(request)
    }

    /// What `url` says; the same answer as before costs nothing.
    fn get(&mut self, url: &str, accept: &'static str) -> Result<Answer, SourceError> {
        let etag = self.cache.get(url).map(|(etag, _)| etag.clone());
        let mut answer = self.send(&Request {
            method: "GET",
            url,
            accept,
            etag: etag.as_deref(),
            body: None,
            limit: LIMIT,
        })?;
        match (answer.status, self.cache.get(url)) {
            (304, Some((_, body))) => {
                answer.status = 200;
                answer.body.clone_from(body);
            }
            (200, _) => {
                if let Some(etag) = &answer.head.etag {
                    if self.cache.len() > 64 {
                        self.cache.clear();
                    }
                    self.cache.insert(url.to_owned(), (etag.clone(), answer.body.clone()));
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    fn read<T: DeserializeOwned>(&mut self, url: &str, what: &str) -> Result<T, SourceError> {
        let answer = self.get(url, JSON)?;
        if answer.status != 200 {
            return Err(answer.refusal(what));
        }
        answer.json(what)
    }

    fn head(&mut self) -> Result<(Commit, CommitAnswer), SourceError> {
        let url = format!("{}/commits/{}", self.repo, encode(&self.branch));
        let what = format!("branch {}", self.branch);
        let answer = self.get(&url, JSON)?;
        if answer.status == 422 {
            return Err(SourceError::new(format!("no branch `{}` on the remote", self.branch)));
        }
        if answer.status != 200 {
            return Err(answer.refusal(&format!("the repository or its {what}")));
        }
        let head: CommitAnswer = answer.json(&what)?;
        let full = Commit::parse(&head.sha).filter(|_| head.sha.len() == 40);
        let commit = full.ok_or_else(|| {
            SourceError::new(format!("the head of {what} is not a commit: {:?}", cut(&head.sha)))
        })?;
        Ok((commit, head))
    }

    fn lock_at(&mut self, commit: &Commit) -> Result<LockState, SourceError> {
        if let Some((at, lock)) = &self.lock
            && at.as_str() == commit.as_str()
        {
            return Ok(lock.clone());
        }
        let url = format!("{}/contents/flake.lock?ref={commit}", self.repo);
        let answer = self.send(&Request {
            method: "GET",
            url: &url,
            accept: RAW,
            etag: None,
            body: None,
            limit: LIMIT,
        })?;
        let lock =
            match answer.status {
                200 => {
                    let hash = LockHash::parse(&hex::sha256(&answer.body));
                    LockState::Hash(hash.ok_or_else(|| {
                        SourceError::new("flake.lock could not be hashed".to_owned())
                    })?)
                }
                404 => LockState::Absent,
                _ => return Err(answer.refusal("flake.lock")),
            };
        self.lock = Some((commit.clone(), lock.clone()));
        Ok(lock)
    }

    /// The open pull request that updates flake.lock, if there is one; the newest of those that
    /// are most likely one.
    pub(super) fn pending(&mut self) -> Result<Option<PendingPr>, SourceError> {
        let branch = encode(&self.branch);
        let url = format!("{}/pulls?state=open&base={branch}&per_page=100", self.repo);
        let pulls: Vec<Pull> = self.read(&url, "the pull requests")?;
        let Some(listed) = newest_update(&self.rules, &pulls) else {
            return Ok(None);
        };
        // Only the request itself says whether it can be merged.
        Ok(pulls::pending(self.pull(listed)?))
    }

    /// What a pull request brings. What cannot be read of it is not told: it is no failure of the
    /// remote.
    fn details(&mut self, at: &Commit, pr: &PendingPr) -> UpdateDetails {
        let mut known = std::mem::take(&mut self.changes);
        let inputs = known.at(at, &pr.head, || {
            let base = self.merge_base(at, &pr.head)?;
            Some((self.lock_text(&base)?, self.lock_text(&pr.head)?))
        });
        self.changes = known;
        UpdateDetails { inputs, checks: self.checks(&pr.head) }
    }

    /// Where a branch left the other one.
    fn merge_base(&mut self, one: &Commit, other: &str) -> Option<String> {
        let url = format!("{}/compare/{one}...{}?per_page=1", self.repo, encode(other));
        let answer: MergeBase = self.read(&url, "the comparison").map_err(not_told).ok()?;
        Some(answer.merge_base_commit.sha)
    }

    fn lock_text(&mut self, commit: &str) -> Option<String> {
        let url = format!("{}/contents/flake.lock?ref={}", self.repo, encode(commit));
        let answer = self.get(&url, RAW).map_err(not_told).ok()?;
        (answer.status == 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// What the checks of a commit say: those of apps, and those that are only reported.
    fn checks(&mut self, commit: &str) -> Checks {
        let commit = encode(commit);
        let runs = format!("{}/commits/{commit}/check-runs?per_page=100", self.repo);
        let runs: Option<CheckRuns> = self.read(&runs, "the checks").map_err(not_told).ok();
        let statuses = format!("{}/commits/{commit}/status?per_page=100", self.repo);
        let statuses: Option<Statuses> = self.read(&statuses, "the checks").map_err(not_told).ok();
        let runs = runs.map(|answer| answer.check_runs).unwrap_or_default();
        let statuses = statuses.map(|answer| answer.statuses).unwrap_or_default();
        Checks::together(runs.iter().map(CheckRun::state).chain(statuses.iter().map(Status::state)))
    }

    /// The names below `hosts/`. A repository may have no such directory.
    fn hosts_at(&mut self, commit: &Commit) -> Vec<String> {
        let url = format!("{}/contents/hosts?ref={commit}", self.repo);
        let Ok(answer) = self.get(&url, JSON).map_err(not_told) else {
            return Vec::new();
        };
        let entries: Vec<Entry> = answer.json("the hosts").unwrap_or_default();
        named_hosts(entries.iter().map(|entry| entry.name.as_str()))
    }

    fn pull(&mut self, number: u64) -> Result<Pull, SourceError> {
        let url = format!("{}/pulls/{number}", self.repo);
        self.read(&url, &format!("pull request #{number}"))
    }

    /// The commits that are in `head` and not in `host`, oldest first, and how many.
    fn commits_between(
        &mut self,
        host: &Commit,
        head: &Commit,
    ) -> Result<Option<(String, u32, Vec<CommitAnswer>)>, SourceError> {
        let mut url = format!("{}/compare/{host}...{head}?per_page=100", self.repo);
        let mut all = Vec::new();
        let mut found = None;
        for _ in 0..PAGES {
            let answer = self.get(&url, JSON)?;
            match answer.status {
                200 => {}
                // GitHub does not know the host's commit.
                404 => return Ok(None),
                _ => return Err(answer.refusal("the comparison")),
            }
            let page: CompareAnswer = answer.json("the comparison")?;
            all.extend(page.commits);
            found = Some((page.status, page.ahead_by));
            match answer.head.next.filter(|next| next.starts_with(&self.api)) {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(found.map(|(status, ahead)| (status, ahead, all)))
    }

    /// How many of `commits` touch flake.lock.
    fn touching_lock(
        &mut self,
        head: &Commit,
        commits: &[CommitAnswer],
    ) -> Result<u32, SourceError> {
        let between: HashSet<&str> = commits.iter().map(|c| c.sha.as_str()).collect();
        let url = format!("{}/commits?sha={head}&path=flake.lock&per_page=100", self.repo);
        let touched: Vec<CommitAnswer> = self.read(&url, "the history of flake.lock")?;
        let count = touched.iter().filter(|c| between.contains(c.sha.as_str())).count();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

impl Source for GitHub {
    fn begin(&mut self, patience: Patience) {
        self.web.begin(patience);
    }

    fn allowance(&self) -> Option<Allowance> {
        self.web.allowance()
    }

    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let (commit, head) = self.head()?;
        let lock = self.lock_at(&commit)?;
        let hosts = match &self.hosts {
            Some((at, hosts)) if at.as_str() == commit.as_str() => hosts.clone(),
            _ => self.hosts_at(&commit),
        };
        self.hosts = Some((commit.clone(), hosts.clone()));
        let pending_pr = self.pending()?;
        let pending_details = pending_pr.as_ref().map(|pr| self.details(&commit, pr));
        Ok(Fetched {
            commit,
            lock: Some(lock),
            subject: first_line(&head.commit.message),
            committed_at: Timestamp::parse(&head.commit.committer.date).unwrap_or_default(),
            pending_pr,
            pending_details,
            hosts,
        })
    }

    fn compare(&mut self, host: &Commit, head: &Commit) -> Result<Option<Comparison>, SourceError> {
        let nothing = |relation| Ok(Some(Comparison { relation, missing: Arc::default() }));
        let Some((status, commits, between)) = self.commits_between(host, head)? else {
            return Ok(None);
        };
        match status.as_str() {
            "ahead" => {
                let lock_commits = self.touching_lock(head, &between)?;
                let newest = between.iter().rev().take(MISSING).filter_map(|c| {
                    let subject = first_line(&c.commit.message);
                    Some(MissingCommit { commit: Commit::parse(&c.sha)?, subject })
                });
                let relation = Relation::Behind { commits, lock_commits };
                Ok(Some(Comparison { relation, missing: newest.collect() }))
            }
            "behind" => nothing(Relation::Ahead),
            "diverged" => nothing(Relation::NotOnBranch),
            other => Err(SourceError::new(format!("a comparison ended in {:?}", cut(other)))),
        }
    }

    fn merge(&mut self, number: u64, head: &str) -> Result<(), MergeError> {
        let pull = self.pull(number)?;
        if pull.merged {
            return Err(MergeError::AlreadyMerged);
        }
        if pull.state != "open" {
            return Err(MergeError::Closed);
        }
        if pull.head.sha != head {
            return Err(MergeError::Changed);
        }
        let body = json!({ "sha": head });
        let url = format!("{}/pulls/{number}/merge", self.repo);
        let answer = self.send(&Request {
            method: "PUT",
            url: &url,
            accept: JSON,
            etag: None,
            body: Some(&body),
            limit: LIMIT,
        })?;
        match answer.status {
            200 => Ok(()),
            405 => Err(MergeError::NotMergeable),
            409 => Err(MergeError::Changed),
            _ => Err(answer.refusal(&format!("the merge of #{number}")).into()),
        }
    }

    fn revert(&mut self, number: u64) -> Result<Reverted, MergeError> {
        let pull = self.pull(number)?;
        if !pull.merged {
            return Err(MergeError::NotMerged);
        }
        let id = pull.node_id.ok_or(MergeError::NotMerged)?;
        // Only GitHub's other API can revert.
        let query = "mutation($id: ID!) { revertPullRequest(input: {pullRequestId: $id}) \
                     { revertPullRequest { number url } } }";
        let body = json!({ "query": query, "variables": { "id": id } });
        let graphql = match self.api.strip_suffix("/api/v3") {
            Some(enterprise) => format!("{enterprise}/api/graphql"),
            None => format!("{}/graphql", self.api),
        };
        let answer = self.send(&Request {
            method: "POST",
            url: &graphql,
            accept: JSON,
            etag: None,
            body: Some(&body),
            limit: LIMIT,
        })?;
        if answer.status != 200 {
            return Err(answer.refusal(&format!("the revert of #{number}")).into());
        }
        let answer: serde_json::Value = answer.json("the revert")?;
        let made = &answer["data"]["revertPullRequest"]["revertPullRequest"];
        match (made["number"].as_u64(), made["url"].as_str().filter(|url| is_web(url))) {
            (Some(number), Some(url)) => Ok(Reverted { number, url: url.to_owned() }),
            _ => {
                let why = answer["errors"][0]["message"].as_str().unwrap_or("no reason given");
                Err(SourceError::new(format!("GitHub did not revert it: {}", cut(why))).into())
            }
        }
    }
}

/// For fuzzing: reads bytes as every answer of GitHub's.
pub(super) fn read_anything(bytes: &[u8]) {
    let _ = serde_json::from_slice::<CompareAnswer>(bytes);
    let _ = serde_json::from_slice::<CommitAnswer>(bytes);
    if let Ok(pulls) = serde_json::from_slice::<Vec<Pull>>(bytes) {
        let newest = newest_update(&PullRequestRules::default(), &pulls);
        log::trace!("{newest:?}");
    }
}

#[cfg(test)]
mod tests;
