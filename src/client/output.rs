//! Standard output and standard error.

use super::ending::Trouble;
use super::text;
use serde_json::Value;
use std::io::{IsTerminal, Stderr, Stdout, Write, stderr, stdout};

/// Where results go.
pub(super) struct Out {
    stdout: Stdout,
    json: bool,
    colours: bool,
}

impl Out {
    /// `json`: programs read it. `colours`: they are welcome where a terminal shows them.
    pub(super) fn new(json: bool, colours: bool) -> Self {
        let stdout = stdout();
        let colours = colours && !json && stdout.is_terminal();
        Self { stdout, json, colours }
    }

    /// Whether programs read what is printed.
    pub(super) fn for_programs(&self) -> bool {
        self.json
    }

    pub(super) fn colours(&self) -> bool {
        self.colours
    }

    /// A line for people, which is safe already.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Trouble> {
        let mut stdout = self.stdout.lock();
        writeln!(stdout, "{line}")?;
        Ok(stdout.flush()?)
    }

    /// Lines below each other.
    pub(super) fn table(&mut self, rows: &[Vec<String>]) -> Result<(), Trouble> {
        for line in text::table(rows, self.colours) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// An object for programs, where they read; else nothing.
    pub(super) fn programs(&mut self, value: &Value) -> Result<(), Trouble> {
        if self.json { self.line(&text::json(value, true)) } else { Ok(()) }
    }

    /// One object of many that come over time, on a line of its own.
    pub(super) fn json_line(&mut self, value: &Value) -> Result<(), Trouble> {
        self.line(&text::json(value, false))
    }
}

/// Says on standard error what went wrong. Nobody has to read it.
pub(super) fn complain(safe_text: &str) {
    aside(&mut stderr(), &format!("nixfleet: {safe_text}\n"));
}

/// Writes what is no result. That nobody reads it is no reason to end.
pub(super) fn aside(stderr: &mut Stderr, text: &str) {
    let mut stderr = stderr.lock();
    if let Err(error) = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()) {
        log::debug!("nobody reads standard error: {error}");
    }
}
