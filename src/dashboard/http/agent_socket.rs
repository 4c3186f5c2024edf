//! An agent's connection.
//!
//! Parses frames and hands them to the host's actor, one at a time: while that one is
//! busy this one reads nothing, so a flood is held back on the host that sends it.

use crate::base::hex;
use crate::dashboard::auth::ENROLMENT;
use crate::dashboard::auth::token_hash;
use crate::dashboard::fleet::host::{AgentConnected, AgentGone, FromAgent, HostActor};
use crate::dashboard::fleet::{AgentJoins, BadHostname, FleetActor};
use crate::dashboard::link::translate;
use crate::dashboard::link::{CloseLink, Link, SendFrame, TokenFor};
use crate::dashboard::{metrics, store};
use crate::protocol::{
    AgentMessage, FragmentError, Fragments, FrameError, MAX_FRAME_BYTES, Register,
};
use actix::prelude::*;
use actix_http::ws::Item;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How often the dashboard pings.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A link that was silent for so long is dropped.
const SILENT_FOR: Duration = Duration::from_secs(45);
/// A broken link is over when so long no frame came out of it.
const DRAIN_FOR: Duration = Duration::from_millis(20);
/// So many frames may wait for the agent.
const MAILBOX: usize = 1024;
/// How often silence is looked for.
const CHECK_EVERY: Duration = Duration::from_secs(5);

static LINKS: AtomicU64 = AtomicU64::new(1);

/// What a new connection needs of the house.
///
/// Invariant: only [`connect`] reaches through it, and only with a token that was checked.
pub(crate) struct AgentDoor {
    fleet: Addr<FleetActor>,
    store: store::Store,
    enrolment: Option<[u8; 32]>,
}

impl AgentDoor {
    /// A door to the fleet. `enrolment` is SHA-256 of the shared enrolment token, where a
    /// variable sets one; one that was made on the page is in the store.
    pub(crate) fn new(
        fleet: Addr<FleetActor>,
        store: store::Store,
        enrolment: Option<[u8; 32]>,
    ) -> Self {
        Self { fleet, store, enrolment }
    }
}

/// `GET /ws`: checks the token before the upgrade.
pub(crate) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    door: web::Data<AgentDoor>,
) -> actix_web::Result<HttpResponse> {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim)
        .filter(|token| !token.is_empty());
    let allowed = match token {
        Some(token) => token_for(&door, token).await,
        None => Ok(None),
    };
    match allowed {
        Ok(Some(token)) => {
            let socket = AgentSocket::new(door.fleet.clone(), token);
            ws::WsResponseBuilder::new(socket, &request, body).frame_size(MAX_FRAME_BYTES).start()
        }
        Ok(None) => {
            let peer = request.peer_addr();
            log::warn!("an agent from {peer:?} was refused: bad or missing token");
            Ok(HttpResponse::Unauthorized().body("bad or missing token\n"))
        }
        Err(error) => {
            log::error!("a token could not be checked: {error}");
            Ok(HttpResponse::ServiceUnavailable().body("the database cannot be read\n"))
        }
    }
}

async fn token_for(door: &AgentDoor, token: &str) -> Result<Option<TokenFor>, store::StoreError> {
    let hash = token_hash(token);
    if door.enrolment.is_some_and(|shared| bool::from(shared.ct_eq(&hash))) {
        return Ok(Some(TokenFor::Enrolment));
    }
    let read = door.store.read(move |conn| {
        let shared = store::settings::get(conn, ENROLMENT)?;
        Ok((shared, store::host_tokens::find(conn, &hash)?))
    });
    let (shared, host) = read.await?;
    let own = hex::encode(&hash);
    if shared.is_some_and(|shared| bool::from(shared.as_bytes().ct_eq(own.as_bytes()))) {
        return Ok(Some(TokenFor::Enrolment));
    }
    Ok(host.map(TokenFor::Host))
}

/// The actor of one connection.
pub(crate) struct AgentSocket {
    fleet: Addr<FleetActor>,
    token: TokenFor,
    number: u64,
    host: Option<Addr<HostActor>>,
    registering: bool,
    heard: Instant,
    pinged: Instant,
    frames: u64,
    ignored: u64,
    fragments: Fragments,
}

impl AgentSocket {
    fn new(fleet: Addr<FleetActor>, token: TokenFor) -> Self {
        let now = Instant::now();
        Self {
            fleet,
            token,
            number: LINKS.fetch_add(1, Ordering::Relaxed),
            host: None,
            registering: false,
            heard: now,
            pinged: now,
            frames: 0,
            ignored: 0,
            fragments: Fragments::default(),
        }
    }

    fn name(&self) -> String {
        match &self.token {
            TokenFor::Host(id) => id.to_string(),
            TokenFor::Enrolment => format!("link {}", self.number),
        }
    }

    fn close(&self, why: &CloseLink, ctx: &mut WebsocketContext<Self>) {
        let (code, text) = match why {
            CloseLink::Policy(text) => (CloseCode::Policy, text.as_str()),
            CloseLink::TooBig => (CloseCode::Size, "a frame may have 1 MiB"),
            CloseLink::Restarting => (CloseCode::Restart, "the dashboard restarts"),
            CloseLink::TryAgain(text) => (CloseCode::Again, text.as_str()),
        };
        // A close frame carries at most 123 bytes of reason.
        let text = &text[..text.floor_char_boundary(120)];
        ctx.close(Some(CloseReason { code, description: Some(text.to_owned()) }));
        ctx.stop();
    }

    fn text(&mut self, frame: &str, ctx: &mut WebsocketContext<Self>) {
        let message = match AgentMessage::parse(frame) {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.ignored += 1;
                log::debug!("{}: a frame of an unknown type; ignored", self.name());
                return;
            }
            Err(error @ FrameError::NotAFrame(_)) => {
                log::warn!("{}: {error}", self.name());
                self.close(&CloseLink::Policy(error.to_string()), ctx);
                return;
            }
            Err(error @ FrameError::BadPayload { .. }) => {
                self.ignored += 1;
                if self.ignored == 1 {
                    log::warn!("{}: {error}; such messages are ignored", self.name());
                }
                return;
            }
        };
        match (message, &self.host) {
            (AgentMessage::Register(register), None) if !self.registering => {
                self.register(register, ctx);
            }
            // Anything before `register` is ignored.
            (_, None) => self.ignored += 1,
            (message, Some(host)) => {
                let sent = host.send(FromAgent { link: self.number, message });
                ctx.wait(sent.into_actor(self).map(|answer, act, ctx| {
                    if answer.is_err() {
                        act.host_failed(ctx);
                    }
                }));
            }
        }
    }

    /// The host's actor is gone: it failed and starts again, or the host was removed. The agent
    /// comes back and finds out which.
    fn host_failed(&mut self, ctx: &mut WebsocketContext<Self>) {
        self.host = None;
        let why = "the host's part of the dashboard is gone or starts again".to_owned();
        self.close(&CloseLink::TryAgain(why), ctx);
    }

    /// A part of a message.
    fn fragment(&mut self, fragment: &Item, ctx: &mut WebsocketContext<Self>) {
        let whole = match fragment {
            Item::FirstText(bytes) => self.fragments.begin(bytes).map(|()| None),
            Item::FirstBinary(_) => Err(FragmentError::NotText),
            Item::Continue(bytes) => self.fragments.add(bytes).map(|()| None),
            Item::Last(bytes) => self.fragments.end(bytes).map(Some),
        };
        match whole {
            Ok(Some(text)) => self.text(&text, ctx),
            Ok(None) => {}
            Err(error) => {
                log::warn!("{}: {error}", self.name());
                let why = match error {
                    FragmentError::TooBig => CloseLink::TooBig,
                    FragmentError::NotText | FragmentError::OutOfOrder => {
                        CloseLink::Policy(error.to_string())
                    }
                };
                self.close(&why, ctx);
            }
        }
    }

    /// Stops once nothing more comes. The end of a link overtakes the frames that were read
    /// with it, and the last words of a 3.x agent, which exits after a switch, are its outcome.
    fn drain(&self, ctx: &mut WebsocketContext<Self>) {
        let frames = self.frames;
        ctx.run_later(DRAIN_FOR, move |act, ctx| {
            if act.frames == frames {
                ctx.stop();
            } else {
                act.drain(ctx);
            }
        });
    }

    fn register(&mut self, register: Box<Register>, ctx: &mut WebsocketContext<Self>) {
        let host = match translate::host_id(&register) {
            Ok(host) => host,
            Err(reason) => {
                log::warn!("{}: hostname {:?}: {reason}", self.name(), register.hostname);
                let name = BadHostname(register.hostname.chars().take(300).collect());
                if self.fleet.try_send(name).is_err() {
                    log::debug!("no event about it: the fleet is busy");
                }
                self.close(&CloseLink::Policy(format!("hostname: {reason}")), ctx);
                return;
            }
        };
        self.registering = true;
        let joins = AgentJoins {
            host,
            hostname: register.hostname.chars().take(253).collect(),
            token: self.token.clone(),
        };
        let socket = ctx.address();
        let link = Link::new(self.number, socket.clone().recipient(), socket.recipient());
        let joined = self.fleet.send(joins);
        ctx.wait(joined.into_actor(self).then(move |answer, act, ctx| {
            match answer {
                Ok(Ok(host)) => {
                    act.host = Some(host.clone());
                    let told = host.send(AgentConnected { link, register });
                    return Box::pin(told.into_actor(act).map(|told, act, ctx| {
                        if told.is_err() {
                            act.host_failed(ctx);
                        }
                    })) as ResponseActFuture<Self, ()>;
                }
                Ok(Err(why)) => {
                    log::warn!("{}: refused: {why:?}", act.name());
                    act.close(&why, ctx);
                }
                Err(_) => act.close(&CloseLink::Restarting, ctx),
            }
            Box::pin(fut::ready(()))
        }));
    }
}

impl Actor for AgentSocket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        metrics::sockets("agent", 1);
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(CHECK_EVERY, |act, ctx| {
            if act.heard.elapsed() >= SILENT_FOR {
                log::info!("{}: silent for {SILENT_FOR:?}, dropped", act.name());
                act.close(&CloseLink::TryAgain("silent for too long".to_owned()), ctx);
            } else if act.pinged.elapsed() >= PING_EVERY {
                act.pinged = Instant::now();
                ctx.ping(b"");
            }
        });
    }
}

/// However a link ends, also by a failure of this actor, its host learns that it is gone.
impl Drop for AgentSocket {
    fn drop(&mut self) {
        metrics::sockets("agent", -1);
        if let Some(host) = &self.host {
            // Past the queue's bound: there is one for each link, and it must not be lost.
            host.do_send(AgentGone { link: self.number });
        }
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for AgentSocket {
    fn handle(&mut self, item: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        self.frames += 1;
        match item {
            Ok(ws::Message::Text(frame)) => self.text(&frame, ctx),
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Pong(_) | ws::Message::Nop) => {}
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(ws::Message::Continuation(fragment)) => self.fragment(&fragment, ctx),
            Ok(ws::Message::Binary(_)) => {
                let why = "a message must be a text".to_owned();
                log::warn!("{}: {why}", self.name());
                self.close(&CloseLink::Policy(why), ctx);
            }
            Err(ProtocolError::Overflow) => {
                log::warn!("{}: a frame larger than 1 MiB", self.name());
                self.close(&CloseLink::TooBig, ctx);
            }
            Err(error) => {
                log::info!("{}: {error}", self.name());
                self.drain(ctx);
            }
        }
    }
}

impl Handler<SendFrame> for AgentSocket {
    type Result = ();

    fn handle(&mut self, msg: SendFrame, ctx: &mut Self::Context) {
        ctx.text(msg.0);
    }
}

impl Handler<CloseLink> for AgentSocket {
    type Result = ();

    fn handle(&mut self, msg: CloseLink, ctx: &mut Self::Context) {
        self.close(&msg, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::House;

    /// The guard, not a handler: so it holds also for a panic and for a socket that is only dropped.
    #[actix_rt::test]
    async fn a_host_learns_that_its_link_is_gone_however_the_socket_ends() {
        let house = House::open();
        let agent = house.online("web").await;
        let mut socket = AgentSocket::new(house.fleet.clone(), TokenFor::Enrolment);
        socket.number = 1;
        socket.host = Some(agent.host.clone());
        drop(socket);
        house.until("offline", |view| view.hosts.values().all(|h| !h.snapshot.online)).await;
    }
}
