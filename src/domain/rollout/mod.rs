//! Several steps on several hosts: each host goes on only if its step succeeded.
//!
//! [`Rollout::apply`] is the only way to change one. It is pure: what must be stored or asked
//! comes out as [`Effect`]s. The id of a command is chosen, and stored, before it is asked for.
//! So a dashboard that was killed in between asks again with the same id, and nothing runs
//! twice (spec: lifecycle, "Pipelines and rollouts").

mod back;
mod event;
mod going;
mod held_back;
mod plan;
mod progress;
#[cfg(test)]
mod tests;
mod waves;

pub use back::{Back, OnFailure, WayBack, way_back};
pub use event::{Counts, Effect, Event};
pub use held_back::changes_what_runs;
pub use plan::{Plan, followed_by_tests, plan, takes_part};
use progress::Kept;
pub use progress::Progress;
pub use waves::{Wave, sizes};

use super::audit::Author;
use super::command::State;
use super::ids::{CommandId, HostId};
use super::maintenance::Regardless;
use super::moment::{Moment, Uptime};
use super::operation::Operation;
use super::refusal::{Refusal, RefusalCode};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// How many hosts switch at once, where nobody says otherwise.
pub const SWITCH_AT_ONCE: u32 = 3;
/// How long a host may keep a rollout waiting for something else than a command that runs.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// How long a host that is away is waited for, before it is left out.
pub const AWAY: Duration = Duration::from_secs(24 * 3600);
/// No wave soaks for longer.
pub const SOAK_AT_MOST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Pull, switch, test.
pub const UPDATE: [Operation; 3] = [Operation::Pull, Operation::Switch, Operation::Test];

/// A rollout's id: a UUIDv7, made by the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub Uuid);

impl RolloutId {
    /// Parses a UUID; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Several steps on several hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// What each host does, in this order.
    pub steps: Vec<Operation>,
    /// How many hosts may be in a step that changes what runs, at once. At least 1.
    pub at_once: u32,
    /// One host goes through all steps before any other begins. If it fails, no other does.
    #[serde(default)]
    pub one_first: bool,
    /// How many hosts begin in each wave, in order. Empty: all in one, or what `one_first` says.
    #[serde(default)]
    pub waves: Vec<usize>,
    /// How long a wave that is done is looked at before the next one begins, in seconds.
    #[serde(default)]
    pub soak: u64,
    /// The wave that is under way, from 0.
    #[serde(default)]
    pub wave: usize,
    /// In which wave each host began.
    #[serde(default)]
    pub began: BTreeMap<HostId, usize>,
    /// The wave is done, and is looked at.
    #[serde(default)]
    pub soaks: Option<Soak>,
    /// No further step starts until somebody resumes it: who paused it.
    #[serde(default)]
    pub paused: Option<Author>,
    /// What its users go on regardless of.
    #[serde(default)]
    pub regardless: Regardless,
    /// Since when the freeze was that its users go on regardless of. A later one holds.
    #[serde(default)]
    pub of_freeze: Option<Timestamp>,
    /// The hosts that a freeze or their windows keep from the next step, and why.
    #[serde(default)]
    pub held_back: BTreeMap<HostId, String>,
    /// Since when each of them is, by time that passed.
    #[serde(default)]
    pub held_since: BTreeMap<HostId, Uptime>,
    /// When so many hosts failed, no further step starts; `None`: however many.
    pub stop_after: Option<u32>,
    /// Who asked.
    pub requested_by: Author,
    /// When.
    pub created_at: Timestamp,
    /// Why no further step starts, if so: somebody cancelled, or too many failed.
    pub halted: Option<String>,
    /// When the last host was through.
    pub finished_at: Option<Timestamp>,
    /// Somebody has seen how it ended; the page shows it no more.
    pub dismissed: bool,
    /// How far each host is.
    pub hosts: BTreeMap<HostId, Progress>,
    /// Hosts to which it brought what a boot has to start: tests would be of what ran before.
    #[serde(default)]
    pub boots: BTreeSet<HostId>,
    /// What becomes of a wave when too many hosts failed.
    #[serde(default)]
    pub way_back: WayBack,
}

/// A wave is looked at before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soak {
    /// When the next one begins, by the time of day: for people.
    pub ends: Timestamp,
    /// The same, by time that passed.
    pub until: Uptime,
}

impl Rollout {
    /// Whether every host is through.
    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    /// The name for people: "Update", or what its one step is called.
    pub fn label(&self) -> String {
        label(&self.steps)
    }

    /// How many hosts are how far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for progress in self.hosts.values() {
            *match progress {
                Progress::LeftOut { .. } => &mut counts.left_out,
                Progress::Waiting { .. } => &mut counts.waiting,
                Progress::Running { .. } => &mut counts.running,
                Progress::Done { .. } => &mut counts.done,
                Progress::Failed { .. } => &mut counts.failed,
                Progress::Skipped { .. } => &mut counts.skipped,
            } += 1;
        }
        counts.rolled_back = self.way_back.rolled_back();
        counts
    }

    /// The commands it waits for.
    pub fn running(&self) -> impl Iterator<Item = (&HostId, usize, CommandId)> {
        self.hosts.iter().filter_map(|(host, progress)| match progress {
            Progress::Running { step, command, .. } => Some((host, *step, *command)),
            _ => None,
        })
    }

    /// The hosts that something other than the limit keeps from their step, and that step.
    pub fn kept(&self) -> impl Iterator<Item = (&HostId, Operation)> {
        self.hosts.iter().filter_map(|(host, progress)| match progress {
            Progress::Waiting { step, why: Some(_), .. } => Some((host, *self.steps.get(*step)?)),
            _ => None,
        })
    }

    /// Lets `event` happen at `now`. The same rollout, event and ids always give the same.
    pub fn apply(
        &mut self,
        event: Event,
        now: Moment,
        new_id: &mut dyn FnMut() -> CommandId,
    ) -> Vec<Effect> {
        let before = self.clone();
        let mut records = Vec::new();
        let mut ready = BTreeSet::new();
        match event {
            Event::Tick { ready: now_ready } => ready = now_ready,
            Event::HeldBack(all) => self.hold_back(all, now),
            Event::Accepted { host, asked, command } => {
                if let Some((step, _)) = self.step_running(&host, asked) {
                    self.hosts.insert(host, Progress::running(step, command, Kept::default()));
                } else {
                    self.way_back.accepted(&host, asked, command);
                }
            }
            Event::Refused { host, asked, refusal } => {
                if let Some((step, kept)) = self.step_running(&host, asked) {
                    self.did_not_take(host, step, kept, refusal, now);
                } else {
                    self.way_back.refused(&host, asked, refusal, now);
                }
            }
            Event::Ended { host, command, state, reason, boots } => {
                if let Some((step, _)) = self.step_running(&host, command) {
                    self.note_what_came(&host, step, command, boots && state == State::Succeeded);
                    self.hosts.insert(host.clone(), self.after(&host, step, state, reason));
                } else {
                    self.way_back.ended(&host, command, state, reason);
                }
            }
            Event::NothingToTakeBack { host, asked, why } => {
                self.way_back.has_nothing(&host, asked, why);
            }
            Event::Cancel(by) => {
                if !self.is_over() && self.halted.is_none() {
                    self.halted = Some(format!("cancelled by {by}"));
                    let message = format!("{} was cancelled.", self.title());
                    records.push(Effect::Record { message, by: Some(by) });
                }
            }
            Event::Pause(by) => records.extend(self.pause(by)),
            Event::Resume(by) => records.extend(self.resume(by, now)),
            Event::Promote(by) => records.extend(self.promote(by)),
            Event::LeaveOut { host, by } => records.extend(self.leave_out(&host, by)),
            Event::Removed(host) => {
                if let Some(progress) = self.hosts.get_mut(&host).filter(|p| !p.is_over()) {
                    let step = match progress {
                        Progress::Waiting { step, .. } | Progress::Running { step, .. } => *step,
                        _ => 0,
                    };
                    *progress = Progress::Failed { step, why: "it was removed".to_owned() };
                }
                self.way_back.removed(&host);
            }
            Event::Dismiss => self.dismissed |= self.is_over(),
        }
        let asks = self.go_on(&before, &ready, now, new_id);
        for wave in self.way_back.waves.difference(&before.way_back.waves) {
            let why = self.halted.as_deref().unwrap_or_default();
            let message = format!("{} rolls back wave {}: {why}.", self.title(), wave + 1);
            records.push(Effect::Record { message, by: None });
        }
        let is_through = self.hosts.values().all(Progress::is_over) && !self.goes_back();
        if self.finished_at.is_none() && is_through {
            self.finished_at = Some(now.at);
            let message = format!("{} ended: {}.", self.title(), self.told());
            records.push(Effect::Record { message, by: None });
        }
        let mut effects = Vec::new();
        if *self != before {
            effects.push(Effect::Save);
        }
        effects.extend(records);
        effects.extend(asks);
        effects
    }

    /// "Update of 5 hosts"
    pub fn title(&self) -> String {
        let part = self.hosts.values().filter(|p| !matches!(p, Progress::LeftOut { .. })).count();
        format!("{} of {part} host{}", self.label(), if part == 1 { "" } else { "s" })
    }

    /// "4 done, 1 failed"
    pub fn told(&self) -> String {
        let counts = self.counts();
        let parts = [
            (counts.done, "done"),
            (counts.running, "running"),
            (counts.waiting, "waiting"),
            (counts.failed, "failed"),
            (counts.skipped, "not attempted"),
            (counts.left_out, "left out"),
            (counts.rolled_back, "rolled back"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        parts.join(", ")
    }

    fn step_running(&self, host: &HostId, id: CommandId) -> Option<(usize, Kept)> {
        match self.hosts.get(host) {
            Some(Progress::Running { step, command, since, until, away }) if *command == id => {
                Some((*step, Kept { since: *since, until: *until, away: *away }))
            }
            _ => None,
        }
    }

    /// A step was not taken.
    fn did_not_take(
        &mut self,
        host: HostId,
        step: usize,
        kept: Kept,
        refusal: Refusal,
        now: Moment,
    ) {
        let is_restrained =
            matches!(refusal.code, RefusalCode::Frozen | RefusalCode::OutsideWindow);
        if is_restrained && held_back::may_be_held_back(&self.steps, step) {
            return self.is_held_back(host, step, refusal.message, now);
        }
        let next = self.refused(step, kept, refusal, now);
        if step == 0 && !matches!(next, Progress::Failed { .. }) {
            // It did not begin: another one may take its place.
            self.began.remove(&host);
        }
        self.hosts.insert(host, next);
    }

    /// Where a host is whose step was refused. What passes by itself is waited for: a command
    /// that runs as long as it takes, the rest for a while.
    fn refused(&self, step: usize, kept: Kept, refusal: Refusal, now: Moment) -> Progress {
        let why = refusal.message;
        let code = refusal.code;
        let needless = matches!(
            code,
            RefusalCode::TestsDisabled | RefusalCode::NoTests | RefusalCode::NothingToDo
        );
        if needless && step > 0 {
            let is_last = step + 1 == self.steps.len();
            return if is_last {
                Progress::Done { note: Some(why) }
            } else {
                Progress::next(step + 1)
            };
        }
        if code == RefusalCode::NothingToDo {
            return Progress::LeftOut { why };
        }
        if matches!(code, RefusalCode::HostBusy | RefusalCode::HostActivating) {
            return Progress::waiting(step, Kept::default(), Some(why));
        }
        if code == RefusalCode::Held {
            return Progress::LeftOut { why };
        }
        if code.passes() {
            let away = code == RefusalCode::HostOffline;
            return Progress::waiting(step, kept.from(now, away), Some(why));
        }
        Progress::Failed { step, why }
    }

    /// A step ended: what it brought may have to be taken back, or waits for a boot.
    fn note_what_came(&mut self, host: &HostId, step: usize, command: CommandId, boots: bool) {
        if self.steps.get(step).is_some_and(|op| op.rules().deploys) {
            self.way_back.brought.insert(host.clone(), command);
            if boots {
                self.boots.insert(host.clone());
            }
        }
    }

    /// Where a host is after a command that is over.
    fn after(&self, host: &HostId, step: usize, state: State, reason: Option<String>) -> Progress {
        let op = self.steps.get(step).copied();
        if state != State::Succeeded {
            let op = op.map_or("Command", Operation::label);
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let state = state.name().replace('_', " ");
            return Progress::Failed { step, why: format!("{op} {state}{why}") };
        }
        // Tests would be of what ran before.
        let untested = self.boots.contains(host);
        let skips = untested && self.steps.get(step + 1) == Some(&Operation::Test);
        let next = step + 1 + usize::from(skips);
        if next < self.steps.len() {
            return Progress::next(next);
        }
        let how =
            if op == Some(Operation::Reboot) { "was started by a reboot" } else { WAITS_FOR_BOOT };
        Progress::Done { note: untested.then(|| format!("not tested: it {how}")) }
    }
}

/// What is said of what a boot has to start.
const WAITS_FOR_BOOT: &str = "starts at the next boot";

/// What steps are called together.
pub fn label(steps: &[Operation]) -> String {
    if let Some(rest) = steps.strip_prefix(&UPDATE) {
        let rest = rest.iter().map(|op| format!(" and {}", op.label().to_lowercase()));
        return std::iter::once("Update".to_owned()).chain(rest).collect();
    }
    let names: Vec<&str> = steps.iter().map(|op| op.label()).collect();
    names.join(", ")
}
