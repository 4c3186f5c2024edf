//! Tokens of programs and of hosts: made, used, renewed, taken back.

use super::account::{ENROLMENT, NotChanged, no};
use super::{Auth, Caller, random_token, token_hash};
use crate::base::hex;
use crate::dashboard::clock::Clock;
use crate::dashboard::store::api_tokens::{self, ApiTokenRecord};
use crate::dashboard::store::events::{self, NewEvent};
use crate::dashboard::store::host_tokens::{self, SharedToken};
use crate::dashboard::store::{Store, StoreError, hosts, settings};
use crate::domain::audit::{self, Asker, AuditCategory};
use crate::domain::ids::HostId;
use crate::domain::scope::Scope;
use crate::domain::timestamp::Timestamp;
use rusqlite::Connection;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// A day.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// An API token counts at most so many days, unless it never expires.
const MOST_DAYS: u32 = 3650;
/// The token before a renewal counts for so long.
const OLD_FOR: Duration = Duration::from_secs(3600);
/// When a token was used is stored at most so often.
pub(super) const USED_EVERY: Duration = Duration::from_secs(60);
/// How long a link's token is not looked at again at most, while it is about to expire: clocks
/// are set.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A token that was just made: shown this once.
#[derive(Debug)]
pub(crate) struct MadeToken {
    /// What the user called it.
    pub(crate) name: String,
    /// The token.
    pub(crate) token: String,
    /// What it may do.
    pub(crate) scope: Scope,
    /// From when on it counts no more.
    pub(crate) expires_at: Option<Timestamp>,
}

/// A host's token that was just renewed: shown this once.
#[derive(Debug)]
pub(crate) struct RenewedToken {
    /// The token.
    pub(crate) token: String,
    /// So long the one before counts too.
    pub(crate) old_until: Timestamp,
}

impl Auth {
    /// Makes an API token, which is shown this once.
    pub(crate) async fn new_api_token(
        &self,
        name: &str,
        scope: Scope,
        days: Option<u32>,
    ) -> Result<MadeToken, NotChanged> {
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > 100 {
            return Err(no("`name`: expected 1 to 100 characters."));
        }
        if days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
            return Err(no(&format!("`expires_in_days`: expected 1 to {MOST_DAYS}.")));
        }
        let token = random_token()?;
        let created_at = self.clock.now();
        let expires_at = days.map(|days| created_at + DAY * days);
        let record = ApiTokenRecord {
            token_hash: token_hash(&token),
            name: name.clone(),
            scope,
            created_at,
            expires_at,
            last_used_at: None,
        };
        self.store.write(move |conn| api_tokens::insert(conn, &record)).await?;
        Ok(MadeToken { name, token, scope, expires_at })
    }

    /// All API tokens, oldest first.
    pub(crate) async fn api_tokens(&self) -> Result<Vec<ApiTokenRecord>, StoreError> {
        self.store.read(api_tokens::list).await
    }

    /// Removes an API token.
    pub(crate) async fn remove_api_token(&self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.store.write(move |conn| api_tokens::delete(conn, &hash)).await
    }

    /// Who has this API token; `None` if nobody, or if it expired.
    pub(crate) async fn token_caller(&self, token: &str) -> Result<Option<Caller>, StoreError> {
        let (hash, now) = (token_hash(token), self.clock.now());
        let found = self.store.read(move |conn| api_tokens::find(conn, &hash)).await?;
        let valid = found.filter(|token| token.expires_at.is_none_or(|end| end > now));
        Ok(valid.map(|token| {
            self.used(token.last_used_at, move |conn| api_tokens::touch(conn, &hash, now));
            Caller::ApiToken { token_hash: hash, name: token.name, scope: token.scope }
        }))
    }

    /// Something was used: that is stored once a minute, and nobody waits for it.
    pub(super) fn used(
        &self,
        last: Option<Timestamp>,
        touch: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) {
        let now = self.clock.now();
        if last.is_none_or(|last| now.since(last) >= USED_EVERY) {
            drop(self.store.write(touch));
        }
    }

    /// Whether there is a shared token that was made on the page.
    pub(crate) async fn has_enrolment_token(&self) -> Result<bool, StoreError> {
        Ok(self.store.read(|conn| settings::get(conn, ENROLMENT)).await?.is_some())
    }

    /// Makes a shared token, which replaces the one before. It is shown this once.
    pub(crate) async fn new_enrolment_token(&self) -> Result<String, NotChanged> {
        let token = random_token()?;
        let hash = hex::encode(&token_hash(&token));
        self.store.write(move |conn| settings::set(conn, ENROLMENT, &hash)).await?;
        self.tokens_of_hosts_changed();
        Ok(token)
    }

    /// Lets in no more hosts without a token of their own.
    pub(crate) async fn no_enrolment_token(&self) -> Result<(), StoreError> {
        self.store.write(|conn| settings::remove(conn, ENROLMENT)).await?;
        self.tokens_of_hosts_changed();
        Ok(())
    }

    /// Makes a new token for a host, which is shown this once. The one before counts for an hour
    /// more. `None` if there is no such host.
    pub(crate) async fn renew_host_token(
        &self,
        host: HostId,
        by: Asker,
    ) -> Result<Option<RenewedToken>, NotChanged> {
        let token = random_token()?;
        let (hash, at) = (token_hash(&token), self.clock.now());
        let old_until = at + OLD_FOR;
        let renewed = self.store.write(move |conn| {
            if hosts::get(conn, &host)?.is_none() {
                return Ok(false);
            }
            host_tokens::renew(conn, &hash, &host, at, old_until)?;
            let message = format!("Its token was renewed; the one before works until {old_until}.");
            let category = AuditCategory::Host;
            let Asker { author, from } = by;
            let (by, result) = (Some(author), Some(audit::DONE));
            let event = NewEvent {
                at,
                host: Some(host),
                category,
                message,
                by,
                from,
                result,
                command: None,
            };
            events::append(conn, &event)?;
            Ok(true)
        });
        let renewed = renewed.await?;
        self.tokens_of_hosts_changed();
        Ok(renewed.then_some(RenewedToken { token, old_until }))
    }

    /// Counts up when tokens of hosts were renewed or taken back.
    pub(crate) fn token_changes(&self) -> watch::Receiver<u64> {
        self.host_tokens_changed.subscribe()
    }

    fn tokens_of_hosts_changed(&self) {
        self.host_tokens_changed.send_modify(|times| *times += 1);
    }
}

/// The token of a link that is up: the link ends with it.
pub(crate) struct LiveToken {
    /// The host that the link is for.
    pub(crate) host: HostId,
    /// SHA-256 of the token.
    pub(crate) hash: [u8; 32],
    /// Whether it is the shared token.
    pub(crate) shared: bool,
    /// Whether it is the one of `NIXFLEET_AGENT_TOKEN`.
    pub(crate) fixed: bool,
    /// Counts up when tokens change.
    pub(crate) changes: watch::Receiver<u64>,
    /// SQLite.
    pub(crate) store: Store,
    /// The time.
    pub(crate) clock: Clock,
}

/// Until when a token counts; `None`: for good.
type Until = Option<Timestamp>;

impl LiveToken {
    /// Waits until the token opens this host no more.
    pub(crate) async fn over(mut self) {
        loop {
            let until = match self.look().await {
                Ok(Some(until)) => until,
                Ok(None) => return,
                Err(error) => {
                    log::error!("a link's token was not looked at: {error}");
                    Some(self.clock.now())
                }
            };
            let changed = self.changes.changed();
            match until {
                Some(_) => {
                    let _ = actix_rt::time::timeout(LOOK_EVERY, changed).await;
                }
                // The dashboard stops: links are closed for another reason.
                None if changed.await.is_err() => return std::future::pending().await,
                None => {}
            }
        }
    }

    /// Until when it counts; `None` if it does not.
    async fn look(&self) -> Result<Option<Until>, StoreError> {
        let (host, hash, now) = (self.host.clone(), self.hash, self.clock.now());
        let (shared, fixed) = (self.shared, self.fixed);
        let read = self.store.read(move |conn| {
            if !shared {
                return Ok(host_tokens::find(conn, &hash, now)?.map(|found| found.expires_at));
            }
            if !fixed && !is_shared(conn, &hash)? {
                return Ok(None);
            }
            Ok(match host_tokens::shared_for(conn, &host, now)? {
                SharedToken::Opens => Some(None),
                SharedToken::OpensUntil(until) => Some(Some(until)),
                SharedToken::OpensNothing => None,
            })
        });
        read.await
    }
}

/// Whether a token is the shared one that was made on the page.
pub(crate) fn is_shared(conn: &Connection, hash: &[u8; 32]) -> Result<bool, StoreError> {
    let own = hex::encode(hash);
    let shared = settings::get(conn, ENROLMENT)?;
    Ok(shared.is_some_and(|shared| bool::from(shared.as_bytes().ct_eq(own.as_bytes()))))
}
