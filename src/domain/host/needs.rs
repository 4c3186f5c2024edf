//! What an operation needs before it may start, and why it may not.

use super::HostState;
use crate::domain::command::State;
use crate::domain::compartment::{self, Compartment, Status};
use crate::domain::operation::{Args, Operation, Refusal};

fn refuse(code: &'static str, message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal { code, message: message.into() })
}

impl HostState {
    /// Whether `op` may start now. An error says why not, in the user's words
    /// (spec: lifecycle, "Operations", the column "needs").
    pub fn allows(&self, op: Operation, args: &Args) -> Result<(), Refusal> {
        let name = &self.profile.hostname;
        if !self.online {
            return refuse(
                "host_offline",
                format!(
                    "{name} is offline. Wait until its agent is connected, or queue the command."
                ),
            );
        }
        let rules = op.rules();
        if rules.exclusive
            && let Some(command) = &self.command
        {
            let state = match command.state {
                State::Sent => "was just sent",
                State::Verifying => "ended and is being checked",
                State::Stopping => "is being stopped",
                _ => "is running",
            };
            return refuse(
                "host_busy",
                format!("{name} is busy: {} {state}. Wait for it, or stop it.", command.op),
            );
        }
        if !rules.exclusive && self.live().any(|c| c.op == op) {
            return refuse("host_busy", format!("{name} was already asked to {op}."));
        }
        if self.protocol() < 4 {
            if op.v3_name().is_none() {
                return refuse(
                    "not_supported",
                    format!(
                        "The agent of {name} is too old for {op}: pull and switch to update it."
                    ),
                );
            }
            if args.generation.is_some() {
                return refuse(
                    "not_supported",
                    format!(
                        "The agent of {name} is too old to choose a generation: roll back to the previous one."
                    ),
                );
            }
        }
        if rules.needs_confirmation && args.confirmed != Some(true) {
            return refuse(
                "confirmation_required",
                format!("{} of {name} must be confirmed: send args.confirmed = true.", op.label()),
            );
        }
        if rules.needs_tests {
            if self.facts.tests_enabled == Some(false) {
                return refuse("tests_disabled", format!("Tests are disabled on {name}."));
            }
            if self.facts.has_tests == Some(false) {
                return refuse(
                    "no_tests",
                    format!(
                        "{name} has no tests: add executable hosts/{name}/tests/T*.sh, or tests/T*.sh for all hosts, to the config repository."
                    ),
                );
            }
        }
        if rules.needs_git {
            let row = compartment::evaluate(&self.facts, &[], &self.desired);
            for (compartment, verdict) in Compartment::ALL.iter().zip(&row) {
                if *compartment == Compartment::Git && verdict.status == Status::Error {
                    return refuse(
                        "remote_unavailable",
                        format!(
                            "{} needs a remote to verify against. {}",
                            op.label(),
                            verdict.message
                        ),
                    );
                }
            }
        }
        if op == Operation::Rollback {
            self.allows_rollback(args)?;
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
        let runs = self.facts.system.generation;
        match args.generation {
            Some(number) if !known.iter().any(|g| g.generation == number) => {
                refuse("no_such_generation", format!("{name} has no generation {number}."))
            }
            Some(number) if runs == Some(number) => {
                refuse("no_such_generation", format!("{name} runs generation {number} already."))
            }
            None if known.iter().all(|g| runs.is_none_or(|r| g.generation >= r)) => {
                refuse("no_such_generation", format!("{name} has no generation to go back to."))
            }
            Some(_) | None => Ok(()),
        }
    }
}
