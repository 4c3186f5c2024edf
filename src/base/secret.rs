//! Secrets: kept from logs, from children, and from texts that others read.

use super::hex;
use std::borrow::Cow;
use std::fmt;
use std::process::Command;

/// A secret text, from a file or the environment. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// So many random bytes, fit for keys. The error says why there are none.
pub fn random(count: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0_u8; count];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(bytes)
}

/// A token that nobody guesses: so many random bytes, in hexadecimal. The error says why there is
/// none.
pub fn random_token(bytes: usize) -> Result<String, String> {
    Ok(hex::encode(&random(bytes)?))
}

/// Whether a variable of this program's own is a secret, or names the file of one. The rule goes
/// by the words of the name, so that a secret that is new tomorrow is one of them.
pub fn is_secret_variable(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(&own_prefix()) else {
        return false;
    };
    let words = ["TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];
    words.iter().any(|word| rest.contains(word)) || rest.ends_with("_FILE")
}

/// `NAME_`: how variables of this program begin.
fn own_prefix() -> String {
    format!("{}_", env!("CARGO_PKG_NAME").to_ascii_uppercase())
}

/// Takes this program's secrets out of what a child inherits. Everything else stays: proxies,
/// paths of certificates and keys, and what users set for their tools.
pub fn hide_from(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_secret_variable) {
            command.env_remove(name);
        }
    }
    // What the service manager hands over as files: the directory of the credentials.
    command.env_remove("CREDENTIALS_DIRECTORY");
}

/// A text in which addresses show no user and no password: `https://…@example.org/x`. The user of
/// an ssh address is no secret and stays, its password does not.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    // Every line of output comes through here: most have no colon, and that is found fastest.
    if !text.as_bytes().contains(&b':') || !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let (userinfo, from) = split_userinfo(after);
        if let Some(userinfo) = userinfo {
            shown.push_str(&shown_user(before, userinfo, "…"));
            shown.push('@');
        }
        rest = from;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// An address without its user and password, as others may know it and as it can be compared. The
/// user of an ssh address stays: it is part of where the address leads.
pub fn address_without_credentials(url: &str) -> String {
    let Some(at) = url.find("://") else {
        return url.to_owned();
    };
    let (scheme, after) = url.split_at(at + 3);
    let (userinfo, from) = split_userinfo(after);
    let user = userinfo.map(|userinfo| shown_user(scheme, userinfo, "")).unwrap_or_default();
    if user.is_empty() { format!("{scheme}{from}") } else { format!("{scheme}{user}@{from}") }
}

/// The part before the last `@` of the authority, if there is one, and what comes after that.
fn split_userinfo(after_scheme: &str) -> (Option<&str>, &str) {
    let ends_authority = |c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace();
    let end = after_scheme.find(ends_authority).unwrap_or(after_scheme.len());
    match after_scheme[..end].rfind('@') {
        Some(at) => (Some(&after_scheme[..at]), &after_scheme[at + 1..]),
        None => (None, after_scheme),
    }
}

fn shown_user<'a>(text_before: &str, userinfo: &'a str, hidden: &'a str) -> String {
    let is_ssh = ["ssh://", "git+ssh://", "ssh+git://"].iter().any(|s| text_before.ends_with(s));
    if is_ssh {
        return userinfo.split(':').next().unwrap_or_default().to_owned();
    }
    hidden.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn variables_with_secrets_are_known_by_their_words() {
        for name in [
            "NIXFLEET_TOKEN",
            "NIXFLEET_TOKEN_FILE",
            "NIXFLEET_GITHUB_TOKEN",
            "NIXFLEET_GITEA_TOKEN",
            "NIXFLEET_PASSWORD_HASH",
            "NIXFLEET_SESSION_SECRET_FILE",
            "NIXFLEET_SMTP_PASSWORD",
        ] {
            assert!(is_secret_variable(name), "{name}");
        }
        for name in ["NIXFLEET_ROOT", "NIXFLEET_HOSTNAME", "GITHUB_TOKEN", "https_proxy", "PATH"] {
            assert!(!is_secret_variable(name), "{name}");
        }
    }

    /// Finding 8 of the security review: also a user without a password is one, it can be a token.
    #[test]
    fn nobody_reads_credentials_in_a_text() {
        for (text, shown) in [
            (
                "unable to access 'https://me:secret@example.org/x': 403",
                "unable to access 'https://…@example.org/x': 403",
            ),
            ("from http://ghp_token@h/r and http://a:b@h", "from http://…@h/r and http://…@h"),
            ("ssh://git@h/r, ssh://git:pw@h/r", "ssh://git@h/r, ssh://git@h/r"),
            ("https://a:p@ss@h/r", "https://…@h/r"),
            ("https://h/@scope/r me@h:r /path", "https://h/@scope/r me@h:r /path"),
            ("http://", "http://"),
            ("://@", "://…@"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn an_address_loses_its_credentials_and_nothing_else() {
        for (url, shown) in [
            ("https://me:secret@example.org/x", "https://example.org/x"),
            ("https://token@example.org/x", "https://example.org/x"),
            ("ssh://git@example.org/x", "ssh://git@example.org/x"),
            ("ssh://git:pw@example.org/x", "ssh://git@example.org/x"),
            ("git@example.org:x", "git@example.org:x"),
            ("/srv/repo", "/srv/repo"),
        ] {
            assert_eq!(address_without_credentials(url), shown);
        }
    }
}
