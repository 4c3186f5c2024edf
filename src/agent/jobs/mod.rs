//! Jobs: commands that outlive the agent.
//!
//! Each command runs in a directory of its own, by a detached supervisor, which is this
//! same program. The supervisor holds a lock on the directory for its whole life; whoever
//! can take the lock knows that it is gone. It writes its outcome last, by a rename. The
//! agent only follows: it may be killed and started again at any time.

pub mod child;
mod launcher;
pub mod spool;
pub mod supervisor;
pub mod work;

use super::site::Site;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use crate::domain::test_report::TestResult;
use crate::protocol::{JobReport, JobState, OutcomeStatus, SystemReport, TestSettings};
use launcher::Launcher;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a supervisor may take to begin.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
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
    /// Where.
    pub site: Site,
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
    /// Number of the last line of output.
    pub last_seq: u64,
    /// Facts gathered after it.
    pub facts: JobFacts,
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
const LOCK: &str = "lock";
const PID: &str = "pid";
const ACKNOWLEDGED: &str = "acknowledged";

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut whole = path.as_os_str().to_owned();
    whole.push(".new");
    let whole = PathBuf::from(whole);
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&whole)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(whole, path)
}

fn read_whole<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

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
    pub fn order(&self) -> io::Result<Option<Order>> {
        read_whole(&self.dir.join(ORDER))
    }

    /// How it ended; `None` while it runs.
    pub fn outcome(&self) -> io::Result<Option<Outcome>> {
        read_whole(&self.dir.join(OUTCOME))
    }

    /// How far its tests are, while they run.
    pub fn progress(&self) -> io::Result<Option<Progress>> {
        read_whole(&self.dir.join(PROGRESS))
    }

    /// Results of its tests so far.
    pub fn results(&self) -> io::Result<Vec<TestResult>> {
        let file = match File::open(self.dir.join(RESULTS)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // A last line that is not whole yet is read the next time.
        let lines = BufReader::new(file).lines();
        Ok(lines.map_while(|line| serde_json::from_str(&line.ok()?).ok()).collect())
    }

    /// The process that supervises it.
    pub fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.dir.join(PID)).ok()?.trim().parse().ok()
    }

    /// Takes the supervisor's lock; `None` if somebody holds it.
    fn try_lock(&self) -> io::Result<Option<Flock<File>>> {
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.dir.join(LOCK))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error.into()),
        }
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

/// All jobs of this agent.
pub struct Jobs {
    dir: PathBuf,
    launcher: Launcher,
}

impl Jobs {
    /// Opens the directory of jobs below `state_dir`.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let dir = state_dir.join("jobs");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir, launcher: Launcher::detect()? })
    }

    /// Every job that is not acknowledged, oldest first.
    pub fn list(&self) -> io::Result<Vec<Job>> {
        let mut jobs: Vec<Job> = fs::read_dir(&self.dir)?
            .filter_map(|entry| {
                let dir = entry.ok()?.path();
                let id = CommandId::parse(dir.file_name()?.to_str()?)?;
                Some(Job { id, dir })
            })
            .collect();
        jobs.sort_by_key(|job| job.id);
        Ok(jobs)
    }

    /// Starts a command as a job. Answers its supervisor's pid; a command that this agent
    /// has, or had, is not started again.
    pub fn start(&mut self, order: &Order) -> Result<i64, Rejection> {
        let rejection = |reason: String| Rejection { reason, current: None };
        let failed = |error: io::Error| rejection(format!("The job could not be started: {error}"));
        let id = order.command_id;
        let known = self.list().map_err(failed)?;
        if let Some(job) = known.iter().find(|job| job.id == id) {
            return Ok(i64::from(job.pid().unwrap_or(0)));
        }
        if self.acknowledged().contains(&id.to_string()) {
            return Err(rejection("This command ended already.".to_owned()));
        }
        if let Some((current, op)) = self.running().map_err(failed)? {
            return Err(Rejection {
                reason: format!("Busy with {op}."),
                current: Some((current, op)),
            });
        }
        let job = Job { id, dir: self.dir.join(id.to_string()) };
        fs::DirBuilder::new().mode(0o700).create(&job.dir).map_err(failed)?;
        write_whole(&job.dir.join(ORDER), order).map_err(failed)?;
        if let Err(error) = self.launch(&job) {
            let _ = fs::remove_dir_all(&job.dir);
            return Err(failed(error));
        }
        Ok(i64::from(job.pid().unwrap_or(0)))
    }

    /// Starts the supervisor and waits until it has the job.
    fn launch(&mut self, job: &Job) -> io::Result<()> {
        self.launcher.launch(job)?;
        let until = Instant::now() + STARTS_WITHIN;
        while job.pid().is_none() && job.outcome()?.is_none() {
            if Instant::now() >= until {
                return Err(io::Error::other("its supervisor did not begin"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The job that runs, if one does. Only one runs at a time.
    pub fn running(&mut self) -> io::Result<Option<(CommandId, Operation)>> {
        for job in self.list()? {
            if let Some(order) = job.order()?
                && self.is_running(&job)?
            {
                return Ok(Some((job.id, order.op)));
            }
        }
        Ok(None)
    }

    /// Whether a job runs. One whose supervisor is gone gets its outcome here: it is
    /// started if it never began, else it failed.
    pub fn is_running(&mut self, job: &Job) -> io::Result<bool> {
        if job.outcome()?.is_some() {
            return Ok(false);
        }
        let Some(lock) = job.try_lock()? else {
            return Ok(true);
        };
        if job.outcome()?.is_some() {
            return Ok(false);
        }
        if job.order()?.is_none() {
            // Killed before the order was written: nobody was told that it was accepted.
            fs::remove_dir_all(&job.dir)?;
            return Ok(false);
        }
        if job.pid().is_none() {
            drop(lock);
            self.launch(job)?;
            return Ok(job.outcome()?.is_none());
        }
        let outcome = Outcome {
            status: OutcomeStatus::Error,
            exit_code: 137,
            timed_out: false,
            message: Some(
                "The job's supervisor died before it could record an outcome.".to_owned(),
            ),
            last_seq: spool::last_seq(&job.dir)?,
            facts: JobFacts::default(),
        };
        write_whole(&job.dir.join(OUTCOME), &outcome)?;
        Ok(false)
    }

    /// Tells a job's supervisor to stop it. False if it does not run.
    pub fn stop(&mut self, job: &Job) -> io::Result<bool> {
        if !self.is_running(job)? {
            return Ok(false);
        }
        // The lock is held, so the pid is still the supervisor's.
        let Some(pid) = job.pid() else {
            return Ok(false);
        };
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        Ok(true)
    }

    /// What `register` says of the jobs.
    pub fn report(&mut self) -> io::Result<Vec<JobReport>> {
        let mut reports = Vec::new();
        for job in self.list()? {
            let Some(order) = job.order()? else { continue };
            let running = self.is_running(&job)?;
            let outcome = job.outcome()?;
            reports.push(JobReport {
                command_id: job.id,
                op: order.op.name().to_owned(),
                state: if running { JobState::Running } else { JobState::Finished },
                exit_code: outcome.as_ref().map(|outcome| outcome.exit_code),
                last_seq: match outcome {
                    Some(outcome) => outcome.last_seq,
                    None => spool::last_seq(&job.dir)?,
                },
            });
        }
        Ok(reports)
    }

    /// The dashboard has everything: the job is forgotten.
    pub fn acknowledge(&mut self, job: &Job) -> io::Result<()> {
        let mut ids = self.acknowledged();
        ids.push(job.id.to_string());
        let surplus = ids.len().saturating_sub(REMEMBERED);
        write_whole(&self.dir.join(ACKNOWLEDGED), &ids.split_off(surplus))?;
        fs::remove_dir_all(&job.dir)
    }

    fn acknowledged(&self) -> Vec<String> {
        read_whole(&self.dir.join(ACKNOWLEDGED)).ok().flatten().unwrap_or_default()
    }
}
