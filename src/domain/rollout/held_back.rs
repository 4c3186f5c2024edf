//! What a freeze and windows keep a rollout's hosts from (spec: guard, "Rollouts in waves").

use super::*;
use crate::domain::maintenance::{Freeze, Restraint};

impl Rollout {
    /// Whether it changes what runs: then a freeze and windows hold it back. They keep nobody from
    /// going back.
    pub fn changes_what_runs(&self) -> bool {
        changes_what_runs(&self.steps)
    }

    /// Whether a freeze keeps it from its first step.
    pub fn begins_with_a_change(&self) -> bool {
        self.changes_what_runs() && may_be_held_back(&self.steps, 0)
    }

    /// It begins while there is this freeze, or none: what it goes on regardless of is that one. Of
    /// what could not hold it back it says nothing.
    pub fn begins_in(&mut self, freeze: Option<&Freeze>) {
        if !self.changes_what_runs() {
            self.regardless.clear();
        }
        if freeze.is_none() {
            self.regardless.remove(&Restraint::Freeze);
        }
        let goes_on = self.regardless.contains(&Restraint::Freeze);
        self.of_freeze = freeze.filter(|_| goes_on).map(|freeze| freeze.since);
    }

    /// What it goes on regardless of now: of no later freeze than that of which its user was told.
    pub fn regardless_in(&self, freeze: Option<&Freeze>) -> Regardless {
        let mut all = self.regardless.clone();
        if self.of_freeze.is_some() && self.of_freeze != freeze.map(|freeze| freeze.since) {
            all.remove(&Restraint::Freeze);
        }
        all
    }

    /// Why a freeze or its windows keep a host from this step.
    pub(super) fn held_back(&self, host: &HostId, step: usize) -> Option<&String> {
        self.held_back.get(host).filter(|_| may_be_held_back(&self.steps, step))
    }

    /// Whether a freeze or windows could keep the host from the step that it was asked for.
    pub fn may_be_held_back(&self, host: &HostId) -> bool {
        let step = match self.hosts.get(host) {
            Some(Progress::Running { step, .. }) => *step,
            _ => return false,
        };
        self.changes_what_runs() && may_be_held_back(&self.steps, step)
    }

    /// Takes in who is held back from now on. Nobody's patience counts while it is: nobody could
    /// take its step.
    pub(super) fn hold_back(&mut self, all: BTreeMap<HostId, String>, now: Moment) {
        for host in all.keys() {
            self.held_since.entry(host.clone()).or_insert(now.up);
        }
        for (host, progress) in &mut self.hosts {
            if all.contains_key(host) {
                continue;
            }
            if let Some(since) = self.held_since.remove(host)
                && let Progress::Waiting { step, until: Some(until), .. } = progress
                && may_be_held_back(&self.steps, *step)
            {
                *until = *until + now.up.since(since);
            }
        }
        self.held_back = all;
    }

    /// A host was about to be asked, and is held back after all. Where it had not begun, another
    /// one may take its place.
    pub(super) fn is_held_back(&mut self, host: HostId, step: usize, why: String, now: Moment) {
        self.held_since.entry(host.clone()).or_insert(now.up);
        self.held_back.insert(host.clone(), why);
        if step == 0 {
            self.began.remove(&host);
        }
        self.hosts.insert(host, Progress::next(step));
    }
}

/// Whether any of these changes what runs: then a freeze and windows hold hosts back.
pub fn changes_what_runs(steps: &[Operation]) -> bool {
    steps.iter().copied().any(is_restrained)
}

/// Whether an operation changes what runs on a host, or ends it for a while, and is no way back:
/// nothing keeps a host from that (spec: guard, "Rollouts in waves").
fn is_restrained(op: Operation) -> bool {
    (op.rules().deploys && op != Operation::Rollback) || op == Operation::Reboot
}

/// Whether a freeze or windows could keep a host from a step. Whoever has begun goes on with what
/// changes nothing that runs.
pub(super) fn may_be_held_back(steps: &[Operation], step: usize) -> bool {
    let op = steps.get(step).copied().filter(|op| *op != Operation::Rollback);
    op.is_some_and(|op| step == 0 || is_restrained(op))
}
