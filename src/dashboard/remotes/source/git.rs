//! A git remote, read by the git program into a bare, partial clone of our own.

use super::{Fetched, MISSING, Source, SourceError, first_line};
use crate::domain::facts::{Comparison, LockState, MissingCommit, Relation};
use crate::domain::ids::{Commit, LockHash};
use crate::domain::timestamp::Timestamp;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
    clone: PathBuf,
    last: Option<Fetched>,
}

impl GitSource {
    pub(super) fn new(url: &str, branch: &str, data_dir: &Path) -> Self {
        let key: String =
            Sha256::digest(url.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
        let clone = data_dir.join("sources").join(format!("{key}.git"));
        Self { url: url.to_owned(), branch: branch.to_owned(), clone, last: None }
    }

    fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    fn git(&self, arguments: &[&str]) -> Result<Output, SourceError> {
        self.git_with(arguments, TIMEOUT, MAX_OUTPUT)
    }

    fn git_with(
        &self,
        arguments: &[&str],
        timeout: Duration,
        limit: usize,
    ) -> Result<Output, SourceError> {
        let mut command = Command::new("git");
        command
            .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"])
            .args(["-c", "gc.auto=0", "-c", "safe.directory=*"])
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("SSH_ASKPASS", "true")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=8")
            .env("GIT_DIR", &self.clone)
            .env("LC_ALL", "C")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().map_err(|error| {
            SourceError::new(format!("the git program could not be started: {error}"))
        })?;
        run(child, timeout, limit)
    }

    /// The head of the branch, without fetching anything.
    fn head(&self) -> Result<Commit, SourceError> {
        let reference = self.reference();
        let output = self.git(&["ls-remote", "--", &self.url, &reference])?.checked()?;
        let line = output.lines().find(|line| line.ends_with(&format!("\t{reference}")));
        let hash = line.and_then(|line| line.split('\t').next());
        hash.and_then(Commit::parse)
            .ok_or_else(|| SourceError::new(format!("no branch `{}` on the remote", self.branch)))
    }

    fn prepare(&self) -> Result<(), SourceError> {
        if self.clone.join("HEAD").exists() {
            return Ok(());
        }
        let parent = self.clone.parent().unwrap_or(&self.clone);
        fs::create_dir_all(parent)
            .map_err(|e| SourceError::new(format!("cannot make {}: {e}", parent.display())))?;
        let path = self.clone.to_string_lossy().into_owned();
        self.git(&["init", "--quiet", "--bare", "--", &path])?.checked()?;
        self.git(&["config", "remote.origin.url", &self.url])?.checked()?;
        Ok(())
    }

    fn bring(&self) -> Result<(), SourceError> {
        self.prepare()?;
        let first = !self.git(&["rev-parse", "--verify", "--quiet", &self.reference()])?.success;
        let timeout = if first { FIRST_TIMEOUT } else { TIMEOUT };
        let refspec = format!("+{0}:{0}", self.reference());
        let fetch =
            ["fetch", "--quiet", "--no-tags", "--prune", "--filter=blob:none", "origin", &refspec];
        self.git_with(&fetch, timeout, MAX_OUTPUT)?.checked()?;
        Ok(())
    }

    fn read(&self, commit: Commit) -> Result<Fetched, SourceError> {
        let shown = self
            .git(&["show", "--no-patch", "--format=%ct%n%s", commit.as_str(), "--"])?
            .checked()?;
        let mut lines = shown.lines();
        let committed_at = lines.next().and_then(|secs| secs.trim().parse().ok()).unwrap_or(0);
        let subject = first_line(lines.next().unwrap_or_default());
        Ok(Fetched {
            lock: self.lock(&commit)?,
            commit,
            subject,
            committed_at: Timestamp::from_secs(committed_at),
            pending_pr: None,
        })
    }

    fn lock(&self, commit: &Commit) -> Result<LockState, SourceError> {
        let listed = self.git(&["ls-tree", commit.as_str(), "--", "flake.lock"])?.checked()?;
        if listed.trim().is_empty() {
            return Ok(LockState::Absent);
        }
        let name = format!("{commit}:flake.lock");
        let output = self.git_with(&["cat-file", "blob", &name], TIMEOUT, MAX_LOCK_BYTES)?;
        if output.cut {
            let limit = MAX_LOCK_BYTES / 1024 / 1024;
            return Err(SourceError::new(format!("flake.lock is larger than {limit} MiB")));
        }
        let bytes = output.bytes()?;
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        LockHash::parse(&hash)
            .map(LockState::Hash)
            .ok_or_else(|| SourceError::new("flake.lock could not be hashed".to_owned()))
    }

    fn count(&self, range: &str, path: Option<&str>) -> Result<u32, SourceError> {
        let mut arguments = vec!["rev-list", "--count", range, "--"];
        arguments.extend(path);
        let counted = self.git(&arguments)?.checked()?;
        counted
            .trim()
            .parse()
            .map_err(|_| SourceError::new(format!("git counted {:?} commits", counted.trim())))
    }

    /// The newest commits of a range.
    fn missing(&self, range: &str) -> Result<Vec<MissingCommit>, SourceError> {
        let limit = format!("--max-count={MISSING}");
        let listed = self.git(&["log", &limit, "--format=%H %s", range, "--"])?.checked()?;
        let commits = listed.lines().filter_map(|line| {
            let (hash, subject) = line.split_once(' ')?;
            Some(MissingCommit { commit: Commit::parse(hash)?, subject: first_line(subject) })
        });
        Ok(commits.collect())
    }

    fn is_ancestor(&self, older: &str, newer: &str) -> Result<bool, SourceError> {
        Ok(self.git(&["merge-base", "--is-ancestor", older, newer])?.success)
    }
}

impl Source for GitSource {
    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let head = self.head()?;
        if let Some(last) = self.last.as_ref().filter(|last| last.commit == head) {
            return Ok(last.clone());
        }
        let brought = self.bring().and_then(|()| self.read(head.clone()));
        let fetched = match brought {
            Ok(fetched) => fetched,
            Err(first) => {
                // The clone is only a cache. A broken one is made anew, once.
                let _ = fs::remove_dir_all(&self.clone);
                self.bring().and_then(|()| self.read(head)).map_err(|_| first)?
            }
        };
        self.last = Some(fetched.clone());
        Ok(fetched)
    }

    fn compare(&mut self, host: &Commit, head: &Commit) -> Result<Comparison, SourceError> {
        let nothing = |relation| Ok(Comparison { relation, missing: Vec::new() });
        let (host, head) = (host.as_str(), head.as_str());
        let known = |commit: &str| {
            let name = format!("{commit}^{{commit}}");
            Ok::<_, SourceError>(self.git(&["rev-parse", "--verify", "--quiet", &name])?.success)
        };
        if !known(head)? {
            return Err(SourceError::new(format!("{head} was not fetched")));
        }
        if !known(host)? {
            return nothing(Relation::NotOnBranch);
        }
        if self.is_ancestor(host, head)? {
            let range = format!("{host}..{head}");
            let relation = Relation::Behind {
                commits: self.count(&range, None)?,
                lock_commits: self.count(&range, Some("flake.lock"))?,
            };
            return Ok(Comparison { relation, missing: self.missing(&range)? });
        }
        let ahead = self.is_ancestor(head, host)?;
        nothing(if ahead { Relation::Ahead } else { Relation::NotOnBranch })
    }
}

struct Output {
    success: bool,
    stdout: Vec<u8>,
    cut: bool,
    stderr: String,
}

impl Output {
    fn bytes(self) -> Result<Vec<u8>, SourceError> {
        if !self.success {
            return Err(reason(&self.stderr));
        }
        if self.cut {
            return Err(SourceError::new("the remote's answer is too large".to_owned()));
        }
        Ok(self.stdout)
    }

    fn checked(self) -> Result<String, SourceError> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }
}

/// What git says about a failure, in one line for the user.
fn reason(stderr: &str) -> SourceError {
    let line = stderr
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("fatal: ") || line.starts_with("error: "))
        .or_else(|| stderr.lines().map(str::trim).rfind(|line| !line.is_empty()))
        .unwrap_or("git failed without a word");
    let line = line.trim_start_matches("fatal: ").trim_start_matches("error: ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
    SourceError::new(without_password(&line))
}

/// Hides `user:password@` in URLs.
fn without_password(text: &str) -> String {
    let hide = |word: &str| -> String {
        let Some((scheme, rest)) = word.split_once("://") else {
            return word.to_owned();
        };
        let authority = rest.split('/').next().unwrap_or(rest);
        match authority.rsplit_once('@') {
            Some((secret, _)) => format!("{scheme}://…{}", &rest[secret.len()..]),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(hide).collect::<Vec<_>>().join(" ")
}

/// Waits for a child, reading at most `limit` bytes of its output. When the time is up
/// its whole process group is killed.
fn run(mut child: Child, timeout: Duration, limit: usize) -> Result<Output, SourceError> {
    let stdout = child.stdout.take().map(|pipe| thread::spawn(move || read(pipe, limit)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(move || read(pipe, 64 * 1024)));
    let until = Instant::now() + timeout;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => break None,
        }
    };
    if status.is_none() {
        kill_group(&child);
        // Reaped here, so that nothing is left behind.
        let _ = child.wait();
    }
    let join = |reader: Option<thread::JoinHandle<(Vec<u8>, bool)>>| {
        reader.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    let (stdout, cut) = join(stdout);
    let (stderr, _) = join(stderr);
    match status {
        Some(status) => Ok(Output {
            success: status.success(),
            stdout,
            cut,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }),
        None => Err(SourceError::new(format!(
            "the remote did not answer within {} s",
            timeout.as_secs()
        ))),
    }
}

fn kill_group(child: &Child) {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended in between.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Reads all, keeps the first `limit` bytes, and says whether there was more.
fn read(mut pipe: impl Read, limit: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let whole = pipe.by_ref().take(limit as u64).read_to_end(&mut kept).is_ok();
    let more = std::io::copy(&mut pipe, &mut std::io::sink()).unwrap_or(0) > 0;
    (kept, more || !whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Remote {
        dir: tempfile::TempDir,
    }

    impl Remote {
        fn new() -> Self {
            let remote = Self { dir: tempfile::tempdir().unwrap() };
            remote.git(&["init", "--quiet", "-b", "main", "work"]);
            remote.commit("flake.nix", "{}");
            remote
        }

        fn git(&self, arguments: &[&str]) -> String {
            let work = self.dir.path().join("work");
            let dir = if work.exists() { work } else { self.dir.path().to_owned() };
            let output = Command::new("git")
                .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
                .args(arguments)
                .current_dir(dir)
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        fn commit(&self, file: &str, content: &str) -> Commit {
            fs::write(self.dir.path().join("work").join(file), content).unwrap();
            self.git(&["add", "-A"]);
            self.git(&["commit", "--quiet", "--allow-empty", "-m", &format!("change {file}")]);
            Commit::parse(&self.git(&["rev-parse", "HEAD"])).unwrap()
        }

        fn source(&self, branch: &str) -> GitSource {
            let url = self.dir.path().join("work");
            GitSource::new(url.to_str().unwrap(), branch, &self.dir.path().join("data"))
        }
    }

    #[test]
    fn the_head_is_read_with_its_lock() {
        let remote = Remote::new();
        let mut source = remote.source("main");
        assert_eq!(source.fetch().unwrap().lock, LockState::Absent);
        let head = remote.commit("flake.lock", "hello\n");
        let fetched = source.fetch().unwrap();
        assert_eq!(fetched.commit, head);
        assert_eq!(fetched.subject, "change flake.lock");
        // printf 'hello\n' | sha256sum
        let hash = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(fetched.lock, LockState::Hash(LockHash::parse(hash).unwrap()));
    }

    #[test]
    fn commits_between_are_counted_and_lock_changes_apart() {
        let remote = Remote::new();
        let old = remote.commit("a", "1");
        remote.commit("flake.lock", "1");
        remote.commit("a", "2");
        let head = remote.commit("flake.lock", "2");
        let mut source = remote.source("main");
        source.fetch().unwrap();
        let compared = source.compare(&old, &head).unwrap();
        assert_eq!(compared.relation, Relation::Behind { commits: 3, lock_commits: 2 });
        let subjects: Vec<&str> = compared.missing.iter().map(|m| m.subject.as_str()).collect();
        assert_eq!(subjects, ["change flake.lock", "change a", "change flake.lock"]);
        let short = Commit::parse(old.short()).unwrap();
        assert_eq!(source.compare(&short, &head).unwrap(), compared);
        assert_eq!(source.compare(&head, &old).unwrap().relation, Relation::Ahead);
    }

    #[test]
    fn a_commit_that_was_pushed_away_is_not_on_the_branch() {
        let remote = Remote::new();
        let gone = remote.commit("a", "1");
        let mut source = remote.source("main");
        source.fetch().unwrap();
        remote.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
        let head = remote.commit("b", "1");
        assert_eq!(source.fetch().unwrap().commit, head);
        assert_eq!(source.compare(&gone, &head).unwrap().relation, Relation::NotOnBranch);
        let stranger = Commit::parse("0123456789012345678901234567890123456789").unwrap();
        assert_eq!(source.compare(&stranger, &head).unwrap().relation, Relation::NotOnBranch);
    }

    #[test]
    fn what_is_wrong_with_a_remote_is_said() {
        let remote = Remote::new();
        let error = remote.source("nosuch").fetch().unwrap_err();
        assert_eq!(error.to_string(), "no branch `nosuch` on the remote");
        let error = remote.source("--upload-pack=touch x").fetch().unwrap_err();
        assert!(error.to_string().contains("no branch"), "{error}");
        let nowhere = remote.dir.path().join("nowhere");
        let mut source = GitSource::new(nowhere.to_str().unwrap(), "main", remote.dir.path());
        let error = source.fetch().unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("not"), "{error}");
    }

    #[test]
    fn a_huge_flake_lock_is_an_error_and_not_read_whole() {
        let remote = Remote::new();
        remote.commit("flake.lock", &"x".repeat(MAX_LOCK_BYTES + 1));
        let error = remote.source("main").fetch().unwrap_err();
        assert_eq!(error.to_string(), "flake.lock is larger than 8 MiB");
    }

    #[test]
    fn a_broken_clone_is_made_anew() {
        let remote = Remote::new();
        let mut source = remote.source("main");
        source.fetch().unwrap();
        fs::write(source.clone.join("HEAD"), "rubbish").unwrap();
        fs::remove_dir_all(source.clone.join("refs")).unwrap();
        let head = remote.commit("a", "1");
        assert_eq!(source.fetch().unwrap().commit, head);
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        assert_eq!(
            without_password("unable to access https://me:secret@example.org/x: 403"),
            "unable to access https://…@example.org/x: 403"
        );
    }
}
