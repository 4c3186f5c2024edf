//! The audit log.

use super::{layout, time};
use crate::dashboard::store::events::EventRecord;
use maud::{Markup, html};

/// What the log is filtered by, as it stands in the form.
pub(crate) struct Filter {
    /// A host.
    pub host: String,
    /// A kind of event.
    pub category: String,
    /// A day, `2026-01-18`: nothing before it.
    pub from: String,
    /// A day: nothing after it.
    pub to: String,
}

/// Entries, newest first. `older` leads to the ones before.
pub(crate) fn page(
    events: &[EventRecord],
    filter: &Filter,
    categories: &[String],
    older: Option<&str>,
    csrf: &str,
) -> Markup {
    let main = html! {
        section {
            h1 { "Audit log" }
            form.filter method="get" action="/events" {
                label { "Host " input name="host" value=(filter.host) maxlength="253" autocomplete="off"; }
                label { "Kind " select name="category" {
                    option value="" { "all" }
                    @for category in categories {
                        option value=(category) selected[*category == filter.category] { (category) }
                    }
                } }
                label { "From " input type="date" name="from" value=(filter.from); }
                label { "To " input type="date" name="to" value=(filter.to); }
                button type="submit" { "Show" }
            }
            p.quiet { "Days are counted in UTC." }
            @if events.is_empty() { p.quiet { "Nothing here." } }
            ul.events {
                @for event in events {
                    li data-category=(event.category) {
                        (time(event.at)) " "
                        span.kind { (event.category) } " "
                        @if let Some(host) = &event.host { a href={ "/hosts/" (host) } { (host) } " " }
                        bdi { (event.message) }
                        @if let Some(by) = &event.by { span.quiet { " by " (by) } }
                    }
                }
            }
            @if let Some(older) = older { p { a href=(older) { "Older" } } }
        }
    };
    layout::page("Audit log", Some(csrf), &main)
}
