//! What every page has around it.

use crate::dashboard::assets;
use maud::{DOCTYPE, Markup, html};

/// A page. `csrf` is the session's token; `None` on the login page.
pub fn page(title: &str, csrf: Option<&str>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(csrf) = csrf { meta name="csrf-token" content=(csrf); }
                title { (title) " · nixfleet" }
                link rel="icon" type="image/svg+xml" href=(assets::url("icon.svg"));
                link rel="stylesheet" href=(assets::url("nixfleet.css"));
                @if csrf.is_some() {
                    script src=(assets::url("idiomorph.js")) defer {}
                    script src=(assets::url("nixfleet.js")) defer {}
                }
            }
            body {
                @if let Some(csrf) = csrf { (header(csrf)) }
                main { (main) }
                div #toasts role="status" aria-live="polite" {}
            }
        }
    }
}

fn header(csrf: &str) -> Markup {
    html! {
        header.top {
            a.brand href="/" { "nixfleet" }
            nav {
                a href="/" { "Fleet" }
                a href="/events" { "Audit log" }
            }
            span #link.link data-state="connecting" role="status" { "connecting" }
            form method="post" action="/logout" {
                input type="hidden" name="csrf_token" value=(csrf);
                button.quiet type="submit" { "Log out" }
            }
        }
    }
}

/// The login form.
pub fn login(csrf: &str, totp: bool, error: Option<&str>) -> Markup {
    let main = html! {
        form.login method="post" action="/login" {
            h1 { "nixfleet" }
            @if let Some(error) = error { p.alert role="alert" { (error) } }
            input type="hidden" name="csrf_token" value=(csrf);
            // There is one account; the field is for password managers.
            input type="text" name="username" value="admin" autocomplete="username" hidden;
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password"
                required autofocus;
            @if totp {
                label for="totp" { "One-time code" }
                input #totp name="totp" inputmode="numeric" autocomplete="one-time-code" required;
            }
            button type="submit" { "Log in" }
        }
    };
    page("Log in", None, &main)
}

/// A page that says what went wrong.
pub fn problem(title: &str, text: &str, csrf: Option<&str>) -> Markup {
    let main = html! {
        section.problem {
            h1 { (title) }
            p { (text) }
            p { a href="/" { "Back to the fleet" } }
        }
    };
    page(title, csrf, &main)
}
