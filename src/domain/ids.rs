//! Names and hashes that must not be mixed up with other strings.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A host's id: its hostname in lower case (spec: the protocol, "Connection"). It is in many
/// places at once: copies share its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HostId(Arc<str>);

impl HostId {
    /// Checks a hostname: 1 to 253 characters of letters, digits, `.`, `_` and `-`,
    /// starting with a letter or digit. The error says what was expected.
    pub fn parse(hostname: &str) -> Result<Self, InvalidHostname> {
        let starts_well = hostname.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all_well =
            hostname.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if hostname.len() <= 253 && starts_well && all_well {
            Ok(Self(hostname.to_ascii_lowercase().into()))
        } else {
            Err(InvalidHostname)
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A text that is no hostname.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a hostname is 1 to 253 characters of letters, digits, `.`, `_` and `-`, and starts with a letter or digit"
)]
pub struct InvalidHostname;

/// A command's id: a UUIDv7, made by the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub Uuid);

impl CommandId {
    /// Parses a UUID; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A git commit: a full hash, or the 7 or more leading characters of one.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Commit(Arc<str>);

impl Commit {
    /// Reads a commit as hosts report it. `None` for the empty string, `unknown`, and
    /// anything else that is not 7 to 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid = (7..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
        valid.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The hash as it was given, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 7 characters, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

/// A full hash and its own prefix of 7 or more characters are the same commit.
impl PartialEq for Commit {
    fn eq(&self, other: &Self) -> bool {
        self.0.starts_with(&*other.0) || other.0.starts_with(&*self.0)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Commit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a commit is 7 to 64 hexadecimal digits"))
    }
}

/// The SHA-256 of the bytes of a `flake.lock`, as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct LockHash(Arc<str>);

impl LockHash {
    /// `None` unless the text is 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        valid.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 7 characters, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl<'de> Deserialize<'de> for LockHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a lock hash is 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_are_checked_and_compared_without_case() {
        for good in ["a", "0", "Web-1.example.org", "a_b"] {
            assert_eq!(HostId::parse(good).unwrap().as_str(), good.to_ascii_lowercase());
        }
        assert!(HostId::parse(&"a".repeat(253)).is_ok());
        for bad in ["", "-a", ".a", "a b", "a/b", "<b>", "é", "a\n"] {
            assert_eq!(HostId::parse(bad), Err(InvalidHostname), "{bad:?}");
        }
        assert_eq!(HostId::parse(&"a".repeat(254)), Err(InvalidHostname));
    }

    #[test]
    fn a_commit_equals_its_own_prefix_of_seven_or_more() {
        let full = Commit::parse("0123456789abcdef0123456789abcdef01234567").unwrap();
        assert_eq!(full, Commit::parse("0123456").unwrap());
        assert_ne!(full, Commit::parse("0123457").unwrap());
        for none in ["", "unknown", "012345", "dirty", "0123456-dirty"] {
            assert!(Commit::parse(none).is_none(), "{none:?}");
        }
    }
}
