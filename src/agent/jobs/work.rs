//! What an operation works with while it runs as a job, and how it fails.

use super::child::{self, Ended};
use super::spool::SpoolWriter;
use super::{JobFacts, Order, Outcome, PROGRESS, Progress, RESULTS, write_whole};
use crate::agent::facts;
use crate::domain::test_report::TestResult;
use crate::protocol::{OutcomeStatus, Stream};
use std::fs::OpenOptions;
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
}

/// Why an operation did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// A program failed, was stopped, or took too long.
    Ended(Ended),
    /// It could not be done; an exit code as shells use it, and the reason.
    Refused(i32, String),
    /// The spool or the system failed.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl child::Lines for Work<'_> {
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        if stream == Stream::Stderr && !text.trim().is_empty() {
            self.last_error = Some(text.trim().chars().take(500).collect());
        }
        self.spool.line(stream, text)
    }

    fn pause(&mut self) -> io::Result<()> {
        self.spool.flush()
    }
}

impl<'a> Work<'a> {
    /// The work of the job in `dir`. `stop` is set when it is told to stop.
    pub(super) fn new(dir: &'a Path, stop: &'a AtomicBool) -> Self {
        Self { dir, spool: SpoolWriter::create(dir), stop, last_error: None, passed: 0 }
    }
}

impl Work<'_> {
    /// The job's own directory.
    pub fn dir(&self) -> &Path {
        self.dir
    }

    /// Writes a line of our own.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.spool.line(Stream::Stdout, text)?;
        self.spool.flush()
    }

    /// Runs a program to its end; anything but exit 0 is a failure.
    pub fn run(&mut self, command: &mut Command) -> Result<(), Failure> {
        let ended = self.try_run(command, None, false)?;
        if ended.ok() { Ok(()) } else { Err(Failure::Ended(ended)) }
    }

    /// Runs a program to its end, whatever that is.
    pub fn try_run(
        &mut self,
        command: &mut Command,
        timeout: Option<Duration>,
        alone: bool,
    ) -> Result<Ended, Failure> {
        let stop = self.stop;
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Ended(Ended { code: 130, stopped: true, timed_out: false }));
        }
        child::run(command, self, stop, timeout, alone).map_err(|error| {
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
    ) -> Result<Ended, Failure> {
        let stop = self.stop;
        let mut lines = Both { work: self, keep };
        let ran = child::run(command, &mut lines, stop, Some(timeout), true);
        Ok(ran?)
    }

    /// A test begins.
    pub fn test_begins(&mut self, current: u32, total: u32, name: &str) -> io::Result<()> {
        let progress = Progress { current, total, passed: self.passed, name: name.to_owned() };
        write_whole(&self.dir.join(PROGRESS), &progress)
    }

    /// A test ended.
    pub fn test_ended(&mut self, result: &TestResult) -> io::Result<()> {
        if result.outcome == crate::domain::test_report::TestCaseOutcome::Passed {
            self.passed += 1;
        }
        let path = self.dir.join(RESULTS);
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let mut line = serde_json::to_vec(result)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// Records how it ended. A full disk may lose lines of output, never the outcome.
    pub(super) fn outcome(&mut self, order: &Order, result: Result<(), Failure>) -> Outcome {
        let mut outcome = Outcome {
            status: OutcomeStatus::Ok,
            exit_code: 0,
            timed_out: false,
            message: None,
            last_seq: 0,
            facts: JobFacts::default(),
        };
        if let Err(failure) = result {
            outcome.status = OutcomeStatus::Error;
            match failure {
                Failure::Ended(ended) => {
                    outcome.exit_code = if ended.code == 0 { 1 } else { ended.code };
                    outcome.timed_out = ended.timed_out;
                    outcome.message.clone_from(&self.last_error);
                    if ended.stopped {
                        outcome.status = OutcomeStatus::Stopped;
                        outcome.exit_code = 130;
                    }
                }
                Failure::Refused(code, reason) => {
                    outcome.exit_code = code;
                    // The reason is part of the log, where a user looks first.
                    let _ = self.spool.line(Stream::Stderr, &format!("nixfleet: {reason}"));
                    outcome.message = Some(reason);
                }
                Failure::Io(error) => {
                    outcome.exit_code = 125;
                    let reason = format!("the job's own files: {error}");
                    let _ = self.spool.line(Stream::Stderr, &format!("nixfleet: {reason}"));
                    outcome.message = Some(reason);
                }
            }
        }
        let _ = self.spool.flush();
        outcome.last_seq = super::spool::last_seq(self.dir).unwrap_or_else(|_| self.spool.last());
        outcome.facts = facts::after_job(&order.site);
        outcome
    }
}

struct Both<'a, 'b> {
    work: &'a mut Work<'b>,
    keep: &'a mut String,
}

/// How much of a test's output is kept beside the log.
const MAX_TEST_OUTPUT: usize = 64 * 1024;

impl child::Lines for Both<'_, '_> {
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        if self.keep.len() < MAX_TEST_OUTPUT {
            self.keep.push_str(&text[..text.floor_char_boundary(MAX_TEST_OUTPUT)]);
            self.keep.push('\n');
        }
        self.work.line(stream, text)
    }

    fn pause(&mut self) -> io::Result<()> {
        self.work.pause()
    }
}
