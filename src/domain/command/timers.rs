//! What counts down in each state (spec: lifecycle, "States").
//!
//! All of it is time that passed while a dashboard ran ([`Uptime`]). What counts only while the
//! host is connected stands still while it is not.

use super::{Command, Live, State, WorkPhase};
use crate::domain::moment::{Countdown, Moment, Uptime};
use crate::domain::operation::Operation;
use crate::domain::timestamp::Timestamp;
use std::time::Duration;

/// How long a command waits for its host to come back.
pub const QUEUED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a connected agent has to acknowledge a command.
pub const SENT_FOR: Duration = Duration::from_secs(30);
/// How much time of connection a command may be on its way in all, however often the link comes
/// and goes.
pub const SENT_AT_MOST: Duration = Duration::from_secs(600);
/// How long a host may be gone before its command is given up.
pub const GONE_FOR: Duration = Duration::from_secs(600);
/// How much time of connection a stop may take.
pub const STOPPING_FOR: Duration = Duration::from_secs(15);
/// The same while something activates: that is let end first.
pub const STOPPING_ACTIVATION_FOR: Duration = Duration::from_secs(600);
/// How much time of connection fresh facts may take to prove the goal.
pub const VERIFYING_FOR: Duration = Duration::from_secs(90);
/// How long an overdue switch is waited for, and whatever a guard has.
pub const OVERDUE_SWITCH_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a stop of what a guard has may take, and its host be gone: the guard activates the system
/// of before, five times at most, and reboots into it.
pub const GUARD_RETURNS_FOR: Duration = Duration::from_secs(3600);
/// So many heartbeats a connected agent may need to acknowledge a command: one that beats every
/// minute has no time for it within [`SENT_FOR`].
pub const SENT_HEARTBEATS: u8 = 3;

impl Command {
    /// Whether what runs on the host may be changing, as far as is known. A 3.x agent never says.
    pub fn may_activate(&self) -> bool {
        self.op.rules().deploys && self.phase.is_none_or(WorkPhase::may_activate)
    }

    /// Begins to count for the state that it is in.
    pub fn start_timers(&mut self, now: Uptime) {
        let (time, at_most) = match self.state.live() {
            Some(Live::Queued) => (Some(QUEUED_FOR), None),
            Some(Live::Sent) => (Some(SENT_FOR), Some(SENT_AT_MOST)),
            Some(Live::Running) => (Some(self.time_limit), None),
            Some(Live::Overdue) if self.op == Operation::Switch || self.guarded => {
                (Some(OVERDUE_SWITCH_FOR), None)
            }
            Some(Live::Overdue) => (Some(self.time_limit), None),
            Some(Live::Stopping) => (Some(self.stopping_for()), None),
            Some(Live::Verifying) => {
                (Some(VERIFYING_FOR), Some(self.time_limit.max(VERIFYING_FOR)))
            }
            None => (None, None),
        };
        self.timer = time.map(|time| Countdown::from(now, time));
        self.at_most = at_most.map(|time| Countdown::from(now, time));
    }

    pub(super) fn stopping_for(&self) -> Duration {
        match self.may_activate() {
            true if self.guarded => GUARD_RETURNS_FOR,
            true => STOPPING_ACTIVATION_FOR,
            false => STOPPING_FOR,
        }
    }

    /// How long its host may be gone before it is given up. A guard goes on meanwhile, and cuts the
    /// link itself where it reboots.
    fn gone_for(&self) -> Duration {
        if self.guarded && self.may_activate() { GUARD_RETURNS_FOR } else { GONE_FOR }
    }

    /// The host is gone: what counts time of connection stands still.
    pub(super) fn pause(&mut self, now: Uptime) {
        self.gone_since.get_or_insert(now);
        let paused = |timer: Option<Countdown>| timer.map(|timer| timer.paused(now));
        match self.state.live() {
            Some(Live::Sent) => {
                self.timer = paused(self.timer);
                self.at_most = paused(self.at_most);
            }
            Some(Live::Stopping | Live::Verifying) => self.timer = paused(self.timer),
            Some(Live::Queued | Live::Running | Live::Overdue) | None => {}
        }
    }

    /// The host is back: what stood still goes on. An agent on a new link has its whole time to
    /// acknowledge, and for facts.
    pub(super) fn resume(&mut self, now: Uptime) {
        self.gone_since = None;
        self.timer = self.timer.map(|timer| timer.resumed(now));
        self.at_most = self.at_most.map(|timer| timer.resumed(now));
        match self.state.live() {
            Some(Live::Sent) => self.timer = Some(Countdown::from(now, SENT_FOR)),
            Some(Live::Verifying) => self.timer = Some(Countdown::from(now, VERIFYING_FOR)),
            Some(Live::Queued | Live::Running | Live::Overdue | Live::Stopping) | None => {}
        }
    }

    /// When something is due: the state must be left, or it is to be pointed at as slow. `None` in
    /// states that are over.
    pub fn due(&self) -> Option<Uptime> {
        match self.state {
            State::Running => self.slow_at().or(self.leaves_by()),
            _ => self.leaves_by(),
        }
    }

    /// When the state must be left, as things are; `None` in states that are over.
    pub fn leaves_by(&self) -> Option<Uptime> {
        let timer = self.timer.and_then(Countdown::until);
        let at_most = self.at_most.and_then(Countdown::until);
        let gone = self.gone_since.map(|since| since + self.gone_for());
        match self.state.live()? {
            Live::Sent if self.missed >= SENT_HEARTBEATS => gone.or(timer.min(at_most)),
            Live::Sent => gone.or(at_most),
            Live::Overdue | Live::Stopping => gone.or(timer),
            Live::Queued | Live::Running => timer,
            // Facts can come only from a connected host.
            Live::Verifying if gone.is_some() => at_most,
            Live::Verifying => timer.min(at_most),
        }
    }

    /// When the state must be left, by the time of day: for showing.
    pub fn deadline(&self, now: Moment) -> Option<Timestamp> {
        self.leaves_by().map(|up| now.time_of_day(up))
    }

    /// Whether its own time is up, the pointing at it as slow apart.
    pub(super) fn is_out_of_time(&self, now: Uptime) -> bool {
        self.leaves_by().is_some_and(|by| by <= now)
    }

    /// When a running command should be pointed at as slow; `None` once it was.
    fn slow_at(&self) -> Option<Uptime> {
        let ahead = self.time_limit.checked_sub(self.op.rules().warn_after)?;
        let until = self.timer.and_then(Countdown::until).filter(|_| !self.slow)?;
        Some(until.before(ahead))
    }
}
