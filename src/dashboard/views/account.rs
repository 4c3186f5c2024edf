//! The settings page: who may get in, and where desired state comes from.

use super::{csrf_field, fleet, layout, time};
use crate::dashboard::live::model::FleetView;
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::domain::desired::Desired;
use maud::{Markup, html};
use qrcodegen::{QrCode, QrCodeEcc};

/// Everything on the page.
pub(crate) struct Settings<'a> {
    /// The fleet, for its sources.
    pub view: &'a FleetView,
    /// API tokens, oldest first.
    pub tokens: &'a [ApiTokenRecord],
    /// The password is set by a variable and cannot be changed here.
    pub fixed_password: bool,
    /// How one-time codes are set up.
    pub totp: Totp,
    /// How hosts without a token of their own get in.
    pub enrolment: Enrolment,
    /// What was just done, and a secret that is shown only now.
    pub news: Option<News>,
}

/// How one-time codes are set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Totp {
    /// By a variable.
    Fixed,
    /// Here.
    On,
    /// Not at all.
    Off,
    /// About to be: the secret waits for the first code.
    Offered {
        /// In base32.
        secret: String,
        /// For the QR code.
        url: String,
    },
}

/// How hosts without a token of their own get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enrolment {
    /// By the token of a variable.
    Fixed,
    /// By the token that was made here.
    On,
    /// Not at all.
    Off,
}

/// What was just done.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    /// In words.
    pub text: String,
    /// It did not work.
    pub failed: bool,
    /// A secret that is shown only now.
    pub secret: Option<String>,
}

/// The page.
pub(crate) fn page(settings: &Settings<'_>, csrf: &str) -> Markup {
    let main = html! {
        h1 { "Settings" }
        @if let Some(news) = &settings.news {
            section.news data-failed[news.failed] role="status" {
                p { (news.text) }
                @if let Some(secret) = &news.secret {
                    pre #new-secret tabindex="0" { code { (secret) } }
                    p.quiet { "It is shown only now." }
                }
            }
        }
        (password(settings, csrf))
        (codes(settings, csrf))
        (tokens(settings, csrf))
        (enrolment(settings, csrf))
        (sources(settings, csrf))
    };
    layout::page("Settings", Some(csrf), &main)
}

fn password(settings: &Settings<'_>, csrf: &str) -> Markup {
    html! {
        section #password-settings {
            h2 { "Password" }
            @if settings.fixed_password {
                p { "Set by " code { "NIXFLEET_PASSWORD_HASH" } "; change it there." }
            } @else {
                form.fields method="post" action="/settings/password" {
                    (csrf_field(csrf))
                    input type="text" name="username" value="admin" autocomplete="username" hidden;
                    label for="current" { "Current password" }
                    input #current type="password" name="current" autocomplete="current-password" required;
                    label for="new" { "New password" }
                    input #new type="password" name="new" autocomplete="new-password" minlength="12" maxlength="256" required;
                    label for="again" { "The same again" }
                    input #again type="password" name="again" autocomplete="new-password" required;
                    p.buttons { button type="submit" { "Change password" } }
                }
                p.quiet { "At least 12 characters. Every other session ends." }
            }
        }
    }
}

fn codes(settings: &Settings<'_>, csrf: &str) -> Markup {
    let code = html! {
        label for="code" { "One-time code" }
        input #code name="code" inputmode="numeric" autocomplete="one-time-code" required;
    };
    html! {
        section #totp-settings {
            h2 { "One-time codes" }
            @match &settings.totp {
                Totp::Fixed => p { "On, by " code { "NIXFLEET_TOTP_SECRET" } "; change it there." },
                Totp::On => {
                    p { "On: logging in and rebooting hosts ask for a code." }
                    form.fields method="post" action="/settings/totp/off" {
                        (csrf_field(csrf)) (code)
                        p.buttons { button type="submit" { "Turn off" } }
                    }
                }
                Totp::Off => {
                    p { "Off. With an authenticator app, logging in and rebooting hosts ask for a code." }
                    form method="post" action="/settings/totp/new" {
                        (csrf_field(csrf))
                        button type="submit" { "Set up" }
                    }
                }
                Totp::Offered { secret, url } => {
                    p { "Scan this with an authenticator app, or enter the secret there. Then enter the code that it shows." }
                    (qr(url))
                    p { "Secret: " code #totp-secret { (secret) } }
                    form.fields method="post" action="/settings/totp/on" {
                        (csrf_field(csrf))
                        input type="hidden" name="secret" value=(secret);
                        (code)
                        p.buttons { button type="submit" { "Turn on" } }
                    }
                }
            }
        }
    }
}

/// A QR code, black on white in either scheme: cameras want it so.
fn qr(text: &str) -> Markup {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else {
        return html! {};
    };
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in 0..size {
            if code.get_module(x, y) {
                path += &format!("M{x} {y}h1v1h-1z");
            }
        }
    }
    html! {
        svg.qr role="img" aria-label="QR code of the secret" viewBox={ "-3 -3 " (size + 6) " " (size + 6) } {
            rect x="-3" y="-3" width=(size + 6) height=(size + 6) fill="#fff" {}
            path d=(path) fill="#000" {}
        }
    }
}

fn tokens(settings: &Settings<'_>, csrf: &str) -> Markup {
    html! {
        section #token-settings {
            h2 { "API tokens" }
            p { "A program that calls the API sends one as " code { "Authorization: Bearer …" } ". Only their hashes are kept." }
            ul.plain {
                @for token in settings.tokens {
                    li {
                        form method="post" action="/settings/tokens/remove" {
                            b { bdi { (token.name) } } " made " (time(token.created_at)) " "
                            (csrf_field(csrf))
                            input type="hidden" name="hash" value=(crate::base::hex::encode(&token.token_hash));
                            button.quiet type="submit" aria-label={ "Remove " (token.name) } { "Remove" }
                        }
                    }
                }
            }
            form.fields method="post" action="/settings/tokens/new" {
                (csrf_field(csrf))
                label for="token-name" { "What it is for" }
                input #token-name name="name" maxlength="100" required autocomplete="off";
                p.buttons { button type="submit" { "Make a token" } }
            }
        }
    }
}

fn enrolment(settings: &Settings<'_>, csrf: &str) -> Markup {
    let button = |what: &str, label: &str| {
        html! {
            form method="post" action={ "/settings/enrolment/" (what) } {
                (csrf_field(csrf)) button type="submit" { (label) }
            }
        }
    };
    html! {
        section #enrolment-settings {
            h2 { "Enrolment" }
            p { "A host that was added on the fleet page has a token of its own. A shared token lets any new host in, under the name that it gives; it opens no host that has a token of its own." }
            @match settings.enrolment {
                Enrolment::Fixed => p { "The shared token is set by " code { "NIXFLEET_AGENT_TOKEN" } "." },
                Enrolment::On => {
                    p { "There is a shared token." }
                    div.buttons { (button("new", "Replace it")) (button("off", "Take it back")) }
                }
                Enrolment::Off => { p { "There is no shared token." } (button("new", "Make one")) }
            }
        }
    }
}

fn sources(settings: &Settings<'_>, csrf: &str) -> Markup {
    html! {
        section #source-settings {
            h2 { "Sources" }
            ul.plain {
                @for state in settings.view.remotes.iter() {
                    li data-source=(state.name) {
                        b { (state.name) } " "
                        @match &*state.desired {
                            Desired::Known(remote) => (fleet::head(remote)),
                            Desired::NotYetFetched => "Waiting for its first answer.",
                            Desired::NotConfigured { setting } => {
                                span.alert { "Not set up: set " code { (setting) } "." }
                            }
                            Desired::Unavailable { since, reason, .. } => {
                                span.alert { "Cannot be read: " (reason) " (since " (time(*since)) ")" }
                            }
                        }
                        @if let Some(at) = settings.view.read_at.get(&state.name) { span.quiet { " · read " (time(*at)) } }
                    }
                }
            }
            form method="post" action="/desired/refresh?back=/settings" {
                (csrf_field(csrf)) button type="submit" { "Read them now" }
            }
        }
    }
}
