//! The agent's side of a host's actor: links, and what comes on them.

use super::happen::{Acknowledges, Happening};
use super::output::output_event;
use super::{
    AgentConnected, AgentGone, Done, Exclusive, FromAgent, HostActor, new_command_id, nothing,
};
use crate::dashboard::link::translate;
use crate::dashboard::link::{CloseLink, Link};
use crate::dashboard::store::{self, StoreError};
use crate::domain::bounds::{self, Bound};
use crate::domain::command::{Command, State};
use crate::domain::guard;
use crate::domain::host::{About, HostEvent, Registration};
use crate::domain::ids::CommandId;
use crate::protocol::{
    self, Ack, AgentMessage, DashboardMessage, GuardWord, Line, Registered, Stream,
};
use actix::prelude::*;
use std::collections::BTreeMap;

/// What this dashboard can do for an agent, by name.
const FEATURES: [&str; 2] = ["resume", guard::FEATURE];

impl HostActor {
    /// One message of the agent. Commands that it names are known to the state by now.
    fn receive(&mut self, message: AgentMessage, ctx: &mut Context<Self>) -> Done {
        let protocol = self.state.protocol();
        let event = match message {
            AgentMessage::Register(_) => {
                log::warn!("{}: registered twice on one link; ignored", self.state.id());
                HostEvent::Heard
            }
            AgentMessage::Heartbeat(beat) => translate::heartbeat(&beat, protocol),
            AgentMessage::Output(output) => {
                let error = output.is_error || output.stream == Stream::Stderr;
                let stream = if error { Stream::Stderr } else { Stream::Stdout };
                let lines = translate::lines(vec![Line { stream, text: output.line }]);
                return self.gather(lines, ctx);
            }
            AgentMessage::OutputBatch(batch) => {
                let told = translate::lines(batch.lines);
                let event = output_event(Some(batch.command_id), Some(batch.first_seq), &told);
                let lines = Happening::new(event, self.now());
                return self.finish(lines.with_lines(told, Acknowledges::Lines));
            }
            AgentMessage::Status(status) => {
                let ack = status.command_id.zip(status.seq);
                let ack = ack.map(|(command_id, seq)| Ack { command_id, seq });
                let ended = Happening::new(translate::status(&status, protocol), self.now());
                return self.finish(ended.with_ack(ack));
            }
            AgentMessage::CommandComplete(complete) => translate::complete(&complete),
            AgentMessage::CommandAccepted(accepted) => HostEvent::Accepted(accepted.command_id),
            AgentMessage::CommandPhase(told) => {
                HostEvent::Phase { id: told.command_id, phase: told.phase }
            }
            AgentMessage::CommandRejected(rejected) => translate::rejected(&rejected),
            // Its totals are constants, whatever there is to do: nothing is shown of it.
            AgentMessage::OperationProgress(_) => HostEvent::Heard,
            AgentMessage::TestProgress(progress) => {
                translate::test_progress(&progress).unwrap_or(HostEvent::Heard)
            }
            AgentMessage::TestResult(result) => return self.test_result(result),
        };
        self.happen(event)
    }

    fn test_result(&mut self, message: protocol::TestResultMessage) -> Done {
        let id = message.command_id;
        let ack = message.seq.map(|seq| Ack { command_id: id, seq });
        let result = translate::test_result(message);
        let ended = HostEvent::TestEnded { about: About::Id(id), result };
        self.finish(Happening::new(ended, self.now()).with_ack(ack))
    }

    fn finish(&mut self, happening: Happening) -> Done {
        Box::pin(self.bring_about(happening).map(|_, _, _| ()))
    }

    /// The ids of commands that a message names and the state does not hold. What is over, and
    /// what is another host's, is known only to SQLite.
    fn strangers(&self, message: &AgentMessage) -> Vec<CommandId> {
        let ids = match message {
            AgentMessage::OutputBatch(m) => [Some(m.command_id), None],
            AgentMessage::Status(m) => [m.command_id, None],
            AgentMessage::CommandAccepted(m) => [Some(m.command_id), None],
            AgentMessage::CommandPhase(m) => [Some(m.command_id), None],
            AgentMessage::CommandRejected(m) => [m.command_id, m.current_command_id],
            AgentMessage::Heartbeat(m) => [m.command_id, None],
            AgentMessage::TestProgress(m) => [m.command_id, None],
            AgentMessage::TestResult(m) => [Some(m.command_id), None],
            AgentMessage::Register(_)
            | AgentMessage::Output(_)
            | AgentMessage::CommandComplete(_)
            | AgentMessage::OperationProgress(_) => [None, None],
        };
        ids.into_iter().flatten().filter(|id| self.state.find(*id).is_none()).collect()
    }
}

impl Handler<FromAgent> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: FromAgent, _: &mut Self::Context) -> Self::Result {
        if self.link.as_ref().is_none_or(|link| link.number != msg.link) {
            // A link that was replaced has nothing to say any more.
            return AtomicResponse::new(nothing());
        }
        let message = msg.message;
        if self.is_as_before(&message) {
            return AtomicResponse::new(nothing());
        }
        let beyond = translate::exceeded(&message);
        let strangers = self.strangers(&message);
        let told = self.tell_exceeded(beyond);
        if strangers.is_empty() {
            let received = told.then(move |(), act, ctx| act.receive(message, ctx));
            return AtomicResponse::new(Box::pin(received));
        }
        AtomicResponse::new(Box::pin(told.then(move |(), act, _| act.load(strangers)).then(
            move |foreign, act, ctx| match foreign {
                None => act.receive(message, ctx),
                Some(id) => act.refuse_foreign(id, message.kind()),
            },
        )))
    }
}

impl HostActor {
    /// Takes a heartbeat that changes nothing but when the host was heard of and its load. Most
    /// messages are one; they take no other way than this.
    fn is_as_before(&mut self, message: &AgentMessage) -> bool {
        let AgentMessage::Heartbeat(beat) = message else { return false };
        let waits = !self.waiting.is_empty() || self.gathered.is_some();
        if waits || beat.command_id.is_some() || !translate::exceeded(message).is_empty() {
            return false;
        }
        let event = translate::heartbeat(beat, self.state.protocol());
        let is = self.state.changes_nothing_stored(&event);
        if is {
            self.let_pass(event, self.now());
        }
        is
    }

    fn tell_exceeded(&mut self, mut beyond: Vec<&'static Bound>) -> Done {
        match beyond.pop() {
            None => nothing(),
            Some(bound) => {
                let told = self.happen(HostEvent::Exceeded(bound));
                Box::pin(told.then(move |(), act, _| act.tell_exceeded(beyond)))
            }
        }
    }

    /// A command belongs to the host that it was sent to (finding 7 of the security review).
    fn refuse_foreign(&mut self, id: CommandId, kind: &str) -> Done {
        let what = format!("A `{kind}` about command {id}, which is another host's; refused.");
        self.happen(HostEvent::Odd(what))
    }

    /// Brings commands that the state does not hold back from SQLite. Answers the one that is
    /// another host's, if there is one.
    fn load(&mut self, ids: Vec<CommandId>) -> ResponseActFuture<Self, Option<CommandId>> {
        let load = self.around.store.read(move |conn| {
            let found = ids.into_iter().map(|id| store::commands::get(conn, id));
            found.filter_map(Result::transpose).collect::<Result<Vec<Command>, StoreError>>()
        });
        Box::pin(load.into_actor(self).then(move |found, act, _| {
            let found = found.unwrap_or_else(|error| {
                log::error!("{}: a command was not read: {error}", act.state.id());
                Vec::new()
            });
            act.remember(found)
        }))
    }

    fn remember(&mut self, mut found: Vec<Command>) -> ResponseActFuture<Self, Option<CommandId>> {
        let foreign = found.iter().find(|command| command.host != *self.state.id());
        if let Some(command) = foreign {
            return Box::pin(fut::ready(Some(command.id)));
        }
        match found.pop() {
            None => Box::pin(fut::ready(None)),
            Some(command) => {
                let remembered = self.happen(HostEvent::Remembered(Box::new(command)));
                Box::pin(remembered.then(move |(), act, _| act.remember(found)))
            }
        }
    }

    /// The answer to a `register`, with how far each of the agent's jobs is stored; and the
    /// commands of those jobs.
    fn welcome(
        &self,
        registration: &Registration,
        jobs: Vec<StoredJob>,
        guard: Option<GuardWord>,
    ) -> (DashboardMessage, Vec<Command>) {
        let mut resume = BTreeMap::new();
        let mut known = Vec::new();
        for job in jobs {
            let over = job.command.as_ref().is_some_and(|c| {
                c.state.is_terminal() && c.state != State::Lost && c.host == *self.state.id()
            });
            // Past the last line: the outcome is known, the agent may forget the job.
            resume.insert(job.id, if over { job.spooled + 1 } else { job.stored });
            known.extend(job.command);
        }
        let protocol = registration.protocol;
        let welcome = DashboardMessage::Registered(Registered {
            host_id: self.state.id().to_string(),
            protocol: protocol.map(|_| protocol::VERSION),
            dashboard_version: protocol.map(|_| env!("CARGO_PKG_VERSION").to_owned()),
            resume,
            features: protocol.map_or(Vec::new(), |_| FEATURES.map(str::to_owned).to_vec()),
            guard,
        });
        (welcome, known)
    }

    /// An agent registered, and SQLite was asked about its jobs. The link that was there stays
    /// until the new one is known to work.
    fn take_over(
        &mut self,
        link: Link,
        mut registration: Registration,
        jobs: Result<Vec<StoredJob>, StoreError>,
        guard: Option<GuardWord>,
    ) -> Done {
        let jobs = match jobs {
            Ok(jobs) => jobs,
            Err(error) => {
                log::error!("{}: its jobs could not be read: {error}", self.state.id());
                link.close(CloseLink::TryAgain("the database cannot be read now".to_owned()));
                return nothing();
            }
        };
        log::info!("{}: agent connected", self.state.id());
        if let Some(old) = self.link.replace(link) {
            old.close(CloseLink::Replaced);
        }
        let (jobs, foreign) = self.own_jobs(jobs);
        for told in registration.jobs.iter_mut() {
            told.retain(|job| !foreign.contains(&job.id));
        }
        // A command belongs to the host that it was sent to, also here.
        let is_own =
            |word: &GuardWord| word.nonce.len() <= 200 && !foreign.contains(&word.command_id);
        let guard = guard.filter(is_own);
        let (welcome, known) = self.welcome(&registration, jobs, guard);
        let registration = Box::new(registration);
        let event = HostEvent::Connected { registration, known };
        let connected = self.finish(Happening::new(event, self.now()).with_greeting(welcome));
        Box::pin(connected.then(move |(), act, _| match foreign.first() {
            Some(id) => act.refuse_foreign(*id, "register"),
            None => nothing(),
        }))
    }

    /// The jobs that are this host's, and the ids of those that are another one's.
    fn own_jobs(&self, jobs: Vec<StoredJob>) -> (Vec<StoredJob>, Vec<CommandId>) {
        let is_foreign = |job: &StoredJob| {
            job.command.as_ref().is_some_and(|command| command.host != *self.state.id())
        };
        let (foreign, own): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_foreign);
        (own, foreign.iter().map(|job| job.id).collect())
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
        let registration = translate::registration(&msg.register);
        let guard = msg.register.guard.clone();
        let jobs = msg.register.jobs.iter().flatten().take(bounds::JOBS);
        let jobs: Vec<(CommandId, u64)> = jobs.map(|job| (job.command_id, job.last_seq)).collect();
        let beyond = translate::exceeded(&AgentMessage::Register(msg.register));
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
            load.into_actor(self)
                .then(move |jobs, act, _| act.take_over(link, registration, jobs, guard))
                .then(move |(), act, _| act.tell_exceeded(beyond)),
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
        log::info!("{}: agent gone", self.state.id());
        // What it said before it went comes first.
        let earlier = self.store_what_waits();
        let now = self.now();
        AtomicResponse::new(Box::pin(
            earlier
                .then(move |(), act, _| {
                    let up = HostEvent::LinkIs { up: false };
                    act.state.apply(up, now, &mut new_command_id);
                    act.happen(HostEvent::Disconnected)
                })
                .then(|(), act, _| {
                    let id = act.state.id().clone();
                    let at = act.state.last_seen().unwrap_or_default();
                    let store = &act.around.store;
                    let write =
                        store.write(move |conn| store::hosts::touch_last_seen(conn, &id, at));
                    write.into_actor(act)
                })
                .map(|written, act, ctx| {
                    act.show(ctx);
                    if let Err(error) = written {
                        log::error!("{}: last seen not stored: {error}", act.state.id());
                    }
                }),
        ))
    }
}
