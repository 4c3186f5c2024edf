//! The config repository's checkout on this machine: whose it is, what is checked out, and how it
//! is brought to the branch's head (spec: lifecycle, "The checkout belongs to its owner").

mod layout;
pub(crate) mod other;
pub(crate) mod own;
pub(crate) mod signed;
pub(crate) mod user;

use super::read;
use super::site::Site;
use crate::base::child::Bounds;
use crate::base::git::{self, Git, Owner};
use crate::base::{atomic_file, hex};
use layout::Layout;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a git command may take that works on this machine only.
const LOCAL: Duration = Duration::from_secs(60);
/// How long a git command may take that talks to the remote: a first clone brings everything.
pub(crate) const REMOTE: Duration = Duration::from_secs(1800);
/// The largest flake.lock that is read, in bytes.
const MAX_LOCK: u64 = 16 * 1024 * 1024;
/// How much is read of what git prints about a checkout, in bytes.
const MAX_STATUS: usize = 64 * 1024;
/// The agent's mark on its clone, a file in the directory of git.
const MARK: &str = "nixfleet-clone";

/// Who runs the commands of a pull and hears what is done: a job, or the first clone.
pub(crate) trait Runs {
    /// Why a command did not succeed.
    type Error: From<String>;
    /// Runs a command to its end; anything but exit code 0 is an error.
    fn run(&mut self, command: &mut Command, timeout: Duration) -> Result<(), Self::Error>;
    /// Tells the user.
    fn say(&mut self, text: &str);
}

/// Whose the directory of the checkout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody's: it is not there, or empty. The agent may clone into it.
    Nobody,
    /// The agent's: it made it, or was told that it may have it.
    Agent,
    /// The user's: the agent may only bring it forward.
    User,
    /// Something the agent must not touch, and why.
    Foreign(String),
}

/// Whose the checkout's directory is. Reads some small files and starts nothing.
pub(crate) fn whose(site: &Site) -> Whose {
    let dir = &site.repo_dir;
    let layout = match Layout::of(dir) {
        Ok(Some(layout)) => layout,
        Ok(None) => return without_git(site),
        Err(error) => return Whose::Foreign(format!("{}: {error}", dir.display())),
    };
    if layout.git_dir.join(MARK).exists() || is_below_state_dir(site) {
        return Whose::Agent;
    }
    if site.repo_url.is_none() {
        return Whose::User;
    }
    Whose::Foreign(format!(
        "{} is a clone that this agent did not make. Leave NIXFLEET_REPO_URL out to have it only \
         brought forward, or give it to the agent with `nixfleet --agent --adopt-clone`",
        dir.display()
    ))
}

fn without_git(site: &Site) -> Whose {
    let dir = site.repo_dir.display();
    match fs::read_dir(&site.repo_dir) {
        Ok(mut entries) => match entries.next() {
            None => Whose::Nobody,
            Some(_) => Whose::Foreign(format!(
                "{dir} has files in it and is no git clone: it is left as it is. NIXFLEET_REPO_DIR \
                 must be a clone, empty, or not there yet"
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Whose::Nobody,
        Err(error) => Whose::Foreign(format!("{dir} cannot be read: {error}")),
    }
}

fn is_below_state_dir(site: &Site) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (repository, state) = (real(&site.repo_dir), real(&site.state_dir));
    repository != state && repository.starts_with(&state)
}

/// Gives the agent's mark to a clone that is the agent's by the rules: one in its own state
/// directory, or one that both variables name, whose origin is that address and which has nothing
/// that the remote has not. True if it got the mark now.
///
/// # Errors
///
/// The mark cannot be written.
pub(crate) fn mark_if_ours(site: &Site) -> io::Result<bool> {
    let Ok(Some(layout)) = Layout::of(&site.repo_dir) else {
        return Ok(false);
    };
    if layout.git_dir.join(MARK).exists() {
        return Ok(false);
    }
    if !is_below_state_dir(site) && !is_untouched_clone_of_the_url(site) {
        return Ok(false);
    }
    write_mark(&layout.git_dir)?;
    Ok(true)
}

fn is_untouched_clone_of_the_url(site: &Site) -> bool {
    let Some(url) = &site.repo_url else {
        return false;
    };
    let mut ask = at(site);
    let origin = local(ask.args(["config", "--get", "remote.origin.url"]), LOCAL);
    if origin.is_none_or(|origin| origin != *url) {
        return false;
    }
    let state = state(site);
    state.clean == Some(true) && state.ahead == Some(0)
}

fn write_mark(git_dir: &Path) -> io::Result<()> {
    let text = "This clone belongs to the nixfleet agent: a pull resets it to its branch.\n";
    atomic_file::write(&git_dir.join(MARK), text.as_bytes(), 0o644)
}

/// Gives the clone to the agent, as the user asks with `--adopt-clone`. Answers what to tell.
///
/// # Errors
///
/// In words: there is no clone, or it cannot be marked.
pub(crate) fn adopt(site: &Site) -> Result<String, String> {
    let dir = site.repo_dir.display();
    let layout = match Layout::of(&site.repo_dir) {
        Ok(Some(layout)) => layout,
        Ok(None) => return Err(format!("{dir} is no git clone")),
        Err(error) => return Err(format!("{dir}: {error}")),
    };
    if layout.git_dir.join(MARK).exists() {
        return Ok(format!("{dir} is the agent's already"));
    }
    write_mark(&layout.git_dir).map_err(|error| format!("{dir} cannot be marked: {error}"))?;
    Ok(format!(
        "{dir} is the agent's now: a pull resets it to the head of {}, and keeps what was changed \
         by hand under refs/nixfleet/saved",
        site.branch
    ))
}

/// The commit that is checked out; `None` if there is no clone or no commit yet. Reads some small
/// files; only where references are kept in tables, git itself is asked.
pub(crate) fn checkout(site: &Site) -> Option<String> {
    let layout = Layout::of(&site.repo_dir).ok()??;
    if layout.has_tables() {
        return local(at(site).args(["rev-parse", "--verify", "--quiet", "HEAD"]), LOCAL);
    }
    layout.head()
}

/// SHA-256 of the checkout's flake.lock; the empty string if it has none; `None` if there is no
/// checkout. What is no plain file, or too large to be one of Nix, is none.
pub(crate) fn lock_hash(site: &Site) -> Option<String> {
    checkout(site)?;
    match read::plain_file(&site.repo_dir.join("flake.lock"), MAX_LOCK) {
        Ok(bytes) => Some(hex::sha256(&bytes)),
        Err(read::Refused::Io(error)) if error.kind() != io::ErrorKind::NotFound => None,
        Err(_) => Some(String::new()),
    }
}

/// How the checkout differs from what the remote is known to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// A tracked file, or the index, differs from the commit. What is not tracked does not count:
    /// Nix does not see it in a git flake. `None`: it cannot be told.
    pub dirty: Option<bool>,
    /// It is not dirty, and nothing is there that is neither tracked nor ignored.
    pub clean: Option<bool>,
    /// Commits that the remote's branch, as it was fetched last, does not have.
    pub ahead: Option<u32>,
    /// Some of the files for which it is not clean.
    pub changed: Vec<String>,
}

/// Asks git how the checkout differs. Costs some processes.
pub(crate) fn state(site: &Site) -> State {
    let mut ask = at(site);
    let arguments = ["--no-optional-locks", "status", "--porcelain", "-z", "--no-renames"];
    let status = raw(ask.args(arguments), LOCAL);
    let entries: Option<Vec<&str>> =
        status.as_ref().map(|text| text.split('\0').filter(|entry| !entry.is_empty()).collect());
    let remote = remote_reference(site);
    let known = local(at(site).args(["rev-parse", "--verify", "--quiet", &remote]), LOCAL);
    let ahead = known.and_then(|_| {
        let range = format!("{remote}..HEAD");
        local(at(site).args(["rev-list", "--count", &range, "--"]), LOCAL)?.parse().ok()
    });
    State {
        dirty: entries.as_ref().map(|all| all.iter().any(|entry| !entry.starts_with("??"))),
        clean: entries.as_ref().map(|all| all.is_empty()),
        ahead,
        changed: entries
            .iter()
            .flatten()
            .take(5)
            .map(|entry| entry.chars().skip(3).collect())
            .collect(),
    }
}

fn remote_reference(site: &Site) -> String {
    format!("refs/remotes/origin/{}", site.branch)
}

/// What a local git command prints, without the line end; `None` if it fails.
fn local(command: &mut Command, timeout: Duration) -> Option<String> {
    raw(command, timeout).map(|text| text.trim_end().to_owned())
}

fn raw(command: &mut Command, timeout: Duration) -> Option<String> {
    let bounds = Bounds { timeout: Some(timeout), ..Bounds::default() };
    let output = git::run(command, MAX_STATUS, &bounds).ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Git for this checkout: as the owner of the clone, if that is somebody else.
///
/// # Errors
///
/// In words: it is somebody else's and this agent cannot act as them.
pub(crate) fn git(site: &Site) -> Result<Git, String> {
    let git = Git::new().with_ssh_key(site.ssh_key.as_deref());
    let Ok(data) = fs::metadata(&site.repo_dir) else {
        return trusting_the_source(site, git);
    };
    let me = Uid::effective();
    if data.uid() == me.as_raw() {
        return trusting_the_source(site, git);
    }
    let dir = site.repo_dir.display();
    let owner = Owner::of_uid(data.uid()).map_err(|error| format!("{dir}: its owner: {error}"))?;
    if !me.is_root() {
        let name = owner.name();
        return Err(format!("{dir} belongs to {name}: this agent does not run as {name}"));
    }
    Ok(git.as_owner(owner))
}

/// A remote that is a directory of somebody else on this machine is the one that the owner of this
/// machine has named: it is trusted, and no other.
fn trusting_the_source(site: &Site, git: Git) -> Result<Git, String> {
    let Some(source) = site.repo_url.as_deref().and_then(git::local_directory) else {
        return Ok(git);
    };
    let config = site.state_dir.join("gitconfig");
    git.trusting(&config, &[&source])
        .map_err(|error| format!("{} cannot be written: {error}", config.display()))
}

/// A local git command in the checkout. Where the owner cannot be acted for, git itself refuses.
fn at(site: &Site) -> Command {
    git(site).unwrap_or_default().at(&site.repo_dir)
}

/// Holds the clone for one process at a time.
///
/// # Errors
///
/// The file cannot be opened, or `stop` became true while somebody else held the clone: then the
/// kind is `Interrupted`.
pub(crate) fn lock(
    site: &Site,
    stop: &AtomicBool,
    waits: impl FnOnce(),
) -> io::Result<Flock<File>> {
    fs::create_dir_all(&site.state_dir)?;
    let path = site.state_dir.join("repository.lock");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut waits = Some(waits);
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => file,
            Err((_, error)) => return Err(error.into()),
        };
        if stop.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "told to stop"));
        }
        if let Some(tell) = waits.take() {
            tell();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
