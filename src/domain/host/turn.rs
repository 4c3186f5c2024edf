//! One event being applied: commands step, and go where they then belong.

use super::event::{HostEffect, HostEvent};
use super::{ATTACHED, HostState, NewId};
use crate::domain::command::{self, Command, Event, Goal, State};
use crate::domain::facts::{Comparison, Lineage};
use crate::domain::ids::{CommandId, Commit};
use crate::domain::timestamp::Timestamp;

/// So many ids of commands that are over are kept: no agent runs one of them again.
const OVER: usize = 16;
/// So many messages of one link that make no sense are recorded.
const ODD_MESSAGES: u32 = 20;

/// One event being applied.
pub(super) struct Turn<'a, 'b> {
    pub(super) state: &'a mut HostState,
    pub(super) now: Timestamp,
    pub(super) new_id: NewId<'b>,
    pub(super) effects: Vec<HostEffect>,
}

impl Turn<'_, '_> {
    pub(super) fn handle(&mut self, event: HostEvent) {
        if event.is_said_by_agent() && !self.state.online {
            // Its link is gone; what it still has to say it says on the next one.
            return;
        }
        match event {
            HostEvent::Connected { registration, known } => self.connected(*registration, known),
            HostEvent::Disconnected => self.disconnected(),
            HostEvent::Heartbeat { report, work } => self.heartbeat(&report, work),
            HostEvent::Accepted(id) => {
                self.seen();
                self.step_id(id, &Event::Runs);
            }
            HostEvent::Rejected { about, reason, work } => self.rejected(&about, &reason, work),
            HostEvent::Ended { about, outcome, report } => self.ended(&about, &outcome, &report),
            HostEvent::Progress { about, text } => self.progress(&about, &text),
            HostEvent::TestEnded { about, result } => self.test_ended(&about, result),
            HostEvent::Requested { id, op, args, queue, by } => match self.has_already(id, op) {
                Some(command) => self.effects.push(HostEffect::Answer(Box::new(Ok(command)))),
                None => self.requested(id, op, args, queue, by),
            },
            HostEvent::StopRequested { id, by } => self.user_event(id, &Event::Stop(by)),
            HostEvent::ExtendRequested { id, by } => self.user_event(id, &Event::Extend(by)),
            HostEvent::Configured { overrides, by } => self.configured(*overrides, by),
            HostEvent::DesiredChanged(desired) => self.state.desired = desired,
            HostEvent::Compared { host, head, comparison } => self.compared(host, head, comparison),
            HostEvent::Drift(drift) => self.state.drift = drift,
            HostEvent::Odd(what) => self.odd(what),
            HostEvent::Tick => self.step_all(&Event::Tick),
            HostEvent::ClockJumped(millis) => self.step_all(&Event::ClockJumped(millis)),
        }
    }

    pub(super) fn seen(&mut self) {
        self.state.last_seen = Some(self.now);
    }

    pub(super) fn record(&mut self, category: &'static str, message: String) {
        self.effects.push(HostEffect::Record { category, message, by: None });
    }

    /// Records a message of the agent that makes no sense and changes nothing. An agent that
    /// sends many fills no audit log.
    pub(super) fn odd(&mut self, what: String) {
        self.state.odd = self.state.odd.saturating_add(1);
        match self.state.odd {
            ..ODD_MESSAGES => self.record("protocol", what),
            ODD_MESSAGES => {
                let more = "Further such messages are not recorded until it reconnects.";
                self.record("protocol", format!("{what} {more}"));
            }
            _ => {}
        }
    }

    /// Steps every live command.
    pub(super) fn step_all(&mut self, event: &Event) {
        let ids: Vec<CommandId> = self.state.live().map(|c| c.id).collect();
        for id in ids {
            self.step_id(id, event);
        }
    }

    /// Steps one command, wherever it is, and puts it where it then belongs.
    /// Returns false if the host has no such command.
    pub(super) fn step_id(&mut self, id: CommandId, event: &Event) -> bool {
        let Some(before) = self.take(id) else {
            return false;
        };
        let late = before.state == State::Lost
            && before.op.rules().exclusive
            && self.state.command.is_some();
        if late && *event == Event::Runs {
            // Only one runs at a time; which one is for the next heartbeat to say.
            self.put(before);
            return false;
        }
        let (mut after, mut effects) = command::step(&before, event, self.now);
        if late && after.state == State::Verifying {
            // Its place is taken, so nobody waits for facts that would prove it.
            let goal = match self.state.goal(&after) {
                Goal::Missing(what) => Goal::Missed(what),
                goal @ (Goal::Met | Goal::Missed(_)) => goal,
            };
            let (verified, _) = command::step(&after, &Event::Goal(goal), self.now);
            after = verified;
            effects = vec![command::Effect::Journal];
        }
        for effect in effects {
            match effect {
                command::Effect::Send => self.effects.push(HostEffect::Run {
                    id,
                    op: after.op,
                    args: after.args.clone(),
                }),
                command::Effect::SendStop => self.effects.push(HostEffect::Stop(id)),
                command::Effect::Journal => self.effects.push(HostEffect::SaveCommand {
                    command: Box::new(after.clone()),
                    journal: true,
                }),
                command::Effect::Refetch => self.effects.push(HostEffect::Refetch),
            }
        }
        let ended = after.state.is_terminal() && after.state != before.state;
        self.put(after.clone());
        if ended {
            self.finished(&after);
        }
        true
    }

    pub(super) fn take(&mut self, id: CommandId) -> Option<Command> {
        let state = &mut *self.state;
        if state.command.as_ref().is_some_and(|c| c.id == id) {
            return state.command.take();
        }
        for list in [&mut state.others, &mut state.attached] {
            if let Some(at) = list.iter().position(|c| c.id == id) {
                return Some(list.remove(at));
            }
        }
        if state.last.as_ref().is_some_and(|c| c.id == id) {
            return state.last.clone();
        }
        None
    }

    pub(super) fn put(&mut self, command: Command) {
        let state = &mut *self.state;
        if command.state.is_terminal() {
            if !state.over.contains(&command.id) {
                state.over.push_back(command.id);
                if state.over.len() > OVER {
                    state.over.pop_front();
                }
            }
            // Only a lost one can still change: the agent may come back with the truth.
            if command.state == State::Lost && !state.attached.iter().any(|c| c.id == command.id) {
                state.attached.push(command.clone());
                if state.attached.len() > ATTACHED {
                    state.attached.remove(0);
                }
            }
            let newer =
                state.last.as_ref().is_none_or(|last| last.created_at <= command.created_at);
            if newer || state.last.as_ref().is_some_and(|last| last.id == command.id) {
                state.last = Some(command);
            }
        } else if command.op.rules().exclusive
            && command.state.is_active()
            && state.command.is_none()
        {
            state.command = Some(command);
        } else {
            state.others.push(command);
        }
    }

    pub(super) fn disconnected(&mut self) {
        self.state.online = false;
        self.state.metrics = None;
        self.step_all(&Event::HostOffline);
    }

    /// Sends what waits, as soon as the host is there and idle.
    pub(super) fn dispatch(&mut self) {
        while self.state.online && self.state.command.is_none() {
            let queued = self.state.others.iter().filter(|c| c.state == State::Queued);
            let Some(next) = queued.min_by_key(|c| (c.created_at, c.id)).map(|c| c.id) else {
                return;
            };
            let Some(command) = self.state.find(next) else {
                return;
            };
            match self.state.allows(command.op, &command.args.clone()) {
                Ok(()) => {
                    let baseline = self.state.baseline();
                    if let Some(c) = self.state.others.iter_mut().find(|c| c.id == next) {
                        c.baseline = baseline;
                    }
                    self.step_id(next, &Event::HostOnline);
                    if let Some(command) = self.state.find(next).cloned() {
                        self.effects.push(HostEffect::Announce(Box::new(command)));
                    }
                }
                Err(refusal) => {
                    self.step_id(next, &Event::Blocked(refusal.message));
                }
            }
        }
    }

    /// Asks once how the checkout and the head relate, when that is worth knowing.
    pub(super) fn compare(&mut self) {
        let Some(remote) = self.state.desired.known() else {
            return;
        };
        let Some(host) = self.state.facts.checkout.clone() else {
            return;
        };
        let head = remote.commit.clone();
        let known = self.state.facts.lineage.as_ref();
        if host == head || known.is_some_and(|l| l.host == host && l.head == head) {
            return;
        }
        let pair = (host.clone(), head.clone());
        if self.state.comparing.as_ref() != Some(&pair) {
            self.state.comparing = Some(pair);
            self.effects.push(HostEffect::Compare { host, head });
        }
    }

    pub(super) fn compared(&mut self, host: Commit, head: Commit, comparison: Option<Comparison>) {
        let asked = self.state.comparing.as_ref();
        if asked.is_none_or(|(a, b)| *a != host || *b != head) {
            return;
        }
        // A failure is asked again when the remote or the host moves.
        if let Some(Comparison { relation, missing }) = comparison {
            self.state.facts.lineage = Some(Lineage { host, head, relation, missing });
            self.state.comparing = None;
        }
    }
}
