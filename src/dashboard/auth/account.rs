//! What the administrator can change: password and one-time codes.

use super::limiter::Source;
use super::{Auth, LoginError, NO_RANDOM_NUMBERS, password, secrets, totp_of};
use crate::base::secret;
use crate::dashboard::store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use totp_rs::Secret;

/// Where the hash of a shared token that was made on the page is stored.
pub(crate) const ENROLMENT: &str = "enrolment-token-hash";

/// Why something about the account was not changed, in the user's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotChanged {
    /// It is not as expected, or may not be changed.
    #[error("{0}")]
    Refused(String),
    /// Too many wrong tries: wait so long.
    #[error("Too many tries. Wait {} seconds.", .0.as_secs().max(1))]
    TooMany(Duration),
    /// The database or the system did not answer; why is in the log.
    #[error("{0}")]
    Unavailable(&'static str),
}

const SHUTTING_DOWN: NotChanged = NotChanged::Unavailable("The dashboard is shutting down.");

pub(super) fn no(text: &str) -> NotChanged {
    NotChanged::Refused(text.to_owned())
}

/// What a file of ours says when it cannot be written is for the log.
fn not_written(error: impl std::fmt::Display) -> NotChanged {
    log::error!("a secret was not written: {error}");
    NotChanged::Unavailable("Its file cannot be written. The dashboard's log says why.")
}

impl From<LoginError> for NotChanged {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong | LoginError::Csrf => no("The code is wrong, or was used already."),
            LoginError::TooMany(wait) => Self::TooMany(wait),
            LoginError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<StoreError> for NotChanged {
    fn from(error: StoreError) -> Self {
        LoginError::from(error).into()
    }
}

impl Auth {
    /// Whether the password is set by a variable.
    pub(crate) fn password_is_fixed(&self) -> bool {
        self.fixed_password
    }

    /// Whether one-time codes are set up by a variable.
    pub(crate) fn totp_is_fixed(&self) -> bool {
        self.fixed_totp
    }

    /// Changes the password and ends every session but `keep`.
    pub(crate) async fn change_password(
        &self,
        keep: [u8; 32],
        current: String,
        new: String,
        again: &str,
    ) -> Result<(), NotChanged> {
        if self.fixed_password {
            return Err(no("The password is set by NIXFLEET_PASSWORD_HASH."));
        }
        if new != again {
            return Err(no("The new password was not the same both times."));
        }
        password::check_chosen(&new).map_err(NotChanged::Refused)?;
        let source = Source::Caller(keep);
        self.count_try(&source)?;
        let (hash, dir) = (self.password_hash(), self.data_dir.clone());
        let changed = actix_web::web::block(move || {
            if !password::verify(&current, &hash) {
                return Err(no("The current password is wrong."));
            }
            let hash = password::hash(&new).map_err(not_written)?;
            secrets::replace(&dir.join(secrets::PASSWORD), &hash).map_err(not_written)?;
            Ok(hash)
        });
        let hash = changed.await.map_err(|_| SHUTTING_DOWN)??;
        self.forgive(&source);
        *self.password_hash.write().unwrap_or_else(std::sync::PoisonError::into_inner) = hash;
        Ok(self.end_others(keep).await?)
    }

    /// A new secret for one-time codes, in base32, and the address that authenticator apps
    /// read. Nothing is kept of it until [`Self::turn_totp_on`].
    pub(crate) fn offer_totp(&self) -> Result<(String, String), NotChanged> {
        let bytes = secret::random(20).map_err(|error| {
            log::error!("{error}");
            NotChanged::Unavailable(NO_RANDOM_NUMBERS)
        })?;
        let secret = Secret::from(bytes).to_base32().trim_end_matches('=').to_owned();
        let url = totp_url(&secret);
        Ok((secret, url))
    }

    /// Asks for one-time codes from now on, once the first code is right. Answers recovery codes, which
    /// are shown this once.
    pub(crate) async fn turn_totp_on(
        &self,
        session: [u8; 32],
        secret: &str,
        code: &str,
    ) -> Result<String, NotChanged> {
        if self.wants_totp() {
            return Err(no("One-time codes are on already."));
        }
        let totp = Arc::new(totp_of(secret).map_err(NotChanged::Refused)?);
        let source = Source::Caller(session);
        self.count_try(&source)?;
        if !self.code_fits(&totp, code).await? {
            return Err(no("The code is wrong. Is the clock of the phone right?"));
        }
        self.forgive(&source);
        let codes = self.make_recovery_codes().await?;
        let (path, text) = (self.data_dir.join(secrets::TOTP), secret.to_owned());
        let written = actix_web::web::block(move || secrets::replace(&path, &text)).await;
        written.map_err(|_| SHUTTING_DOWN)?.map_err(not_written)?;
        *self.totp.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(totp);
        Ok(codes)
    }

    /// Asks for no more codes.
    pub(crate) async fn turn_totp_off(
        &self,
        session: [u8; 32],
        code: &str,
    ) -> Result<(), NotChanged> {
        if self.fixed_totp {
            return Err(no("One-time codes are set by NIXFLEET_TOTP_SECRET."));
        }
        if !self.confirms(session, Some(code)).await? {
            return Err(no("The code is wrong, or was used already."));
        }
        let path = self.data_dir.join(secrets::TOTP);
        let gone = actix_web::web::block(move || std::fs::remove_file(path)).await;
        gone.map_err(|_| SHUTTING_DOWN)?.map_err(not_written)?;
        *self.totp.write().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(self.forget_recovery_codes().await?)
    }
}

/// The address that authenticator apps read.
pub(crate) fn totp_url(secret: &str) -> String {
    format!("otpauth://totp/nixfleet:admin?secret={secret}&issuer=nixfleet")
}
