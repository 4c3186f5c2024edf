//! Children of a process that is large and does much.
//!
//! To run something between fork and exec, as [`die_with_parent`](super::process::die_with_parent)
//! does, a process has to be forked: the kernel copies the tables of its pages, and each of its
//! threads that writes then stops for a copy of a page. With thousands of links that costs a hundred
//! milliseconds for each child. So this program is started once more, which needs no fork, and that
//! one asks to die with its parent and becomes the child.

use super::process;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first argument of a program that is to become another one; the process that asks for it and
/// the other's command line follow.
const BELOW: &str = "--below";
/// This program, even where its file was replaced since.
const OWN: &str = "/proc/self/exe";
/// The exit code of who cannot become the other program, as shells have it.
const CANNOT: u8 = 127;

static LAUNCHES: AtomicBool = AtomicBool::new(false);

/// From now on [`command`] starts this program, whose `main` asks [`launched`] before all else, on
/// Linux where it can be found.
pub fn enable() {
    LAUNCHES.store(cfg!(target_os = "linux") && Path::new(OWN).exists(), Ordering::Relaxed);
}

/// A command that runs this program, and dies with the thread that starts it where that can be had
/// without a fork. Else nothing is done about that yet.
pub fn command(program: &str) -> Command {
    if !LAUNCHES.load(Ordering::Relaxed) {
        return Command::new(program);
    }
    let mut command = Command::new(OWN);
    command.arg(BELOW).arg(std::process::id().to_string()).arg(program);
    command
}

/// Whether this command is one that dies with its parent by itself.
pub(super) fn is_launched(command: &Command) -> bool {
    command.get_program() == OWN && command.get_args().next() == Some(OsStr::new(BELOW))
}

/// Becomes the program that the command line asks for. Answers an exit code where that cannot be
/// done, and `None` where this is not asked for.
#[cfg(unix)]
pub fn launched(mut args: impl Iterator<Item = OsString>) -> Option<u8> {
    use std::os::unix::process::CommandExt as _;
    if args.nth(1)? != BELOW {
        return None;
    }
    let (parent, program) = (args.next()?, args.next()?);
    let mut command = Command::new(&program);
    command.args(args);
    if let Err(error) = process::die_with(&parent) {
        eprintln!("fatal: {error}");
        return Some(CANNOT);
    }
    let error = command.exec();
    eprintln!("fatal: the {} program could not be started: {error}", program.display());
    Some(CANNOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_line_that_asks_for_it_is_launched() {
        let args =
            |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>().into_iter();
        assert_eq!(launched(args(&["nixfleet"])), None);
        assert_eq!(launched(args(&["nixfleet", "--agent"])), None);
        assert_eq!(launched(args(&["nixfleet", "hosts", BELOW])), None);
        assert_eq!(launched(args(&["nixfleet", BELOW, "1"])), None, "no program");
    }

    #[test]
    fn a_program_that_is_not_to_be_launched_is_run_as_it_is() {
        let plain = command("git");
        assert_eq!((plain.get_program(), is_launched(&plain)), (OsStr::new("git"), false));
    }
}
