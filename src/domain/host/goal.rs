//! Whether a command that ended with exit 0 reached what it is for.

use super::HostState;
use super::turn::Turn;
use crate::domain::command::{Command, Event, Goal, State};
use crate::domain::compartment::PROTOCOLS;
use crate::domain::desired::Desired;
use crate::domain::facts::AgentBinary;
use crate::domain::ids::CommandId;
use crate::domain::operation::Operation;
use crate::domain::test_report;

/// The reason of a command whose switch left the old agent in place.
pub(super) const STALE_AGENT: &str = "stale agent binary";

impl Turn<'_, '_> {
    /// Compares every command that is being verified with the facts as they are now.
    pub(super) fn verify(&mut self) {
        let waiting: Vec<CommandId> =
            self.state.live().filter(|c| c.state == State::Verifying).map(|c| c.id).collect();
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
            Operation::Test => self.tested(),
            Operation::Rollback => self.rolled_back(command),
            Operation::DryRun => Goal::Met,
            Operation::RestartAgent => Goal::Met,
            Operation::Reboot => match (self.profile.boot_time, command.baseline.boot_time) {
                (Some(now), Some(then)) if now > then => Goal::Met,
                (Some(_), Some(_)) => Goal::Missing("The host came back without a reboot.".into()),
                (None, _) | (_, None) => {
                    Goal::Missing("The host does not report when it was booted.".into())
                }
            },
        }
    }

    /// The checkout is the remote's head, as of the send or later.
    fn pulled(&self, command: &Command) -> Goal {
        let Some(checkout) = &self.facts.checkout else {
            return Goal::Missing("The host has not reported its commit.".into());
        };
        let at_send = command.baseline.desired.as_ref();
        let now = self.desired.known().map(|r| &r.commit);
        if at_send == Some(checkout) || now == Some(checkout) {
            return Goal::Met;
        }
        match (&*self.desired, at_send.or(now)) {
            (Desired::Unavailable { reason, .. }, None) => {
                Goal::Missing(format!("The remote cannot be fetched: {reason}"))
            }
            (Desired::NotConfigured { setting }, _) => {
                Goal::Missing(format!("There is no remote to compare with: set {setting}."))
            }
            (_, wanted) => Goal::Missing(format!(
                "The checkout is {}, the remote's head is {}.",
                checkout.short(),
                now.or(wanted).map_or("not known", |c| c.short())
            )),
        }
    }

    /// What runs was built from the checkout, and the agent is fresh.
    fn switched(&self, command: &Command) -> Goal {
        if self.protocol() < *PROTOCOLS.end() {
            return self.switched_old_agent(command);
        }
        if let (Some(runs), Some(checkout)) = (self.facts.system.revision(), &self.facts.checkout)
            && runs != *checkout
        {
            return Goal::Missing(format!(
                "What runs was built from {}, the checkout is {}.",
                runs.short(),
                checkout.short()
            ));
        }
        let runs = &self.facts.agent.binary;
        if let (Some(new), Some(now)) = (&self.facts.system.agent_path, &runs.store_path)
            && new != now
        {
            // It may be about to be restarted.
            return Goal::Missing(STALE_AGENT.into());
        }
        if is_stale(&command.baseline.agent, runs) {
            return Goal::Missed(STALE_AGENT.into());
        }
        Goal::Met
    }

    /// A 3.x agent says nothing about what runs; it proves a switch by ending itself and
    /// coming back.
    fn switched_old_agent(&self, command: &Command) -> Goal {
        let before = &command.baseline.agent;
        let now = &self.facts.agent.binary;
        if self.links <= command.baseline.links || !self.online {
            return Goal::Missing("The agent has not come back after the switch.".into());
        }
        if is_stale(before, now) {
            return Goal::Missed(STALE_AGENT.into());
        }
        if command.exit_code.is_none() && before == now {
            return Goal::Missing("The agent came back and said nothing about the outcome.".into());
        }
        Goal::Met
    }

    fn rolled_back(&self, command: &Command) -> Goal {
        let runs = self.facts.system.generation;
        match (command.args.generation, runs, command.baseline.generation) {
            (Some(target), Some(runs), _) if runs != target => {
                Goal::Missing(format!("Generation {runs} runs, not {target}."))
            }
            (None, Some(runs), Some(before)) if runs == before => {
                Goal::Missing(format!("Generation {runs} still runs."))
            }
            _ => Goal::Met,
        }
    }

    fn tested(&self) -> Goal {
        let counts = test_report::count(&self.results);
        let seen = counts.passed + counts.failed;
        if counts.failed > 0 {
            return Goal::Missed(format!(
                "{} of {} tests failed, yet the run ended with exit code 0.",
                counts.failed, counts.total
            ));
        }
        // A 3.x agent sends counts at best; its exit code has to do.
        if self.protocol() >= *PROTOCOLS.end() && seen < counts.total {
            return Goal::Missed(format!("Only {seen} of {} tests were reported.", counts.total));
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
