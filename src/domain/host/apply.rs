//! One event being applied: commands step, and go where they then belong.

use super::event::{HostEffect, HostEvent, Report, Said};
use super::state::{HostState, NewId};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::bounds::{self, Bound};
use crate::domain::command::{self, Command, Event, Goal, State};
use crate::domain::facts::{Comparison, Lineage};
use crate::domain::ids::{CommandId, Commit};
use crate::domain::moment::Moment;
use std::collections::BTreeSet;
use std::time::Duration;

impl HostState {
    /// Lets `event` happen at `now`. The same state and event always give the same.
    ///
    /// Invariant: this is the only way to change a host.
    pub fn apply(&mut self, event: HostEvent, now: Moment, new_id: NewId<'_>) -> Vec<HostEffect> {
        if self.changes_nothing_stored(&event) {
            self.notice(&event, now);
            return Vec::new();
        }
        let beat = heartbeat_without_work(&event);
        self.heard_last = None;
        let before = (self.profile.clone(), self.facts.clone());
        let mut turn = Turn { state: self, now, new_id, effects: Vec::new(), said: None };
        turn.handle(event);
        turn.verify();
        turn.look_at_what_runs();
        turn.look_at_the_hold();
        turn.start_waiting_tests();
        turn.dispatch();
        turn.compare();
        let mut effects = turn.effects;
        if (&before.0, &before.1) != (&self.profile, &self.facts) {
            effects.insert(0, HostEffect::SaveHost);
        }
        self.heard_last = beat;
        effects
    }

    /// Whether an event changes nothing but what is never stored or stored late: the link, the
    /// load, and when the host was last heard of. Applying it copies nothing, and has no effects.
    pub fn changes_nothing_stored(&self, event: &HostEvent) -> bool {
        match event {
            HostEvent::LinkIs { .. } | HostEvent::Heard | HostEvent::Restrained(_) => true,
            HostEvent::Heartbeat { report, work: None } => {
                let known = self.heard_last.as_ref().is_some_and(|last| last.says_as(report));
                let idle = self.commands.live().next().is_none() && self.overrun.is_none();
                known && self.online && idle
            }
            _ => false,
        }
    }

    fn notice(&mut self, event: &HostEvent, now: Moment) {
        match event {
            HostEvent::LinkIs { up } => {
                self.online = *up;
                if !up {
                    self.metrics = None;
                }
            }
            HostEvent::Restrained(by) => self.restraints.clone_from(by),
            HostEvent::Heartbeat { report, .. } => {
                self.last_seen = Some(now.at);
                self.metrics = report.metrics.or(self.metrics);
            }
            _ if self.online => self.last_seen = Some(now.at),
            _ => {}
        }
    }
}

/// What is kept of a heartbeat to know the next one by.
fn heartbeat_without_work(event: &HostEvent) -> Option<Box<Report>> {
    match event {
        HostEvent::Heartbeat { report, work: None } => {
            let mut beat = report.clone();
            beat.metrics = None;
            Some(beat)
        }
        _ => None,
    }
}

/// One event being applied.
pub(super) struct Turn<'a, 'b> {
    pub(super) state: &'a mut HostState,
    pub(super) now: Moment,
    pub(super) new_id: NewId<'b>,
    pub(super) effects: Vec<HostEffect>,
    /// How the host was at the end of the command that this event ends, as its outcome says.
    pub(super) said: Option<Said>,
}

impl Turn<'_, '_> {
    pub(super) fn handle(&mut self, event: HostEvent) {
        if event.is_said_by_agent() {
            if !self.state.online {
                // Its link is gone; what it still has to say it says on the next one.
                return;
            }
            self.seen();
        }
        match event {
            HostEvent::Connected { registration, known } => self.connected(*registration, known),
            HostEvent::Disconnected => self.disconnected(),
            HostEvent::Heartbeat { report, work } => self.heartbeat(&report, work),
            HostEvent::Heard | HostEvent::LinkIs { .. } | HostEvent::Restrained(_) => {}
            HostEvent::Accepted(id) => {
                self.step_id(id, &Event::Runs);
            }
            HostEvent::Phase { id, phase } => self.phase(id, phase),
            HostEvent::Remembered(command) => self.remembered(*command),
            HostEvent::Output { id, first_seq, count, last_error } => {
                self.output(id, first_seq, count, last_error.as_deref());
            }
            HostEvent::Rejected { about, reason, work } => self.rejected(&about, &reason, work),
            HostEvent::Ended { about, outcome, report } => self.ended(&about, &outcome, &report),
            HostEvent::Progress { about, text } => self.progress(&about, &text),
            HostEvent::TestEnded { about, result } => self.test_ended(&about, result),
            HostEvent::Requested { id, op, args, queue, by } => {
                match self.has_already(id, op, &args) {
                    Some(command) => self.effects.push(HostEffect::Answer(Box::new(Ok(command)))),
                    None => self.requested(id, op, args, queue, by),
                }
            }
            HostEvent::StopRequested { id, by } => self.user_event(id, &Event::Stop(by)),
            HostEvent::ExtendRequested { id, by } => self.user_event(id, &Event::Extend(by)),
            HostEvent::Configured { change, by } => self.configured(*change, by),
            HostEvent::Held { reason, by } => self.held(&reason, by),
            HostEvent::Released { by } => self.released(by),
            HostEvent::DesiredChanged(desired) => self.state.desired = desired,
            HostEvent::Compared { host, head, comparison } => self.compared(host, head, comparison),
            HostEvent::Drift(drift) => self.state.drift = drift,
            HostEvent::Odd(what) => self.odd(what),
            HostEvent::Exceeded(bound) => self.exceeded(bound),
            HostEvent::ReportWanted => self.report_wanted(),
            HostEvent::Tick => {
                self.state.echoes.tick(self.now.up);
                self.state.takeovers.tick(self.now.up);
                self.step_all(&Event::Tick);
            }
        }
    }

    pub(super) fn seen(&mut self) {
        self.state.last_seen = Some(self.now.at);
    }

    /// Writes to the audit log. `by`: who did it, if a user did.
    pub(super) fn record(&mut self, category: AuditCategory, message: String, by: Option<Author>) {
        self.effects.push(HostEffect::Record { category, message, by, command: None });
    }

    /// Records what happened to a command.
    pub(super) fn record_of(&mut self, id: CommandId, message: String, by: Option<Author>) {
        let (category, command) = (AuditCategory::Command, Some(id));
        self.effects.push(HostEffect::Record { category, message, by, command });
    }

    /// Records a message of the agent that makes no sense and changes nothing. An agent that
    /// sends many fills no audit log.
    pub(super) fn odd(&mut self, what: String) {
        self.state.odd = self.state.odd.saturating_add(1);
        match self.state.odd {
            ..bounds::ODD_MESSAGES => self.record(AuditCategory::Protocol, what, None),
            bounds::ODD_MESSAGES => {
                let more = "Further such messages are not recorded until it reconnects.";
                let last = format!("{what} {more}");
                self.record(AuditCategory::Protocol, last, None);
            }
            _ => {}
        }
    }

    /// Records that the agent said more than it may, each bound once in a while.
    pub(super) fn exceeded(&mut self, bound: &'static Bound) {
        let often = Duration::from_secs(bounds::EXCEEDED_TOLD_EVERY_S);
        let now = self.now.up;
        let told = self.state.exceeded.get(bound.what);
        if told.is_some_and(|at| now.since(*at) < often) {
            return;
        }
        self.state.exceeded.insert(bound.what, now);
        self.record(AuditCategory::Protocol, format!("Beyond a bound. {bound}."), None);
    }

    /// Steps every live command.
    pub(super) fn step_all(&mut self, event: &Event) {
        self.step_those(|_| true, event);
    }

    /// Steps the live commands of which `which` is true.
    pub(super) fn step_those(&mut self, which: impl Fn(&Command) -> bool, event: &Event) {
        for id in self.state.commands.ids_of_live(which) {
            self.step_id(id, event);
        }
    }

    /// Steps one command, wherever it is, and puts it where it then belongs.
    /// Returns false if the host has no such command.
    pub(super) fn step_id(&mut self, id: CommandId, event: &Event) -> bool {
        let Some(before) = self.state.commands.take(id) else {
            return false;
        };
        let late = before.state == State::Lost
            && before.op.rules().exclusive
            && self.state.commands.exclusive().is_some();
        if late && *event == Event::Runs {
            // Only one runs at a time; which one is for the next heartbeat to say.
            self.state.commands.put(before);
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
                command::Effect::SendStop => {
                    self.state.echoes.told_to_stop(id);
                    self.effects.push(HostEffect::Stop(id));
                }
                command::Effect::Journal => self.effects.push(HostEffect::SaveCommand {
                    command: Box::new(after.clone()),
                    journal: true,
                }),
                command::Effect::Save => self.effects.push(HostEffect::SaveCommand {
                    command: Box::new(after.clone()),
                    journal: false,
                }),
                command::Effect::Refetch => self.effects.push(HostEffect::Refetch),
            }
        }
        // Also what was lost and is lost still: it may have had an end, of which more is known now.
        let ended = after.state.is_terminal() && after != before;
        self.state.commands.put(after.clone());
        if ended {
            self.finished(&after);
        }
        true
    }

    pub(super) fn disconnected(&mut self) {
        self.state.online = false;
        self.state.metrics = None;
        self.state.paths_told = false;
        self.state.overrun = None;
        if !self.state.protocol().names_commands_by_id() {
            // It never says that it took these: it ends its link.
            let beside =
                |command: &Command| command.state == State::Sent && !command.op.rules().exclusive;
            self.step_those(beside, &Event::Runs);
        }
        self.step_all(&Event::HostOffline);
    }

    /// Sends what waits, as soon as the host is there and idle. What a freeze or its windows keep back
    /// is passed over: it holds nothing else up.
    pub(super) fn dispatch(&mut self) {
        if self.state.is_quiet() || self.state.overrun.is_some() {
            return;
        }
        let mut kept = BTreeSet::new();
        while self.state.online && self.state.commands.exclusive().is_none() {
            let Some(next) = self.state.commands.next_queued(&kept) else {
                return;
            };
            let (id, op, args) = (next.id, next.op, next.args.clone());
            if self.keeps_back(id) {
                kept.insert(id);
                continue;
            }
            if let Err(refusal) = self.state.allows(op, &args) {
                self.step_id(id, &Event::Blocked(refusal.message));
                continue;
            }
            let baseline = self.state.next_baseline();
            self.state.commands.set_baseline(id, baseline);
            self.step_id(id, &Event::HostOnline);
            if let Some(command) = self.state.find(id).cloned() {
                self.effects.push(HostEffect::Announce(Box::new(command)));
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
