//! Who may use the dashboard: password, one-time code, sessions, CSRF, API tokens.
//!
//! Only hashes are stored. What a request proves about itself is a [`Caller`].

mod account;
mod known;
mod limiter;
mod password;
mod peer;
mod recovery;
mod refusals;
mod secrets;
mod session;
mod tokens;

pub(crate) use account::{NotChanged, totp_url};
pub(crate) use known::KNOWN_FOR;
pub(crate) use password::hash_chosen;
pub(crate) use peer::Peer;
pub(crate) use refusals::Refusals;
pub(crate) use secrets::Secrets;
pub(crate) use session::LiveSession;
pub(crate) use tokens::{LiveToken, MadeToken, RenewedToken, is_shared};

use crate::base::{hex, secret};
use crate::dashboard::clock::Clock;
use crate::dashboard::store::{Store, StoreError, settings};
use crate::domain::audit::Author;
use crate::domain::scope::Scope;
use hmac::{Hmac, KeyInit, Mac};
use limiter::Source;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use totp_rs::Totp;

/// The session cookie's name.
pub(crate) const SESSION_COOKIE: &str = "nixfleet_session";
/// The name of the cookie that guards the login form.
pub(crate) const LOGIN_COOKIE: &str = "nixfleet_login";
/// The name of the cookie of a browser in which somebody logged in.
pub(crate) const BROWSER_COOKIE: &str = "nixfleet_browser";
/// How long a session lasts.
const SESSION_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// What is said when there is no answer of the system; why is in the log.
const NO_RANDOM_NUMBERS: &str = "There are no random numbers now. The dashboard's log says why.";
/// What is said when SQLite cannot be used; why is in the log.
const DATABASE: &str = "The database cannot be used now. The dashboard's log says why.";
/// A secret of one-time codes has at least so many bits (RFC 4226 asks for 128).
const GOOD_TOTP: usize = 128;
/// Shorter ones than this are refused: 16 letters are what phones were given for years.
const SHORTEST_TOTP: usize = 80;
const LAST_TOTP_STEP: &str = "last_totp_step";
/// So many digits a one-time code has at most.
const LONGEST_CODE: usize = 8;

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
        /// SHA-256 of the token.
        token_hash: [u8; 32],
        /// What the token is called.
        name: String,
        /// What it may do.
        scope: Scope,
    },
}

impl Caller {
    /// SHA-256 of what proves it.
    pub(crate) fn proof(&self) -> [u8; 32] {
        match self {
            Self::Session { token_hash, .. } | Self::ApiToken { token_hash, .. } => *token_hash,
        }
    }

    /// What may be done: whoever is logged in may do everything.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Session { .. } => Scope::Admin,
            Self::ApiToken { scope, .. } => *scope,
        }
    }

    /// Who that is, for the audit log.
    pub(crate) fn author(&self) -> Author {
        match self {
            Self::Session { .. } => Author::Admin,
            Self::ApiToken { name, .. } => Author::Token(name.clone()),
        }
    }
}

/// What somebody sends who wants to log in.
pub(crate) struct Credentials<'a> {
    /// Where it comes from.
    pub(crate) peer: &'a Peer,
    /// The cookie of a browser in which somebody logged in before.
    pub(crate) browser: Option<&'a str>,
    /// The cookie of the login form.
    pub(crate) guard: Option<&'a str>,
    /// Its hidden field.
    pub(crate) field: &'a str,
    /// The password.
    pub(crate) password: String,
    /// The one-time code; empty where none is asked for.
    pub(crate) code: &'a str,
    /// What the browser calls itself.
    pub(crate) agent: &'a str,
}

/// What a browser keeps after a login.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    /// The value of the session's cookie.
    pub(crate) session: String,
    /// The value of the browser's own.
    pub(crate) browser: String,
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
    /// Counts up when sessions were ended.
    sessions_ended: watch::Sender<u64>,
    /// Counts up when tokens of hosts were renewed or taken back.
    host_tokens_changed: watch::Sender<u64>,
    refusals: Refusals,
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
            sessions_ended: watch::Sender::new(0),
            host_tokens_changed: watch::Sender::new(0),
            refusals: Refusals::default(),
        })
    }

    /// Logins that were refused.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
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

    /// Checks the form, the password and the code, and opens a session.
    pub(crate) async fn login(&self, sent: Credentials<'_>) -> Result<LoggedIn, LoginError> {
        let Credentials { peer, browser, guard, field, password, code, agent } = sent;
        let expected = guard.map(|token| self.mac("login:", token)).unwrap_or_default();
        if guard.is_none() || !same(&expected, field) {
            return Err(LoginError::Csrf);
        }
        let source = self.source(peer, browser).await?;
        self.count_try(&source)?;
        let hash = self.password_hash();
        let right = actix_web::web::block(move || password::verify(&password, &hash)).await;
        let right =
            right.map_err(|_| LoginError::Unavailable("The dashboard is shutting down."))?;
        if !right || !self.code_is_right(code).await? {
            return Err(LoginError::Wrong);
        }
        self.forgive(&source);
        let browser = self.browser_cookie()?;
        let (key, now) = (peer.counted().to_string(), self.clock.now());
        self.store.write(move |conn| known::remember(conn, &key, now)).await?;
        Ok(LoggedIn { session: self.open_session(peer, agent).await?, browser })
    }

    /// Whether a one-time code confirms something that needs one; always, where none is set up.
    /// Guesses are limited as those of a login are, for each caller: `proof` is the hash of what
    /// proves who that is.
    pub(crate) async fn confirms(
        &self,
        proof: [u8; 32],
        code: Option<&str>,
    ) -> Result<bool, LoginError> {
        if !self.wants_totp() {
            return Ok(true);
        }
        let source = Source::Caller(proof);
        self.count_try(&source)?;
        let right = self.code_is_right(code.unwrap_or_default()).await?;
        if right {
            self.forgive(&source);
        }
        Ok(right)
    }

    /// Counts a try before it is checked, so that many at once count as many.
    fn count_try(&self, source: &Source) -> Result<(), LoginError> {
        let now = self.clock.now();
        let allowed = match self.limiter.lock() {
            Ok(mut limiter) => limiter.attempt(source, now),
            Err(poisoned) => poisoned.into_inner().attempt(source, now),
        };
        allowed.map_err(LoginError::TooMany)
    }

    /// A right answer clears the tries before it.
    fn forgive(&self, source: &Source) {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).succeeded(source);
    }

    /// Whether the one-time code, or the recovery code, is right; always, where none is set up.
    async fn code_is_right(&self, code: &str) -> Result<bool, LoginError> {
        let Some(totp) = self.totp() else {
            return Ok(true);
        };
        // A one-time code has digits only; a recovery code is longer.
        if code.trim().len() > LONGEST_CODE {
            return Ok(self.use_recovery_code(code).await?);
        }
        self.code_fits(&totp, code).await
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

    /// Whether a caller may change something: a browser must send the page's token along.
    pub(crate) fn may_change(caller: &Caller, sent: Option<&str>) -> bool {
        match caller {
            Caller::ApiToken { .. } => true,
            Caller::Session { csrf, .. } => sent.is_some_and(|sent| same(csrf, sent)),
        }
    }
}

/// For fuzzing: reads bytes as secrets of one-time codes, and as what proxies say of addresses.
pub(crate) fn read_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(totp) = totp_of(&text) {
        let _ = totp.check(text.trim(), 0);
    }
    let proxy = std::net::IpAddr::from([127, 0, 0, 1]);
    let lines = bytes.split(|byte| *byte == b'\n');
    let told = Peer::of(proxy, lines, &[proxy]).counted().to_string();
    assert!(told.is_ascii());
    log::trace!("{told}");
}

fn totp_of(secret: &str) -> Result<Totp, String> {
    let expected =
        |e: &dyn std::fmt::Display| format!("NIXFLEET_TOTP_SECRET: expected a base32 secret ({e})");
    let cleaned: String = secret.chars().filter(|c| !c.is_whitespace()).collect();
    let secret = totp_rs::Secret::try_from_base32(cleaned.trim_end_matches('=').to_uppercase())
        .map_err(|e| expected(&e))?;
    let bits = 5 * cleaned.trim_end_matches('=').len();
    if bits < SHORTEST_TOTP {
        let what = "expected a base32 secret of at least 80 bits";
        return Err(format!("NIXFLEET_TOTP_SECRET: {what}, got {bits}"));
    }
    if bits < GOOD_TOTP {
        // NixFleet 3 took those, and phones have them (finding 57).
        log::warn!(
            "NIXFLEET_TOTP_SECRET: it has {bits} bits; one of {GOOD_TOTP} or more is better"
        );
    }
    Ok(totp_rs::Builder::new().with_secret(secret).with_skew(1).build_noncompliant())
}

/// Compares secrets in constant time.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
