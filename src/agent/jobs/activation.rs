//! An activation that goes on outside of the job's processes: nixos-rebuild starts it in a unit of
//! its own, and a user can start one by hand.

use crate::agent::site::Site;
use crate::base::child::{self, Bounds};
use crate::base::secret;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The unit in which nixos-rebuild activates; newer versions put a random suffix behind it.
const UNITS: &str = "nixos-rebuild-switch-to-configuration*";
/// Where the processes of units are listed: one hierarchy, or systemd's own beside older ones.
const GROUPS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
/// How long systemd may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// What holds the lock of activations.
pub(super) const ACTIVATES: &str = "switch-to-configuration";
/// How long a unit may take to stop: twice systemd's own limit, and some.
const STOPS_WITHIN: Duration = Duration::from_secs(200);
/// How long a unit may take to go after SIGKILL.
const DIES_WITHIN: Duration = Duration::from_secs(10);
/// How late it may be seen that an activation began.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Units of nixos-rebuild that activate now.
pub fn units(site: &Site) -> Vec<String> {
    if !site.root.join("run/systemd/system").exists() {
        return Vec::new();
    }
    let mut command = systemctl();
    command
        .args(["list-units", "--all", "--plain", "--no-legend", "--no-pager"])
        .args(["--state=active,activating,deactivating,reloading,failed", UNITS]);
    let text = answer(&mut command);
    let units = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.ends_with(".service"))?;
        // One that systemd has given up may have processes that nothing can end.
        let lives = words.nth(1) != Some("failed") || has_processes(name);
        lives.then(|| name.to_owned())
    });
    units.collect()
}

/// Whether a process of the unit is left, whatever systemd says of it.
fn has_processes(unit: &str) -> bool {
    let group = answer(systemctl().args(["show", "--value", "--property=ControlGroup", unit]));
    let group = group.trim().trim_start_matches('/');
    let lives = |hierarchy: &str| {
        let processes = Path::new(hierarchy).join(group).join("cgroup.procs");
        fs::read_to_string(processes).is_ok_and(|list| !list.trim().is_empty())
    };
    !group.is_empty() && GROUPS.into_iter().any(lives)
}

/// What a program of systemd's says; nothing if it fails or takes too long.
fn answer(command: &mut Command) -> String {
    let bounds = Bounds { timeout: Some(ANSWERS_WITHIN), ..Bounds::default() };
    let output = child::output(command, 64 * 1024, &bounds);
    output.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned())
}

fn systemctl() -> Command {
    let mut command = Command::new("systemctl");
    secret::hide_from(&mut command);
    command.env("LC_ALL", "C");
    command
}

/// What activates on this machine now, in the user's words; `None` if nothing does.
pub fn in_progress(site: &Site) -> Option<String> {
    if let Some(unit) = units(site).into_iter().next() {
        return Some(unit);
    }
    has_the_lock(site).then(|| ACTIVATES.to_owned())
}

/// Whether the machine is shutting down: what ends now may end because of that.
pub(super) fn machine_goes_down(site: &Site) -> bool {
    site.root.join("run/systemd/system").exists()
        && answer(systemctl().arg("is-system-running")).trim() == "stopping"
}

/// Whether somebody holds the lock of activations. Starts no program, as [`in_progress`] does.
pub(crate) fn has_the_lock(site: &Site) -> bool {
    is_held(&site.root.join("run/nixos/switch-to-configuration.lock"))
}

/// Whether an activation is under way, by what costs little to look at: the lock that
/// switch-to-configuration takes, and the files of transient units.
fn has_begun(site: &Site) -> bool {
    let prefix = UNITS.trim_end_matches('*');
    let units = fs::read_dir(site.root.join("run/systemd/transient")).into_iter().flatten();
    let mut names = units.flatten().map(|unit| unit.file_name());
    let unit = names.any(|name| name.to_str().is_some_and(|name| name.starts_with(prefix)));
    unit || has_the_lock(site)
}

/// Looks for the moment in which a switch has built and begins to activate.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks until it is dropped, and calls `seen` once. `None` if there is no thread for that.
    pub fn begin(site: &Site, seen: impl FnOnce() + Send + 'static) -> Option<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (site, ends) = (site.clone(), Arc::clone(&over));
        let look = move || {
            while !ends.load(Ordering::SeqCst) {
                if has_begun(&site) {
                    seen();
                    return;
                }
                thread::park_timeout(LOOK_EVERY);
            }
        };
        let thread = thread::Builder::new().name("activation".to_owned()).spawn(look).ok()?;
        Some(Self { over, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Nothing of it may be told later. A panic there has told what there is to tell.
            let _ = thread.join();
        }
    }
}

/// Whether somebody holds a lock on the file. Taking the lock to see that could make a switch fail
/// that begins in this moment, so the system's table is read.
fn is_held(lock: &Path) -> bool {
    let Ok(data) = fs::metadata(lock) else {
        return false;
    };
    let (major, minor) = (nix::sys::stat::major(data.dev()), nix::sys::stat::minor(data.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", data.ino());
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(1) == Some("FLOCK") && words.any(|word| word == file)
    })
}

/// Stops the units that activate, first kindly. Answers what still runs then.
pub fn stop_units(site: &Site) -> Vec<String> {
    let begun = units(site);
    if begun.is_empty() {
        return begun;
    }
    tell(&["stop"], &begun, STOPS_WITHIN);
    let left = units(site);
    if left.is_empty() {
        return left;
    }
    tell(&["kill", "--signal=SIGKILL"], &left, ANSWERS_WITHIN);
    let until = Instant::now() + DIES_WITHIN;
    loop {
        let left = units(site);
        if left.is_empty() || Instant::now() >= until {
            return left;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn tell(what: &[&str], units: &[String], limit: Duration) {
    let bounds = Bounds { timeout: Some(limit), ..Bounds::default() };
    // Whether it worked is asked afterwards.
    let _ = child::output(systemctl().args(what).args(units), 1000, &bounds);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn a_lock_that_somebody_holds_is_seen_without_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path));
        let file = fs::File::create(&path).unwrap();
        assert!(!is_held(&path));
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(is_held(&path));
        drop(held);
        assert!(!is_held(&path));
    }
}
