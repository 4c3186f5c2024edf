//! Signed commits: a host that was told who may sign takes no other head (spec: guard, "Signed").
//!
//! Git verifies, in a repository and with a configuration that were made for that: neither the
//! clone's own settings, nor those of a user or the machine, nor anybody's keyring have a say.

use super::{LOCAL, REMOTE, Runs, checkout, git, local, remote_reference};
use crate::agent::site::Site;
use crate::base::child::{self, Bounds, Output};
use crate::base::git::{self as base_git, Git};
use crate::base::{atomic_file, secret};
use crate::domain::ids::WholeCommit;
use crate::domain::signed::{self, Has, Head, Kind, Said, Signature};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest file of signers, in bytes.
const MAX_SIGNERS: u64 = 4 * 1024 * 1024;
/// The largest commit, in bytes: its message and its signature.
const MAX_COMMIT: usize = 1024 * 1024;
/// Where a head is kept that was fetched and not yet looked at.
const INCOMING: &str = "refs/nixfleet/incoming";
/// The file of the commit that was taken last, or that the owner said to trust.
const TRUSTED: &str = "trusted-commit";
/// The directory in which git verifies, made anew each time.
const BENCH: &str = "verify";
/// How a keybox of GnuPG begins, after a length.
const KEYBOX: (usize, &[u8]) = (8, b"KBXf");

/// Who may sign, as read at the beginning of a pull.
pub(crate) struct Signers {
    ssh: Option<Vec<u8>>,
    gpg: Option<Vec<u8>>,
}

impl Signers {
    /// Reads who may sign; `None` where the host was not told, and takes any head.
    ///
    /// # Errors
    ///
    /// In the user's words: a file that was named cannot be used.
    pub(crate) fn of(site: &Site) -> Result<Option<Self>, String> {
        let files = &site.signers;
        let ssh = files.allowed.as_deref().map(|file| read("NIXFLEET_ALLOWED_SIGNERS", file));
        let gpg = files.keyring.as_deref().map(|file| read("NIXFLEET_SIGNERS_KEYRING", file));
        let (ssh, gpg) = (ssh.transpose()?, gpg.transpose()?);
        if let (Some(bytes), Some(file)) = (&ssh, &files.allowed)
            && entries(bytes) == 0
        {
            return Err(format!(
                "NIXFLEET_ALLOWED_SIGNERS: {} has no entry: nobody may sign, and nothing is pulled",
                file.display()
            ));
        }
        Ok((ssh.is_some() || gpg.is_some()).then_some(Self { ssh, gpg }))
    }

    /// What is said of them when the agent is checked.
    ///
    /// # Errors
    ///
    /// In the user's words: they cannot be used, or what verifies is not there.
    pub(crate) fn check(site: &Site) -> Result<String, String> {
        let Some(signers) = Self::of(site)? else {
            return Ok("any: commits need no signature".to_owned());
        };
        let failed = |error: io::Error| format!("no directory to verify in: {error}");
        let dir = tempfile::tempdir().map_err(failed)?;
        let bench = Bench::make(&dir.path().join(BENCH), &signers, false)?;
        let ssh = signers.ssh.as_ref().map(|bytes| format!("entries of ssh: {}", entries(bytes)));
        let gpg = bench.keys.as_ref().map(|keys| format!("keys of gpg: {keys}"));
        let said: Vec<String> = ssh.into_iter().chain(gpg).collect();
        Ok(format!("only signed ones ({})", said.join(", ")))
    }
}

/// Lines of git's file of allowed signers that name somebody.
fn entries(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let names = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    text.lines().filter(names).count()
}

fn read(variable: &str, file: &Path) -> Result<Vec<u8>, String> {
    let shown = file.display();
    let failed = |error: io::Error| format!("{variable}: {shown} cannot be read: {error}");
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file).map_err(failed)?;
    let data = opened.metadata().map_err(failed)?;
    if !data.is_file() {
        return Err(format!("{variable}: {shown} is no file"));
    }
    if data.mode() & 0o002 != 0 {
        return Err(format!("{variable}: everybody may write {shown}: chmod o-w {shown}"));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_SIGNERS + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_SIGNERS {
        return Err(format!("{variable}: {shown} is larger than {MAX_SIGNERS} bytes"));
    }
    if bytes.is_empty() {
        return Err(format!(
            "{variable}: {shown} is empty: nobody may sign, and nothing is pulled"
        ));
    }
    Ok(bytes)
}

/// Fetches the branch and answers what to go to: its head, where the host takes any; else the head
/// that was verified. The clone must be held by the caller ([`super::lock`]).
///
/// # Errors
///
/// The command that failed, or in the user's words why the head is not taken. Then the clone knows
/// nothing of it.
pub(crate) fn fetch<R: Runs>(
    site: &Site,
    signers: Option<&Signers>,
    more: &[&str],
    runs: &mut R,
) -> Result<String, R::Error> {
    let git = git(site)?;
    let remote = remote_reference(site);
    let to = if signers.is_some() { INCOMING } else { &remote };
    let refspec = format!("+refs/heads/{}:{to}", site.branch);
    let mut command = git.at(&site.repo_dir);
    // What the clone's own settings would fetch besides is left where it is.
    command.args(["fetch", "--no-tags", "--refmap="]).args(more).args(["origin", &refspec]);
    runs.run(&mut command, REMOTE)?;
    let Some(signers) = signers else {
        // What was taken without a look is no beginning for what is taken with one.
        forget(site)?;
        return Ok(remote);
    };
    let mut ask = git.at(&site.repo_dir);
    let named = local(ask.args(["rev-parse", "--verify", "--quiet", INCOMING]), LOCAL);
    let head = named.as_deref().and_then(WholeCommit::parse);
    let head = head.ok_or_else(|| "git does not tell what it fetched".to_owned())?;
    let said = verify(site, signers, &head, true)?;
    runs.say(&said);
    record(site, &head)?;
    let mut update = git.at(&site.repo_dir);
    runs.run(update.args(["update-ref", &remote, head.as_str()]), LOCAL)?;
    Ok(head.as_str().to_owned())
}

/// Verifies a commit that is in the clone: its signature and, `as_head`, that it descends from what
/// the host has. Answers who signed it.
///
/// # Errors
///
/// In the user's words: why it is not taken.
pub(crate) fn verify(
    site: &Site,
    signers: &Signers,
    commit: &WholeCommit,
    as_head: bool,
) -> Result<String, String> {
    let bytes = commit_bytes(site, commit.as_str())
        .ok_or_else(|| format!("{} is no commit of at most {MAX_COMMIT} bytes", commit.short()))?;
    let said = Said::parse(&bytes)
        .ok_or_else(|| format!("{} cannot be understood as a commit", commit.short()))?;
    let bench = Bench::make(&site.state_dir.join(BENCH), signers, commit.as_str().len() == 64)?;
    bench.store(&bytes, commit)?;
    let signature = match said.signed {
        None => Signature::Missing,
        Some(Kind::Ssh) if signers.ssh.is_some() => bench.ask(commit)?,
        Some(Kind::Gpg) if signers.gpg.is_some() => bench.ask(commit)?,
        Some(Kind::Ssh | Kind::Gpg | Kind::Other) => Signature::OtherKind,
    };
    drop(bench);
    let has = if as_head { has(site, commit)? } else { None };
    let commit = commit.as_str().to_owned();
    signed::judge(&Head { commit, made: said.made, signature, has })
}

/// A commit's bytes, as the clone has them. Whether they are that commit's is not known yet.
fn commit_bytes(site: &Site, commit: &str) -> Option<Vec<u8>> {
    let mut command = git(site).ok()?.at(&site.repo_dir);
    command.env("GIT_NO_REPLACE_OBJECTS", "1").args(["cat-file", "commit", commit]);
    let output = base_git::run(&mut command, MAX_COMMIT, &within(LOCAL)).ok()?;
    (!output.cut).then_some(output.stdout)
}

/// What the host has: what it took or was told to trust, else what is checked out.
fn has(site: &Site, head: &WholeCommit) -> Result<Option<Has>, String> {
    let Some(commit) = trusted(site)?.or_else(|| checkout(site)) else {
        return Ok(None);
    };
    let mut ask = git(site)?.at(&site.repo_dir);
    ask.env("GIT_NO_REPLACE_OBJECTS", "1");
    ask.args(["-c", "core.commitGraph=false", "merge-base", "--is-ancestor", &commit]);
    let answer = base_git::try_run(ask.arg(head.as_str()), 0, &within(LOCAL))?;
    let made = commit_bytes(site, &commit).and_then(|bytes| Said::parse(&bytes));
    let made = made.map(|said| said.made);
    Ok(Some(Has { commit, made, is_ancestor: answer.ended.ok() }))
}

/// The commit that was taken last, or that the owner said to trust.
fn trusted(site: &Site) -> Result<Option<String>, String> {
    let file = site.state_dir.join(TRUSTED);
    let shown = file.display();
    match fs::read_to_string(&file) {
        Ok(text) => match WholeCommit::parse(&text) {
            Some(commit) => Ok(Some(commit.as_str().to_owned())),
            None => Err(format!("{shown} holds no commit: `nixfleet --agent --trust COMMIT`")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
    }
}

fn record(site: &Site, commit: &WholeCommit) -> Result<(), String> {
    let file = site.state_dir.join(TRUSTED);
    let text = format!("{}\n", commit.as_str());
    atomic_file::write(&file, text.as_bytes(), 0o600)
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

fn forget(site: &Site) -> Result<(), String> {
    let file = site.state_dir.join(TRUSTED);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", file.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes the owner's word that the next head descends from this commit (`--trust`). Answers what to
/// tell.
///
/// # Errors
///
/// In words: there is no agent's directory here, or it cannot be written.
pub(crate) fn trust(site: &Site, commit: &WholeCommit) -> Result<String, String> {
    let dir = site.state_dir.display();
    if !site.state_dir.is_dir() {
        let why = "run this as the agent's user, with the agent's --state-dir";
        return Err(format!("{dir} is not there: {why}"));
    }
    record(site, commit)?;
    Ok(format!(
        "{} is what this host has, as far as signed commits are concerned: the next pull takes a \
         signed head that is this commit or descends from it ({dir})",
        commit.as_str()
    ))
}

fn within(limit: std::time::Duration) -> Bounds<'static> {
    Bounds { timeout: Some(limit), ..Bounds::default() }
}

/// Where git verifies: a repository with nothing but one commit, and the signers beside it.
struct Bench {
    dir: PathBuf,
    git: Git,
    /// Options for every command.
    options: Vec<String>,
    /// How many keys of gpg there are; `None` where they are not asked for.
    keys: Option<usize>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    /// Makes it at `dir`; what was left there goes.
    fn make(dir: &Path, signers: &Signers, sha256: bool) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", dir.display());
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(dir).map_err(failed)?;
        let git = Git::new().without_any_configuration(dir);
        let mut bench = Self { options: Vec::new(), keys: None, git, dir: dir.to_owned() };
        fs::write(dir.join("allowed-signers"), signers.ssh.as_deref().unwrap_or_default())
            .map_err(failed)?;
        if let Some(keyring) = &signers.gpg {
            bench.keys = Some(bench.make_keyring(keyring)?);
        }
        bench.options = bench.options_for(signers);
        let format = if sha256 { "--object-format=sha256" } else { "--object-format=sha1" };
        let mut init = bench.git.command();
        init.args(["init", "--quiet", "--bare", "--template=", format]).arg(dir.join("git"));
        base_git::run(&mut init, 1000, &within(LOCAL))?;
        Ok(bench)
    }

    /// What verifies which kind of signature, and that only what is trusted counts. A kind that the
    /// host was told nothing about is verified by nobody.
    fn options_for(&self, signers: &Signers) -> Vec<String> {
        let or_nobody =
            |wanted: bool, program: &'static str| if wanted { program } else { "false" };
        let ssh = or_nobody(signers.ssh.is_some(), "ssh-keygen");
        let gpg = or_nobody(signers.gpg.is_some(), "gpg");
        let allowed = self.dir.join("allowed-signers");
        vec![
            format!("gpg.ssh.program={ssh}"),
            format!("gpg.ssh.allowedSignersFile={}", allowed.display()),
            format!("gpg.program={gpg}"),
            format!("gpg.openpgp.program={gpg}"),
            "gpg.x509.program=false".to_owned(),
            "gpg.minTrustLevel=fully".to_owned(),
            "log.showSignature=false".to_owned(),
        ]
    }

    /// A git command in the repository.
    fn command(&self) -> Command {
        let mut command = self.git.bare(&self.dir.join("git"));
        for option in &self.options {
            command.args(["-c", option]);
        }
        command
    }

    /// Takes these bytes, which must be those of `commit`.
    fn store(&self, bytes: &[u8], commit: &WholeCommit) -> Result<(), String> {
        let file = self.dir.join("commit");
        fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut store = self.command();
        store.args(["hash-object", "-w", "-t", "commit", "--no-filters", "--"]).arg(&file);
        let stored = base_git::run(&mut store, 1000, &within(LOCAL))?;
        if String::from_utf8_lossy(&stored.stdout).trim() != commit.as_str() {
            // A tag, or an object that was put in the place of another.
            return Err(format!("{} is not the commit of that name", commit.short()));
        }
        Ok(())
    }

    /// Asks git about the signature of a commit that was taken.
    fn ask(&self, commit: &WholeCommit) -> Result<Signature, String> {
        let mut verify = self.command();
        verify.args(["verify-commit", commit.as_str()]);
        let verified = base_git::try_run(&mut verify, 1000, &within(LOCAL))?.ended.ok();
        // Neither its parents nor its tree are here, and nothing but the commit is looked at.
        let mut show = self.command();
        show.args(["log", "--no-walk=unsorted", "--no-patch", "--no-notes", "--no-show-signature"]);
        show.arg(format!("--format={}", signed::FORMAT)).arg(commit.as_str());
        let shown = base_git::run(&mut show, 10_000, &within(LOCAL))?;
        let text = String::from_utf8_lossy(&shown.stdout);
        Ok(Signature::parse(&text, verified))
    }

    /// Makes a home for gpg with these keys, all of them trusted, and answers how many there are.
    /// Keys that gpg would find elsewhere are not trusted by that.
    fn make_keyring(&self, keyring: &[u8]) -> Result<usize, String> {
        let (home, file) = (self.dir.join("gnupg"), self.dir.join("keys"));
        let failed = |error: io::Error| format!("{}: {error}", self.dir.display());
        DirBuilder::new().mode(0o700).create(&home).map_err(failed)?;
        fs::write(&file, keyring).map_err(failed)?;
        let (at, mark) = KEYBOX;
        if keyring.get(at..at + mark.len()) == Some(mark) {
            let mut export = gpg(&home);
            export.args(["--no-default-keyring", "--keyring"]).arg(&file).arg("--export");
            let keys = run_gpg(&mut export)?.stdout;
            fs::write(&file, keys).map_err(failed)?;
        }
        let list = run_gpg(gpg(&home).args(["--with-colons", "--show-keys"]).arg(&file))?;
        let keys = primary_keys(&String::from_utf8_lossy(&list.stdout));
        if keys.is_empty() {
            let why = "holds no key: nobody may sign, and nothing is pulled";
            return Err(format!("NIXFLEET_SIGNERS_KEYRING {why}"));
        }
        let trusted: String = keys.iter().map(|key| format!("trusted-key {key}\n")).collect();
        let settings = "trust-model pgp\nno-auto-key-retrieve\nno-auto-key-import\nno-greeting\n";
        fs::write(home.join("gpg.conf"), format!("{settings}{trusted}")).map_err(failed)?;
        run_gpg(gpg(&home).arg("--import").arg(&file))?;
        Ok(keys.len())
    }
}

fn gpg(home: &Path) -> Command {
    let mut command = Command::new("gpg");
    secret::hide_from(&mut command);
    command.env("LC_ALL", "C").env("GNUPGHOME", home).env("HOME", home);
    command.args(["--batch", "--no-autostart", "--no-tty", "--homedir"]).arg(home);
    command
}

fn run_gpg(command: &mut Command) -> Result<Output, String> {
    let wrong = |why: String| format!("NIXFLEET_SIGNERS_KEYRING: {why}");
    let output = child::output(command, MAX_SIGNERS as usize, &within(LOCAL))
        .map_err(|error| wrong(format!("gpg cannot be run: {error}")))?;
    if output.ended.ok() {
        return Ok(output);
    }
    let said = output.stderr.lines().rfind(|line| !line.trim().is_empty());
    Err(wrong(said.unwrap_or("gpg failed without a word").to_owned()))
}

/// The fingerprints of primary keys in a list with colons.
fn primary_keys(list: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut after_primary = false;
    for line in list.lines() {
        let mut fields = line.split(':');
        match fields.next() {
            Some("pub") => after_primary = true,
            Some("fpr") if std::mem::take(&mut after_primary) => {
                let key = fields.nth(8).unwrap_or_default();
                if !key.is_empty() && key.chars().all(|c| c.is_ascii_hexdigit()) {
                    keys.push(key.to_owned());
                }
            }
            Some(_) | None => {}
        }
    }
    keys
}
