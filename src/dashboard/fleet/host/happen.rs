//! The one way by which a host changes: an event is applied to a copy, what follows is stored, and
//! only then the copy becomes the state and is sent, shown and answered (spec: lifecycle, "Stored,
//! then true").
//!
//! What could not be stored did not happen. A user is told so; an agent of protocol 4 says it
//! again on its next link; everything else, above all what an agent of protocol 3 said, waits here
//! in its order until SQLite writes again.

use super::journal::{Circumstances, Journal, StoredLines, Written};
use super::{Done, HostActor, new_command_id, nothing};
use crate::dashboard::link::CloseLink;
use crate::dashboard::store::StoreError;
use crate::domain::bounds;
use crate::domain::command::Command;
use crate::domain::host::{HostEffect, HostEvent, HostState};
use crate::domain::moment::Moment;
use crate::domain::refusal::Refusal;
use crate::protocol::{Ack, DashboardMessage, Line};
use actix::prelude::*;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

/// Of so many commands it is known how much room their output takes; of others it is looked up.
const KNOWN_SIZES: usize = 64;
/// What waits to be stored is tried again after so long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One event, with what came along.
pub(super) struct Happening {
    event: HostEvent,
    at: Moment,
    /// The lines of an [`HostEvent::Output`].
    lines: Option<Arc<[Line]>>,
    /// Sent to the agent before anything else that follows.
    greeting: Option<Box<DashboardMessage>>,
    /// What the agent is told once all is stored.
    acknowledges: Acknowledges,
    /// From where a user asked.
    from: Option<String>,
}

/// What an agent is told once something is stored.
#[derive(Clone, Copy)]
pub(super) enum Acknowledges {
    Nothing,
    /// The lines that came along, as far as they are stored.
    Lines,
    This(Ack),
}

impl Happening {
    pub(super) fn new(event: HostEvent, at: Moment) -> Self {
        let acknowledges = Acknowledges::Nothing;
        Self { event, at, lines: None, greeting: None, acknowledges, from: None }
    }

    pub(super) fn asked_from(mut self, from: Option<String>) -> Self {
        self.from = from;
        self
    }

    pub(super) fn with_ack(mut self, ack: Option<Ack>) -> Self {
        self.acknowledges = ack.map_or(Acknowledges::Nothing, Acknowledges::This);
        self
    }

    pub(super) fn with_lines(mut self, lines: Vec<Line>, acknowledges: Acknowledges) -> Self {
        self.lines = Some(lines.into());
        self.acknowledges = acknowledges;
        self
    }

    pub(super) fn with_greeting(mut self, greeting: DashboardMessage) -> Self {
        self.greeting = Some(Box::new(greeting));
        self
    }
}

/// What came of an event: the answer, if it was a user's; or why nothing did.
pub(super) type Outcome = Result<Option<Answer>, StoreError>;
type Attempt = Result<Option<Answer>, (Box<Happening>, StoreError)>;
/// Boxed: most events have none, and its room would be made for each of them.
pub(super) type Answer = Box<Result<Command, Refusal>>;

impl HostActor {
    /// Lets an event happen.
    pub(super) fn happen(&mut self, event: HostEvent) -> Done {
        let happening = Happening::new(event, self.now());
        Box::pin(self.bring_about(happening).map(|_, _, _| ()))
    }

    /// Lets an event happen, after all that still waits.
    pub(super) fn bring_about(&mut self, what: Happening) -> ResponseActFuture<HostActor, Outcome> {
        let quick = self.waiting.is_empty() && self.gathered.is_none();
        let earlier = if quick { nothing() } else { self.store_what_waits() };
        Box::pin(earlier.then(move |(), act, ctx| act.unless_something_waits(what, ctx)))
    }

    fn unless_something_waits(
        &mut self,
        what: Happening,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<HostActor, Outcome> {
        if !self.waiting.is_empty() && !self.state.changes_nothing_stored(&what.event) {
            let outcome = self.put_off(what, StoreError::Busy, ctx);
            return Box::pin(fut::ready(outcome));
        }
        Box::pin(self.attempt(Box::new(what)).map(|attempt, act, ctx| match attempt {
            Ok(answer) => Ok(answer),
            Err((what, error)) => act.put_off(*what, error, ctx),
        }))
    }

    /// Stores lines that were gathered, then what could not be stored before, in its order.
    pub(super) fn store_what_waits(&mut self) -> Done {
        if let Some(lines) = self.take_gathered() {
            self.waiting.push_back(lines);
        }
        let Some(first) = self.waiting.pop_front() else {
            return nothing();
        };
        let attempt = self.attempt(Box::new(first));
        Box::pin(attempt.then(|attempt, act, ctx| match attempt {
            Ok(_) => act.store_what_waits(),
            Err((what, error)) => {
                log::error!("{}: still not stored: {error}", act.state.id());
                act.waiting.push_front(*what);
                act.try_again_later(ctx);
                act.give_up_where_too_much_waits(ctx);
                nothing()
            }
        }))
    }

    fn attempt(&mut self, what: Box<Happening>) -> ResponseActFuture<HostActor, Attempt> {
        if self.state.changes_nothing_stored(&what.event) {
            self.let_pass(what.event, what.at);
            return Box::pin(fut::ready(Ok(None)));
        }
        let mut next = self.state.clone();
        if what.event.is_said_by_agent() {
            // Its link may have ended while it waited here; it was said on one.
            next.apply(HostEvent::LinkIs { up: true }, what.at, &mut new_command_id);
        }
        if next.may_begin_by_itself() || matches!(what.event, HostEvent::Requested { .. }) {
            let restrained = HostEvent::Restrained(self.restraints_at(&what.event));
            next.apply(restrained, what.at, &mut new_command_id);
        }
        let mut effects = next.apply(what.event.clone(), what.at, &mut new_command_id);
        let around =
            Circumstances { now: what.at, lines: what.lines.as_ref(), from: what.from.as_deref() };
        let journal = Journal::take(&next, &mut effects, &around).with_sizes(&self.output_sizes);
        if journal.is_empty() {
            return Box::pin(fut::ready(()).map(move |(), act: &mut Self, ctx| {
                Ok(act.become_true(next, effects, Written::default(), *what, ctx))
            }));
        }
        let write = self.around.store.write(move |conn| journal.write(conn));
        Box::pin(write.into_actor(self).map(move |written, act, ctx| match written {
            Ok(written) => Ok(act.become_true(next, effects, written, *what, ctx)),
            Err(error) => Err((what, error)),
        }))
    }

    /// Lets an event happen that changes nothing that is stored.
    pub(super) fn let_pass(&mut self, event: HostEvent, at: Moment) {
        self.state.apply(event, at, &mut new_command_id);
        self.show_pulse();
    }

    /// It is stored: now it is true, and is sent, shown and answered.
    fn become_true(
        &mut self,
        next: HostState,
        effects: Vec<HostEffect>,
        written: Written,
        what: Happening,
        ctx: &mut Context<Self>,
    ) -> Option<Answer> {
        self.state = next;
        let link = HostEvent::LinkIs { up: self.link.is_some() };
        self.state.apply(link, what.at, &mut new_command_id);
        if let Some(greeting) = what.greeting {
            self.send(&greeting);
        }
        let answer = self.carry_out(effects, ctx);
        if let (Some(stored), Some(lines)) = (written.lines, what.lines) {
            if self.output_sizes.len() >= KNOWN_SIZES {
                self.output_sizes.clear();
            }
            self.output_sizes.insert(stored.id, stored.size);
            self.show_lines(stored, &lines);
            if let Acknowledges::Lines = what.acknowledges {
                self.send(&ack(stored));
            }
        }
        if let Acknowledges::This(ack) = what.acknowledges {
            self.send(&DashboardMessage::Ack(ack));
        }
        self.show(ctx);
        answer
    }

    /// What becomes of an event that could not be stored.
    fn put_off(&mut self, what: Happening, error: StoreError, ctx: &mut Context<Self>) -> Outcome {
        log::error!("{}: not stored: {error}", self.state.id());
        if what.event.is_asked_by_user() {
            return Err(error);
        }
        let by_agent = what.event.is_said_by_agent();
        let connects = matches!(what.event, HostEvent::Connected { .. });
        if by_agent && self.state.protocol().resumes_jobs() || connects && what.says_it_again() {
            // It says it again on its next link.
            self.give_up_link(ctx);
            return Err(error);
        }
        if connects && self.too_much_waits() {
            // Whatever it would say, there is no room for it.
            self.give_up_link(ctx);
            return Err(error);
        }
        self.wait_for_the_store(what, ctx);
        self.give_up_where_too_much_waits(ctx);
        Err(error)
    }

    /// Whether more waits to be stored than may.
    fn too_much_waits(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(Happening::bytes).sum();
        self.waiting.len() > bounds::UNSTORED_MESSAGES || bytes > bounds::UNSTORED_BYTES
    }

    /// Closes the link of an agent that says more than may wait (finding 9 of the security review).
    fn give_up_where_too_much_waits(&mut self, ctx: &mut Context<Self>) {
        if self.link.is_some() && self.too_much_waits() {
            self.give_up_link(ctx);
        }
    }

    fn wait_for_the_store(&mut self, mut what: Happening, ctx: &mut Context<Self>) {
        if let Some(greeting) = what.greeting.take() {
            self.send(&greeting);
        }
        let replaces = matches!(
            what.event,
            HostEvent::DesiredChanged(_)
                | HostEvent::Compared { .. }
                | HostEvent::Drift(_)
                | HostEvent::Tick
        );
        if replaces {
            let kind = discriminant(&what.event);
            self.waiting.retain(|earlier| discriminant(&earlier.event) != kind);
        }
        self.waiting.push_back(what);
        self.try_again_later(ctx);
        self.show(ctx);
    }

    /// Closes the link; that it is gone is true at once, whatever can be stored.
    fn give_up_link(&mut self, ctx: &mut Context<Self>) {
        if let Some(link) = self.link.take() {
            link.close(CloseLink::TryAgain("the dashboard could not store a message".to_owned()));
        }
        let now = self.now();
        self.state.apply(HostEvent::LinkIs { up: false }, now, &mut new_command_id);
        let mut events = self.waiting.iter().rev().map(|waits| &waits.event);
        let last = events
            .find(|event| matches!(event, HostEvent::Connected { .. } | HostEvent::Disconnected));
        if let Some(HostEvent::Disconnected) = last {
            // That it is gone waits already.
            return self.show(ctx);
        }
        self.wait_for_the_store(Happening::new(HostEvent::Disconnected, now), ctx);
    }

    fn try_again_later(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.tries_again, true) {
            return;
        }
        ctx.run_later(TRY_AGAIN_AFTER, |act, ctx| {
            act.tries_again = false;
            let stored = act.store_what_waits();
            ctx.wait(stored);
        });
    }
}

impl Happening {
    /// How much text of the agent it holds.
    fn bytes(&self) -> usize {
        self.lines.iter().flat_map(|lines| lines.iter()).map(|line| line.text.len()).sum()
    }

    /// Whether an agent that connects repeats all that it said: protocol 4 does.
    fn says_it_again(&self) -> bool {
        match &self.event {
            HostEvent::Connected { registration, .. } => registration.jobs.is_some(),
            _ => false,
        }
    }
}

fn ack(stored: StoredLines) -> DashboardMessage {
    DashboardMessage::Ack(Ack { command_id: stored.id, seq: stored.after })
}
