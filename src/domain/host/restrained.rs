//! What a freeze and maintenance windows hold back on a host, and what a user goes on regardless of
//! (spec: guard, "Rollouts in waves").

use super::apply::Turn;
use super::state::HostState;
use crate::domain::command::{Command, Event, KeptBack, State};
use crate::domain::ids::CommandId;
use crate::domain::maintenance::{self, HeldBack, Restraint, Restraints};
use crate::domain::operation::{Args, Operation, Regardless};
use crate::domain::refusal::Refusal;

impl HostState {
    /// What held the host back when that was last looked at.
    pub fn restraints(&self) -> &Restraints {
        &self.restraints
    }

    /// Whether something waits, on a host that is there, for a freeze to end or a window to open.
    pub fn waits_for_restraints(&self) -> bool {
        self.online && self.live().any(|command| command.kept_back.is_some())
    }

    /// Whether something may begin with an event without anybody asking for it then.
    pub fn may_begin_by_itself(&self) -> bool {
        self.live().any(|command| matches!(command.state, State::Queued | State::Sent))
    }

    /// What of the restraints an operation has to mind that is asked for now.
    fn minds(&self, op: Operation, args: &Args) -> Vec<HeldBack> {
        if !self.facts.brings_another_system(op) {
            return Vec::new();
        }
        let passed: Vec<Restraint> = args.restraints().collect();
        let all = self.restraints.back.iter();
        all.filter(|back| !passed.contains(&back.by)).cloned().collect()
    }

    /// Why an operation may not begin now; `None` if it may. Says all that is in the way.
    pub(super) fn restrained(&self, op: Operation, args: &Args) -> Option<Refusal> {
        maintenance::refusal(&self.minds(op, args), &self.id)
    }

    /// What keeps a command back that was asked for earlier. Whoever went on regardless of a freeze
    /// was told of that one: another one holds it back.
    fn kept_back(&self, command: &Command) -> Option<KeptBack> {
        let mut args = command.args.clone();
        if command.over_freeze != self.restraints.freeze {
            args.regardless.retain(|one| *one != Regardless::Freeze);
        }
        let back = self.minds(command.op, &args);
        if back.is_empty() {
            return None;
        }
        let why: Vec<&str> = back.iter().map(|back| back.why.trim_end_matches('.')).collect();
        let by = back.iter().map(|back| Regardless::of(back.by)).collect();
        Some(KeptBack { by, why: why.join(", and ") })
    }
}

impl Turn<'_, '_> {
    /// Lets a command wait that may not begin now. Answers whether it has to.
    pub(super) fn keeps_back(&mut self, id: CommandId) -> bool {
        let command = self.state.find(id);
        let Some(kept) = command.and_then(|command| self.state.kept_back(command)) else {
            return false;
        };
        self.step_id(id, &Event::KeptBack(kept));
        true
    }

    /// What was sent and never arrived is sent once more, unless it may not begin any more.
    pub(super) fn send_once_more(&mut self, id: CommandId, event: &Event) {
        let sent = self.state.find(id).is_some_and(|command| command.state == State::Sent);
        if !sent || !self.keeps_back(id) {
            self.step_id(id, event);
        }
    }
}
