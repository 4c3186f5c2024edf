//! What the words of a 3.x agent mean (spec: lifecycle, "3.x"). It has no ids, so they mean what
//! was said before them lets them mean.

use super::apply::Turn;
use super::echoes::{self, Name};
use super::event::{HostEffect, Work};
use super::state::HostState;
use crate::domain::command::{Command, Event, Outcome, OutcomeKind, State};
use crate::domain::ids::CommandId;
use crate::domain::operation::Operation;
use std::time::Duration;

/// What such an agent says of every failure. It says nothing.
const COMMAND_FAILED: &str = "command failed";
/// What it is told beside operations: what it says about these ends no command.
const NAMELESS: [&str; 3] = ["force-update", "check-version", "update"];
/// What it says about a stop.
const STOP: &str = "stop";
/// The last lines of a command may come so long after its outcome.
const LINES_AFTER_END: Duration = Duration::from_secs(1);
/// The exit code of its shell where there is no test to run.
const NO_TESTS: i32 = 1;

impl HostState {
    /// Whether nothing may be sent to the agent now, because it may still speak of a stop.
    pub(super) fn is_quiet(&self) -> bool {
        !self.protocol().names_commands_by_id() && self.echoes.is_quiet()
    }

    /// Whether a command was asked of an agent that speaks another protocol than the one that
    /// is connected.
    pub(super) fn was_asked_of_another(&self, command: &Command) -> bool {
        let asked = command.baseline.protocol;
        asked.is_some_and(|number| number != self.protocol().number())
    }
}

impl Turn<'_, '_> {
    /// A heartbeat that names nothing.
    pub(super) fn old_agent_is_idle(&mut self) {
        if let Some(id) = self.state.echoes.heard_idle() {
            // What a new link proves is counted from here.
            let links = self.state.links;
            self.state.commands.set_links(id, links);
            self.send_once_more(id, &Event::SendAgain);
        }
        let Some(command) = self.state.command() else {
            return;
        };
        let new_link = self.state.links > command.baseline.links;
        let deploys = command.op.rules().deploys && command.state != State::Sent;
        let proves = deploys || command.state == State::Stopping;
        let id = command.id;
        if new_link && proves {
            self.step_id(id, &Event::CameBackWithout);
        } else if command.state != State::Stopping {
            self.step_id(id, &Event::DoesNotRun);
        }
        // One that is being stopped may not have been read yet when this was said.
    }

    /// A heartbeat that names something.
    pub(super) fn old_agent_works(&mut self, work: &Work) {
        let expected = self.state.command().map(|command| command.op);
        match self.state.echoes.heard_name(&work.name, expected) {
            Name::Works(_) => self.works(work),
            Name::Echo | Name::Nameless => {
                let sent = self.state.command().filter(|command| command.state == State::Sent);
                if let Some(id) = sent.map(|command| command.id) {
                    // It is one of those that had time to acknowledge it.
                    self.step_id(id, &Event::DoesNotRun);
                }
            }
        }
    }

    /// It refused a command. Answers whether that was for something that passes: then the
    /// command is sent again when it has.
    pub(super) fn old_agent_puts_off(&mut self, refused: Option<CommandId>, work: &Work) -> bool {
        let op = Operation::parse(&work.name);
        let runs = self.state.command().filter(|command| op == Some(command.op));
        if self.state.echoes.refreshes(self.now.up) && (refused.is_none() || runs.is_some()) {
            // What it refused is to gather its facts.
            self.state.echoes.refreshed();
            self.works(work);
            return true;
        }
        if refused.is_some_and(|id| self.state.echoes.puts_off(id, &work.name)) {
            return true;
        }
        if op.is_none() {
            self.state.echoes.is_busy_with(&work.name);
        }
        false
    }

    /// Its word about the end of something that is no command. Answers whether it was that.
    pub(super) fn old_agent_ended_nameless(&mut self, name: &str, outcome: &Outcome) -> bool {
        if name == STOP {
            let told = self.state.echoes.answers_for_stop();
            if let Some(id) = told
                && self.state.commands.exclusive_is(id)
                && outcome.kind == OutcomeKind::Failed
            {
                self.step_id(id, &Event::CannotStop);
            }
            return true;
        }
        if echoes::is_chore(name) {
            self.state.echoes.refreshed();
            return true;
        }
        NAMELESS.contains(&name)
    }

    /// The end of an operation was heard, whatever command it belongs to.
    pub(super) fn old_agent_ended(&mut self, op: Operation, outcome: &Outcome) {
        self.state.echoes.ended(op);
        if outcome.kind == OutcomeKind::Stopped {
            self.state.echoes.answers_for_stop();
            self.state.echoes.stopped(self.now.up);
            self.state.echoes.says_it_stopped(op);
        }
    }

    /// The command that an outcome without an id belongs to.
    pub(super) fn resolve_old_outcome(
        &mut self,
        name: &str,
        outcome: &Outcome,
    ) -> Option<CommandId> {
        let op = Operation::parse(name);
        let unheard = self.state.command().is_none_or(|command| command.state == State::Sent);
        if let Some(op) = op
            && outcome.kind == OutcomeKind::Failed
            && unheard
            && self.state.echoes.is_second_word(op)
        {
            return None;
        }
        let current = self.state.command();
        if let Some(current) = current
            && (name.is_empty() || op == Some(current.op))
        {
            return Some(current.id);
        }
        let op = op?;
        if self.state.echoes.may_repeat(op) {
            return None;
        }
        self.state.commands.newest_lost(op)
    }

    /// What a failure says about its reason.
    pub(super) fn old_agent_says(&mut self, id: CommandId, outcome: &mut Outcome) {
        if outcome.message.as_deref() == Some(COMMAND_FAILED) {
            outcome.message = None;
        }
        let stops = self.state.find(id).is_some_and(|command| command.state == State::Stopping);
        if stops && outcome.kind == OutcomeKind::Failed {
            // Its first word about the stop was lost: this is the second.
            outcome.kind = OutcomeKind::Stopped;
            return;
        }
        let tests = self.state.command().filter(|c| c.id == id && c.op == Operation::Test);
        let Some(tests) = tests else {
            return;
        };
        let silent = tests.output_lines == 0;
        match outcome.kind {
            OutcomeKind::Failed if silent && outcome.exit_code == NO_TESTS => {
                self.state.facts.has_tests = Some(false);
                outcome.message = Some("No tests found".to_owned());
            }
            OutcomeKind::Exited | OutcomeKind::Failed => self.state.facts.has_tests = Some(true),
            OutcomeKind::Stopped
            | OutcomeKind::TimedOut
            | OutcomeKind::Blocked
            | OutcomeKind::Returned
            | OutcomeKind::Interrupted => {}
        }
    }

    /// The command that a line without an id belongs to; `None` if to none.
    pub(super) fn owner_of_old_line(&self) -> Option<CommandId> {
        let refreshes = self.state.echoes.refreshes(self.now.up);
        let commands = &self.state.commands;
        if let Some(command) = commands.exclusive()
            && !(refreshes && command.state == State::Sent)
        {
            return Some(command.id);
        }
        if refreshes {
            return None;
        }
        let beside = commands.others().iter().find(|command| command.state.is_active());
        if let Some(command) = beside {
            return Some(command.id);
        }
        let last = commands.last()?;
        let ended = self.state.ended.filter(|(id, _)| *id == last.id)?.1;
        if self.now.up.since(ended) < LINES_AFTER_END { Some(last.id) } else { None }
    }

    /// A line came that belongs to a reboot: the agent has heard of it. What it says on stderr
    /// is all that it says about why it does not reboot.
    pub(super) fn old_agent_speaks_of(&mut self, id: CommandId, error: Option<&str>) {
        let beside = self.state.commands.others().iter().any(|command| command.id == id);
        if !beside {
            return;
        }
        self.step_id(id, &Event::Runs);
        if let Some(error) = error {
            let words: String = error.trim().chars().take(500).collect();
            if let Some(command) = self.state.commands.set_reason(id, words) {
                let command = Box::new(command.clone());
                self.effects.push(HostEffect::SaveCommand { command, journal: false });
            }
        }
    }

    /// The link was down while the agent worked: what it said meanwhile is gone.
    pub(super) fn say_that_lines_may_be_missing(&mut self) {
        let Some(command) = self.state.command() else {
            return;
        };
        let (id, first_seq) = (command.id, command.output_lines.saturating_add(1));
        let ran = matches!(command.state, State::Running | State::Overdue | State::Stopping);
        let Some(since) = command.gone_since.filter(|_| ran) else {
            return;
        };
        let seconds = self.now.up.since(since).as_secs().max(1);
        let text = format!("The link was down for {seconds} s, lines may be missing.");
        self.state.commands.take_lines(id, Some(first_seq), 1);
        self.effects.push(HostEffect::SayInLog { id, first_seq, text });
    }

    /// The dashboard wants to know how the host is now. The answer of a protocol-4 agent is a
    /// heartbeat. A 3.x agent works on it as on a command: it refuses it while it does something
    /// else, and its refusal does not say what it is about.
    pub(super) fn report_wanted(&mut self) {
        if !self.state.online {
            return;
        }
        if !self.state.protocol().names_commands_by_id() {
            let busy = self.state.live().next().is_some();
            let waits = self.state.is_quiet() || self.state.echoes.refreshes(self.now.up);
            if busy || waits {
                return;
            }
            self.state.echoes.asked_to_refresh(self.now.up);
        }
        self.effects.push(HostEffect::AskToReport);
    }
}
