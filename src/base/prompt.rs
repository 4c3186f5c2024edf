//! Asks for a secret: on a terminal without showing it, else from what is piped in.

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use std::io::{self, BufRead, IsTerminal, Write};

/// A terminal that shows nothing of what is typed, for as long as this lives.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        quiet.local_flags.insert(LocalFlags::ECHONL);
        termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet).ok()?;
        Some(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Where this fails, the terminal is gone.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.before);
    }
}

/// Reads one line of standard input. On a terminal it is asked for with these words, twice, and not
/// shown.
///
/// # Errors
///
/// In words: nothing came, or not the same both times.
pub fn secret(words: &str, again: &str) -> Result<String, String> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let _unseen = Unseen::begin().ok_or("this terminal cannot hide what is typed")?;
    let first = ask(words)?;
    if ask(again)? != first {
        return Err("It was not the same both times.".to_owned());
    }
    Ok(first)
}

fn ask(words: &str) -> Result<String, String> {
    let mut terminal = io::stderr();
    // Whoever does not see the question still may answer it.
    let _ = write!(terminal, "{words}: ");
    let _ = terminal.flush();
    line()
}

fn line() -> Result<String, String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| format!("standard input: expected a line of text ({error})"))?;
    let text = line.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err("standard input: expected a password, got nothing".to_owned());
    }
    Ok(text.to_owned())
}
