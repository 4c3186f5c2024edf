//! What an operation needs before it may start, and why it may not.

use super::state::HostState;
use crate::domain::command::{Command, State};
use crate::domain::compartment::{self, Compartment, Status};
use crate::domain::facts::Feature;
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::{Refusal, RefusalCode};

fn refuse(code: RefusalCode, message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal::new(code, message))
}

impl HostState {
    /// Whether `op` may start now. An error says why not, in the user's words
    /// (spec: lifecycle, "Operations", the column "needs").
    pub fn allows(&self, op: Operation, args: &Args) -> Result<(), Refusal> {
        let name = &self.profile.hostname;
        if !self.online {
            return refuse(
                RefusalCode::HostOffline,
                format!(
                    "{name} is offline. Wait until its agent is connected, or queue the command."
                ),
            );
        }
        let rules = op.rules();
        if rules.exclusive
            && let Some(command) = self.command()
        {
            let state = match command.state {
                State::Sent => "was just sent",
                State::Verifying => "ended and is being checked",
                State::Stopping => "is being stopped",
                _ => "is running",
            };
            return refuse(
                RefusalCode::HostBusy,
                format!("{name} is busy: {} {state}. Wait for it, or stop it.", command.op),
            );
        }
        if rules.exclusive
            && let Some((_, op)) = self.overrun
        {
            let message =
                format!("{name} still runs the {op} that took too long. Wait until it ends.");
            return refuse(RefusalCode::HostBusy, message);
        }
        if rules.exclusive
            && let Some(what) = self.busy_with()
        {
            let what = what.escape_debug();
            let message = format!("{name} is busy with {what}, which nobody asked for here.");
            return refuse(RefusalCode::HostBusy, message);
        }
        if !rules.exclusive && self.live().any(|c| c.op == op && c.state.is_active()) {
            return refuse(RefusalCode::HostBusy, format!("{name} was already asked to {op}."));
        }
        if op == Operation::Reboot && self.is_activating() {
            let message = format!(
                "{name} is changing what runs: a reboot now would leave it between two systems. Wait until that ended."
            );
            return refuse(RefusalCode::HostActivating, message);
        }
        self.allows_by_protocol(op, args)?;
        self.allows_by_hold(op, args)?;
        if rules.needs_confirmation && args.confirmed != Some(true) {
            return refuse(
                RefusalCode::ConfirmationRequired,
                format!("{} of {name} must be confirmed: send args.confirmed = true.", op.label()),
            );
        }
        if rules.needs_tests {
            if self.facts.tests_enabled == Some(false) {
                return refuse(
                    RefusalCode::TestsDisabled,
                    format!("Tests are disabled on {name}."),
                );
            }
            // A 3.x agent does not say when there are some.
            let tells = self.protocol().reports_what_runs();
            if tells && self.facts.has_tests == Some(false) {
                return refuse(
                    RefusalCode::NoTests,
                    format!(
                        "{name} has no tests: add executable hosts/{name}/tests/T*.sh, or tests/T*.sh for all hosts, to the config repository."
                    ),
                );
            }
        }
        if rules.needs_git {
            let row = compartment::evaluate(&self.facts, &[], &self.desired);
            let git = &row[Compartment::Git];
            if git.status == Status::Error {
                let label = op.label();
                let message = format!("{label} needs a remote to verify against. {}", git.message);
                return refuse(RefusalCode::RemoteUnavailable, message);
            }
        }
        if op == Operation::Rollback {
            self.allows_rollback(args)?;
        }
        Ok(())
    }

    /// Whether a switch or rollback is changing what runs, as far as the agent tells: one that
    /// tells no phase counts as doing so. One that timed out is past waiting for: a reboot may be
    /// the way out.
    fn is_activating(&self) -> bool {
        let now = self.command().filter(|command| command.state != State::Verifying);
        now.is_some_and(Command::may_activate)
    }

    /// Whether the agent is new enough.
    fn allows_by_protocol(&self, op: Operation, args: &Args) -> Result<(), Refusal> {
        let name = &self.profile.hostname;
        let protocol = self.protocol();
        let version = self.facts.agent.version.as_deref().unwrap_or("3.x");
        if protocol.name_of(op).is_none() {
            let message =
                format!("Agent {version} of {name} cannot {op}: pull and switch to update it.");
            return refuse(RefusalCode::NotSupported, message);
        }
        if args.generation.is_some() && !protocol.chooses_generations() {
            let message = format!(
                "Agent {version} of {name} cannot choose a generation: roll back to the previous one."
            );
            return refuse(RefusalCode::NotSupported, message);
        }
        // It would build its checkout instead, and what is told would be of something else.
        if args.commit.is_some() && !protocol.chooses_generations() {
            let message = format!("Agent {version} of {name} cannot build another commit.");
            return refuse(RefusalCode::NotSupported, message);
        }
        // It would activate whatever it builds.
        if args.plan.is_some() && !protocol.chooses_generations() {
            let message = format!("Agent {version} of {name} cannot compare with a plan.");
            return refuse(RefusalCode::NotSupported, message);
        }
        // It would activate it now.
        if args.boots() && !self.facts.agent.can(Feature::Boot) {
            let message = format!(
                "Agent {version} of {name} cannot have a system start at the next boot alone: NixOS can, \
                 with an agent of this version."
            );
            return refuse(RefusalCode::NotSupported, message);
        }
        if args.guard.is_some() && !self.facts.agent.can(Feature::Boot) {
            let message = format!(
                "Agent {version} of {name} does as its host is set up: the guard cannot be chosen here."
            );
            return refuse(RefusalCode::NotSupported, message);
        }
        Ok(())
    }

    fn allows_rollback(&self, args: &Args) -> Result<(), Refusal> {
        let known = &self.profile.generations;
        if known.is_empty() {
            // Not every host reports its generations; the agent will know.
            return Ok(());
        }
        let name = &self.profile.hostname;
        // What runs can be gone back to while a boot would start something else.
        let system = &self.facts.system;
        let another_boots = match (&system.store_path, &system.profile_path) {
            (Some(runs), Some(boots)) => runs != boots,
            _ => false,
        };
        let boots = system.profile_generation.filter(|_| another_boots);
        let runs = boots.or(system.generation);
        match args.generation {
            Some(number) if !known.iter().any(|g| g.generation == number) => {
                refuse(RefusalCode::NoSuchGeneration, format!("{name} has no generation {number}."))
            }
            Some(number) if runs == Some(number) => refuse(
                RefusalCode::NoSuchGeneration,
                format!("{name} runs generation {number} already."),
            ),
            None if known.iter().all(|g| runs.is_none_or(|r| g.generation >= r)) => refuse(
                RefusalCode::NoSuchGeneration,
                format!("{name} has no generation to go back to."),
            ),
            Some(_) | None => Ok(()),
        }
    }
}
