//! What is printed. Everything that comes from the dashboard is hostile: a host, a commit or a
//! user may have written it, and a terminal obeys what it is sent.

use crate::domain::terminal::{self, Style};
use serde_json::Value;

/// A text on one line, without anything that a terminal would obey, and without letters that turn
/// the direction of others.
pub(super) fn safe(text: &str) -> String {
    let one_line: String =
        text.chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    terminal::plain(&one_line).chars().filter(|c| !turns(*c)).collect()
}

/// A line of a log: its colours are kept, made anew from what was understood of them.
pub(super) fn log_line(line: &str, colours: bool) -> String {
    let mut text = String::new();
    for span in terminal::spans(line) {
        let plain: String = span.text.chars().filter(|c| !turns(*c)).collect();
        if colours && span.style != Style::default() {
            text += &format!("{}{plain}\u{1b}[0m", sequence(span.style));
        } else {
            text += &plain;
        }
    }
    text
}

/// Whether a letter changes how others are shown: the marks of bidirectional text, and the
/// separators of lines and paragraphs.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn sequence(style: Style) -> String {
    let mut numbers = Vec::new();
    let flags = [
        (style.bold, 1),
        (style.dim, 2),
        (style.italic, 3),
        (style.underlined, 4),
        (style.inverse, 7),
    ];
    numbers.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, number)| *number));
    let colour = |n: u8, dark: u8| if n < 8 { dark + n } else { dark + 52 + n };
    numbers.extend(style.colour.filter(|n| *n < 16).map(|n| colour(n, 30)));
    numbers.extend(style.behind.filter(|n| *n < 16).map(|n| colour(n, 40)));
    let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
    format!("\u{1b}[{}m", numbers.join(";"))
}

/// JSON as it may be sent to a terminal: what JSON itself leaves raw is escaped too.
pub(super) fn json(value: &Value, pretty: bool) -> String {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '\n' && (letter.is_control() || turns(letter)) {
            safe += &format!("\\u{:04x}", u32::from(letter));
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// The colour of a word about a state.
fn colour_of(word: &str) -> Option<u8> {
    match word {
        "ok" | "current" | "succeeded" | "done" => Some(32),
        "outdated" | "needs action" | "unverified" | "skipped" | "left_out" => Some(33),
        "error" | "failed" | "refused" | "lost" | "rejected" | "timed_out" | "blocked" => Some(31),
        "working" | "busy" | "running" | "verifying" | "overdue" => Some(34),
        "unknown" | "offline" | "not known yet" => Some(90),
        _ => None,
    }
}

/// A word about a state in its colour.
pub(super) fn painted(word: &str, shown: &str, colours: bool) -> String {
    match colour_of(word) {
        Some(number) if colours => format!("\u{1b}[{number}m{shown}\u{1b}[0m"),
        _ => shown.to_owned(),
    }
}

/// Lines whose cells stand below each other. Cells are made safe here.
pub(super) fn table(rows: &[Vec<String>], colours: bool) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| safe(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = widths[column].saturating_sub(cell.chars().count());
            text += &painted(cell, cell, colours);
            if column + 1 < row.len() {
                text += &" ".repeat(pad + 2);
            }
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// "1 host", "2 hosts".
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn obeyed(text: &str) -> bool {
        text.chars().any(|c| (c.is_control() && c != '\t') || turns(c))
    }

    #[test]
    fn a_log_line_keeps_its_own_colours_and_nothing_else() {
        let line = "\u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}\u{1b}[2J\u{9b}5mend";
        assert_eq!(log_line(line, false), "red 5mend");
        assert_eq!(log_line(line, true), "\u{1b}[1;31mred\u{1b}[0m 5mend");
        assert_eq!(log_line("\u{1b}[92mx", true), "\u{1b}[92mx\u{1b}[0m");
        assert_eq!(log_line("\u{1b}[101mx", true), "\u{1b}[101mx\u{1b}[0m");
    }

    #[test]
    fn columns_stand_below_each_other_also_with_colours() {
        let rows = [vec!["a".into(), "ok".into(), "x".into()], vec!["bcd".into(), "error".into()]];
        assert_eq!(table(&rows, false), ["a    ok     x", "bcd  error"]);
        assert_eq!(table(&rows, true)[0], "a    \u{1b}[32mok\u{1b}[0m     x");
    }

    #[test]
    fn json_says_the_same_and_is_never_obeyed() {
        let value = json!({ "a": "\u{9b}2J\u{1b}\u{7f}\u{202e}" });
        for pretty in [false, true] {
            let text = json(&value, pretty);
            assert!(!obeyed(&text.replace('\n', "")), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_obeyed(text in "(\\PC|[\u{1b}\u{9b}\u{202e}\u{0}-\u{1f}\\[;m0-9])*") {
            prop_assert!(!obeyed(&safe(&text)));
            prop_assert!(!obeyed(&log_line(&text, false)));
            let cells = [vec![text.clone(), text.clone()]];
            prop_assert!(!table(&cells, false).iter().any(|line| obeyed(line)));
            // With colours there are sequences of our own, and no others.
            let coloured = log_line(&text, true);
            for rest in coloured.split('\u{1b}').skip(1) {
                let own = rest.strip_prefix('[').and_then(|rest| rest.split_once('m'));
                let numbers = own.map(|(numbers, _)| numbers).unwrap_or("x");
                prop_assert!(numbers.chars().all(|c| c.is_ascii_digit() || c == ';'), "{coloured:?}");
            }
        }
    }
}
