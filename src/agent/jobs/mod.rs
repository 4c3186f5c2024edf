//! Jobs: commands that outlive the agent.
//!
//! Each command runs in a directory of its own, by a detached supervisor, which is this
//! same program. The supervisor holds a lock on the directory for its whole life; whoever
//! can take the lock knows that it is gone. It writes its outcome last, by a rename. The
//! agent only follows: it may be killed and started again at any time.
//!
//! An order is stored durably, with the id of the machine's boot, before it is accepted. A job that
//! began, or that is of another boot, is never started again: it died.

pub mod activation;
pub mod child;
mod guarded;
mod held;
mod job;
mod launcher;
mod leftovers;
pub mod spool;
pub mod supervisor;
pub mod work;

pub use job::Job;

use super::facts::{self, JobFacts};
use super::guard::intent;
use super::notices::Notices;
use super::site::Site;
use crate::base::atomic_file::{self, Reserved};
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation, Regardless};
use crate::domain::repeated::Kept;
use crate::protocol::{JobReport, JobState, OutcomeStatus};
use launcher::Launcher;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a supervisor may take to begin, on a machine that has much to do.
const STARTS_WITHIN: Duration = Duration::from_secs(45);
/// How many acknowledged commands are remembered, so that none is run twice.
const REMEMBERED: usize = 200;

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The command.
    pub command_id: CommandId,
    /// What to do.
    pub op: Operation,
    /// With what.
    pub args: Args,
    /// Paths that may not come back.
    #[serde(default)]
    pub held: Vec<String>,
    /// Where.
    pub site: Site,
    /// The boot of the machine in which it was accepted; empty where that cannot be told.
    #[serde(default)]
    pub boot_id: String,
}

/// How a job ended, and how the host was then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub status: OutcomeStatus,
    /// The exit code.
    pub exit_code: i32,
    /// The agent ended it for its time.
    pub timed_out: bool,
    /// What went wrong, in one line.
    pub message: Option<String>,
    /// What blocked it, where the user may go on regardless of that.
    #[serde(default)]
    pub blocked_by: Vec<Regardless>,
    /// Number of the last line of output.
    pub last_seq: u64,
    /// What is told to the audit log beside it.
    #[serde(default)]
    pub notice: Option<String>,
    /// Facts gathered after it.
    pub facts: JobFacts,
}

/// How far a test run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 1-based.
    pub current: u32,
    /// How many there are.
    pub total: u32,
    /// How many passed so far.
    pub passed: u32,
    /// The test's name.
    pub name: String,
}

const ORDER: &str = "job.json";
const OUTCOME: &str = "status.json";
const RESULTS: &str = "results.jsonl";
const PROGRESS: &str = "progress.json";
const PHASE: &str = "phase.json";
const LOCK: &str = "lock";
const PID: &str = "pid";
/// Its name becomes [`STOP`] when the job is told to stop: that needs no room on the disk.
const NOT_STOPPED: &str = "not-stopped";
const STOP: &str = "stop";
const ACKNOWLEDGED: &str = "acknowledged";
/// Where jobs are put that this agent cannot read, or that are not its own.
const SET_ASIDE: &str = "set-aside";
/// Room on the disk that is kept for an outcome, in bytes.
const OUTCOME_ROOM: u64 = 32 * 1024;

/// Writes a file so that a reader sees all of it or nothing, also after a power cut.
fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    atomic_file::write(path, &serde_json::to_vec(value)?, 0o600)
}

fn read_whole<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a command is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// In the user's words.
    pub reason: String,
    /// What runs instead.
    pub current: Option<(CommandId, Operation)>,
}

impl Rejection {
    fn because(reason: String) -> Self {
        Self { reason, current: None }
    }

    fn failed(error: io::Error) -> Self {
        let text = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("The disk of the agent's state directory is full: {error}")
            }
            _ => format!("The job could not be started: {error}"),
        };
        Self::because(text)
    }
}

/// What a job is at the moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// It runs, or is about to.
    Running(Operation),
    /// It runs, under another version of the agent, and this one cannot read what it does.
    RunningUnknown,
    /// It ended.
    Over(Operation, Box<Outcome>),
    /// It is no job of this agent's, or none any more.
    Nothing,
}

/// All jobs of this agent.
pub struct Jobs {
    dir: PathBuf,
    notices: Notices,
    boot_id: String,
    launcher: Mutex<Launcher>,
    /// One command is started at a time.
    one_at_a_time: Mutex<()>,
    /// Jobs that are about to begin.
    starting: Mutex<BTreeSet<CommandId>>,
    /// Outcomes of jobs that died, and that the disk may have no room for.
    died: Mutex<BTreeMap<CommandId, Outcome>>,
    /// Commands that the dashboard has whole.
    acknowledged: Mutex<Vec<String>>,
    /// What the host left, of jobs that are forgotten.
    held: Mutex<Kept>,
}

/// A lock that is always free in the end: nobody panics while holding one.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// Opens the directory of jobs below `state_dir`.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let dir = state_dir.join("jobs");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let acknowledged = read_whole(&dir.join(ACKNOWLEDGED)).ok().flatten().unwrap_or_default();
        let kept = held::read(&dir);
        Ok(Self {
            dir,
            notices: Notices::default(),
            boot_id: facts::boot_id().unwrap_or_default(),
            launcher: Mutex::new(Launcher::detect()?),
            one_at_a_time: Mutex::default(),
            starting: Mutex::default(),
            died: Mutex::default(),
            acknowledged: Mutex::new(acknowledged),
            held: Mutex::new(kept),
        })
    }

    /// Where it is told what became of jobs that are nobody's.
    pub(crate) fn notices(&self) -> Notices {
        self.notices.clone()
    }

    /// Every job that is not acknowledged, oldest first. What belongs to somebody else is set aside.
    pub fn list(&self) -> Vec<Job> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                log::error!("the agent's jobs cannot be listed: {error}");
                return Vec::new();
            }
        };
        let mut jobs = Vec::new();
        for entry in entries.flatten() {
            let dir = entry.path();
            let name = dir.file_name().and_then(|name| name.to_str());
            let Some(id) = name.and_then(CommandId::parse) else { continue };
            let job = Job { id, dir };
            let owner = fs::symlink_metadata(&job.dir).map(|data| data.uid());
            if owner.is_ok_and(|uid| uid == Uid::effective().as_raw()) {
                jobs.push(job);
            } else {
                self.set_aside(&job, "it belongs to somebody else");
            }
        }
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    /// Puts a job where it stops nothing.
    fn set_aside(&self, job: &Job, why: &str) {
        let aside = self.dir.join(SET_ASIDE);
        self.notices.add(format!("The job {} is set aside: {why}", job.id));
        let to = aside.join(job.id.to_string());
        // What was set aside before under this name is less than what is there now.
        let _ = fs::remove_dir_all(&to);
        let moved = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&aside)
            .and_then(|()| fs::rename(&job.dir, &to));
        if let Err(error) = moved {
            self.notices.add(format!("The job {} stays where it is: {error}", job.id));
        }
    }

    /// Starts a command as a job. Answers its supervisor's pid; a command that this agent
    /// has, or had, is not started again. Waits until the supervisor has begun: not for an async
    /// loop.
    ///
    /// # Errors
    ///
    /// Why it is not started; nothing was done then.
    pub fn start(&self, order: &Order) -> Result<i64, Rejection> {
        let _one = hold(&self.one_at_a_time);
        let id = order.command_id;
        let known = self.list();
        if let Some(job) = known.iter().find(|job| job.id == id) {
            return Ok(i64::from(job.pid().unwrap_or(0)));
        }
        if hold(&self.acknowledged).contains(&id.to_string()) {
            return Err(Rejection::because("This command ended already.".to_owned()));
        }
        for job in &known {
            let (current, what) = match self.look(job) {
                Look::Running(op) => (Some((job.id, op)), op.to_string()),
                Look::RunningUnknown => (None, "a job of another version of the agent".to_owned()),
                Look::Over(..) | Look::Nothing => continue,
            };
            return Err(Rejection { reason: format!("Busy with {what}."), current });
        }
        let job = Job { id, dir: self.dir.join(id.to_string()) };
        hold(&self.starting).insert(id);
        let started = self.accept(&job, order).and_then(|()| self.launch(&job));
        hold(&self.starting).remove(&id);
        if let Err(error) = started {
            // Whoever has the lock has begun, however late.
            return match job.try_lock() {
                Ok(None) => Ok(i64::from(job.pid().unwrap_or(0))),
                Ok(Some(_)) | Err(_) => {
                    let _ = fs::remove_dir_all(&job.dir);
                    Err(Rejection::failed(error))
                }
            };
        }
        Ok(i64::from(job.pid().unwrap_or(0)))
    }

    /// Stores the order durably, with all the room that its end will need.
    fn accept(&self, job: &Job, order: &Order) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&job.dir)?;
        job.prepare()?;
        drop(Reserved::keep(&job.dir.join(OUTCOME), OUTCOME_ROOM, 0o600)?);
        let order = Order { boot_id: self.boot_id.clone(), ..order.clone() };
        write_whole(&job.dir.join(ORDER), &order)?;
        atomic_file::sync_directory_of(&job.dir)
    }

    /// Starts the supervisor and waits until it has the job.
    fn launch(&self, job: &Job) -> io::Result<()> {
        hold(&self.launcher).launch(job)?;
        let until = Instant::now() + STARTS_WITHIN;
        while !job.has_begun() && job.outcome()?.is_none() {
            if Instant::now() >= until {
                return Err(io::Error::other("its supervisor did not begin"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Starts jobs that were accepted and never began, because the agent was killed in between. Only
    /// in the boot in which they were accepted. Not for an async loop.
    pub fn start_what_never_began(&self) {
        let _one = hold(&self.one_at_a_time);
        for job in self.list() {
            if !self.may_begin(&job) {
                continue;
            }
            hold(&self.starting).insert(job.id);
            if let Err(error) = self.launch(&job) {
                log::error!("the job {} could not be started: {error}", job.id);
            }
            hold(&self.starting).remove(&job.id);
        }
    }

    fn may_begin(&self, job: &Job) -> bool {
        let Ok(Some(order)) = job.order() else {
            return false;
        };
        let is_of_this_boot = !order.boot_id.is_empty() && order.boot_id == self.boot_id;
        let is_free = matches!(job.try_lock(), Ok(Some(_)));
        is_of_this_boot
            && is_free
            && !job.has_begun()
            && !job.has_output()
            && !matches!(job.outcome(), Ok(Some(_)))
    }

    /// The job that runs, if one does. Only one runs at a time.
    pub fn running(&self) -> Option<(CommandId, Operation)> {
        self.list().iter().find_map(|job| match self.look(job) {
            Look::Running(op) => Some((job.id, op)),
            Look::RunningUnknown | Look::Over(..) | Look::Nothing => None,
        })
    }

    /// What a job is at the moment. One whose supervisor is gone gets its outcome here; where the
    /// disk has no room for that, it is kept in memory.
    pub fn look(&self, job: &Job) -> Look {
        let order = job.order();
        let op = match &order {
            Ok(order) => order.as_ref().map(|order| order.op),
            Err(error) => {
                if matches!(job.try_lock(), Ok(None)) {
                    return Look::RunningUnknown;
                }
                self.set_aside(job, &format!("it cannot be read: {error}"));
                return Look::Nothing;
            }
        };
        let is_starting = hold(&self.starting).contains(&job.id);
        let Some(op) = op else {
            if !is_starting && matches!(job.try_lock(), Ok(Some(_))) {
                // Killed before the order was written: nobody was told that it was accepted.
                let _ = fs::remove_dir_all(&job.dir);
            }
            return Look::Nothing;
        };
        if let Some(outcome) = self.known_outcome(job) {
            self.notices.of(outcome.notice.as_ref());
            return Look::Over(op, Box::new(outcome));
        }
        // Between its supervisor's death and the guard nobody holds the job.
        if is_starting || intent::is_open(&job.dir) {
            return Look::Running(op);
        }
        match job.try_lock() {
            Ok(Some(_lock)) => {}
            // A lock that cannot be asked for is no proof of a death.
            Ok(None) | Err(_) => return Look::Running(op),
        }
        // It may have ended in between.
        match self.known_outcome(job) {
            Some(outcome) => Look::Over(op, Box::new(outcome)),
            None if intent::is_open(&job.dir) => Look::Running(op),
            None => Look::Over(op, Box::new(self.died(job, order.ok().flatten()))),
        }
    }

    fn known_outcome(&self, job: &Job) -> Option<Outcome> {
        let kept = || hold(&self.died).get(&job.id).cloned();
        job.outcome().ok().flatten().or_else(kept)
    }

    /// Records that a job's supervisor is gone without a word.
    fn died(&self, job: &Job, order: Option<Order>) -> Outcome {
        let order = order.filter(|order| order.boot_id == self.boot_id);
        let message = match order {
            None => "Interrupted by a restart of the machine.".to_owned(),
            Some(order) if activation::has_the_lock(&order.site) => {
                let what = activation::ACTIVATES;
                format!("The job was killed, but {what} that it began still runs.")
            }
            Some(_) => "The job was killed before it could record how it ended.".to_owned(),
        };
        let outcome = match intent::end(&job.dir) {
            Some(end) => Outcome::of_the_guard(&end, job.last_seq()),
            None => Outcome::of_the_dead(&message, job.last_seq()),
        };
        if let Err(error) = write_whole(&job.dir.join(OUTCOME), &outcome) {
            log::warn!("the end of the job {} cannot be written: {error}", job.id);
        }
        hold(&self.died).insert(job.id, outcome.clone());
        outcome
    }

    /// Whether a job runs.
    pub fn is_running(&self, job: &Job) -> bool {
        matches!(self.look(job), Look::Running(_) | Look::RunningUnknown)
    }

    /// Tells a job's supervisor to stop it. False if it does not run.
    ///
    /// # Errors
    ///
    /// It cannot be told.
    pub fn stop(&self, job: &Job) -> io::Result<bool> {
        if !self.is_running(job) {
            return Ok(false);
        }
        if self.stop_by_its_guard(job)? {
            return Ok(true);
        }
        let marked = job.tell_to_stop();
        // The lock is held, so the pid is still the supervisor's. One that has not begun yet looks at
        // the mark when it does.
        match job.pid() {
            Some(pid) => kill(Pid::from_raw(pid), Signal::SIGTERM)?,
            None => marked?,
        }
        Ok(true)
    }

    /// What `register` says of the jobs.
    pub fn report(&self) -> Vec<JobReport> {
        let mut reports = Vec::new();
        for job in self.list() {
            let (op, outcome) = match self.look(&job) {
                Look::Running(op) => (op, None),
                Look::Over(op, outcome) => (op, Some(outcome)),
                Look::RunningUnknown | Look::Nothing => continue,
            };
            reports.push(JobReport {
                command_id: job.id,
                op: op.name().to_owned(),
                state: if outcome.is_none() { JobState::Running } else { JobState::Finished },
                exit_code: outcome.as_ref().map(|outcome| outcome.exit_code),
                last_seq: outcome.map_or_else(|| job.last_seq(), |outcome| outcome.last_seq),
            });
        }
        reports
    }

    /// The dashboard has everything: the job is forgotten, but not that it was there.
    pub fn acknowledge(&self, job: &Job) {
        let mut ids = hold(&self.acknowledged);
        ids.push(job.id.to_string());
        let surplus = ids.len().saturating_sub(REMEMBERED);
        ids.drain(..surplus);
        self.keep_what_was_left(job);
        let path = self.dir.join(ACKNOWLEDGED);
        let written = write_whole(&path, &*ids);
        if let Err(error) = fs::remove_dir_all(&job.dir) {
            log::warn!("the job {} cannot be removed: {error}", job.id);
        }
        hold(&self.died).remove(&job.id);
        // On a full disk there is room now.
        if let Err(error) = written.or_else(|_| write_whole(&path, &*ids)) {
            log::warn!("it cannot be written which commands ended: {error}");
        }
    }
}
