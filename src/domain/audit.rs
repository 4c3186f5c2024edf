//! Who does something, and what the audit log calls it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Who asked for something. Stored and shown as text: `admin`, `token NAME`, `agent`, `auto`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Author {
    /// The administrator, on the page.
    Admin,
    /// A program, by the API token of this name.
    Token(String),
    /// An agent: it ran something that the dashboard had not asked for.
    Agent,
    /// The dashboard: tests after a switch, a rollback after failed tests.
    Auto,
    /// A text in the database that this version would not write. It is only shown.
    Other(String),
}

/// Who asks, and from where: an address, as text. The address is for the audit log alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Who.
    pub author: Author,
    /// From where; `None` where nobody called.
    pub from: Option<String>,
}

impl From<Author> for Asker {
    fn from(author: Author) -> Self {
        Self { author, from: None }
    }
}

/// A result of the audit log: it was done.
pub const DONE: &str = "done";
/// A result: it was begun, or waits; how it ended is another entry.
pub const ACCEPTED: &str = "accepted";
/// A result: it was not done.
pub const REFUSED: &str = "refused";

const TOKEN: &str = "token ";

impl Author {
    /// Reads what was stored. Every text is somebody; [`fmt::Display`] writes the same again.
    pub fn parse(text: &str) -> Self {
        match text {
            "admin" => Self::Admin,
            "agent" => Self::Agent,
            "auto" => Self::Auto,
            _ => match text.strip_prefix(TOKEN) {
                Some(name) => Self::Token(name.to_owned()),
                None => Self::Other(text.to_owned()),
            },
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("admin"),
            Self::Token(name) => write!(f, "{TOKEN}{name}"),
            Self::Agent => f.write_str("agent"),
            Self::Auto => f.write_str("auto"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for Author {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Author {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

/// What an entry of the audit log is about. Users filter by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditCategory {
    /// A command was asked for, refused, stopped or adopted.
    Command,
    /// A host came, went, or was given other settings.
    Host,
    /// A rollout began, ended or was cancelled.
    Rollout,
    /// A pull request was merged or taken back.
    PullRequest,
    /// The dashboard's own settings.
    Settings,
    /// Somebody logged in, or tried to.
    Login,
    /// An agent said something that makes no sense.
    Protocol,
    /// The dashboard itself: its clock was set.
    Dashboard,
}

impl AuditCategory {
    /// All categories.
    pub const ALL: [Self; 8] = [
        Self::Command,
        Self::Host,
        Self::Rollout,
        Self::PullRequest,
        Self::Settings,
        Self::Login,
        Self::Protocol,
        Self::Dashboard,
    ];

    /// The name in SQLite, in the API and on the page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Host => "host",
            Self::Rollout => "rollout",
            Self::PullRequest => "pull-request",
            Self::Settings => "settings",
            Self::Login => "login",
            Self::Protocol => "protocol",
            Self::Dashboard => "dashboard",
        }
    }
}

impl fmt::Display for AuditCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn authors_are_stored_in_the_words_of_earlier_versions() {
        for (author, text) in [
            (Author::Admin, "admin"),
            (Author::Token("deploy bot".into()), "token deploy bot"),
            (Author::Agent, "agent"),
            (Author::Auto, "auto"),
            (Author::Other("somebody".into()), "somebody"),
        ] {
            assert_eq!(author.to_string(), text);
            assert_eq!(Author::parse(text), author);
            assert_eq!(serde_json::to_value(&author).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn no_stored_author_is_changed_by_being_read(text in ".*") {
            prop_assert_eq!(Author::parse(&text).to_string(), text);
        }
    }

    #[test]
    fn no_two_categories_share_a_name() {
        let names: BTreeSet<&str> = AuditCategory::ALL.map(AuditCategory::name).into();
        assert_eq!(names.len(), AuditCategory::ALL.len());
    }
}
