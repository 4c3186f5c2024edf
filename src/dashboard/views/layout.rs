//! What every page has around it.

use super::{csrf_field, sprite};
use crate::dashboard::assets;
use maud::{DOCTYPE, Markup, html};

/// A page of text and forms. `csrf` is the session's token; `None` where nobody is logged in.
pub(crate) fn page(title: &str, csrf: Option<&str>, main: &Markup) -> Markup {
    let body = html! {
        @if let Some(csrf) = csrf { (header(title, csrf, None)) }
        div.app { main #main { div.page { (main) } } }
        div #dialogs {}
        div #toasts role="status" aria-live="polite" {}
    };
    whole(title, csrf, &body)
}

/// How the log stands on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dock {
    /// Only its tabs.
    Tabs,
    /// Below the page.
    Bottom,
    /// Beside it.
    Side,
}

/// A page with the log beside or below it, and what lies above both. So many rollouts go on: only a
/// page that stays true says so.
pub(crate) fn docked(
    title: &str,
    csrf: &str,
    main: &Markup,
    dock: (&Markup, Dock),
    above: &Markup,
    going: usize,
) -> Markup {
    let (log, dock) = dock;
    let name = match dock {
        Dock::Tabs => "tabs",
        Dock::Bottom => "bottom",
        Dock::Side => "side",
    };
    let body = html! {
        (header(title, csrf, Some(going)))
        div.app data-dock=(name) {
            main #main {
                div #lost .lost role="status" hidden { (super::sprite("warn", "")) span {} }
                (main)
            }
            (log)
        }
        (above)
        div #dialogs {}
        div #toasts role="status" aria-live="polite" {}
    };
    whole(title, Some(csrf), &body)
}

fn whole(title: &str, csrf: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(csrf) = csrf { meta name="csrf-token" content=(csrf); }
                title { (title) " · nixfleet" }
                link #icon rel="icon" type="image/svg+xml" href=(assets::url("icon.svg"))
                    data-alarm=(assets::url("icon-failed.svg"));
                link rel="stylesheet" href=(assets::url("nixfleet.css"));
                // Before anything is drawn: what this browser was asked to look like.
                script src=(assets::url("look.js")) {}
                @if csrf.is_some() {
                    script src=(assets::url("nixfleet.js")) defer data-hands=(assets::url("hands.js"))
                        data-log=(assets::url("log.js")) {}
                }
            }
            body { (body) }
        }
    }
}

/// The pages that the head leads to: address, name, picture.
const PAGES: [(&str, &str, &str); 4] = [
    ("/", "Fleet", "rows"),
    ("/rollouts", "Rollouts", "rollout"),
    ("/events", "Audit", "list"),
    ("/settings", "Settings", "sliders"),
];

/// Id of what says how many rollouts go on.
pub(crate) const GOING: &str = "going";

/// How many rollouts go on, beside the way to them.
pub(crate) fn going(count: usize) -> Markup {
    html! {
        span.pill.run id=(GOING) hidden[count == 0] { (count) span.sr { " running" } }
    }
}

/// What a page that is read again shows, and what stands above it.
pub(crate) fn with_going(live: &Markup, count: usize) -> Markup {
    html! { (live) (going(count)) }
}

fn header(title: &str, csrf: &str, rollouts: Option<usize>) -> Markup {
    html! {
        a.skip.button href="#main" { "To the content" }
        header.top {
            a.brand href="/" {
                svg.mark aria-hidden="true" { use href={ (assets::url("icons.svg")) "#mark" } {} }
                span { "nixfleet" }
            }
            nav aria-label="Pages" {
                @for (href, name, picture) in PAGES {
                    a href=(href) aria-current=[(name == title).then_some("page")] {
                        (sprite(picture, "nav-i")) (name)
                        @if let (Some(count), "/rollouts") = (rollouts, href) { (going(count)) }
                    }
                }
            }
            span.gap {}
            button.jump type="button" aria-keyshortcuts="Control+K" {
                (sprite("search", "")) span { "Find or do…" } span.gap {} kbd aria-hidden="true" { "Ctrl K" }
            }
            noscript { a.button href="/find" { (sprite("search", "")) "Find" } }
            span #link.link data-state="connecting" role="status" { "connecting" }
            button.ghost.icon #user-button type="button" popovertarget="user-menu" aria-label="Account" {
                (sprite("user", ""))
            }
            div.drop #user-menu popover {
                a href="/settings" { (sprite("sliders", "")) "Settings" }
                a href="/keys" data-dialog-open { (sprite("key", "")) "Keyboard" kbd { "?" } }
                hr;
                form method="post" action="/logout" {
                    (csrf_field(csrf))
                    button type="submit" { (sprite("external", "")) "Log out" }
                }
            }
        }
    }
}

/// What a dialog shows. The same goes into a `<dialog>` of the page that asks for it, and on
/// a page of its own where the script does not run.
pub(crate) struct Dialog {
    /// The name in `data-dialog`.
    pub name: &'static str,
    /// Its heading.
    pub title: String,
    /// The host it is about: it is read again when that changes.
    pub host: Option<String>,
    /// What stands below the heading.
    pub body: Markup,
    /// How it opens and closes.
    pub kind: Kind,
}

/// How a dialog opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It closes by Esc and by a click beside it.
    Plain,
    /// It shows what is shown only once: only *Go on* closes it.
    Secret,
    /// A few words, beside the button that opened it.
    Popover,
    /// A list of what can be done, beside the button that opened it.
    Menu,
}

/// The only way out of a dialog that shows a secret.
fn go_on() -> Markup {
    html! {
        form.once-more method="dialog" {
            label { input #stored type="checkbox"; " I have stored it. " span.soft { "It is not shown again." } }
            button.primary #go-on disabled { "Go on" }
        }
    }
}

impl Dialog {
    /// For the page that asks for it.
    pub(crate) fn fragment(&self) -> Markup {
        match self.kind {
            Kind::Plain => self.modal(false),
            Kind::Secret => self.modal(true),
            Kind::Popover => html! {
                div.pop popover role="dialog" data-dialog=(self.name) data-for=[self.host.as_deref()] aria-labelledby="dialog-title" {
                    h2 #dialog-title tabindex="-1" autofocus { (self.title) }
                    (self.body)
                }
            },
            Kind::Menu => html! {
                div.drop popover role="menu" data-dialog=(self.name) aria-label=(self.title) { (self.body) }
            },
        }
    }

    fn modal(&self, secret: bool) -> Markup {
        html! {
            dialog.dlg data-dialog=(self.name) data-for=[self.host.as_deref()] data-secret[secret]
                closedby=(if secret { "none" } else { "any" }) aria-labelledby="dialog-title" {
                header {
                    h2 #dialog-title tabindex="-1" autofocus { (self.title) }
                    @if !secret {
                        form method="dialog" {
                            button.ghost.icon aria-label="Close" title="Close (Esc)" { (sprite("close", "")) }
                        }
                    }
                }
                div.body {
                    (self.body)
                    @if secret { (go_on()) }
                }
            }
        }
    }

    /// As a page of its own.
    pub(crate) fn page(&self, csrf: &str) -> Markup {
        let main = html! {
            form #act method="post" hidden { (csrf_field(csrf)) }
            section.alone data-dialog=(self.name) {
                h1 { (self.title) }
                @if self.kind == Kind::Menu { div.items { (self.body) } } @else { (self.body) }
                p { a href="/" { "Back to the fleet" } }
            }
        };
        page(&self.title, Some(csrf), &main)
    }
}

/// The login form. `next` is the page of ours to which it leads.
pub(crate) fn login(csrf: &str, totp: bool, next: Option<&str>, error: Option<&str>) -> Markup {
    let body = html! {
        main #main.login {
            div.brandrow {
                svg.mark aria-hidden="true" { use href={ (assets::url("icons.svg")) "#mark" } {} }
                div { h1 { "nixfleet" } p.soft.small { "Every machine of one flake, in one row each." } }
            }
            form.card method="post" action="/login" {
                (csrf_field(csrf))
                @if let Some(next) = next { input type="hidden" name="next" value=(next); }
                // There is one account; the field is for password managers.
                input type="text" name="username" value="admin" autocomplete="username" hidden;
                label.label { "Password"
                    input #password type="password" name="password" autocomplete="current-password"
                        required autofocus;
                }
                @if totp {
                    label.label { "One-time code or recovery code"
                        input #totp name="totp" autocomplete="one-time-code" required;
                        span.hint { "From your authenticator app, or one of the codes that you kept." }
                    }
                }
                @if let Some(error) = error { p.t-bad.small role="alert" { (error) } }
                button.primary type="submit" { "Log in" }
            }
        }
    };
    whole("Log in", None, &body)
}

/// A short text that goes away by itself; nothing for an empty one.
pub(crate) fn note(text: &str) -> Markup {
    html! { @if !text.is_empty() { div.toast { span { (text) } } } }
}

/// That something waits, and the way to take it back.
pub(crate) fn undo(text: &str, path: &str) -> Markup {
    html! {
        div.toast {
            span { (text) }
            button.ghost type="submit" form="act" formaction=(path) data-op="undo" { "Undo" }
        }
    }
}

/// A note that the tests of a host, and of so many others, have failed.
pub(crate) fn tests_failed(first: &str, others: usize) -> Markup {
    html! {
        div.toast data-key="tests" {
            span.g.bad aria-hidden="true" {}
            @if others == 0 {
                span { "Tests failed on " bdi { (first) } }
                a.button.ghost href="/?show=failed" data-show="failed" { "Show it" }
            } @else {
                span { (others + 1) " hosts failed their tests" }
                a.button.ghost href="/?show=failed" data-show="failed" { "Show them" }
            }
            button.ghost.icon type="button" data-dismiss aria-label="Dismiss" { (sprite("close", "")) }
        }
    }
}

/// A page that says what went wrong.
pub(crate) fn problem(title: &str, text: &str, csrf: Option<&str>) -> Markup {
    let main = html! {
        section.problem {
            h1 { (title) }
            p { (text) }
            p { a href="/" { "Back to the fleet" } }
        }
    };
    page(title, csrf, &main)
}
