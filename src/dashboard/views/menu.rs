//! Everything that can be done to a host, beside the button that opens it.

use super::layout::{Dialog, Kind};
use super::{host, sprite};
use crate::domain::command::{Command, State};
use crate::domain::facts::Feature;
use crate::domain::operation::Operation;
use crate::domain::snapshot::HostSnapshot;
use maud::{Markup, html};

/// Everything that can be done to a host.
pub(crate) fn dialog(host: &HostSnapshot) -> Dialog {
    let link = |what: &str, picture: &str, label: &str| {
        html! {
            a role="menuitem" tabindex="-1" href={ "/hosts/" (host.id) "/" (what) } data-dialog-open data-op={ "open-" (what) } {
                (sprite(picture, "")) (label)
            }
        }
    };
    let act = |op: Operation, picture: &str, label: &str, key: Option<&str>| {
        menu_act(host, op, picture, label, key)
    };
    let body = html! {
        p.cap role="presentation" { (host.profile.hostname) }
        button role="menuitem" tabindex="-1" form="act" formaction={ "/hosts/" (host.id) "/update" } data-op="update"
            disabled[!host.online] title="Pull, switch, test: each step only if the one before succeeded" {
            (sprite("update", "")) "Update" kbd { "U" }
        }
        (act(Operation::Pull, "pull", "Pull", Some("P")))
        (act(Operation::Switch, "switch", "Switch", Some("S")))
        @if host.facts.agent.can(Feature::Boot) { (at_the_next_boot(host)) }
        (act(Operation::Test, "test", "Test", Some("T")))
        (act(Operation::DryRun, "dryrun", "Dry run", None))
        @for command in host.command.iter().chain(&host.waiting) { (menu_command(command)) }
        hr;
        a role="menuitem" tabindex="-1" href={ "/?log=" (host.id) } data-log-open={ "/hosts/" (host.id) "/log" } {
            (sprite("log", "")) "Log" kbd { "L" }
        }
        a role="menuitem" tabindex="-1" href={ "/hosts/" (host.id) } { (sprite("server", "")) "Host page" kbd { "↵" } }
        button role="menuitem" tabindex="-1" form="act" formaction={ "/hosts/" (host.id) "/refresh" } data-op="refresh" {
            (sprite("refresh", "")) "Ask it again"
        }
        hr;
        (link("rollback", "rollback", "Roll back…"))
        @if host.facts.hold.is_some() {
            (link("release", "hold", "Release…"))
        } @else {
            (link("hold", "hold", "Hold…"))
        }
        (act(Operation::RestartAgent, "restart", "Restart agent", None))
        (link("reboot", "reboot", "Reboot…"))
        (link("settings", "sliders", "Settings…"))
        (link("token", "key", "New token…"))
        hr;
        a.bad role="menuitem" tabindex="-1" href={ "/hosts/" (host.id) "/remove" } data-dialog-open data-op="open-remove" {
            (sprite("trash", "")) "Remove…"
        }
    };
    Dialog {
        name: "menu",
        title: host.profile.hostname.clone(),
        host: None,
        body,
        kind: Kind::Menu,
    }
}

/// An entry of the menu that starts an operation. A host that is gone is asked when it is back.
fn menu_act(
    host: &HostSnapshot,
    op: Operation,
    picture: &str,
    label: &str,
    key: Option<&str>,
) -> Markup {
    let (action, why, disabled) = host::asks(host, op);
    html! {
        button role="menuitem" tabindex="-1" form="act" name="op" value=(op.name()) formaction=(action)
            data-op=(op.name()) disabled[disabled] title=[why]
            data-confirm=[host::confirm(op)] {
            (sprite(picture, "")) (label)
            @if let Some(key) = key { kbd { (key) } }
        }
    }
}

/// A switch that activates nothing.
fn at_the_next_boot(host: &HostSnapshot) -> Markup {
    let (action, why, disabled) = host::asks(host, Operation::Switch);
    let more = if action.contains('?') { "&boot=true" } else { "?boot=true" };
    let says = why.unwrap_or(
        "It is built, and a reboot activates it, without a guard: nothing is activated now",
    );
    html! {
        button role="menuitem" tabindex="-1" form="act" name="op" value=(Operation::Switch.name())
            formaction={ (action) (more) } data-op="switch-boot" disabled[disabled] title=(says) {
            (sprite("reboot", "")) "Switch at the next boot"
        }
    }
}

/// What can be done about a command that is not over.
fn menu_command(command: &Command) -> Markup {
    let action = |what: &str| format!("/commands/{}/{what}", command.id);
    let name = command.op.label();
    html! {
        @if command.state == State::Overdue {
            button role="menuitem" tabindex="-1" form="act" formaction=(action("extend")) data-op="extend" {
                (sprite("clock", "")) "Give the " (name.to_lowercase()) " more time"
            }
        }
        @if matches!(command.state, State::Queued | State::Sent | State::Running | State::Overdue) {
            button role="menuitem" tabindex="-1" form="act" formaction=(action("stop")) data-op="stop"
                data-confirm=[host::confirm_stop(command)] {
                (sprite("stop", "")) @if command.state == State::Queued { "Cancel" } @else { "Stop" } ": " (name)
            }
        }
    }
}
