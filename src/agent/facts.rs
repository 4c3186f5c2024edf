//! What the agent tells about its machine.

use super::jobs::JobFacts;
use super::platform::{self, Platform};
use super::repository;
use super::site::Site;
use crate::base::hex;
use crate::domain::generation::Generation;
use crate::domain::timestamp::Timestamp;
use crate::protocol::{SystemReport, TestSettings};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The host's test scripts, in name order; where it has none, those common to all hosts.
pub fn tests(site: &Site) -> Vec<PathBuf> {
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
pub fn test_settings(site: &Site) -> TestSettings {
    let known = repository::checkout(site).is_some();
    TestSettings {
        enabled: site.tests_enabled,
        auto_run: site.tests_auto_run,
        timeout_s: site.test_timeout.as_secs(),
        count: known.then(|| u32::try_from(tests(site).len()).unwrap_or(u32::MAX)),
    }
}

/// Facts as they are right after a job.
pub fn after_job(site: &Site) -> JobFacts {
    JobFacts {
        generation: repository::checkout(site),
        lock_hash: repository::lock_hash(site),
        system: Some(platform::of(site).system(site)),
        tests: Some(test_settings(site)),
    }
}

/// Facts for heartbeats. What costs more than reading a small file is looked up again
/// only when what it hangs on has changed.
pub struct Facts {
    site: Site,
    platform: Box<dyn Platform>,
    lock: Option<(FileStamp, String)>,
    system: Option<(PathBuf, SystemReport)>,
    /// What systems said they were built from. A store path never changes.
    revisions: HashMap<String, Option<String>>,
}

/// Tells whether a file is the one that was read before.
type FileStamp = (u128, u64);

fn stamp(path: &Path) -> Option<FileStamp> {
    let data = fs::metadata(path).ok()?;
    let changed = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some((changed, data.len()))
}

impl Facts {
    /// Facts of this machine.
    pub fn new(site: Site) -> Self {
        let platform = platform::of(&site);
        Self { site, platform, lock: None, system: None, revisions: HashMap::new() }
    }

    /// The checkout's commit; the empty string if there is none.
    pub fn checkout(&self) -> String {
        repository::checkout(&self.site).unwrap_or_default()
    }

    /// As [`repository::lock_hash`].
    pub fn lock_hash(&mut self) -> Option<String> {
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

    /// What runs.
    pub fn system(&mut self) -> SystemReport {
        let link = match fs::canonicalize(self.site.root.join("run/current-system")) {
            Ok(path) => path,
            // Home-manager has its own place; looking there is cheap.
            Err(_) => return self.platform.system(&self.site),
        };
        if let Some((path, report)) = &self.system
            && *path == link
            && report.generation == self.generation_of(&link)
        {
            return report.clone();
        }
        let report = self.platform.system(&self.site);
        self.system = Some((link, report.clone()));
        report
    }

    /// The newest generation that is this path.
    fn generation_of(&self, path: &Path) -> Option<u64> {
        let path = path.to_string_lossy();
        let list = self.platform.generations(&self.site);
        list.iter().find(|g| g.store_path.as_deref() == Some(&*path)).map(|g| g.generation)
    }

    /// The last ten generations, with what each was built from.
    pub fn generations(&mut self) -> Vec<Generation> {
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

    /// How tests are set up.
    pub fn tests(&self) -> TestSettings {
        test_settings(&self.site)
    }
}

/// SHA-256 of this program's file.
pub fn binary_hash() -> Option<String> {
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
pub fn own_store_path() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let mut parts = program.ancestors().collect::<Vec<_>>();
    parts.reverse();
    let store = parts.iter().position(|path| path.ends_with("nix/store"))?;
    parts.get(store + 1).map(|path| path.to_string_lossy().into_owned())
}

/// When this machine was booted.
pub fn boot_time() -> Option<Timestamp> {
    let seconds = i64::try_from(sysinfo::System::boot_time().ok()?).ok()?;
    (seconds > 0).then(|| Timestamp::from_secs(seconds))
}

/// Name and version of the operating system.
pub fn os_version() -> String {
    sysinfo::System::long_os_version().unwrap_or_default()
}
