//! Dialogs about one host, and the one that adds a host. Each is read anew when it opens, and
//! while it is open when its host changes.

use super::layout::Dialog;
use super::story::{self, Told};
use super::{csrf_field, host, host_page, message, time};
use crate::dashboard::live::model::{HostEntry, SourceState};
use crate::domain::command::Command;
use crate::domain::compartment::{Action, Compartment, Status};
use crate::domain::desired::Desired;
use crate::domain::facts::{Deploy, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::ids::HostId;
use crate::domain::looks::{DeviceType, Place, or_empty};
use crate::domain::operation::Operation;
use crate::domain::protocol::Protocol;
use crate::domain::refusal::RefusalCode;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::test_report::{TestResult, count};
use maud::{Markup, html};

fn about(name: &'static str, host: &HostSnapshot, title: String, body: Markup) -> Dialog {
    Dialog { name, title, host: Some(host.id.to_string()), body }
}

fn commands_of(host: &HostId) -> String {
    format!("/hosts/{host}/commands")
}

/// The form of a command. What it sends is shown before.
fn command_form(host: &HostSnapshot, op: Operation, csrf: &str, fields: &Markup) -> Markup {
    let refused = host.refusal(op);
    html! {
        form method="post" action=(commands_of(&host.id)) {
            (csrf_field(csrf))
            input type="hidden" name="op" value=(op.name());
            (fields)
            @if let Some(refusal) = refused { p.alert { (refusal.message) } }
            div.buttons {
                button.main type="submit" data-op=(op.name()) disabled[refused.is_some()] {
                    @if op == Operation::Rollback { "Roll back" } @else { (op.label()) }
                    " " (host.profile.hostname)
                }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    }
}

/// Everything that can be done to a host.
pub(crate) fn menu(host: &HostSnapshot, csrf: &str) -> Dialog {
    let link = |what: &str, label: &str| {
        html! {
            li { a href={ "/hosts/" (host.id) "/" (what) } data-dialog-open data-op={ "open-" (what) } { (label) } }
        }
    };
    let body = html! {
        ul.items {
            li {
                form method="post" action="/rollouts" {
                    (csrf_field(csrf))
                    input type="hidden" name="hosts[]" value=(host.id);
                    button type="submit" name="op" value="update" data-op="update" disabled[!host.online]
                        title="Each step only if the one before succeeded" { "Update (pull, switch, test)" }
                }
            }
            li { (act(host, Operation::DryRun, "Dry run", csrf)) }
            (link("rollback", "Roll back…"))
            li { (act(host, Operation::RestartAgent, "Restart agent", csrf)) }
            (link("reboot", "Reboot…"))
            (link("settings", "Settings…"))
            (link("remove", "Remove…"))
            li { a href={ "/?log=" (host.id) } data-log-open={ "/hosts/" (host.id) "/log" } { "Log" } }
            li { a href={ "/hosts/" (host.id) } { "All about " (host.profile.hostname) } }
        }
    };
    about("menu", host, host.profile.hostname.clone(), body)
}

/// One button that starts an operation, in a form of its own.
fn act(host: &HostSnapshot, op: Operation, label: &str, csrf: &str) -> Markup {
    let refused = host.refusal(op);
    html! {
        form method="post" action=(commands_of(&host.id)) {
            (csrf_field(csrf))
            button type="submit" name="op" value=(op.name()) data-op=(op.name())
                disabled[refused.is_some()] title=[refused.map(|r| r.message.as_str())] { (label) }
        }
    }
}

/// Why a compartment is as it is, and what can be done about it. Opening it starts nothing.
pub(crate) fn compartment(
    entry: &HostEntry,
    which: Compartment,
    source: Option<&SourceState>,
    csrf: &str,
) -> Dialog {
    let host = &*entry.snapshot;
    let verdict = &host.row[which];
    let remote = matches!(which, Compartment::Git | Compartment::Lock);
    let checked = if remote { entry.compared_at } else { entry.pulse.last_seen };
    let body = html! {
        p.status data-status=(verdict.status.name()) {
            b { (host::word(verdict.status)) } " · " (message(&verdict.message))
        }
        @if remote && let Some(Desired::Known(remote)) = source.map(|source| &*source.desired) {
            p.quiet { "Compared with " (super::fleet::head(remote)) }
        }
        @if which == Compartment::Git && !host.missing().is_empty() {
            h3 { "Commits it does not have" }
            (host_page::commits(host.missing()))
        }
        @if which == Compartment::Lock && let Some(pr) = &host.pending_pr {
            p {
                "Update waits: "
                @if pr.url.is_empty() { "#" (pr.number) } @else { a href=(pr.url) rel="noreferrer" { "#" (pr.number) } }
                " " q.subject { (pr.title) } ". Merging it deploys nothing."
            }
        }
        @if let Some(at) = checked { p.quiet { "Checked " (time(at)) } }
        div.buttons { (offer(host, verdict.action, csrf)) }
    };
    let title = format!("{} of {}", which.label(), host.profile.hostname);
    about(which.name(), host, title, body)
}

/// What a compartment offers to do about what it says.
fn offer(host: &HostSnapshot, action: Option<Action>, csrf: &str) -> Markup {
    let back = html! { a.button href={ "/hosts/" (host.id) "/rollback" } data-dialog-open { "Roll back…" } };
    match action {
        None => html! {},
        Some(Action::Pull) => act(host, Operation::Pull, "Pull", csrf),
        Some(Action::PullSwitch) => act(host, Operation::PullSwitch, "Pull and switch", csrf),
        Some(Action::RunTests) => act(host, Operation::Test, "Run tests", csrf),
        Some(Action::RestartAgent) => act(host, Operation::RestartAgent, "Restart agent", csrf),
        Some(Action::Stop) => html! {
            @if let Some(command) = &host.command { (stop(command, csrf)) }
        },
        Some(Action::RetryFetch) => html! {
            form method="post" action="/desired/refresh" {
                (csrf_field(csrf))
                button type="submit" data-op="refresh" { "Retry" }
            }
        },
        Some(Action::RetrySwitch) => html! {
            (act(host, Operation::Switch, "Switch again", csrf)) (back)
        },
        Some(Action::Rollback) => html! {
            a.button href={ "/hosts/" (host.id) "/tests" } data-dialog-open { "Failed tests" } (back)
        },
    }
}

fn stop(command: &Command, csrf: &str) -> Markup {
    let path = format!("/commands/{}/stop", command.id);
    html! {
        form method="post" action=(path) {
            (csrf_field(csrf))
            button type="submit" data-op="stop" { "Stop " (command.op.label()) }
        }
    }
}

/// The tests that run, or the last run.
pub(crate) fn tests(
    host: &HostSnapshot,
    run: Option<&TestRun>,
    results: &[TestResult],
    csrf: &str,
) -> Dialog {
    let running = host.command.as_ref().filter(|command| command.op == Operation::Test);
    let counts = count(results);
    let millis: u64 = results.iter().map(|result| result.duration_ms).sum();
    let command = running.map(|c| c.id).or(run.map(|run| run.command_id));
    let verdict = &host.row[Compartment::Tests];
    let failed = running.is_none() && verdict.status == Status::Error;
    let body = html! {
        p.status data-status=(verdict.status.name()) {
            b { (host::word(verdict.status)) } " · " (message(&verdict.message))
        }
        @if results.is_empty() {
            p.quiet { @if command.is_some() { "No test reported a result." } @else { "No tests ran yet." } }
        } @else {
            (story::results(results))
            p {
                b { (story::passed(counts)) } " · run time " (story::seconds(millis))
                @if let (Some(run), None) = (run, running) { " · " (time(run.ended_at)) }
            }
        }
        div.buttons {
            @if let Some(id) = command {
                a.button href={ "/hosts/" (host.id) "?command=" (id) "#log-panel" } { "View full output" }
            }
            @match running {
                Some(command) => (stop(command, csrf)),
                None => (act(host, Operation::Test, "Run tests", csrf)),
            }
            @if failed {
                a.button href={ "/hosts/" (host.id) "/rollback" } data-dialog-open { "Roll back…" }
            }
            form method="dialog" { button { "Close" } }
        }
    };
    about("tests", host, format!("{}: test results", host.profile.hostname), body)
}

/// Which generation to go back to. The target is chosen, and shown, before it is confirmed.
pub(crate) fn rollback(
    host: &HostSnapshot,
    generations: &[TestedGeneration],
    deploys: &[Deploy],
    csrf: &str,
) -> Dialog {
    let runs = generations.iter().find(|one| one.generation.current);
    let number = |one: &&TestedGeneration| one.generation.generation;
    let before = |one: &&TestedGeneration| runs.is_none_or(|runs| number(one) < number(&runs));
    let previous = generations.iter().filter(before).max_by_key(number).map(|one| number(&one));
    let working = generations.iter().find(|one| one.last_working).map(|one| number(&one));
    let chosen = working.or(previous);
    let choosable =
        host.refusal(Operation::Rollback).is_none_or(|r| r.code != RefusalCode::NotSupported)
            && Protocol::of(host.facts.agent.protocol).chooses_generations();
    let fields = html! {
        @if generations.is_empty() {
            p { "The agent reports no generations: this activates the one before the current one." }
        } @else {
            fieldset {
                legend { "Activate" }
                @for one in generations {
                    @let n = one.generation.generation;
                    label.generation data-generation=(n) data-current=(one.generation.current) {
                        @if one.generation.current {
                            input type="radio" disabled;
                        } @else if choosable {
                            input type="radio" name="args.generation" value=(n)
                                checked[Some(n) == chosen] required;
                        }
                        span { (story::generation(one, deploys)) }
                    }
                }
            }
            @if !choosable { p.quiet { "Its agent is too old to choose: it goes back to the one before." } }
        }
        p.quiet { "Tests must run again afterwards." }
        label for="rollback-why" { "Why, for the audit log" }
        input #rollback-why name="args.reason" maxlength="200" autocomplete="off";
    };
    let body = command_form(host, Operation::Rollback, csrf, &fields);
    about("rollback", host, format!("Roll back {}", host.profile.hostname), body)
}

/// What a switch would change, as the last dry run found.
pub(crate) fn dry_run(host: &HostSnapshot, last: Option<&Told>, csrf: &str) -> Dialog {
    let runs = host.command.as_ref().filter(|command| command.op == Operation::DryRun);
    let body = html! {
        @match (runs, last) {
            (Some(command), _) => {
                p { "The dry run is " (host::word_of(command.state)) " for "
                    time data-elapsed datetime=(command.sent_at.unwrap_or(command.created_at)) {} }
            }
            (None, None) => { p { "None yet. A dry run builds what a switch would activate, and compares." } }
            (None, Some(told)) => {
                p { "Dry run " (time(told.command.finished_at.unwrap_or(told.command.created_at))) ": "
                    (super::log::ended(&told.command)) }
                @match &told.changes {
                    Some(changes) if changes.is_empty() => p { "Nothing would change." },
                    Some(changes) => (story::what_changes(changes)),
                    None => p.quiet { "Its log does not say what would change." },
                }
            }
        }
        div.buttons {
            (act(host, Operation::DryRun, "Dry run", csrf))
            (act(host, Operation::Switch, "Switch", csrf))
        }
    };
    about("dry-run", host, format!("What would change on {}", host.profile.hostname), body)
}

/// A reboot is asked for twice: by opening this, and by the button, with the one-time code
/// where that is set up.
pub(crate) fn reboot(host: &HostSnapshot, totp: bool, csrf: &str) -> Dialog {
    let fields = html! {
        @if host.facts.system.reboot_needed == Some(true) {
            p { "Another kernel would boot than the one that runs." }
        }
        p { (host.profile.hostname) " will be gone until it has booted." }
        input type="hidden" name="args.confirmed" value="true";
        @if totp {
            label for="reboot-totp" { "One-time code" }
            input #reboot-totp name="totp" inputmode="numeric" autocomplete="one-time-code" required;
        }
    };
    let body = command_form(host, Operation::Reboot, csrf, &fields);
    about("reboot", host, format!("Reboot {}", host.profile.hostname), body)
}

/// What goes away with a host.
pub(crate) fn remove(host: &HostSnapshot, csrf: &str) -> Dialog {
    let busy = host.command.as_ref();
    let body = html! {
        form method="post" action={ "/hosts/" (host.id) "/remove" } {
            (csrf_field(csrf))
            p {
                "Its row, its token, its commands and their logs go away. The audit log stays. "
                "The machine itself is not touched; its agent is refused from then on."
            }
            @if let Some(command) = busy {
                p.alert { "It is busy with " (command.op.label()) ": stop that first." }
            }
            div.buttons {
                button.main.danger type="submit" data-op="remove" disabled[busy.is_some()] {
                    "Remove " (host.profile.hostname)
                }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    about("remove", host, format!("Remove {}", host.profile.hostname), body)
}

/// What a field was when the page was made: only what its user changed is changed.
fn was(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name={ "was." (name) } value=(value); }
}

/// What users set here wins over what the agent says.
pub(crate) fn settings(host: &HostSnapshot, csrf: &str) -> Dialog {
    let over = &host.profile.overrides;
    let places = Place::ALL.map(Place::name);
    let devices = DeviceType::ALL.map(DeviceType::name);
    let choice = |name: &str, label: &str, set: Option<&str>, all: &[&str]| {
        html! {
            label for=(name) { (label) }
            (was(name, set.unwrap_or_default()))
            select id=(name) name=(name) {
                option value="" { "as the host says" }
                @for one in all { option value=(one) selected[set == Some(one)] { (one) } }
            }
        }
    };
    let word = |on: bool| if on { "true" } else { "false" };
    let switch = |name: &str, label: &str, set: Option<bool>| {
        html! {
            label for=(name) { (label) }
            (was(name, set.map_or("", word)))
            select id=(name) name=(name) {
                option value="" { "as the host says" }
                option value="true" selected[set == Some(true)] { "on" }
                option value="false" selected[set == Some(false)] { "off" }
            }
        }
    };
    let body = html! {
        form.fields method="post" action={ "/hosts/" (host.id) "/settings" } {
            (csrf_field(csrf))
            label for="theme_color" { "Colour" }
            (was("theme_color", or_empty::text(over.theme_color.as_ref())))
            input #theme_color name="theme_color" pattern="#[0-9a-fA-F]{6}"
                placeholder="as the host says, or #7aa2f7" value=(or_empty::text(over.theme_color.as_ref()));
            (choice("location", "Place", over.location.map(Place::name), &places))
            (choice("device_type", "Device", over.device_type.map(DeviceType::name), &devices))
            (switch("tests_enabled", "Tests", over.tests_enabled))
            (switch("tests_auto_run", "Tests run by themselves after a switch", over.tests_auto_run))
            label for="auto_rollback" { "Roll back by itself when they fail" }
            (was("auto_rollback", word(over.auto_rollback)))
            select #auto_rollback name="auto_rollback" {
                option value="false" { "off" }
                option value="true" selected[over.auto_rollback] { "on" }
            }
            div.buttons {
                button.main type="submit" data-op="save" { "Save" }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    about("settings", host, format!("Settings of {}", host.profile.hostname), body)
}

/// Asks for a new host's name. What was typed before is not lost.
pub(crate) fn add_host(csrf: &str, typed: &str, problem: Option<&str>) -> Dialog {
    let body = html! {
        form #add-host method="post" action="/hosts" {
            (csrf_field(csrf))
            @if let Some(problem) = problem { p.alert role="alert" { (problem) } }
            label for="hostname" { "Name of the machine" }
            input #hostname name="hostname" required maxlength="253" placeholder="hsb1"
                pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" autocomplete="off" autocapitalize="none"
                spellcheck="false" value=(typed);
            p.quiet { "As its hostname is: letters, digits, “.”, “_” and “-”." }
            div.buttons {
                button.main type="submit" { "Add" }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    Dialog { name: "add-host", title: "Add a host".to_owned(), host: None, body }
}

/// A host that was just added.
pub(crate) struct Added<'a> {
    /// Its name.
    pub hostname: &'a str,
    /// Its token, shown this once.
    pub token: &'a str,
    /// The dashboard's address.
    pub url: &'a str,
}

/// A new host's token, once, and what to paste.
pub(crate) fn added(added: &Added<'_>) -> Dialog {
    let (hostname, token, url) = (added.hostname, added.token, added.url);
    let module = |file: &str, path: &str| {
        html! {
            pre tabindex="0" { code {
                "services.nixfleet.agent = {\n"
                "  enable = true;\n"
                "  url = \"" (url) "\";\n"
                "  tokenFile = \"" (path) "\";\n"
                "  repoUrl = \"<your config repository>\";\n"
                "};"
            } }
            p.quiet { "With the flake's " code { (file) } " module imported." }
        }
    };
    let body = html! {
        p { "The token of " b { (hostname) } " is shown only now. Keep it in a file on that machine that only root can read." }
        pre #new-token tabindex="0" { code { (token) } }
        div.buttons { button type="button" data-copy="new-token" { "Copy the token" } }
        details open { summary { "Try it first" }
            pre tabindex="0" { code {
                "NIXFLEET_URL=" (url) " NIXFLEET_HOSTNAME=" (hostname) " \\\n"
                "NIXFLEET_TOKEN=" (token) " \\\n"
                "NIXFLEET_REPO_URL=<your config repository> nixfleet --agent"
            } }
        }
        details { summary { "NixOS" } (module("nixosModules.default", "/run/secrets/nixfleet-token")) }
        details { summary { "macOS with nix-darwin" } (module("darwinModules.default", "/etc/nixfleet/token")) }
        p { "The row turns from gray to its colours as soon as the agent connects." }
    };
    Dialog { name: "token", title: format!("{hostname} is added"), host: None, body }
}

/// What the keys do.
pub(crate) fn keys() -> Dialog {
    let body = html! {
        dl {
            dt { kbd { "/" } } dd { "filter" }
            dt { kbd { "j" } " " kbd { "k" } } dd { "next and previous host" }
            dt { kbd { "x" } } dd { "select the host" }
            dt { kbd { "m" } } dd { "what can be done to the host" }
            dt { kbd { "Esc" } } dd { "close a dialog, or clear the selection" }
            dt { kbd { "?" } } dd { "this" }
        }
    };
    Dialog { name: "keys", title: "Keyboard".to_owned(), host: None, body }
}
