//! Recovery codes: each stands once for a one-time code, for whoever lost the phone.

use super::account::{NotChanged, no};
use super::{Auth, NO_RANDOM_NUMBERS, secrets, token_hash};
use crate::base::hex;
use crate::dashboard::store::{StoreError, settings};
use rusqlite::Connection;

/// Where the hashes of those are stored that were not used yet.
const KEY: &str = "recovery-codes";
/// So many codes are made at once.
const CODES: usize = 10;

/// The hashes that are left.
fn left(conn: &Connection) -> Result<Vec<String>, StoreError> {
    match settings::get(conn, KEY)? {
        Some(text) => Ok(serde_json::from_str(&text)?),
        None => Ok(Vec::new()),
    }
}

/// What counts of a code, however it was typed.
fn hash_of(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    hex::encode(&token_hash(&letters.collect::<String>().to_ascii_lowercase()))
}

impl Auth {
    /// How many recovery codes are left.
    pub(crate) async fn recovery_codes_left(&self) -> Result<usize, StoreError> {
        self.store.read(|conn| Ok(left(conn)?.len())).await
    }

    /// Makes new recovery codes, which are shown this once. Those of before work no more.
    pub(super) async fn make_recovery_codes(&self) -> Result<String, NotChanged> {
        let codes = (0..CODES).map(|_| secrets::readable()).collect::<Result<Vec<_>, _>>();
        let codes = codes.map_err(|error| {
            log::error!("{error}");
            NotChanged::Unavailable(NO_RANDOM_NUMBERS)
        })?;
        let hashes: Vec<String> = codes.iter().map(|code| hash_of(code)).collect();
        let text = serde_json::to_string(&hashes).map_err(StoreError::from)?;
        self.store.write(move |conn| settings::set(conn, KEY, &text)).await?;
        Ok(codes.join("\n"))
    }

    /// The same for somebody who is logged in, and has a one-time code or a recovery code.
    pub(crate) async fn new_recovery_codes(
        &self,
        session: [u8; 32],
        code: &str,
    ) -> Result<String, NotChanged> {
        if !self.wants_totp() {
            return Err(no("One-time codes are off: there is nothing to recover."));
        }
        if !self.confirms(session, Some(code)).await? {
            return Err(no("The code is wrong, or was used already."));
        }
        self.make_recovery_codes().await
    }

    /// Forgets them all.
    pub(super) async fn forget_recovery_codes(&self) -> Result<(), StoreError> {
        self.store.write(|conn| settings::remove(conn, KEY)).await
    }

    /// Whether a text is a recovery code that was not used yet. It is used then.
    pub(super) async fn use_recovery_code(&self, code: &str) -> Result<bool, StoreError> {
        let hash = hash_of(code);
        let used = self.store.write(move |conn| {
            let mut codes = left(conn)?;
            let before = codes.len();
            // What is compared are hashes of random texts: their time tells nothing.
            codes.retain(|known| *known != hash);
            if codes.len() == before {
                return Ok(None);
            }
            settings::set(conn, KEY, &serde_json::to_string(&codes)?)?;
            Ok(Some(codes.len()))
        });
        let used = used.await?;
        if let Some(left) = used {
            log::warn!("a recovery code was used; {left} are left");
        }
        Ok(used.is_some())
    }
}
