//! What every page has around it.

use super::csrf_field;
use crate::dashboard::assets;
use maud::{DOCTYPE, Markup, html};

/// A page. `csrf` is the session's token; `None` where nobody is logged in.
pub(crate) fn page(title: &str, csrf: Option<&str>, main: &Markup) -> Markup {
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
                @if csrf.is_some() {
                    script src=(assets::url("idiomorph.js")) defer {}
                    script src=(assets::url("nixfleet.js")) defer {}
                }
            }
            body {
                @if let Some(csrf) = csrf { (header(csrf)) }
                main { (main) }
                div #dialogs {}
                div #toasts role="status" aria-live="polite" {}
            }
        }
    }
}

fn header(csrf: &str) -> Markup {
    html! {
        header.top {
            a.brand href="/" { "nixfleet" }
            nav aria-label="Pages" {
                a href="/" { "Fleet" }
                a href="/events" { "Audit log" }
            }
            span #link.link data-state="connecting" role="status" { "connecting" }
            button.quiet #user-button type="button" popovertarget="user-menu" { "admin ▾" }
            div.drop #user-menu popover {
                div.items {
                    a href="/settings" { "Settings" }
                    a href="/keys" data-dialog-open { "Keyboard" }
                    form method="post" action="/logout" {
                        (csrf_field(csrf))
                        button type="submit" { "Log out" }
                    }
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
}

impl Dialog {
    /// For the page that asks for it.
    pub(crate) fn fragment(&self) -> Markup {
        html! {
            dialog.dialog closedby="any" data-dialog=(self.name) data-for=[self.host.as_deref()]
                aria-labelledby="dialog-title" {
                header {
                    h2 #dialog-title tabindex="-1" autofocus { (self.title) }
                    form method="dialog" { button.quiet aria-label="Close" title="Close (Esc)" { "✕" } }
                }
                (self.body)
            }
        }
    }

    /// As a page of its own.
    pub(crate) fn page(&self, csrf: &str) -> Markup {
        let main = html! {
            section.alone data-dialog=(self.name) {
                h1 { (self.title) }
                (self.body)
                p { a href="/" { "Back to the fleet" } }
            }
        };
        page(&self.title, Some(csrf), &main)
    }
}

/// The login form.
pub(crate) fn login(csrf: &str, totp: bool, error: Option<&str>) -> Markup {
    let main = html! {
        form.login method="post" action="/login" {
            h1 { "nixfleet" }
            @if let Some(error) = error { p.alert role="alert" { (error) } }
            (csrf_field(csrf))
            // There is one account; the field is for password managers.
            input type="text" name="username" value="admin" autocomplete="username" hidden;
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password"
                required autofocus;
            @if totp {
                label for="totp" { "One-time code" }
                input #totp name="totp" inputmode="numeric" autocomplete="one-time-code" required;
            }
            button.main type="submit" { "Log in" }
        }
    };
    page("Log in", None, &main)
}

/// A short text that goes away by itself; nothing for an empty one.
pub(crate) fn note(text: &str) -> Markup {
    html! { @if !text.is_empty() { p { (text) } } }
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
