//! Rollouts that go on: asks hosts for their next step, and watches commands end.
//!
//! What happens to a rollout is decided in the domain. This actor stores it, asks for what
//! follows once that is stored, and passes on what it hears. It looks at SQLite every second
//! for what it did not hear, so a lost message, or a restart, only costs a second.

pub(crate) mod requests;

use crate::dashboard::clock::Clock;
use crate::dashboard::fleet::FleetActor;
use crate::dashboard::fleet::requests::RequestCommand;
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::model::FleetView;
use crate::dashboard::live::news::Subscribe;
use crate::dashboard::live::news::{CommandComplete, ReadFleet, RolloutsChanged};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::command::{Command, State};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::rollout::{Effect, Event, Progress, Rollout, RolloutId, plan};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often SQLite and the fleet are looked at while something goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rollouts that are over are shown until somebody has seen them, the last few of them.
const SHOWN_OVER: usize = 3;

/// The actor.
pub(crate) struct Rollouts {
    store: Store,
    clock: Clock,
    fleet: Addr<FleetActor>,
    broadcaster: Broadcast,
    live: BTreeMap<RolloutId, Rollout>,
    /// Commands that were asked for and not answered yet.
    asking: BTreeSet<CommandId>,
    /// Whether readers know them as they are now.
    told: bool,
}

impl Rollouts {
    /// Goes on with what was stored.
    pub(crate) fn new(
        store: Store,
        clock: Clock,
        fleet: Addr<FleetActor>,
        broadcaster: Broadcast,
        stored: Vec<Rollout>,
    ) -> Self {
        let live = stored.into_iter().map(|rollout| (rollout.id, rollout)).collect();
        Self { store, clock, fleet, broadcaster, live, asking: BTreeSet::new(), told: true }
    }

    fn publish(&mut self) {
        let shown: Vec<Rollout> = self.live.values().cloned().collect();
        self.told = self.broadcaster.tell(RolloutsChanged(Arc::new(shown)));
    }

    /// Lets an event happen to a rollout; then what follows is stored, and then done.
    fn happen(&mut self, id: RolloutId, event: Event) -> ResponseActFuture<Self, Stored> {
        match self.live.get(&id).cloned() {
            Some(rollout) => self.advance(rollout, event, None),
            None => Box::pin(fut::ready(Ok(()))),
        }
    }

    /// As [`Self::happen`], to a copy of a rollout, or to a new one. `note` is stored with it.
    fn advance(
        &mut self,
        mut next: Rollout,
        event: Event,
        note: Option<(String, Author)>,
    ) -> ResponseActFuture<Self, Stored> {
        let (id, now) = (next.id, self.clock.now());
        let effects = next.apply(event, now, &mut || CommandId(uuid::Uuid::now_v7()));
        if effects.is_empty() && note.is_none() {
            self.live.insert(id, next);
            return Box::pin(fut::ready(Ok(())));
        }
        let (saved, mut asks) = (next.clone(), Vec::new());
        let mut records: Vec<_> =
            note.into_iter().map(|(message, by)| (message, Some(by))).collect();
        for effect in effects {
            match effect {
                Effect::Save => {}
                Effect::Record { message, by } => records.push((message, by)),
                Effect::Ask { host, id, op } => asks.push((host, id, op)),
            }
        }
        self.asking.extend(asks.iter().map(|(_, id, _)| *id));
        let write = self.store.write(move |conn| {
            store::rollouts::save(conn, &saved)?;
            for (message, by) in records {
                let event = store::events::NewEvent {
                    at: now,
                    host: None,
                    category: AuditCategory::Rollout,
                    message,
                    by,
                };
                store::events::append(conn, &event)?;
            }
            Ok(())
        });
        Box::pin(write.into_actor(self).map(move |written, act, ctx| {
            if let Err(error) = written {
                // Nothing of it is true. What a host said is heard again at the next look.
                log::error!("rollout {id} was not stored: {error}");
                for (_, command, _) in asks {
                    act.asking.remove(&command);
                }
                return Err(error);
            }
            let dismissed = next.dismissed;
            act.live.insert(id, next);
            for (host, command, op) in asks {
                act.ask(id, host, command, op, ctx);
            }
            if dismissed {
                act.live.remove(&id);
            }
            act.publish();
            Ok(())
        }))
    }

    /// Asks a host for a command; its answer comes back as an event.
    fn ask(
        &mut self,
        rollout: RolloutId,
        host: HostId,
        id: CommandId,
        op: Operation,
        ctx: &mut Context<Self>,
    ) {
        let Some(by) = self.live.get(&rollout).map(|r| r.requested_by.clone()) else {
            // It was dismissed meanwhile.
            self.asking.remove(&id);
            return;
        };
        self.asking.insert(id);
        let asked = RequestCommand {
            id: Some(id),
            host: host.clone(),
            op,
            args: Args::default(),
            queue: false,
            by,
        };
        let answer = self.fleet.send(asked).into_actor(self);
        ctx.spawn(answer.map(move |answer, act, ctx| {
            act.asking.remove(&id);
            let refused = |refusal| Event::Refused { host: host.clone(), asked: id, refusal };
            let unavailable = |why: String| refused(Refusal::new(RefusalCode::Unavailable, why));
            let events = match answer {
                Ok(Ok(command)) => accepted(&host, id, &command),
                Ok(Err(RequestError::Refused(refusal))) => vec![refused(refusal)],
                Ok(Err(RequestError::NoSuchHost(_))) => vec![Event::Removed(host.clone())],
                Ok(Err(error)) => vec![unavailable(error.to_string())],
                Err(_) => vec![unavailable("The host did not answer.".to_owned())],
            };
            for event in events {
                ctx.notify(Happened { rollout, event });
            }
        }));
    }

    /// Finds out what was not heard: commands that are over, or were never asked for, hosts
    /// that are ready again, and hosts that are gone.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if !self.told {
            self.publish();
        }
        let going: Vec<&Rollout> = self.live.values().filter(|r| !r.is_over()).collect();
        if going.is_empty() {
            return;
        }
        let mut waited = Vec::new();
        for rollout in &going {
            for (host, step, command) in rollout.running() {
                if !self.asking.contains(&command)
                    && let Some(op) = rollout.steps.get(step)
                {
                    waited.push((rollout.id, host.clone(), command, *op));
                }
            }
        }
        let view = self.broadcaster.send(ReadFleet);
        let read = self.store.read(move |conn| {
            waited
                .into_iter()
                .map(|(rollout, host, id, op)| {
                    let command = store::commands::get(conn, id)?;
                    Ok((rollout, host, id, op, command))
                })
                .collect::<Result<Vec<_>, StoreError>>()
        });
        let both = async move { (view.await, read.await) };
        ctx.wait(both.into_actor(self).map(|(view, read), act, ctx| {
            let (Ok(view), Ok(waited)) = (view, read) else {
                return;
            };
            for (rollout, host, id, op, command) in waited {
                match command {
                    _ if !view.hosts.contains_key(&host) => {
                        ctx.notify(Happened { rollout, event: Event::Removed(host) });
                    }
                    Some(command) if command.state.is_terminal() => {
                        ctx.notify(Happened { rollout, event: ended(&command) });
                    }
                    Some(_) => {}
                    None => act.ask(rollout, host, id, op, ctx),
                }
            }
            for rollout in act.live.values().filter(|r| !r.is_over()) {
                let (ready, gone) = ready(rollout, &view);
                let events = gone.into_iter().map(Event::Removed);
                for event in events.chain([Event::Tick { ready }]) {
                    ctx.notify(Happened { rollout: rollout.id, event });
                }
            }
        }));
    }
}

/// Of the hosts that were kept from their step: who might take it now, and who is gone.
fn ready(rollout: &Rollout, view: &FleetView) -> (BTreeSet<HostId>, Vec<HostId>) {
    let (mut ready, mut gone) = (BTreeSet::new(), Vec::new());
    for (host, op) in rollout.kept() {
        let Some(entry) = view.hosts.get(host) else {
            gone.push(host.clone());
            continue;
        };
        let snapshot = &entry.snapshot;
        let same = snapshot.command.as_ref().is_some_and(|command| command.op == op);
        if same || snapshot.refusal(op).is_none_or(|refusal| !refusal.code.passes()) {
            ready.insert(host.clone());
        }
    }
    (ready, gone)
}

/// A host took a command. It may be over already.
fn accepted(host: &HostId, asked: CommandId, command: &Command) -> Vec<Event> {
    let taken = Event::Accepted { host: host.clone(), asked, command: command.id };
    let over = command.state.is_terminal().then(|| ended(command));
    std::iter::once(taken).chain(over).collect()
}

fn ended(command: &Command) -> Event {
    let code = command.exit_code.filter(|code| *code != 0);
    let code = code.map(|code| format!("exit code {code}"));
    let reason = match (code, command.reason.clone()) {
        (Some(code), Some(reason)) if command.state == State::Failed => {
            Some(format!("{code}, {reason}"))
        }
        (code, reason) => reason.or(code),
    };
    Event::Ended { host: command.host.clone(), command: command.id, state: command.state, reason }
}

type Stored = Result<(), StoreError>;

impl Actor for Rollouts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.broadcaster.tell(Subscribe(ctx.address().recipient()));
        self.publish();
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

/// Something happened to a rollout.
#[derive(Message)]
#[rtype(result = "()")]
struct Happened {
    rollout: RolloutId,
    event: Event,
}

impl Handler<Happened> for Rollouts {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: Happened, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(self.happen(msg.rollout, msg.event).map(|_, _, _| ())))
    }
}

impl Handler<CommandComplete> for Rollouts {
    type Result = ();

    fn handle(&mut self, msg: CommandComplete, ctx: &mut Self::Context) {
        let command = &*msg.0;
        for rollout in self.live.values() {
            if rollout.running().any(|(_, _, id)| id == command.id) {
                ctx.notify(Happened { rollout: rollout.id, event: ended(command) });
            }
        }
    }
}

type Answer<T> = AtomicResponse<Rollouts, Result<T, RequestError>>;

fn invalid(field: &'static str, expected: &str) -> RequestError {
    RequestError::Invalid { field, expected: expected.to_owned() }
}

impl Handler<StartRollout> for Rollouts {
    type Result = Answer<Rollout>;

    fn handle(&mut self, msg: StartRollout, _: &mut Self::Context) -> Self::Result {
        let view = self.broadcaster.send(ReadFleet).into_actor(self);
        AtomicResponse::new(Box::pin(view.then(move |view, act, _| {
            let made = view
                .map_err(|_| RequestError::Unavailable("The dashboard is shutting down."))
                .and_then(|view| make(msg, &view, act.clock.now()));
            let rollout = match made {
                Ok(rollout) => rollout,
                Err(error) => {
                    return Box::pin(fut::ready(Err(error))) as ResponseActFuture<Self, _>;
                }
            };
            let id = rollout.id;
            let started = format!("{} was started.", rollout.title());
            let note = Some((started, rollout.requested_by.clone()));
            let begin = act.advance(rollout, Event::Tick { ready: BTreeSet::new() }, note);
            Box::pin(begin.map(move |stored, act, ctx| {
                stored?;
                // Of those that are over, the page keeps the last few.
                let over: Vec<RolloutId> =
                    act.live.values().filter(|r| r.is_over()).map(|r| r.id).collect();
                for old in over.iter().rev().skip(SHOWN_OVER) {
                    ctx.notify(Happened { rollout: *old, event: Event::Dismiss });
                }
                act.live
                    .get(&id)
                    .cloned()
                    .ok_or(RequestError::Unavailable("The rollout was not started."))
            }))
        })))
    }
}

/// Who takes part is decided here, from the fleet as it is now.
fn make(
    msg: StartRollout,
    view: &FleetView,
    now: crate::domain::timestamp::Timestamp,
) -> Result<Rollout, RequestError> {
    let StartRollout { steps, hosts, at_once, stop_after, by } = msg;
    if at_once == 0 {
        return Err(invalid("at_once", "expected 1 or more"));
    }
    if stop_after == Some(0) {
        return Err(invalid("stop_after", "expected 1 or more"));
    }
    let wanted: Vec<HostId> = match hosts {
        Some(hosts) => hosts,
        None => view.hosts.keys().cloned().collect(),
    };
    if let Some(unknown) = wanted.iter().find(|id| !view.hosts.contains_key(id)) {
        return Err(RequestError::NoSuchHost(unknown.to_string()));
    }
    let chosen = wanted.iter().filter_map(|id| view.hosts.get(id)).map(|entry| &*entry.snapshot);
    let plan = plan(&steps, chosen);
    if plan.hosts.is_empty() {
        let told = plan.exclusions().join(" ");
        let told = if told.is_empty() { "No host was chosen.".to_owned() } else { told };
        let message = format!("There is nothing to do. {told}");
        return Err(RequestError::Refused(Refusal::new(RefusalCode::NothingToDo, message)));
    }
    let waits = Progress::Waiting { step: 0, since: None, why: None };
    let mut progress: BTreeMap<HostId, Progress> =
        plan.hosts.into_iter().map(|id| (id, waits.clone())).collect();
    for (why, hosts) in plan.left_out {
        let left_out = Progress::LeftOut { why };
        progress.extend(hosts.into_iter().map(|id| (id, left_out.clone())));
    }
    Ok(Rollout {
        id: RolloutId(uuid::Uuid::now_v7()),
        steps,
        at_once,
        stop_after,
        requested_by: by,
        created_at: now,
        halted: None,
        finished_at: None,
        dismissed: false,
        hosts: progress,
    })
}

impl Handler<ChangeRollout> for Rollouts {
    type Result = Answer<Rollout>;

    fn handle(&mut self, msg: ChangeRollout, _: &mut Self::Context) -> Self::Result {
        let ChangeRollout { id, change, by } = msg;
        let refuse = |code, message: &str| {
            let refusal = Refusal::new(code, message);
            AtomicResponse::new(Box::pin(fut::ready(Err(RequestError::Refused(refusal)))))
        };
        let Some(rollout) = self.live.get(&id) else {
            return refuse(RefusalCode::NotRunning, "The rollout is over.");
        };
        let event = match change {
            RolloutChange::Cancel if rollout.is_over() => {
                return refuse(RefusalCode::NotRunning, "The rollout is over.");
            }
            RolloutChange::Dismiss if !rollout.is_over() => {
                return refuse(RefusalCode::Running, "The rollout goes on. Cancel it first.");
            }
            RolloutChange::Cancel => Event::Cancel(by),
            RolloutChange::Dismiss => Event::Dismiss,
        };
        let dismissed = Rollout { dismissed: true, ..rollout.clone() };
        let done = self.happen(id, event);
        AtomicResponse::new(Box::pin(done.map(move |stored, act, _| {
            stored?;
            // One that was dismissed is not kept.
            Ok(act.live.get(&id).cloned().unwrap_or(dismissed))
        })))
    }
}

/// Makes the actor panic, as a bug in it would.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;

#[cfg(test)]
impl Handler<Panic> for Rollouts {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a bug");
    }
}
