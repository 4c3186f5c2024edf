//! How a supervisor asks the agents of its machine for a confirmation: by files in its job's
//! directory, because the agent that answers may be another program than the one that began.

use super::intent::{read, write};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The supervisor asks for a new link that carries this.
const RECONNECT: &str = "reconnect";
/// The dashboard has repeated it.
const CONFIRMED: &str = "confirmed";
/// An agent has tried.
const TRIED: &str = "tried";

#[derive(Serialize, Deserialize)]
struct Nonce {
    nonce: String,
}

fn write_nonce(dir: &Path, file: &str, nonce: &str) -> io::Result<()> {
    write(&dir.join(file), &Nonce { nonce: nonce.to_owned() })
}

fn nonce_in(dir: &Path, file: &str) -> Option<String> {
    read::<Nonce>(&dir.join(file)).ok().flatten().map(|nonce| nonce.nonce)
}

/// The supervisor asks.
pub(super) fn ask(dir: &Path, nonce: &str) -> io::Result<()> {
    write_nonce(dir, RECONNECT, nonce)
}

/// What an agent is asked for; `None`: nothing, or it was done.
pub(crate) fn asked(dir: &Path) -> Option<String> {
    let nonce = nonce_in(dir, RECONNECT)?;
    (nonce_in(dir, CONFIRMED).as_ref() != Some(&nonce)).then_some(nonce)
}

/// An agent begins to try.
pub(crate) fn tries(dir: &Path, nonce: &str) -> io::Result<()> {
    if nonce_in(dir, TRIED).as_deref() == Some(nonce) {
        return Ok(());
    }
    write_nonce(dir, TRIED, nonce)
}

/// Whether one has.
pub(super) fn was_tried(dir: &Path, nonce: &str) -> bool {
    nonce_in(dir, TRIED).as_deref() == Some(nonce)
}

/// The dashboard gave its word.
pub(crate) fn confirm(dir: &Path, nonce: &str) -> io::Result<()> {
    write_nonce(dir, CONFIRMED, nonce)
}

/// Whether it did.
pub(super) fn is_confirmed(dir: &Path, nonce: &str) -> bool {
    nonce_in(dir, CONFIRMED).as_deref() == Some(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_of_an_earlier_question_is_none_of_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(asked(dir), None);
        ask(dir, "1").unwrap();
        confirm(dir, "1").unwrap();
        tries(dir, "1").unwrap();
        assert_eq!(asked(dir), None);
        ask(dir, "2").unwrap();
        assert_eq!(asked(dir).as_deref(), Some("2"));
        assert!(!is_confirmed(dir, "2") && !was_tried(dir, "2"));
        tries(dir, "2").unwrap();
        confirm(dir, "2").unwrap();
        assert!(is_confirmed(dir, "2") && was_tried(dir, "2"));
    }
}
