//! The settings page: who may get in, and where desired state comes from.

use super::{counted, csrf_field, exact, fleet, layout, sprite, time};
use crate::dashboard::live::model::FleetView;
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::dashboard::store::sessions::SessionRecord;
use crate::domain::desired::Desired;
use crate::domain::scope::Scope;
use maud::{Markup, html};
use qrcodegen::{QrCode, QrCodeEcc};

/// Everything on the page.
pub(crate) struct Settings<'a> {
    /// The fleet, for its sources.
    pub view: &'a FleetView,
    /// API tokens, oldest first.
    pub tokens: &'a [ApiTokenRecord],
    /// Sessions, the one that was used last first.
    pub sessions: &'a [SessionRecord],
    /// SHA-256 of the cookie of the session that looks at it.
    pub own_session: [u8; 32],
    /// What names a token or a session.
    pub id_of: fn(&[u8; 32]) -> String,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
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

/// The parts of the page: id of the section, picture, name.
const PARTS: [(&str, &str, &str); 8] = [
    ("source-settings", "branch", "Sources"),
    ("notification-link", "bell", "Notifications"),
    ("maintenance-link", "tag", "Maintenance"),
    ("password-settings", "shield", "Password"),
    ("totp-settings", "lock", "One-time codes"),
    ("session-settings", "user", "Sessions"),
    ("token-settings", "key", "Tokens"),
    ("display-settings", "sliders", "Display"),
];

/// The page.
pub(crate) fn page(settings: &Settings<'_>, csrf: &str) -> Markup {
    let main = html! {
        div.head { h1 { "Settings" } }
        @if let Some(news) = &settings.news {
            section.news.card.pad data-failed[news.failed] role="status" {
                p { (news.text) }
                @if let Some(secret) = &news.secret {
                    pre #new-secret tabindex="0" { code { (secret) } }
                    p.quiet { "It is shown only now." }
                }
            }
        }
        div.sets {
            nav aria-label="Settings" {
                @for (id, picture, name) in PARTS { a href={ "#" (id) } { (sprite(picture, "")) (name) } }
            }
            div {
                (sources(settings, csrf))
                (card("notification-link", "Notifications", &html! {
                    div.set {
                        div { b { "Who is told what happens" } p { "Mail, webhook and other channels, their events and quiet hours." } }
                        div { a.button href="/settings/notifications" { "Notifications" } }
                    }
                }))
                (card("maintenance-link", "Maintenance", &html! {
                    div.set {
                        div { b { "What rollouts go by" } p { "A freeze, maintenance windows, and tags, by which hosts are found and chosen." } }
                        div { a.button href="/settings/maintenance" { "Maintenance" } }
                    }
                }))
                (password(settings, csrf))
                (codes(settings, csrf))
                (sessions(settings, csrf))
                (tokens(settings, csrf))
                (enrolment(settings, csrf))
                (display())
            }
        }
    };
    layout::page("Settings", Some(csrf), &main)
}

fn card(id: &str, title: &str, body: &Markup) -> Markup {
    html! { section.card.clip id=(id) { header { h2 { (title) } } (body) } }
}

/// How the page looks in this browser. It needs the script, which remembers it.
fn display() -> Markup {
    let choice = |key: &str, label: &str, values: [(&str, &str); 3]| {
        html! {
            div.set {
                div { b { (label) } }
                div { div.seg role="group" aria-label=(label) {
                    @for (value, name) in values.iter().filter(|(_, name)| !name.is_empty()) {
                        button type="button" data-look=(key) value=(value) aria-pressed="false" { (name) }
                    }
                } }
            }
        }
    };
    card(
        "display-settings",
        "Display",
        &html! {
            (choice("theme", "Theme", [("", "System"), ("light", "Light"), ("dark", "Dark")]))
            (choice("density", "Rows", [("", "Compact"), ("comfortable", "Comfortable"), ("", "")]))
            (choice("keys", "Single keys", [("", "On"), ("off", "Off"), ("", "")]))
            p.pad.soft.small { "Remembered in this browser." }
        },
    )
}

fn password(settings: &Settings<'_>, csrf: &str) -> Markup {
    let body = html! {
        div.pad {
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
    };
    card("password-settings", "Password", &body)
}

fn codes(settings: &Settings<'_>, csrf: &str) -> Markup {
    let code = html! {
        label for="code" { "One-time code" }
        input #code name="code" autocomplete="one-time-code" required;
    };
    let body = html! {
        div.pad {
            @match &settings.totp {
                Totp::Fixed => {
                    p { "On, by " code { "NIXFLEET_TOTP_SECRET" } "; change it there." }
                    (recovery(settings, csrf))
                }
                Totp::On => {
                    p { "On: logging in and rebooting hosts ask for a code." }
                    form.fields method="post" action="/settings/totp/off" {
                        (csrf_field(csrf)) (code)
                        p.buttons { button type="submit" { "Turn off" } }
                    }
                    (recovery(settings, csrf))
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
    };
    card("totp-settings", "One-time codes", &body)
}

/// What stands in for a phone that was lost.
fn recovery(settings: &Settings<'_>, csrf: &str) -> Markup {
    html! {
        p #recovery-codes {
            (counted(settings.recovery_codes, "recovery code")) " left. Each works once instead of a one-time code."
        }
        form.fields method="post" action="/settings/totp/recovery" {
            (csrf_field(csrf))
            label for="recovery-code" { "One-time code" }
            input #recovery-code name="code" autocomplete="one-time-code" required;
            p.buttons { button type="submit" { "Make new recovery codes" } }
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

/// What a token of this scope may do, in words.
fn may(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Operate => "read and operate",
        Scope::Admin => "do everything",
    }
}

fn sessions(settings: &Settings<'_>, csrf: &str) -> Markup {
    let end = |session: &SessionRecord| {
        html! {
            form method="post" action="/settings/sessions/end" {
                (csrf_field(csrf))
                input type="hidden" name="id" value=((settings.id_of)(&session.token_hash));
                button.ghost type="submit" aria-label={ "End the session from " (session.address) } { "End" }
            }
        }
    };
    let body = html! {
        table.tbl {
            thead { tr {
                th scope="col" { "Address" } th.wide scope="col" { "Browser" } th.opt scope="col" { "Since" }
                th scope="col" { "Used" } th scope="col" { span.sr { "End" } }
            } }
            tbody {
                @for session in settings.sessions {
                    tr {
                        td { (if session.address.is_empty() { "unknown address" } else { &session.address }) }
                        td.wide.soft title=(session.browser) { bdi { (session.browser) } }
                        td.opt.soft { (time(session.created_at)) }
                        td.soft {
                            @if session.token_hash == settings.own_session { span.pill.ok { "this one" } }
                            @else { (time(session.last_used_at)) }
                        }
                        td { (end(session)) }
                    }
                }
            }
        }
        p.pad.soft.small { "One that is ended here ends its pages too." }
    };
    card("session-settings", "Sessions", &body)
}

fn tokens(settings: &Settings<'_>, csrf: &str) -> Markup {
    let body = html! {
        @if !settings.tokens.is_empty() {
            table.tbl {
                thead { tr {
                    th.wide scope="col" { "Name" } th scope="col" { "May" } th.opt scope="col" { "Made" }
                    th.opt scope="col" { "Until" } th scope="col" { "Used" } th scope="col" { span.sr { "Remove" } }
                } }
                tbody { @for token in settings.tokens { (token_row(settings, token, csrf)) } }
            }
        }
        div.pad {
            p.soft { "A program that calls the API sends one as " code { "Authorization: Bearer …" } ". Only their hashes are kept." }
            (new_token(csrf))
        }
    };
    card("token-settings", "API tokens", &body)
}

fn token_row(settings: &Settings<'_>, token: &ApiTokenRecord, csrf: &str) -> Markup {
    html! {
        tr {
            td.wide { bdi { (token.name) } }
            td.soft { (may(token.scope)) }
            td.opt.soft { (time(token.created_at)) }
            td.opt.soft { @match token.expires_at { Some(end) => (exact(end)), None => "for good" } }
            td.soft { @match token.last_used_at { Some(at) => (time(at)), None => "never used" } }
            td {
                form method="post" action="/settings/tokens/remove" {
                    (csrf_field(csrf))
                    input type="hidden" name="id" value=((settings.id_of)(&token.token_hash));
                    button.ghost type="submit" aria-label={ "Remove " (token.name) } { "Remove" }
                }
            }
        }
    }
}

fn new_token(csrf: &str) -> Markup {
    html! {
        form.fields method="post" action="/settings/tokens/new" {
            (csrf_field(csrf))
            label for="token-name" { "What it is for" }
            input #token-name name="name" maxlength="100" required autocomplete="off";
            label for="token-scope" { "What it may do" }
            select #token-scope name="scope" {
                @for scope in Scope::ALL { option value=(scope) { (may(scope)) } }
            }
            label for="token-days" { "How long it works" }
            select #token-days name="days" {
                @for days in [30, 90, 365] { option value=(days) selected[days == 90] { (days) " days" } }
                option value="" { "for good" }
            }
            p.buttons { button type="submit" { "Make a token" } }
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
    let body = html! {
        div.pad {
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
    };
    card("enrolment-settings", "Enrolment", &body)
}

fn sources(settings: &Settings<'_>, csrf: &str) -> Markup {
    let body = html! {
        @for state in settings.view.remotes.iter() {
            div.set data-source=(state.name) {
                div {
                    b {
                        (state.name)
                        @if let Desired::Known(_) = &*state.desired {
                            span.pill.ok {
                                @match settings.view.read_at.get(&state.name) { Some(at) => { "read " (time(*at)) } None => "read" }
                            }
                        } @else { span.pill.bad { "cannot be read" } }
                    }
                    p { (source_told(&state.desired)) }
                }
                div {
                    form method="post" action="/desired/refresh?back=/settings" {
                        (csrf_field(csrf)) button type="submit" { "Read now" }
                    }
                }
            }
        }
        div.set { div { b { "Where they come from" } p { "Set by " code { "NIXFLEET_SOURCE" } "; change it there." } } }
    };
    card("source-settings", "Sources", &body)
}

fn source_told(desired: &Desired) -> Markup {
    match desired {
        Desired::Known(remote) => fleet::head(remote),
        Desired::NotYetFetched => html! { "Waiting for its first answer." },
        Desired::NotConfigured { setting } => {
            html! { span.alert { "Not set up: set " code { (setting) } "." } }
        }
        Desired::Unavailable { since, reason, .. } => {
            html! { span.alert { "Cannot be read: " (reason) " (since " (time(*since)) ")" } }
        }
    }
}
