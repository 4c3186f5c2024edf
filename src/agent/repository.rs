//! The agent's own clone of the config repository.

use super::site::Site;
use crate::base::hex;
use crate::domain::ids::Commit;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Command;

/// The commit that is checked out; `None` if there is no clone or no commit yet. Reads
/// two small files and starts nothing.
pub fn checkout(site: &Site) -> Option<String> {
    let git = site.repo_dir.join(".git");
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let hash = match head.trim().strip_prefix("ref: ") {
        None => head.trim().to_owned(),
        Some(name) => match fs::read_to_string(git.join(name)) {
            Ok(hash) => hash.trim().to_owned(),
            Err(_) => packed(&git, name)?,
        },
    };
    Commit::parse(&hash).map(|commit| commit.to_string())
}

fn packed(git: &Path, name: &str) -> Option<String> {
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    let line = packed.lines().find(|line| line.ends_with(&format!(" {name}")))?;
    line.split(' ').next().map(str::to_owned)
}

/// SHA-256 of the clone's flake.lock; the empty string if the clone has none; `None` if
/// there is no clone.
pub fn lock_hash(site: &Site) -> Option<String> {
    checkout(site)?;
    match fs::read(site.repo_dir.join("flake.lock")) {
        Ok(bytes) => Some(hex::sha256(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
        Err(_) => None,
    }
}

/// Holds the clone for one process at a time; waits for it.
pub fn lock(site: &Site) -> io::Result<Flock<File>> {
    fs::create_dir_all(&site.state_dir)?;
    let path = site.state_dir.join("repository.lock");
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// A git command in the clone: it never asks, runs no hooks, and follows no config of the
/// user's that would change what it does.
fn git(site: &Site) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(&site.repo_dir)
        .args(["-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"])
        .args(["-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("SSH_ASKPASS", "true")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE");
    let mut ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new".to_owned();
    if let Some(key) = &site.ssh_key {
        let quoted = key.to_string_lossy().replace('\'', r"'\''");
        ssh = format!("{ssh} -o IdentitiesOnly=yes -i '{quoted}'");
    }
    command.env("GIT_SSH_COMMAND", ssh);
    command
}

/// What brings the clone to the branch's head: made if it is missing, fetched, reset, and
/// cleaned. Each is to be run in turn; the first that fails ends the pull.
pub fn pull(site: &Site) -> io::Result<Vec<Command>> {
    let mut steps = Vec::new();
    let mut step = |arguments: &[&str]| {
        let mut command = git(site);
        command.args(arguments);
        steps.push(command);
    };
    if !site.repo_dir.join(".git").exists() {
        fs::create_dir_all(&site.repo_dir)?;
        step(&["init", "--quiet"]);
    }
    if let Some(url) = &site.repo_url {
        step(&["config", "remote.origin.url", url]);
    }
    let remote = format!("refs/remotes/origin/{}", site.branch);
    let refspec = format!("+refs/heads/{}:{remote}", site.branch);
    step(&["fetch", "--no-tags", "--prune", "origin", &refspec]);
    step(&["symbolic-ref", "HEAD", &format!("refs/heads/{}", site.branch)]);
    step(&["reset", "--hard", &remote]);
    step(&["clean", "-ffdx"]);
    Ok(steps)
}

/// Makes the clone if there is none yet. The error is what git said.
pub fn make(site: &Site) -> Result<(), String> {
    let _lock = lock(site).map_err(|error| error.to_string())?;
    if checkout(site).is_some() {
        return Ok(());
    }
    for mut step in pull(site).map_err(|error| error.to_string())? {
        let output = step.output().map_err(|error| format!("git could not be started: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().rfind(|line| line.starts_with("fatal: "));
            let line = line.or_else(|| said.lines().last()).unwrap_or("git failed without a word");
            return Err(line.trim_start_matches("fatal: ").to_owned());
        }
    }
    Ok(())
}
