//! HTML, and only here. One function per element that can change: the first page and
//! every live update call the same one. Text from hosts is escaped by maud.

pub(crate) mod account;
pub(crate) mod dialogs;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod host;
pub(crate) mod host_page;
pub(crate) mod layout;
pub(crate) mod log;
pub(crate) mod rollouts;
pub(crate) mod story;

use crate::dashboard::assets;
use crate::domain::message::{Message, Part};
use crate::domain::timestamp::Timestamp;
use maud::{Markup, html};

/// An instant. The page's script shows it as "2 min ago" and keeps it ticking.
pub(crate) fn time(instant: Timestamp) -> Markup {
    html! { time datetime=(instant) { (instant) } }
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

/// A small picture of the sprite, with a word for those who do not see it.
pub(crate) fn icon(name: &str, word: &str) -> Markup {
    html! {
        svg.i role="img" aria-label=(word) { use href={ (assets::url("icons.svg")) "#" (name) } {} }
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
