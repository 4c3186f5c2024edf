//! What a user wants a channel to be, checked field by field. Pure.

use super::core::{Channel, Kind, Quiet, Security, Settings, Target, minute_of};
use super::send::is_mailbox;
use crate::domain::timestamp::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// A name may have so many letters.
const NAME: usize = 60;
/// Any other text may have so many.
const TEXT: usize = 2000;

/// What a user wants a channel to be. A secret that is missing stays as it was.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewChannel {
    kind: String,
    url: Option<String>,
    secret: Option<String>,
    server: Option<String>,
    port: Option<u16>,
    security: Option<Security>,
    user: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    room: Option<String>,
    events: Vec<String>,
    hosts: Vec<String>,
    quiet_from: Option<String>,
    quiet_to: Option<String>,
    time_zone: Option<String>,
}

/// What a user wants to be otherwise about all channels. What is missing stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewSettings {
    offline_after: Option<u64>,
    reboot_after: Option<u64>,
    remote_after: Option<u64>,
    /// Empty: none.
    heartbeat_url: Option<String>,
    heartbeat_every: Option<u64>,
}

/// A field that is not as expected, and what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) field: &'static str,
    pub(crate) expected: String,
}

fn bad(field: &'static str, expected: impl Into<String>) -> Bad {
    Bad { field, expected: expected.into() }
}

type Read<T> = Result<T, Bad>;

impl NewChannel {
    /// The channel that is meant. `known` is what has this name now.
    pub(super) fn read(
        self,
        name: &str,
        now: Timestamp,
        known: Option<&Channel>,
        is_zone: impl Fn(&str) -> bool,
    ) -> Read<Channel> {
        let letters = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > NAME || !name.chars().all(letters) {
            let expected = format!("expected 1 to {NAME} letters, digits, `.`, `_`, `-`");
            return Err(bad("name", expected));
        }
        let target = self.target(known.map(|channel| &channel.target))?;
        let mut events = BTreeSet::new();
        for event in &self.events {
            let names = || Kind::ALL.map(Kind::name).join(", ");
            let kind = Kind::parse(event);
            events.insert(
                kind.ok_or_else(|| bad("events", format!("expected some of {}", names())))?,
            );
        }
        let hosts = plain_list("hosts", &self.hosts)?;
        let quiet = self.quiet(is_zone)?;
        let since = known.map_or(now, |channel| channel.since);
        Ok(Channel { name: name.to_owned(), target, events, hosts, quiet, since })
    }

    fn quiet(&self, is_zone: impl Fn(&str) -> bool) -> Read<Option<Quiet>> {
        let (from, to) = (given(&self.quiet_from), given(&self.quiet_to));
        let (Some(from), Some(to)) = (from, to) else {
            return match (from, to) {
                (None, None) => Ok(None),
                (Some(_), _) => Err(bad("quiet_to", "expected a time such as 07:00")),
                (None, Some(_)) => Err(bad("quiet_from", "expected a time such as 22:00")),
            };
        };
        let minute = |field, text| {
            minute_of(text).ok_or_else(|| bad(field, "expected a time such as 22:00"))
        };
        let zone = given(&self.time_zone).unwrap_or("UTC");
        if !is_zone(zone) {
            let expected = "expected a time zone such as Europe/Vienna that this machine knows";
            return Err(bad("time_zone", expected));
        }
        let (from, to) = (minute("quiet_from", from)?, minute("quiet_to", to)?);
        Ok(Some(Quiet { from, to, time_zone: zone.to_owned() }))
    }

    fn target(&self, known: Option<&Target>) -> Read<Target> {
        let takes: &[&str] = match self.kind.as_str() {
            "ntfy" | "webhook" => &["url", "secret"],
            "slack" | "discord" => &["url"],
            "matrix" => &["url", "secret", "room"],
            "mail" => &["secret", "server", "port", "security", "user", "from", "to"],
            _ => {
                let kinds = "ntfy, webhook, mail, slack, discord, matrix";
                return Err(bad("kind", format!("expected one of {kinds}")));
            }
        };
        for (field, is_set) in [
            ("url", given(&self.url).is_some()),
            ("secret", given(&self.secret).is_some()),
            ("server", given(&self.server).is_some()),
            ("port", self.port.is_some()),
            ("security", self.security.is_some()),
            ("user", given(&self.user).is_some()),
            ("from", given(&self.from).is_some()),
            ("to", !self.to.is_empty()),
            ("room", given(&self.room).is_some()),
        ] {
            if is_set && !takes.contains(&field) {
                return Err(bad(
                    field,
                    format!("expected nothing: {} has no such field", self.kind),
                ));
            }
        }
        // Another kind of channel has another secret, and so has another address.
        let known = known.filter(|target| target.name() == self.kind);
        let same_place = known.filter(|target| target.place() == self.place(target));
        let secret = || match (given(&self.secret), same_place) {
            (Some(secret), _) => Some(secret.to_owned()),
            (None, Some(target)) => target.secret().map(str::to_owned),
            (None, None) => None,
        };
        let needed = |field, what: &str| bad(field, format!("expected {what}, got nothing"));
        match self.kind.as_str() {
            "ntfy" => Ok(Target::Ntfy { url: topic(&self.url()?)?, token: secret() }),
            "webhook" => {
                let url = self.url()?;
                let secret = secret().ok_or_else(|| needed("secret", "a text to sign with"))?;
                Ok(Target::Webhook { url, secret })
            }
            "slack" => Ok(Target::Slack { url: self.secret_url(known)? }),
            "discord" => Ok(Target::Discord { url: self.secret_url(known)? }),
            "matrix" => {
                let token = secret().ok_or_else(|| needed("secret", "an access token"))?;
                let room = given(&self.room).filter(|room| room.starts_with(['!', '#']));
                let room =
                    room.ok_or_else(|| bad("room", "expected a room such as !id:example.org"))?;
                let url = self.url()?.trim_end_matches('/').to_owned();
                Ok(Target::Matrix { url, room: plain("room", room)?, token })
            }
            _ => self.mail(secret()),
        }
    }

    /// Where the secret would be sent, as far as it is said.
    fn place(&self, known: &Target) -> String {
        match known {
            Target::Mail { .. } => given(&self.server).unwrap_or_default().to_owned(),
            Target::Matrix { .. } => {
                given(&self.url).unwrap_or_default().trim_end_matches('/').to_owned()
            }
            Target::Ntfy { .. }
            | Target::Webhook { .. }
            | Target::Slack { .. }
            | Target::Discord { .. } => given(&self.url).unwrap_or_default().to_owned(),
        }
    }

    fn url(&self) -> Read<String> {
        let url = given(&self.url).ok_or_else(|| bad("url", "expected an address, got nothing"))?;
        address("url", url)
    }

    /// An address that is a secret as a whole.
    fn secret_url(&self, known: Option<&Target>) -> Read<String> {
        match known.and_then(Target::secret) {
            Some(known) if given(&self.url).is_none() => Ok(known.to_owned()),
            Some(_) | None => self.url(),
        }
    }

    fn mail(&self, password: Option<String>) -> Read<Target> {
        let server = given(&self.server).ok_or_else(|| {
            bad("server", "expected a name such as mail.example.org, got nothing")
        })?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if !server.chars().all(is_name) {
            return Err(bad("server", "expected a name such as mail.example.org"));
        }
        let security = self.security.unwrap_or(Security::Starttls);
        let usual = match security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::None => 25,
        };
        let user = given(&self.user).map(str::to_owned);
        if user.is_some() && password.is_none() {
            return Err(bad("secret", "expected the password of `user`, got nothing"));
        }
        if user.is_some() && security == Security::None && !is_here(server) {
            return Err(bad(
                "security",
                "expected starttls or tls: a password is not sent in clear",
            ));
        }
        let mailbox = |field, text: &str| {
            let expected = || bad(field, "expected a mail address such as ops@example.org");
            is_mailbox(text).then(|| text.to_owned()).ok_or_else(expected)
        };
        let from = mailbox("from", given(&self.from).unwrap_or_default())?;
        let to = plain_list("to", &self.to)?;
        let to: Vec<String> =
            to.iter().map(|text| mailbox("to", text)).collect::<Result<_, _>>()?;
        if to.is_empty() {
            return Err(bad("to", "expected at least one mail address"));
        }
        let password = password.filter(|_| user.is_some());
        let port = self.port.unwrap_or(usual);
        Ok(Target::Mail { server: server.to_owned(), port, security, user, password, from, to })
    }
}

impl NewSettings {
    /// What it makes of the settings.
    pub(super) fn read(self, mut settings: Settings) -> Read<Settings> {
        let year = 366 * 24 * 3600;
        let seconds = |field, given: Option<u64>, least: u64, old: Duration| match given {
            None => Ok(old),
            Some(n) if (least..=year).contains(&n) => Ok(Duration::from_secs(n)),
            Some(_) => Err(bad(field, format!("expected {least} to {year} seconds"))),
        };
        let limits = &mut settings.limits;
        limits.offline = seconds("offline_after", self.offline_after, 1, limits.offline)?;
        limits.reboot = seconds("reboot_after", self.reboot_after, 1, limits.reboot)?;
        limits.remote = seconds("remote_after", self.remote_after, 1, limits.remote)?;
        let every = settings.heartbeat_every;
        settings.heartbeat_every = seconds("heartbeat_every", self.heartbeat_every, 1, every)?;
        match self.heartbeat_url.as_deref().map(str::trim) {
            None => {}
            Some("") => settings.heartbeat_url = None,
            Some(url) => settings.heartbeat_url = Some(address("heartbeat_url", url)?),
        }
        Ok(settings)
    }
}

/// A text that is there and not empty.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn plain(field: &'static str, text: &str) -> Read<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT || text.chars().any(char::is_control) {
        return Err(bad(field, "expected a plain text"));
    }
    Ok(text.to_owned())
}

fn plain_list(field: &'static str, list: &[String]) -> Read<Vec<String>> {
    list.iter().map(|text| plain(field, text)).collect()
}

fn address(field: &'static str, url: &str) -> Read<String> {
    let authority = url.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        matches!(scheme, "http" | "https").then_some(authority)
    });
    let fits = authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'));
    let plain = url.chars().all(|c| !c.is_whitespace() && !c.is_control()) && url.len() <= TEXT;
    if fits && plain {
        Ok(url.to_owned())
    } else {
        Err(bad(field, "expected an address such as https://example.org/x, without a user in it"))
    }
}

fn topic(url: &str) -> Read<String> {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let topic = path.and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default();
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if topic.is_empty() || !topic.chars().all(letters) {
        return Err(bad(
            "url",
            "expected the address of a topic, such as https://ntfy.sh/my-fleet",
        ));
    }
    Ok(url.to_owned())
}

fn is_here(server: &str) -> bool {
    matches!(server, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: Value, known: Option<&Channel>) -> Read<Channel> {
        let wanted: NewChannel = serde_json::from_value(body).unwrap();
        wanted.read("a", Timestamp::from_secs(1), known, |zone| zone == "UTC")
    }

    #[test]
    fn what_is_not_as_expected_is_named() {
        let mail = json!({
            "kind": "mail", "server": "m.example", "from": "a@b.example", "to": ["c@d.example"],
        });
        let with = |more: Value| {
            let mut body = mail.clone();
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            body
        };
        for (body, field) in [
            (json!({ "kind": "pigeon" }), "kind"),
            (json!({ "kind": "ntfy" }), "url"),
            (json!({ "kind": "ntfy", "url": "https://ntfy.sh" }), "url"),
            (json!({ "kind": "ntfy", "url": "ftp://ntfy.sh/x" }), "url"),
            (json!({ "kind": "ntfy", "url": "https://a:b@ntfy.sh/x" }), "url"),
            (json!({ "kind": "ntfy", "url": "https://ntfy.sh/x", "room": "!a" }), "room"),
            (json!({ "kind": "webhook", "url": "https://h/x" }), "secret"),
            (json!({ "kind": "matrix", "url": "https://m", "secret": "t", "room": "a" }), "room"),
            (json!({ "kind": "slack" }), "url"),
            (with(json!({ "to": [] })), "to"),
            (with(json!({ "to": ["nobody"] })), "to"),
            (with(json!({ "from": "x" })), "from"),
            (with(json!({ "user": "u" })), "secret"),
            (with(json!({ "user": "u", "secret": "p", "security": "none" })), "security"),
            (with(json!({ "server": "a b" })), "server"),
            (with(json!({ "events": ["rain"] })), "events"),
            (with(json!({ "hosts": [""] })), "hosts"),
            (with(json!({ "quiet_from": "22:00" })), "quiet_to"),
            (with(json!({ "quiet_from": "22:00", "quiet_to": "25:00" })), "quiet_to"),
            (
                with(json!({ "quiet_from": "1:00", "quiet_to": "2:00", "time_zone": "x" })),
                "time_zone",
            ),
        ] {
            assert_eq!(read(body.clone(), None).err().map(|bad| bad.field), Some(field), "{body}");
        }
        assert!(read(mail, None).is_ok());
        let wanted = NewChannel::default();
        assert_eq!(
            wanted.read("a b", Timestamp::from_secs(1), None, |_| true).err().map(|bad| bad.field),
            Some("name")
        );
    }

    #[test]
    fn a_secret_stays_where_it_was_and_goes_to_no_other_place() {
        let webhook = |url: &str, secret: Option<&str>| json!({ "kind": "webhook", "url": url, "secret": secret });
        let known = read(webhook("https://a/x", Some("s")), None).unwrap();
        let same = read(webhook("https://a/x", None), Some(&known)).unwrap();
        assert_eq!(same.target.secret(), Some("s"));
        // Whoever may change an address must not get the secret sent there.
        let moved = read(webhook("https://evil/x", None), Some(&known));
        assert_eq!(moved.err().map(|bad| bad.field), Some("secret"));
        let slack = read(json!({ "kind": "slack", "url": "https://s/secret" }), None).unwrap();
        let same = read(json!({ "kind": "slack" }), Some(&slack)).unwrap();
        assert_eq!(same.target.secret(), Some("https://s/secret"));
        assert!(read(json!({ "kind": "discord" }), Some(&slack)).is_err());
    }
}
