//! One actor per host: the only place that changes a host's state.
//!
//! Every message becomes one event for [`HostState::apply`]. What must be stored is
//! stored first, in one transaction; only then are frames sent, browsers told and
//! requests answered. While SQLite writes, the actor takes no other message, so events
//! keep their order and a full queue slows the agent's link down, not the dashboard.

mod fleet_face;
mod from_agent;
mod happen;
mod journal;
mod messages;
mod output;

pub(crate) use fleet_face::{FetchSoon, FleetFace, HostIsAt, WorkOutLineage};
pub(crate) use messages::{
    AgentConnected, AgentGone, Ask, Configure, FromAgent, HasStarted, News, Remove,
};

use crate::dashboard::clock::Clock;
use crate::dashboard::link::{CloseLink, Link, SendFrame};
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::news::{
    Cause, CommandComplete, CommandOutput, CommandQueued, HostChanged, HostPulse,
};
use crate::dashboard::maintenance::Kept;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::{self, AuditCategory};
use crate::domain::command::Command;
use crate::domain::host::{HostEffect, HostEvent, HostState};
use crate::domain::ids::{CommandId, Commit};
use crate::domain::maintenance::Restraints;
use crate::domain::moment::{Moment, Uptime};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::snapshot::{HostSnapshot, Pulse};
use crate::protocol::{CommandMessage, DashboardMessage, Line, Released, Stream};
use actix::prelude::*;
use happen::Happening;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What found no room in somebody's queue is told again after so long.
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// So many messages may wait for a host.
const MAILBOX: usize = 64;
/// Whether a freeze has ended or a window has opened is looked at again after so long.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a host's actor needs of the house.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// SQLite.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Browsers.
    pub broadcaster: Broadcast,
    /// The fleet.
    pub fleet: FleetFace,
    /// The freeze and the windows.
    pub kept: Kept,
}

/// The actor of one host.
pub(crate) struct HostActor {
    state: HostState,
    around: Surroundings,
    link: Option<Link>,
    published: Option<Arc<HostSnapshot>>,
    /// Where the fleet was told that it is: the commit that runs, repository, branch.
    at: Option<(Option<Commit>, String, Option<String>)>,
    timer: Option<(Uptime, SpawnHandle)>,
    /// What readers were last told of its load.
    pulse: Pulse,
    /// Lines of a 3.x agent that are stored together in a moment.
    gathered: Option<Vec<Line>>,
    /// How many bytes of text they have.
    gathered_bytes: usize,
    /// How much room the output of commands takes in SQLite.
    output_sizes: BTreeMap<CommandId, u64>,
    /// What could not be stored, in its order.
    waiting: VecDeque<Happening>,
    /// That is tried again in a moment.
    tries_again: bool,
    /// What holds the host back is looked at again in a moment.
    looks_again: bool,
}

impl HostActor {
    /// An actor for a host that was restored or is new.
    pub(crate) fn new(state: HostState, around: Surroundings) -> Self {
        Self {
            state,
            around,
            link: None,
            published: None,
            at: None,
            timer: None,
            pulse: Pulse::default(),
            gathered: None,
            gathered_bytes: 0,
            output_sizes: BTreeMap::new(),
            waiting: VecDeque::new(),
            tries_again: false,
            looks_again: false,
        }
    }
}

impl Actor for HostActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.show(ctx);
    }
}

type Done = ResponseActFuture<HostActor, ()>;

impl HostActor {
    fn now(&self) -> Moment {
        self.around.clock.moment()
    }

    /// Sends and tells what follows from an event. Returns the answer to a user, if there is one.
    fn carry_out(
        &mut self,
        effects: Vec<HostEffect>,
        ctx: &mut Context<Self>,
    ) -> Option<happen::Answer> {
        let around = self.around.clone();
        let mut answered = None;
        for effect in effects {
            match effect {
                HostEffect::Run { id, op, args } => {
                    let protocol = self.state.protocol();
                    let by_id = protocol.names_commands_by_id();
                    let held = if by_id { self.state.held_paths(op, &args) } else { Vec::new() };
                    self.send(&DashboardMessage::Command(CommandMessage {
                        held,
                        command: protocol.name_of(op).unwrap_or(op.name()).to_owned(),
                        command_id: by_id.then_some(id),
                        args: by_id.then(|| self.state.args_for_agent(op, &args)),
                    }));
                }
                HostEffect::Stop(id) => {
                    let by_id = self.state.protocol().names_commands_by_id();
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: "stop".to_owned(),
                        command_id: by_id.then_some(id),
                        args: None,
                        held: Vec::new(),
                    }));
                }
                HostEffect::AskToReport => {
                    self.send(&DashboardMessage::Command(CommandMessage {
                        command: "refresh-all".to_owned(),
                        command_id: None,
                        args: None,
                        held: Vec::new(),
                    }));
                }
                HostEffect::LetGo(id) => {
                    let command_ids = vec![id];
                    self.send(&DashboardMessage::Released(Released { command_ids }));
                }
                HostEffect::SayInLog { id, first_seq, text } => {
                    around.broadcaster.tell(CommandOutput {
                        host: self.state.id().clone(),
                        command_id: id,
                        first_seq,
                        lines: Arc::new([own_line(text)]),
                    });
                }
                HostEffect::Announce(command) => {
                    around.broadcaster.tell(CommandQueued(Arc::new(*command)));
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
                    around.broadcaster.tell(CommandComplete(Arc::new(*command)));
                }
                HostEffect::Refetch => around.fleet.fetch_soon(self.state.id().clone()),
                HostEffect::Compare { host, head } => {
                    let asked_by = ctx.address();
                    let id = self.state.id().clone();
                    self.work_out(WorkOutLineage { asked_by, id, host, head }, ctx);
                }
                HostEffect::Answer(answer) => answered = Some(answer),
                HostEffect::StoreOutput { .. }
                | HostEffect::SaveHost
                | HostEffect::SaveCommand { .. }
                | HostEffect::SaveTestResult(..)
                | HostEffect::SaveTestRun(_)
                | HostEffect::SaveDeploy(_)
                | HostEffect::Record { .. } => {
                    // The journal took these out.
                }
            }
        }
        answered
    }

    fn send(&self, message: &DashboardMessage) {
        if let Some(link) = &self.link {
            link.send(SendFrame(message.to_frame()));
        }
    }

    /// Asks how two commits relate; where nobody can be asked now, a little later.
    fn work_out(&self, lineage: WorkOutLineage, ctx: &mut Context<Self>) {
        if let Some(lineage) = self.around.fleet.work_out(lineage) {
            ctx.run_later(TELL_AGAIN_AFTER, |act, ctx| act.work_out(lineage, ctx));
        }
    }

    /// After an event: show what changed, and wait for what is due next.
    fn show(&mut self, ctx: &mut Context<Self>) {
        let told = self.tell_position() & self.publish();
        if !told {
            ctx.run_later(TELL_AGAIN_AFTER, |act, ctx| act.show(ctx));
        }
        self.set_timer(ctx);
        self.look_again(ctx);
    }

    /// What holds the host back now.
    fn restraints(&self) -> Restraints {
        let tags = self.state.profile().shown_tags();
        self.around.kept.restraints(&tags, self.now().at)
    }

    /// The same, while this happens: an agent may say which tags it has now.
    fn restraints_at(&self, event: &HostEvent) -> Restraints {
        let told = match event {
            HostEvent::Connected { registration, .. } => registration.tags.as_ref(),
            _ => None,
        };
        let Some(told) = told else {
            return self.restraints();
        };
        let tags = told.with(&self.state.profile().overrides.tags);
        self.around.kept.restraints(&tags, self.now().at)
    }

    /// While something waits for a freeze to end, or for a window: whether that is so.
    fn look_again(&mut self, ctx: &mut Context<Self>) {
        if self.looks_again || !self.state.waits_for_restraints() {
            return;
        }
        self.looks_again = true;
        ctx.run_later(LOOK_AGAIN_AFTER, |act, ctx| {
            act.looks_again = false;
            if act.restraints() == *act.state.restraints() {
                return act.look_again(ctx);
            }
            let tick = act.happen(HostEvent::Tick);
            ctx.wait(tick);
        });
    }

    /// Tells the fleet where the host is, if that changed. False if there was no room for it.
    fn tell_position(&mut self) -> bool {
        let profile = self.state.profile();
        let at = (
            self.state.facts().deployed_commit(),
            profile.repo_url.clone(),
            profile.branch.clone(),
        );
        if self.at.as_ref() == Some(&at) {
            return true;
        }
        let (commit, repo_url, branch) = at.clone();
        let host = self.state.id().clone();
        let told = self.around.fleet.is_at(HostIsAt { host, commit, repo_url, branch });
        if told {
            self.at = Some(at);
        }
        told
    }

    /// Tells everybody who reads, if anything that they see has changed. False if there was no
    /// room for it.
    fn publish(&mut self) -> bool {
        let mut snapshot = self.state.snapshot();
        snapshot.plain_link = self.link.as_ref().is_some_and(|link| link.plain);
        if self.published.as_deref() == Some(&snapshot) {
            self.show_pulse();
            return true;
        }
        let went_offline =
            self.published.as_ref().is_some_and(|before| before.online) && !snapshot.online;
        let cause = if went_offline { Cause::WentOffline } else { Cause::Changed };
        let snapshot = Arc::new(snapshot);
        let pulse = self.state.pulse();
        let changed = HostChanged { snapshot: Arc::clone(&snapshot), pulse, cause };
        let told = self.around.broadcaster.tell(changed);
        if told {
            self.pulse = pulse;
            self.published = Some(snapshot);
        }
        told
    }

    /// Tells everybody who reads when the host was last heard of, and its load.
    fn show_pulse(&mut self) {
        let pulse = self.state.pulse();
        if self.pulse != pulse
            && self.around.broadcaster.tell(HostPulse(self.state.id().clone(), pulse))
        {
            self.pulse = pulse;
        }
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        // What waits for SQLite is tried again by itself.
        let due = if self.waiting.is_empty() { self.state.next_due() } else { None };
        if self.timer.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = due {
            let wait = at.since(self.around.clock.up()) + Duration::from_millis(10);
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

impl Handler<HasStarted> for HostActor {
    type Result = ();

    fn handle(&mut self, _: HasStarted, _: &mut Self::Context) {}
}

impl Handler<Ask> for HostActor {
    type Result = Exclusive<Result<Command, RequestError>>;

    fn handle(&mut self, msg: Ask, _: &mut Self::Context) -> Self::Result {
        let asked = self.bring_about(Happening::new(msg.event, self.now()).asked_from(msg.from));
        AtomicResponse::new(Box::pin(asked.map(|outcome, _, _| match outcome {
            Ok(Some(answer)) => answer.map_err(RequestError::Refused),
            Ok(None) => Err(StoreError::Closed.into()),
            Err(error) => Err(error.into()),
        })))
    }
}

impl Handler<Configure> for HostActor {
    type Result = Exclusive<Result<(), RequestError>>;

    fn handle(&mut self, msg: Configure, _: &mut Self::Context) -> Self::Result {
        let asked = self.bring_about(Happening::new(msg.event, self.now()).asked_from(msg.from));
        AtomicResponse::new(Box::pin(
            asked.map(|outcome, _, _| outcome.map(|_| ()).map_err(RequestError::from)),
        ))
    }
}

impl Handler<Remove> for HostActor {
    type Result = Exclusive<Result<(), RequestError>>;

    /// The actor refuses first and goes first: nothing that comes later finds the host again.
    fn handle(&mut self, msg: Remove, _: &mut Self::Context) -> Self::Result {
        if let Some(command) = self.state.command() {
            let message = format!("{} is busy with {}: stop it first.", command.host, command.op);
            let refusal = Refusal::new(RefusalCode::HostBusy, message);
            return AtomicResponse::new(Box::pin(fut::ready(Err(RequestError::Refused(refusal)))));
        }
        let (id, at) = (self.state.id().clone(), self.now().at);
        let removed = self.around.store.write(move |conn| {
            store::hosts::remove(conn, &id, at)?;
            let event = store::events::NewEvent {
                at,
                host: Some(id),
                category: AuditCategory::Host,
                message: "Removed, with its token, commands and logs.".to_owned(),
                by: Some(msg.by.author),
                from: msg.by.from,
                result: Some(audit::DONE),
                command: None,
            };
            store::events::append(conn, &event)
        });
        AtomicResponse::new(Box::pin(removed.into_actor(self).map(|removed, act, ctx| {
            removed?;
            if let Some(link) = act.link.take() {
                link.close(CloseLink::Policy("this host was removed".to_owned()));
            }
            ctx.stop();
            Ok(())
        })))
    }
}

impl Handler<News> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: News, _: &mut Self::Context) -> Self::Result {
        let event = match msg {
            News::Desired(desired) => HostEvent::DesiredChanged(desired),
            News::Compared { host, head, comparison } => {
                HostEvent::Compared { host, head, comparison }
            }
            News::Drift(drift) => HostEvent::Drift(drift),
            News::Report => HostEvent::ReportWanted,
            News::Restarting => {
                if let Some(link) = self.link.take() {
                    link.close(CloseLink::Restarting);
                }
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
