//! One link, from `register` to its end. Nothing here waits for a disk, a program or a job: that is
//! done on threads, and what comes of it is an [`Event`].

use super::facts::Snapshot;
use super::follower::Follower;
use super::jobs::{Look, Rejection};
use super::{Agent, reports};
use crate::base::resident;
use crate::domain::guard::FEATURE;
use crate::domain::ids::CommandId;
use crate::protocol::{
    Ack, AgentMessage, DashboardMessage, GuardWord, MAX_FRAME_BYTES, Registered,
};
use actix_http::ws::Item;
use actix_rt::time::{Instant, interval_at};
use awc::BoxedSocket;
use awc::ws::{self, CloseCode, CloseReason, Frame, Message};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The agent's own pings.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A link that was silent for so long is dropped.
const SILENT_FOR: Duration = Duration::from_secs(45);
/// How often the spools of running jobs are looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
/// How often it is looked whether a guarded switch wants to be confirmed.
const GUARD_EVERY: Duration = Duration::from_millis(200);
/// The dashboard closes a link with this when a newer one has its place.
const REPLACED: u16 = 4001;

/// A link.
pub(crate) type Socket = actix_codec::Framed<BoxedSocket, ws::Codec>;

/// Becomes ready when the agent is told to end.
pub(crate) type Quit = Pin<Box<dyn Future<Output = ()>>>;

/// Why a link ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The dashboard restarts: come back at once.
    DashboardRestarts,
    /// Another agent with this name has taken its place.
    Replaced,
    /// A guarded switch wants a new link.
    Confirming,
    /// The agent was told to end, or to restart.
    Quitting,
    /// Anything else, in words.
    Because(String),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Because(format!("this agent's files cannot be used: {error}"))
    }
}

/// With this heartbeat all is done that only a start needs; and again after so many: what a job
/// needed is needed no more. Heartbeats are 5 s apart.
const IDLE_AFTER: u32 = 4;
const IDLE_AFTER_EVERY: u32 = 720;

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The facts for `register` are gathered.
    Gathering,
    /// `register` was sent.
    Registering,
    /// The dashboard has answered.
    Registered,
}

/// What was done on a thread.
pub(super) enum Event {
    /// The facts were gathered.
    Gathered(Box<Snapshot>),
    /// A command was accepted or not; its name.
    Started(CommandId, String, Result<i64, Rejection>),
}

/// One link.
pub(crate) struct Session<'a> {
    pub(super) agent: &'a mut Agent,
    socket: Socket,
    phase: Phase,
    pub(super) events: UnboundedSender<Event>,
    happened: UnboundedReceiver<Event>,
    /// A look at the machine is under way.
    gathering: bool,
    pub(super) followers: BTreeMap<CommandId, Follower>,
    told: reports::Told,
    /// Heartbeats so far.
    beats: u32,
    /// What this link was opened to confirm.
    guard: Option<GuardWord>,
    /// A message that comes in fragments.
    fragments: Option<Vec<u8>>,
}

impl<'a> Session<'a> {
    /// A link that was just opened.
    pub(crate) fn new(agent: &'a mut Agent, socket: Socket) -> Self {
        let (events, happened) = unbounded_channel();
        Self {
            agent,
            socket,
            phase: Phase::Gathering,
            events,
            happened,
            gathering: false,
            followers: BTreeMap::new(),
            told: reports::Told::default(),
            beats: 0,
            guard: None,
            fragments: None,
        }
    }

    /// Whether the dashboard ever answered.
    pub(crate) fn is_registered(&self) -> bool {
        self.phase == Phase::Registered
    }

    /// Serves the link to its end.
    pub(crate) async fn serve(&mut self, quit: &mut Quit) -> Ended {
        self.gather();
        let now = Instant::now();
        let mut beat = interval_at(now + self.agent.config.interval, self.agent.config.interval);
        let mut ping = interval_at(now + PING_EVERY, PING_EVERY);
        let mut follow = interval_at(now + FOLLOW_EVERY, FOLLOW_EVERY);
        let mut guard = interval_at(now + GUARD_EVERY, GUARD_EVERY);
        let mut heard = now;
        loop {
            let registered = self.is_registered();
            let following = registered && !self.followers.is_empty();
            let done = tokio::select! {
                frame = self.socket.next() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(frame)) => self.frame(frame).await,
                        Some(Err(error)) => Err(Ended::Because(format!("the link broke: {error}"))),
                        None => Err(Ended::Because("the link was closed".to_owned())),
                    }
                }
                Some(event) = self.happened.recv() => self.event(event).await,
                _ = beat.tick(), if registered => self.beat_is_due().await,
                _ = ping.tick() => self.ping_is_due(heard).await,
                _ = follow.tick(), if following => self.follow().await,
                _ = guard.tick(), if following => self.look_for_a_guarded_switch(),
                () = &mut *quit => Err(Ended::Quitting),
            };
            let done = if self.agent.restart { Err(Ended::Quitting) } else { done };
            if let Err(ended) = done {
                if matches!(ended, Ended::Quitting) {
                    let _ =
                        self.write(Message::Close(Some(CloseReason::from(CloseCode::Away)))).await;
                }
                return ended;
            }
        }
    }

    /// Looks at the machine, on a thread. One look at a time: a disk that hangs holds up the facts,
    /// not the link.
    fn gather(&mut self) {
        self.gathering = true;
        let (facts, events) = (Arc::clone(&self.agent.facts), self.events.clone());
        actix_rt::task::spawn_blocking(move || {
            let snapshot = facts.lock().unwrap_or_else(PoisonError::into_inner).gather();
            // Without a link nobody waits for it; the next one looks again.
            let _ = events.send(Event::Gathered(Box::new(snapshot)));
        });
    }

    async fn register(&mut self) -> Result<(), Ended> {
        self.phase = Phase::Registering;
        self.guard = self.agent.jobs.unconfirmed();
        let mut register = reports::register(self.agent, &mut self.told);
        register.guard.clone_from(&self.guard);
        self.send(&AgentMessage::Register(Box::new(register))).await
    }

    /// A guarded switch is confirmed on a link that was opened for that.
    fn look_for_a_guarded_switch(&self) -> Result<(), Ended> {
        let wanted = self.agent.jobs.unconfirmed();
        if wanted.is_some() && wanted != self.guard { Err(Ended::Confirming) } else { Ok(()) }
    }

    /// The dashboard has answered a link. One that knows nothing of guarded switches has given its
    /// word by that.
    fn confirm(&self, answer: &Registered) {
        let knows = answer.features.iter().any(|feature| feature == FEATURE);
        if let Some(word) = &self.guard
            && (answer.guard.as_ref() == Some(word) || !knows)
        {
            self.agent.jobs.confirm(word);
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Gathered(snapshot) => {
                self.gathering = false;
                self.agent.snapshot = *snapshot;
                match self.phase {
                    Phase::Gathering => self.register().await,
                    Phase::Registering => Ok(()),
                    Phase::Registered => self.beat().await,
                }
            }
            Event::Started(id, name, result) => self.was_started(id, &name, result).await,
        }
    }

    /// A heartbeat is due: it is sent when the facts are there, or with the last ones if that takes
    /// longer than to the next.
    pub(super) async fn beat_is_due(&mut self) -> Result<(), Ended> {
        if !self.gathering {
            self.gather();
            return Ok(());
        }
        self.beat().await
    }

    /// The link is kept alive, and nothing is waited for without end.
    async fn ping_is_due(&mut self, heard: Instant) -> Result<(), Ended> {
        if heard.elapsed() >= SILENT_FOR {
            return Err(Ended::Because("the dashboard was silent for too long".to_owned()));
        }
        if self.phase == Phase::Gathering {
            // Something hangs that the facts hang on. The host must be seen all the same.
            log::warn!("the facts of this machine take long to gather");
            self.register().await?;
        }
        self.write(Message::Ping(actix_web::web::Bytes::new())).await
    }

    /// Sends a heartbeat with the facts as they were seen last.
    pub(super) async fn beat(&mut self) -> Result<(), Ended> {
        if !self.is_registered() {
            return Ok(());
        }
        // A job that nobody follows yet may have lost its supervisor: this finds out.
        let running = self.agent.jobs.running();
        // Until its outcome is told, a command runs as far as the dashboard can know.
        let open = self.followers.values().find(|f| f.is_open()).map(|f| (f.job.id, f.op()));
        let beat = reports::heartbeat(self.agent, running.or(open), &mut self.told);
        self.beats = self.beats.wrapping_add(1);
        if self.beats % IDLE_AFTER_EVERY == IDLE_AFTER {
            resident::give_back();
        }
        self.send(&AgentMessage::Heartbeat(Box::new(beat))).await
    }

    /// Sends what the spools have that the dashboard does not.
    async fn follow(&mut self) -> Result<(), Ended> {
        let mut messages = Vec::new();
        for follower in self.followers.values_mut() {
            let outcome = match self.agent.jobs.look(&follower.job) {
                Look::Over(_, outcome) => Some(*outcome),
                Look::Running(_) | Look::RunningUnknown | Look::Nothing => None,
            };
            messages.extend(follower.next(outcome)?);
        }
        for message in &messages {
            self.send(message).await?;
        }
        Ok(())
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Ended> {
        match frame {
            Frame::Text(bytes) => self.text(&bytes).await,
            Frame::Continuation(item) => match self.fragment(item)? {
                Some(whole) => self.text(&whole).await,
                None => Ok(()),
            },
            Frame::Ping(payload) => self.write(Message::Pong(payload)).await,
            Frame::Pong(_) | Frame::Binary(_) => Ok(()),
            Frame::Close(reason) => {
                let _ = self.write(Message::Close(None)).await;
                Err(closed(reason))
            }
        }
    }

    /// Puts a fragment to the others; answers the message when it is whole.
    fn fragment(&mut self, item: Item) -> Result<Option<Vec<u8>>, Ended> {
        let (bytes, is_last) = match item {
            Item::FirstText(bytes) => {
                self.fragments = Some(Vec::new());
                (bytes, false)
            }
            // As binary messages: nobody here speaks so.
            Item::FirstBinary(_) => {
                self.fragments = None;
                return Ok(None);
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let Some(kept) = &mut self.fragments else {
            return Ok(None);
        };
        if kept.len() + bytes.len() > MAX_FRAME_BYTES {
            return Err(Ended::Because("the dashboard sent too large a message".to_owned()));
        }
        kept.extend_from_slice(&bytes);
        Ok(if is_last { self.fragments.take() } else { None })
    }

    async fn text(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match DashboardMessage::parse(&String::from_utf8_lossy(bytes)) {
            Ok(Some(message)) => self.message(message).await,
            Ok(None) => Ok(()),
            Err(error) => {
                log::warn!("a frame of the dashboard is not understood: {error}");
                Ok(())
            }
        }
    }

    async fn message(&mut self, message: DashboardMessage) -> Result<(), Ended> {
        match message {
            DashboardMessage::Registered(answer) => {
                log::info!("{}: connected as {}", self.agent.config.url, answer.host_id);
                self.phase = Phase::Registered;
                self.confirm(&answer);
                self.resume(&answer);
                self.beat().await?;
                self.follow().await
            }
            DashboardMessage::Command(command) if self.is_registered() => {
                self.command(&command).await
            }
            DashboardMessage::Ack(Ack { command_id, seq }) => {
                let Some(follower) = self.followers.get_mut(&command_id) else {
                    return Ok(());
                };
                if follower.acked(seq) {
                    let job = follower.job.clone();
                    self.followers.remove(&command_id);
                    self.agent.jobs.acknowledge(&job);
                    return Ok(());
                }
                self.follow().await
            }
            DashboardMessage::Released(gone) if self.is_registered() => {
                self.agent.jobs.let_go(&gone.command_ids);
                Ok(())
            }
            // Nobody is believed before they have answered `register`.
            DashboardMessage::Command(_) | DashboardMessage::Released(_) => Ok(()),
        }
    }

    /// Takes up every job where the dashboard has it.
    fn resume(&mut self, answer: &Registered) {
        for job in self.agent.jobs.list() {
            let stored = answer.resume.get(&job.id).copied().unwrap_or(0);
            let op = match self.agent.jobs.look(&job) {
                Look::Over(_, outcome) if stored > outcome.last_seq => {
                    self.agent.jobs.acknowledge(&job);
                    continue;
                }
                Look::Over(op, _) | Look::Running(op) => op,
                Look::RunningUnknown | Look::Nothing => continue,
            };
            self.followers.insert(job.id, Follower::new(job, op, stored));
        }
    }

    pub(super) async fn send(&mut self, message: &AgentMessage) -> Result<(), Ended> {
        self.write(Message::Text(message.to_frame().into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), Ended> {
        let sent = self.socket.send(message).await;
        sent.map_err(|error| Ended::Because(format!("the link broke: {error}")))
    }
}

fn closed(reason: Option<CloseReason>) -> Ended {
    let Some(reason) = reason else {
        return Ended::Because("the dashboard closed the link".to_owned());
    };
    if reason.code == CloseCode::Restart {
        return Ended::DashboardRestarts;
    }
    if u16::from(reason.code) == REPLACED {
        return Ended::Replaced;
    }
    let said = reason.description.unwrap_or_default();
    Ended::Because(format!("the dashboard closed the link: {said}"))
}
