//! One actor per host: the only place that changes a host's state.
//!
//! Every message becomes one event for [`HostState::apply`]. What must be stored is
//! stored first, in one transaction; only then are frames sent, browsers told and
//! requests answered. While SQLite writes, the actor takes no other message, so events
//! keep their order and a full queue slows the agent's link down, not the dashboard.

mod fleet_face;
mod from_agent;
mod journal;
mod output;

pub use fleet_face::{FetchSoon, FleetFace, HostIsAt, WorkOutLineage};

use crate::dashboard::clock::Clock;
use crate::dashboard::link::{CloseLink, Link, SendFrame};
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::news::{
    CommandComplete, CommandOutput, CommandQueued, HostChanged, HostPulse,
};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{Store, StoreError};
use crate::domain::audit::Author;
use crate::domain::command::Command;
use crate::domain::desired::Desired;
use crate::domain::facts::Comparison;
use crate::domain::host::{Change, HostEffect, HostEvent, HostState};
use crate::domain::ids::{CommandId, Commit};
use crate::domain::operation::Args;
use crate::domain::refusal::Refusal;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::timestamp::Timestamp;
use crate::protocol::{
    Ack, AgentMessage, CommandMessage, DashboardMessage, Line, Register, Stream,
};
use actix::prelude::*;
use journal::Journal;
use std::sync::Arc;
use std::time::Duration;

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
    pub fleet: FleetFace,
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
    /// A user changed what the dashboard says about the host.
    Configured {
        /// What changes; the rest stays.
        change: Box<Change>,
        /// Who.
        by: Author,
    },
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
        let quiet = matches!(event, HostEvent::Heartbeat { .. } | HostEvent::Heard);
        let asked = matches!(
            event,
            HostEvent::Requested { .. }
                | HostEvent::StopRequested { .. }
                | HostEvent::ExtendRequested { .. }
        );
        let before = asked.then(|| self.state.clone());
        let busy_with = self.state.busy_with().map(str::to_owned);
        let effects = self.state.apply(event, now, &mut new_command_id);
        let busy = self.state.command().is_some() || self.state.busy_with() != busy_with.as_deref();
        let changed = !quiet || !effects.is_empty() || busy;
        self.follow(effects, ack, changed, before)
    }

    /// Stores what follows from an event, then carries out the rest of it.
    fn follow(
        &mut self,
        mut effects: Vec<HostEffect>,
        ack: Option<Ack>,
        changed: bool,
        before: Option<HostState>,
    ) -> Done {
        let journal = Journal::take(&self.state, &mut effects, self.now());
        if journal.is_empty() {
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
        log::error!("{}: not stored: {error}", self.state.id());
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
                    let protocol = self.state.protocol();
                    let by_id = protocol.names_commands_by_id();
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: protocol.name_of(op).unwrap_or(op.name()).to_owned(),
                        command_id: by_id.then_some(id),
                        args: by_id.then_some(Args { reason: None, ..args }),
                    }));
                }
                HostEffect::Stop(id) => {
                    let by_id = self.state.protocol().names_commands_by_id();
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: "stop".to_owned(),
                        command_id: by_id.then_some(id),
                        args: None,
                    }));
                }
                HostEffect::AskToReport => {
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: "refresh-all".to_owned(),
                        command_id: None,
                        args: None,
                    }));
                }
                HostEffect::SayInLog { id, first_seq, text } => {
                    around.broadcaster.do_send(CommandOutput {
                        host: self.state.id().clone(),
                        command_id: id,
                        first_seq,
                        lines: Arc::new([own_line(text)]),
                    });
                }
                HostEffect::Announce(command) => {
                    around.broadcaster.do_send(CommandQueued(Arc::new(*command)));
                }
                HostEffect::Complete(command) => {
                    log::info!(
                        "{}: {} {} {}{}",
                        self.state.id(),
                        command.op,
                        command.id,
                        command.state.name(),
                        command.reason.as_ref().map_or_else(String::new, |r| format!(": {r:?}"))
                    );
                    around.broadcaster.do_send(CommandComplete(Arc::new(*command)));
                }
                HostEffect::Refetch => {
                    around.fleet.fetch_soon(self.state.id().clone());
                }
                HostEffect::Compare { host, head } => {
                    around.fleet.work_out(WorkOutLineage {
                        asked_by: ctx.address(),
                        id: self.state.id().clone(),
                        host,
                        head,
                    });
                }
                HostEffect::Answer(answer) => self.answer = Some(*answer),
                HostEffect::StoreOutput { .. }
                | HostEffect::SaveHost
                | HostEffect::SaveCommand { .. }
                | HostEffect::SaveTestResult(..)
                | HostEffect::SaveTestRun(_)
                | HostEffect::SaveDeploy(_)
                | HostEffect::Record { .. } => {
                    // The journal took these out, or who brought the lines stores them.
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
        let profile = self.state.profile();
        let at =
            (self.state.facts().checkout.clone(), profile.repo_url.clone(), profile.branch.clone());
        if self.at.as_ref() != Some(&at) {
            let (commit, repo_url, branch) = at.clone();
            self.at = Some(at);
            let host = self.state.id().clone();
            self.around.fleet.is_at(HostIsAt { host, commit, repo_url, branch });
        }
        let snapshot = self.state.snapshot();
        if self.published.as_deref() != Some(&snapshot) {
            let snapshot = Arc::new(snapshot);
            self.published = Some(Arc::clone(&snapshot));
            self.around.broadcaster.do_send(HostChanged(snapshot));
        }
    }

    fn pulse(&self) {
        let pulse = HostPulse(self.state.id().clone(), self.state.pulse());
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
}

/// A line that the dashboard itself says in a command's log.
fn own_line(text: String) -> Line {
    Line { stream: Stream::Stderr, text }
}

fn new_command_id() -> CommandId {
    CommandId(uuid::Uuid::now_v7())
}

/// What every handler answers with: the actor takes no other message until it is done.
type Exclusive<T> = AtomicResponse<HostActor, T>;

fn nothing() -> Done {
    Box::pin(fut::ready(()))
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
            News::Configured { change, by } => HostEvent::Configured { change, by },
            News::ClockJumped(millis) => HostEvent::ClockJumped(millis),
            News::Report => HostEvent::ReportWanted,
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
pub(in crate::dashboard::fleet) struct Panic;

#[cfg(test)]
impl Handler<Panic> for HostActor {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a bug");
    }
}
