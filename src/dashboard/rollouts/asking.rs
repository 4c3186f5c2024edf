//! Hosts are asked for their steps, unless a freeze or their windows hold them back at that moment.

use super::maintenance::keeps;
use super::{Happened, Rollouts, ended};
use crate::dashboard::fleet::requests::RequestCommand;
use crate::dashboard::live::model::FleetView;
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::request_error::RequestError;
use crate::domain::command::Command;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::maintenance::{Maintenance, Restraint};
use crate::domain::operation::{Args, Operation, Regardless};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::rollout::{Event, RolloutId};
use actix::prelude::*;

/// What a rollout wants of a host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// Its next step.
    Does(Operation),
    /// To go back from what this command brought.
    GoesBackFrom(CommandId),
}

impl Rollouts {
    /// Asks a host for what a rollout wants of it.
    pub(super) fn ask(
        &mut self,
        rollout: RolloutId,
        host: HostId,
        id: CommandId,
        wish: Wish,
        ctx: &mut Context<Self>,
    ) {
        let op = match wish {
            Wish::Does(op) => op,
            Wish::GoesBackFrom(brought) => return self.take_back(rollout, host, id, brought, ctx),
        };
        // Who started the rollout was asked, and said yes.
        let confirmed = op.rules().needs_confirmation.then_some(true);
        let freeze = self.maintenance.freeze_at(self.clock.now());
        let regardless = self.live.get(&rollout).map(|one| one.regardless_in(freeze));
        let regardless = regardless.into_iter().flatten().map(Regardless::of).collect();
        let args = Args { confirmed, regardless, ..Args::default() };
        self.asking.insert(id);
        let is_free = self.maintenance == Maintenance::default();
        let minds = self.live.get(&rollout).is_some_and(|one| one.may_be_held_back(&host));
        if is_free || !minds {
            return self.request(rollout, host, id, op, args, ctx);
        }
        // What the rollout knows of a freeze and of windows is of the last look.
        let view = self.broadcaster.send(ReadFleet).into_actor(self);
        // Nobody cancels it in between.
        ctx.wait(view.map(move |view, act, ctx| {
            let refused = match view {
                Ok(view) => act.held_back_now(rollout, &host, &view),
                Err(_) => {
                    Some(Refusal::new(RefusalCode::Unavailable, "The dashboard is shutting down."))
                }
            };
            let Some(refusal) = refused else {
                return act.request(rollout, host, id, op, args, ctx);
            };
            act.asking.remove(&id);
            let event = Event::Refused { host, asked: id, refusal };
            ctx.notify(Happened { rollout, event });
        }));
    }

    /// Why a host of a rollout may not be changed at this moment.
    fn held_back_now(
        &self,
        rollout: RolloutId,
        host: &HostId,
        view: &FleetView,
    ) -> Option<Refusal> {
        let (rollout, entry) = (self.live.get(&rollout)?, view.hosts.get(host)?);
        let now = self.clock.now();
        let regardless = rollout.regardless_in(self.maintenance.freeze_at(now));
        let back = keeps(&self.maintenance, &entry.snapshot, &regardless, now)?;
        let code = match back.by {
            Restraint::Freeze => RefusalCode::Frozen,
            Restraint::Windows => RefusalCode::OutsideWindow,
        };
        Some(Refusal::new(code, back.why))
    }

    /// Asks a host for a command; its answer comes back as an event.
    pub(super) fn request(
        &mut self,
        rollout: RolloutId,
        host: HostId,
        id: CommandId,
        op: Operation,
        args: Args,
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
            args,
            queue: false,
            by: by.into(),
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
}

/// A host took a command. It may be over already.
fn accepted(host: &HostId, asked: CommandId, command: &Command) -> Vec<Event> {
    let taken = Event::Accepted { host: host.clone(), asked, command: command.id };
    let over = command.state.is_terminal().then(|| ended(command));
    std::iter::once(taken).chain(over).collect()
}
