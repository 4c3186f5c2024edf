//! What the agent tells about its machine.

use super::disk;
use super::platform::{self, Platform};
use super::repository;
use super::site::Site;
#[cfg(target_os = "macos")]
use crate::base::child::{self, Bounds};
use crate::base::hex;
use crate::domain::generation::Generation;
use crate::domain::timestamp::Timestamp;
use crate::protocol::{Built, DiskReport, SystemReport, TestSettings};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The host's test scripts, in name order; where it has none, those common to all hosts.
pub(crate) fn tests(site: &Site) -> Vec<PathBuf> {
    let own = scripts_in(&site.tests_dir());
    if own.is_empty() { scripts_in(&site.common_tests_dir()) } else { own }
}

fn scripts_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let is_test = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with('T') && name.ends_with(".sh")
    };
    let mut scripts: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_test).collect();
    scripts.sort();
    scripts
}

/// How tests are set up. Without a checkout nobody knows how many there are.
pub(crate) fn test_settings(site: &Site) -> TestSettings {
    let known = repository::checkout(site).is_some();
    TestSettings {
        enabled: site.tests_enabled,
        auto_run: site.tests_auto_run,
        timeout_s: site.test_timeout.as_secs(),
        count: known.then(|| u32::try_from(tests(site).len()).unwrap_or(u32::MAX)),
    }
}

/// Facts gathered after a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JobFacts {
    /// Commit of the clone.
    pub generation: Option<String>,
    /// Hash of its flake.lock; empty if there is none.
    pub lock_hash: Option<String>,
    /// What runs.
    pub system: Option<SystemReport>,
    /// How tests are set up.
    pub tests: Option<TestSettings>,
    /// The checkout differs from its commit.
    #[serde(default)]
    pub dirty: Option<bool>,
    /// Commits that the remote's branch has not.
    #[serde(default)]
    pub ahead: Option<u32>,
    /// What was checked out when its build began.
    #[serde(default)]
    pub built: Option<Built>,
}

/// What is checked out now, for a build that begins; `None` where there is no checkout.
pub(crate) fn to_build(site: &Site) -> Option<Built> {
    Some(Built {
        commit: repository::checkout(site)?,
        lock_hash: repository::lock_hash(site).unwrap_or_default(),
        dirty: repository::state(site).dirty != Some(false),
        path: None,
        next_boot: false,
    })
}

/// Facts as they are right after a job.
pub(crate) fn after_job(site: &Site) -> JobFacts {
    let state = repository::state(site);
    JobFacts {
        generation: repository::checkout(site),
        lock_hash: repository::lock_hash(site),
        system: Some(platform::of(site).system(site)),
        tests: Some(test_settings(site)),
        dirty: state.dirty,
        ahead: state.ahead,
        built: None,
    }
}

/// How often git is asked how the checkout differs, while nothing else says that it may have
/// changed.
const ASK_GIT_EVERY: Duration = Duration::from_secs(5);

/// What the agent tells of its machine at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// The commit that is checked out.
    pub checkout: Option<String>,
    /// As [`repository::lock_hash`].
    pub lock_hash: Option<String>,
    /// How the checkout differs from its remote.
    pub dirty: Option<bool>,
    /// As [`repository::State::ahead`].
    pub ahead: Option<u32>,
    /// What runs.
    pub system: SystemReport,
    /// The last ten generations, with what each was built from.
    pub generations: Vec<Generation>,
    /// How tests are set up.
    pub tests: Option<TestSettings>,
    /// The disks that matter here.
    pub disk: Vec<DiskReport>,
}

/// Facts for heartbeats. What costs more than reading a small file is looked up again
/// only when what it hangs on has changed.
pub(crate) struct Facts {
    site: Site,
    platform: Box<dyn Platform + Send>,
    lock: Option<(FileStamp, String)>,
    system: Option<(SystemStamp, SystemReport)>,
    state: Option<(Instant, Option<String>, repository::State)>,
    /// What systems said they were built from. A store path never changes.
    revisions: HashMap<String, Option<String>>,
}

/// Tells whether a file is the one that was read before.
type FileStamp = (u128, u64);

/// What runs, what the profile points to, and the links beside it.
type SystemStamp = (PathBuf, Option<u64>, Option<FileStamp>);

fn stamp(path: &Path) -> Option<FileStamp> {
    let data = fs::symlink_metadata(path).ok()?;
    let changed = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some((changed, data.len()))
}

impl Facts {
    /// Facts of this machine.
    pub(crate) fn new(site: Site) -> Self {
        let platform = platform::of(&site);
        Self { site, platform, lock: None, system: None, state: None, revisions: HashMap::new() }
    }

    /// Looks at everything. Starts programs now and then: not for an async loop.
    pub(crate) fn gather(&mut self) -> Snapshot {
        let checkout = repository::checkout(&self.site);
        let state = self.state(checkout.as_ref());
        let lock_hash = if checkout.is_some() { self.lock_hash() } else { None };
        let generations = self.generations();
        Snapshot {
            lock_hash,
            dirty: state.dirty,
            ahead: state.ahead,
            system: self.system(&generations),
            generations,
            tests: Some(test_settings(&self.site)),
            disk: disk::report(&self.site),
            checkout,
        }
    }

    fn state(&mut self, checkout: Option<&String>) -> repository::State {
        if checkout.is_none() {
            self.state = None;
            return repository::State::default();
        }
        if let Some((at, of, state)) = &self.state
            && of.as_ref() == checkout
            && at.elapsed() < ASK_GIT_EVERY
        {
            return state.clone();
        }
        let state = repository::state(&self.site);
        self.state = Some((Instant::now(), checkout.cloned(), state.clone()));
        state
    }

    fn lock_hash(&mut self) -> Option<String> {
        let stamp = stamp(&self.site.repo_dir.join("flake.lock"));
        if let (Some(now), Some((then, hash))) = (stamp, &self.lock)
            && now == *then
        {
            return Some(hash.clone());
        }
        let hash = repository::lock_hash(&self.site);
        self.lock = stamp.zip(hash.clone());
        hash
    }

    fn system(&mut self, generations: &[Generation]) -> SystemReport {
        // The platform's own path: beside another system's profile, that one says nothing.
        let Some(path) = self.platform.running_path(&self.site) else {
            self.system = None;
            return self.platform.system(&self.site);
        };
        let runs = generations.iter().find(|generation| generation.current);
        let number = runs.map(|generation| generation.generation);
        let stamp = (path, number, stamp(&self.platform.profile(&self.site)));
        if let Some((known, report)) = &self.system
            && *known == stamp
        {
            return report.clone();
        }
        let report = self.platform.system(&self.site);
        self.system = Some((stamp, report.clone()));
        report
    }

    fn generations(&mut self) -> Vec<Generation> {
        let mut list = self.platform.generations(&self.site);
        let known = |path: &String| list.iter().any(|g| g.store_path.as_ref() == Some(path));
        self.revisions.retain(|path, _| known(path));
        for generation in &mut list {
            if let Some(path) = &generation.store_path {
                let revision = self.revisions.entry(path.clone());
                let ask = || self.platform.revision(Path::new(path));
                generation.configuration_revision.clone_from(revision.or_insert_with(ask));
            }
        }
        list
    }
}

/// Which boot of the machine this is. Another boot has another id, whatever the clock says.
pub(crate) fn boot_id() -> Option<String> {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let id = read.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let first_process = || fs::read_to_string("/proc/1/stat").unwrap_or_default();
    id.map(|id| boot_of(&id, &first_process())).or_else(boot_id_of_macos)
}

/// Many containers show the id of the machine that they run on. Their first process tells one boot
/// of them from another: it began at another moment since the machine's boot.
fn boot_of(kernel: &str, stat_of_first_process: &str) -> String {
    // The name is in brackets and can be anything; the 20th word after it is the moment, in ticks.
    let words = stat_of_first_process.rsplit_once(") ").map_or("", |(_, words)| words);
    match words.split(' ').nth(19) {
        Some(began) => format!("{kernel}+{began}"),
        None => kernel.to_owned(),
    }
}

#[cfg(target_os = "macos")]
fn boot_id_of_macos() -> Option<String> {
    let bounds = Bounds { timeout: Some(Duration::from_secs(5)), ..Bounds::default() };
    let mut command = std::process::Command::new("/usr/sbin/sysctl");
    let output = child::output(command.args(["-n", "kern.bootsessionuuid"]), 100, &bounds).ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if output.ended.ok() && !text.is_empty() { Some(text) } else { None }
}

#[cfg(not(target_os = "macos"))]
fn boot_id_of_macos() -> Option<String> {
    None
}

/// SHA-256 of this program's file.
pub(crate) fn binary_hash() -> Option<String> {
    let mut file = File::open(std::env::current_exe().ok()?).ok()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(_) => return None,
        }
    }
    Some(hex::encode(&hash.finalize()))
}

/// The store path of this program's package, if it is in a Nix store.
pub(crate) fn own_store_path() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let mut parts = program.ancestors().collect::<Vec<_>>();
    parts.reverse();
    let store = parts.iter().position(|path| path.ends_with("nix/store"))?;
    parts.get(store + 1).map(|path| path.to_string_lossy().into_owned())
}

/// When this machine was booted.
pub(crate) fn boot_time() -> Option<Timestamp> {
    let seconds = i64::try_from(sysinfo::System::boot_time().ok()?).ok()?;
    (seconds > 0).then(|| Timestamp::from_secs(seconds))
}

/// Name and version of the operating system.
pub(crate) fn os_version() -> String {
    sysinfo::System::long_os_version().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::{GuardSettings, Platform, SignerFiles};
    use std::os::unix::fs::symlink;

    fn site(dir: &Path) -> Site {
        Site {
            hostname: "h".to_owned(),
            platform: Platform::HomeManager,
            repo_url: None,
            repo_dir: dir.join("repo"),
            branch: "main".to_owned(),
            ssh_key: None,
            rebuild: None,
            rebuild_flags: Vec::new(),
            root: dir.to_owned(),
            store_dir: dir.join("store"),
            home: dir.join("home"),
            state_dir: dir.join("state"),
            tests_enabled: true,
            tests_auto_run: true,
            test_timeout: Duration::from_secs(60),
            check_power: false,
            url: String::new(),
            ca: None,
            guard: GuardSettings::default(),
            signers: SignerFiles::default(),
        }
    }

    #[test]
    fn a_container_that_is_booted_again_has_another_boot_id_on_the_same_kernel() {
        let stat = |began: u32| {
            format!("1 (a ) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {began} 1024 77")
        };
        assert_eq!(boot_of("kernel", &stat(4711)), "kernel+4711");
        assert_ne!(boot_of("kernel", &stat(4711)), boot_of("kernel", &stat(4712)));
        assert_ne!(boot_of("kernel", &stat(4711)), boot_of("another", &stat(4711)));
        // Where others' processes are hidden.
        assert_eq!(boot_of("kernel", ""), "kernel");
        assert_eq!(boot_id(), boot_id());
    }

    /// Finding 35: beside a system's own profile, the home's was looked up once and never again.
    #[test]
    fn a_home_that_is_switched_beside_a_system_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let profiles = dir.join("home/.local/state/nix/profiles");
        for path in ["run/current-system", "one", "two", "home/.local/state/nix/profiles"] {
            fs::create_dir_all(dir.join(path)).unwrap();
        }
        let mut facts = Facts::new(site(&dir));
        assert_eq!(facts.gather().system, SystemReport::default());
        for (number, home) in [(1, "one"), (2, "two")] {
            let link = format!("home-manager-{number}-link");
            symlink(dir.join(home), profiles.join(&link)).unwrap();
            let _ = fs::remove_file(profiles.join("home-manager"));
            symlink(link, profiles.join("home-manager")).unwrap();
            let system = facts.gather().system;
            assert_eq!(system.store_path, Some(dir.join(home).display().to_string()));
            assert_eq!(system.profile_path, system.store_path);
            assert_eq!(system.generation, Some(number));
        }
    }
}
