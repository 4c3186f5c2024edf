//! Password hashes: argon2id, and bcrypt as NixFleet 3 wrote it.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// Whether the password fits the hash. A hash of an unknown kind fits nothing.
pub(super) fn verify(password: &str, hash: &str) -> bool {
    if hash.starts_with("$2") {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether the text is a hash that [`verify`] understands.
pub(super) fn is_hash(hash: &str) -> bool {
    let bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind));
    (bcrypt && hash.len() == 60)
        || (hash.starts_with("$argon2id$") && PasswordHash::new(hash).is_ok())
}

/// An argon2id hash of the password.
pub(super) fn hash(password: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// The shortest password that can be chosen, in characters.
const SHORTEST: usize = 12;
/// The longest.
const LONGEST: usize = 256;

/// An argon2id hash of a password that somebody chose. The error says what was expected.
pub(crate) fn hash_chosen(chosen: &str) -> Result<String, String> {
    check_chosen(chosen)?;
    hash(chosen)
}

/// Whether a password may be chosen. The error says what was expected.
pub(super) fn check_chosen(chosen: &str) -> Result<(), String> {
    if (SHORTEST..=LONGEST).contains(&chosen.chars().count()) {
        return Ok(());
    }
    Err(format!("A password has {SHORTEST} to {LONGEST} characters."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_kind_of_hash_is_verified() {
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let argon2 = hash("secret").unwrap();
        for hash in [&bcrypt, &argon2] {
            assert!(is_hash(hash), "{hash}");
            assert!(verify("secret", hash), "{hash}");
            assert!(!verify("Secret", hash), "{hash}");
        }
        for rubbish in
            ["", "secret", "$1$abc", "$2b$", "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA"]
        {
            assert!(!is_hash(rubbish), "{rubbish}");
            assert!(!verify("secret", rubbish), "{rubbish}");
        }
    }
}
