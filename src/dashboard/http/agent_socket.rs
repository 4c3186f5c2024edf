//! An agent's connection.
//!
//! Parses frames and hands them to the host's actor, a few small ones ahead at most: while that one
//! is busy this one reads nothing, and its brake nothing either, so a flood is held back on the host
//! that sends it.

use crate::dashboard::brake::{Brake, Gauge};
use crate::dashboard::fleet::host::{AgentConnected, AgentGone, FromAgent, HostActor};
use crate::dashboard::fleet::{AgentJoins, BadHostname, FleetActor};
use crate::dashboard::http::agent_door::{AgentDoor, Token, Told};
use crate::dashboard::http::handing_on::{Handed, HandingOn, send_heartbeats};
use crate::dashboard::link::translate;
use crate::dashboard::link::{CloseLink, Link, SendFrame, TokenFor};
use crate::dashboard::metrics;
use crate::domain::bounds;
use crate::protocol::{
    AgentMessage, FragmentError, Fragments, FrameError, MAX_FRAME_BYTES, Register,
};
use actix::prelude::*;
use actix_http::ws::Item;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the dashboard pings.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A link that was silent for so long is dropped.
const SILENT_FOR: Duration = Duration::from_secs(bounds::SILENT_S);
/// A broken link is over when so long no frame came out of it.
const DRAIN_FOR: Duration = Duration::from_millis(20);
/// So many frames may wait for the agent.
const MAILBOX: usize = 1024;
/// A link is closed with this when a newer one has its place: the code of protocol 4.
const REPLACED: u16 = 4001;
/// A link on which nobody registered for so long is closed.
const REGISTERS_WITHIN: Duration = Duration::from_secs(bounds::REGISTERS_WITHIN_S);
/// How often silence is looked for.
const CHECK_EVERY: Duration = Duration::from_secs(5);

static LINKS: AtomicU64 = AtomicU64::new(1);

/// `GET /ws`: checks the token before the upgrade.
pub(crate) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    door: web::Data<AgentDoor>,
) -> actix_web::Result<HttpResponse> {
    match door.token_of(&request).await {
        Ok(Some(token)) => {
            let (body, gauge) = Brake::new(body, MAX_FRAME_BYTES);
            let told = door.told(&request);
            let mut socket =
                AgentSocket::new(door.fleet.clone(), token.allows.clone(), gauge, told);
            socket.plain = door.is_plain(&request);
            socket.proof = Some((door.into_inner(), token));
            ws::WsResponseBuilder::new(socket, &request, body).frame_size(MAX_FRAME_BYTES).start()
        }
        Ok(None) => {
            door.told(&request).refused("an agent", &"bad or missing token");
            Ok(HttpResponse::Unauthorized().body("bad or missing token\n"))
        }
        Err(error) => {
            log::error!("a token could not be checked: {error}");
            Ok(HttpResponse::ServiceUnavailable().body("the database cannot be read\n"))
        }
    }
}

/// The actor of one connection.
pub(crate) struct AgentSocket {
    fleet: Addr<FleetActor>,
    token: TokenFor,
    proof: Option<(Arc<AgentDoor>, Token)>,
    plain: bool,
    gauge: Rc<Gauge>,
    told: Told,
    number: u64,
    opened: Instant,
    host: Option<Addr<HostActor>>,
    registering: bool,
    heard: Instant,
    pinged: Instant,
    frames: u64,
    handing_on: HandingOn,
    drains: bool,
    ignored: u64,
    fragments: Fragments,
}

impl AgentSocket {
    fn new(fleet: Addr<FleetActor>, token: TokenFor, gauge: Rc<Gauge>, told: Told) -> Self {
        let now = Instant::now();
        Self {
            fleet,
            token,
            proof: None,
            plain: false,
            gauge,
            told,
            opened: now,
            number: LINKS.fetch_add(1, Ordering::Relaxed),
            host: None,
            registering: false,
            heard: now,
            pinged: now,
            frames: 0,
            handing_on: HandingOn::default(),
            drains: false,
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
            CloseLink::Replaced => {
                (CloseCode::Other(REPLACED), "another connection of this host took over")
            }
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
                self.told.refused(&self.name(), &error);
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
                let message = FromAgent { link: self.number, message };
                let sent = match self.handing_on.hand(host, message, frame.len()) {
                    Handed::On => return,
                    Handed::Nowhere => return self.host_failed(ctx),
                    Handed::Wait(message) => host.send(*message),
                };
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
                self.told.refused(&self.name(), &error);
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
    fn drain(&mut self, ctx: &mut WebsocketContext<Self>) {
        self.drains = true;
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
                let name: String = register.hostname.chars().take(300).collect();
                self.told.refused(&self.name(), &format!("hostname {name:?}: {reason}"));
                if self.fleet.try_send(BadHostname(name)).is_err() {
                    log::debug!("no event about it: the fleet is busy");
                }
                self.close(&CloseLink::Policy(format!("hostname: {reason}")), ctx);
                return;
            }
        };
        self.registering = true;
        let live = self.proof.as_ref().map(|(door, token)| door.live_token(token, host.clone()));
        let joins = AgentJoins {
            host,
            hostname: register.hostname.chars().take(253).collect(),
            token: self.token.clone(),
        };
        let socket = ctx.address();
        let link =
            Link::new(self.number, self.plain, socket.clone().recipient(), socket.recipient());
        let joined = self.fleet.send(joins);
        ctx.wait(joined.into_actor(self).then(move |answer, act, ctx| {
            match answer {
                Ok(Ok(host)) => {
                    act.host = Some(host.clone());
                    if let Some(live) = live {
                        ctx.spawn(live.over().into_actor(act).map(|(), act, ctx| {
                            let why = "its token was renewed or taken back".to_owned();
                            act.close(&CloseLink::Policy(why), ctx);
                        }));
                    }
                    let told = host.send(AgentConnected { link, register });
                    return Box::pin(told.into_actor(act).map(|told, act, ctx| {
                        if told.is_err() {
                            act.host_failed(ctx);
                        }
                    })) as ResponseActFuture<Self, ()>;
                }
                Ok(Err(why)) => {
                    act.told.refused(&act.name(), &format!("{why:?}"));
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
            } else if act.host.is_none() && act.opened.elapsed() >= REGISTERS_WITHIN {
                let why = "nobody registered on this link".to_owned();
                act.close(&CloseLink::Policy(why), ctx);
            } else if act.host.as_ref().is_some_and(|host| !host.connected()) {
                act.host_failed(ctx);
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
            send_heartbeats();
            // Past the queue's bound: there is one for each link, and it must not be lost.
            host.do_send(AgentGone { link: self.number });
        }
    }
}

impl AgentSocket {
    /// What is no frame ends the link at once: the decoder would stumble over it for ever. Where the
    /// connection itself broke, what was read before comes first.
    fn failed(&mut self, error: &ProtocolError, ctx: &mut WebsocketContext<Self>) {
        if self.gauge.is_too_large() || matches!(error, ProtocolError::Overflow) {
            self.told.refused(&self.name(), &"a frame larger than 1 MiB");
            self.close(&CloseLink::TooBig, ctx);
        } else if self.gauge.is_broken() && !self.drains {
            log::info!("{}: {error}", self.name());
            self.drain(ctx);
        } else {
            self.told.refused(&self.name(), error);
            ctx.close(Some(CloseCode::Protocol.into()));
            ctx.stop();
        }
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for AgentSocket {
    fn handle(&mut self, item: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        self.frames += 1;
        let message = match item {
            Ok(message) => message,
            Err(error) => return self.failed(&error, ctx),
        };
        if self.gauge.came_out(&message) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
        match message {
            ws::Message::Text(frame) => self.text(&frame, ctx),
            ws::Message::Ping(payload) => ctx.pong(&payload),
            ws::Message::Pong(_) | ws::Message::Nop => {}
            ws::Message::Close(reason) => {
                ctx.close(reason);
                ctx.stop();
            }
            ws::Message::Continuation(fragment) => self.fragment(&fragment, ctx),
            ws::Message::Binary(_) => {
                let why = "a message must be a text".to_owned();
                self.told.refused(&self.name(), &why);
                self.close(&CloseLink::Policy(why), ctx);
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
    use crate::dashboard::auth::Peer;
    use crate::dashboard::tests::{Agent, House};
    use crate::protocol::Heartbeat;

    async fn socket_of(house: &House) -> (Agent, AgentSocket) {
        let agent = house.online("web").await;
        let told = Told::about(Peer::Address([127, 0, 0, 1].into()));
        let mut socket =
            AgentSocket::new(house.fleet.clone(), TokenFor::Enrolment, Rc::default(), told);
        socket.number = 1;
        socket.host = Some(agent.host.clone());
        (agent, socket)
    }

    /// The guard, not a handler: so it holds also for a panic and for a socket that is only dropped.
    #[actix_rt::test]
    async fn a_host_learns_that_its_link_is_gone_however_the_socket_ends() {
        let house = House::open();
        let (_agent, socket) = socket_of(&house).await;
        drop(socket);
        house.until("offline", |view| view.hosts.values().all(|h| !h.snapshot.online)).await;
    }

    /// A heartbeat waits for others, but never behind the end of its own link.
    #[actix_rt::test]
    async fn the_last_heartbeat_of_a_link_comes_before_its_end() {
        let house = House::open();
        let (agent, mut socket) = socket_of(&house).await;
        let generation = "2".repeat(40);
        let beat = Heartbeat { generation: generation.clone(), ..Heartbeat::default() };
        let message = AgentMessage::Heartbeat(Box::new(beat));
        let handed =
            socket.handing_on.hand(&agent.host, FromAgent { link: 1, message }, generation.len());
        assert!(matches!(handed, Handed::On));
        drop(socket);
        house.until("offline", |view| view.hosts.values().all(|h| !h.snapshot.online)).await;
        let view = house.shown().await;
        let known = view.hosts.values().next().unwrap().snapshot.facts.checkout.clone();
        assert_eq!(known.map(|commit| commit.to_string()), Some(generation));
    }
}
