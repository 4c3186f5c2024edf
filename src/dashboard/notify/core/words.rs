//! What a message says.

use super::Kind;
use super::note::{Note, Phase};
use crate::domain::terminal;

/// More lines than this are only counted.
const LINES: usize = 20;
/// More letters than this of one text are cut off.
const LETTERS: usize = 500;

/// Title and body of what is told at once: notes of one kind and phase.
pub(super) fn of(kind: Kind, phase: Phase, notes: &[Note], unsaid: usize) -> (String, String) {
    let count = notes.len() + unsaid;
    let over = match phase {
        Phase::Opened | Phase::Point => "",
        Phase::Ended => "Over: ",
        Phase::Over => "Was, and is over: ",
    };
    let title = match notes {
        [one] if unsaid == 0 => match kind {
            Kind::RolloutEnded | Kind::Login => format!("{over}{}", kind.label()),
            _ => format!("{over}{}: {}", plain(&one.subject), kind.label()),
        },
        _ => format!("{over}{count} × {}", kind.label()),
    };
    let line = |note: &Note| {
        let until = note.ended.map(|at| format!(" until {at}")).unwrap_or_default();
        let since = format!("since {}{until}", note.since);
        let when = if phase == Phase::Point { note.since.to_string() } else { since };
        let subject = plain(&note.subject);
        let text = plain(&note.text);
        let about =
            if notes.len() == 1 && unsaid == 0 { String::new() } else { format!("{subject}: ") };
        format!("{about}{text} ({when})")
    };
    let mut lines: Vec<String> = notes.iter().take(LINES).map(line).collect();
    let left = count.saturating_sub(lines.len());
    if left > 0 {
        lines.push(format!("and {left} more"));
    }
    (title, lines.join("\n"))
}

/// One line without control sequences, cut.
fn plain(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c == '\n' { ' ' } else { c }).collect();
    let plain = terminal::plain(&one_line);
    match plain.char_indices().nth(LETTERS) {
        Some((at, _)) => format!("{}…", &plain[..at]),
        None => plain,
    }
}
