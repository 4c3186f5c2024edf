//! What the end of a switch or rollback means for the facts (spec: compartments, "Facts per
//! host").

use super::apply::Turn;
use super::event::{HostEffect, Report};
use crate::domain::command::{Command, Ending, Miss, Outcome, OutcomeKind};
use crate::domain::deploy::{Built, Deploy, DeployKind, DeployOutcome, Paths, Starts};
use crate::domain::desired::Desired;
use crate::domain::facts::{HostFacts, SinceDeploy, SystemFacts};
use crate::domain::ids::{CommandId, Commit};
use crate::domain::operation::Operation;
use crate::domain::protocol::Protocol;

/// How a deploy ended; `None` if it was none: nothing of it happened on the host, or it did not come
/// to its switch.
fn outcome(command: &Command) -> Option<DeployOutcome> {
    let reason = command.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
    let outcome = match (command.came_of_it()?, &command.returned, &command.miss) {
        (Ending::Succeeded, ..) | (Ending::Unverified, _, Some(Miss::StaleAgent)) => {
            DeployOutcome::Succeeded
        }
        (Ending::Unverified, ..) => DeployOutcome::Unverified(reason),
        (Ending::Failed, Some(missing), _) => DeployOutcome::Returned(missing.clone()),
        (Ending::Failed | Ending::TimedOut, ..) => DeployOutcome::Failed(reason),
        (Ending::Stopped, ..) => DeployOutcome::Stopped(reason),
        (Ending::Lost, ..) => DeployOutcome::Lost(reason),
    };
    if command.ended_in_its_pull() { None } else { Some(outcome) }
}

/// Whether what was checked out at the end of a command is what it built, as far as can be told:
/// it pulled before, or a 3.x agent was asked.
fn built_at_its_end(command: &Command) -> bool {
    let old = command.baseline.protocol == Some(Protocol::V3.number());
    command.op.rules().pulls || old
}

impl Turn<'_, '_> {
    /// A command that deploys is over. Answers whether what it built runs now.
    pub(super) fn deployed(&mut self, command: &Command) -> bool {
        let Some(outcome) = outcome(command) else {
            return false;
        };
        let deploy = self.deploy(command, outcome);
        self.effects.push(HostEffect::SaveDeploy(Box::new(deploy.clone())));
        let last = self.state.facts.last_deploy.as_ref();
        let waited = last.filter(|last| last.waits_for_boot()).cloned();
        if last.is_some_and(|last| command.is_before(last.command_id, last.order)) {
            // The late truth about an older one changes nothing newer.
            return false;
        }
        let well = deploy.outcome == DeployOutcome::Succeeded;
        let facts = &mut self.state.facts;
        facts.agent.stale |= command.miss == Some(Miss::StaleAgent);
        let unchanged = deploy.after.are_known() && deploy.after == deploy.before;
        if well || !unchanged {
            facts.deployment += 1;
        }
        facts.since_deploy = SinceDeploy::AsItWas;
        facts.remember_what_it_brought(&deploy);
        let runs_now = well && deploy.starts == Starts::Now;
        facts.last_deploy = Some(deploy.clone());
        self.hold_after(command, &deploy, waited.as_ref());
        runs_now
    }

    /// What an outcome says of what was built: in words of its own, else by the checkout that it
    /// tells, where that is what was built. It is proven later, when other facts may be known.
    pub(super) fn note_what_was_built(
        &mut self,
        id: CommandId,
        outcome: &Outcome,
        report: &Report,
    ) {
        let Some(command) = self.state.find(id).filter(|c| c.waits_for_its_outcome()) else {
            return;
        };
        let paths = report.system.as_ref().map(SystemFacts::paths);
        let paths = paths.filter(|paths| paths.running.is_some());
        let builds = command.op.rules().deploys && command.op != Operation::Rollback;
        let at_its_end = builds && built_at_its_end(command);
        let exited = outcome.kind == OutcomeKind::Exited;
        // It is proven later, when other paths may be known.
        self.state.commands.change(id, |command| command.ended_with.clone_from(&paths));
        let built = match (&report.built, &report.checkout) {
            (Some(built), _) => built.clone(),
            (None, Some(checkout)) if at_its_end && exited => Built {
                commit: Some(checkout.clone()),
                lock: report.lock.clone().or_else(|| self.state.facts.lock.clone()),
                dirty: report.dirty.unwrap_or(self.state.facts.dirty) == Some(true),
                ..Built::default()
            },
            (None, _) => return,
        };
        self.state.commands.change(id, |command| command.built = Some(built.clone()));
    }

    fn deploy(&self, command: &Command, outcome: DeployOutcome) -> Deploy {
        let (state, before) = (&*self.state, &command.baseline);
        let after = self.paths_at_its_end(command);
        let Built { commit, lock, dirty, path, starts } = self.built(command, &after);
        // What runs already waits for no boot.
        let runs_already = path.is_some() && path == after.running && after.profile == path;
        let starts = if runs_already { Starts::Now } else { starts };
        let facts = &state.facts;
        let now = after == facts.system.paths();
        let generation = match starts {
            Starts::NextBoot => facts.system.profile_generation,
            Starts::Now | Starts::Booted => facts.system.generation,
        };
        let subject = commit.as_ref().and_then(|commit| subject_of(&state.desired, facts, commit));
        Deploy {
            command_id: command.id,
            kind: match command.op {
                Operation::Rollback => DeployKind::Rollback,
                _ => DeployKind::Switch,
            },
            order: before.order,
            commit,
            dirty,
            subject,
            lock,
            intended: path,
            starts,
            boot_id: facts.agent.process.boot_id.clone(),
            before: Paths {
                running: before.store_path.clone(),
                profile: before.profile_path.clone(),
            },
            store_path: after.running.clone(),
            generation: generation.filter(|_| now),
            after,
            why: command.args.reason.clone(),
            outcome,
            exit_code: command.exit_code,
            ended_at: self.now.at,
        }
    }

    /// The paths as its outcome told them, or a heartbeat since then: what was known before says
    /// nothing about now.
    fn paths_at_its_end(&self, command: &Command) -> Paths {
        if let Some(said) = &command.ended_with {
            return said.clone();
        }
        if self.state.paths_told { self.state.facts.system.paths() } else { Paths::default() }
    }

    /// What it built. Where the agent does not say: what was checked out when it was sent, after a
    /// pull and by a 3.x agent when it ended.
    fn built(&self, command: &Command, after: &Paths) -> Built {
        let facts = &self.state.facts;
        let told = command.built.clone().unwrap_or_default();
        if command.op == Operation::Rollback {
            // It builds nothing: its target was built before.
            let path = match told.starts {
                Starts::NextBoot => told.path.or_else(|| after.profile.clone()),
                Starts::Now | Starts::Booted => after.running.clone(),
            };
            let known = path.as_deref().and_then(|path| facts.brought_with(path));
            let says = facts.system.revision().filter(|_| path == facts.system.store_path);
            return Built {
                commit: says.or_else(|| known?.commit.clone()),
                lock: known.and_then(|known| known.lock.clone()),
                dirty: known.is_some_and(|known| known.dirty),
                path,
                starts: told.starts,
            };
        }
        if told.commit.is_some() {
            return told;
        }
        // A 3.x agent that was replaced before it could say a word: its successor may have no
        // checkout yet, and what it has is no word about that build.
        let unheard = command.exit_code.is_none() && self.said.is_none();
        let at_its_end = built_at_its_end(command) && (!unheard || command.op.rules().pulls);
        // Changed by hand at one end of it is changed by hand as far as anybody knows, unless a
        // pull came first.
        let dirty_then = command.baseline.dirty == Some(true) && !command.op.rules().pulls;
        let dirty = dirty_then || facts.dirty == Some(true);
        let (commit, lock) = if at_its_end {
            let said = self.said.clone().unwrap_or_default();
            (
                said.checkout.or_else(|| facts.checkout.clone()),
                said.lock.or_else(|| facts.lock.clone()),
            )
        } else {
            (command.baseline.checkout.clone(), command.baseline.lock.clone())
        };
        let path = match told.starts {
            Starts::NextBoot => told.path.or_else(|| after.profile.clone()),
            Starts::Now | Starts::Booted => told.path,
        };
        Built { commit, lock, dirty, path, starts: told.starts }
    }
}

/// The first line of a commit's message, where the remote told it.
fn subject_of(desired: &Desired, facts: &HostFacts, commit: &Commit) -> Option<String> {
    let head = desired.known().filter(|remote| remote.commit == *commit);
    let missed = facts.lineage.as_ref().map_or(&[][..], |lineage| &lineage.missing);
    let missed = missed.iter().find(|missing| missing.commit == *commit);
    head.map(|remote| remote.subject.clone()).or_else(|| missed.map(|m| m.subject.clone()))
}
