//! The page about notifications: channels and how they do, and what they have in common.

use super::{csrf_field, layout, time};
use crate::dashboard::notify::core::{Channel, ChannelStatus, Kind, Overview, Security, Target};
use maud::{Markup, html};

/// Which form is open.
#[derive(Default)]
pub(crate) struct Form {
    /// For a new channel of this kind.
    pub kind: Option<String>,
    /// For the channel of this name.
    pub edit: Option<String>,
}

/// What was just done, or why not.
pub(crate) struct Said {
    /// In words.
    pub text: String,
    /// It did not work.
    pub failed: bool,
}

const KINDS: [(&str, &str); 6] = [
    ("ntfy", "ntfy"),
    ("mail", "Mail"),
    ("webhook", "Webhook"),
    ("slack", "Slack"),
    ("discord", "Discord"),
    ("matrix", "Matrix"),
];

/// The page.
pub(crate) fn page(all: &Overview, form: &Form, said: Option<&Said>, csrf: &str) -> Markup {
    let edited = form.edit.as_ref();
    let edited = edited.and_then(|name| all.channels.iter().find(|c| c.channel.name == **name));
    let main = html! {
        h1 { "Notifications" }
        @if let Some(said) = said {
            section.news data-failed[said.failed] role="status" { p { (said.text) } }
        }
        section #channels {
            h2 { "Channels" }
            @if all.channels.is_empty() { p { "Nobody is told anything yet. Add a channel:" } }
            ul.plain { @for status in &all.channels { (channel(status, csrf)) } }
            p {
                "Add "
                @for (kind, label) in KINDS {
                    a href={ "/settings/notifications?kind=" (kind) "#channel-form" } { (label) } " "
                }
            }
        }
        @match (edited, form.kind.as_deref()) {
            (Some(status), _) => (fields(status.channel.target.name(), Some(&status.channel), csrf)),
            (None, Some(kind)) if KINDS.iter().any(|(known, _)| *known == kind) => {
                (fields(kind, None, csrf))
            }
            (None, _) => {}
        }
        (common(all, csrf))
        p { a href="/settings" { "All settings" } }
    };
    layout::page("Notifications", Some(csrf), &main)
}

fn channel(status: &ChannelStatus, csrf: &str) -> Markup {
    let Channel { name, target, .. } = &status.channel;
    let button = |what: &str, label: &str| {
        html! {
            form method="post" action={ "/settings/notifications/" (name) "/" (what) } {
                (csrf_field(csrf))
                button.quiet type="submit" aria-label={ (label) " " (name) } { (label) }
            }
        }
    };
    html! {
        li data-channel=(name) {
            p {
                b { (name) } " " span.quiet { (target.name()) " · " (place(target)) }
                @if status.waiting > 0 { " · " (status.waiting) " waiting" }
                @if let Some(at) = status.delivered { span.quiet { " · delivered " (time(at)) } }
            }
            @if let Some(error) = &status.error { p.alert { "Not delivered, it is tried again: " (error) } }
            div.buttons {
                (button("test", "Test"))
                a href={ "/settings/notifications?edit=" (name) "#channel-form" } aria-label={ "Change " (name) } { "Change" }
                (button("remove", "Remove"))
            }
        }
    }
}

/// Where it goes, without what is secret about it.
pub(crate) fn place(target: &Target) -> String {
    match target {
        Target::Ntfy { url, .. } | Target::Webhook { url, .. } => url.clone(),
        Target::Slack { url } | Target::Discord { url } => host_of(url).to_owned(),
        Target::Matrix { url, room, .. } => format!("{room} at {}", host_of(url)),
        Target::Mail { server, port, to, .. } => format!("{} by {server}:{port}", to.join(", ")),
    }
}

/// The server of an address.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn field(name: &str, label: &str, kind: &str, value: &str, needed: bool) -> Markup {
    html! {
        label for={ "channel-" (name) } { (label) }
        input id={ "channel-" (name) } name=(name) type=(kind) value=(value) required[needed] autocomplete="off";
    }
}

fn secret(label: &str, has_one: bool) -> Markup {
    html! {
        label for="channel-secret" { (label) }
        input #channel-secret name="secret" type="password" autocomplete="new-password"
            placeholder=[has_one.then_some("stays as it is")];
    }
}

/// The form for a channel. A secret is never in it.
fn fields(kind: &str, known: Option<&Channel>, csrf: &str) -> Markup {
    let target = known.map(|channel| &channel.target);
    let has_one = target.and_then(Target::secret).is_some();
    let name = known.map(|channel| channel.name.as_str()).unwrap_or_default();
    let hosts = known.map(|channel| channel.hosts.join(", ")).unwrap_or_default();
    let wants = |kind: Kind| {
        known.is_none_or(|channel| channel.events.is_empty() || channel.events.contains(&kind))
    };
    html! {
        section #channel-form {
            h2 { @if known.is_some() { "Change " (name) } @else { "New channel: " (kind) } }
            form.fields method="post" action="/settings/notifications/channel" {
                (csrf_field(csrf))
                input type="hidden" name="kind" value=(kind);
                @if known.is_some() { input type="hidden" name="name" value=(name); }
                @else { (field("name", "Name", "text", "", true)) }
                (own_fields(kind, target, has_one))
                fieldset {
                    legend { "Tell about" }
                    @for event in Kind::ALL {
                        label {
                            input type="checkbox" name={ "event." (event.name()) } checked[wants(event)];
                            " " (event.label())
                        }
                    }
                }
                (field("hosts", "Hosts (names, with * for any letters; empty: all)", "text", &hosts, false))
                (quiet(known))
                p.buttons { button type="submit" { "Save" } }
            }
        }
    }
}

fn own_fields(kind: &str, target: Option<&Target>, has_one: bool) -> Markup {
    let url = match target {
        Some(
            Target::Ntfy { url, .. } | Target::Webhook { url, .. } | Target::Matrix { url, .. },
        ) => url,
        Some(Target::Mail { .. } | Target::Slack { .. } | Target::Discord { .. }) | None => "",
    };
    html! {
        @match kind {
            "ntfy" => {
                (field("url", "Topic, such as https://ntfy.sh/my-fleet", "url", url, true))
                (secret("Access token, if it needs one", has_one))
            }
            "webhook" => {
                (field("url", "Address", "url", url, true))
                (secret("Secret to sign with", has_one))
            }
            "matrix" => {
                (field("url", "Home server, such as https://matrix.example.org", "url", url, true))
                @let room = if let Some(Target::Matrix { room, .. }) = target { room } else { "" };
                (field("room", "Room, such as !id:example.org", "text", room, true))
                (secret("Access token", has_one))
            }
            "mail" => (mail(target, has_one)),
            _ => {
                label for="channel-url" { "Address of its webhook, which is a secret" }
                input #channel-url name="url" type="password" autocomplete="off"
                    required[!has_one] placeholder=[has_one.then_some("stays as it is")];
            }
        }
    }
}

fn mail(target: Option<&Target>, has_one: bool) -> Markup {
    let (server, port, security, user, from, to) = match target {
        Some(Target::Mail { server, port, security, user, from, to, .. }) => (
            server.as_str(),
            port.to_string(),
            *security,
            user.as_deref().unwrap_or_default(),
            from.as_str(),
            to.join(", "),
        ),
        Some(_) | None => ("", String::new(), Security::Starttls, "", "", String::new()),
    };
    let option = |value: &str, label: &str, chosen: Security| {
        html! { option value=(value) selected[security == chosen] { (label) } }
    };
    html! {
        (field("server", "Mail server", "text", server, true))
        (field("port", "Port (empty: the usual one)", "number", &port, false))
        label for="channel-security" { "Encryption" }
        select #channel-security name="security" {
            (option("starttls", "STARTTLS", Security::Starttls))
            (option("tls", "TLS from the start", Security::Tls))
            (option("none", "none (a relay on this machine)", Security::None))
        }
        (field("user", "User, if it asks for one", "text", user, false))
        (secret("Password", has_one))
        (field("from", "From", "text", from, true))
        (field("to", "To (several: with commas)", "text", &to, true))
    }
}

fn quiet(known: Option<&Channel>) -> Markup {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let quiet = known.and_then(|channel| channel.quiet.as_ref());
    let (from, to) = quiet.map(|q| (clock(q.from), clock(q.to))).unwrap_or_default();
    let zone = quiet.map_or("UTC", |quiet| &quiet.time_zone);
    html! {
        (field("quiet_from", "Quiet from", "time", &from, false))
        (field("quiet_to", "Quiet until: what happens then is told at the end", "time", &to, false))
        (field("time_zone", "Time zone, such as Europe/Vienna", "text", zone, false))
    }
}

fn common(all: &Overview, csrf: &str) -> Markup {
    let settings = &all.settings;
    let number = |name: &str, label: &str, seconds: u64| {
        html! {
            label for=(name) { (label) }
            input id=(name) name=(name) type="number" min="1" value=(seconds) required;
        }
    };
    html! {
        section #notification-settings {
            h2 { "For all channels" }
            form.fields method="post" action="/settings/notifications/settings" {
                (csrf_field(csrf))
                (number("offline_after", "Seconds until an offline host is told of", settings.limits.offline.as_secs()))
                (number("reboot_after", "Seconds until a needed reboot is told of", settings.limits.reboot.as_secs()))
                (number("remote_after", "Seconds until a source that cannot be read is told of", settings.limits.remote.as_secs()))
                label for="heartbeat_url" { "Address to call for as long as the dashboard is well (Healthchecks, Uptime Kuma); - for none" }
                input #heartbeat_url name="heartbeat_url" type="text" autocomplete="off"
                    placeholder=[settings.heartbeat_url.as_deref().map(host_of)];
                (number("heartbeat_every", "Seconds between calls", settings.heartbeat_every.as_secs()))
                p.buttons { button type="submit" { "Save" } }
            }
            @if let Some(url) = &settings.heartbeat_url {
                p #heartbeat {
                    "Calls " (host_of(url)) ". "
                    @if let Some(at) = all.heart.beaten { "It answered " (time(at)) ". " }
                    @if let Some(error) = &all.heart.error { span.alert { "It was not reached: " (error) } }
                }
            }
        }
    }
}
