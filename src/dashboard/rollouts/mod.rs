//! Rollouts that go on: asks hosts for their next step, and watches commands end.
//!
//! What happens to a rollout is decided in the domain. This actor stores it, asks for what
//! follows once that is stored, and passes on what it hears. It looks at SQLite every second
//! for what it did not hear, so a lost message, or a restart, only costs a second.

mod asking;
mod begin;
mod govern;
pub(crate) mod maintenance;
pub(crate) mod requests;
mod take_back;

use crate::dashboard::clock::Clock;
use crate::dashboard::fleet::FleetActor;
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::model::FleetView;
use crate::dashboard::live::news::Subscribe;
use crate::dashboard::live::news::{CommandComplete, ReadFleet, RolloutsChanged};
use crate::dashboard::maintenance::Kept;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::rollouts::asking::Wish;
use crate::dashboard::rollouts::maintenance::held_back;
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::{self, AuditCategory, Author};
use crate::domain::command::{Command, State};
use crate::domain::deploy::Starts;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::maintenance::Maintenance;
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::rollout::{Effect, Event, Progress, Rollout, RolloutId};
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
    /// What holds hosts back.
    maintenance: Maintenance,
    /// The same, for hosts.
    kept: Kept,
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
        let (asking, maintenance, kept) =
            (BTreeSet::new(), Maintenance::default(), Kept::default());
        Self { store, clock, fleet, broadcaster, live, asking, maintenance, kept, told: true }
    }

    /// Keeps to this freeze and these windows.
    pub(crate) fn governed_by(mut self, kept: Kept) -> Self {
        self.maintenance = (*kept.get()).clone();
        self.kept = kept;
        self
    }

    fn publish(&mut self) {
        let rollouts: Vec<Rollout> = self.live.values().cloned().collect();
        let maintenance = Arc::new(self.maintenance.clone());
        let news = RolloutsChanged { rollouts: Arc::new(rollouts), maintenance };
        self.told = self.broadcaster.tell(news);
    }

    /// A freeze that is over is none.
    fn thaw(&mut self) {
        if self.maintenance.freeze.is_some()
            && self.maintenance.freeze_at(self.clock.now()).is_none()
        {
            self.maintenance.freeze = None;
            self.publish();
        }
    }

    /// Lets an event happen to a rollout; then what follows is stored, and then done.
    fn happen(
        &mut self,
        id: RolloutId,
        event: Event,
        from: Option<String>,
    ) -> ResponseActFuture<Self, Stored> {
        match self.live.get(&id).cloned() {
            Some(rollout) => self.advance(rollout, event, None, from),
            None => Box::pin(fut::ready(Ok(()))),
        }
    }

    /// As [`Self::happen`], to a copy of a rollout, or to a new one. `note` is stored with it.
    fn advance(
        &mut self,
        mut next: Rollout,
        event: Event,
        note: Option<(String, Author)>,
        from: Option<String>,
    ) -> ResponseActFuture<Self, Stored> {
        let (id, now) = (next.id, self.clock.moment());
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
                Effect::Ask { host, id, op } => asks.push((host, id, Wish::Does(op))),
                Effect::TakeBack { host, id, brought } => {
                    asks.push((host, id, Wish::GoesBackFrom(brought)));
                }
            }
        }
        self.asking.extend(asks.iter().map(|(_, id, _)| *id));
        let write = self.store.write(move |conn| {
            store::rollouts::save(conn, &saved)?;
            store::uptime::set(conn, now.up)?;
            for (message, by) in records {
                let event = store::events::NewEvent {
                    at: now.at,
                    host: None,
                    category: AuditCategory::Rollout,
                    message,
                    from: by.as_ref().and(from.clone()),
                    by,
                    result: Some(audit::DONE),
                    command: None,
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
            for (host, command, wish) in asks {
                act.ask(id, host, command, wish, ctx);
            }
            if dismissed {
                act.live.remove(&id);
            }
            act.publish();
            Ok(())
        }))
    }

    /// Finds out what was not heard: commands that are over, or were never asked for, hosts
    /// that are ready again, and hosts that are gone.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.thaw();
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
                    waited.push((rollout.id, host.clone(), command, Wish::Does(*op)));
                }
            }
            for (host, command) in rollout.way_back.running() {
                if !self.asking.contains(&command)
                    && let Some(brought) = rollout.way_back.brought.get(host)
                {
                    let wish = Wish::GoesBackFrom(*brought);
                    waited.push((rollout.id, host.clone(), command, wish));
                }
            }
        }
        let view = self.broadcaster.send(ReadFleet);
        let read = self.store.read(move |conn| {
            waited
                .into_iter()
                .map(|(rollout, host, id, wish)| {
                    let command = store::commands::get(conn, id)?;
                    Ok((rollout, host, id, wish, command))
                })
                .collect::<Result<Vec<_>, StoreError>>()
        });
        let both = async move { (view.await, read.await) };
        ctx.wait(both.into_actor(self).map(|(view, read), act, ctx| {
            let (Ok(view), Ok(waited)) = (view, read) else {
                return;
            };
            for (rollout, host, id, wish, command) in waited {
                match command {
                    _ if !view.hosts.contains_key(&host) => {
                        ctx.notify(Happened { rollout, event: Event::Removed(host) });
                    }
                    Some(command) if command.state.is_terminal() => {
                        ctx.notify(Happened { rollout, event: ended(&command) });
                    }
                    Some(_) => {}
                    None => act.ask(rollout, host, id, wish, ctx),
                }
            }
            for rollout in act.live.values().filter(|r| !r.is_over()) {
                let (ready, gone) = ready(rollout, &view);
                let hosts = rollout.hosts.keys().filter_map(|id| view.hosts.get(id));
                let hosts = hosts.map(|entry| &*entry.snapshot);
                let back = held_back(&act.maintenance, rollout, hosts, act.clock.now());
                let changed = (back != rollout.held_back).then_some(Event::HeldBack(back));
                let events = gone.into_iter().map(Event::Removed);
                for event in events.chain(changed).chain([Event::Tick { ready }]) {
                    ctx.notify(Happened { rollout: rollout.id, event });
                }
            }
        }));
    }
}

/// Of the hosts that were kept from their step: who might take it now, and who is gone.
fn ready(rollout: &Rollout, view: &FleetView) -> (BTreeSet<HostId>, Vec<HostId>) {
    let (mut ready, mut gone) = (BTreeSet::new(), Vec::new());
    let back = rollout.way_back.kept().map(|host| (host, None));
    for (host, op) in rollout.kept().map(|(host, op)| (host, Some(op))).chain(back) {
        let Some(entry) = view.hosts.get(host) else {
            gone.push(host.clone());
            continue;
        };
        let snapshot = &entry.snapshot;
        // One that comes to the same counts as the step. What somebody rolls back to may be
        // something else than what ran before.
        let same = snapshot.command.as_ref().is_some_and(|running| {
            let plain = Args::default();
            Some(running.op) == op && running.args.come_to_the_same(running.op, &plain)
        });
        let refusal = snapshot.refusal(op.unwrap_or(Operation::Rollback));
        if same || refusal.is_none_or(|refusal| !refusal.code.passes()) {
            ready.insert(host.clone());
        }
    }
    (ready, gone)
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
    let boots = command.built.as_ref().is_some_and(|built| built.starts == Starts::NextBoot);
    let (host, id) = (command.host.clone(), command.id);
    Event::Ended { host, command: id, state: command.state, reason, boots }
}

type Stored = Result<(), StoreError>;

impl Actor for Rollouts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.broadcaster.tell(Subscribe(ctx.address().recipient()));
        self.thaw();
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
        AtomicResponse::new(Box::pin(self.happen(msg.rollout, msg.event, None).map(|_, _, _| ())))
    }
}

impl Handler<CommandComplete> for Rollouts {
    type Result = ();

    fn handle(&mut self, msg: CommandComplete, ctx: &mut Self::Context) {
        let command = &*msg.0;
        for rollout in self.live.values() {
            let steps = rollout.running().map(|(_, _, id)| id);
            let back = rollout.way_back.running().map(|(_, id)| id);
            if steps.chain(back).any(|id| id == command.id) {
                ctx.notify(Happened { rollout: rollout.id, event: ended(command) });
            }
        }
    }
}

type Answer<T> = AtomicResponse<Rollouts, Result<T, RequestError>>;

impl Handler<StartRollout> for Rollouts {
    type Result = Answer<Rollout>;

    fn handle(&mut self, msg: StartRollout, _: &mut Self::Context) -> Self::Result {
        let view = self.broadcaster.send(ReadFleet).into_actor(self);
        AtomicResponse::new(Box::pin(view.then(move |view, act, _| {
            let from = msg.by.from.clone();
            let made = view
                .map_err(|_| RequestError::Unavailable("The dashboard is shutting down."))
                .and_then(|view| begin::make(msg, &view, &act.maintenance, act.clock.now()));
            let rollout = match made {
                Ok(rollout) => rollout,
                Err(error) => {
                    return Box::pin(fut::ready(Err(error))) as ResponseActFuture<Self, _>;
                }
            };
            let id = rollout.id;
            let started =
                format!("{} was started{}.", rollout.title(), begin::regardless_of(&rollout));
            let note = Some((started, rollout.requested_by.clone()));
            let begin = act.advance(rollout, Event::Tick { ready: BTreeSet::new() }, note, from);
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
        let event = match asked_of(rollout, change, by.author.clone()) {
            Ok(event) => event,
            Err((code, message)) => return refuse(code, &message),
        };
        let dismissed = Rollout { dismissed: true, ..rollout.clone() };
        let done = self.happen(id, event, by.from);
        AtomicResponse::new(Box::pin(done.map(move |stored, act, _| {
            stored?;
            // One that was dismissed is not kept.
            Ok(act.live.get(&id).cloned().unwrap_or(dismissed))
        })))
    }
}

/// Why nothing can be changed about a rollout of which a wave goes back.
const GOES_BACK: &str = "Too many hosts failed: no further step of it starts, and what it brought is rolled back. A rollback that runs can be stopped on its host.";

/// What a user asks of a rollout as it is now; or why that makes no sense.
fn asked_of(
    rollout: &Rollout,
    change: RolloutChange,
    by: Author,
) -> Result<Event, (RefusalCode, String)> {
    let refuse = |code, text: &str| Err((code, text.to_owned()));
    match change {
        RolloutChange::Dismiss if !rollout.is_over() => {
            refuse(RefusalCode::Running, "The rollout goes on. Cancel it first.")
        }
        RolloutChange::Dismiss => Ok(Event::Dismiss),
        _ if rollout.is_over() => refuse(RefusalCode::NotRunning, "The rollout is over."),
        _ if rollout.goes_back() => refuse(RefusalCode::NotRunning, GOES_BACK),
        _ if rollout.halted.is_some() => {
            refuse(RefusalCode::NotRunning, "No further step of it starts.")
        }
        RolloutChange::Cancel => Ok(Event::Cancel(by)),
        RolloutChange::Pause => Ok(Event::Pause(by)),
        RolloutChange::Resume if rollout.paused.is_none() => {
            refuse(RefusalCode::NothingToDo, "It is not paused.")
        }
        RolloutChange::Resume => Ok(Event::Resume(by)),
        RolloutChange::Promote if !rollout.may_promote() => {
            refuse(RefusalCode::NothingToDo, "It is in its last wave.")
        }
        RolloutChange::Promote => Ok(Event::Promote(by)),
        RolloutChange::LeaveOut(host) => match rollout.hosts.get(&host) {
            None => Err((RefusalCode::NoSuchHost, format!("{host} is no host of this rollout."))),
            Some(Progress::Waiting { .. }) => Ok(Event::LeaveOut { host, by }),
            Some(Progress::Running { .. }) => {
                let text = format!("{host} is in a step: stop that, or wait for its end.");
                Err((RefusalCode::HostBusy, text))
            }
            Some(_) => Err((RefusalCode::NothingToDo, format!("{host} is through."))),
        },
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
