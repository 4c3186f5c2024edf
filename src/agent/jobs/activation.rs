//! An activation that goes on outside of the job's processes: nixos-rebuild starts it in a unit of
//! its own, and a user can start one by hand.

use crate::agent::site::Site;
use crate::base::child::{self, Bounds};
use crate::base::secret;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The unit in which nixos-rebuild activates; newer versions put a random suffix behind it.
const UNITS: &str = "nixos-rebuild-switch-to-configuration*";
/// How long systemd may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a unit may take to stop: twice systemd's own limit, and some.
const STOPS_WITHIN: Duration = Duration::from_secs(200);
/// How long a unit may take to go after SIGKILL.
const DIES_WITHIN: Duration = Duration::from_secs(10);

/// Units of nixos-rebuild that activate now.
pub fn units(site: &Site) -> Vec<String> {
    if !site.root.join("run/systemd/system").exists() {
        return Vec::new();
    }
    let mut command = systemctl();
    command
        .args(["list-units", "--all", "--plain", "--no-legend", "--no-pager"])
        .args(["--state=active,activating,deactivating,reloading", UNITS]);
    let bounds = Bounds { timeout: Some(ANSWERS_WITHIN), ..Bounds::default() };
    let Ok(output) = child::output(&mut command, 64 * 1024, &bounds) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| name.ends_with(".service")).map(str::to_owned).collect()
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
    let lock = site.root.join("run/nixos/switch-to-configuration.lock");
    is_held(&lock).then(|| "switch-to-configuration".to_owned())
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
