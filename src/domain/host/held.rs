//! What holds a host, and what lets it go (spec: guard, "Held").

use super::apply::Turn;
use super::event::HostEffect;
use super::state::HostState;
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::bounds;
use crate::domain::command::Command;
use crate::domain::deploy::{Deploy, DeployKind, DeployOutcome, returned};
use crate::domain::desired::Desired;
use crate::domain::hold::{Hold, Left};
use crate::domain::ids::Commit;
use crate::domain::operation::{Args, Operation, Regardless};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::repeated::Repeated;

impl HostState {
    /// Whether it is held while the remote's head is what it was last known to be.
    pub(super) fn hold_applies(&self) -> bool {
        self.facts.hold.as_ref().is_some_and(|hold| hold.applies(self.head()))
    }

    fn head(&self) -> Option<&Commit> {
        match &*self.desired {
            Desired::Known(remote) => Some(&remote.commit),
            Desired::Unavailable { last_known, .. } => last_known.as_ref().map(|last| &last.commit),
            Desired::NotConfigured { .. } | Desired::NotYetFetched => None,
        }
    }

    /// The hold that an operation has to mind, unless a user goes on regardless of it.
    fn hold_over(&self, op: Operation, args: &Args) -> Option<&Hold> {
        let builds = op.rules().deploys && op != Operation::Rollback;
        let minds = builds && !args.regardless.contains(&Regardless::Held);
        self.facts.hold.as_ref().filter(|_| minds)
    }

    /// Whether what the operation would build is held, as far as its commit says.
    pub(super) fn allows_by_hold(&self, op: Operation, args: &Args) -> Result<(), Refusal> {
        let Some(hold) = self.hold_over(op, args) else {
            return Ok(());
        };
        // What is built from changed files is of no commit.
        let checkout = self.facts.checkout.as_ref().filter(|_| self.facts.dirty != Some(true));
        let builds = if op.rules().pulls { self.head() } else { checkout };
        if !hold.is_about(builds) {
            return Ok(());
        }
        let name = &self.profile.hostname;
        let message = format!(
            "{name} is held: {}. Release it, or go on regardless of the hold.",
            hold.reason.trim_end_matches('.')
        );
        Err(Refusal::new(RefusalCode::Held, message))
    }

    /// What the agent is told of them, with what users set for this host where nobody set it for
    /// this command.
    pub fn args_for_agent(&self, op: Operation, args: &Args) -> Args {
        let set = self.profile.overrides.guard.filter(|_| op.rules().deploys);
        Args { guard: args.guard.or(set), ..args.clone().for_agent() }
    }

    /// The paths that the agent may not bring, should the build come to one of them.
    pub fn held_paths(&self, op: Operation, args: &Args) -> Vec<String> {
        let hold = self.hold_over(op, args);
        hold.iter().flat_map(|hold| hold.paths()).map(str::to_owned).collect()
    }
}

impl Turn<'_, '_> {
    /// A user holds the host, whatever comes.
    pub(super) fn held(&mut self, reason: &str, by: Author) {
        let reason = bounds::characters(reason.trim(), bounds::TEXT);
        let reason = if reason.is_empty() { format!("held by {by}") } else { reason };
        self.record(AuditCategory::Host, format!("Held: {reason}."), Some(by.clone()));
        let pin = Hold::pinned(reason, by, self.now.at);
        let hold = match self.state.facts.hold.clone() {
            Some(Hold { left, runs, boots, .. }) => Hold { left, runs, boots, ..pin },
            None => pin,
        };
        self.holds(Some(hold));
    }

    /// What holds the host from now on. The agent is told what is held no more: it would repeat it.
    fn holds(&mut self, hold: Option<Hold>) {
        let before = std::mem::replace(&mut self.state.facts.hold, hold);
        let after = self.state.facts.hold.as_ref().map_or(&[][..], |hold| &hold.left);
        let before = before.map_or_else(Vec::new, |hold| hold.left);
        let gone = before.into_iter().filter(|left| !after.iter().any(|now| now.is(left)));
        for left in gone.collect::<Vec<_>>() {
            self.tell_that_it_is_let_go(&left);
            let let_go = &mut self.state.facts.let_go;
            let_go.push(left);
            if let_go.len() > bounds::HELD {
                let_go.remove(0);
            }
        }
    }

    fn tell_that_it_is_let_go(&mut self, left: &Left) {
        let listens = self.state.online && self.state.protocol().names_commands_by_id();
        if let Some(of) = left.of.filter(|_| listens) {
            self.effects.push(HostEffect::LetGo(of));
        }
    }

    /// The agent says what its host left, as far as it knows. It is held here too, unless it was let
    /// go: then the agent is told so once more, until it repeats it no longer.
    pub(super) fn agent_holds(&mut self, told: &[Repeated]) {
        // Another system may have been brought meanwhile.
        self.look_at_the_hold();
        let repeats = |gone: &Left| told.iter().any(|one| gone.is(&one.left));
        self.state.facts.let_go.retain(repeats);
        for one in told {
            if self.state.facts.let_go.iter().any(|gone| gone.is(&one.left)) {
                self.tell_that_it_is_let_go(&one.left);
            } else if !self.knows(&one.left) {
                self.takes_over_the_hold(one);
            }
        }
    }

    /// Whether it is held already, or is what a command is about whose end is still to come.
    fn knows(&self, left: &Left) -> bool {
        let command = left.of.and_then(|of| self.state.find(of));
        let hold = self.state.facts.hold.as_ref();
        command.is_some_and(|command| !command.state.is_terminal())
            || hold.is_some_and(|hold| hold.left.iter().any(|known| known.is_held_with(left)))
    }

    fn takes_over_the_hold(&mut self, told: &Repeated) {
        let reason = bounds::characters(told.reason.trim(), bounds::TEXT);
        let reason = if reason.is_empty() { "its agent says so".to_owned() } else { reason };
        let message = format!("Held, as its agent repeats: what was left{}. {reason}", named(told));
        if self.may_note() {
            self.record(AuditCategory::Host, message, Some(Author::Agent));
        }
        let now = Hold { pin: false, ..Hold::pinned(reason, Author::Agent, self.now.at) };
        let mut hold = self.state.facts.hold.clone().unwrap_or(now);
        let running = self.state.facts.system.store_path.clone();
        hold.runs = hold.runs.or(running.filter(|path| told.left.path.as_ref() != Some(path)));
        hold.was_left(told.left.clone());
        self.holds(Some(hold));
    }

    /// A user lets it go. That nobody holds it is as well.
    pub(super) fn released(&mut self, by: Author) {
        if self.state.facts.hold.is_some() {
            self.holds(None);
            self.record(AuditCategory::Host, "Released.".to_owned(), Some(by));
        }
    }

    /// What the end of the newest deploy means for the hold. `waited` is the one before, where that
    /// waited for a boot.
    pub(super) fn hold_after(
        &mut self,
        command: &Command,
        deploy: &Deploy,
        waited: Option<&Deploy>,
    ) {
        match (&deploy.outcome, deploy.kind) {
            (DeployOutcome::Returned(missing), kind) => {
                let left = match kind {
                    DeployKind::Switch => Some(Left {
                        commit: deploy.commit.clone().filter(|_| !deploy.dirty),
                        path: deploy.intended.clone(),
                        of: Some(command.id),
                    }),
                    DeployKind::Rollback => self.target_of(command),
                };
                if let Some(left) = left {
                    self.went_back(deploy, left, returned(missing), Author::Auto);
                }
            }
            (DeployOutcome::Succeeded, DeployKind::Rollback) => {
                let before = &command.baseline;
                // What ran runs on: only what was to boot is taken back.
                let stays = deploy.intended.is_some() && deploy.intended == before.store_path;
                let (commit, path) = match waited.filter(|_| stays) {
                    Some(waited) => (waited.commit.clone(), waited.intended.clone()),
                    None => (before.deployed.clone(), before.store_path.clone()),
                };
                let left = Left { commit, path, of: Some(command.id) };
                let reason = command.args.reason.clone().unwrap_or_default();
                let reason = bounds::characters(reason.trim(), bounds::TEXT);
                let reason = if reason.is_empty() { "rolled back".to_owned() } else { reason };
                if command.args.hold != Some(false) {
                    self.went_back(deploy, left, reason, command.requested_by.clone());
                } else if let Some(hold) = &mut self.state.facts.hold {
                    // It stays about what was left before.
                    hold.runs.clone_from(&deploy.after.running);
                    hold.boots = boots_into(deploy);
                }
            }
            (DeployOutcome::Succeeded, DeployKind::Switch) if deploy.went_well_and_runs() => {
                self.moved_on();
            }
            _ => {}
        }
    }

    /// What a rollback went to, where it said so.
    fn target_of(&self, command: &Command) -> Option<Left> {
        let number = command.args.generation?;
        let known = &self.state.profile.generations;
        let target = known.iter().find(|known| known.generation == number)?;
        let says = target.configuration_revision.as_deref().and_then(Commit::parse);
        let brought = target.store_path.as_deref();
        let brought = brought.and_then(|path| self.state.facts.brought_with(path));
        let commit = says.or_else(|| brought?.commit.clone());
        let path = target.store_path.clone();
        let is_known = commit.is_some() || path.is_some();
        is_known.then_some(Left { commit, path, of: Some(command.id) })
    }

    fn went_back(&mut self, deploy: &Deploy, left: Left, reason: String, by: Author) {
        if self.state.facts.let_go.iter().any(|gone| gone.of == left.of) {
            // The agent had said so before, and a user has let it go.
            return;
        }
        let (runs, boots) = (deploy.after.running.clone(), boots_into(deploy));
        let what = left.commit.as_ref().map_or_else(String::new, |c| format!(" {}", c.short()));
        let message = format!("Held: what was left{what} is not rolled out here again. {reason}");
        self.record(AuditCategory::Host, message, Some(by.clone()));
        let at = self.now.at;
        let mut hold = match self.state.facts.hold.clone() {
            Some(hold) if hold.pin => hold,
            Some(hold) => Hold { reason, by, since: at, ..hold },
            None => Hold { pin: false, ..Hold::pinned(reason, by, at) },
        };
        hold.went_back(left, runs, boots);
        self.holds(Some(hold));
    }

    /// Another system runs than what was left, and than what ran since then.
    pub(super) fn look_at_the_hold(&mut self) {
        let facts = &mut self.state.facts;
        let Some(hold) = facts.hold.as_mut().filter(|hold| !hold.left.is_empty()) else {
            return;
        };
        if hold.runs.is_none() {
            let left = facts.last_deploy.as_ref().and_then(Deploy::left);
            hold.runs = left.map(str::to_owned);
        }
        if let Some(runs) = &facts.system.store_path {
            hold.booted(runs);
        }
        let past = facts.system.store_path.as_deref().is_some_and(|runs| hold.is_past(runs));
        if past && self.state.command().is_none() {
            self.moved_on();
        }
    }

    fn moved_on(&mut self) {
        let Some(hold) = self.state.facts.hold.clone() else {
            return;
        };
        let ends = !hold.left.is_empty();
        self.holds(hold.without_what_was_left());
        if ends {
            let message = "What was left is not held any more: another system runs.".to_owned();
            self.record(AuditCategory::Host, message, None);
        }
    }
}

/// What the boot starts that a deploy waits for, if it waits for one.
fn boots_into(deploy: &Deploy) -> Option<String> {
    deploy.intended.clone().filter(|_| deploy.waits_for_boot())
}

/// Which commit it was, where that is known, as part of a sentence.
fn named(told: &Repeated) -> String {
    told.left.commit.as_ref().map_or_else(String::new, |commit| format!(" {}", commit.short()))
}
