//! Where log lines go, and what they look like there.

use log::Level;
use std::fs::Metadata;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// The variable by which systemd says which stream is its journal: device and inode.
const JOURNAL: &str = "JOURNAL_STREAM";

/// Starts logging to standard error. `NIXFLEET_LOG` says how much; without it everything from
/// `info` on. The journal knows the time by itself, and gets the level in its own way.
pub fn start() {
    let filter = env_logger::Env::new().filter_or("NIXFLEET_LOG", "info");
    let mut builder = env_logger::Builder::from_env(filter);
    builder.format_target(false);
    if goes_to_the_journal() {
        builder.format(|out, record| {
            writeln!(out, "{}", line_for_the_journal(record.level(), &record.args().to_string()))
        });
    }
    builder.init();
}

fn goes_to_the_journal() -> bool {
    let Ok(named) = std::env::var(JOURNAL) else {
        return false;
    };
    let stderr = io::stderr();
    if stderr.is_terminal() {
        return false;
    }
    let Ok(stream) = stderr.as_fd().try_clone_to_owned() else {
        return false;
    };
    let data = std::fs::File::from(stream).metadata();
    data.is_ok_and(|data| is_stream(&named, &data))
}

/// Whether `DEVICE:INODE` names this open file. A child may have inherited the variable and
/// write elsewhere.
fn is_stream(named: &str, data: &Metadata) -> bool {
    named == format!("{}:{}", data.dev(), data.ino())
}

/// A line with syslog's number of its level, which the journal takes off. What has several lines
/// gets it on each.
fn line_for_the_journal(level: Level, text: &str) -> String {
    let number = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let lines: Vec<String> = text.lines().map(|line| format!("<{number}>{line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_the_level_of_each_line_and_no_time() {
        assert_eq!(line_for_the_journal(Level::Warn, "a"), "<4>a");
        assert_eq!(line_for_the_journal(Level::Error, "a\nb"), "<3>a\n<3>b");
    }

    #[test]
    fn a_stream_is_the_journal_only_if_it_is_the_one_that_was_named() {
        let file = tempfile::tempfile().unwrap();
        let data = file.metadata().unwrap();
        assert!(is_stream(&format!("{}:{}", data.dev(), data.ino()), &data));
        assert!(!is_stream("8:1", &data));
        assert!(!is_stream("", &data));
    }
}
