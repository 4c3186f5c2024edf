//! Where messages go, and which.

use super::Kind;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// One way to tell somebody. Holds secrets: it is stored, and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Channel {
    /// What the user calls it.
    pub(crate) name: String,
    /// Where to.
    pub(crate) target: Target,
    /// What is told; all if empty.
    pub(crate) events: BTreeSet<Kind>,
    /// Of which hosts, by name, with `*` for any letters; all if empty.
    pub(crate) hosts: Vec<String>,
    /// When it has to wait.
    pub(crate) quiet: Option<Quiet>,
    /// When it was added: of what happened before it hears nothing.
    pub(crate) since: Timestamp,
}

/// Where to, and how.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Target {
    /// A topic of ntfy.
    Ntfy { url: String, token: Option<String> },
    /// Anything that takes JSON and checks a signature.
    Webhook { url: String, secret: String },
    /// Electronic mail.
    Mail {
        server: String,
        port: u16,
        security: Security,
        user: Option<String>,
        password: Option<String>,
        from: String,
        to: Vec<String>,
    },
    /// An incoming webhook of Slack, whose address is its secret.
    Slack { url: String },
    /// A webhook of Discord, whose address is its secret.
    Discord { url: String },
    /// A room of Matrix.
    Matrix { url: String, room: String, token: String },
}

impl Target {
    /// The name in the API.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Ntfy { .. } => "ntfy",
            Self::Webhook { .. } => "webhook",
            Self::Mail { .. } => "mail",
            Self::Slack { .. } => "slack",
            Self::Discord { .. } => "discord",
            Self::Matrix { .. } => "matrix",
        }
    }
}

impl Target {
    /// Where its secret is sent.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Mail { server, .. } => server.clone(),
            Self::Ntfy { url, .. }
            | Self::Webhook { url, .. }
            | Self::Slack { url }
            | Self::Discord { url }
            | Self::Matrix { url, .. } => url.clone(),
        }
    }

    /// What is never shown.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Self::Ntfy { token, .. } => token.as_deref(),
            Self::Webhook { secret, .. } => Some(secret),
            Self::Mail { password, .. } => password.as_deref(),
            Self::Slack { url } | Self::Discord { url } => Some(url),
            Self::Matrix { token, .. } => Some(token),
        }
    }
}

/// How a mail server is spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Security {
    /// It begins in clear and must go over to TLS before anything is said.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In clear: for a relay on the same machine.
    None,
}

/// Hours in which nothing is sent. What happens then is told at their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quiet {
    /// Minute of the day at which it begins.
    pub(crate) from: u16,
    /// Minute of the day at which it ends; before `from` it is that of the next day.
    pub(crate) to: u16,
    /// Whose clock: a name such as `Europe/Vienna`.
    pub(crate) time_zone: String,
}

impl Quiet {
    /// Whether this minute of the day is a quiet one.
    pub(crate) fn holds(&self, minute: u16) -> bool {
        if self.from <= self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// `22:30` as minutes of the day.
pub(crate) fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    Some(hours * 60 + minutes).filter(|minute| minutes < 60 && *minute < DAY)
}

impl Channel {
    /// Whether it is told of this.
    pub(crate) fn wants(&self, kind: Kind, subject: &str) -> bool {
        let event = self.events.is_empty() || self.events.contains(&kind);
        let all_hosts = self.hosts.is_empty() || !kind.is_about_a_host();
        event && (all_hosts || self.hosts.iter().any(|pattern| matches(pattern, subject)))
    }
}

/// Whether a name is of a pattern, in which `*` stands for any letters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_hosts() {
        for (pattern, name, expected) in [
            ("web", "web", true),
            ("web", "web1", false),
            ("web*", "web1", true),
            ("*", "anything", true),
            ("*-prod", "db-prod", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        let quiet = |from: &str, to: &str| Quiet {
            from: minute_of(from).unwrap(),
            to: minute_of(to).unwrap(),
            time_zone: "UTC".into(),
        };
        for (from, to, at, expected) in [
            ("22:00", "07:00", "23:30", true),
            ("22:00", "07:00", "06:59", true),
            ("22:00", "07:00", "07:00", false),
            ("22:00", "07:00", "12:00", false),
            ("12:00", "13:00", "12:30", true),
            ("12:00", "13:00", "13:00", false),
            ("12:00", "12:00", "12:00", false),
        ] {
            assert_eq!(quiet(from, to).holds(minute_of(at).unwrap()), expected, "{from} {to} {at}");
        }
        for bad in ["24:00", "7", "7:60", ":", "-1:00", "+1:00", "007:00"] {
            assert_eq!(minute_of(bad), None, "{bad}");
        }
    }
}
