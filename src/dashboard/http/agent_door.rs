//! The door of agents: whether a token opens a link, and for how long.

use super::cookies;
use crate::dashboard::auth::{LiveToken, Peer, Refusals, is_shared, token_hash};
use crate::dashboard::clock::Clock;
use crate::dashboard::config::DashboardConfig;
use crate::dashboard::fleet::FleetActor;
use crate::dashboard::link::TokenFor;
use crate::dashboard::store;
use crate::domain::ids::HostId;
use actix::Addr;
use actix_web::HttpRequest;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// What a new connection needs of the house.
///
/// Invariant: only `agent_socket` reaches through it, and only with a token that was checked.
pub(crate) struct AgentDoor {
    pub(super) fleet: Addr<FleetActor>,
    store: store::Store,
    clock: Clock,
    enrolment: Option<[u8; 32]>,
    token_changes: watch::Receiver<u64>,
    config: Arc<DashboardConfig>,
    refusals: Refusals,
}

impl AgentDoor {
    /// A door to the fleet. `token_changes` counts up when tokens are renewed or taken back,
    /// `refusals` the agents that are let in by no token, or not to the end.
    pub(crate) fn new(
        fleet: Addr<FleetActor>,
        store: store::Store,
        clock: Clock,
        config: Arc<DashboardConfig>,
        token_changes: watch::Receiver<u64>,
        refusals: Refusals,
    ) -> Self {
        // A shared token that was made on the page is in the store.
        let enrolment = config.agent_token.as_ref().map(|token| token_hash(token.expose()));
        Self { fleet, store, clock, enrolment, token_changes, config, refusals }
    }
}

/// A token that opens a link.
pub(super) struct Token {
    hash: [u8; 32],
    /// What it allows.
    pub(super) allows: TokenFor,
    /// It is the shared one that a variable sets.
    fixed: bool,
}

async fn token_for(door: &AgentDoor, token: &str) -> Result<Option<Token>, store::StoreError> {
    let hash = token_hash(token);
    if door.enrolment.is_some_and(|shared| bool::from(shared.ct_eq(&hash))) {
        return Ok(Some(Token { hash, allows: TokenFor::Enrolment, fixed: true }));
    }
    let now = door.clock.now();
    let read = door.store.read(move |conn| {
        if is_shared(conn, &hash)? {
            return Ok(Some(TokenFor::Enrolment));
        }
        let own = store::host_tokens::find(conn, &hash, now)?;
        Ok(own.map(|own| TokenFor::Host(own.host)))
    });
    let allows = read.await?;
    Ok(allows.map(|allows| Token { hash, allows, fixed: false }))
}

impl AgentDoor {
    /// The token of a request; `None` if it has none that opens a link.
    pub(super) async fn token_of(
        &self,
        request: &HttpRequest,
    ) -> Result<Option<Token>, store::StoreError> {
        match cookies::bearer(request).filter(|token| !token.is_empty()) {
            Some(token) => token_for(self, &token).await,
            None => Ok(None),
        }
    }

    /// Who makes a request.
    pub(super) fn told(&self, request: &HttpRequest) -> Told {
        let peer = cookies::peer(&self.config, request);
        Told { peer, clock: self.clock, refusals: self.refusals.clone() }
    }

    /// Whether a link crosses a network without encryption.
    pub(super) fn is_plain(&self, request: &HttpRequest) -> bool {
        cookies::is_plain(&self.config, request)
    }

    /// What the link of a host lasts as long as.
    pub(super) fn live_token(&self, token: &Token, host: HostId) -> LiveToken {
        LiveToken {
            host,
            hash: token.hash,
            shared: token.allows == TokenFor::Enrolment,
            fixed: token.fixed,
            changes: self.token_changes.clone(),
            store: self.store.clone(),
            clock: self.clock,
        }
    }
}

/// Who is at the other end, for what is said of refusals.
pub(super) struct Told {
    peer: Peer,
    clock: Clock,
    refusals: Refusals,
}

impl Told {
    /// Somebody of whom only the address is known.
    #[cfg(test)]
    pub(super) fn about(peer: Peer) -> Self {
        Self { peer, clock: Clock::default(), refusals: Refusals::default() }
    }

    /// Counts that the link is refused; says it where it is the first within a minute.
    pub(super) fn refused(&self, name: &str, why: &dyn std::fmt::Display) -> bool {
        let is_told = self.refusals.count(&self.peer, self.clock.up());
        if is_told {
            log::warn!("{name} from {}: refused: {why}", self.peer);
        }
        is_told
    }
}
