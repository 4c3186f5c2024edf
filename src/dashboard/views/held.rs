//! Dialogs that hold a host and let it go.

use super::layout::{Dialog, Kind};
use super::{csrf_field, time};
use crate::domain::forge::Forge;
use crate::domain::hold::Hold;
use crate::domain::operation::{Operation, Regardless};
use crate::domain::snapshot::HostSnapshot;
use maud::{Markup, html};

fn about(name: &'static str, host: &HostSnapshot, title: &str, body: Markup) -> Dialog {
    let title = format!("{title} {}", host.profile.hostname);
    Dialog { name, title, host: Some(host.id.to_string()), body, kind: Kind::Plain }
}

/// Asks why nothing shall be rolled out to a host.
pub(crate) fn hold(host: &HostSnapshot, csrf: &str) -> Dialog {
    let body = html! {
        form method="post" action={ "/hosts/" (host.id) "/hold" } {
            (csrf_field(csrf))
            p.soft { "Rollouts leave it out, whatever the remote says, until somebody releases it." }
            label.label for="hold-reason" { "Why" }
            input #hold-reason name="reason" maxlength="200" autocomplete="off";
            p.quiet.small { "It stands in the row and in the audit log." }
            div.buttons {
                button.main type="submit" data-op="hold" { "Hold " (host.profile.hostname) }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    about("hold", host, "Hold", body)
}

/// Why a host is held, and the ways on: it is let go, or switched all the same.
pub(crate) fn release(host: &HostSnapshot, csrf: &str) -> Dialog {
    let body = html! {
        @match &host.facts.hold {
            None => p { "Nobody holds it." },
            Some(hold) => {
                (told(hold, host.forge.as_ref()))
                div.buttons {
                    form method="post" action={ "/hosts/" (host.id) "/release" } {
                        (csrf_field(csrf))
                        button.main type="submit" data-op="release" { "Release " (host.profile.hostname) }
                    }
                    @if host.online { (regardless(host, csrf)) }
                    form method="dialog" { button { "Cancel" } }
                }
            }
        }
    };
    about("release", host, "Release", body)
}

fn told(hold: &Hold, forge: Option<&Forge>) -> Markup {
    html! {
        p { "Held: " bdi { (hold.reason) } }
        p.quiet { "by " (hold.by) ", " (time(hold.since)) }
        p.soft {
            @if hold.pin {
                "Rollouts leave it out, whatever the remote says."
            } @else {
                "Rollouts leave it out until the remote has another commit"
                @for (at, commit) in hold.left.iter().filter_map(|left| left.commit.as_ref()).enumerate() {
                    @if at == 0 { " than " } @else { ", " } (super::commit(commit, forge))
                }
                "."
            }
        }
    }
}

/// One switch that minds no hold, which stays.
fn regardless(host: &HostSnapshot, csrf: &str) -> Markup {
    let key = Regardless::Held.name();
    html! {
        form method="post" action={ "/hosts/" (host.id) "/commands?regardless=" (key) } {
            (csrf_field(csrf))
            button type="submit" name="op" value=(Operation::Switch.name()) data-op="switch-regardless" { "Switch all the same" }
        }
    }
}
