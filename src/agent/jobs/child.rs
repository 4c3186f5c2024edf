//! Runs a program as part of a job: its lines go to the spool, it can be stopped, and it
//! never outlives its time or its supervisor.

use super::spool::SpoolWriter;
use crate::base::process;
use crate::protocol::Stream;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// From SIGTERM to SIGKILL (spec: lifecycle, `stopping`).
const KILL_AFTER: Duration = Duration::from_secs(3);
/// What a program left in the background may go on writing after its end.
const LINGER: Duration = Duration::from_secs(1);
/// How late a line may be, and how late a stop is noticed.
const TICK: u16 = 50;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; 128 + the signal for a program that was killed.
    pub code: i32,
    /// It was told to stop.
    pub stopped: bool,
    /// Its time was up.
    pub timed_out: bool,
}

impl Ended {
    /// Whether all is well.
    pub fn ok(self) -> bool {
        self.code == 0 && !self.stopped && !self.timed_out
    }
}

/// Where a program's lines go.
pub trait Lines {
    /// Takes a whole line.
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()>;
    /// Nothing more comes at the moment.
    fn pause(&mut self) -> io::Result<()>;
}

impl Lines for SpoolWriter {
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        SpoolWriter::line(self, stream, text)
    }

    fn pause(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Runs `command` to its end. `stop` ends it early; so does `timeout`. With `alone`, what
/// it left in the background is killed when it ends.
pub fn run(
    command: &mut Command,
    lines: &mut dyn Lines,
    stop: &AtomicBool,
    timeout: Option<Duration>,
    alone: bool,
) -> io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // A supervisor that is killed must not leave a switch behind that nobody watches.
    process::die_with_parent(command);
    let child = command.spawn()?;
    Watch { child, stop, stopped: None, timed_out: None, killed: false }.run(lines, timeout, alone)
}

struct Watch<'a> {
    child: Child,
    stop: &'a AtomicBool,
    stopped: Option<Instant>,
    timed_out: Option<Instant>,
    killed: bool,
}

impl Watch<'_> {
    fn run(
        mut self,
        lines: &mut dyn Lines,
        timeout: Option<Duration>,
        alone: bool,
    ) -> io::Result<Ended> {
        let began = Instant::now();
        let mut streams: Vec<Pipe> = Vec::new();
        if let Some(out) = self.child.stdout.take() {
            streams.push(Pipe::new(Stream::Stdout, Box::new(out)));
        }
        if let Some(err) = self.child.stderr.take() {
            streams.push(Pipe::new(Stream::Stderr, Box::new(err)));
        }
        let mut ended: Option<(ExitStatus, Instant)> = None;
        loop {
            let read = wait_and_read(&mut streams, lines)?;
            if !read {
                lines.pause()?;
            }
            if ended.is_none() {
                ended = self.child.try_wait()?.map(|status| (status, Instant::now()));
            }
            match &ended {
                None => self.keep_in_time(began, timeout),
                Some((_, at)) if streams.is_empty() || at.elapsed() >= LINGER => break,
                Some(_) => {}
            }
        }
        if alone {
            self.signal(Signal::SIGKILL);
        }
        for mut pipe in streams.into_iter().filter(|pipe| !pipe.partial.is_empty()) {
            pipe.rest(lines)?;
        }
        lines.pause()?;
        let Some((status, _)) = ended else {
            return Err(io::Error::other("no exit status"));
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Ended { code, stopped: self.stopped.is_some(), timed_out: self.timed_out.is_some() })
    }

    fn keep_in_time(&mut self, began: Instant, timeout: Option<Duration>) {
        if self.stopped.is_none() && self.timed_out.is_none() {
            let now = Instant::now();
            if self.stop.load(Ordering::Relaxed) {
                self.stopped = Some(now);
            } else if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
                self.timed_out = Some(now);
            } else {
                return;
            }
            self.signal(Signal::SIGTERM);
        } else if !self.killed
            && self.stopped.or(self.timed_out).is_some_and(|at| at.elapsed() >= KILL_AFTER)
        {
            self.killed = true;
            self.signal(Signal::SIGKILL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // The group may be gone already.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }
}

trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

struct Pipe {
    stream: Stream,
    source: Box<dyn Source>,
    partial: Vec<u8>,
}

impl Pipe {
    fn new(stream: Stream, source: Box<dyn Source>) -> Self {
        Self { stream, source, partial: Vec::new() }
    }

    /// Reads once; false at the end.
    fn read(&mut self, lines: &mut dyn Lines) -> io::Result<bool> {
        let mut buffer = [0_u8; 64 * 1024];
        let count = match self.source.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut rest = &buffer[..count];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            self.rest(lines)?;
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() >= super::spool::MAX_LINE {
            self.rest(lines)?;
        }
        Ok(count > 0)
    }

    /// Hands over what was read, as a line; nothing if that is nothing.
    fn rest(&mut self, lines: &mut dyn Lines) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.partial);
        let done = lines.line(self.stream, &text);
        self.partial.clear();
        done
    }
}

/// Waits a moment for output and reads what is there. False if nothing came.
fn wait_and_read(streams: &mut Vec<Pipe>, lines: &mut dyn Lines) -> io::Result<bool> {
    let ready: Vec<bool> = {
        let mut fds: Vec<PollFd<'_>> = streams
            .iter()
            .map(|pipe| PollFd::new(pipe.source.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::from(TICK)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        fds.iter().map(|fd| fd.any().unwrap_or(false)).collect()
    };
    let mut read = false;
    let mut at_end = Vec::new();
    for (at, pipe) in streams.iter_mut().enumerate() {
        if ready.get(at).copied().unwrap_or(false) {
            if pipe.read(lines)? {
                read = true;
            } else {
                at_end.push(at);
            }
        }
    }
    for at in at_end.into_iter().rev() {
        let mut pipe = streams.remove(at);
        if !pipe.partial.is_empty() {
            pipe.rest(lines)?;
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<(Stream, String)>);

    impl Lines for Kept {
        fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
            self.0.push((stream, text.to_owned()));
            Ok(())
        }

        fn pause(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sh(script: &str, timeout: Option<Duration>) -> (Ended, Vec<(Stream, String)>) {
        let mut kept = Kept::default();
        let stop = AtomicBool::new(false);
        let mut command = Command::new("sh");
        let ended = run(command.args(["-c", script]), &mut kept, &stop, timeout, true).unwrap();
        (ended, kept.0)
    }

    #[test]
    fn both_streams_are_kept_and_the_exit_code_is_true() {
        let (ended, lines) = sh("echo out; echo err >&2; printf 'no newline'; exit 7", None);
        assert_eq!(ended, Ended { code: 7, stopped: false, timed_out: false });
        let of = |wanted| {
            lines.iter().filter(|(s, _)| *s == wanted).map(|(_, t)| t.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(Stream::Stdout), ["out", "no newline"]);
        assert_eq!(of(Stream::Stderr), ["err"]);
    }

    #[test]
    fn lines_written_one_after_the_other_keep_their_order() {
        let script = "for n in 1 2 3 4 5; do echo o$n; sleep 0.06; echo e$n >&2; sleep 0.06; done";
        let (_, lines) = sh(script, None);
        let texts: Vec<&str> = lines.iter().map(|(_, t)| t.as_str()).collect();
        assert_eq!(texts, ["o1", "e1", "o2", "e2", "o3", "e3", "o4", "e4", "o5", "e5"]);
    }

    #[test]
    fn a_program_killed_by_a_signal_has_its_code() {
        let (ended, _) = sh("kill -9 $$", None);
        assert_eq!(ended.code, 137);
    }

    #[test]
    fn a_program_that_ignores_its_end_is_killed() {
        let began = Instant::now();
        let (ended, lines) = sh(
            "trap '' TERM; echo ready; while :; do sleep 0.05; done",
            Some(Duration::from_millis(200)),
        );
        assert!(ended.timed_out && ended.code == 137, "{ended:?}");
        assert!(began.elapsed() >= KILL_AFTER);
        assert_eq!(lines[0].1, "ready");
    }

    #[test]
    fn a_program_left_in_the_background_does_not_hold_the_job() {
        let (ended, lines) = sh("sleep 600 & echo done", None);
        assert!(ended.ok(), "{ended:?}");
        assert_eq!(lines[0].1, "done");
    }

    #[test]
    fn what_is_not_utf8_is_shown_as_well_as_it_can_be() {
        let (_, lines) = sh(r"printf 'a\377b\n'", None);
        assert_eq!(lines[0].1, "a\u{fffd}b");
    }
}
