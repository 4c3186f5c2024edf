//! Whether a command that ended with exit 0 reached what it is for.

use super::apply::Turn;
use super::state::HostState;
use crate::domain::command::{Command, Event, Goal, Miss, State};
use crate::domain::deploy::{Built, Starts};
use crate::domain::desired::Desired;
use crate::domain::facts::AgentBinary;
use crate::domain::ids::Commit;
use crate::domain::operation::Operation;
use crate::domain::test_report;
use std::time::Duration;

/// A host works its boot time out from its clock: it moves when that is set right.
const CLOCK_MOVES: Duration = Duration::from_secs(10);
/// A switch whose exit 0 was heard is proven by so many heartbeats of the same link that name
/// nothing.
const IDLE_HEARTBEATS: u8 = 2;

fn missing(words: impl Into<String>) -> Goal {
    Goal::Missing(Miss::other(words))
}

fn missed(words: impl Into<String>) -> Goal {
    Goal::Missed(Miss::other(words))
}

impl Turn<'_, '_> {
    /// Compares every command that is being verified with the facts as they are now.
    pub(super) fn verify(&mut self) {
        let waiting = self.state.commands.ids_of_live(|c| c.state == State::Verifying);
        for id in waiting {
            let Some(goal) = self.state.find(id).map(|c| self.state.goal(c)) else {
                continue;
            };
            self.step_id(id, &Event::Goal(goal));
        }
    }
}

impl HostState {
    /// The goal of `command` against the facts as they are now (spec: lifecycle,
    /// "Operations", the column "goal checked after exit 0").
    pub(super) fn goal(&self, command: &Command) -> Goal {
        match command.op {
            Operation::Pull => self.pulled(command),
            Operation::Switch => self.switched(command),
            Operation::PullSwitch => match self.pulled(command) {
                Goal::Met => self.switched(command),
                missing @ (Goal::Missing(_) | Goal::Missed(_)) => missing,
            },
            Operation::Test => self.tested(command),
            Operation::Rollback => self.rolled_back(command),
            Operation::DryRun => Goal::Met,
            Operation::RestartAgent => Goal::Met,
            Operation::Reboot => self.rebooted(command),
        }
    }

    /// Another boot than the one that was asked to end.
    fn rebooted(&self, command: &Command) -> Goal {
        if !self.protocol().reports_what_runs() {
            // A 3.x agent tells no boot: the new link has to do.
            return Goal::Met;
        }
        let before = &command.baseline;
        match self.facts.agent.process.is_of_another_boot(&before.process) {
            Some(true) => return self.booted_what_was_meant(command),
            Some(false) => return missing("The host came back without a reboot."),
            None => {}
        }
        match (self.profile.boot_time, before.boot_time) {
            (Some(now), Some(then)) if now > then + CLOCK_MOVES => {
                self.booted_what_was_meant(command)
            }
            (Some(_), Some(_)) => missing("The host came back without a reboot."),
            (None, _) | (_, None) => missing("The host does not report when it was booted."),
        }
    }

    /// Another boot came: it runs what a deploy had set for it, or what the profile pointed to when
    /// the reboot was asked for (spec: guard, "Needs a reboot").
    fn booted_what_was_meant(&self, command: &Command) -> Goal {
        let last = self.facts.last_deploy.as_ref().filter(|deploy| deploy.waits_for_boot());
        let set = last.and_then(|deploy| deploy.intended.as_deref());
        let Some(intended) = set.or(command.baseline.profile_path.as_deref()) else {
            return Goal::Met;
        };
        match self.facts.system.store_path.as_deref() {
            Some(runs) if runs == intended => Goal::Met,
            Some(runs) => missed(format!("{runs} came up, not {intended}.")),
            None => missing("The host has not said what came up."),
        }
    }

    /// The checkout is the remote's head, as of the send or later.
    fn pulled(&self, command: &Command) -> Goal {
        let Some(checkout) = &self.facts.checkout else {
            return missing("The host has not reported its commit.");
        };
        let at_send = command.baseline.desired.as_ref();
        let now = self.desired.known().map(|r| &r.commit);
        if at_send == Some(checkout) || now == Some(checkout) {
            if self.facts.dirty == Some(true) {
                return missing("The checkout is changed by hand.");
            }
            return Goal::Met;
        }
        match (&*self.desired, at_send.or(now)) {
            (Desired::Unavailable { reason, .. }, None) => {
                missing(format!("The remote cannot be fetched: {reason}"))
            }
            (Desired::NotConfigured { setting }, _) => {
                missing(format!("There is no remote to compare with: set {setting}."))
            }
            (_, wanted) => missing(format!(
                "The checkout is {}, the remote's head is {}.",
                checkout.short(),
                now.or(wanted).map_or("not known", |c| c.short())
            )),
        }
    }

    /// What runs was built from the checkout, and the agent is fresh.
    fn switched(&self, command: &Command) -> Goal {
        if self.was_asked_of_another(command) {
            return Goal::Met;
        }
        if !self.protocol().reports_what_runs() {
            return self.switched_old_agent(command);
        }
        if let Some(not_met) = self.not_what_was_built(command) {
            return not_met;
        }
        let runs = &self.facts.agent.binary;
        if let (Some(new), Some(now)) = (&self.facts.system.agent_path, &runs.store_path)
            && new != now
        {
            // It may be about to be restarted.
            return Goal::Missing(Miss::StaleAgent);
        }
        if is_stale(&command.baseline.agent, runs) {
            return Goal::Missed(Miss::StaleAgent);
        }
        Goal::Met
    }

    /// Why what runs, or what the next boot starts, is not what was built, by the first fact that
    /// the host reports; `None` if it is, or if it reports none.
    fn not_what_was_built(&self, command: &Command) -> Option<Goal> {
        let told = command.built.clone().unwrap_or_default();
        let at_send = command.baseline.checkout.clone().filter(|_| !command.op.rules().pulls);
        let built = told.commit.clone().or(at_send).or_else(|| self.facts.checkout.clone());
        if let (Some(built), Some(checkout)) = (&built, &self.facts.checkout)
            && built != checkout
        {
            let (from, to) = (built.short(), checkout.short());
            return Some(missed(format!("The checkout moved from {from} to {to} meanwhile.")));
        }
        let system = &self.facts.system;
        if told.starts == Starts::NextBoot {
            return self.not_what_a_boot_starts(&told);
        }
        if let (Some(text), Some(built)) = (&system.configuration_revision, &built) {
            return match Commit::parse(text) {
                Some(runs) if runs == *built => None,
                Some(runs) => Some(missing(format!(
                    "What runs was built from {}, the checkout is {}.",
                    runs.short(),
                    built.short()
                ))),
                None => {
                    let words = format!(
                        "What runs says that it was built from {}, which is no commit.",
                        text.escape_debug()
                    );
                    // Once the host has told what runs now, waiting does not help.
                    Some(if self.paths_told { missed(words) } else { missing(words) })
                }
            };
        }
        match (&system.store_path, &told.path) {
            (Some(runs), Some(path)) if runs != path => {
                Some(missing(format!("{runs} runs, not {path}.")))
            }
            _ => None,
        }
    }

    /// Why the next boot does not start what was meant for it, as far as the host tells.
    fn not_what_a_boot_starts(&self, told: &Built) -> Option<Goal> {
        match (&self.facts.system.profile_path, &told.path) {
            (Some(profile), Some(path)) if profile != path => {
                Some(missing(format!("A boot would start {profile}, not {path}.")))
            }
            _ => None,
        }
    }

    /// A 3.x agent says nothing about what runs; it proves a switch by ending itself and
    /// coming back.
    fn switched_old_agent(&self, command: &Command) -> Goal {
        let before = &command.baseline.agent;
        let now = &self.facts.agent.binary;
        let back = self.online && self.links > command.baseline.links;
        let heard = command.exit_code == Some(0);
        // On macOS the older ones stay where they are.
        let stays = heard && command.missed >= IDLE_HEARTBEATS;
        if !back && !stays {
            return missing("The agent has not come back after the switch.");
        }
        if is_stale(before, now) {
            return Goal::Missed(Miss::StaleAgent);
        }
        if heard || self.is_another_agent(command) {
            return Goal::Met;
        }
        missing("The agent came back and said nothing about the outcome.")
    }

    /// Whether something that was known of the agent when it was asked is different now.
    fn is_another_agent(&self, command: &Command) -> bool {
        let before = &command.baseline.agent;
        let agent = &self.facts.agent;
        let now = &agent.binary;
        [
            (&before.source_commit, &now.source_commit),
            (&before.store_path, &now.store_path),
            (&before.binary_hash, &now.binary_hash),
            (&command.baseline.agent_version, &agent.version),
        ]
        .iter()
        .any(|(before, now)| before.is_some() && now.is_some() && before != now)
    }

    fn rolled_back(&self, command: &Command) -> Goal {
        if self.was_asked_of_another(command) {
            return Goal::Met;
        }
        let heard = command.exit_code.is_some();
        if !self.protocol().reports_what_runs() && !heard && !self.is_another_agent(command) {
            return missing("The agent came back and said nothing about the outcome.");
        }
        if let Some(told) = command.built.as_ref().filter(|told| told.starts == Starts::NextBoot) {
            // What runs is as it was.
            return self.not_what_a_boot_starts(told).unwrap_or(Goal::Met);
        }
        let runs = self.facts.system.generation;
        match (command.args.generation, runs, command.baseline.generation) {
            (Some(target), Some(runs), _) if runs != target && !self.runs_generation(target) => {
                missing(format!("Generation {runs} runs, not {target}."))
            }
            (None, Some(runs), Some(before))
                if runs == before && !self.boots_what_runs(command) =>
            {
                missing(format!("Generation {runs} still runs."))
            }
            _ => Goal::Met,
        }
    }

    /// Whether something else would have booted when it was asked for, and what runs does now.
    fn boots_what_runs(&self, command: &Command) -> bool {
        let system = &self.facts.system;
        let before = &command.baseline.profile_path;
        before.is_some()
            && *before != system.profile_path
            && system.store_path.is_some()
            && system.store_path == system.profile_path
    }

    /// Whether what runs is what that generation points to: more than one may point to the same,
    /// and the agent can name only one of them (finding 34).
    fn runs_generation(&self, number: u64) -> bool {
        let known = self.profile.generations.iter().find(|known| known.generation == number);
        let path = known.and_then(|known| known.store_path.as_ref());
        path.is_some() && path == self.facts.system.store_path.as_ref()
    }

    fn tested(&self, command: &Command) -> Goal {
        let owns = self.results_of == Some(command.id);
        let counts = test_report::count(if owns { &self.results } else { &[] });
        let seen = counts.passed + counts.failed;
        if counts.failed > 0 {
            return missed(format!(
                "{} of {} tests failed, yet the run ended with exit code 0.",
                counts.failed, counts.total
            ));
        }
        // A 3.x agent sends counts at best; its exit code has to do.
        if self.protocol().reports_what_runs() && seen == 0 {
            return missed("The run brought no result of any test.");
        }
        if self.protocol().reports_what_runs() && seen < counts.total {
            return missed(format!("Only {seen} of {} tests were reported.", counts.total));
        }
        Goal::Met
    }
}

/// A new source commit with an old binary: the switch should have replaced the agent.
fn is_stale(before: &AgentBinary, now: &AgentBinary) -> bool {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let new_source = now.source_commit.is_some()
        && before.source_commit.is_some()
        && now.source_commit != before.source_commit;
    new_source
        && (same(&before.store_path, &now.store_path)
            || same(&before.binary_hash, &now.binary_hash))
}
