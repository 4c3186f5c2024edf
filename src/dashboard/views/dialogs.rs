//! Dialogs about one host. Each is read anew when it opens, and while it is open when its host
//! changes.

use super::layout::{Dialog, Kind};
use super::story::{self, Told};
use super::{csrf_field, exact, host, message, sprite, time};
use crate::domain::closure_diff;
use crate::domain::command::{Command, State};
use crate::domain::compartment::{Compartment, Status};
use crate::domain::desired::PendingPr;
use crate::domain::facts::{Deploy, Feature, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::ids::{Commit, HostId, SystemPath};
use crate::domain::looks::{DeviceType, Place, or_empty};
use crate::domain::operation::Operation;
use crate::domain::protocol::Protocol;
use crate::domain::refusal::RefusalCode;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::test_report::{TestResult, count};
use crate::domain::timestamp::Timestamp;
use maud::{Markup, html};

/// A dialog about one host.
pub(super) fn about(
    name: &'static str,
    host: &HostSnapshot,
    title: String,
    body: Markup,
) -> Dialog {
    Dialog { name, title, host: Some(host.id.to_string()), body, kind: Kind::Plain }
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

/// One button that starts an operation, in a form of its own.
pub(super) fn act(host: &HostSnapshot, op: Operation, label: &str, csrf: &str) -> Markup {
    let refused = host.refusal(op);
    html! {
        form method="post" action=(commands_of(&host.id)) {
            (csrf_field(csrf))
            button type="submit" name="op" value=(op.name()) data-op=(op.name()) data-confirm=[host::confirm(op)]
                disabled[refused.is_some()] title=[refused.map(|r| r.message.as_str())] { (label) }
        }
    }
}

/// Whether the agent takes more than the name of an operation.
fn chooses(host: &HostSnapshot) -> bool {
    Protocol::of(host.facts.agent.protocol).chooses_generations()
}

/// Builds an update before it is merged.
fn dry_run_of(host: &HostSnapshot, pr: &PendingPr, csrf: &str) -> Markup {
    let refused = host.refusal(Operation::DryRun);
    html! {
        form method="post" action=(commands_of(&host.id)) {
            (csrf_field(csrf))
            input type="hidden" name="args.commit" value=(pr.head);
            button type="submit" name="op" value=(Operation::DryRun.name()) data-op="dry-run-update"
                disabled[refused.is_some()] title=[refused.map(|r| r.message.as_str())] {
                "Dry run of #" (pr.number)
            }
        }
    }
}

/// One button that stops a command, in a form of its own.
pub(super) fn stop(command: &Command, csrf: &str) -> Markup {
    let path = format!("/commands/{}/stop", command.id);
    html! {
        form method="post" action=(path) {
            (csrf_field(csrf))
            button type="submit" data-op="stop" data-confirm=[host::confirm_stop(command)] { "Stop " (command.op.label()) }
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
            && chooses(host);
    // What runs can be gone back to while a boot would start something else.
    let system = &host.facts.system;
    let another_boots = system.profile_path.is_some() && system.profile_path != system.store_path;
    let fields = html! {
        @if generations.is_empty() {
            p { "The agent reports no generations: this activates the one before the current one." }
        } @else {
            fieldset.choices {
                legend { "Go back to" }
                @for one in generations {
                    @let n = one.generation.generation;
                    label.choice.generation data-generation=(n) data-current=(one.generation.current) {
                        @if one.generation.current && !another_boots {
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
        input type="hidden" name="asks_hold" value="true";
        label.label {
            input type="checkbox" name="args.hold" value="true" checked;
            " Hold it: what it leaves is not rolled out to it again"
        }
        @if host.facts.agent.can(Feature::Boot) {
            label.label {
                input type="checkbox" name="args.boot" value="true";
                " At the next boot: activate nothing now"
            }
        }
        p.quiet { "Tests must run again afterwards." }
        label.label for="rollback-why" { "Why" }
        input #rollback-why name="args.reason" maxlength="200" autocomplete="off";
        p.quiet.small { "It stands in the row and in the audit log." }
    };
    let body = command_form(host, Operation::Rollback, csrf, &fields);
    about("rollback", host, format!("Roll back {}", host.profile.hostname), body)
}

/// So many of the last lines stand where nothing else says what would change.
const LAST_LINES: usize = 20;

/// What would change in packages and units; the end of the log where neither is told.
fn would_change(told: &Told, lines: &[String]) -> Markup {
    let units = closure_diff::units(lines.iter().map(String::as_str));
    let last = lines.len().saturating_sub(LAST_LINES);
    html! {
        @match &told.changes {
            Some(changes) if changes.is_empty() => p { "No package would change." },
            Some(changes) => (story::what_changes(changes)),
            None => {}
        }
        @for one in &units {
            details.units open[one.names.len() < 10] {
                summary { "Would " (one.what) " " (super::counted(one.names.len(), "unit")) }
                div.chips { @for name in &one.names { code { (name) } } }
            }
        }
        @if told.changes.is_none() && units.is_empty() && !lines.is_empty() {
            p.quiet { "Its log does not name what would change. It ends so:" }
            pre tabindex="0" { (super::log::plain_text(&lines[last..].join("\n"))) }
        }
        a.button href={ "/hosts/" (told.command.host) "?command=" (told.command.id) }
            data-log-open={ "/commands/" (told.command.id) "/log" } { (sprite("log", "")) "Open its log" }
    }
}

/// What the last dry run came to, where that was of what is checked out now.
fn plan_of<'a>(host: &HostSnapshot, last: Option<&'a Command>) -> Option<&'a str> {
    let last = last.filter(|last| last.state == State::Succeeded && chooses(host))?;
    let built = last.built.as_ref().filter(|built| built.commit == host.facts.checkout)?;
    built.path.as_deref().filter(|path| SystemPath::parse(path).is_some())
}

/// Switches to this and nothing else: where the build comes to another path, nothing is activated.
fn switch_plan(host: &HostSnapshot, path: &str, csrf: &str) -> Markup {
    let refused = host.refusal(Operation::Switch);
    html! {
        form method="post" action={ "/hosts/" (host.id) "/commands" } {
            (csrf_field(csrf))
            input type="hidden" name="args.plan" value=(path);
            button.primary type="submit" name="op" value=(Operation::Switch.name()) data-op="switch-plan"
                disabled[refused.is_some()] title=(refused.map_or(path, |refusal| refusal.message.as_str())) {
                "Switch this plan"
            }
        }
    }
}

/// What a switch would change, as the last dry run found; with the end of its log.
pub(crate) fn dry_run(host: &HostSnapshot, last: Option<(&Told, &[String])>, csrf: &str) -> Dialog {
    let runs = host.command.as_ref().filter(|command| command.op == Operation::DryRun);
    let body = html! {
        @match (runs, last) {
            (Some(command), _) => {
                p { "The dry run is " (host::word_of(command.state)) " for "
                    time data-elapsed datetime=(command.sent_at.unwrap_or(command.created_at)) {} }
            }
            (None, None) => { p { "None yet. A dry run builds what a switch would activate, and compares." } }
            (None, Some((told, lines))) => {
                p { "Dry run " @if let Some(commit) = told.command.args.commit.as_ref().and_then(|commit| Commit::parse(commit.as_str())) { "of " (super::commit(&commit, host.forge.as_ref())) " " } (time(told.command.finished_at.unwrap_or(told.command.created_at))) ": "
                    (super::log::ended(&told.command)) }
                (would_change(told, lines))
            }
        }
        div.buttons {
            (act(host, Operation::DryRun, "Dry run", csrf))
            @if let Some(pr) = host.pending_pr.as_ref().filter(|_| chooses(host)) {
                (dry_run_of(host, pr, csrf))
            }
            @match plan_of(host, last.map(|(told, _)| &told.command)) {
                Some(path) => (switch_plan(host, path, csrf)),
                None => (act(host, Operation::Switch, "Switch", csrf)),
            }
        }
    };
    about("dry-run", host, format!("What would change on {}", host.profile.hostname), body)
}

/// A reboot is asked for twice: by opening this, and by the button, with the one-time code
/// where that is set up.
pub(crate) fn reboot(host: &HostSnapshot, totp: bool, csrf: &str) -> Dialog {
    let fields = html! {
        @if let Some(why) = host.facts.system.needs_a_reboot() {
            p { "Reboot needed: " (why) "." }
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
            label.label for="remove-name" { span { "Type " b { (host.profile.hostname) } " to remove it" } }
            input #remove-name name="name" required autocomplete="off" autocapitalize="none" spellcheck="false"
                data-must=(host.profile.hostname);
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

/// Whether the host shall get a new token.
pub(crate) fn token(host: &HostSnapshot, csrf: &str) -> Dialog {
    let body = html! {
        form method="post" action={ "/hosts/" (host.id) "/token" } {
            (csrf_field(csrf))
            p {
                "Its new token is shown once. The one that it has now works for an hour more, so there "
                "is time to bring the new one to the machine. Until then nothing changes."
            }
            div.buttons {
                button.main type="submit" data-op="token" { "Make a new token" }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    about("token", host, format!("New token for {}", host.profile.hostname), body)
}

/// A host's new token, once.
pub(crate) fn renewed(host: &HostSnapshot, token: &str, old_until: Timestamp) -> Dialog {
    let body = html! {
        p { "The new token of " b { (host.profile.hostname) } " is shown only now. Keep it in a file on that machine that only root can read, and restart its agent." }
        pre #new-token data-secret tabindex="0" { code { (token) } }
        div.buttons { button type="button" data-copy="new-token" { "Copy the token" } }
        p { "The old one works until " (exact(old_until)) ". A token that was lost is replaced by making another one." }
    };
    Dialog {
        name: "token",
        title: format!("New token for {}", host.profile.hostname),
        host: None,
        body,
        kind: Kind::Secret,
    }
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
            (tags(host))
            (switch("tests_enabled", "Tests", over.tests_enabled))
            (switch("tests_auto_run", "Tests run by themselves after a switch", over.tests_auto_run))
            label for="auto_rollback" { "Roll back by itself when they fail" }
            (was("auto_rollback", word(over.auto_rollback)))
            select #auto_rollback name="auto_rollback" {
                option value="false" { "off" }
                option value="true" selected[over.auto_rollback] { "on" }
            }
            @if host.profile.platform == "nixos" {
                (switch("guard", "Guarded switches: the system of before comes back by itself", over.guard))
            }
            div.buttons {
                button.main type="submit" data-op="save" { "Save" }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    about("settings", host, format!("Settings of {}", host.profile.hostname), body)
}

/// The tags that users added; those of its configuration are changed there.
fn tags(host: &HostSnapshot) -> Markup {
    let added = &host.profile.overrides.tags;
    let own: Vec<&str> = (host.profile.tags.iter())
        .filter(|tag| !added.contains(tag))
        .map(|tag| tag.as_str())
        .collect();
    html! {
        label for="tags" { "Tags" }
        (was("tags", &added.to_string()))
        input #tags name="tags" value=(added) placeholder="db canary" autocomplete="off" autocapitalize="none"
            spellcheck="false" aria-describedby="tags-are";
        p.quiet.small #tags-are {
            "Small words with spaces between them."
            @if !own.is_empty() { " Its configuration gives it: " (own.join(" ")) "." }
        }
    }
}
