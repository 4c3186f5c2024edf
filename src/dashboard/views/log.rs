//! The log panel: a tab per host with a running or recent command, and the output of one.

use super::host::{regardless, word_of};
use super::{counted, csrf_field, layout, sprite, time};
use crate::dashboard::live::model::HostEntry;
use crate::domain::command::{Command, State};
use crate::domain::snapshot::HostSnapshot;
use crate::domain::terminal::{Style, plain, spans};
use crate::protocol::{Line, Stream};
use maud::{Markup, html};

/// How many lines are shown at once; earlier ones come on a click.
pub(crate) const CHUNK: u32 = 1000;
/// Id of the tabs.
pub(crate) const TABS: &str = "log-tabs";
/// So many hosts that run nothing have a tab, those that ended last.
const RECENT: usize = 8;

/// Lines of one command, and how to get at more.
pub(crate) struct Shown<'a> {
    /// The command.
    pub command: &'a Command,
    /// Its lines with their numbers.
    pub lines: &'a [(u64, Line)],
    /// There are earlier lines.
    pub earlier: bool,
    /// What the lines contain, if they were searched.
    pub search: Option<&'a str>,
    /// All lines were searched that should be.
    pub in_time: bool,
    /// The line that was asked for: it is marked, and those around it are shown.
    pub at: Option<u64>,
    /// There are later lines.
    pub later: bool,
}

/// The whole panel; without a command only its tabs.
pub(crate) fn panel<'a>(
    hosts: impl Iterator<Item = &'a HostEntry>,
    shown: Option<&Shown<'_>>,
) -> Markup {
    around(&tabs(hosts), shown)
}

/// The panel around its tabs and its log.
fn around(tabs: &Markup, shown: Option<&Shown<'_>>) -> Markup {
    let control = |dock: &str, picture: &str, label: &str| {
        html! { button.icon type="button" data-dock=(dock) aria-label=(label) title=(label) { (sprite(picture, "")) } }
    };
    html! {
        section #log-panel.dock aria-label="Logs" {
            div.grip role="separator" tabindex="0" aria-label="Size of the log" aria-orientation="horizontal"
                aria-valuenow="40" aria-valuemin="15" aria-valuemax="85" {}
            div.tabs {
                (tabs)
                span.end {
                    (control("bottom", "bottom", "Dock at the bottom"))
                    (control("side", "side", "Dock at the side"))
                    (control("full", "full", "Whole window"))
                    (control("tabs", "down", "Minimise the log"))
                }
            }
            (one(shown))
        }
    }
}

/// The panel of one host's page.
pub(crate) fn panel_of_one(shown: Option<&Shown<'_>>) -> Markup {
    around(&html! { b.small { "Log" } }, shown)
}

/// A tab per host with a running or recent command.
pub(crate) fn tabs<'a>(hosts: impl Iterator<Item = &'a HostEntry>) -> Markup {
    let mut busy: Vec<&HostSnapshot> = Vec::new();
    let mut recent: Vec<&HostSnapshot> = Vec::new();
    for entry in hosts {
        let host = &*entry.snapshot;
        if host.command.is_some() {
            busy.push(host);
        } else if host.last_command.is_some() {
            recent.push(host);
        }
    }
    let ended = |host: &&HostSnapshot| host.last_command.and_then(|last| last.finished_at);
    recent.sort_by_key(|host| std::cmp::Reverse(ended(host)));
    recent.truncate(RECENT);
    let mut hosts = [busy, recent].concat();
    hosts.sort_by(|a, b| a.id.cmp(&b.id));
    html! {
        nav id=(TABS) aria-label="Logs of hosts" {
            @for host in hosts {
                @let state = match (&host.command, host.last_command) {
                    (Some(command), _) => Some((command.op, command.state)),
                    (None, last) => last.map(|last| (last.op, last.state)),
                };
                @if let Some((op, state)) = state {
                    a href={ "/?log=" (host.id) } data-log-open={ "/hosts/" (host.id) "/log" } data-for=(host.id)
                        data-state=(state.name()) title={ (op.label()) ": " (word_of(state)) } {
                        span class={ "g " (mark(state)) } aria-hidden="true" {}
                        (host.profile.hostname)
                        span.sr { ", " (op.label()) ": " (word_of(state)) }
                    }
                }
            }
        }
    }
}

/// The class of a state's glyph. What somebody stopped is no failure.
pub(super) fn mark(state: State) -> &'static str {
    match state {
        State::Succeeded => "ok",
        State::Failed | State::TimedOut | State::Lost | State::Unverified | State::Rejected => {
            "bad"
        }
        State::Stopped | State::Cancelled | State::Expired | State::Blocked => "none",
        State::Queued
        | State::Sent
        | State::Running
        | State::Overdue
        | State::Stopping
        | State::Verifying => "run",
    }
}

/// The log of one command.
pub(crate) fn one(shown: Option<&Shown<'_>>) -> Markup {
    html! {
        div #log {
            @if let Some(shown) = shown {
                @let command = shown.command;
                @let whole = format!("/api/commands/{}/output", command.id);
                header.what {
                    h2 { (command.host) } span { (command.op.label()) }
                    div #log-outcome .cut { (outcome(command)) }
                    form #log-search .field role="search" action={ "/commands/" (command.id) "/log" } {
                        (sprite("search", ""))
                        input type="search" name="q" aria-label="Search this log" placeholder="Search"
                            value=(shown.search.unwrap_or_default()) autocomplete="off";
                    }
                    label.flat { input #log-follow type="checkbox" checked[shown.search.is_none() && shown.at.is_none()]; "Follow" }
                    button.icon.opt #log-wrap type="button" aria-pressed="true" aria-label="Wrap long lines" title="Wrap long lines" { (sprite("wrap", "")) }
                    button.icon type="button" data-copy="log-lines" aria-label="Copy the log" title="Copy" { (sprite("copy", "")) }
                    a.button.icon.opt href=(whole) download={ (command.host) "-" (command.op) ".log" }
                        aria-label="Download the log" title="Download" { (sprite("download", "")) }
                    a.button.icon #log-close href="/" aria-label="Close the log" title="Close" { (sprite("close", "")) }
                }
                @if let Some(search) = shown.search {
                    p.quiet #log-found { (counted(shown.lines.len(), "line")) @if shown.earlier { " or more" }
                        @if shown.lines.len() == 1 && !shown.earlier { " contains “" } @else { " contain “" } (search) "”. "
                        @if !shown.in_time { "The search took too long: earlier lines were not looked at. " }
                        a href={ "/?log=" (command.host) } data-log-open={ "/commands/" (command.id) "/log" } { "Show all" } }
                }
                div #log-lines.lines tabindex="0" role="log" aria-live="off" aria-label={ "Output of " (command.op.label()) " on " (command.host) }
                    data-log=(command.host) data-command=(command.id) data-search[shown.search.is_some()] data-behind[shown.later]
                    data-last-seq=(shown.lines.last().map_or(0, |(seq, _)| *seq)) {
                    (chunk(shown))
                }
            }
        }
    }
}

/// The log as a page of its own, where the script does not run.
pub(crate) fn page(shown: &Shown<'_>, csrf: &str) -> Markup {
    let main = html! {
        form #act method="post" hidden { (csrf_field(csrf)) }
        section.dock.alone aria-label="Log" { (one(Some(shown))) }
        p { a href={ "/hosts/" (shown.command.host) "?command=" (shown.command.id) } { "Back to the host" } }
    };
    layout::page("Log", Some(csrf), &main)
}

/// Lines, below the way to earlier ones if there are some.
pub(crate) fn chunk(shown: &Shown<'_>) -> Markup {
    let first = shown.lines.first().map(|(seq, _)| *seq);
    html! {
        @if let (true, Some(first), None) = (shown.earlier, first, shown.search) {
            button.earlier type="button"
                data-href={ "/commands/" (shown.command.id) "/lines?before=" (first) } { "Earlier lines" }
        }
        (lines(shown.lines.iter().map(|(seq, line)| (*seq, line)), shown.at))
    }
}

/// Lines with their numbers. The one that was asked for is marked.
pub(crate) fn lines<'a>(
    numbered: impl Iterator<Item = (u64, &'a Line)>,
    at: Option<u64>,
) -> Markup {
    html! {
        @for (seq, line) in numbered {
            @let here = at == Some(seq);
            div.line id=[here.then_some("line")] data-seq=(seq) data-here[here] data-err[line.stream == Stream::Stderr] data-bad[is_bad(&line.text)] {
                @for span in spans(&line.text) {
                    @match class(span.style) {
                        Some(class) => span class=(class) { (span.text) },
                        None => (span.text),
                    }
                }
            }
        }
    }
}

/// Whether a line says what went wrong. That something was written to stderr says nothing: all of
/// Nix's output is.
fn is_bad(line: &str) -> bool {
    ["error:", "FATAL", "failed with exit code"].iter().any(|word| line.contains(word))
}

/// The classes of a style; `None` if it is the usual one.
fn class(style: Style) -> Option<String> {
    let flags = [
        (style.bold, "b"),
        (style.dim, "d"),
        (style.italic, "t"),
        (style.underlined, "u"),
        (style.inverse, "v"),
    ];
    let mut classes: Vec<String> =
        flags.iter().filter(|(on, _)| *on).map(|(_, class)| (*class).to_owned()).collect();
    classes.extend(style.colour.map(|colour| format!("f{colour}")));
    classes.extend(style.behind.map(|colour| format!("g{colour}")));
    (!classes.is_empty()).then(|| classes.join(" "))
}

/// Id of what says how a command is.
pub(crate) fn outcome_id(command: &Command) -> String {
    format!("outcome-{}", command.id)
}

/// How the command of a panel is, or how it ended. It changes while the panel is open.
pub(crate) fn outcome(command: &Command) -> Markup {
    html! {
        span.outcome id=(outcome_id(command)) data-state=(command.state.name()) {
            (words(command)) (regardless(command))
        }
    }
}

/// The same where it stands for ever.
pub(super) fn ended(command: &Command) -> Markup {
    html! { span.outcome data-state=(command.state.name()) { (words(command)) } }
}

fn words(command: &Command) -> Markup {
    html! {
        @match &command.kept_back {
            Some(why) => { "waits: " (plain(why)) }
            None => {
                (word_of(command.state))
                @if let Some(code) = command.exit_code { " · exit code " (code) }
                @if let Some(reason) = &command.reason { " · " (plain(reason)) }
            }
        }
        @if let Some(at) = command.finished_at { " · " (time(at)) }
    }
}

/// Several lines without terminal control sequences.
pub(super) fn plain_text(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}
