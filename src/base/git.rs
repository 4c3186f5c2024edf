//! The one way in which git is asked: it never asks back, runs no hooks, speaks no transport that
//! is a program, sees no secret of ours, and has a time limit.

use super::atomic_file;
use super::child::{self, Bounds, Ended, Output};
use super::launch;
use super::secret::{self, Secret};
use nix::unistd::{Gid, Uid, User};
use std::fmt::Write as _;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of every command: none of them may come from the configuration of a clone.
const OPTIONS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "maintenance.auto=false",
    "gc.auto=0",
    "advice.detachedHead=false",
];

/// Variables of git's that a user may set for this program; all others would change where or on
/// what git works.
const PASSED: &[&str] = &[
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_EXEC_PATH",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CURL_VERBOSE",
];

/// Whose clone it is: git runs as that user, so that nothing in the clone does more than its owner
/// could do, and what git writes belongs to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    uid: Uid,
    gid: Gid,
    name: String,
    home: PathBuf,
}

impl Owner {
    /// The owner with this user number.
    ///
    /// # Errors
    ///
    /// There is no such user on this machine.
    pub fn of_uid(uid: u32) -> io::Result<Self> {
        let unknown = || io::Error::other(format!("no user has the number {uid}"));
        let user = User::from_uid(Uid::from_raw(uid))?.ok_or_else(unknown)?;
        Ok(Self { uid: user.uid, gid: user.gid, name: user.name, home: user.dir })
    }

    /// The user's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How git is asked. Made once, used for many commands.
#[derive(Debug, Clone, Default)]
pub struct Git {
    ssh_key: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    config: Option<PathBuf>,
    owner: Option<Owner>,
    /// The home of a git that reads nobody's configuration.
    alone: Option<PathBuf>,
    /// An address, and the header `Authorization` that is sent there.
    authorization: Option<(String, Secret)>,
}

impl Git {
    /// Git as the user of this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses this private key, and no other, for ssh.
    pub fn with_ssh_key(mut self, key: Option<&Path>) -> Self {
        self.ssh_key = key.map(Path::to_owned);
        self
    }

    /// Remembers the keys of ssh hosts in this file: an unknown host is accepted once, a changed
    /// key is refused.
    pub fn with_known_hosts(mut self, file: &Path) -> Self {
        self.known_hosts = Some(file.to_owned());
        self
    }

    /// Trusts these directories, and only these, whoever owns them. `config_file` is written for
    /// that: what `-c safe.directory` says does not reach the git at the other end of a path.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn trusting(mut self, config_file: &Path, directories: &[&Path]) -> io::Result<Self> {
        let text = trusting_config(directories);
        let is_there = std::fs::read(config_file).is_ok_and(|known| known == text.as_bytes());
        if !is_there {
            atomic_file::write(config_file, text.as_bytes(), 0o600)?;
        }
        self.config = Some(config_file.to_owned());
        Ok(self)
    }

    /// Sends a header `Authorization` to `address`, over http, and to no other. It is told by git's
    /// environment: a command line could be read by everybody.
    pub fn with_authorization(mut self, address: &str, value: &str) -> Self {
        self.authorization = Some((address.to_owned(), Secret::new(value)));
        self
    }

    /// Reads no configuration, neither the machine's nor a user's, and lets neither git nor gpg find
    /// a home but this directory. Only that of the repository it works on counts.
    pub fn without_any_configuration(mut self, home: &Path) -> Self {
        self.alone = Some(home.to_owned());
        self
    }

    /// Runs git as the owner of the clone. Only root can do that for others.
    pub fn as_owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// A git command in this directory, never in one above it. Arguments are to be added.
    pub fn at(&self, directory: &Path) -> Command {
        let mut command = self.command();
        command.arg("-C").arg(directory);
        if let Some(above) = directory.parent() {
            command.env("GIT_CEILING_DIRECTORIES", above);
        }
        command
    }

    /// A git command on this bare repository. Arguments are to be added.
    pub fn bare(&self, repository: &Path) -> Command {
        let mut command = self.command();
        command.env("GIT_DIR", repository);
        command
    }

    /// A git command without a repository. Arguments are to be added.
    pub fn command(&self) -> Command {
        let mut command = launch::command("git");
        for (name, _) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            let passed = PASSED.contains(&name)
                || ["GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_", "GIT_TRACE"]
                    .iter()
                    .any(|begin| name.starts_with(begin));
            if name.starts_with("GIT_") && !passed {
                command.env_remove(name);
            }
        }
        secret::hide_from(&mut command);
        for option in OPTIONS {
            command.args(["-c", option]);
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("SSH_ASKPASS", "true")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
            .env("LC_ALL", "C");
        self.set_ssh(&mut command);
        if let Some((address, value)) = &self.authorization {
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{address}.extraHeader"))
                .env("GIT_CONFIG_VALUE_0", format!("Authorization: {}", value.expose()));
        }
        if let Some(config) = &self.config {
            command.env("GIT_CONFIG_GLOBAL", config);
        }
        if let Some(owner) = &self.owner {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
            command.env("HOME", &owner.home).env("USER", &owner.name).env("LOGNAME", &owner.name);
            for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"] {
                command.env_remove(name);
            }
        }
        if let Some(home) = &self.alone {
            for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
                command.env(name, "/dev/null");
            }
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", home).env("XDG_CONFIG_HOME", home);
            command.env("GNUPGHOME", home.join("gnupg"));
        }
        command
    }

    /// What the user says about ssh in GIT_SSH_COMMAND counts, unless a key is given here.
    fn set_ssh(&self, command: &mut Command) {
        let says_the_user =
            ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(|name| std::env::var_os(name).is_some());
        if says_the_user && self.ssh_key.is_none() {
            return;
        }
        let mut ssh = "ssh -o BatchMode=yes -o ConnectTimeout=10".to_owned();
        ssh.push_str(" -o StrictHostKeyChecking=accept-new");
        if let Some(file) = &self.known_hosts {
            // Writing to a String cannot fail.
            let _ =
                write!(ssh, " -o {}", quoted(&format!("UserKnownHostsFile={}", file.display())));
        }
        if let Some(key) = &self.ssh_key {
            let _ = write!(ssh, " -o IdentitiesOnly=yes -i {}", quoted(&key.to_string_lossy()));
        }
        command.env("GIT_SSH_COMMAND", ssh).env_remove("GIT_SSH");
    }
}

/// Runs a git command and keeps at most `limit` bytes of what it prints.
///
/// # Errors
///
/// In words for the user: git is not there, failed, or took too long. Credentials in addresses are
/// not among them.
pub fn run(command: &mut Command, limit: usize, bounds: &Bounds<'_>) -> Result<Output, String> {
    let output = try_run(command, limit, bounds)?;
    if output.ended.ok() {
        return Ok(output);
    }
    if output.ended.timed_out {
        let seconds = bounds.timeout.unwrap_or_default().as_secs();
        return Err(format!("git did not come to an end within {seconds} s"));
    }
    Err(reason(&output.stderr, output.ended))
}

/// As [`run`], for commands whose exit code is an answer.
///
/// # Errors
///
/// The git program could not be started.
pub fn try_run(command: &mut Command, limit: usize, bounds: &Bounds<'_>) -> Result<Output, String> {
    child::output(command, limit, bounds)
        .map_err(|error| format!("the git program could not be started: {error}"))
}

/// How lines of git's begin that say nothing about why.
const NOISE: &[&str] = &[
    "hint:",
    "warning:",
    "Cloning into",
    "From ",
    "remote: Enumerating",
    "remote: Counting",
    "remote: Compressing",
    "To add an exception for this directory",
    "git config --global --add",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
];
/// How many of git's lines make a reason.
const REASON_LINES: usize = 3;

/// What git says about a failure, in one line for the user: its own words and those of ssh, without
/// progress, hints and credentials.
pub fn reason(stderr: &str, ended: Ended) -> String {
    let noise = |line: &str| NOISE.iter().any(|begin| line.starts_with(begin));
    let lines: Vec<&str> =
        stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !noise(line)).collect();
    let first = lines.len().saturating_sub(REASON_LINES);
    let said: Vec<&str> = lines[first..]
        .iter()
        .map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: "))
        .collect();
    if said.is_empty() {
        return match ended.stopped {
            true => "git was stopped".to_owned(),
            false => format!("git failed without a word, exit code {}", ended.code),
        };
    }
    let text: String = said.join(" / ").chars().filter(|c| !c.is_control()).take(300).collect();
    secret::without_credentials(&text).into_owned()
}

/// The directory that an address of a repository means, if it means one on this machine.
pub fn local_directory(address: &str) -> Option<PathBuf> {
    if let Some(path) = address.strip_prefix("file://") {
        return Some(PathBuf::from(path));
    }
    let before_slash = address.split('/').next().unwrap_or_default();
    let is_elsewhere = address.contains("://") || before_slash.contains(':');
    if is_elsewhere { None } else { Some(PathBuf::from(address)) }
}

/// A configuration that trusts these directories and is the user's own in all else.
fn trusting_config(directories: &[&Path]) -> String {
    let mut text = "# Made by this program: trusts only what it works on.\n".to_owned();
    for file in user_configs() {
        let _ = writeln!(text, "[include]\n\tpath = {}", config_value(&file));
    }
    text.push_str("[safe]\n");
    for directory in directories {
        let real = std::fs::canonicalize(directory).unwrap_or_else(|_| (*directory).to_owned());
        let mut names = vec![(*directory).to_owned(), directory.join(".git")];
        if real != **directory {
            names.push(real.join(".git"));
            names.push(real);
        }
        for name in names {
            let _ = writeln!(text, "\tdirectory = {}", config_value(&name));
        }
    }
    text
}

/// The files that git would read, were there none of ours.
fn user_configs() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(file) = variable("GIT_CONFIG_GLOBAL") {
        return vec![file];
    }
    let home = variable("HOME");
    let xdg = variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    let files = [xdg.map(|dir| dir.join("git/config")), home.map(|dir| dir.join(".gitconfig"))];
    files.into_iter().flatten().collect()
}

/// A value as git's configuration files quote it.
fn config_value(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', r"\n"))
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
