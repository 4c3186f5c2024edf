//! Hosts come and go.

use super::{FleetActor, gone, not_stored};
use crate::base::secret;
use crate::dashboard::auth::token_hash;
use crate::dashboard::fleet::host::{HasStarted, HostActor, Remove};
use crate::dashboard::fleet::requests::{AddHost, NewHost, RemoveHost};
use crate::dashboard::link::{CloseLink, TokenFor};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::domain::audit::{self, Asker, AuditCategory};
use crate::domain::bounds;
use crate::domain::ids::HostId;
use crate::domain::profile::HostProfile;
use crate::domain::refusal::{Refusal, RefusalCode};
use actix::prelude::*;

impl FleetActor {
    /// Writes a new host, and its token if it gets one.
    fn store_host(
        &self,
        id: &HostId,
        profile: &HostProfile,
        token: Option<[u8; 32]>,
        message: String,
        by: Option<Asker>,
    ) -> impl Future<Output = Result<(), StoreError>> + 'static {
        let (id, profile, now) = (id.clone(), profile.clone(), self.clock.now());
        let store = self.store.clone();
        async move {
            store
                .write(move |conn| {
                    let record = store::hosts::HostRecord {
                        id: id.clone(),
                        profile,
                        facts: crate::domain::facts::HostFacts::default(),
                        last_seen: None,
                        created_at: now,
                    };
                    store::hosts::insert(conn, &record)?;
                    if let Some(hash) = token {
                        store::host_tokens::insert(conn, &hash, &id, now)?;
                    }
                    let event = store::events::NewEvent {
                        at: now,
                        host: Some(id),
                        category: AuditCategory::Host,
                        message,
                        from: by.as_ref().and_then(|by| by.from.clone()),
                        by: by.map(|by| by.author),
                        result: Some(audit::DONE),
                        command: None,
                    };
                    store::events::append(conn, &event)?;
                    Ok(())
                })
                .await
        }
    }
}

/// An agent registers: answers its host's actor, or why the link is closed.
#[derive(Message)]
#[rtype(result = "Result<Addr<HostActor>, CloseLink>")]
pub(crate) struct AgentJoins {
    /// The host it claims to be.
    pub host: HostId,
    /// The name as it writes it.
    pub hostname: String,
    /// What its token allows.
    pub token: TokenFor,
}

impl Handler<AgentJoins> for FleetActor {
    type Result = AtomicResponse<Self, Result<Addr<HostActor>, CloseLink>>;

    fn handle(&mut self, msg: AgentJoins, _: &mut Self::Context) -> Self::Result {
        let ready = |answer| AtomicResponse::new(Box::pin(fut::ready(answer)));
        let known = self.hosts.get(&msg.host).cloned();
        if known.as_ref().is_some_and(|host| !host.connected()) {
            let why = "this host's part of the dashboard is being started again".to_owned();
            return ready(Err(CloseLink::TryAgain(why)));
        }
        if self.gone.contains(&msg.host) {
            let why = format!("{} was removed: add it again on the dashboard first", msg.host);
            return ready(Err(CloseLink::Policy(why)));
        }
        if let TokenFor::Host(id) = &msg.token {
            if *id != msg.host {
                let why = format!("this token belongs to another host than {}", msg.host);
                return ready(Err(CloseLink::Policy(why)));
            }
            let gone = || CloseLink::Policy("this host was removed".to_owned());
            return ready(known.ok_or_else(gone));
        }
        // The shared token opens no host that has a token of its own.
        let (id, now) = (msg.host.clone(), self.clock.now());
        let own = self.store.read(move |conn| {
            let shared = store::host_tokens::shared_for(conn, &id, now)?;
            Ok(shared == store::host_tokens::SharedToken::OpensNothing)
        });
        let not_read = |error: StoreError| {
            log::error!("a host's token could not be looked up: {error}");
            CloseLink::TryAgain("the database cannot be used".to_owned())
        };
        AtomicResponse::new(Box::pin(own.into_actor(self).then(move |own, act, _| {
            let done: ResponseActFuture<Self, _> = match (own, known) {
                (Err(error), _) => Box::pin(fut::ready(Err(not_read(error)))),
                (Ok(true), _) => {
                    let why = "this host has a token of its own".to_owned();
                    Box::pin(fut::ready(Err(CloseLink::Policy(why))))
                }
                (Ok(false), Some(host)) => Box::pin(fut::ready(Ok(host))),
                (Ok(false), None) if !act.may_join() => {
                    let why = "too many hosts join at once".to_owned();
                    Box::pin(fut::ready(Err(CloseLink::TryAgain(why))))
                }
                (Ok(false), None) => {
                    let text = "Joined with the enrolment token.".to_owned();
                    let profile = HostProfile { hostname: msg.hostname, ..HostProfile::default() };
                    let stored = act.store_host(&msg.host, &profile, None, text, None);
                    Box::pin(stored.into_actor(act).map(move |stored, act, ctx| {
                        stored.map_err(not_read)?;
                        Ok(act.new_host(msg.host, profile, ctx))
                    }))
                }
            };
            done
        })))
    }
}

impl FleetActor {
    /// Whether the shared token may add one more host now (finding 9 of the security review).
    fn may_join(&mut self) -> bool {
        let now = self.clock.up();
        if self.new_hosts.take(now) {
            return true;
        }
        if self.too_many_hosts.take(now) {
            let message = format!("Beyond a bound. {}.", bounds::rows::NEW_HOSTS);
            let category = AuditCategory::Protocol;
            self.record(store::events::NewEvent {
                at: self.clock.now(),
                host: None,
                category,
                message,
                by: None,
                from: None,
                result: Some(audit::REFUSED),
                command: None,
            });
        }
        false
    }
}

/// An agent registered with a text that is no hostname.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct BadHostname(pub String);

impl Handler<BadHostname> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, msg: BadHostname, _: &mut Self::Context) -> Self::Result {
        let (store, at) = (self.store.clone(), self.clock.now());
        if !self.bad_names.take(self.clock.up()) {
            return Box::pin(async {});
        }
        Box::pin(async move {
            let event = store::events::NewEvent {
                at,
                host: None,
                category: AuditCategory::Protocol,
                message: format!("An agent was refused: its hostname is {:?}.", msg.0),
                by: None,
                from: None,
                result: Some(audit::REFUSED),
                command: None,
            };
            let stored = store.write(move |conn| store::events::append(conn, &event)).await;
            if let Err(error) = stored {
                log::error!("an event was not stored: {error}");
            }
        })
    }
}

impl Handler<AddHost> for FleetActor {
    type Result = AtomicResponse<Self, Result<NewHost, RequestError>>;

    fn handle(&mut self, msg: AddHost, _: &mut Self::Context) -> Self::Result {
        let checked = HostId::parse(&msg.hostname).map_err(|error| RequestError::Invalid {
            field: "hostname",
            expected: error.to_string(),
        });
        let checked = checked.and_then(|id| match self.hosts.get(&id) {
            Some(_) => {
                let message = format!("There is a host {id} already.");
                Err(RequestError::Refused(Refusal::new(RefusalCode::HostExists, message)))
            }
            None => Ok((id, new_token()?)),
        });
        let (id, token) = match checked {
            Ok(checked) => checked,
            Err(error) => return AtomicResponse::new(Box::pin(fut::ready(Err(error)))),
        };
        let text = "Added.".to_owned();
        let hash = token_hash(&token);
        let AddHost { hostname, overrides, by } = msg;
        let profile = HostProfile { hostname, overrides, ..HostProfile::default() };
        let stored = self.store_host(&id, &profile, Some(hash), text, Some(by));
        AtomicResponse::new(Box::pin(stored.into_actor(self).then(move |stored, act, ctx| {
            let begun = stored.map_err(not_stored).map(|()| {
                act.gone.remove(&id);
                act.new_host(id.clone(), profile, ctx).send(HasStarted)
            });
            let answer = async move {
                // It shows itself when it starts: whoever looks after the answer finds it.
                begun?.await.map_err(gone)?;
                Ok(NewHost { id, token })
            };
            answer.into_actor(act)
        })))
    }
}

/// 32 random bytes, in hexadecimal.
fn new_token() -> Result<String, RequestError> {
    secret::random_token(32).map_err(|error| {
        log::error!("{error}");
        RequestError::Unavailable("There are no random numbers now.")
    })
}

impl Handler<RemoveHost> for FleetActor {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    /// The host's actor refuses, or goes first; then the fleet forgets it. Nothing joins in
    /// between: this actor takes no other message until that is done.
    fn handle(&mut self, msg: RemoveHost, _: &mut Self::Context) -> Self::Result {
        let host = match self.find(&msg.host) {
            Ok(host) => host,
            Err(error) => return AtomicResponse::new(Box::pin(fut::ready(Err(error)))),
        };
        let removed = async move { host.send(Remove { by: msg.by }).await.map_err(gone)? };
        AtomicResponse::new(Box::pin(removed.into_actor(self).map(move |removed, act, _| {
            removed?;
            act.gone.insert(msg.host.clone());
            act.forget(&msg.host);
            Ok(())
        })))
    }
}
