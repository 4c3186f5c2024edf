//! HTML, and only here. One function per element that can change: the first page and
//! every live update call the same one. Text from hosts is escaped by maud.

pub mod fleet;
pub mod host;
pub mod host_page;
pub mod layout;
pub mod log;

use crate::domain::message::{Message, Part};
use crate::domain::timestamp::Timestamp;
use maud::{Markup, html};

/// An instant. The page's script shows it as "2 min ago" and keeps it ticking.
pub fn time(instant: Timestamp) -> Markup {
    html! { time datetime=(instant) title=(instant) { (instant) } }
}

/// A message with its instants.
pub fn message(message: &Message) -> Markup {
    html! {
        @for part in message.parts() {
            @match part {
                Part::Text(text) => (text),
                Part::Time(instant) => (time(*instant)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
