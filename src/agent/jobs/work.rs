//! What an operation works with while it runs as a job, and how it fails.

use super::child::{self, Ended, Leftovers};
use super::job::write_phase;
use super::spool::SpoolWriter;
use super::{Order, Outcome, PROGRESS, Progress, RESULTS, STOP, activation, write_whole};
use crate::agent::config::Platform;
use crate::agent::facts::{self, JobFacts};
use crate::agent::repository;
use crate::agent::site::Site;
use crate::base::child::Bounds;
use crate::base::secret;
use crate::domain::command::WorkPhase;
use crate::domain::ids::WholeCommit;
use crate::domain::operation::Regardless;
use crate::domain::test_report::TestResult;
use crate::protocol::{Built, OutcomeStatus, Stream};
use nix::fcntl::Flock;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What an operation works with while it runs as a job.
pub struct Work<'a> {
    dir: &'a Path,
    spool: SpoolWriter,
    stop: &'a AtomicBool,
    last_error: Option<String>,
    passed: u32,
    built: Option<Built>,
    notice: Option<String>,
    /// Results of tests that could not be written yet.
    results: Vec<u8>,
}

/// Why an operation did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// A program failed, was stopped, or took too long.
    Ended(Ended),
    /// It could not be done; an exit code as shells use it, and the reason.
    Refused(i32, String),
    /// Something is in the way and nothing was done: what it is, and what helps; and whether the
    /// user may go on regardless of it.
    Blocked(String, Option<Regardless>),
    /// The guard has it from here on: nothing is said of how it ended, and the process fails.
    Abandoned,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Refused(1, reason)
    }
}

/// As a program that was stopped before it began.
pub(crate) const STOPPED: Ended =
    Ended { code: 130, stopped: true, timed_out: false, alive: false };

impl child::Lines for Work<'_> {
    fn line(&mut self, stream: Stream, text: &str) {
        let text = secret::without_credentials(text);
        if stream == Stream::Stderr && !text.trim().is_empty() {
            self.last_error = Some(text.trim().chars().take(500).collect());
        }
        self.spool.line(stream, &text);
    }

    fn pause(&mut self) {
        self.spool.flush();
    }
}

impl<'a> Work<'a> {
    /// The work of the job in `dir`. `stop` is set when it is told to stop.
    pub(super) fn new(dir: &'a Path, stop: &'a AtomicBool) -> Self {
        let spool = SpoolWriter::create(dir);
        Self {
            dir,
            spool,
            stop,
            last_error: None,
            passed: 0,
            built: None,
            notice: None,
            results: Vec::new(),
        }
    }
}

impl Work<'_> {
    /// The job's own directory.
    pub fn dir(&self) -> &Path {
        self.dir
    }

    /// Whether it is to end, whoever wants that.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether a user wants it to end. Seen at once, also while something activates.
    pub(crate) fn is_told_to_stop(&self) -> bool {
        self.dir.join(STOP).exists()
    }

    /// What was checked out when its build began.
    pub(crate) fn built(&self) -> Option<Built> {
        self.built.clone()
    }

    /// What was built is not activated, and starts at the next boot.
    pub(crate) fn starts_at_the_next_boot(&mut self, system: &Path) {
        self.built = Some(Built::that_boots(self.built.take(), system));
    }

    /// Something for the audit log, told with the outcome.
    pub(crate) fn notice(&mut self, text: String) {
        self.notice = Some(text);
    }

    /// Writes a line of our own.
    pub fn say(&mut self, text: &str) {
        self.spool.line(Stream::Stdout, &secret::without_credentials(text));
        self.spool.flush();
    }

    /// What the job does now. That it cannot be told is no reason not to do it.
    pub fn enters(&mut self, phase: WorkPhase) {
        let _ = write_phase(self.dir, phase);
    }

    /// A build begins: what is checked out now is what it builds.
    pub fn builds(&mut self, site: &Site) {
        self.built = facts::to_build(site);
    }

    /// Another commit is built than what is checked out.
    pub(crate) fn builds_commit(&mut self, commit: &WholeCommit) {
        self.built = Some(Built { commit: commit.as_str().to_owned(), ..Built::default() });
    }

    /// The build came to this system.
    pub(crate) fn has_built(&mut self, system: &Path) {
        if let Some(built) = &mut self.built {
            built.path = Some(system.to_string_lossy().into_owned());
        }
    }

    /// The rebuild program begins. Only on NixOS it can be seen when it has built and begins to
    /// activate; elsewhere it counts as activating from the start. While what this answers lives,
    /// somebody looks.
    pub fn begins_to_switch(&mut self, site: &Site) -> Option<activation::Watch> {
        match site.platform {
            Platform::NixOs => {
                self.enters(WorkPhase::Build);
                let dir = self.dir.to_owned();
                let tell = move || {
                    let _ = write_phase(&dir, WorkPhase::Activate);
                };
                let watch = activation::Watch::begin(site, tell);
                if watch.is_none() {
                    self.enters(WorkPhase::Activate);
                }
                watch
            }
            Platform::Darwin | Platform::HomeManager => {
                self.enters(WorkPhase::Activate);
                None
            }
        }
    }

    /// Takes the checkout for this job, and waits for whoever has it. A stop ends the wait.
    pub fn hold_the_clone(&mut self, site: &Site) -> Result<Flock<File>, Failure> {
        let stop = self.stop;
        let tell = || self.say("waiting for another git command of the agent in the checkout");
        repository::lock(site, stop, tell).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::Ended(STOPPED),
            _ => Failure::Refused(1, format!("the checkout cannot be taken: {error}")),
        })
    }

    /// Runs a program to its end; anything but exit 0 is a failure.
    pub fn run(&mut self, command: &mut Command) -> Result<(), Failure> {
        let ended = self.try_run(command, None)?;
        if ended.ok() { Ok(()) } else { Err(Failure::Ended(ended)) }
    }

    /// As [`Self::run`], with a limit of time.
    pub fn run_within(&mut self, command: &mut Command, limit: Duration) -> Result<(), Failure> {
        let ended = self.try_run(command, Some(limit))?;
        if ended.ok() { Ok(()) } else { Err(Failure::Ended(ended)) }
    }

    /// Runs a program to its end, whatever that is.
    pub fn try_run(
        &mut self,
        command: &mut Command,
        timeout: Option<Duration>,
    ) -> Result<Ended, Failure> {
        let stop = self.stop;
        if stop.load(Ordering::SeqCst) {
            return Err(Failure::Ended(STOPPED));
        }
        let bounds = Bounds { stop: Some(stop), timeout, ..Bounds::default() };
        child::run(command, self, &bounds).map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            Failure::Refused(code, format!("cannot run {program}: {error}"))
        })
    }

    /// Runs a program as one test, and hands its lines to `keep` too.
    pub fn run_test(
        &mut self,
        command: &mut Command,
        timeout: Duration,
        keep: &mut String,
    ) -> io::Result<Ended> {
        let bounds = Bounds {
            stop: Some(self.stop),
            timeout: Some(timeout),
            leftovers: Leftovers::Killed,
            ..Bounds::default()
        };
        let mut lines = Both { work: self, keep };
        let ended = child::run(command, &mut lines, &bounds);
        // Also what left the test's group and session ends with it (finding 22 of the security review).
        super::leftovers::end();
        ended
    }

    /// A test begins. That it cannot be told is no reason not to run it.
    pub fn test_begins(&mut self, current: u32, total: u32, name: &str) {
        let progress = Progress { current, total, passed: self.passed, name: name.to_owned() };
        let _ = write_whole(&self.dir.join(PROGRESS), &progress);
    }

    /// A test ended. Where the disk has no room, its result is written with a later one.
    pub fn test_ended(&mut self, result: &TestResult) {
        if result.outcome == crate::domain::test_report::TestCaseOutcome::Passed {
            self.passed += 1;
        }
        if let Ok(line) = serde_json::to_vec(result) {
            self.results.extend_from_slice(&line);
            self.results.push(b'\n');
        }
        self.write_results();
    }

    fn write_results(&mut self) {
        let path = self.dir.join(RESULTS);
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let Ok(mut file) = opened else { return };
        let Ok(before) = file.metadata().map(|data| data.len()) else { return };
        match file.write_all(&self.results) {
            Ok(()) => self.results.clear(),
            // No half line may stay.
            Err(_) => drop(file.set_len(before)),
        }
    }

    /// How it ended. `interrupted`: the stop was nobody's wish, the service manager ends all.
    pub(super) fn outcome(
        &mut self,
        order: &Order,
        result: Result<(), Failure>,
        interrupted: bool,
    ) -> Outcome {
        let mut blocked_by = Vec::new();
        let (status, exit_code, message) = match result {
            Ok(()) => (OutcomeStatus::Ok, 0, None),
            Err(Failure::Ended(ended)) => self.how_it_ended(ended, interrupted),
            Err(Failure::Refused(code, reason)) => {
                self.complain(&reason);
                (OutcomeStatus::Error, code, Some(reason))
            }
            Err(Failure::Blocked(reason, by)) => {
                blocked_by.extend(by);
                self.complain(&reason);
                (OutcomeStatus::Blocked, 1, Some(reason))
            }
            // Not written: the guard writes its own.
            Err(Failure::Abandoned) => (OutcomeStatus::Interrupted, 137, None),
        };
        self.spool.flush();
        self.write_results();
        let message = message.map(|text| secret::without_credentials(&text).into_owned());
        Outcome {
            status,
            exit_code,
            timed_out: status == OutcomeStatus::TimedOut,
            message: self.with_what_was_lost(message),
            blocked_by,
            last_seq: self.spool.last(),
            notice: self.notice.take(),
            facts: JobFacts { built: self.built.clone(), ..facts::after_job(&order.site) },
        }
    }

    fn how_it_ended(
        &self,
        ended: Ended,
        interrupted: bool,
    ) -> (OutcomeStatus, i32, Option<String>) {
        if ended.alive {
            let text = "It was killed, but something of it lives on and cannot be ended.";
            return (OutcomeStatus::Error, 137, Some(text.to_owned()));
        }
        if ended.stopped && interrupted {
            let text = "Interrupted by a shutdown: its unit was stopped on the machine.";
            return (OutcomeStatus::Interrupted, 130, Some(text.to_owned()));
        }
        if ended.stopped {
            return (OutcomeStatus::Stopped, 130, self.last_error.clone());
        }
        let code = if ended.code == 0 { 1 } else { ended.code };
        if ended.timed_out {
            return (OutcomeStatus::TimedOut, code, self.last_error.clone());
        }
        (OutcomeStatus::Error, code, self.last_error.clone())
    }

    /// The reason is part of the log, where a user looks first.
    fn complain(&mut self, reason: &str) {
        child::Lines::line(self, Stream::Stderr, &format!("nixfleet: {reason}"));
    }

    fn with_what_was_lost(&self, message: Option<String>) -> Option<String> {
        let lost = self.spool.lost();
        if lost.lines == 0 {
            return message;
        }
        let told = format!("{} lines of output were lost: {}", lost.lines, lost.why);
        Some(match message {
            Some(message) => format!("{message} ({told})"),
            None => told,
        })
    }
}

struct Both<'a, 'b> {
    work: &'a mut Work<'b>,
    keep: &'a mut String,
}

/// How much of a test's output is kept beside the log.
const MAX_TEST_OUTPUT: usize = 64 * 1024;

impl child::Lines for Both<'_, '_> {
    fn line(&mut self, stream: Stream, text: &str) {
        if self.keep.len() < MAX_TEST_OUTPUT {
            let shown = secret::without_credentials(text);
            self.keep.push_str(&shown[..shown.floor_char_boundary(MAX_TEST_OUTPUT)]);
            self.keep.push('\n');
        }
        self.work.line(stream, text);
    }

    fn pause(&mut self) {
        self.work.pause();
    }
}
