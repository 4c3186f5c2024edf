//! What programs print for a terminal, as text and colours.
//!
//! A line is shown as a terminal would have left it: carriage returns and backspaces go back
//! and overwrite, colours are kept, everything else that only a terminal understands is taken
//! out. Each line stands for itself; a colour ends with its line. A line costs what its bytes cost,
//! and becomes not much longer by its escapes (findings 4 and 10 of the security review).

use super::bounds::{COLUMNS, GROWTH};
use std::borrow::Cow;

/// What the markup of a styled piece takes at most beside its text, in bytes.
const MARKUP: usize = 48;
/// So much a line may grow by its escapes however short it is: a word in colour.
const AT_LEAST: usize = 2 * MARKUP;
/// What is shown in place of a character that changes the order of others.
const UNSEEN: char = '\u{fffd}';

/// No sequence moves the cursor further than this.
const JUMP: usize = 1000;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// One of the 16 colours of a terminal.
    pub colour: Option<u8>,
    /// One of the 16 colours of a terminal, behind the text.
    pub behind: Option<u8>,
    /// Bold.
    pub bold: bool,
    /// Less bright.
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underlined: bool,
    /// Text and what is behind it change colours.
    pub inverse: bool,
}

/// A piece of a line that looks the same throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// How it looks.
    pub style: Style,
    /// The text. Hostile.
    pub text: String,
}

/// Whether a character changes the order in which others are shown: a text could read as another one.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A character as it may be shown: one that nobody sees and that reorders others is a symbol.
pub fn visible(c: char) -> char {
    if reorders(c) { UNSEEN } else { c }
}

/// Whether a text is shown as it stands.
fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() || reorders(c))
}

/// Whether no line of the text has anything for a terminal in it: then a terminal shows nothing that
/// is not written there.
pub fn are_plain(lines: &str) -> bool {
    !lines.contains(|c: char| c.is_control() && c != '\n' || reorders(c))
}

/// A line as a text: as a terminal leaves it, however long, where there is anything for a terminal in
/// it.
pub fn as_text(text: &str) -> Cow<'_, str> {
    let is_plain = !text.contains(|c: char| c.is_control() && c != '\t' || reorders(c));
    if is_plain { Cow::Borrowed(text) } else { Cow::Owned(plain(text)) }
}

/// A line without terminal control sequences, as it stands after its carriage returns.
pub fn plain(text: &str) -> String {
    spans(text).into_iter().map(|span| span.text).collect()
}

/// A line in pieces that look the same throughout.
pub fn spans(text: &str) -> Vec<Span> {
    if is_plain(text) {
        let text = text.chars().take(COLUMNS).collect::<String>();
        return if text.is_empty() {
            Vec::new()
        } else {
            vec![Span { style: Style::default(), text }]
        };
    }
    let mut screen = Screen::of(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters, then one final character.
                Some('[') => {
                    let mut parameters = String::new();
                    for c in chars.by_ref() {
                        if ('@'..='~').contains(&c) {
                            screen.control(&parameters, c);
                            break;
                        }
                        parameters.push(c);
                    }
                }
                // OSC: up to BEL or ESC \.
                Some(']') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                Some(_) | None => {}
            },
            '\r' => screen.column = 0,
            '\u{8}' => screen.column = screen.column.saturating_sub(1),
            c if c.is_control() && c != '\t' => {}
            c => screen.put(c),
        }
    }
    screen.spans()
}

/// One line of a terminal.
#[derive(Default)]
struct Screen {
    cells: Vec<(char, Style)>,
    column: usize,
    style: Style,
    /// How many bytes the line may still grow by its escapes.
    growth: usize,
    /// How many cells its escapes may still touch.
    work: usize,
}

impl Screen {
    /// For a line of so many bytes.
    fn of(bytes: usize) -> Self {
        let growth = bytes.saturating_mul(GROWTH - 1).max(AT_LEAST);
        Self { growth, work: bytes.saturating_mul(GROWTH).max(COLUMNS / 16), ..Self::default() }
    }

    fn put(&mut self, c: char) {
        if self.column >= COLUMNS {
            return;
        }
        if self.cells.len() <= self.column {
            let gap = (self.column - self.cells.len()).min(self.growth);
            self.growth -= gap;
            self.column = self.cells.len() + gap;
            self.cells.resize(self.column + 1, (' ', Style::default()));
        }
        self.cells[self.column] = (visible(c), self.style);
        self.column += 1;
    }

    fn control(&mut self, parameters: &str, last: char) {
        let number = parameters.parse().unwrap_or(1_usize).clamp(1, JUMP);
        match last {
            'm' => self.style.select(parameters),
            'C' => self.column = (self.column + number).min(COLUMNS),
            'D' => self.column = self.column.saturating_sub(number),
            'G' => self.column = number - 1,
            'K' => match parameters {
                "" | "0" => self.cells.truncate(self.column),
                "1" => {
                    let to = self.column.min(self.cells.len());
                    if let Some(left) = self.work.checked_sub(to) {
                        self.work = left;
                        self.cells[..to].fill((' ', Style::default()));
                    }
                }
                _ => self.cells.clear(),
            },
            _ => {}
        }
    }

    fn spans(self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut growth = self.growth;
        for (c, style) in self.cells {
            // What would grow too much has no style.
            let style = match spans.last() {
                Some(span) if span.style == style => style,
                _ if style == Style::default() => style,
                _ => match growth.checked_sub(MARKUP) {
                    Some(left) => {
                        growth = left;
                        style
                    }
                    None => Style::default(),
                },
            };
            match spans.last_mut() {
                Some(span) if span.style == style => span.text.push(c),
                _ => spans.push(Span { style, text: c.to_string() }),
            }
        }
        spans
    }
}

impl Style {
    /// SGR: `1;31` and so on.
    fn select(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|n| match n {
            "" => Some(0_u16),
            n => n.parse().ok(),
        });
        while let Some(number) = numbers.next() {
            match number {
                Some(0) => *self = Self::default(),
                Some(1) => self.bold = true,
                Some(2) => self.dim = true,
                Some(3) => self.italic = true,
                Some(4) => self.underlined = true,
                Some(7) => self.inverse = true,
                Some(22) => (self.bold, self.dim) = (false, false),
                Some(23) => self.italic = false,
                Some(24) => self.underlined = false,
                Some(27) => self.inverse = false,
                Some(n @ 30..=37) => self.colour = u8::try_from(n - 30).ok(),
                Some(n @ 90..=97) => self.colour = u8::try_from(n - 82).ok(),
                Some(n @ 40..=47) => self.behind = u8::try_from(n - 40).ok(),
                Some(n @ 100..=107) => self.behind = u8::try_from(n - 92).ok(),
                Some(39) => self.colour = None,
                Some(49) => self.behind = None,
                Some(n @ (38 | 48)) => {
                    let mut next = || numbers.next().flatten().and_then(|n| u8::try_from(n).ok());
                    let colour = match next() {
                        Some(5) => next().map(of_256),
                        Some(2) => match (next(), next(), next()) {
                            (Some(red), Some(green), Some(blue)) => Some(nearest(red, green, blue)),
                            _ => None,
                        },
                        _ => None,
                    };
                    *(if n == 38 { &mut self.colour } else { &mut self.behind }) = colour;
                }
                Some(_) | None => {}
            }
        }
    }
}

/// One of 256 colours, as the nearest of 16.
fn of_256(number: u8) -> u8 {
    match number {
        0..=15 => number,
        16..=231 => {
            let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
            let cube = number - 16;
            nearest(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        232.. => {
            let grey = 8 + 10 * (number - 232);
            nearest(grey, grey, grey)
        }
    }
}

/// The nearest of the 16 colours of a terminal.
fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most - least < 32 {
        return match most {
            0..48 => 0,
            48..144 => 8,
            144..216 => 7,
            216.. => 15,
        };
    }
    let strong = |part: u8| u8::from(part > least + (most - least) / 2);
    let base = strong(red) | strong(green) << 1 | strong(blue) << 2;
    if most >= 216 { base + 8 } else { base }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_what_a_terminal_would_have_left() {
        for (raw, shown) in [
            ("plain", "plain"),
            ("\u{1b}[1;31merror:\u{1b}[0m no", "error: no"),
            ("10%\r50%\r100%", "100%"),
            ("downloading\rdone", "doneloading"),
            ("downloading\r\u{1b}[Kdone", "done"),
            ("downloading\u{1b}[2K\rdone", "done"),
            ("abc\u{1b}[1Kd", "   d"),
            ("done\r", "done"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{0}b\u{8}c\td", "ac\td"),
            ("a\u{1b}[3Cb\u{1b}[2Dc\u{1b}[1Gd", "d  cb"),
            ("\u{1b}[99999999999Cx", "x"),
            ("\u{1b}[", ""),
            ("\u{1b}", ""),
            ("", ""),
        ] {
            let now = plain(raw);
            let now = if raw.contains("99999") { now.trim_start().to_owned() } else { now };
            assert_eq!(now, shown, "{raw:?}");
        }
    }

    #[test]
    fn colours_are_those_of_a_terminal() {
        let style = |raw: &str| spans(&format!("{raw}x"))[0].style;
        let plain = Style::default();
        for (raw, expected) in [
            ("\u{1b}[31m", Style { colour: Some(1), ..plain }),
            ("\u{1b}[1;92m", Style { colour: Some(10), bold: true, ..plain }),
            ("\u{1b}[44;3m", Style { behind: Some(4), italic: true, ..plain }),
            ("\u{1b}[38;5;196m", Style { colour: Some(9), ..plain }),
            ("\u{1b}[38;2;0;128;0m", Style { colour: Some(2), ..plain }),
            ("\u{1b}[48;5;240m", Style { behind: Some(8), ..plain }),
            ("\u{1b}[1;2;4;7m\u{1b}[22;24;27m", plain),
            ("\u{1b}[31m\u{1b}[m", plain),
            ("\u{1b}[31;39m", plain),
            ("\u{1b}[38;5m", plain),
            ("\u{1b}[999m", plain),
        ] {
            assert_eq!(style(raw), expected, "{raw:?}");
        }
        let parts = spans("a\u{1b}[32mb\u{1b}[0mc");
        let texts: Vec<&str> = parts.iter().map(|span| span.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c"]);
    }

    /// Each of the escapes may touch every cell before it, all of them together only so many as the
    /// line has bytes, some times over: on the program before it were 5 x 1.6 thousand million.
    #[test]
    fn a_line_of_escapes_costs_what_its_bytes_cost_4() {
        let (first, then, erase) = ("x".repeat(1000), "y".repeat(1000), "\u{1b}[1K");
        let erased = plain(&format!("{first}\r{then}{erase}"));
        assert!(erased.trim().is_empty(), "one of them is done: {erased}");
        let line = format!("{first}{}\r{then}{erase}", erase.repeat(1000));
        assert_eq!(
            plain(&line),
            then,
            "they have touched all that they may: one more does nothing"
        );
        let screen = Screen::of(line.len());
        assert!(screen.work + screen.growth <= 2 * GROWTH * line.len());
    }

    #[test]
    fn a_line_has_a_bounded_number_of_columns_with_and_without_escapes_4() {
        for begins in ["", "\u{1b}[31m"] {
            let line = |columns: usize| format!("{begins}{}", "x".repeat(columns));
            assert_eq!(plain(&line(COLUMNS)).len(), COLUMNS, "{begins:?}");
            assert_eq!(plain(&line(COLUMNS + 1)).len(), COLUMNS, "{begins:?}");
        }
    }

    #[test]
    fn what_reorders_a_text_is_seen_18() {
        assert_eq!(plain("evil\u{202e}txt.exe"), "evil\u{fffd}txt.exe");
        assert_eq!(as_text("\u{1b}[31mred\u{1b}[0m \u{2066}x"), "red \u{fffd}x");
        assert_eq!(as_text("a\tb"), "a\tb");
    }

    proptest! {
        #[test]
        fn escapes_make_no_line_much_longer_10(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("\u{1b}[1000C".to_owned()), Just("\u{1b}[1000Cx".to_owned()),
                    Just("\u{1b}[1m".to_owned()), Just("\u{1b}[22mx".to_owned()),
                    Just("\u{1b}[31;42my".to_owned()), Just("\u{1b}[mz".to_owned()),
                    Just("\r".to_owned()), Just("\u{1b}[K".to_owned()), "[a-z]{0,20}",
                ],
                0..200,
            )
        ) {
            let line = parts.concat();
            let shown = spans(&line);
            let styled = shown.iter().filter(|span| span.style != Style::default()).count();
            let bytes = shown.iter().map(|span| span.text.len()).sum::<usize>() + styled * MARKUP;
            prop_assert!(bytes <= line.len() + (line.len() * (GROWTH - 1)).max(AT_LEAST), "{bytes}");
        }

        #[test]
        fn whatever_is_printed_no_control_character_is_left(text in "[\\PC\u{1b}\\[\\]0-9;mKCDG\r\u{8}\u{7}]{0,80}") {
            for span in spans(&text) {
                prop_assert!(!span.text.contains(|c: char| c.is_control() && c != '\t'));
                prop_assert!(!span.text.is_empty());
            }
        }
    }
}
