//! The log panel: the output of one host's running or last command.

use super::host::word_of;
use crate::domain::command::Command;
use crate::domain::terminal::plain;
use crate::protocol::{Line, Stream};
use maud::{Markup, html};

/// How many lines the panel shows at most; the whole output is one click away.
pub const TAIL: u32 = 5000;

/// The panel. Without a command it is empty and hidden.
pub fn panel(command: Option<&Command>, tail: &[(u64, Line)], cut: bool) -> Markup {
    html! {
        section #log-panel.log hidden[command.is_none()] aria-label="Log" {
            @if let Some(command) = command {
                header {
                    h2 { (command.host) ": " (command.op.label()) }
                    div #log-outcome { @if command.state.is_terminal() { (outcome(command)) } }
                    a href={ "/api/commands/" (command.id) "/output" } { "Whole output" }
                }
                @if cut { p.quiet { "Only the last " (TAIL) " lines are shown here." } }
                div #log-lines.lines tabindex="0" data-log=(command.host) data-command=(command.id)
                    data-last-seq=(tail.last().map_or(0, |(seq, _)| *seq)) {
                    (lines(tail.iter().map(|(seq, line)| (*seq, line))))
                }
            }
        }
    }
}

/// Lines with their numbers.
pub fn lines<'a>(numbered: impl Iterator<Item = (u64, &'a Line)>) -> Markup {
    html! {
        @for (seq, line) in numbered {
            div.line data-seq=(seq) data-stream=(stream(line.stream)) { (plain(&line.text)) }
        }
    }
}

/// How a command ended.
pub fn outcome(command: &Command) -> Markup {
    html! {
        span.outcome data-state=(command.state.name()) {
            (word_of(command.state))
            @if let Some(code) = command.exit_code { " · exit code " (code) }
            @if let Some(reason) = &command.reason { " · " (reason) }
        }
    }
}

fn stream(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

/// Several lines without terminal control sequences.
pub(super) fn plain_text(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}
