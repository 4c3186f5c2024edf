//! What users ask of a host.

use super::apply::Turn;
use super::event::HostEffect;
use super::overrides::Change;
use super::state::HostState;
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::command::{Command, Event, State, WAITS_FOR_HOST, WorkPhase};
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation, Regardless};
use crate::domain::refusal::{Refusal, RefusalCode};

impl Turn<'_, '_> {
    /// A user changes what the dashboard says about the host.
    pub(super) fn configured(&mut self, change: Change, by: Author) {
        let profile = &mut self.state.profile;
        let before = (profile.overrides.guard, profile.overrides.auto_rollback);
        change.merge_into(&mut profile.overrides);
        let (guard, auto_rollback) = (profile.overrides.guard, profile.overrides.auto_rollback);
        let facts = &mut self.state.facts;
        facts.tests_enabled = profile.overrides.tests_enabled.or(facts.tests_enabled_by_host);
        let mut message = "Settings were changed.".to_owned();
        if guard != before.0 {
            message += match guard {
                Some(true) => " Its switches are guarded.",
                Some(false) => " Its switches are not guarded.",
                None => " Its switches are guarded as it is set up.",
            };
        }
        if auto_rollback != before.1 {
            let not = if auto_rollback { "" } else { "not " };
            message += &format!(" Failed tests roll it {not}back by themselves.");
        }
        self.record(AuditCategory::Host, message, Some(by));
    }

    /// The command that a rollout asks for, if it runs, or was the last one: it asks again when
    /// it does not know that it has asked. Another one that comes to the same is as good, unless
    /// it only waits for the host: that may take a day.
    pub(super) fn has_already(
        &self,
        id: Option<CommandId>,
        op: Operation,
        args: &Args,
    ) -> Option<Command> {
        let id = id?;
        let last = self.state.commands.last().filter(|last| last.id == id);
        let is_as_good = |c: &Command| {
            c.op == op && c.state != State::Queued && c.args.come_to_the_same(op, args)
        };
        self.state.live().chain(last).find(|c| c.id == id || is_as_good(c)).cloned()
    }

    pub(super) fn requested(
        &mut self,
        id: Option<CommandId>,
        op: Operation,
        args: Args,
        queue: bool,
        by: Author,
    ) {
        let needless = id.is_some() && op == Operation::Reboot;
        let mut refusal = self.state.allows(op, &args).err();
        if refusal.is_none() && needless && !self.state.facts.waits_for_a_reboot() {
            // A rollout reboots those that need it.
            let message = format!("{} needs no reboot.", self.state.profile.hostname);
            refusal = Some(Refusal::new(RefusalCode::NothingToDo, message));
        }
        let offline = refusal.as_ref().is_some_and(|r| r.code == RefusalCode::HostOffline);
        // After a stop a 3.x agent is told nothing for a moment.
        let mut quiet = refusal.is_none() && self.state.is_quiet();
        if quiet && id.is_some() {
            // A rollout waits by itself: its host may go away in that moment.
            let message = format!("{} waits until a stop is over.", self.state.profile.hostname);
            (quiet, refusal) = (false, Some(Refusal::new(RefusalCode::HostBusy, message)));
        }
        let wait = quiet || (offline && queue);
        let waits = |c: &Command| c.state == State::Queued && c.op == op;
        let twice = wait && self.state.live().any(waits);
        // Before it waits, too: whoever asks is asked. A rollout looks at that itself.
        let may_begin = id.is_none() && (refusal.is_none() || wait);
        let restrained = if may_begin { self.state.restrained(op, &args) } else { None };
        let held_back = restrained.is_some();
        refusal = restrained.or(refusal);
        if twice {
            let name = &self.state.profile.hostname;
            let message = format!("{} waits for {name} already.", op.label());
            refusal = Some(Refusal::new(RefusalCode::HostBusy, message));
        }
        if let Some(refusal) = refusal
            && (!wait || twice || held_back)
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
        if command.args.regardless.contains(&Regardless::Freeze) {
            command.over_freeze = self.state.restraints.freeze;
        }
        if wait {
            command.state = State::Queued;
            let why = if quiet { "Waits until the stop is over." } else { WAITS_FOR_HOST };
            command.reason = Some(why.to_owned());
        } else {
            command.sent_at = Some(self.now.at);
        }
        command.start_timers(self.now.up);
        let way_back = self.state.way_back(op, &args_told);
        let became = if wait { "queued" } else { "started" };
        let known = in_full_knowledge(&args_told);
        let message = format!("{}{way_back} was {became}{known}.", op.label());
        self.record_of(command.id, message, Some(by));
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
            Event::Stop(_) if command.phase == Some(WorkPhase::Keep) => {
                let message = format!("{} is being kept: roll back instead.", op.label());
                self.effects.push(refuse(RefusalCode::HostBusy, message));
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
        self.record_of(id, format!("{} was {what}.", op.label()), Some(by));
        self.step_id(id, event);
        let now =
            self.state.find(id).or(self.state.commands.last().filter(|c| c.id == id)).cloned();
        if let Some(command) = now {
            self.effects.push(HostEffect::Answer(Box::new(Ok(command))));
        }
    }
}

/// For the audit log: what the user was told of and went on regardless of, and which plan was read.
fn in_full_knowledge(args: &Args) -> String {
    let mut of = args.regardless.clone();
    of.sort_unstable();
    of.dedup();
    let of: Vec<&str> = of.into_iter().map(Regardless::label).collect();
    let boots = if args.boots() { ", to start at the next boot" } else { "" };
    let guard = match args.guard {
        Some(false) => ", without the guard",
        Some(true) => ", under the guard",
        None => "",
    };
    let plan = args.plan.as_ref().map(|plan| format!(", to {} alone", plan.as_str()));
    let of =
        if of.is_empty() { of.concat() } else { format!(" regardless of {}", of.join(" and ")) };
    of + boots + guard + &plan.unwrap_or_default()
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
