//! What runs on a host, and what its change means for the deploy that ended last
//! (spec: compartments, "Facts per host").

use super::apply::Turn;
use super::event::{HostEffect, Report};
use super::state::HostState;
use crate::domain::audit::AuditCategory;
use crate::domain::command::{Command, State};
use crate::domain::deploy::{Paths, Starts};
use crate::domain::facts::SinceDeploy;

impl HostState {
    /// Whether something that may change what runs is under way.
    fn deploys_now(&self) -> bool {
        self.command().is_some_and(|command| command.op.rules().deploys)
    }
}

impl Turn<'_, '_> {
    /// Takes over what a message says of what runs. Another path than before is a change, whoever
    /// made it; from unknown to known is none.
    pub(super) fn merge_system(&mut self, report: &Report) {
        let told = self.believed(report);
        let idle = self.state.command().is_none();
        if let Some(system) = &told {
            self.note_what_is_there_by_now(&system.paths());
        }
        let facts = &mut self.state.facts;
        // A 3.x agent may have been there meanwhile, which tells none.
        let before = facts.last_path.clone();
        if let Some(system) = &told {
            facts.system.merge(system);
            self.state.paths_told = system.paths().are_known();
        }
        if let Some(agent) = &report.expected_agent {
            facts.system.agent_path.clone_from(agent);
        }
        let number = self.state.profile.generations.iter().find(|generation| {
            generation.store_path.is_some() && generation.store_path == facts.system.profile_path
        });
        facts.system.profile_generation = number.map(|generation| generation.generation);
        let runs = facts.system.store_path.as_deref();
        if runs.is_some() {
            facts.last_path.clone_from(&facts.system.store_path);
        }
        if before.is_some() && runs.is_some() && before.as_deref() != runs {
            facts.deployment += 1;
            let left = facts.last_deploy.as_ref().and_then(|deploy| deploy.left());
            if idle && left.is_some() && left != runs {
                facts.since_deploy = SinceDeploy::MovedOn;
            }
        }
        if told.is_some_and(|system| system.store_path.is_some()) && !self.state.deploys_now() {
            self.note_what_the_last_deploy_left();
        }
    }

    /// A deploy that did not reach its goal with what its outcome told is not at its end yet: what the
    /// host tells until then is what it leaves, above all what proves it.
    fn note_what_is_there_by_now(&mut self, paths: &Paths) {
        let unproven = |c: &Command| c.state == State::Verifying && c.miss.is_some();
        let ended = self.state.commands.ids_of_live(|c| unproven(c) && c.ended_with.is_some());
        for id in ended.into_iter().filter(|_| paths.running.is_some()) {
            self.state.commands.change(id, |command| command.ended_with = Some(paths.clone()));
        }
    }

    /// Where the outcome of a deploy told no path, the first word after it does.
    fn note_what_the_last_deploy_left(&mut self) {
        let facts = &mut self.state.facts;
        let paths = facts.system.paths();
        let generation = facts.system.generation;
        let Some(deploy) = facts.last_deploy.as_mut().filter(|deploy| deploy.left().is_none())
        else {
            return;
        };
        deploy.store_path.clone_from(&paths.running);
        (deploy.after, deploy.generation) = (paths, generation);
        let deploy = deploy.clone();
        facts.remember_what_it_brought(&deploy);
        self.effects.push(HostEffect::SaveDeploy(Box::new(deploy)));
    }

    /// A deploy whose end is red or yellow is past when what runs became another path, outside of
    /// any command, and says that it is the checkout (spec: compartments, after System 13).
    pub(super) fn look_at_what_runs(&mut self) {
        let facts = &self.state.facts;
        let left = facts.last_deploy.as_ref().and_then(|deploy| deploy.left());
        let another = left.is_some() && left != facts.system.store_path.as_deref();
        if self.state.command().is_none()
            && facts.since_deploy == SinceDeploy::MovedOn
            && another
            && facts.revision_is_the_checkout()
        {
            self.state.facts.since_deploy = SinceDeploy::Superseded;
        }
    }

    /// After a deploy that was meant for the next boot, one came: it brought that, or another.
    pub(super) fn look_at_the_boot(&mut self) {
        let facts = &mut self.state.facts;
        let boot = &facts.agent.process.boot_id;
        let Some(deploy) = facts.last_deploy.as_mut().filter(|deploy| deploy.waits_for_boot())
        else {
            return;
        };
        let is_another = boot.is_some() && deploy.boot_id.is_some() && *boot != deploy.boot_id;
        let Some(runs) = facts.system.store_path.clone().filter(|_| is_another) else {
            return;
        };
        deploy.boot_id.clone_from(boot);
        let came = deploy.intended.as_ref() == Some(&runs);
        let number = deploy.generation;
        if came {
            deploy.starts = Starts::Booted;
            deploy.store_path = Some(runs);
            deploy.generation = facts.system.generation;
            deploy.after = facts.system.paths();
        }
        let deploy = deploy.clone();
        facts.remember_what_it_brought(&deploy);
        self.effects.push(HostEffect::SaveDeploy(Box::new(deploy)));
        if !came {
            let number = number.map_or_else(String::new, |number| format!(" {number}"));
            let message = format!("Generation{number} did not come up.");
            self.record(AuditCategory::Host, message, None);
        }
    }
}
