//! The audit log: a table by days, with what came of each thing and the way to its log.

use super::{clock, counted, day, layout, sprite};
use crate::dashboard::store::events::EventRecord;
use maud::{Markup, html};
use std::time::Duration;

/// So many of the same on different hosts are one line that opens.
const FOLDED_FROM: usize = 3;
/// They are the same thing if they happened within this time.
const TOGETHER: Duration = Duration::from_secs(900);

/// What the log is filtered by, as it stands in the form.
pub(crate) struct Filter {
    /// A host; empty for all.
    pub host: String,
    /// Words that host, message, author or address hold.
    pub words: String,
    /// A kind of event.
    pub category: String,
    /// Only what did not go well.
    pub failed: bool,
    /// A day, `2026-01-18`: nothing before it.
    pub from: String,
    /// A day: nothing after it.
    pub to: String,
    /// Where the same is exported, as JSON lines and as CSV.
    pub export: [String; 2],
}

/// Entries, newest first. `older` leads to the ones before.
pub(crate) fn page(
    events: &[EventRecord],
    filter: &Filter,
    categories: &[String],
    older: Option<&str>,
    csrf: &str,
) -> Markup {
    let [json, csv] = &filter.export;
    let main = html! {
        div.head {
            h1 { "Audit" }
            span.gap {}
            span.small.soft { "UTC, 24 h" }
            a.button href=(csv) download { (sprite("download", "")) "CSV" }
            a.button.opt href=(json) download { "JSON lines" }
        }
        (form(filter, categories))
        section.card.clip aria-label="Entries" {
            @if events.is_empty() { p.pad.soft { "Nothing here." } } @else { (table(events)) }
        }
        @if let Some(older) = older { p { a.button href=(older) { "Older" } } }
    };
    layout::page("Audit", Some(csrf), &main)
}

fn form(filter: &Filter, categories: &[String]) -> Markup {
    html! {
        form.head.filters method="get" action="/events" role="search" {
            span.field {
                (sprite("search", ""))
                input type="search" name="q" value=(filter.words) maxlength="200" autocomplete="off"
                    placeholder="Host, person, commit, reason" aria-label="Search the audit log";
            }
            label { span.sr { "What" } select name="category" {
                option value="" { "Everything" }
                @for category in categories {
                    option value=(category) selected[*category == filter.category] { (category.replace('-', " ")) }
                }
            } }
            label { span.sr { "Outcome" } select name="outcome" {
                option value="" { "Any outcome" }
                option value="failed" selected[filter.failed] { "Failed" }
            } }
            label { span.sr { "From" } input type="date" name="from" value=(filter.from); }
            label { span.sr { "To" } input type="date" name="to" value=(filter.to); }
            @if !filter.host.is_empty() {
                input type="hidden" name="host" value=(filter.host);
                span.pill { "only " bdi { (filter.host) } }
                a href="/events" { "All hosts" }
            }
            button type="submit" { "Show" }
        }
    }
}

fn table(events: &[EventRecord]) -> Markup {
    let mut last = String::new();
    html! {
        table.tbl.audit {
            thead { tr {
                th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "What" }
                th scope="col" { "Host" } th.wide scope="col" { "Outcome" } th scope="col" { span.sr { "More" } }
            } }
            tbody {
                @for line in folded(events) {
                    @let first = line.first();
                    @let today = day(first.at);
                    @if today != last { tr.day { th colspan="6" scope="rowgroup" { (today) } } }
                    @let () = { last = today; };
                    @match line {
                        Line::One(one) => (row(one)),
                        Line::Many(all) => (rows(&all)),
                    }
                }
            }
        }
    }
}

/// A line of the table.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    One(&'a EventRecord),
    /// The same on several hosts, newest first.
    Many(Vec<&'a EventRecord>),
}

impl Line<'_> {
    fn first(&self) -> &EventRecord {
        match self {
            Self::One(one) => one,
            Self::Many(all) => all[0],
        }
    }
}

/// Whether both say the same of two hosts.
fn is_alike(a: &EventRecord, b: &EventRecord) -> bool {
    a.host != b.host
        && a.host.is_some()
        && b.host.is_some()
        && (&a.category, &a.message, &a.by, &a.result)
            == (&b.category, &b.message, &b.by, &b.result)
        && a.at.since(b.at) <= TOGETHER
}

/// The same on several hosts at about the same time as one line, where its newest entry stands. No
/// entry is left out.
fn folded(events: &[EventRecord]) -> Vec<Line<'_>> {
    let mut taken = vec![false; events.len()];
    let mut lines = Vec::new();
    for at in 0..events.len() {
        if taken[at] {
            continue;
        }
        let alike = |n: &usize| !taken[*n] && is_alike(&events[at], &events[*n]);
        let same: Vec<usize> = (at + 1..events.len()).filter(alike).collect();
        if same.len() + 1 < FOLDED_FROM {
            lines.push(Line::One(&events[at]));
            continue;
        }
        same.iter().for_each(|n| taken[*n] = true);
        let all = std::iter::once(at).chain(same).map(|n| &events[n]).collect();
        lines.push(Line::Many(all));
    }
    lines
}

/// The glyph of what came of something.
fn mark(result: Option<&str>) -> &'static str {
    match result {
        Some("done" | "succeeded") => "ok",
        Some("accepted") => "none",
        Some("stopped" | "cancelled" | "expired" | "blocked") => "off",
        Some(_) => "bad",
        None => "none",
    }
}

fn outcome(event: &EventRecord) -> Markup {
    html! {
        span.out {
            span class={ "g " (mark(event.result.as_deref())) } aria-hidden="true" {}
            span.cut title=(event.message) {
                bdi { (event.message) }
                @if let (Some(_), Some(from)) = (&event.by, &event.from) { span.soft { " from " (from) } }
                @if let Some(result) = &event.result { span.sr data-result=(result) { " · " (result.replace('_', " ")) } }
            }
        }
    }
}

fn who(event: &EventRecord) -> Markup {
    let who = event.by.as_deref().or(event.from.as_deref());
    html! { bdi { (who.unwrap_or("by itself")) } }
}

fn log(event: &EventRecord) -> Markup {
    html! {
        @if let (Some(host), Some(command)) = (&event.host, event.command) {
            a.button.ghost href={ "/hosts/" (host) "?command=" (command) } aria-label={ "Log of " (host) " at " (event.at) } { "Log" }
        }
    }
}

fn row(event: &EventRecord) -> Markup {
    html! {
        tr data-category=(event.category) {
            td.mono.soft { (clock(event.at)) }
            td { (who(event)) }
            td { (event.category.replace('-', " ")) }
            td { @if let Some(host) = &event.host { a href={ "/hosts/" (host) } { (host) } } }
            td.wide { (outcome(event)) }
            td { (log(event)) }
        }
    }
}

fn rows(all: &[&EventRecord]) -> Markup {
    let event = all[0];
    html! {
        tr data-category=(event.category) {
            td.mono.soft { (clock(event.at)) }
            td { (who(event)) }
            td { (event.category.replace('-', " ")) }
            td {
                details {
                    summary { (counted(all.len(), "host")) }
                    ul.small {
                        @for event in all {
                            li {
                                @if let Some(host) = &event.host { a href={ "/hosts/" (host) } { (host) } }
                                " " (clock(event.at)) " " (log(event))
                            }
                        }
                    }
                }
            }
            td.wide { (outcome(event)) }
            td {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::HostId;
    use crate::domain::timestamp::Timestamp;

    fn event(id: i64, host: &str, message: &str, secs: i64) -> EventRecord {
        EventRecord {
            id,
            at: Timestamp::from_secs(secs),
            host: HostId::parse(host).ok(),
            category: "command".into(),
            message: message.into(),
            by: Some("admin".into()),
            from: None,
            result: Some("accepted".into()),
            command: None,
            hash: [0; 32],
        }
    }

    /// D10: an update of 26 hosts is no wall of 26 lines, and hides none of them.
    #[test]
    fn the_same_on_many_hosts_is_one_line_that_holds_all_of_them() {
        let mut all: Vec<EventRecord> = Vec::new();
        for n in (0..26).rev() {
            all.push(event(2 * n + 1, &format!("h{n}"), "Pull was started.", n + 1));
            all.push(event(2 * n, &format!("h{n}"), &format!("Of its own {n}."), n));
        }
        let lines = folded(&all);
        assert_eq!(lines.len(), 27);
        let Line::Many(many) = &lines[0] else { panic!("{:?}", lines[0]) };
        assert_eq!(many.len(), 26);
        let told: usize = lines
            .iter()
            .map(|line| match line {
                Line::One(_) => 1,
                Line::Many(all) => all.len(),
            })
            .sum();
        assert_eq!(told, all.len());
        // Not what happened an hour later, nor the same host again.
        let far = [event(3, "a", "x", 9000), event(2, "b", "x", 10), event(1, "c", "x", 5)];
        assert_eq!(folded(&far).len(), 3);
        let same = [event(3, "a", "x", 3), event(2, "a", "x", 2), event(1, "a", "x", 1)];
        assert_eq!(folded(&same).len(), 3);
    }
}
