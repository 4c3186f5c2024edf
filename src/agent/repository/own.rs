//! The agent's own clone: made, fetched, reset; what was changed by hand is kept.

use super::layout::Layout;
use super::signed::{self, Signers};
use super::{LOCAL, MARK, Runs, Whose, checkout, git, local, state, whose};
use crate::agent::site::Site;
use crate::base::child::Bounds;
use crate::base::git as base_git;
use crate::domain::timestamp::Timestamp;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Where commits are kept that hold what was changed by hand.
const SAVED: &str = "refs/nixfleet/saved";
/// How many of them are kept.
const SAVED_MOST: usize = 10;
/// How long resetting and cleaning may take, on a slow disk too.
const RESET: Duration = Duration::from_secs(300);

/// Brings the agent's clone to the head of the branch, and makes it if it is missing. Where there are
/// signers, only to a head that one of them signed. The clone must be held by the caller
/// ([`super::lock`]).
///
/// # Errors
///
/// The first command that failed, or in words what is in the way.
pub(crate) fn pull<R: Runs>(
    site: &Site,
    signers: Option<&Signers>,
    runs: &mut R,
) -> Result<(), R::Error> {
    let git = git(site)?;
    let dir = &site.repo_dir;
    prepare_directory(site)?;
    if let Ok(Some(layout)) = Layout::of(dir) {
        for path in layout.remove_stale_locks() {
            runs.say(&format!("removed {}, left by a git that was killed", path.display()));
        }
    }
    if !dir.join(".git/HEAD").exists() && !dir.join(".git").is_file() {
        runs.run(git.at(dir).args(["init", "--quiet"]), LOCAL)?;
    }
    if let Some(url) = &site.repo_url {
        runs.run(git.at(dir).args(["config", "remote.origin.url", url]), LOCAL)?;
    }
    let is_ahead = checkout(site).is_some() && state(site).ahead != Some(0);
    let head = signed::fetch(site, signers, &["--prune"], runs)?;
    if checkout(site).is_some() {
        save_what_was_changed(site, is_ahead, runs)?;
        // By the rules for ignored files as they are now: with those of the new commit, a file that
        // is ignored now and not kept could count as one that may go.
        runs.run(git.at(dir).args(["clean", "--quiet", "-fd"]), RESET)?;
    }
    let branch = format!("refs/heads/{}", site.branch);
    runs.run(git.at(dir).args(["symbolic-ref", "HEAD", &branch]), LOCAL)?;
    runs.run(git.at(dir).args(["reset", "--hard", &head]), RESET)
}

/// Makes the directory and marks it as the agent's, before anything else is in it: whatever ends
/// the agent now, the next one knows that it may go on.
fn prepare_directory(site: &Site) -> Result<(), String> {
    let dir = &site.repo_dir;
    let failed = |error| format!("cannot make {}: {error}", dir.display());
    match whose(site) {
        Whose::Nobody => {
            fs::create_dir_all(dir.join(".git")).map_err(failed)?;
            fs::write(dir.join(".git").join(MARK), "This clone is the nixfleet agent's.\n")
                .map_err(failed)
        }
        Whose::Agent => Ok(()),
        Whose::User => Err(format!("{} is a clone of the user's", dir.display())),
        Whose::Foreign(why) => Err(why),
    }
}

/// Keeps what was changed by hand as a commit under [`SAVED`], before a reset takes it away.
fn save_what_was_changed<R: Runs>(
    site: &Site,
    is_ahead: bool,
    runs: &mut R,
) -> Result<(), R::Error> {
    let Ok(Some(Layout { git_dir, .. })) = Layout::of(&site.repo_dir) else {
        return Ok(());
    };
    let is_dirty = state(site).clean != Some(true);
    if !is_dirty && !is_ahead {
        return Ok(());
    }
    let git = git(site)?;
    let dir = &site.repo_dir;
    let mut commit = "HEAD".to_owned();
    if is_dirty {
        commit = commit_of_everything(&git, dir, &git_dir)?;
    }
    let name = format!("{SAVED}/{}", now().to_string().replace(':', "-"));
    runs.run(git.at(dir).args(["update-ref", &name, &commit]), LOCAL)?;
    let what = if is_dirty { "what was changed by hand" } else { "commits that were not pushed" };
    runs.say(&format!("{what} is kept as {name}: git -C {} show {name}", dir.display()));
    forget_the_oldest(&git, dir, runs)
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A commit with everything that is there and not ignored, on top of HEAD, without touching the
/// checkout or its index.
fn commit_of_everything(git: &base_git::Git, dir: &Path, git_dir: &Path) -> Result<String, String> {
    let index = tempfile::Builder::new()
        .prefix("nixfleet-index")
        .tempdir_in(git_dir)
        .map_err(|error| format!("what was changed by hand cannot be kept: {error}"))?;
    let index = index.path().join("index");
    let ask = |arguments: &[&str]| {
        let mut command = git.at(dir);
        command.env("GIT_INDEX_FILE", &index).args(arguments);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "nixfleet");
            command.env(format!("GIT_{role}_EMAIL"), "nixfleet@localhost");
        }
        let bounds = Bounds { timeout: Some(RESET), ..Bounds::default() };
        let output = base_git::run(&mut command, 1000, &bounds)
            .map_err(|error| format!("what was changed by hand cannot be kept: {error}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    ask(&["read-tree", "HEAD"])?;
    ask(&["add", "--all", "--", "."])?;
    let tree = ask(&["write-tree"])?;
    ask(&["commit-tree", "-p", "HEAD", "-m", "changed by hand, kept by nixfleet", &tree])
}

fn forget_the_oldest<R: Runs>(
    git: &base_git::Git,
    dir: &Path,
    runs: &mut R,
) -> Result<(), R::Error> {
    let mut ask = git.at(dir);
    let arguments = ["for-each-ref", "--sort=-refname", "--format=%(refname)", SAVED];
    let names = local(ask.args(arguments), LOCAL).unwrap_or_default();
    for name in names.lines().skip(SAVED_MOST) {
        runs.run(git.at(dir).args(["update-ref", "-d", name]), LOCAL)?;
    }
    Ok(())
}

/// The first clone, by the agent itself.
struct FirstClone;

impl Runs for FirstClone {
    type Error = String;

    fn run(&mut self, command: &mut Command, timeout: Duration) -> Result<(), String> {
        let bounds = Bounds { timeout: Some(timeout), ..Bounds::default() };
        base_git::run(command, 1000, &bounds).map(|_| ())
    }

    fn say(&mut self, text: &str) {
        log::info!("{text}");
    }
}

/// Makes the clone if there is none yet, where the agent may.
///
/// # Errors
///
/// What git said, or in words what is in the way.
pub(crate) fn make(site: &Site) -> Result<(), String> {
    let never = AtomicBool::new(false);
    let _lock = super::lock(site, &never, || ()).map_err(|error| error.to_string())?;
    if checkout(site).is_some() {
        return Ok(());
    }
    let signers = Signers::of(site)?;
    pull(site, signers.as_ref(), &mut FirstClone)
}
