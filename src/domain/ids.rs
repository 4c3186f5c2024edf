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

/// A git commit by its whole hash: what a git is asked to bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WholeCommit(Arc<str>);

impl WholeCommit {
    /// `None` unless the text is 40 or 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid = [40, 64].contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
        valid.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The hash, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 7 characters, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl<'de> Deserialize<'de> for WholeCommit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("expected a commit of 40 or 64 hexadecimal digits")
        })
    }
}

/// The path of a built system, as a plan shows it and a switch of that plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SystemPath(Arc<str>);

impl SystemPath {
    /// `None` unless the text is an absolute path of at most 1024 characters without spaces and `..`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        let valid = text.len() <= 1024
            && text.starts_with('/')
            && text.chars().all(is_plain)
            && text.split('/').all(|part| part != "..");
        valid.then(|| Self(text.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SystemPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("expected the path of a system, as a plan shows it")
        })
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

/// The flake.lock of a checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// There is none.
    Absent,
    /// Its hash.
    Hash(LockHash),
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
    fn the_path_of_a_system_is_absolute_and_plain() {
        let good = "/nix/store/0c-nixos-system-web-25.11";
        assert_eq!(SystemPath::parse(good).unwrap().as_str(), good);
        let long = format!("/{}", "a".repeat(1024));
        for bad in ["", "nix/store/a", "/nix/store/../etc", "/a b", "/a\n", long.as_str()] {
            assert_eq!(SystemPath::parse(bad), None, "{bad:?}");
        }
        let error = serde_json::from_str::<SystemPath>("\"x\"").unwrap_err().to_string();
        assert!(error.contains("expected the path of a system"), "{error}");
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
