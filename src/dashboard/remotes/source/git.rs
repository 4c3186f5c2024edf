//! A git remote, read by the git program into a bare, partial clone of our own.

use super::{Fetched, MISSING, Patience, Source, SourceError, first_line};
use crate::base::child::{Bounds, Leftovers};
use crate::base::git::{self, Git};
use crate::base::hex;
use crate::domain::desired::named_hosts;
use crate::domain::facts::{Comparison, LockState, MissingCommit, Relation};
use crate::domain::ids::{Commit, LockHash};
use crate::domain::timestamp::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one git command may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first fetch brings the whole history.
const FIRST_TIMEOUT: Duration = Duration::from_secs(300);
/// The largest flake.lock that is believed.
const MAX_LOCK_BYTES: usize = 8 * 1024 * 1024;
/// How much of any other output is read.
const MAX_OUTPUT: usize = 1024 * 1024;

/// A git remote and our clone of it.
pub(super) struct GitSource {
    url: String,
    branch: String,
    data_dir: PathBuf,
    clone: PathBuf,
    last: Option<Fetched>,
    ssh_key: Option<PathBuf>,
    authorization: Option<String>,
    patience: Patience,
}

/// What a git command printed.
struct Printed {
    bytes: Vec<u8>,
    /// There was more of it.
    is_cut: bool,
}

/// Why a git command brought nothing.
enum Failure {
    /// Git said no.
    Refused(SourceError),
    /// There was no time, or no git.
    NoAnswer(SourceError),
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) | Failure::NoAnswer(error) => error,
        }
    }
}

impl GitSource {
    pub(super) fn new(url: &str, branch: &str, data_dir: &Path) -> Self {
        // Git works in other directories than we do.
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let key: String = hex::sha256(url.as_bytes()).chars().take(16).collect();
        let clone = data_dir.join("sources").join(format!("{key}.git"));
        Self {
            url: url.to_owned(),
            branch: branch.to_owned(),
            data_dir,
            clone,
            last: None,
            ssh_key: None,
            authorization: None,
            patience: Patience::new(FIRST_TIMEOUT, Arc::default()),
        }
    }

    /// Uses this private key for ssh.
    pub(super) fn with_ssh_key(mut self, key: Option<&Path>) -> Self {
        self.ssh_key = key.map(Path::to_owned);
        self
    }

    /// Sends this header `Authorization` to the remote, and to no other address.
    pub(super) fn with_authorization(mut self, value: String) -> Self {
        self.authorization = Some(value);
        self
    }

    fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Git as this source uses it: with the keys of ssh hosts that it met before, and, where the
    /// remote is a directory of this machine, trusting that one whoever owns it.
    fn program(&self) -> Result<Git, SourceError> {
        let mut git = Git::new()
            .with_known_hosts(&self.data_dir.join("known_hosts"))
            .with_ssh_key(self.ssh_key.as_deref());
        if let Some(value) = &self.authorization {
            git = git.with_authorization(&self.url, value);
        }
        let Some(directory) = git::local_directory(&self.url) else {
            return Ok(git);
        };
        let config = self.clone.with_extension("config");
        git.trusting(&config, &[&directory]).map_err(|error| {
            SourceError::new(format!("cannot write {}: {error}", config.display()))
        })
    }

    fn git(&self, arguments: &[&str]) -> Result<String, SourceError> {
        Ok(self.git_with(arguments, TIMEOUT)?)
    }

    fn git_with(&self, arguments: &[&str], timeout: Duration) -> Result<String, Failure> {
        let printed = self.print(arguments, timeout, MAX_OUTPUT)?;
        if printed.is_cut {
            let large = "the remote's answer is too large".to_owned();
            return Err(Failure::Refused(SourceError::new(large)));
        }
        Ok(String::from_utf8_lossy(&printed.bytes).into_owned())
    }

    /// Whether git says yes: an exit code that is not 0 is no error here.
    fn says_yes(&self, arguments: &[&str]) -> Result<bool, SourceError> {
        match self.print(arguments, TIMEOUT, MAX_OUTPUT) {
            Ok(_) => Ok(true),
            Err(Failure::Refused(_)) => Ok(false),
            Err(Failure::NoAnswer(error)) => Err(error),
        }
    }

    fn print(
        &self,
        arguments: &[&str],
        timeout: Duration,
        limit: usize,
    ) -> Result<Printed, Failure> {
        let timeout = self.patience.left(timeout).map_err(Failure::NoAnswer)?;
        let git = self.program().map_err(Failure::NoAnswer)?;
        let bounds = Bounds {
            stop: Some(self.patience.is_given_up()),
            timeout: Some(timeout),
            leftovers: Leftovers::Killed,
            ..Bounds::default()
        };
        let mut command = git.bare(&self.clone);
        let output = git::try_run(command.args(arguments), limit, &bounds)
            .map_err(|reason| Failure::NoAnswer(SourceError::new(reason)))?;
        if output.ended.ok() {
            return Ok(Printed { bytes: output.stdout, is_cut: output.cut });
        }
        if output.ended.timed_out {
            let seconds = timeout.as_secs();
            let late = format!("the remote did not answer within {seconds} s");
            return Err(Failure::NoAnswer(SourceError::new(late)));
        }
        let reason = SourceError::new(git::reason(&output.stderr, output.ended));
        if output.ended.stopped {
            return Err(Failure::NoAnswer(reason));
        }
        Err(Failure::Refused(reason))
    }

    /// The head of the branch, without fetching anything.
    fn head(&self) -> Result<Commit, SourceError> {
        let reference = self.reference();
        self.prepare()?;
        let listed = self.git(&["ls-remote", "--", &self.url, &reference])?;
        let line = listed.lines().find(|line| line.ends_with(&format!("\t{reference}")));
        let hash = line.and_then(|line| line.split('\t').next());
        hash.and_then(Commit::parse)
            .ok_or_else(|| SourceError::new(format!("no branch `{}` on the remote", self.branch)))
    }

    /// The directory that everything of this source is in.
    fn prepare(&self) -> Result<(), SourceError> {
        let parent = self.clone.parent().unwrap_or(&self.clone);
        fs::create_dir_all(parent)
            .map_err(|e| SourceError::new(format!("cannot make {}: {e}", parent.display())))
    }

    fn make_clone(&self) -> Result<(), Failure> {
        if self.clone.join("HEAD").exists() {
            return Ok(());
        }
        let path = self.clone.to_string_lossy().into_owned();
        self.git_with(&["init", "--quiet", "--bare", "--", &path], TIMEOUT)?;
        self.git_with(&["config", "remote.origin.url", &self.url], TIMEOUT)?;
        Ok(())
    }

    fn bring(&self) -> Result<(), Failure> {
        self.make_clone()?;
        let known = ["rev-parse", "--verify", "--quiet", &self.reference()];
        let is_first = !self.says_yes(&known).map_err(Failure::NoAnswer)?;
        let timeout = if is_first { FIRST_TIMEOUT } else { TIMEOUT };
        let refspec = format!("+{0}:{0}", self.reference());
        let fetch =
            ["fetch", "--quiet", "--no-tags", "--prune", "--filter=blob:none", "origin", &refspec];
        self.git_with(&fetch, timeout)?;
        Ok(())
    }

    fn bring_and_read(&self, head: &Commit) -> Result<Fetched, Failure> {
        self.bring()?;
        self.read(head.clone())
    }

    fn read(&self, commit: Commit) -> Result<Fetched, Failure> {
        let show = ["show", "--no-patch", "--format=%ct%n%s", commit.as_str(), "--"];
        let shown = self.git_with(&show, TIMEOUT)?;
        let mut lines = shown.lines();
        let committed_at = lines.next().and_then(|secs| secs.trim().parse().ok()).unwrap_or(0);
        let subject = first_line(lines.next().unwrap_or_default());
        let hosts = self.hosts(&commit)?;
        Ok(Fetched {
            lock: Some(self.lock(&commit)?),
            commit,
            subject,
            committed_at: Timestamp::from_secs(committed_at),
            pending_pr: None,
            pending_details: None,
            hosts,
        })
    }

    /// The entries of `hosts/`; none if there is no such directory.
    fn hosts(&self, commit: &Commit) -> Result<Vec<String>, Failure> {
        let list = ["ls-tree", "-z", "--name-only", commit.as_str(), "--", "hosts/"];
        let listed = self.print(&list, TIMEOUT, MAX_OUTPUT)?;
        let text = String::from_utf8_lossy(&listed.bytes);
        Ok(named_hosts(text.split('\0')))
    }

    fn lock(&self, commit: &Commit) -> Result<LockState, Failure> {
        let listed = self.git_with(&["ls-tree", commit.as_str(), "--", "flake.lock"], TIMEOUT)?;
        if listed.trim().is_empty() {
            return Ok(LockState::Absent);
        }
        let name = format!("{commit}:flake.lock");
        let lock = self.print(&["cat-file", "blob", &name], TIMEOUT, MAX_LOCK_BYTES)?;
        let refused = |reason: String| Failure::Refused(SourceError::new(reason));
        if lock.is_cut {
            let limit = MAX_LOCK_BYTES / 1024 / 1024;
            return Err(refused(format!("flake.lock is larger than {limit} MiB")));
        }
        match LockHash::parse(&hex::sha256(&lock.bytes)) {
            Some(hash) => Ok(LockState::Hash(hash)),
            None => Err(refused("flake.lock could not be hashed".to_owned())),
        }
    }

    fn count(&self, range: &str, path: Option<&str>) -> Result<u32, SourceError> {
        let mut arguments = vec!["rev-list", "--count", range, "--"];
        arguments.extend(path);
        let counted = self.git(&arguments)?;
        counted
            .trim()
            .parse()
            .map_err(|_| SourceError::new(format!("git counted {:?} commits", counted.trim())))
    }

    /// The newest commits of a range.
    fn missing(&self, range: &str) -> Result<Vec<MissingCommit>, SourceError> {
        let limit = format!("--max-count={MISSING}");
        let listed = self.git(&["log", &limit, "--format=%H %s", range, "--"])?;
        Ok(missing_of(&listed))
    }

    fn is_ancestor(&self, older: &str, newer: &str) -> Result<bool, SourceError> {
        self.says_yes(&["merge-base", "--is-ancestor", older, newer])
    }
}

/// Commits as git lists them: hash and subject.
pub(super) fn missing_of(listed: &str) -> Vec<MissingCommit> {
    let commits = listed.lines().filter_map(|line| {
        let (hash, subject) = line.split_once(' ')?;
        Some(MissingCommit { commit: Commit::parse(hash)?, subject: first_line(subject) })
    });
    commits.collect()
}

impl Source for GitSource {
    fn begin(&mut self, patience: Patience) {
        self.patience = patience;
    }

    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let head = self.head()?;
        if let Some(last) = &self.last
            && last.commit.as_str() == head.as_str()
        {
            return Ok(last.clone());
        }
        let fetched = match self.bring_and_read(&head) {
            Ok(fetched) => fetched,
            Err(Failure::NoAnswer(error)) => return Err(error),
            Err(Failure::Refused(first)) => {
                // The clone is only a cache, and the remote has just answered. A broken one is
                // made anew, once.
                let _ = fs::remove_dir_all(&self.clone);
                self.bring_and_read(&head).map_err(|_| first)?
            }
        };
        self.last = Some(fetched.clone());
        Ok(fetched)
    }

    fn compare(&mut self, host: &Commit, head: &Commit) -> Result<Option<Comparison>, SourceError> {
        let nothing = |relation| Ok(Some(Comparison { relation, missing: Arc::default() }));
        let (host, head) = (host.as_str(), head.as_str());
        let known = |commit: &str| {
            let name = format!("{commit}^{{commit}}");
            self.says_yes(&["rev-parse", "--verify", "--quiet", &name])
        };
        if !known(head)? {
            return Err(SourceError::new(format!("{head} was not fetched")));
        }
        if !known(host)? {
            return Ok(None);
        }
        if self.is_ancestor(host, head)? {
            let range = format!("{host}..{head}");
            let relation = Relation::Behind {
                commits: self.count(&range, None)?,
                lock_commits: self.count(&range, Some("flake.lock"))?,
            };
            return Ok(Some(Comparison { relation, missing: self.missing(&range)?.into() }));
        }
        let ahead = self.is_ancestor(head, host)?;
        nothing(if ahead { Relation::Ahead } else { Relation::NotOnBranch })
    }
}

#[cfg(test)]
mod tests;
