//! The agent's side of a host's actor: links, and what comes on them.

use super::happen::{Acknowledges, Happening};
use super::output::output_event;
use super::{
    AgentConnected, AgentGone, Done, Exclusive, FromAgent, HostActor, new_command_id, nothing,
};
use crate::dashboard::link::translate;
use crate::dashboard::link::{CloseLink, Link};
use crate::dashboard::store::{self, StoreError};
use crate::domain::command::{Command, State};
use crate::domain::host::{About, HostEvent, Registration};
use crate::domain::ids::CommandId;
use crate::domain::test_report::TestResult;
use crate::protocol::{self, Ack, AgentMessage, DashboardMessage, Line, Registered, Stream};
use actix::prelude::*;
use std::collections::BTreeMap;

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
                return self.gather(Line { stream, text: output.line }, ctx);
            }
            AgentMessage::OutputBatch(batch) => {
                let event =
                    output_event(Some(batch.command_id), Some(batch.first_seq), &batch.lines);
                let lines = Happening::new(event, self.now());
                return self.finish(lines.with_lines(batch.lines, Acknowledges::Lines));
            }
            AgentMessage::Status(status) => {
                let ack = status.command_id.zip(status.seq);
                let ack = ack.map(|(command_id, seq)| Ack { command_id, seq });
                let ended = Happening::new(translate::status(&status, protocol), self.now());
                return self.finish(ended.with_ack(ack));
            }
            AgentMessage::CommandComplete(complete) => translate::complete(&complete),
            AgentMessage::CommandAccepted(accepted) => HostEvent::Accepted(accepted.command_id),
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
        let mut result: TestResult = message.into_result();
        result.name.truncate(result.name.floor_char_boundary(300));
        let ended = HostEvent::TestEnded { about: About::Id(id), result };
        self.finish(Happening::new(ended, self.now()).with_ack(ack))
    }

    fn finish(&mut self, happening: Happening) -> Done {
        Box::pin(self.bring_about(happening).map(|_, _, _| ()))
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

impl Handler<FromAgent> for HostActor {
    type Result = Exclusive<()>;

    fn handle(&mut self, msg: FromAgent, _: &mut Self::Context) -> Self::Result {
        if self.link.as_ref().is_none_or(|link| link.number != msg.link) {
            // A link that was replaced has nothing to say any more.
            return AtomicResponse::new(nothing());
        }
        let message = msg.message;
        let stranger = self.stranger(&message);
        AtomicResponse::new(Box::pin(
            self.load(stranger).then(move |(), act, ctx| act.receive(message, ctx)),
        ))
    }
}

impl HostActor {
    /// Brings a command that the state does not hold back from SQLite.
    fn load(&mut self, id: Option<CommandId>) -> Done {
        let Some(id) = id else { return nothing() };
        let load = self.around.store.read(move |conn| store::commands::get(conn, id));
        Box::pin(load.into_actor(self).then(move |found, act, _| match found {
            Ok(Some(command)) => act.happen(HostEvent::Remembered(Box::new(command))),
            Ok(None) => nothing(),
            Err(error) => {
                log::error!("{}: command {id} not read: {error}", act.state.id());
                nothing()
            }
        }))
    }

    /// The answer to a `register`, with how far each of the agent's jobs is stored; and the
    /// commands of those jobs.
    fn welcome(
        &self,
        registration: &Registration,
        jobs: Vec<StoredJob>,
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
        });
        (welcome, known)
    }

    /// An agent registered, and SQLite was asked about its jobs. The link that was there stays
    /// until the new one is known to work.
    fn take_over(
        &mut self,
        link: Link,
        registration: Registration,
        jobs: Result<Vec<StoredJob>, StoreError>,
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
            old.close(CloseLink::Policy("another connection of this host took over".to_owned()));
        }
        let (welcome, known) = self.welcome(&registration, jobs);
        let registration = Box::new(registration);
        let event = HostEvent::Connected { registration, known };
        self.finish(Happening::new(event, self.now()).with_greeting(welcome))
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
            load.into_actor(self).then(move |jobs, act, _| act.take_over(link, registration, jobs)),
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
