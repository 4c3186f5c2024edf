//! Runs a program within bounds: its output is read, it can be stopped, it does not outlive its
//! time or its starter, and what it leaves behind does not hold the one who waits.

use super::{launch, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How late output may be read, and a stop noticed.
const TICK: u16 = 50;
/// How long a process group may still be there after SIGKILL, before it is given up.
const DIES_WITHIN: Duration = Duration::from_secs(10);
/// How much of what a program complains is kept by [`output`].
const MAX_STDERR: usize = 64 * 1024;

/// Which of its two streams a program wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

/// What becomes of processes that a program left in its group when it ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// They live on.
    Kept,
    /// They are killed.
    Killed,
}

/// The bounds of a run.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// Ends the run early, once it is true.
    pub stop: Option<&'a AtomicBool>,
    /// How long the program may run.
    pub timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL, after a stop and when the time is up.
    pub kill_after: Duration,
    /// How long the streams are still read after the program's end: what it left in the background
    /// may hold them for ever.
    pub linger: Duration,
    /// What becomes of what it left in the background.
    pub leftovers: Leftovers,
}

impl Default for Bounds<'_> {
    /// No limit but those that every run has.
    fn default() -> Self {
        Self {
            stop: None,
            timeout: None,
            kill_after: Duration::from_secs(3),
            linger: Duration::from_secs(1),
            leftovers: Leftovers::Kept,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; 128 + the signal for a program that was killed.
    pub code: i32,
    /// It was told to stop.
    pub stopped: bool,
    /// Its time was up.
    pub timed_out: bool,
    /// Something of its process group could not be killed and lives on.
    pub alive: bool,
}

impl Ended {
    /// Whether it ended by itself, with exit code 0.
    pub fn ok(self) -> bool {
        self.code == 0 && !self.stopped && !self.timed_out
    }
}

/// Takes what a program prints. It cannot fail: that it cannot be kept is no reason to end the
/// program.
pub trait Sink {
    /// Takes some bytes, as they came.
    fn bytes(&mut self, stream: Stream, bytes: &[u8]);
    /// The stream is at its end, or is not read any more.
    fn end(&mut self, stream: Stream);
    /// Nothing more comes at the moment.
    fn pause(&mut self);
}

/// What a program printed, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// There was more of it.
    pub cut: bool,
    /// The beginning of what it complained.
    pub stderr: String,
}

/// Runs a program and keeps at most `limit` bytes of its standard output.
///
/// # Errors
///
/// As [`run`].
pub fn output(command: &mut Command, limit: usize, bounds: &Bounds<'_>) -> io::Result<Output> {
    struct Kept {
        stdout: Vec<u8>,
        limit: usize,
        cut: bool,
        stderr: Vec<u8>,
    }
    impl Sink for Kept {
        fn bytes(&mut self, stream: Stream, bytes: &[u8]) {
            let (kept, limit) = match stream {
                Stream::Stdout => (&mut self.stdout, self.limit),
                Stream::Stderr => (&mut self.stderr, MAX_STDERR),
            };
            let room = limit.saturating_sub(kept.len()).min(bytes.len());
            kept.extend_from_slice(&bytes[..room]);
            if stream == Stream::Stdout && room < bytes.len() {
                self.cut = true;
            }
        }

        fn end(&mut self, _: Stream) {}
        fn pause(&mut self) {}
    }
    let mut kept = Kept { stdout: Vec::new(), limit, cut: false, stderr: Vec::new() };
    let ended = run(command, &mut kept, bounds)?;
    let stderr = String::from_utf8_lossy(&kept.stderr).into_owned();
    Ok(Output { ended, stdout: kept.stdout, cut: kept.cut, stderr })
}

/// Runs a program to its end, in a process group of its own, with nothing to read. When it is
/// stopped or its time is up, its whole group is ended: SIGTERM, then SIGKILL.
///
/// # Errors
///
/// The program could not be started, or the system does not tell how it ended.
pub fn run(command: &mut Command, sink: &mut dyn Sink, bounds: &Bounds<'_>) -> io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // Whoever is killed must not leave a program behind that nobody watches.
    if !launch::is_launched(command) {
        process::die_with_parent(command);
    }
    let child = command.spawn()?;
    let mut run = Run { child, bounds, ending: None, killed: None };
    let result = run.watch(sink);
    if result.is_err() {
        // Nobody waits for it any more.
        run.signal(Signal::SIGKILL);
    }
    result
}

/// Why a program is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Stopped,
    TimedOut,
}

struct Run<'a> {
    child: Child,
    bounds: &'a Bounds<'a>,
    ending: Option<(Why, Instant)>,
    killed: Option<Instant>,
}

impl Run<'_> {
    fn watch(&mut self, sink: &mut dyn Sink) -> io::Result<Ended> {
        let began = Instant::now();
        let mut pipes = self.pipes();
        let mut status: Option<(ExitStatus, Instant)> = None;
        let mut alive = false;
        loop {
            let something_came = wait_and_read(&mut pipes, sink);
            if !something_came {
                sink.pause();
            }
            if status.is_none() {
                status = self.child.try_wait()?.map(|status| (status, Instant::now()));
            }
            self.keep_in_bounds(began, status.is_some());
            if self.killed.is_some_and(|at| at.elapsed() >= DIES_WITHIN) {
                alive = true;
                break;
            }
            let Some((_, ended_at)) = status else { continue };
            let group_may_live = self.ending.is_some() && self.group_lives();
            let read_enough = pipes.is_empty() || ended_at.elapsed() >= self.bounds.linger;
            if read_enough && !group_may_live {
                break;
            }
        }
        if self.bounds.leftovers == Leftovers::Killed && status.is_some() {
            self.signal(Signal::SIGKILL);
        }
        for pipe in pipes {
            sink.end(pipe.stream);
        }
        sink.pause();
        Ok(self.ended(status.map(|(status, _)| status), alive))
    }

    fn pipes(&mut self) -> Vec<Pipe> {
        let mut pipes = Vec::new();
        if let Some(source) = self.child.stdout.take() {
            pipes.push(Pipe { stream: Stream::Stdout, source: Box::new(source) });
        }
        if let Some(source) = self.child.stderr.take() {
            pipes.push(Pipe { stream: Stream::Stderr, source: Box::new(source) });
        }
        pipes
    }

    fn ended(&self, status: Option<ExitStatus>, alive: bool) -> Ended {
        let code = match status {
            Some(status) => status.code().unwrap_or(128 + status.signal().unwrap_or(0)),
            None => 128 + Signal::SIGKILL as i32,
        };
        let told_to_stop = self.bounds.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
        // Who ends everything at once, as a service manager does, may reach the program first.
        let stopped_from_outside = told_to_stop && code != 0 && self.ending.is_none();
        let why = self.ending.map(|(why, _)| why);
        Ended {
            code,
            stopped: why == Some(Why::Stopped) || stopped_from_outside,
            timed_out: why == Some(Why::TimedOut),
            alive,
        }
    }

    fn keep_in_bounds(&mut self, began: Instant, is_over: bool) {
        match self.ending {
            Some((_, since)) => {
                if self.killed.is_none() && since.elapsed() >= self.bounds.kill_after {
                    self.killed = Some(Instant::now());
                    self.signal(Signal::SIGKILL);
                }
            }
            // It ended by itself, and nothing more is asked of it.
            None if is_over => {}
            None => {
                let stopped = self.bounds.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
                let time_is_up = self.bounds.timeout.is_some_and(|limit| began.elapsed() >= limit);
                if stopped || time_is_up {
                    let why = if stopped { Why::Stopped } else { Why::TimedOut };
                    self.ending = Some((why, Instant::now()));
                    self.signal(Signal::SIGTERM);
                }
            }
        }
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().map(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group() {
            // The group may be gone already.
            let _ = killpg(group, signal);
        }
    }

    /// Whether any process of the group is there. Its number is not used anew while one is.
    fn group_lives(&self) -> bool {
        let Some(group) = self.group() else {
            return false;
        };
        // Orphans of the group that became ours (a subreaper's) stay there until they are waited for.
        let of_the_group = Pid::from_raw(-group.as_raw());
        while let Ok(status) = waitpid(of_the_group, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
        killpg(group, None) != Err(nix::errno::Errno::ESRCH)
    }
}

trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

struct Pipe {
    stream: Stream,
    source: Box<dyn Source>,
}

impl Pipe {
    /// Reads once; false at the end. A stream that cannot be read is at its end.
    fn read(&mut self, sink: &mut dyn Sink) -> bool {
        let mut buffer = [0_u8; 64 * 1024];
        match self.source.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                sink.bytes(self.stream, &buffer[..count]);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }
}

/// Waits a moment for output and reads what is there. False if nothing came.
fn wait_and_read(pipes: &mut Vec<Pipe>, sink: &mut dyn Sink) -> bool {
    let ready: Vec<bool> = {
        let mut fds: Vec<PollFd<'_>> =
            pipes.iter().map(|pipe| PollFd::new(pipe.source.as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut fds, PollTimeout::from(TICK)) {
            Ok(_) => fds.iter().map(|fd| fd.any().unwrap_or(false)).collect(),
            Err(nix::errno::Errno::EINTR) => return false,
            Err(_) => {
                // Short of memory: the program goes on, and is looked at again in a moment.
                std::thread::sleep(Duration::from_millis(TICK.into()));
                return false;
            }
        }
    };
    let mut something_came = false;
    let mut ready = ready.into_iter();
    pipes.retain_mut(|pipe| {
        if !ready.next().unwrap_or(false) {
            return true;
        }
        let goes_on = pipe.read(sink);
        something_came |= goes_on;
        if !goes_on {
            sink.end(pipe.stream);
        }
        goes_on
    });
    something_came
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, bounds: &Bounds<'_>) -> Output {
        output(Command::new("sh").args(["-c", script]), 1000, bounds).unwrap()
    }

    fn quickly() -> Bounds<'static> {
        let limit = Some(Duration::from_millis(300));
        Bounds { timeout: limit, kill_after: Duration::from_millis(200), ..Bounds::default() }
    }

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let output = sh("echo out; echo err >&2; exit 7", &Bounds::default());
        assert_eq!((output.stdout.as_slice(), output.stderr.as_str()), (&b"out\n"[..], "err\n"));
        assert_eq!(output.ended.code, 7);
        assert!(!output.ended.ok() && !output.cut);
    }

    #[test]
    fn more_than_the_limit_is_read_and_not_kept() {
        let output = sh("head -c 100000 /dev/zero", &Bounds::default());
        assert!(output.ended.ok() && output.cut);
        assert_eq!(output.stdout.len(), 1000);
    }

    #[test]
    fn a_program_killed_by_a_signal_has_its_code() {
        assert_eq!(sh("kill -9 $$", &Bounds::default()).ended.code, 137);
    }

    #[test]
    fn a_program_whose_time_is_up_ends_with_all_of_its_group() {
        let script = "trap '' TERM; (trap '' TERM; while :; do sleep 0.02; done) & echo $!; wait";
        let output = sh(script, &quickly());
        assert!(output.ended.timed_out && !output.ended.alive, "{output:?}");
        let pid: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let lives = nix::sys::signal::kill(Pid::from_raw(pid), None);
        assert_eq!(lives, Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn a_program_left_in_the_background_does_not_hold_the_one_who_waits() {
        let bounds = Bounds { leftovers: Leftovers::Killed, ..Bounds::default() };
        let began = Instant::now();
        let output = sh("sleep 600 & echo done", &bounds);
        assert!(output.ended.ok() && output.stdout == b"done\n", "{output:?}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_stop_ends_the_program_and_is_told() {
        let stop = AtomicBool::new(true);
        let bounds = Bounds { stop: Some(&stop), ..Bounds::default() };
        let ended = sh("sleep 600", &bounds).ended;
        assert!(ended.stopped && ended.code == 143, "{ended:?}");
    }

    /// Finding 3 of the systemd review: systemd ends supervisor and program at once.
    #[test]
    fn a_program_that_was_ended_together_with_its_supervisor_was_stopped() {
        struct TellsToStop<'a>(&'a AtomicBool);
        impl Sink for TellsToStop<'_> {
            fn bytes(&mut self, _: Stream, _: &[u8]) {}
            fn end(&mut self, _: Stream) {
                self.0.store(true, Ordering::SeqCst);
            }
            fn pause(&mut self) {}
        }
        let stop = AtomicBool::new(false);
        let bounds = Bounds { stop: Some(&stop), ..Bounds::default() };
        let mut command = Command::new("sh");
        let ended = run(command.args(["-c", "kill $$"]), &mut TellsToStop(&stop), &bounds);
        assert!(ended.unwrap().stopped);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = output(&mut Command::new("/nowhere/at-all"), 1, &Bounds::default());
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
