//! What the keys do.

use super::layout::{Dialog, Kind};
use maud::html;

/// The list of them.
pub(crate) fn dialog() -> Dialog {
    let body = html! {
        dl {
            dt { kbd { "Ctrl" } " " kbd { "K" } } dd { "find a host, or something to do" }
            dt { kbd { "g" } " then " kbd { "f" } " " kbd { "r" } " " kbd { "a" } " " kbd { "s" } } dd { "fleet, rollouts, audit, settings" }
            dt { kbd { "/" } } dd { "filter; Enter goes to the first host, Esc empties" }
            dt { kbd { "j" } " " kbd { "k" } " or " kbd { "↓" } " " kbd { "↑" } } dd { "next and previous host" }
            dt { kbd { "Enter" } } dd { "the host's page" }
            dt { kbd { "→" } " " kbd { "←" } } dd { "into the row and back" }
            dt { kbd { "n" } } dd { "its next step" }
            dt { kbd { "u" } " " kbd { "p" } " " kbd { "s" } " " kbd { "t" } } dd { "update, pull, switch, test" }
            dt { kbd { "l" } } dd { "its log" }
            dt { kbd { "b" } } dd { "roll it back" }
            dt { kbd { "h" } } dd { "hold it" }
            dt { kbd { "m" } " or " kbd { "Shift" } " " kbd { "F10" } } dd { "what can be done to the host" }
            dt { kbd { "1" } " to " kbd { "5" } } dd { "its compartments" }
            dt { kbd { "x" } } dd { "select the host; with Shift a range" }
            dt { kbd { "[" } " " kbd { "]" } } dd { "the log: smaller, larger" }
            dt { kbd { "Esc" } } dd { "close what is open, or clear the selection" }
            dt { kbd { "?" } } dd { "this" }
        }
        p.soft.small { "Keys of one letter can be switched off in the settings." }
    };
    Dialog { name: "keys", title: "Keyboard".to_owned(), host: None, body, kind: Kind::Plain }
}
