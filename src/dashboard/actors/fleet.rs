//! The fleet: which hosts there are, and who speaks for each.
//!
//! It finds a host's actor, makes new ones, removes them, and passes on what concerns all
//! of them. It holds no host's state.

use super::host::{Ask, HostActor, News, Surroundings};
use super::version_fetcher::{Compare, Publish, Refresh, VersionFetcher};
use crate::dashboard::Broadcast;
use crate::dashboard::clock::Clock;
use crate::dashboard::messages::{
    AddHost, DesiredChanged, ExtendCommand, HostRemoved, NewHost, RefreshDesired, RemoveHost,
    RequestCommand, RequestError, StopCommand,
};
use crate::dashboard::sockets::agent::{CloseLink, TokenFor, token_hash};
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::command::Command;
use crate::domain::desired::Desired;
use crate::domain::generation;
use crate::domain::host::{HostEvent, HostState, Restored};
use crate::domain::ids::{CommandId, Commit, HostId};
use crate::domain::operation::TimeLimits;
use crate::domain::timestamp::Timestamp;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the fleet is restored from.
pub struct StoredFleet {
    hosts: Vec<Restored>,
}

impl StoredFleet {
    /// Reads every host with its commands.
    pub fn load(conn: &rusqlite::Connection) -> Result<Self, StoreError> {
        let mut live: BTreeMap<HostId, Vec<Command>> = BTreeMap::new();
        for mut command in store::commands::live(conn)? {
            command.output_lines = store::output::last_seq(conn, command.id)?;
            live.entry(command.host.clone()).or_default().push(command);
        }
        let mut last: BTreeMap<HostId, Command> = store::commands::latest_per_host(conn)?
            .into_iter()
            .filter(|command| command.state.is_terminal())
            .map(|command| (command.host.clone(), command))
            .collect();
        let hosts = store::hosts::load_all(conn)?
            .into_iter()
            .map(|record| {
                let live = live.remove(&record.id).unwrap_or_default();
                let results = match live.iter().find(|c| c.state.is_active()) {
                    Some(command) => store::test_results::list(conn, command.id)?,
                    None => Vec::new(),
                };
                Ok(Restored {
                    last: last.remove(&record.id),
                    id: record.id,
                    profile: record.profile,
                    facts: record.facts,
                    last_seen: record.last_seen,
                    live,
                    results,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self { hosts })
    }

    /// Reads one host.
    fn load_one(conn: &rusqlite::Connection, id: &HostId) -> Result<Option<Restored>, StoreError> {
        let fleet = Self::load(conn)?;
        Ok(fleet.hosts.into_iter().find(|host| host.id == *id))
    }
}

/// How often clocks and actors are looked at.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// A clock that is off by so much within that time was set.
const CLOCK_JUMP: Duration = Duration::from_secs(5);

/// The actor of the fleet.
pub struct FleetActor {
    store: Store,
    clock: Clock,
    broadcaster: Broadcast,
    stored: Option<StoredFleet>,
    hosts: BTreeMap<HostId, Addr<HostActor>>,
    checkouts: BTreeMap<HostId, Commit>,
    drifting: BTreeMap<HostId, bool>,
    desired: Arc<Desired>,
    limits: Arc<TimeLimits>,
    fetcher: Option<Addr<VersionFetcher>>,
    /// When both clocks were last read: that of the machine and one that nobody sets.
    clocks: (Timestamp, Instant),
}

impl FleetActor {
    /// A fleet as it was stored.
    pub fn new(
        store: Store,
        clock: Clock,
        broadcaster: Broadcast,
        limits: TimeLimits,
        stored: StoredFleet,
    ) -> Self {
        Self {
            store,
            clock,
            broadcaster,
            stored: Some(stored),
            hosts: BTreeMap::new(),
            checkouts: BTreeMap::new(),
            drifting: BTreeMap::new(),
            desired: Arc::new(Desired::NotYetFetched),
            limits: Arc::new(limits),
            fetcher: None,
            clocks: (clock.now(), Instant::now()),
        }
    }

    fn start_host(&mut self, state: HostState, ctx: &mut Context<Self>) -> Addr<HostActor> {
        let id = state.id.clone();
        let around = Surroundings {
            store: self.store.clone(),
            clock: self.clock,
            broadcaster: self.broadcaster.clone(),
            fleet: ctx.address(),
        };
        let state = state.with_limits(Arc::clone(&self.limits));
        let host = HostActor::new(state, around).start();
        self.hosts.insert(id, host.clone());
        host
    }

    fn new_host(&mut self, id: HostId, hostname: &str, ctx: &mut Context<Self>) -> Addr<HostActor> {
        let state = HostState::new(id, hostname, Arc::clone(&self.desired));
        self.start_host(state, ctx)
    }

    /// Deadlines are instants of the machine's clock. When somebody sets that, they move
    /// with it: a day that did not pass makes nothing overdue.
    fn look_at_clocks(&mut self) {
        let (now, at) = (self.clock.now(), Instant::now());
        let (then, then_at) = std::mem::replace(&mut self.clocks, (now, at));
        let passed = i64::try_from((at - then_at).as_millis()).unwrap_or(i64::MAX);
        let jumped = now.as_millis() - then.as_millis() - passed;
        if jumped.unsigned_abs() < CLOCK_JUMP.as_millis().try_into().unwrap_or(u64::MAX) {
            return;
        }
        log::warn!("the clock was set by {jumped} ms; deadlines move with it");
        for host in self.hosts.values() {
            host.do_send(News::ClockJumped(jumped));
        }
    }

    /// An actor that panicked is gone. Its host is not: it starts again from SQLite.
    fn look_after_hosts(&mut self, ctx: &mut Context<Self>) {
        let gone: Vec<HostId> = self
            .hosts
            .iter()
            .filter(|(_, host)| !host.connected())
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.hosts.remove(&id);
            log::error!("{id}: its actor failed; it starts again from what is stored");
            let wanted = id.clone();
            let read = self.store.read(move |conn| StoredFleet::load_one(conn, &wanted));
            ctx.wait(read.into_actor(self).map(move |restored, act, ctx| match restored {
                Ok(Some(restored)) => {
                    let desired = Arc::clone(&act.desired);
                    let state = HostState::restore(restored, desired, act.clock.now());
                    act.start_host(state, ctx);
                    act.record_failure(id);
                }
                Ok(None) => log::error!("{id}: it is not stored any more"),
                Err(error) => log::error!("{id}: not read: {error}"),
            }));
        }
    }

    fn record_failure(&self, id: HostId) {
        let event = store::events::EventRecord {
            id: 0,
            at: self.clock.now(),
            host: Some(id),
            category: "dashboard".to_owned(),
            message: "Its part of the dashboard failed and was started again.".to_owned(),
            by: None,
        };
        let write = self.store.write(move |conn| store::events::append(conn, &event));
        actix_rt::spawn(async move {
            if let Err(error) = write.await {
                log::error!("an event was not stored: {error}");
            }
        });
    }

    fn find(&self, id: &HostId) -> Result<Addr<HostActor>, RequestError> {
        self.hosts.get(id).cloned().ok_or_else(|| RequestError::NoSuchHost(id.to_string()))
    }

    fn tell_drift(&mut self) {
        let drifting = generation::drifting(&self.checkouts);
        for (id, host) in &self.hosts {
            let now = drifting.contains(id);
            let before = self.drifting.insert(id.clone(), now).unwrap_or(false);
            if before != now {
                host.do_send(News::Drift(now));
            }
        }
    }

    /// Writes a new host, and its token if it gets one.
    fn store_host(
        &self,
        id: &HostId,
        hostname: &str,
        token: Option<[u8; 32]>,
        message: String,
        by: Option<String>,
    ) -> impl Future<Output = Result<(), StoreError>> + 'static {
        let (id, hostname, now) = (id.clone(), hostname.to_owned(), self.clock.now());
        let store = self.store.clone();
        async move {
            store
                .write(move |conn| {
                    let profile = crate::domain::host::HostProfile {
                        hostname,
                        ..crate::domain::host::HostProfile::default()
                    };
                    let record = store::hosts::HostRecord {
                        id: id.clone(),
                        profile,
                        facts: crate::domain::facts::HostFacts::default(),
                        last_seen: None,
                        created_at: now,
                    };
                    store::hosts::save(conn, &record)?;
                    if let Some(hash) = token {
                        store::host_tokens::insert(conn, &hash, &id, now)?;
                    }
                    let event = store::events::EventRecord {
                        id: 0,
                        at: now,
                        host: Some(id),
                        category: "host".to_owned(),
                        message,
                        by,
                    };
                    store::events::append(conn, &event)?;
                    Ok(())
                })
                .await
        }
    }
}

impl Actor for FleetActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let now = self.clock.now();
        let desired = Arc::clone(&self.desired);
        for restored in self.stored.take().into_iter().flat_map(|stored| stored.hosts) {
            let state = HostState::restore(restored, Arc::clone(&desired), now);
            self.start_host(state, ctx);
        }
        self.broadcaster.do_send(DesiredChanged(desired));
        ctx.run_interval(LOOK_AFTER_EVERY, |act, ctx| {
            act.look_at_clocks();
            act.look_after_hosts(ctx);
        });
    }
}

// ---- from the house ----

/// The version fetcher, once it has started.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseFetcher(pub Addr<VersionFetcher>);

impl Handler<UseFetcher> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: UseFetcher, _: &mut Self::Context) {
        self.fetcher = Some(msg.0);
    }
}

/// The dashboard stops: agents should come back at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Shutdown;

impl Handler<Shutdown> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) -> Self::Result {
        let told: Vec<_> = self.hosts.values().map(|host| host.send(News::Restarting)).collect();
        Box::pin(async move {
            for answer in told {
                // An actor that is gone has no link to close.
                let _ = answer.await;
            }
        })
    }
}

// ---- from the version fetcher ----

impl Handler<Publish> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: Publish, _: &mut Self::Context) {
        self.desired = Arc::clone(&msg.0);
        self.broadcaster.do_send(DesiredChanged(Arc::clone(&msg.0)));
        for host in self.hosts.values() {
            host.do_send(News::Desired(Arc::clone(&msg.0)));
        }
    }
}

// ---- from agents ----

/// An agent registers: answers its host's actor, or why the link is closed.
#[derive(Message)]
#[rtype(result = "Result<Addr<HostActor>, CloseLink>")]
pub struct AgentJoins {
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
        if let TokenFor::Host(id) = &msg.token {
            if *id != msg.host {
                let why = format!("this token belongs to another host than {}", msg.host);
                return ready(Err(CloseLink::Policy(why)));
            }
            let gone = || CloseLink::Policy("this host was removed".to_owned());
            return ready(known.ok_or_else(gone));
        }
        // The shared token opens no host that has a token of its own.
        let id = msg.host.clone();
        let own = self.store.read(move |conn| store::host_tokens::exists_for(conn, &id));
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
                (Ok(false), None) => {
                    let text = "Joined with the enrolment token.".to_owned();
                    let stored = act.store_host(&msg.host, &msg.hostname, None, text, None);
                    Box::pin(stored.into_actor(act).map(move |stored, act, ctx| {
                        stored.map_err(not_read)?;
                        Ok(act.new_host(msg.host, &msg.hostname, ctx))
                    }))
                }
            };
            done
        })))
    }
}

/// An agent registered with a text that is no hostname.
#[derive(Message)]
#[rtype(result = "()")]
pub struct BadHostname(pub String);

impl Handler<BadHostname> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, msg: BadHostname, _: &mut Self::Context) -> Self::Result {
        let (store, at) = (self.store.clone(), self.clock.now());
        Box::pin(async move {
            let event = store::events::EventRecord {
                id: 0,
                at,
                host: None,
                category: "protocol".to_owned(),
                message: format!("An agent was refused: its hostname is {:?}.", msg.0),
                by: None,
            };
            let stored = store.write(move |conn| store::events::append(conn, &event)).await;
            if let Err(error) = stored {
                log::error!("an event was not stored: {error}");
            }
        })
    }
}

// ---- from hosts ----

/// A host's checkout is this now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct HostCheckout {
    /// Whose.
    pub host: HostId,
    /// Which.
    pub commit: Option<Commit>,
}

impl Handler<HostCheckout> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: HostCheckout, _: &mut Self::Context) {
        match msg.commit {
            Some(commit) => self.checkouts.insert(msg.host, commit),
            None => self.checkouts.remove(&msg.host),
        };
        self.tell_drift();
    }
}

/// Somebody waits for the remote's newest word.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FetchSoon;

impl Handler<FetchSoon> for FleetActor {
    type Result = ();

    fn handle(&mut self, _: FetchSoon, _: &mut Self::Context) {
        if let Some(fetcher) = &self.fetcher {
            fetcher.do_send(Refresh);
        }
    }
}

/// A host wants to know how its commit relates to the remote's head.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WorkOutLineage {
    /// Who wants to know.
    pub asked_by: Addr<HostActor>,
    /// Its commit.
    pub host: Commit,
    /// The remote's head.
    pub head: Commit,
}

impl Handler<WorkOutLineage> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, msg: WorkOutLineage, _: &mut Self::Context) -> Self::Result {
        let Some(fetcher) = self.fetcher.clone() else {
            return Box::pin(async {});
        };
        Box::pin(async move {
            let compare = Compare { host: msg.host.clone(), head: msg.head.clone() };
            let relation = match fetcher.send(compare).await {
                Ok(Ok(relation)) => Some(relation),
                Ok(Err(reason)) => {
                    log::warn!("commits not compared: {reason}");
                    None
                }
                Err(_) => None,
            };
            msg.asked_by.do_send(News::Compared { host: msg.host, head: msg.head, relation });
        })
    }
}

// ---- from users ----

type Answer<T> = ResponseFuture<Result<T, RequestError>>;

fn gone(_: MailboxError) -> RequestError {
    RequestError::Unavailable("The host did not answer; it may have been removed.".to_owned())
}

fn not_stored(error: StoreError) -> RequestError {
    log::error!("not stored: {error}");
    RequestError::Unavailable(format!("The database cannot be used: {error}"))
}

impl Handler<RequestCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: RequestCommand, _: &mut Self::Context) -> Self::Result {
        let host = self.find(&msg.host);
        let RequestCommand { op, args, queue, by, host: _ } = msg;
        Box::pin(async move {
            host?.send(Ask(HostEvent::Requested { op, args, queue, by })).await.map_err(gone)?
        })
    }
}

impl FleetActor {
    /// Finds the host of a command and asks it.
    fn ask_about(&self, id: CommandId, event: HostEvent, ctx: &Context<Self>) -> Answer<Command> {
        let (store, fleet) = (self.store.clone(), ctx.address());
        Box::pin(async move {
            let command = store.read(move |conn| store::commands::get(conn, id)).await;
            let command = command.map_err(not_stored)?;
            let command = command.ok_or_else(|| RequestError::NoSuchCommand(id.to_string()))?;
            let host = fleet.send(FindHost(command.host)).await.map_err(gone)??;
            host.send(Ask(event)).await.map_err(gone)?
        })
    }
}

#[derive(Message)]
#[rtype(result = "Result<Addr<HostActor>, RequestError>")]
pub(super) struct FindHost(pub(super) HostId);

impl Handler<FindHost> for FleetActor {
    type Result = Result<Addr<HostActor>, RequestError>;

    fn handle(&mut self, msg: FindHost, _: &mut Self::Context) -> Self::Result {
        self.find(&msg.0)
    }
}

impl Handler<StopCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: StopCommand, ctx: &mut Self::Context) -> Self::Result {
        self.ask_about(msg.id, HostEvent::StopRequested { id: msg.id, by: msg.by }, ctx)
    }
}

impl Handler<ExtendCommand> for FleetActor {
    type Result = Answer<Command>;

    fn handle(&mut self, msg: ExtendCommand, ctx: &mut Self::Context) -> Self::Result {
        self.ask_about(msg.id, HostEvent::ExtendRequested { id: msg.id, by: msg.by }, ctx)
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
            Some(_) => Err(RequestError::Refused(crate::domain::host::Refusal {
                code: "host_exists",
                message: format!("There is a host {id} already."),
            })),
            None => Ok((id, new_token()?)),
        });
        let (id, token) = match checked {
            Ok(checked) => checked,
            Err(error) => return AtomicResponse::new(Box::pin(fut::ready(Err(error)))),
        };
        let text = "Added.".to_owned();
        let hash = token_hash(&token);
        let stored = self.store_host(&id, &msg.hostname, Some(hash), text, Some(msg.by));
        AtomicResponse::new(Box::pin(stored.into_actor(self).map(move |stored, act, ctx| {
            stored.map_err(not_stored)?;
            act.new_host(id.clone(), &msg.hostname, ctx);
            Ok(NewHost { id, token })
        })))
    }
}

/// 32 random bytes, in hexadecimal.
fn new_token() -> Result<String, RequestError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| RequestError::Unavailable(format!("No random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Handler<RemoveHost> for FleetActor {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    fn handle(&mut self, msg: RemoveHost, _: &mut Self::Context) -> Self::Result {
        let host = match self.find(&msg.host) {
            Ok(host) => host,
            Err(error) => return AtomicResponse::new(Box::pin(fut::ready(Err(error)))),
        };
        let (store, id, at) = (self.store.clone(), msg.host.clone(), self.clock.now());
        let removed = async move {
            let stored_id = id.clone();
            store
                .write(move |conn| {
                    store::hosts::remove(conn, &stored_id)?;
                    let event = store::events::EventRecord {
                        id: 0,
                        at,
                        host: Some(stored_id),
                        category: "host".to_owned(),
                        message: "Removed, with its token, commands and logs.".to_owned(),
                        by: Some(msg.by),
                    };
                    store::events::append(conn, &event)?;
                    Ok(())
                })
                .await
                .map_err(not_stored)?;
            Ok(id)
        };
        AtomicResponse::new(Box::pin(removed.into_actor(self).map(move |removed, act, _| {
            let id = removed?;
            host.do_send(News::Removed);
            act.hosts.remove(&id);
            act.checkouts.remove(&id);
            act.drifting.remove(&id);
            act.broadcaster.do_send(HostRemoved(id));
            act.tell_drift();
            Ok(())
        })))
    }
}

impl Handler<RefreshDesired> for FleetActor {
    type Result = Answer<Arc<Desired>>;

    fn handle(&mut self, _: RefreshDesired, _: &mut Self::Context) -> Self::Result {
        let (fetcher, desired) = (self.fetcher.clone(), Arc::clone(&self.desired));
        Box::pin(async move {
            let Some(fetcher) = fetcher else {
                return Ok(desired);
            };
            let unavailable = || RequestError::Unavailable("The remote is not being read.".into());
            fetcher.send(Refresh).await.map_err(|_| unavailable())?.map_err(|_| unavailable())
        })
    }
}
