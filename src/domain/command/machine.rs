//! How a command goes from state to state.

use super::{
    Command, Effect, Event, Goal, MISSED_HEARTBEATS, Outcome, OutcomeKind, STOPPING_FOR, State,
    VERIFYING_FOR,
};
use crate::domain::audit::Author;
use crate::domain::timestamp::Timestamp;

/// What happens to `command` by `event` at `now`.
///
/// A terminal state never changes, with one exception: `lost` says only that the dashboard
/// does not know, so it gives way to the agent's word, when that comes late: that the
/// command still runs, or how it ended. The same event twice changes nothing the second
/// time.
pub fn step(command: &Command, event: &Event, now: Timestamp) -> (Command, Vec<Effect>) {
    let mut machine = Machine { command: command.clone(), effects: Vec::new(), now };
    machine.handle(event);
    (machine.command, machine.effects)
}

struct Machine {
    command: Command,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Machine {
    fn handle(&mut self, event: &Event) {
        use State::*;
        let state = self.command.state;
        match event {
            Event::ClockJumped(millis) => self.shift(*millis),
            Event::Ended(outcome) => self.ended(outcome),
            Event::Runs if state == Lost => self.found_again(),
            Event::CameBackAnother => self.came_back_another(),
            _ if state.is_terminal() => {}
            Event::HostOnline => self.host_online(),
            Event::HostOffline => {
                if state != Queued {
                    self.command.offline_since.get_or_insert(self.now);
                    self.command.missed = 0;
                }
            }
            Event::Blocked(reason) => {
                if state == Queued {
                    self.enter(Blocked, Some(reason.clone()), None);
                }
            }
            Event::Runs => self.runs(),
            Event::DoesNotRun => self.does_not_run(),
            Event::NeverHeardOf => {
                // It was lost on the wire. It has an id, so sending it twice runs it once.
                if state == Sent {
                    self.effects.push(Effect::Send);
                }
            }
            Event::CameBackWithout => self.came_back_without(),
            Event::SendAgain => self.send_again(),
            Event::CannotStop => self.cannot_stop(),
            Event::Replaced(what) => {
                if matches!(state, Running | Overdue | Stopping | Verifying) {
                    self.enter(Lost, Some(format!("The agent runs {what} instead.")), None);
                }
            }
            Event::Rejected(reason) => {
                if matches!(state, Sent | Running | Overdue | Stopping) {
                    self.enter(Rejected, Some(reason.clone()), None);
                }
            }
            Event::Goal(goal) => self.goal(goal),
            Event::Stop(by) => self.stop(by),
            Event::Extend(by) => {
                if matches!(state, Running | Overdue) {
                    let reason = format!("{by} gave it more time.");
                    let deadline = self.now + self.command.time_limit;
                    self.enter(Running, Some(reason), Some(deadline));
                }
            }
            Event::Tick => self.tick(),
        }
    }

    fn enter(&mut self, state: State, reason: Option<String>, deadline: Option<Timestamp>) {
        self.command.state = state;
        self.command.reason = reason;
        self.command.miss = None;
        self.command.verified_by = None;
        self.command.deadline = deadline;
        self.command.missed = 0;
        if state.is_terminal() {
            self.command.finished_at = Some(self.now);
            self.command.offline_since = None;
            self.command.progress = None;
        }
        self.effects.push(Effect::Journal);
    }

    /// What was asked is done, as far as anybody says: its goal is checked.
    fn verify(&mut self, reason: Option<String>) {
        let at_most = self.now + self.command.time_limit.max(VERIFYING_FOR);
        self.enter(State::Verifying, reason, Some(self.now + VERIFYING_FOR));
        self.command.verified_by = Some(at_most);
    }

    fn host_online(&mut self) {
        self.command.offline_since = None;
        match self.command.state {
            State::Queued => {
                self.command.sent_at = Some(self.now);
                let deadline = Command::sent_deadline(self.now, self.now);
                self.enter(State::Sent, None, Some(deadline));
                self.effects.push(Effect::Send);
            }
            State::Sent => {
                let sent_at = self.command.sent_at.unwrap_or(self.now);
                self.command.deadline = Some(Command::sent_deadline(sent_at, self.now));
            }
            // Its facts could not come while it was away.
            State::Verifying => {
                let deadline = self.now + VERIFYING_FOR;
                let at_most = self.command.verified_by.unwrap_or(deadline);
                self.command.deadline = Some(deadline.min(at_most));
            }
            // The first stop may have been lost with the link.
            State::Stopping => self.effects.push(Effect::SendStop),
            _ => {}
        }
    }

    fn runs(&mut self) {
        self.command.missed = 0;
        if self.command.state == State::Sent {
            let deadline = self.now + self.command.time_limit;
            self.enter(State::Running, None, Some(deadline));
        }
    }

    fn found_again(&mut self) {
        let deadline = self.now + self.command.time_limit;
        self.enter(State::Running, Some("The agent still runs it.".to_owned()), Some(deadline));
        self.command.finished_at = None;
    }

    fn does_not_run(&mut self) {
        self.command.missed = self.command.missed.saturating_add(1);
        let runs = matches!(self.command.state, State::Running | State::Overdue);
        if runs && self.command.missed >= MISSED_HEARTBEATS {
            let reason = "The agent does not run it and delivered no outcome.";
            self.enter(State::Lost, Some(reason.to_owned()), None);
        }
    }

    fn came_back_without(&mut self) {
        let active = matches!(self.command.state, State::Running | State::Overdue);
        if active && self.command.op.rules().deploys {
            // A 3.x agent is replaced by the switch it runs: this is how a switch ends.
            self.verify(Some("The agent came back.".to_owned()));
        } else if self.command.state == State::Stopping {
            let reason = self.stopped_by();
            self.enter(State::Stopped, Some(reason), None);
        }
    }

    /// Another agent answers than the one that was asked: what was asked has replaced it.
    fn came_back_another(&mut self) {
        use State::*;
        let may_have_done_it = match self.command.state {
            Sent | Running | Overdue | Stopping | Lost => true,
            Queued | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked | Stopped
            | TimedOut | Expired | Cancelled => false,
        };
        if may_have_done_it && self.command.op.rules().deploys {
            self.verify(Some("Another agent came back.".to_owned()));
            self.command.finished_at = None;
        }
    }

    fn send_again(&mut self) {
        if self.command.state == State::Sent {
            let sent_at = self.command.sent_at.unwrap_or(self.now);
            self.command.deadline = Some(Command::sent_deadline(sent_at, self.now));
            self.command.missed = 0;
            self.effects.push(Effect::Send);
        }
    }

    fn cannot_stop(&mut self) {
        if self.command.state == State::Stopping {
            let deadline = self.now + self.command.time_limit;
            let reason = "The agent says that it cannot be stopped.".to_owned();
            self.enter(State::Running, Some(reason), Some(deadline));
        }
    }

    fn ended(&mut self, outcome: &Outcome) {
        use State::*;
        match self.command.state {
            Sent | Running | Overdue | Stopping | Lost => {}
            // A 3.x agent that came back may deliver its outcome late.
            Verifying if self.command.exit_code.is_none() => {}
            Queued | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked | Stopped
            | TimedOut | Expired | Cancelled => return,
        }
        self.command.exit_code = Some(outcome.exit_code);
        let message = outcome.message.clone().filter(|text| !text.trim().is_empty());
        match outcome.kind {
            OutcomeKind::Stopped => {
                let reason = self.stopped_by();
                self.enter(Stopped, Some(reason), None);
            }
            OutcomeKind::TimedOut => {
                let reason = message.unwrap_or_else(|| "It took too long.".to_owned());
                self.enter(TimedOut, Some(reason), None);
            }
            OutcomeKind::Blocked => {
                self.command.exit_code = None;
                let reason = message.unwrap_or_else(|| "The agent did not begin.".to_owned());
                self.enter(Blocked, Some(reason), None);
            }
            OutcomeKind::Interrupted => {
                self.command.exit_code = None;
                let reason = message.unwrap_or_else(|| "Interrupted by a restart.".to_owned());
                self.enter(Lost, Some(reason), None);
            }
            OutcomeKind::Exited if outcome.exit_code == 0 => {
                self.verify(None);
                self.effects.push(Effect::Refetch);
            }
            OutcomeKind::Exited | OutcomeKind::Failed => {
                let reason = message.unwrap_or_else(|| format!("Exit code {}.", outcome.exit_code));
                self.enter(Failed, Some(reason), None);
            }
        }
    }

    fn stopped_by(&self) -> String {
        match &self.command.stop_by {
            Some(by) => format!("Stopped by {by}."),
            None => "Stopped on the host.".to_owned(),
        }
    }

    fn goal(&mut self, goal: &Goal) {
        if self.command.state != State::Verifying {
            return;
        }
        match goal {
            Goal::Met => self.enter(State::Succeeded, None, None),
            Goal::Missing(miss) => {
                self.command.reason = Some(miss.to_string());
                self.command.miss = Some(miss.clone());
            }
            Goal::Missed(miss) => {
                self.enter(State::Unverified, Some(miss.to_string()), None);
                self.command.miss = Some(miss.clone());
            }
        }
    }

    fn stop(&mut self, by: &Author) {
        use State::*;
        match self.command.state {
            Queued => self.enter(Cancelled, Some(format!("Cancelled by {by}.")), None),
            Sent | Running | Overdue => {
                self.command.stop_by = Some(by.clone());
                let deadline = self.now + STOPPING_FOR;
                self.enter(Stopping, Some(format!("{by} asked it to stop.")), Some(deadline));
                self.effects.push(Effect::SendStop);
            }
            Stopping | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked
            | Stopped | TimedOut | Lost | Expired | Cancelled => {}
        }
    }

    fn tick(&mut self) {
        use State::*;
        if self.command.due().is_none_or(|due| self.now < due) {
            return;
        }
        let gone = self.command.offline_since.is_some();
        match self.command.state {
            Queued => self.enter(Expired, Some("The host did not come back in time.".into()), None),
            Sent if gone => {
                let reason = "The host went away before it acknowledged the command.";
                self.enter(Lost, Some(reason.into()), None);
            }
            Sent => {
                self.enter(Lost, Some("The agent did not acknowledge the command.".into()), None);
            }
            Running if self.command.deadline.is_some_and(|at| self.now < at) => {
                self.command.slow = true;
            }
            Running => {
                let reason = "It runs longer than expected: extend it, stop it, or let it be.";
                self.enter(Overdue, Some(reason.into()), None);
                // A host that is long gone is given up at once.
                self.tick();
            }
            Overdue => {
                let reason = "The host went away while it was running and did not come back.";
                self.enter(Lost, Some(reason.into()), None);
            }
            Stopping => {
                let reason = "It was told to stop, and nobody knows whether it did.";
                self.enter(Lost, Some(reason.into()), None);
            }
            Verifying => {
                let missed = self.command.reason.clone();
                let reason = missed.unwrap_or_else(|| "No fresh facts came from the host.".into());
                let miss = self.command.miss.take();
                self.enter(Unverified, Some(reason), None);
                self.command.miss = miss;
            }
            Succeeded | Failed | Unverified | Rejected | Blocked | Stopped | TimedOut | Lost
            | Expired | Cancelled => {}
        }
    }

    fn shift(&mut self, millis: i64) {
        let command = &mut self.command;
        let instants =
            [&mut command.deadline, &mut command.verified_by, &mut command.offline_since];
        for instant in instants {
            *instant = instant.map(|t| t.shifted(millis));
        }
        self.command.sent_at = self.command.sent_at.map(|t| t.shifted(millis));
    }
}
