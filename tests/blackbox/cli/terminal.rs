//! On a terminal.

use super::{Fleet, Ran};
use nix::pty::openpty;
use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::thread;

/// Runs a command line on a terminal; answers its exit code and all that was sent to it.
fn on_a_terminal(fleet: &Fleet, arguments: &str, no_colour: bool) -> (i32, String) {
    let pty = openpty(None, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = fleet.command(arguments);
    if no_colour {
        command.env("NO_COLOR", "1");
    }
    let mut child = command.stdout(end()).stderr(end()).spawn().unwrap();
    // Nobody else may hold the other end: the terminal's end is then the child's.
    drop(command);
    drop(pty.slave);
    let mut terminal = File::from(pty.master);
    let reader = thread::spawn(move || {
        let (mut seen, mut part) = (Vec::new(), [0; 4096]);
        // When the last one has closed it, reading fails.
        while let Ok(count @ 1..) = terminal.read(&mut part) {
            seen.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    });
    let code = child.wait().unwrap().code().unwrap();
    (code, reader.join().unwrap())
}

#[test]
fn progress_is_drawn_on_a_terminal_and_gone_when_the_result_is_there() {
    let fleet = Fleet::new(&["db", "web"]);
    fleet.agents[0].set("fail-build");
    let (code, seen) = on_a_terminal(&fleet, "update --all --wait", false);
    assert_eq!(code, 2, "{seen:?}");
    assert!(seen.contains("of 2 over, "), "{seen:?}");
    // Each drawing goes back over the one before, and long lines are cut meanwhile only.
    assert!(seen.contains("A\r\u{1b}[J\u{1b}[?7l"), "{seen:?}");
    assert_eq!(seen.matches("\u{1b}[?7l").count(), seen.matches("\u{1b}[?7h").count());
    let result = seen.rsplit_once("\u{1b}[J").unwrap().1;
    assert!(result.contains("db: \u{1b}[31mfailed\u{1b}[0m at switch"), "{result:?}");
    assert!(result.contains("web: \u{1b}[32mdone\u{1b}[0m"), "{result:?}");
    let (code, seen) = on_a_terminal(&fleet, "hosts", true);
    assert_eq!(code, 0);
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
    let (_, seen) = on_a_terminal(&fleet, "hosts --json", false);
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
}

#[test]
fn a_log_keeps_its_own_colours_on_a_terminal_and_has_none_elsewhere() {
    let fleet = Fleet::new(&["web"]);
    let script = "#!/bin/sh\nprintf '\\033[31mred\\033[0m \\033]0;title\\007\\033[2Jafter\\n'\n";
    fleet.agents[0].on_switch(script);
    fleet.run("pull web --wait").ends_with_code(0);
    fleet.run("switch web --wait").ends_with_code(0);
    let (code, seen) = on_a_terminal(&fleet, "logs web", false);
    assert_eq!(code, 0);
    assert!(seen.contains("\u{1b}[31mred\u{1b}[0m after\r\n"), "{seen:?}");
    let elsewhere = fleet.run("logs web").says("red after\n");
    assert!(!elsewhere.out.contains('\u{1b}'), "{elsewhere:?}");
}

#[test]
fn whoever_reads_no_further_gets_no_complaint() {
    let fleet = Fleet::new(&["web"]);
    let mut child = fleet.start("events");
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.err, "", "{ran:?}");
}
