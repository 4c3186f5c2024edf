//! What users ask of a host.

use super::apply::Turn;
use super::event::HostEffect;
use super::overrides::Change;
use super::state::HostState;
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::command::{Command, Event, QUEUED_FOR, State};
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::{Refusal, RefusalCode};

const WAITS_FOR_HOST: &str = "Waits for the host to come back.";

impl Turn<'_, '_> {
    /// A user changes what the dashboard says about the host.
    pub(super) fn configured(&mut self, change: Change, by: Author) {
        let profile = &mut self.state.profile;
        change.merge_into(&mut profile.overrides);
        let facts = &mut self.state.facts;
        facts.tests_enabled = profile.overrides.tests_enabled.or(facts.tests_enabled_by_host);
        self.record(AuditCategory::Host, "Settings were changed.".to_owned(), Some(by));
    }

    /// The command that a rollout asks for, if it runs, or was the last one: it asks again when
    /// it does not know that it has asked. Another one that does the same is as good.
    pub(super) fn has_already(&self, id: Option<CommandId>, op: Operation) -> Option<Command> {
        let id = id?;
        let last = self.state.commands.last().filter(|last| last.id == id);
        self.state.live().chain(last).find(|c| c.id == id || c.op == op).cloned()
    }

    pub(super) fn requested(
        &mut self,
        id: Option<CommandId>,
        op: Operation,
        args: Args,
        queue: bool,
        by: Author,
    ) {
        let mut refusal = self.state.allows(op, &args).err();
        let offline = refusal.as_ref().is_some_and(|r| r.code == RefusalCode::HostOffline);
        // After a stop a 3.x agent is told nothing for a moment.
        let quiet = refusal.is_none() && self.state.is_quiet();
        let wait = quiet || (offline && queue);
        let waits = |c: &Command| c.state == State::Queued && c.op == op;
        let twice = wait && self.state.live().any(waits);
        if twice {
            let name = &self.state.profile.hostname;
            let message = format!("{} waits for {name} already.", op.label());
            refusal = Some(Refusal::new(RefusalCode::HostBusy, message));
        }
        if let Some(refusal) = refusal
            && (!wait || twice)
        {
            // A rollout says for itself what became of its hosts.
            if id.is_none() {
                let message = format!("{} was not started: {}", op.label(), refusal.message);
                self.record(AuditCategory::Command, message, Some(by));
            }
            self.effects.push(HostEffect::Answer(Box::new(Err(refusal))));
            return;
        }
        let args_told = args.clone();
        let mut command = self.new_command(id, op, args, by.clone());
        if wait {
            command.state = State::Queued;
            command.deadline = Some(self.now + QUEUED_FOR);
            let why = if quiet { "Waits until the stop is over." } else { WAITS_FOR_HOST };
            command.reason = Some(why.to_owned());
        } else {
            command.sent_at = Some(self.now);
            command.deadline = Some(Command::sent_deadline(self.now, self.now));
        }
        let way_back = self.state.way_back(op, &args_told);
        let became = if wait { "queued" } else { "started" };
        let message = format!("{}{way_back} was {became}.", op.label());
        self.record(AuditCategory::Command, message, Some(by));
        let (id, args) = (command.id, command.args.clone());
        self.begin(command.clone());
        if !wait {
            self.effects.push(HostEffect::Run { id, op, args });
        }
        self.effects.push(HostEffect::Answer(Box::new(Ok(command))));
    }

    /// A user stops, takes back or extends a command.
    pub(super) fn user_event(&mut self, id: CommandId, event: &Event) {
        let name = self.state.profile.hostname.clone();
        let refuse =
            |code, message: String| HostEffect::Answer(Box::new(Err(Refusal::new(code, message))));
        let Some(command) = self.state.live().find(|c| c.id == id) else {
            self.effects.push(refuse(RefusalCode::NotRunning, "The command is over.".to_owned()));
            return;
        };
        let waits = command.state == State::Queued;
        let op = command.op;
        let (what, by) = match event {
            Event::Stop(by) if waits => ("cancelled", by.clone()),
            Event::Stop(_) if !self.state.online => {
                let message = format!("{name} is offline: it cannot be told to stop.");
                self.effects.push(refuse(RefusalCode::HostOffline, message));
                return;
            }
            Event::Stop(_) if command.state == State::Verifying => {
                let message = format!("{} ended already and is being checked.", op.label());
                self.effects.push(refuse(RefusalCode::NotRunning, message));
                return;
            }
            Event::Stop(by) => ("told to stop", by.clone()),
            Event::Extend(_) if !matches!(command.state, State::Running | State::Overdue) => {
                self.effects.push(refuse(
                    RefusalCode::NotRunning,
                    format!("{} is not running.", op.label()),
                ));
                return;
            }
            Event::Extend(by) => ("given more time", by.clone()),
            _ => return,
        };
        self.record(AuditCategory::Command, format!("{} was {what}.", op.label()), Some(by));
        self.step_id(id, event);
        let now =
            self.state.find(id).or(self.state.commands.last().filter(|c| c.id == id)).cloned();
        if let Some(command) = now {
            self.effects.push(HostEffect::Answer(Box::new(Ok(command))));
        }
    }
}

impl HostState {
    /// For the audit log: from which generation to which.
    fn way_back(&self, op: Operation, args: &Args) -> String {
        if op != Operation::Rollback {
            return String::new();
        }
        let from = self.facts.system.generation;
        let from = from.map_or_else(String::new, |number| format!(" from generation {number}"));
        let to = match args.generation {
            Some(number) => format!(" to generation {number}"),
            None => " to the one before".to_owned(),
        };
        let why: String =
            args.reason.iter().flat_map(|text| text.trim().chars()).take(200).collect();
        let why = if why.is_empty() { why } else { format!(", because {why:?},") };
        format!("{from}{to}{why}")
    }
}
