//! What programs print for a terminal, as text and colours.
//!
//! A line is shown as a terminal would have left it: carriage returns and backspaces go back
//! and overwrite, colours are kept, everything else that only a terminal understands is taken
//! out. Each line stands for itself; a colour ends with its line.

/// More columns than this are cut off.
const COLUMNS: usize = 16_384;

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

/// A line without terminal control sequences, as it stands after its carriage returns.
pub fn plain(text: &str) -> String {
    spans(text).into_iter().map(|span| span.text).collect()
}

/// A line in pieces that look the same throughout.
pub fn spans(text: &str) -> Vec<Span> {
    if !text.contains(|c: char| c.is_control()) {
        let text = text.chars().take(COLUMNS).collect::<String>();
        return if text.is_empty() {
            Vec::new()
        } else {
            vec![Span { style: Style::default(), text }]
        };
    }
    let mut screen = Screen::default();
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
}

impl Screen {
    fn put(&mut self, c: char) {
        if self.column >= COLUMNS {
            return;
        }
        if self.cells.len() <= self.column {
            self.cells.resize(self.column + 1, (' ', Style::default()));
        }
        self.cells[self.column] = (c, self.style);
        self.column += 1;
    }

    fn control(&mut self, parameters: &str, last: char) {
        let number = parameters.parse().unwrap_or(1_usize).clamp(1, JUMP);
        match last {
            'm' => self.style.select(parameters),
            'C' => self.column += number,
            'D' => self.column = self.column.saturating_sub(number),
            'G' => self.column = number - 1,
            'K' => match parameters {
                "" | "0" => self.cells.truncate(self.column),
                "1" => {
                    let to = self.column.min(self.cells.len());
                    self.cells[..to].fill((' ', Style::default()));
                }
                _ => self.cells.clear(),
            },
            _ => {}
        }
    }

    fn spans(self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (c, style) in self.cells {
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

    proptest! {
        #[test]
        fn whatever_is_printed_no_control_character_is_left(text in "[\\PC\u{1b}\\[\\]0-9;mKCDG\r\u{8}\u{7}]{0,80}") {
            for span in spans(&text) {
                prop_assert!(!span.text.contains(|c: char| c.is_control() && c != '\t'));
                prop_assert!(!span.text.is_empty());
            }
        }
    }
}
