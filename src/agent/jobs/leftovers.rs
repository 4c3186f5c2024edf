//! Processes that a job's programs left behind outside of their group. The supervisor adopts them
//! (Linux), so they can be found and ended.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// From SIGTERM to SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(3);
/// How long they may still be there after SIGKILL.
const DIES_WITHIN: Duration = Duration::from_secs(10);

/// From now on orphans among the descendants of this process become its children.
#[cfg(target_os = "linux")]
pub(super) fn adopt() {
    // Where it is refused, orphans are nobody's, as elsewhere.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// Elsewhere orphans cannot be adopted.
#[cfg(not(target_os = "linux"))]
pub(super) fn adopt() {}

/// Ends every child that is left. False if something could not be ended.
pub(super) fn end() -> bool {
    let began = Instant::now();
    let mut told = Vec::new();
    loop {
        reap();
        let left = children();
        if left.is_empty() {
            return true;
        }
        let since = began.elapsed();
        if since >= KILL_AFTER + DIES_WITHIN {
            return false;
        }
        for child in left {
            // It may be gone already.
            if since >= KILL_AFTER {
                let _ = kill(child, Signal::SIGKILL);
            } else if !told.contains(&child) {
                told.push(child);
                let _ = kill(child, Signal::SIGTERM);
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Takes note of children that ended.
fn reap() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name is in brackets and can be anything; state and parent follow.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        let (state, parent) = (words.next()?, words.next()?);
        (parent == me && state != "Z").then(|| Pid::from_raw(pid))
    });
    pids.collect()
}
