//! How far something is: a few lines that are drawn again on a terminal, a line for each change
//! elsewhere. Both go to standard error, so that standard output holds the result alone.

use super::output::aside;
use super::text;
use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::Instant;

/// More lines than this are not drawn at once.
const DRAWN_AT_MOST: usize = 12;

/// One thing that is waited for.
pub(super) struct Line {
    /// Whose it is.
    pub(super) name: String,
    /// What is going on there, in words. Hostile.
    pub(super) says: String,
    /// Whether it is over.
    pub(super) over: bool,
}

/// What is shown of what is waited for.
pub(super) struct Progress {
    terminal: bool,
    drawn: usize,
    said: BTreeMap<String, String>,
    begun: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let terminal = stderr().is_terminal();
        Self { terminal, drawn: 0, said: BTreeMap::new(), begun: Instant::now() }
    }

    /// Shows how it stands now.
    pub(super) fn show(&mut self, lines: &[Line]) {
        if self.terminal { self.draw(lines) } else { self.tell(lines) }
    }

    /// Says something beside the lines, once as long as it stays the same.
    pub(super) fn remark(&mut self, safe_text: &str) {
        if self.said.insert(String::new(), safe_text.to_owned()).as_deref() == Some(safe_text) {
            return;
        }
        let above = self.above();
        aside(&mut stderr(), &format!("{above}nixfleet: {safe_text}\n"));
    }

    /// Takes away what was drawn: the result follows.
    pub(super) fn end(&mut self) {
        let above = self.above();
        aside(&mut stderr(), &above);
    }

    fn tell(&mut self, lines: &[Line]) {
        for line in lines {
            let text = text::safe(&format!("{}: {}", line.name, line.says));
            if self.said.get(&line.name) != Some(&text) {
                aside(&mut stderr(), &format!("{text}\n"));
                self.said.insert(line.name.clone(), text);
            }
        }
    }

    fn draw(&mut self, lines: &[Line]) {
        let text = drawing(lines, self.begun.elapsed().as_secs());
        let above = self.above();
        // The terminal cuts long lines off meanwhile: one that went on below would be missed when
        // this is drawn again.
        let text_in_one = format!("{above}\u{1b}[?7l{}\u{1b}[?7h", text.concat());
        aside(&mut stderr(), &text_in_one);
        self.drawn = text.len();
    }

    /// What brings the cursor back to where the drawing began, and clears it.
    fn above(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            count => format!("\u{1b}[{count}A\r\u{1b}[J"),
        }
    }
}

/// What goes on first; what is over is only counted where there is no room.
fn drawing(lines: &[Line], seconds: u64) -> Vec<String> {
    let over = lines.iter().filter(|line| line.over).count();
    let mut shown: Vec<&Line> = lines.iter().collect();
    shown.sort_by_key(|line| line.over);
    let left = shown.len().saturating_sub(DRAWN_AT_MOST);
    shown.truncate(DRAWN_AT_MOST);
    let rows: Vec<Vec<String>> =
        shown.iter().map(|line| vec![line.name.clone(), line.says.clone()]).collect();
    let mut text: Vec<String> =
        text::table(&rows, false).iter().map(|line| format!("  {line}\n")).collect();
    if left > 0 {
        text.push(format!("  and {left} more\n"));
    }
    text.push(format!("{over} of {} over, {seconds} s\n", lines.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_drawn_first_and_no_drawing_is_long() {
        let line = |number: usize| Line {
            name: format!("host{number}"),
            says: if number < 20 { "switch succeeded" } else { "switch \u{1b}[2Jrunning" }.into(),
            over: number < 20,
        };
        let lines: Vec<Line> = (0..40).map(line).collect();
        let drawn = drawing(&lines, 7);
        assert_eq!(drawn.len(), DRAWN_AT_MOST + 2);
        assert_eq!(drawn[0], "  host20  switch running\n");
        assert_eq!(drawn[DRAWN_AT_MOST..], ["  and 28 more\n", "20 of 40 over, 7 s\n"]);
        assert!(!drawn.concat().contains('\u{1b}'));
    }
}
