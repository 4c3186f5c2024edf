//! How a command goes from state to state.

use super::{
    Command, Effect, Event, Goal, KeptBack, MISSED_HEARTBEATS, Outcome, OutcomeKind, State,
    WorkPhase,
};
use crate::domain::audit::Author;
use crate::domain::deploy::{Starts, returned};
use crate::domain::moment::{Countdown, Moment, Uptime};

/// Why a command waits whose host is gone.
pub const WAITS_FOR_HOST: &str = "Waits for the host to come back.";

/// What happens to `command` by `event` at `now`.
///
/// A terminal state never changes, with one exception: `lost` says only that the dashboard
/// does not know, so it gives way to the agent's word, when that comes late: that the
/// command still runs, or how it ended. The same event twice changes nothing the second
/// time.
pub fn step(command: &Command, event: &Event, now: Moment) -> (Command, Vec<Effect>) {
    let mut machine = Machine { command: command.clone(), effects: Vec::new(), now };
    machine.handle(event);
    (machine.command, machine.effects)
}

/// A command as it was stored, in a dashboard that starts at `now`: its host is not connected yet,
/// and the time in which no dashboard ran counts for nothing.
pub fn restored(mut command: Command, now: Uptime) -> Command {
    if command.state.is_terminal() {
        return command;
    }
    if command.timer.is_none() {
        // Earlier versions stored instants of a clock that anybody could set.
        command.start_timers(now);
    }
    if command.state != State::Queued {
        command.pause(now);
    } else if command.kept_back.take().is_some() {
        command.reason = Some(WAITS_FOR_HOST.to_owned());
    }
    command
}

struct Machine {
    command: Command,
    effects: Vec<Effect>,
    now: Moment,
}

impl Machine {
    fn handle(&mut self, event: &Event) {
        use State::*;
        let state = self.command.state;
        match event {
            Event::Ended(outcome) => self.ended(outcome),
            Event::Runs if state == Lost => self.found_again(),
            Event::CameBackAnother => self.came_back_another(),
            _ if state.is_terminal() => {}
            Event::HostOnline => self.host_online(),
            Event::HostOffline => {
                if state != Queued {
                    self.command.pause(self.now.up);
                    self.command.missed = 0;
                    self.effects.push(Effect::Save);
                } else if self.command.kept_back.take().is_some() {
                    self.command.reason = Some(WAITS_FOR_HOST.to_owned());
                    self.effects.push(Effect::Save);
                }
            }
            Event::KeptBack(kept) => self.kept_back(kept),
            Event::Blocked(reason) => {
                if state == Queued {
                    self.enter(Blocked, Some(reason.clone()));
                }
            }
            Event::Runs => self.runs(),
            Event::Phase(phase) => self.phase(*phase),
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
            Event::StopAgain => {
                if state == Stopping {
                    self.effects.push(Effect::SendStop);
                }
            }
            Event::Replaced(what) => {
                if matches!(state, Running | Overdue | Stopping | Verifying) {
                    self.lose(format!("The agent runs {what} instead."));
                }
            }
            Event::Rejected(reason) => self.rejected(reason),
            Event::Goal(goal) => self.goal(goal),
            Event::Stop(by) => self.stop(by),
            Event::Extend(by) => {
                if matches!(state, Running | Overdue) {
                    self.enter(Running, Some(format!("{by} gave it more time.")));
                }
            }
            Event::Tick => self.tick(),
        }
    }

    fn enter(&mut self, state: State, reason: Option<String>) {
        self.command.state = state;
        self.command.reason = reason;
        self.command.miss = None;
        self.command.kept_back = None;
        self.command.missed = 0;
        self.command.start_timers(self.now.up);
        if state.is_terminal() {
            self.command.finished_at = Some(self.now.at);
            self.command.gone_since = None;
            self.command.progress = None;
        } else if self.command.gone_since.is_some() {
            self.command.pause(self.now.up);
        }
        self.effects.push(Effect::Journal);
    }

    /// Nobody knows what became of it. One that was told to stop for its time ends by that.
    fn lose(&mut self, reason: String) {
        if self.is_told_for_its_time() {
            self.time_out(&reason);
        } else {
            self.enter(State::Lost, Some(reason));
        }
    }

    fn is_told_for_its_time(&self) -> bool {
        self.command.state == State::Stopping && self.command.out_of_time
    }

    /// It took longer than it may and was told to stop; `what` came of that.
    fn time_out(&mut self, what: &str) {
        let reason = format!("It took too long and was told to stop. {what}");
        self.enter(State::TimedOut, Some(reason));
    }

    /// What was asked is done, as far as anybody says: its goal is checked.
    fn verify(&mut self, reason: Option<String>) {
        self.command.reached = true;
        self.enter(State::Verifying, reason);
    }

    fn host_online(&mut self) {
        if self.command.state == State::Queued {
            self.command.sent_at = Some(self.now.at);
            self.enter(State::Sent, None);
            self.effects.push(Effect::Send);
        } else {
            self.command.resume(self.now.up);
            self.effects.push(Effect::Save);
        }
    }

    /// It waits on; what was sent and never arrived is not begun any more.
    fn kept_back(&mut self, kept: &KeptBack) {
        let why = &kept.why;
        match self.command.state {
            State::Queued if self.command.kept_back.as_ref() != Some(why) => {
                self.command.reason = Some(format!("Waits: {why}."));
                self.command.kept_back = Some(why.clone());
                self.effects.push(Effect::Save);
            }
            State::Sent if !self.command.reached => {
                self.enter(State::Blocked, Some(format!("It did not arrive in time: {why}.")));
                self.command.blocked_by.clone_from(&kept.by);
            }
            _ => {}
        }
    }

    /// It has waited for as long as it may.
    fn expire(&mut self) {
        let reason = match &self.command.kept_back {
            Some(why) => format!("It could not begin in its time: {why}."),
            None => "The host did not come back in time.".to_owned(),
        };
        self.enter(State::Expired, Some(reason));
    }

    fn runs(&mut self) {
        let news = !std::mem::replace(&mut self.command.reached, true);
        self.command.missed = 0;
        if self.command.state == State::Sent {
            self.enter(State::Running, None);
        } else if news {
            // What its end means hangs on it, also for a dashboard that starts meanwhile.
            self.effects.push(Effect::Save);
        }
    }

    fn phase(&mut self, phase: WorkPhase) {
        if self.command.phase == Some(phase) {
            return;
        }
        let before = self.command.stopping_for();
        self.command.phase = Some(phase);
        let was_guarded = self.command.guarded;
        self.command.guarded |= phase.is_guarded();
        let after = self.command.stopping_for();
        if self.command.state == State::Stopping && before != after {
            // A build is stopped at once; an activation is let end first.
            self.command.timer = Some(Countdown::from(self.now.up, after));
        }
        if self.command.state == State::Overdue && !was_guarded && self.command.guarded {
            // What its guard works on is not ended by the time of its operation.
            self.command.start_timers(self.now.up);
        }
        self.effects.push(Effect::Save);
    }

    fn found_again(&mut self) {
        self.command.reached = true;
        self.command.out_of_time = false;
        self.command.interrupted = false;
        // What was said of its end was said of none.
        (self.command.ended_with, self.command.built) = (None, None);
        self.enter(State::Running, Some("The agent still runs it.".to_owned()));
        self.command.finished_at = None;
    }

    fn does_not_run(&mut self) {
        use State::*;
        self.command.missed = self.command.missed.saturating_add(1);
        let may_run = match self.command.state {
            // One that it never took may be on its way to it, and the stop behind it.
            Stopping => self.command.reached,
            Running | Overdue => true,
            Queued | Sent | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked
            | Stopped | TimedOut | Lost | Expired | Cancelled => false,
        };
        if may_run && self.command.missed >= MISSED_HEARTBEATS {
            self.lose("The agent does not run it and delivered no outcome.".to_owned());
        }
    }

    fn came_back_without(&mut self) {
        let active = matches!(self.command.state, State::Running | State::Overdue);
        if active && self.command.op.rules().deploys {
            // A 3.x agent is replaced by the switch it runs: this is how a switch ends.
            self.verify(Some("The agent came back.".to_owned()));
        } else if self.command.state == State::Stopping {
            self.stopped();
        }
    }

    /// Another agent answers than the one that was asked: what was asked has replaced it.
    fn came_back_another(&mut self) {
        use State::*;
        let may_have_done_it = match self.command.state {
            Sent | Running | Overdue | Stopping => true,
            // What its agent saw die did not bring the other one.
            Lost => !self.command.interrupted,
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
            self.command.resume(self.now.up);
            self.command.missed = 0;
            self.effects.push(Effect::Send);
        }
    }

    fn cannot_stop(&mut self) {
        if self.command.state != State::Stopping {
            return;
        }
        let reason = "The agent says that it cannot be stopped.";
        if self.command.out_of_time {
            self.time_out(reason);
        } else {
            self.enter(State::Running, Some(reason.to_owned()));
        }
    }

    fn rejected(&mut self, reason: &str) {
        use State::*;
        if self.is_told_for_its_time() {
            self.time_out(reason);
        } else if matches!(self.command.state, Sent | Running | Overdue | Stopping) {
            self.enter(Rejected, Some(reason.to_owned()));
        }
    }

    fn ended(&mut self, outcome: &Outcome) {
        use State::*;
        if !self.command.waits_for_its_outcome() {
            return;
        }
        self.command.exit_code = Some(outcome.exit_code);
        self.command.reached = true;
        let message = outcome.message.clone().filter(|text| !text.trim().is_empty());
        match outcome.kind {
            OutcomeKind::Stopped => self.stopped(),
            OutcomeKind::TimedOut => {
                let reason = message.unwrap_or_else(|| "It took too long.".to_owned());
                self.enter(TimedOut, Some(reason));
            }
            OutcomeKind::Blocked => {
                self.command.exit_code = None;
                let reason = message.unwrap_or_else(|| "The agent did not begin.".to_owned());
                self.enter(Blocked, Some(reason));
                self.command.blocked_by.clone_from(&outcome.blocked_by);
            }
            OutcomeKind::Interrupted => {
                self.command.exit_code = None;
                let reason = message.unwrap_or_else(|| "Interrupted by a restart.".to_owned());
                self.command.interrupted = true;
                self.enter(Lost, Some(reason));
            }
            OutcomeKind::Exited if outcome.exit_code == 0 => {
                // It was done before the stop reached it, if one was sent.
                self.verify(None);
                self.effects.push(Effect::Refetch);
            }
            OutcomeKind::Returned => {
                let missing = message.unwrap_or_else(|| "nobody said why".to_owned());
                self.enter(Failed, Some(returned(&missing)));
                self.command.returned = Some(missing);
            }
            OutcomeKind::Exited | OutcomeKind::Failed => {
                let reason = message.unwrap_or_else(|| format!("Exit code {}.", outcome.exit_code));
                if self.command.out_of_time {
                    self.time_out(&reason);
                } else {
                    self.enter(Failed, Some(reason));
                }
            }
        }
    }

    /// It was stopped, and the agent says so.
    fn stopped(&mut self) {
        if self.command.out_of_time {
            self.time_out("It was stopped.");
            return;
        }
        let reason = match &self.command.stop_by {
            Some(by) => format!("Stopped by {by}."),
            None => "Stopped on the host.".to_owned(),
        };
        self.enter(State::Stopped, Some(reason));
    }

    fn goal(&mut self, goal: &Goal) {
        if self.command.state != State::Verifying {
            return;
        }
        match goal {
            Goal::Met => {
                let built = self.command.built.as_ref();
                let boots = built.is_some_and(|built| built.starts == Starts::NextBoot);
                let reason = boots.then(|| {
                    "It starts at the next boot, which has no guard: reboot to finish.".into()
                });
                self.enter(State::Succeeded, reason);
            }
            Goal::Missing(miss) => {
                self.command.reason = Some(miss.to_string());
                self.command.miss = Some(miss.clone());
            }
            Goal::Missed(miss) => {
                self.enter(State::Unverified, Some(miss.to_string()));
                self.command.miss = Some(miss.clone());
            }
        }
    }

    fn stop(&mut self, by: &Author) {
        use State::*;
        match self.command.state {
            Queued => self.enter(Cancelled, Some(format!("Cancelled by {by}."))),
            Sent | Running | Overdue => {
                self.command.stop_by = Some(by.clone());
                self.enter(Stopping, Some(format!("{by} asked it to stop.")));
                self.effects.push(Effect::SendStop);
            }
            Stopping | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked
            | Stopped | TimedOut | Lost | Expired | Cancelled => {}
        }
    }

    fn tick(&mut self) {
        use State::*;
        if self.command.due().is_none_or(|due| self.now.up < due) {
            return;
        }
        let gone = self.command.gone_since.is_some();
        match self.command.state {
            Queued => self.expire(),
            Sent if gone => {
                let reason = "The host went away before it acknowledged the command.";
                self.enter(Lost, Some(reason.into()));
            }
            Sent => self.enter(Lost, Some("The agent did not acknowledge the command.".into())),
            Running if !self.command.is_out_of_time(self.now.up) => self.command.slow = true,
            Running => {
                let reason = "It runs longer than expected: extend it, stop it, or let it be.";
                self.enter(Overdue, Some(reason.into()));
                // A host that is long gone is given up at once.
                self.tick();
            }
            Overdue if gone => {
                let reason = "The host went away while it was running and did not come back.";
                self.enter(Lost, Some(reason.into()));
            }
            Overdue => self.overtime(),
            Stopping if gone => {
                let reason = "It was told to stop, and the host went away and did not come back.";
                self.enter(Lost, Some(reason.into()));
            }
            Stopping if self.command.out_of_time => {
                self.time_out("Nobody knows whether it did.");
            }
            Stopping => {
                let reason = "It was told to stop, and nobody knows whether it did.";
                self.enter(Lost, Some(reason.into()));
            }
            Verifying => {
                let missed = self.command.reason.clone();
                let reason = missed.unwrap_or_else(|| "No fresh facts came from the host.".into());
                let miss = self.command.miss.take();
                self.enter(Unverified, Some(reason));
                self.command.miss = miss;
            }
            Succeeded | Failed | Unverified | Rejected | Blocked | Stopped | TimedOut | Lost
            | Expired | Cancelled => {}
        }
    }

    /// Its time is up for the second time, and nobody has extended or stopped it. What changes
    /// nothing on the host is stopped; what activates is never ended by a clock.
    fn overtime(&mut self) {
        if !self.command.op.rules().exclusive {
            let reason = "It took too long: the host did not do it in time.";
            self.enter(State::TimedOut, Some(reason.into()));
        } else if self.command.may_activate() {
            let reason = "It took too long and still activates: it was not told to stop.";
            self.enter(State::TimedOut, Some(reason.into()));
        } else {
            self.command.out_of_time = true;
            self.enter(State::Stopping, Some("It took too long and was told to stop.".into()));
            self.effects.push(Effect::SendStop);
        }
    }
}
