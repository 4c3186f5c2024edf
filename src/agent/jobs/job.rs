//! A job's directory.

use super::{
    LOCK, NOT_STOPPED, ORDER, OUTCOME, Order, Outcome, PHASE, PID, PROGRESS, Progress, RESULTS,
};
use super::{STOP, read_whole, spool};
use crate::domain::command::WorkPhase;
use crate::domain::ids::CommandId;
use crate::domain::test_report::TestResult;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A job's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The command.
    pub id: CommandId,
    /// The directory.
    pub dir: PathBuf,
}

impl Job {
    /// What it is to do.
    ///
    /// # Errors
    ///
    /// It cannot be read, or another version of the agent has written it.
    pub fn order(&self) -> io::Result<Option<Order>> {
        read_whole(&self.dir.join(ORDER))
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    ///
    /// As [`Self::order`].
    pub fn outcome(&self) -> io::Result<Option<Outcome>> {
        read_whole(&self.dir.join(OUTCOME))
    }

    /// How far its tests are, while they run.
    pub fn progress(&self) -> Option<Progress> {
        read_whole(&self.dir.join(PROGRESS)).ok().flatten()
    }

    /// What it is doing, where it deploys.
    pub fn phase(&self) -> Option<WorkPhase> {
        read_whole(&self.dir.join(PHASE)).ok().flatten()
    }

    /// Results of its tests so far.
    pub fn results(&self) -> Vec<TestResult> {
        let Ok(file) = File::open(self.dir.join(RESULTS)) else {
            return Vec::new();
        };
        // A last line that is not whole yet is read the next time.
        let lines = BufReader::new(file).lines();
        lines.map_while(|line| serde_json::from_str(&line.ok()?).ok()).collect()
    }

    /// The process that supervises it; `None` if it has not begun.
    pub fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.dir.join(PID)).ok()?.trim().parse().ok()
    }

    /// Whether its supervisor ever began.
    pub fn has_begun(&self) -> bool {
        self.pid().is_some()
    }

    /// Whether it ever printed anything.
    pub(super) fn has_output(&self) -> bool {
        self.last_seq() > 0
    }

    /// Number of the last line of output.
    pub(crate) fn last_seq(&self) -> u64 {
        spool::last_seq(&self.dir).unwrap_or(0)
    }

    /// Makes the files that are written into later, when there may be no room for them any more.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let new = |name: &str| {
            let mut options = OpenOptions::new();
            options.create_new(true).write(true).mode(0o600).open(self.dir.join(name))
        };
        new(LOCK)?;
        new(NOT_STOPPED)?;
        writeln!(new(PHASE)?, "{:16}", "")?;
        writeln!(new(PID)?, "{:16}", "")
    }

    /// The supervisor says who it is.
    pub(super) fn write_pid(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let mut file = options.open(self.dir.join(PID))?;
        writeln!(file, "{:<16}", std::process::id())
    }

    /// Marks that somebody wants it to end.
    pub(super) fn tell_to_stop(&self) -> io::Result<()> {
        match fs::rename(self.dir.join(NOT_STOPPED), self.dir.join(STOP)) {
            // Told before, or a job that an older agent has made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(self.dir.join(STOP), "")
            }
            result => result,
        }
    }

    /// Whether somebody wants it to end: else it is the service manager that ends it.
    pub(crate) fn is_told_to_stop(&self) -> bool {
        self.dir.join(STOP).exists()
    }

    /// Says what it does now. That it cannot be told is no reason not to do it.
    pub(crate) fn enters(&self, phase: WorkPhase) {
        let _ = write_phase(&self.dir, phase);
    }

    /// Takes the supervisor's lock; `None` if somebody holds it.
    pub(crate) fn try_lock(&self) -> io::Result<Option<Flock<File>>> {
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.dir.join(LOCK))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error.into()),
        }
    }
}

/// Says what the job in `dir` does now, in the room that was kept for that: a full disk must not
/// hide that it activates.
pub(super) fn write_phase(dir: &Path, phase: WorkPhase) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let text = format!("{:<16}\n", serde_json::to_string(&phase)?);
    options.open(dir.join(PHASE))?.write_all(text.as_bytes())
}
