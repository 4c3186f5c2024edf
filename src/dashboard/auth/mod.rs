//! Who may use the dashboard: password, one-time code, sessions, CSRF, API tokens.
//!
//! Only hashes are stored. What a request proves about itself is a [`Caller`].

mod account;
mod limiter;
mod password;
mod secrets;

pub(crate) use account::{ENROLMENT, NotChanged, totp_url};
pub(crate) use secrets::Secrets;

use crate::base::{hex, secret};
use crate::dashboard::clock::Clock;
use crate::dashboard::store::api_tokens;
use crate::dashboard::store::sessions::{self, SessionRecord};
use crate::dashboard::store::{Store, StoreError, settings};
use crate::domain::audit::Author;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq;
use totp_rs::Totp;

/// The session cookie's name.
pub(crate) const SESSION_COOKIE: &str = "nixfleet_session";
/// The name of the cookie that guards the login form.
pub(crate) const LOGIN_COOKIE: &str = "nixfleet_login";
/// How long a session lasts.
const SESSION_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Tries that are counted together, wherever they come from.
const EVERYBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
/// What is said when there is no answer of the system; why is in the log.
const NO_RANDOM_NUMBERS: &str = "There are no random numbers now. The dashboard's log says why.";
/// What is said when SQLite cannot be used; why is in the log.
const DATABASE: &str = "The database cannot be used now. The dashboard's log says why.";
const LAST_TOTP_STEP: &str = "last_totp_step";

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The administrator, by a browser's session.
    Session {
        /// SHA-256 of the cookie.
        token_hash: [u8; 32],
        /// What the page must send along with every change.
        csrf: String,
    },
    /// A program, by an API token.
    ApiToken {
        /// What the token is called.
        name: String,
    },
}

impl Caller {
    /// Who that is, for the audit log.
    pub(crate) fn author(&self) -> Author {
        match self {
            Self::Session { .. } => Author::Admin,
            Self::ApiToken { name } => Author::Token(name.clone()),
        }
    }
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LoginError {
    /// Wrong password or code; which one is not told.
    Wrong,
    /// Too many tries: wait so long.
    TooMany(Duration),
    /// The form is not one that this dashboard handed out.
    Csrf,
    /// The database did not answer, in words of ours.
    Unavailable(&'static str),
}

/// Everything that decides who may do what.
pub(crate) struct Auth {
    session_secret: String,
    password_hash: RwLock<String>,
    fixed_password: bool,
    totp: RwLock<Option<Arc<Totp>>>,
    fixed_totp: bool,
    data_dir: PathBuf,
    store: Store,
    clock: Clock,
    limiter: Mutex<limiter::Limiter>,
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        log::error!("the database cannot be used: {error}");
        Self::Unavailable(DATABASE)
    }
}

fn random_token() -> Result<String, LoginError> {
    secret::random_token(32).map_err(|error| {
        log::error!("{error}");
        LoginError::Unavailable(NO_RANDOM_NUMBERS)
    })
}

/// SHA-256: all that is ever stored of a token.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Auth {
    /// Checks the settings that matter here. The error names the setting.
    pub(crate) fn new(
        secrets: Secrets,
        totp: Option<&str>,
        store: Store,
        clock: Clock,
    ) -> Result<Self, String> {
        let limiter = Mutex::new(limiter::Limiter::default());
        let fixed_totp = totp.is_some();
        let totp = totp.or(secrets.totp.as_deref()).map(totp_of).transpose()?;
        Ok(Self {
            session_secret: secrets.session,
            password_hash: RwLock::new(secrets.password_hash),
            fixed_password: secrets.fixed_password,
            totp: RwLock::new(totp.map(Arc::new)),
            fixed_totp,
            data_dir: secrets.dir,
            store,
            clock,
            limiter,
        })
    }

    fn password_hash(&self) -> String {
        self.password_hash.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn totp(&self) -> Option<Arc<Totp>> {
        self.totp.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a one-time code is asked for.
    pub(crate) fn wants_totp(&self) -> bool {
        self.totp().is_some()
    }

    fn mac(&self, what: &str, token: &str) -> String {
        // HMAC takes keys of any length, so this never fails.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.session_secret.as_bytes()) else {
            return String::new();
        };
        mac.update(what.as_bytes());
        mac.update(token.as_bytes());
        hex::encode(&mac.finalize().into_bytes())
    }

    fn csrf(&self, session_token: &str) -> String {
        self.mac("csrf:", session_token)
    }

    /// A guard for the login form: the cookie's value and the hidden field's.
    pub(crate) fn login_form(&self) -> Result<(String, String), LoginError> {
        let token = random_token()?;
        let field = self.mac("login:", &token);
        Ok((token, field))
    }

    /// Checks the form, the password and the code, and opens a session. Answers the
    /// cookie's value.
    pub(crate) async fn login(
        &self,
        peer: IpAddr,
        guard: Option<&str>,
        field: &str,
        password: String,
        code: &str,
    ) -> Result<String, LoginError> {
        let expected = guard.map(|token| self.mac("login:", token)).unwrap_or_default();
        if guard.is_none() || !same(&expected, field) {
            return Err(LoginError::Csrf);
        }
        let now = self.clock.now();
        self.count_try(peer)?;
        let hash = self.password_hash();
        let right = actix_web::web::block(move || password::verify(&password, &hash)).await;
        let right =
            right.map_err(|_| LoginError::Unavailable("The dashboard is shutting down."))?;
        if !right || !self.code_is_right(code).await? {
            return Err(LoginError::Wrong);
        }
        self.forgive(peer);
        let token = random_token()?;
        let session = SessionRecord {
            token_hash: token_hash(&token),
            created_at: now,
            expires_at: now + SESSION_FOR,
        };
        let stored = self.store.write(move |conn| {
            sessions::delete_expired(conn, now)?;
            sessions::insert(conn, &session)
        });
        stored.await?;
        Ok(token)
    }

    /// Whether a one-time code confirms something that needs one; always, where none is set up.
    /// Guesses are limited as those of a login are, all of them together.
    pub(crate) async fn confirms(&self, code: Option<&str>) -> Result<bool, LoginError> {
        if !self.wants_totp() {
            return Ok(true);
        }
        self.count_try(EVERYBODY)?;
        let right = self.code_is_right(code.unwrap_or_default()).await?;
        if right {
            self.forgive(EVERYBODY);
        }
        Ok(right)
    }

    /// Counts a try before it is checked, so that many at once count as many.
    fn count_try(&self, peer: IpAddr) -> Result<(), LoginError> {
        let now = self.clock.now();
        let allowed = match self.limiter.lock() {
            Ok(mut limiter) => limiter.attempt(peer, now),
            Err(poisoned) => poisoned.into_inner().attempt(peer, now),
        };
        allowed.map_err(LoginError::TooMany)
    }

    /// A right answer clears the tries before it.
    fn forgive(&self, peer: IpAddr) {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).succeeded(peer);
    }

    /// Whether the one-time code is right; always, where none is set up.
    async fn code_is_right(&self, code: &str) -> Result<bool, LoginError> {
        match self.totp() {
            Some(totp) => self.code_fits(&totp, code).await,
            None => Ok(true),
        }
    }

    /// Whether a code fits. A code works once, and so does every older one.
    async fn code_fits(&self, totp: &Totp, code: &str) -> Result<bool, LoginError> {
        let seconds = u64::try_from(self.clock.now().as_millis() / 1000).unwrap_or(0);
        let Some(step) = totp.check(code.trim(), seconds) else {
            return Ok(false);
        };
        let used = self.store.write(move |conn| {
            let last = settings::get(conn, LAST_TOTP_STEP)?.and_then(|s| s.parse::<u64>().ok());
            if last.is_some_and(|last| step <= last) {
                return Ok(false);
            }
            settings::set(conn, LAST_TOTP_STEP, &step.to_string())?;
            Ok(true)
        });
        Ok(used.await?)
    }

    /// Ends a session.
    pub(crate) async fn logout(&self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.store.write(move |conn| sessions::delete(conn, &hash)).await
    }

    /// Who has this API token; `None` if nobody.
    pub(crate) async fn token_caller(&self, token: &str) -> Result<Option<Caller>, StoreError> {
        let hash = token_hash(token);
        let found = self.store.read(move |conn| api_tokens::find(conn, &hash)).await?;
        Ok(found.map(|token| Caller::ApiToken { name: token.name }))
    }

    /// Whose session this cookie's value is; `None` if it is over or never was.
    pub(crate) async fn session_caller(&self, cookie: &str) -> Result<Option<Caller>, StoreError> {
        let hash = token_hash(cookie);
        let now = self.clock.now();
        let found = self.store.read(move |conn| sessions::find(conn, &hash)).await?;
        let valid = found.filter(|session| session.expires_at > now);
        Ok(valid.map(|_| Caller::Session { token_hash: hash, csrf: self.csrf(cookie) }))
    }

    /// Whether a caller may change something: a browser must send the page's token along.
    pub(crate) fn may_change(caller: &Caller, sent: Option<&str>) -> bool {
        match caller {
            Caller::ApiToken { .. } => true,
            Caller::Session { csrf, .. } => sent.is_some_and(|sent| same(csrf, sent)),
        }
    }
}

fn totp_of(secret: &str) -> Result<Totp, String> {
    let expected = |e: &dyn std::fmt::Display| {
        format!("NIXFLEET_TOTP_SECRET: expected a base32 secret of at least 128 bits ({e})")
    };
    let cleaned: String = secret.chars().filter(|c| !c.is_whitespace()).collect();
    let secret = totp_rs::Secret::try_from_base32(cleaned.trim_end_matches('=').to_uppercase())
        .map_err(|e| expected(&e))?;
    totp_rs::Builder::new().with_secret(secret).with_skew(1).build().map_err(|e| expected(&e))
}

/// Compares secrets in constant time.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
