//! A `version.json` on a web server, as NixFleet 3 publishes it: `gitCommit`, `lockHash`,
//! `message`, `branch`, `timestamp`.

use super::http::{Request, Web};
use super::{Fetched, Patience, Source, SourceError};
use crate::domain::facts::{Comparison, LockState};
use crate::domain::ids::{Commit, LockHash};
use crate::domain::timestamp::Timestamp;
use serde::Deserialize;

/// The largest file that is read.
const LIMIT: usize = 64 * 1024;

/// One file.
pub(super) struct VersionJson {
    web: Web,
    url: String,
    branch: String,
    last: Option<(Option<String>, Fetched)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    git_commit: String,
    #[serde(default)]
    lock_hash: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    branch: String,
    #[serde(default)]
    timestamp: String,
}

/// For fuzzing: reads bytes as a file.
pub(super) fn read_anything(bytes: &[u8]) {
    if let Ok(file) = serde_json::from_slice::<File>(bytes) {
        let _ = VersionJson::new("https://example.org/version.json", "main").read(&file);
    }
}

impl VersionJson {
    pub(super) fn new(url: &str, branch: &str) -> Self {
        Self { web: Web::new(None), url: url.to_owned(), branch: branch.to_owned(), last: None }
    }

    fn read(&self, file: &File) -> Result<Fetched, SourceError> {
        let wrong = |field: &str, expected: &str| {
            SourceError::new(format!("version.json: `{field}`: expected {expected}"))
        };
        if !file.branch.is_empty() && file.branch != self.branch {
            let branch: String = file.branch.chars().take(60).collect();
            return Err(SourceError::new(format!(
                "version.json is about branch {branch:?}, not {}",
                self.branch
            )));
        }
        let commit = Commit::parse(&file.git_commit)
            .ok_or_else(|| wrong("gitCommit", "7 to 64 hexadecimal digits"))?;
        let lock = match file.lock_hash.trim() {
            // Finding 55: a file that does not name it does not say that there is none.
            "" => None,
            hash => Some(LockState::Hash(
                LockHash::parse(hash).ok_or_else(|| wrong("lockHash", "64 hexadecimal digits"))?,
            )),
        };
        Ok(Fetched {
            commit,
            lock,
            subject: super::first_line(&file.message),
            committed_at: Timestamp::parse(&file.timestamp).unwrap_or_default(),
            pending_pr: None,
            pending_details: None,
            hosts: Vec::new(),
        })
    }
}

impl Source for VersionJson {
    fn begin(&mut self, patience: Patience) {
        self.web.begin(patience);
    }

    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let answer = self.web.ask(&Request {
            method: "GET",
            url: &self.url,
            accept: "application/json",
            etag: self.last.as_ref().and_then(|(etag, _)| etag.as_deref()),
            body: None,
            limit: LIMIT,
        })?;
        if let (304, Some((_, last))) = (answer.status, &self.last) {
            return Ok(last.clone());
        }
        if answer.status != 200 {
            return Err(answer.refusal("version.json"));
        }
        let fetched = self.read(&answer.json("version.json")?)?;
        self.last = Some((answer.head.etag, fetched.clone()));
        Ok(fetched)
    }

    fn compare(&mut self, _: &Commit, _: &Commit) -> Result<Option<Comparison>, SourceError> {
        Err(SourceError::new("a version.json does not say how commits relate".to_owned()))
    }
}
