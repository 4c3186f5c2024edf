//! HTML, and only here. One function per element that can change: the first page and
//! every live update call the same one. Text from hosts is escaped by maud.

pub(crate) mod account;
pub(crate) mod add_host;
pub(crate) mod compartment;
pub(crate) mod dialogs;
pub(crate) mod events;
pub(crate) mod find;
pub(crate) mod fleet;
pub(crate) mod held;
pub(crate) mod host;
pub(crate) mod host_page;
pub(crate) mod keys;
pub(crate) mod layout;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod maintenance;
pub(crate) mod menu;
pub(crate) mod notifications;
pub(crate) mod plan_groups;
pub(crate) mod retry;
pub(crate) mod rollouts;
pub(crate) mod rollouts_page;
pub(crate) mod story;
pub(crate) mod timeline;
pub(crate) mod update;

use crate::dashboard::assets;
use crate::domain::forge::Forge;
use crate::domain::ids::Commit;
use crate::domain::message::{Message, Part};
use crate::domain::timestamp::Timestamp;
use maud::{Markup, html};

/// An instant. The page's script shows it as "2 min ago" and keeps it ticking.
pub(crate) fn time(instant: Timestamp) -> Markup {
    html! { time datetime=(instant) { (instant) } }
}

/// An instant in a table: the time of day in UTC, which the page says once. Its title has all.
pub(crate) fn clock(instant: Timestamp) -> Markup {
    let text = instant.to_string();
    html! { time data-clock datetime=(instant) { (text.get(11..19).unwrap_or(&text)) } }
}

/// The day of an instant in UTC: "Friday, 21 November 2026".
pub(crate) fn day(instant: Timestamp) -> String {
    const DAYS: [&str; 7] =
        ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let text = instant.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    // 1970-01-01 was a Thursday.
    let since = instant.as_millis().div_euclid(86_400_000).rem_euclid(7);
    let weekday = usize::try_from(since).ok().and_then(|n| DAYS.get(n)).copied();
    let month = part(5, 7).parse::<usize>().ok().and_then(|n| MONTHS.get(n.wrapping_sub(1)));
    let (weekday, month) = (weekday.unwrap_or_default(), month.copied().unwrap_or_default());
    format!("{weekday}, {} {month} {}", part(8, 10).trim_start_matches('0'), part(0, 4))
}

/// How long something took: "38 s", "4 min 2 s", "2 h 10 min".
pub(crate) fn took(time: std::time::Duration) -> String {
    match time.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// An instant that is to come, which does not tick: "2026-01-18 10:30 UTC".
pub(crate) fn exact(instant: Timestamp) -> String {
    let text = instant.to_string();
    let minute = text.get(..16).unwrap_or(&text);
    format!("{} UTC", minute.replace('T', " "))
}

/// A message with its instants.
pub(crate) fn message(message: &Message) -> Markup {
    html! {
        @for part in message.parts() {
            @match part {
                Part::Text(text) => (text),
                Part::Time(instant) => (time(*instant)),
            }
        }
    }
}

/// A commit by its first digits; a link where its forge has a page of it.
pub(crate) fn commit(commit: &Commit, forge: Option<&Forge>) -> Markup {
    html! { code title=(commit) { (outside(forge.map(|forge| forge.commit(commit)), commit.short())) } }
}

/// A pull request by its number; a link to its page where there is one.
pub(crate) fn pull_number(number: u64, page: Option<String>) -> Markup {
    outside(page, format!("#{number}"))
}

/// A link that leads away from here, and tells nobody from where.
fn outside(page: Option<String>, text: impl maud::Render) -> Markup {
    html! {
        @match page {
            Some(page) => a href=(page) rel="noreferrer noopener" { (text) },
            None => (text),
        }
    }
}

/// A picture of the sprite. What stands beside it says what it means.
pub(crate) fn sprite(name: &str, class: &str) -> Markup {
    let class = if class.is_empty() { "i".to_owned() } else { format!("i {class}") };
    html! {
        svg class=(class) aria-hidden="true" { use href={ (assets::url("icons.svg")) "#" (name) } {} }
    }
}

/// The hidden field that forms need where the script does not run.
pub(crate) fn csrf_field(csrf: &str) -> Markup {
    html! { input type="hidden" name="csrf_token" value=(csrf); }
}

/// "1 host", "3 hosts"
pub(crate) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Name and value pairs, as a query string.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    // Strings only: this cannot fail.
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

#[cfg(test)]
mod tests;
