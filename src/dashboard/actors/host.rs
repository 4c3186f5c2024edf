//! One actor per host: the only place that changes a host's state.
//!
//! Every message becomes one event for [`HostState::apply`]. What must be stored is
//! stored first, in one transaction; only then are frames sent, browsers told and
//! requests answered. While SQLite writes, the actor takes no other message, so events
//! keep their order and a full queue slows the agent's link down, not the dashboard.

use super::fleet::{FleetActor, HostIsAt};
use super::journal::Journal;
use crate::dashboard::clock::Clock;
use crate::dashboard::messages::{
    CommandComplete, CommandOutput, CommandQueued, CommandTestResult, HostChanged, HostOffline,
    HostPulse, RequestError,
};
use crate::dashboard::sockets::agent::{CloseLink, Link, SendFrame};
use crate::dashboard::store::{self, Store, StoreError};
use crate::dashboard::{Broadcast, translate};
use crate::domain::command::{Command, State};
use crate::domain::desired::Desired;
use crate::domain::facts::Comparison;
use crate::domain::host::{About, HostEffect, HostEvent, HostState, Refusal, Registration};
use crate::domain::ids::{CommandId, Commit};
use crate::domain::snapshot::HostSnapshot;
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use crate::protocol::{
    self, Ack, AgentMessage, CommandMessage, DashboardMessage, Line, Register, Registered, Stream,
};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Lines of a 3.x agent come one by one; they are stored together after so long.
const GATHER_LINES_FOR: Duration = Duration::from_millis(50);
/// And at the latest when there are so many.
const GATHER_LINES: usize = 1000;

/// What a host's actor needs of the house.
#[derive(Clone)]
pub struct Surroundings {
    /// SQLite.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Browsers.
    pub broadcaster: Broadcast,
    /// The fleet.
    pub fleet: Addr<FleetActor>,
}

/// The actor of one host.
pub struct HostActor {
    state: HostState,
    around: Surroundings,
    link: Option<Link>,
    published: Option<Arc<HostSnapshot>>,
    /// Where the fleet was told that it is: commit, repository, branch.
    at: Option<(Option<Commit>, String, Option<String>)>,
    timer: Option<(Timestamp, SpawnHandle)>,
    /// Lines of a 3.x agent that are not stored yet: whose, and the number of the first.
    gathered: Option<(CommandId, u64, Vec<Line>)>,
    answer: Option<Result<Command, Refusal>>,
}

impl HostActor {
    /// An actor for a host that was restored or is new.
    pub fn new(state: HostState, around: Surroundings) -> Self {
        Self {
            state,
            around,
            link: None,
            published: None,
            at: None,
            timer: None,
            gathered: None,
            answer: None,
        }
    }
}

impl Actor for HostActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish();
        self.set_timer(ctx);
    }
}

/// A message of the agent, by the link it came on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FromAgent {
    /// The link's number.
    pub link: u64,
    /// What it said.
    pub message: AgentMessage,
}

/// An agent registered. Answered on the link.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AgentConnected {
    /// The link.
    pub link: Link,
    /// What it said.
    pub register: Box<Register>,
}

/// A link was closed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AgentGone {
    /// The link's number.
    pub link: u64,
}

/// A user's request: an event that answers.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub struct Ask(pub HostEvent);

/// Something about the world outside the host.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub enum News {
    /// The remote says something new.
    Desired(Arc<Desired>),
    /// The source worked out how two commits relate.
    Compared {
        /// The host's commit.
        host: Commit,
        /// The remote's head.
        head: Commit,
        /// `None` if it could not be worked out.
        comparison: Option<Comparison>,
    },
    /// The host's commit differs from the fleet's majority, or no longer does.
    Drift(bool),
    /// Somebody wants to know how the host is now.
    Report,
    /// The clock was set by so many milliseconds.
    ClockJumped(i64),
    /// The dashboard stops: the agent should come back at once.
    Restarting,
    /// The host was removed.
    Removed,
}

type Done = ResponseActFuture<HostActor, ()>;

impl HostActor {
    fn now(&self) -> Timestamp {
        self.around.clock.now()
    }

    /// Lets an event happen and carries out what follows from it.
    fn happen(&mut self, event: HostEvent) -> Done {
        self.happen_and_ack(event, None)
    }

    /// As [`Self::happen`]; once all is stored, `ack` goes to the agent.
    fn happen_and_ack(&mut self, event: HostEvent, ack: Option<Ack>) -> Done {
        let now = self.now();
        let quiet = matches!(event, HostEvent::Heartbeat { .. });
        let asked = matches!(
            event,
            HostEvent::Requested { .. }
                | HostEvent::StopRequested { .. }
                | HostEvent::ExtendRequested { .. }
        );
        let before = asked.then(|| self.state.clone());
        let mut effects = self.state.apply(event, now, &mut new_command_id);
        let journal = Journal::take(&self.state, &mut effects, now);
        if journal.is_empty() {
            let changed = !quiet || !effects.is_empty() || self.state.command().is_some();
            return Box::pin(fut::ready(()).map(move |(), act: &mut Self, ctx| {
                act.carry_out(effects, ctx);
                act.settle(ack, changed, ctx);
            }));
        }
        let write = self.around.store.write(move |conn| journal.write(conn));
        Box::pin(write.into_actor(self).map(move |written, act, ctx| match written {
            Ok(()) => {
                act.carry_out(effects, ctx);
                act.settle(ack, true, ctx);
            }
            Err(error) => act.not_stored(&error, before, ctx),
        }))
    }

    /// What was not stored is not acknowledged: the agent sends it again on the next
    /// link. What was asked for and not journaled was not asked.
    fn not_stored(
        &mut self,
        error: &StoreError,
        before: Option<HostState>,
        ctx: &mut Context<Self>,
    ) {
        log::error!("{}: not stored: {error}", self.state.id);
        if let Some(before) = before {
            self.state = before;
        } else if let Some(link) = self.link.take() {
            link.close(CloseLink::TryAgain("the dashboard could not store a message".to_owned()));
        }
        self.settle(None, true, ctx);
    }

    fn carry_out(&mut self, effects: Vec<HostEffect>, ctx: &mut Context<Self>) {
        let around = self.around.clone();
        for effect in effects {
            match effect {
                HostEffect::Run { id, op, args } => {
                    let old = self.state.protocol() < 4;
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: if old { op.v3_name().unwrap_or(op.name()) } else { op.name() }
                            .to_owned(),
                        command_id: (!old).then_some(id),
                        args: (!old).then_some(args),
                    }));
                }
                HostEffect::Stop(id) => {
                    let old = self.state.protocol() < 4;
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: "stop".to_owned(),
                        command_id: (!old).then_some(id),
                        args: None,
                    }));
                }
                HostEffect::Announce(command) => {
                    around.broadcaster.do_send(CommandQueued(Arc::new(*command)));
                }
                HostEffect::Complete(command) => {
                    log::info!(
                        "{}: {} {} {}{}",
                        self.state.id,
                        command.op,
                        command.id,
                        command.state.name(),
                        command.reason.as_ref().map_or_else(String::new, |r| format!(": {r:?}"))
                    );
                    around.broadcaster.do_send(CommandComplete(Arc::new(*command)));
                }
                HostEffect::Refetch => {
                    around.fleet.do_send(super::fleet::FetchSoon(self.state.id.clone()));
                }
                HostEffect::Compare { host, head } => {
                    around.fleet.do_send(super::fleet::WorkOutLineage {
                        asked_by: ctx.address(),
                        id: self.state.id.clone(),
                        host,
                        head,
                    });
                }
                HostEffect::Answer(answer) => self.answer = Some(*answer),
                HostEffect::SaveHost
                | HostEffect::SaveCommand { .. }
                | HostEffect::SaveTestResult(..)
                | HostEffect::SaveTestRun(_)
                | HostEffect::Record { .. } => {
                    // The journal took these out.
                }
            }
        }
    }

    /// After an event: acknowledge, show, and wait for what is due next.
    fn settle(&mut self, ack: Option<Ack>, changed: bool, ctx: &mut Context<Self>) {
        if let Some(ack) = ack {
            self.send(&DashboardMessage::Ack(ack));
        }
        if changed {
            self.publish();
            self.set_timer(ctx);
        }
    }

    fn send(&self, message: &DashboardMessage) {
        if let Some(link) = &self.link {
            link.send(SendFrame(message.to_frame()));
        }
    }

    /// Tells everybody who reads, if anything that they see has changed.
    fn publish(&mut self) {
        let profile = &self.state.profile;
        let at =
            (self.state.facts.checkout.clone(), profile.repo_url.clone(), profile.branch.clone());
        if self.at.as_ref() != Some(&at) {
            let (commit, repo_url, branch) = at.clone();
            self.at = Some(at);
            let host = self.state.id.clone();
            self.around.fleet.do_send(HostIsAt { host, commit, repo_url, branch });
        }
        let snapshot = self.state.snapshot();
        if self.published.as_deref() != Some(&snapshot) {
            let snapshot = Arc::new(snapshot);
            self.published = Some(Arc::clone(&snapshot));
            self.around.broadcaster.do_send(HostChanged(snapshot));
        }
    }

    fn pulse(&self) {
        let pulse = HostPulse(self.state.id.clone(), self.state.pulse());
        self.around.broadcaster.do_send(pulse);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let due = self.state.next_due();
        if self.timer.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = due {
            let wait = at.since(self.now()) + Duration::from_millis(10);
            let handle = ctx.run_later(wait, |act, ctx| {
                act.timer = None;
                let tick = act.happen(HostEvent::Tick);
                ctx.wait(tick);
            });
            self.timer = Some((at, handle));
        }
    }

    /// Stores lines of output, then tells browsers and the agent.
    fn store_lines(&mut self, id: CommandId, first: u64, lines: Vec<Line>, ack: bool) -> Done {
        let lines: Arc<[Line]> = lines.into();
        let stored = Arc::clone(&lines);
        let write = self.around.store.write(move |conn| {
            let before = store::output::last_seq(conn, id)?;
            let after = store::output::append(conn, id, first, &stored)?;
            Ok((before, after))
        });
        Box::pin(write.into_actor(self).map(move |written, act, ctx| match written {
            Ok((before, after)) => {
                // What was stored before is not shown twice.
                let skip =
                    usize::try_from((before + 1).saturating_sub(first)).unwrap_or(usize::MAX);
                if skip < lines.len() {
                    act.around.broadcaster.do_send(CommandOutput {
                        host: act.state.id.clone(),
                        command_id: id,
                        first_seq: first + skip as u64,
                        lines: if skip == 0 { lines } else { lines[skip..].into() },
                    });
                }
                if ack {
                    act.send(&DashboardMessage::Ack(Ack { command_id: id, seq: after }));
                }
            }
            Err(error) => act.not_stored(&error, None, ctx),
        }))
    }

    /// Stores the gathered lines of a 3.x agent, before anything that comes after them.
    fn store_gathered(&mut self) -> Option<Done> {
        let (id, first, lines) = self.gathered.take()?;
        Some(self.store_lines(id, first, lines, false))
    }

    fn gather(&mut self, line: Line, ctx: &mut Context<Self>) -> Option<Done> {
        let error = (line.stream == Stream::Stderr).then_some(line.text.as_str());
        let Some((id, seq)) = self.state.output(None, None, 1, error) else {
            log::debug!("{}: a line of output that belongs to no command", self.state.id);
            return None;
        };
        match &mut self.gathered {
            Some((whose, _, lines)) if *whose == id => {
                lines.push(line);
                if lines.len() >= GATHER_LINES { self.store_gathered() } else { None }
            }
            _ => {
                let earlier = self.store_gathered();
                self.gathered = Some((id, seq, vec![line]));
                ctx.run_later(GATHER_LINES_FOR, |act, ctx| {
                    if let Some(done) = act.store_gathered() {
                        ctx.wait(done);
                    }
                });
                earlier
            }
        }
    }

    /// One message of the agent. Commands that it names are known to the state by now.
    fn receive(&mut self, message: AgentMessage, ctx: &mut Context<Self>) -> Option<Done> {
        let protocol = self.state.protocol();
        let event = match message {
            AgentMessage::Register(_) => {
                log::warn!("{}: registered twice on one link; ignored", self.state.id);
                return None;
            }
            AgentMessage::Heartbeat(beat) => translate::heartbeat(&beat, protocol),
            AgentMessage::Output(output) => {
                let error = output.is_error || output.stream == Stream::Stderr;
                let stream = if error { Stream::Stderr } else { Stream::Stdout };
                return self.gather(Line { stream, text: output.line }, ctx);
            }
            AgentMessage::OutputBatch(batch) => {
                let error = batch.lines.iter().rev().find(|l| l.stream == Stream::Stderr);
                let place = self.state.output(
                    Some(batch.command_id),
                    Some(batch.first_seq),
                    batch.lines.len() as u64,
                    error.map(|line| line.text.as_str()),
                );
                let Some((id, first)) = place else {
                    let what = format!(
                        "Output of command {}, which is not this host's; ignored.",
                        batch.command_id
                    );
                    return Some(self.happen(HostEvent::Odd(what)));
                };
                return Some(self.store_lines(id, first, batch.lines, true));
            }
            AgentMessage::Status(status) => {
                let ack = status.command_id.zip(status.seq);
                let ack = ack.map(|(command_id, seq)| Ack { command_id, seq });
                return Some(self.happen_and_ack(translate::status(&status, protocol), ack));
            }
            AgentMessage::CommandComplete(complete) => translate::complete(&complete),
            AgentMessage::CommandAccepted(accepted) => HostEvent::Accepted(accepted.command_id),
            AgentMessage::CommandRejected(rejected) => translate::rejected(&rejected),
            AgentMessage::OperationProgress(progress) => translate::operation_progress(&progress)?,
            AgentMessage::TestProgress(progress) => translate::test_progress(&progress)?,
            AgentMessage::TestResult(result) => return Some(self.test_result(result)),
        };
        Some(self.happen(event))
    }

    fn test_result(&mut self, message: protocol::TestResultMessage) -> Done {
        let id = message.command_id;
        let ack = message.seq.map(|seq| Ack { command_id: id, seq });
        let mut result: TestResult = message.into_result();
        result.name.truncate(result.name.floor_char_boundary(300));
        let shown = Arc::new(result.clone());
        let event = HostEvent::TestEnded { about: About::Id(id), result };
        Box::pin(self.happen_and_ack(event, ack).map(move |(), act, _| {
            act.around.broadcaster.do_send(CommandTestResult {
                host: act.state.id.clone(),
                command_id: id,
                result: shown,
            });
        }))
    }

    /// The id of a command that a message names and the state does not hold. What is over
    /// is known only to SQLite.
    fn stranger(&self, message: &AgentMessage) -> Option<CommandId> {
        let id = match message {
            AgentMessage::OutputBatch(m) => Some(m.command_id),
            AgentMessage::Status(m) => m.command_id,
            AgentMessage::CommandAccepted(m) => Some(m.command_id),
            AgentMessage::CommandRejected(m) => m.current_command_id.or(m.command_id),
            AgentMessage::Heartbeat(m) => m.command_id,
            AgentMessage::TestProgress(m) => m.command_id,
            AgentMessage::TestResult(m) => Some(m.command_id),
            AgentMessage::Register(_)
            | AgentMessage::Output(_)
            | AgentMessage::CommandComplete(_)
            | AgentMessage::OperationProgress(_) => None,
        };
        id.filter(|id| self.state.find(*id).is_none())
    }
}

fn new_command_id() -> CommandId {
    CommandId(uuid::Uuid::now_v7())
}

/// What every handler answers with: the actor takes no other message until it is done.
type Exclusive<T> = AtomicResponse<HostActor, T>;

fn nothing() -> Done {
    Box::pin(fut::ready(()))
}

impl Handler<FromAgent> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: FromAgent, _: &mut Self::Context) -> Self::Result {
        if self.link.as_ref().is_none_or(|link| link.number != msg.link) {
            // A link that was replaced has nothing to say any more.
            return AtomicResponse::new(nothing());
        }
        self.state.last_seen = Some(self.now());
        self.pulse();
        let message = msg.message;
        let is_line = matches!(message, AgentMessage::Output(_));
        let earlier = if is_line { None } else { self.store_gathered() };
        let stranger = self.stranger(&message);
        AtomicResponse::new(Box::pin(
            earlier
                .unwrap_or_else(nothing)
                .then(move |(), act, _| act.load(stranger))
                .then(move |(), act, ctx| act.receive(message, ctx).unwrap_or_else(nothing)),
        ))
    }
}

impl HostActor {
    /// Brings a command that the state does not hold back from SQLite.
    fn load(&mut self, id: Option<CommandId>) -> Done {
        let Some(id) = id else { return nothing() };
        let load = self.around.store.read(move |conn| store::commands::get(conn, id));
        Box::pin(load.into_actor(self).map(move |found, act, _| match found {
            Ok(Some(command)) => act.state.attach(command),
            Ok(None) => {}
            Err(error) => log::error!("{}: command {id} not read: {error}", act.state.id),
        }))
    }

    /// Answers a `register`, with how far each of the agent's jobs is stored.
    fn welcome(&mut self, registration: &Registration, jobs: Vec<StoredJob>) -> Vec<Command> {
        let mut resume = BTreeMap::new();
        let mut known = Vec::new();
        for job in jobs {
            let over = job.command.as_ref().is_some_and(|c| {
                c.state.is_terminal() && c.state != State::Lost && c.host == self.state.id
            });
            // Past the last line: the outcome is known, the agent may forget the job.
            resume.insert(job.id, if over { job.spooled + 1 } else { job.stored });
            known.extend(job.command);
        }
        let protocol = registration.protocol;
        self.send(&DashboardMessage::Registered(Registered {
            host_id: self.state.id.to_string(),
            protocol: protocol.map(|_| protocol::VERSION),
            dashboard_version: protocol.map(|_| env!("CARGO_PKG_VERSION").to_owned()),
            resume,
        }));
        known
    }
}

/// A job of an agent, as SQLite knows it.
struct StoredJob {
    id: CommandId,
    spooled: u64,
    command: Option<Command>,
    stored: u64,
}

impl Handler<AgentConnected> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: AgentConnected, _: &mut Self::Context) -> Self::Result {
        if let Some(old) = self.link.take() {
            old.close(CloseLink::Policy("another connection of this host took over".to_owned()));
        }
        let earlier = self.store_gathered().unwrap_or_else(nothing);
        let registration = translate::registration(&msg.register);
        let jobs: Vec<(CommandId, u64)> =
            msg.register.jobs.iter().flatten().map(|job| (job.command_id, job.last_seq)).collect();
        let load = self.around.store.read(move |conn| {
            jobs.into_iter()
                .map(|(id, spooled)| {
                    let command = store::commands::get(conn, id)?;
                    let stored = store::output::last_seq(conn, id)?;
                    Ok(StoredJob { id, spooled, command, stored })
                })
                .collect::<Result<Vec<_>, StoreError>>()
        });
        let link = msg.link;
        AtomicResponse::new(Box::pin(
            earlier
                .then(move |(), act, _| load.into_actor(act))
                .then(move |jobs, act, _| {
                    let jobs = match jobs {
                        Ok(jobs) => jobs,
                        Err(error) => {
                            let why = format!("the dashboard could not read its database: {error}");
                            log::error!("{}: {why}", act.state.id);
                            link.close(CloseLink::TryAgain(why));
                            return nothing();
                        }
                    };
                    log::info!("{}: agent connected", act.state.id);
                    act.link = Some(link);
                    let known = act.welcome(&registration, jobs);
                    let registration = Box::new(registration);
                    act.happen(HostEvent::Connected { registration, known })
                })
                .map(|(), act, _| act.pulse()),
        ))
    }
}

impl Handler<AgentGone> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: AgentGone, _: &mut Self::Context) -> Self::Result {
        if self.link.as_ref().is_none_or(|link| link.number != msg.link) {
            return AtomicResponse::new(nothing());
        }
        self.link = None;
        log::info!("{}: agent gone", self.state.id);
        let earlier = self.store_gathered().unwrap_or_else(nothing);
        AtomicResponse::new(Box::pin(
            earlier
                .then(|(), act, _| act.happen(HostEvent::Disconnected))
                .then(|(), act, _| {
                    let id = act.state.id.clone();
                    act.around.broadcaster.do_send(HostOffline(id.clone()));
                    act.pulse();
                    let at = act.state.last_seen.unwrap_or_default();
                    let store = &act.around.store;
                    let write =
                        store.write(move |conn| store::hosts::touch_last_seen(conn, &id, at));
                    write.into_actor(act)
                })
                .map(|written, act, _| {
                    if let Err(error) = written {
                        log::error!("{}: last seen not stored: {error}", act.state.id);
                    }
                }),
        ))
    }
}

impl Handler<Ask> for HostActor {
    type Result = Exclusive<Result<Command, RequestError>>;

    fn handle(&mut self, msg: Ask, _: &mut Self::Context) -> Self::Result {
        self.answer = None;
        AtomicResponse::new(Box::pin(self.happen(msg.0).map(
            |(), act, _| match act.answer.take() {
                Some(Ok(command)) => Ok(command),
                Some(Err(refusal)) => Err(RequestError::Refused(refusal)),
                None => Err(RequestError::Unavailable(
                    "The database could not be written; nothing was started.".to_owned(),
                )),
            },
        )))
    }
}

impl Handler<News> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: News, ctx: &mut Self::Context) -> Self::Result {
        let event = match msg {
            News::Desired(desired) => HostEvent::DesiredChanged(desired),
            News::Compared { host, head, comparison } => {
                HostEvent::Compared { host, head, comparison }
            }
            News::Drift(drift) => HostEvent::Drift(drift),
            News::ClockJumped(millis) => HostEvent::ClockJumped(millis),
            News::Report => {
                // The answer is a heartbeat. A 3.x agent that is busy would refuse it, and
                // its refusal does not say what it is about.
                if self.state.protocol() < 4 && self.state.live().next().is_some() {
                    return AtomicResponse::new(nothing());
                }
                self.send(&DashboardMessage::Command(CommandMessage {
                    command: "refresh-all".to_owned(),
                    command_id: None,
                    args: None,
                }));
                return AtomicResponse::new(nothing());
            }
            News::Restarting => {
                if let Some(link) = self.link.take() {
                    link.close(CloseLink::Restarting);
                }
                return AtomicResponse::new(nothing());
            }
            News::Removed => {
                if let Some(link) = self.link.take() {
                    link.close(CloseLink::Policy("this host was removed".to_owned()));
                }
                ctx.stop();
                return AtomicResponse::new(nothing());
            }
        };
        AtomicResponse::new(self.happen(event))
    }
}

/// Makes the actor panic, as a bug in it would.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Panic;

#[cfg(test)]
impl Handler<Panic> for HostActor {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a bug");
    }
}
