//! Sessions while they last: who has one, and when it ends.

use super::{Auth, Caller, LoginError, Peer, random_token, token_hash};
use crate::dashboard::clock::Clock;
use crate::dashboard::store::sessions::{self, SessionRecord};
use crate::dashboard::store::{Store, StoreError};
use crate::domain::timestamp::Timestamp;
use std::time::Duration;
use tokio::sync::watch;

/// What a browser calls itself has at most so many characters.
const BROWSER: usize = 200;
/// How often a session that is watched is compared with the clock.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A session that somebody watches with. It is over within a second of its end: logout, a
/// change of password, an end from the list of sessions, expiry.
pub(crate) struct LiveSession {
    hash: [u8; 32],
    expires_at: Timestamp,
    ended: watch::Receiver<u64>,
    store: Store,
    clock: Clock,
}

impl LiveSession {
    /// Waits until the session is over.
    pub(crate) async fn over(mut self) {
        loop {
            let some_ended = actix_rt::time::timeout(LOOK_EVERY, self.ended.changed()).await;
            if self.clock.now() >= self.expires_at {
                return;
            }
            match some_ended {
                Ok(Ok(())) if self.is_stored().await => {}
                // Nobody can end sessions any more: the dashboard stops.
                Ok(_) => return,
                Err(_) => {}
            }
        }
    }

    /// Whether it is still there. What cannot be read is taken for its end: whoever has a session
    /// comes back.
    async fn is_stored(&self) -> bool {
        let hash = self.hash;
        let found = self.store.read(move |conn| sessions::find(conn, &hash)).await;
        matches!(found, Ok(Some(_)))
    }
}

impl Auth {
    /// Opens a session. Answers the cookie's value.
    pub(super) async fn open_session(
        &self,
        peer: &Peer,
        browser: &str,
    ) -> Result<String, LoginError> {
        let token = random_token()?;
        let now = self.clock.now();
        let session = SessionRecord {
            token_hash: token_hash(&token),
            created_at: now,
            expires_at: now + super::SESSION_FOR,
            last_used_at: now,
            address: peer.to_string(),
            browser: browser.chars().take(BROWSER).collect(),
        };
        let stored = self.store.write(move |conn| {
            sessions::delete_expired(conn, now)?;
            sessions::insert(conn, &session)
        });
        stored.await?;
        Ok(token)
    }

    /// Whose session this cookie's value is; `None` if it is over or never was.
    pub(crate) async fn session_caller(&self, cookie: &str) -> Result<Option<Caller>, StoreError> {
        let found = self.valid_session(cookie).await?;
        let caller = |session: SessionRecord| Caller::Session {
            token_hash: session.token_hash,
            csrf: self.csrf(cookie),
        };
        Ok(found.map(caller))
    }

    async fn valid_session(&self, cookie: &str) -> Result<Option<SessionRecord>, StoreError> {
        let hash = token_hash(cookie);
        let now = self.clock.now();
        let found = self.store.read(move |conn| sessions::find(conn, &hash)).await?;
        let valid = found.filter(|session| session.expires_at > now);
        if let Some(session) = &valid {
            let last = session.last_used_at;
            self.used(Some(last), move |conn| sessions::touch(conn, &hash, now));
        }
        Ok(valid)
    }

    /// The session of this cookie's value, to be watched from now on; `None` if it is over.
    pub(crate) async fn live_session(
        &self,
        cookie: &str,
    ) -> Result<Option<LiveSession>, StoreError> {
        // Listened to before it is looked up: no end falls in between.
        let ended = self.sessions_ended.subscribe();
        let found = self.valid_session(cookie).await?;
        Ok(found.map(|session| LiveSession {
            hash: session.token_hash,
            expires_at: session.expires_at,
            ended,
            store: self.store.clone(),
            clock: self.clock,
        }))
    }

    /// The sessions that count, the one that was used last first.
    pub(crate) async fn sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let now = self.clock.now();
        self.store.read(move |conn| sessions::list(conn, now)).await
    }

    /// Ends a session.
    pub(crate) async fn logout(&self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.store.write(move |conn| sessions::delete(conn, &hash)).await?;
        self.some_sessions_ended();
        Ok(())
    }

    /// Ends all sessions but one.
    pub(super) async fn end_others(&self, keep: [u8; 32]) -> Result<(), StoreError> {
        self.store.write(move |conn| sessions::delete_others(conn, &keep)).await?;
        self.some_sessions_ended();
        Ok(())
    }

    /// Whoever watches looks whether its own is among them.
    fn some_sessions_ended(&self) {
        self.sessions_ended.send_modify(|times| *times += 1);
    }
}
