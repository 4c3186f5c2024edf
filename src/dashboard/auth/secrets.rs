//! The dashboard's own secrets: given, read from the data directory, or made there.

use super::password;
use crate::base::{atomic_file, secret};
use crate::dashboard::config::DashboardConfig;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the dashboard needs to know in secret.
pub(crate) struct Secrets {
    /// Hash of the admin password.
    pub password_hash: String,
    /// It comes from a variable.
    pub fixed_password: bool,
    /// Secret of one-time codes that were set up on the page, in base32.
    pub totp: Option<String>,
    /// Key for CSRF tokens.
    pub session: String,
    /// Where they are kept.
    pub dir: PathBuf,
}

/// The file with the hash of the password.
pub(super) const PASSWORD: &str = "password-hash";
/// The file with the secret of one-time codes.
pub(super) const TOTP: &str = "totp-secret";

/// What is shown once, at the first start.
pub(crate) struct FirstStart {
    /// The admin password; `None` if one was set before or is configured.
    pub password: Option<String>,
}

impl Secrets {
    /// Takes what is configured, reads what was made before, and makes what is missing,
    /// in files of mode 0600. The error says what could not be done.
    pub(crate) fn prepare(config: &DashboardConfig) -> Result<(Self, FirstStart), String> {
        let dir = &config.data_dir;
        let session = match &config.session_secret {
            Some(secret) => secret.expose().to_owned(),
            None => read_or_make(&dir.join("session-secret"), || secret::random_token(32))?.0,
        };
        let totp = match fs::read_to_string(dir.join(TOTP)) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("cannot read {}: {error}", dir.join(TOTP).display())),
        };
        if let Some(hash) = &config.password_hash {
            let hash = hash.expose().trim().to_owned();
            if !password::is_hash(&hash) {
                return Err(
                    "NIXFLEET_PASSWORD_HASH: expected an argon2id or bcrypt hash".to_owned()
                );
            }
            let dir = dir.clone();
            let secrets = Self { password_hash: hash, fixed_password: true, totp, session, dir };
            return Ok((secrets, FirstStart { password: None }));
        }
        let mut clear = None;
        let (password_hash, _) = read_or_make(&dir.join(PASSWORD), || {
            let made = readable()?;
            let hash = password::hash(&made)?;
            clear = Some(made);
            Ok(hash)
        })?;
        if !password::is_hash(&password_hash) {
            let path = dir.join(PASSWORD);
            return Err(format!("{}: expected an argon2id or bcrypt hash", path.display()));
        }
        let dir = dir.clone();
        let secrets = Self { password_hash, fixed_password: false, totp, session, dir };
        Ok((secrets, FirstStart { password: clear }))
    }
}

impl Secrets {
    /// Makes a new admin password in place of the one before. Answers it: only a hash is kept.
    pub(crate) fn reset_password(dir: &Path) -> Result<String, String> {
        let made = readable()?;
        replace(&dir.join(PASSWORD), &password::hash(&made)?)?;
        Ok(made)
    }

    /// Looks whether the secrets are as expected, and makes none. The error says what is not.
    pub(crate) fn check(config: &DashboardConfig) -> Result<String, String> {
        let dir = &config.data_dir;
        let told = match &config.password_hash {
            Some(hash) if password::is_hash(hash.expose().trim()) => "the password is configured",
            Some(_) => {
                return Err(
                    "NIXFLEET_PASSWORD_HASH: expected an argon2id or bcrypt hash".to_owned()
                );
            }
            None => match read(&dir.join(PASSWORD))? {
                Some(hash) if password::is_hash(&hash) => {
                    "the password is kept in the data directory"
                }
                Some(_) => {
                    let path = dir.join(PASSWORD);
                    return Err(format!("{}: expected an argon2id or bcrypt hash", path.display()));
                }
                None => "a password will be made at the first start",
            },
        };
        let kept = read(&dir.join(TOTP))?;
        let totp = config.totp_secret.as_ref().map(|secret| secret.expose()).or(kept.as_deref());
        totp.map(super::totp_of).transpose()?;
        read(&dir.join("session-secret"))?;
        Ok(format!("{told}{}", if totp.is_some() { ", one-time codes are asked for" } else { "" }))
    }
}

/// What stands in a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Writes a secret in place of the one before, whole or not at all, with mode 0600. The error
/// says what could not be done.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), String> {
    let written = atomic_file::write(path, format!("{text}\n").as_bytes(), 0o600);
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// 100 bits, in letters and digits that are not mistaken for each other.
pub(super) fn readable() -> Result<String, String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters = secret::random(20)?;
    let letters: Vec<char> =
        letters.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    Ok(letters.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-"))
}

fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<String, String>,
) -> Result<(String, bool), String> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok((text.trim().to_owned(), false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    }
    let text = make()?;
    replace(path, &text)?;
    Ok((text, true))
}
