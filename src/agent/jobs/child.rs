//! Runs a program as part of a job: its output becomes lines of the spool.

use crate::base::child::{self, Bounds, Sink};
use crate::protocol::Stream;
use std::io::{self, BufRead};
use std::process::Command;

pub use crate::base::child::{Ended, Leftovers};

/// Where a program's lines go.
pub trait Lines {
    /// Takes a whole line.
    fn line(&mut self, stream: Stream, text: &str);
    /// Nothing more comes at the moment.
    fn pause(&mut self);
}

/// Runs `command` to its end, within the bounds.
///
/// # Errors
///
/// It could not be started.
pub fn run(command: &mut Command, lines: &mut dyn Lines, bounds: &Bounds<'_>) -> io::Result<Ended> {
    let mut splitter = Splitter { lines, stdout: Vec::new(), stderr: Vec::new() };
    child::run(command, &mut splitter, bounds)
}

/// Makes lines of bytes.
struct Splitter<'a> {
    lines: &'a mut dyn Lines,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Splitter<'_> {
    fn partial(&mut self, stream: child::Stream) -> &mut Vec<u8> {
        match stream {
            child::Stream::Stdout => &mut self.stdout,
            child::Stream::Stderr => &mut self.stderr,
        }
    }

    /// Hands over what has come of the line.
    fn hand_over(&mut self, stream: child::Stream) {
        let (partial, on_the_wire) = match stream {
            child::Stream::Stdout => (&mut self.stdout, Stream::Stdout),
            child::Stream::Stderr => (&mut self.stderr, Stream::Stderr),
        };
        self.lines.line(on_the_wire, &String::from_utf8_lossy(partial));
        partial.clear();
    }
}

impl Sink for Splitter<'_> {
    fn bytes(&mut self, stream: child::Stream, bytes: &[u8]) {
        let mut rest = bytes;
        // The library's own search: a flood must not make the program wait for us to look at each
        // byte, also in a build without optimization.
        while rest.read_until(b'\n', self.partial(stream)).is_ok_and(|count| count > 0) {
            if self.partial(stream).last() == Some(&b'\n') {
                self.partial(stream).pop();
                self.hand_over(stream);
            }
        }
        if self.partial(stream).len() >= super::spool::MAX_LINE {
            self.hand_over(stream);
        }
    }

    fn end(&mut self, stream: child::Stream) {
        if !self.partial(stream).is_empty() {
            self.hand_over(stream);
        }
    }

    fn pause(&mut self) {
        self.lines.pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[derive(Default)]
    struct Kept(Vec<(Stream, String)>);

    impl Lines for Kept {
        fn line(&mut self, stream: Stream, text: &str) {
            self.0.push((stream, text.to_owned()));
        }

        fn pause(&mut self) {}
    }

    fn sh(script: &str, timeout: Option<Duration>) -> (Ended, Vec<(Stream, String)>) {
        let mut kept = Kept::default();
        let bounds = Bounds { timeout, leftovers: Leftovers::Killed, ..Bounds::default() };
        let mut command = Command::new("sh");
        let ended = run(command.args(["-c", script]), &mut kept, &bounds).unwrap();
        (ended, kept.0)
    }

    #[test]
    fn both_streams_are_kept_and_the_exit_code_is_true() {
        let (ended, lines) = sh("echo out; echo err >&2; printf 'no newline'; exit 7", None);
        assert_eq!(ended, Ended { code: 7, stopped: false, timed_out: false, alive: false });
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
        assert!(began.elapsed() >= Bounds::default().kill_after);
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
