//! Several steps on several hosts: each host goes on only if its step succeeded.
//!
//! [`Rollout::apply`] is the only way to change one. It is pure: what must be stored or asked
//! comes out as [`Effect`]s. The id of a command is chosen, and stored, before it is asked for.
//! So a dashboard that was killed in between asks again with the same id, and nothing runs
//! twice (spec: lifecycle, "Pipelines and rollouts").

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Plan, plan};

use super::audit::Author;
use super::command::State;
use super::ids::{CommandId, HostId};
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
}

/// How far one host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Progress {
    /// It never took part; says why.
    LeftOut {
        /// E.g. `offline`.
        why: String,
    },
    /// Its next step has not started.
    Waiting {
        /// Number of that step, from 0.
        step: usize,
        /// Since when something other than the limit keeps it.
        since: Option<Timestamp>,
        /// What keeps it; `None`: the limit, or its turn has not come.
        why: Option<String>,
    },
    /// A step runs, or was asked for.
    Running {
        /// Number of the step.
        step: usize,
        /// The command.
        command: CommandId,
        /// Since when it was kept from starting; `None` once the host took the command.
        #[serde(default)]
        since: Option<Timestamp>,
    },
    /// All steps succeeded.
    Done {
        /// What was not done because there was nothing to do.
        note: Option<String>,
    },
    /// A step did not succeed; the rest was left out.
    Failed {
        /// Number of the step.
        step: usize,
        /// Why, in the user's words. May hold text of the host.
        why: String,
    },
    /// The rollout was halted before the step.
    Skipped {
        /// Number of the step.
        step: usize,
    },
}

impl Progress {
    /// Whether nothing more comes.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Waiting { .. } | Self::Running { .. } => false,
            Self::LeftOut { .. }
            | Self::Done { .. }
            | Self::Failed { .. }
            | Self::Skipped { .. } => true,
        }
    }
}

/// What can happen to a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was just made, or time has passed. Of the hosts that were kept from their step, these
    /// might take it now.
    Tick {
        /// Which.
        ready: BTreeSet<HostId>,
    },
    /// The host took a command that was asked for. It may be another one that does the same.
    Accepted {
        /// Which host.
        host: HostId,
        /// The id that was asked with.
        asked: CommandId,
        /// The command that counts.
        command: CommandId,
    },
    /// The host did not take a command that was asked for.
    Refused {
        /// Which host.
        host: HostId,
        /// The id that was asked with.
        asked: CommandId,
        /// Why.
        refusal: Refusal,
    },
    /// A command is over.
    Ended {
        /// Which host.
        host: HostId,
        /// Which command.
        command: CommandId,
        /// How.
        state: State,
        /// In words, where there are some. Hostile text.
        reason: Option<String>,
    },
    /// A user wants no further step to start.
    Cancel(Author),
    /// A host was removed.
    Removed(HostId),
    /// A user has seen how it ended.
    Dismiss,
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Store the rollout as it is now.
    Save,
    /// Ask a host for a command, once what came before is stored.
    Ask {
        /// Which host.
        host: HostId,
        /// With this id.
        id: CommandId,
        /// What.
        op: Operation,
    },
    /// Write to the audit log.
    Record {
        /// What happened.
        message: String,
        /// Who did it, if a user did.
        by: Option<Author>,
    },
}

/// How many hosts of a rollout are how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// All steps succeeded.
    pub done: usize,
    /// A step did not succeed.
    pub failed: usize,
    /// A step runs.
    pub running: usize,
    /// Its next step has not started.
    pub waiting: usize,
    /// The rollout was halted before it was through.
    pub skipped: usize,
    /// It never took part.
    pub left_out: usize,
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
        now: Timestamp,
        new_id: &mut dyn FnMut() -> CommandId,
    ) -> Vec<Effect> {
        let before = self.clone();
        let mut records = Vec::new();
        let mut ready = BTreeSet::new();
        match event {
            Event::Tick { ready: now_ready } => ready = now_ready,
            Event::Accepted { host, asked, command } => {
                if let Some((step, _)) = self.step_running(&host, asked) {
                    self.hosts.insert(host, Progress::Running { step, command, since: None });
                }
            }
            Event::Refused { host, asked, refusal } => {
                if let Some((step, since)) = self.step_running(&host, asked) {
                    let next = self.refused(step, since, refusal, now);
                    self.hosts.insert(host, next);
                }
            }
            Event::Ended { host, command, state, reason } => {
                if let Some((step, _)) = self.step_running(&host, command) {
                    self.hosts.insert(host, self.after(step, state, reason));
                }
            }
            Event::Cancel(by) => {
                if !self.is_over() && self.halted.is_none() {
                    self.halted = Some(format!("cancelled by {by}"));
                    let message = format!("{} was cancelled.", self.title());
                    records.push(Effect::Record { message, by: Some(by) });
                }
            }
            Event::Removed(host) => {
                if let Some(progress) = self.hosts.get_mut(&host).filter(|p| !p.is_over()) {
                    let step = match progress {
                        Progress::Waiting { step, .. } | Progress::Running { step, .. } => *step,
                        _ => 0,
                    };
                    *progress = Progress::Failed { step, why: "it was removed".to_owned() };
                }
            }
            Event::Dismiss => self.dismissed |= self.is_over(),
        }
        let asks = self.go_on(&ready, now, new_id);
        if self.finished_at.is_none() && self.hosts.values().all(Progress::is_over) {
            self.finished_at = Some(now);
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
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        parts.join(", ")
    }

    fn step_running(&self, host: &HostId, id: CommandId) -> Option<(usize, Option<Timestamp>)> {
        match self.hosts.get(host) {
            Some(Progress::Running { step, command, since }) if *command == id => {
                Some((*step, *since))
            }
            _ => None,
        }
    }

    /// Where a host is whose step was refused. What passes by itself is waited for: a command
    /// that runs as long as it takes, the rest for a while.
    fn refused(
        &self,
        step: usize,
        since: Option<Timestamp>,
        refusal: Refusal,
        now: Timestamp,
    ) -> Progress {
        let why = refusal.message;
        let code = refusal.code;
        let without_tests = matches!(code, RefusalCode::TestsDisabled | RefusalCode::NoTests);
        if without_tests && step > 0 {
            return Progress::Done { note: Some(why) };
        }
        if code == RefusalCode::HostBusy {
            return Progress::Waiting { step, since: None, why: Some(why) };
        }
        if code.passes() {
            return Progress::Waiting { step, since: since.or(Some(now)), why: Some(why) };
        }
        Progress::Failed { step, why }
    }

    /// Where a host is after a command that is over.
    fn after(&self, step: usize, state: State, reason: Option<String>) -> Progress {
        if state != State::Succeeded {
            let op = self.steps.get(step).map_or("Command", |op| op.label());
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let state = state.name().replace('_', " ");
            return Progress::Failed { step, why: format!("{op} {state}{why}") };
        }
        if step + 1 < self.steps.len() {
            Progress::Waiting { step: step + 1, since: None, why: None }
        } else {
            Progress::Done { note: None }
        }
    }

    /// Starts what may start, ends what may not.
    fn go_on(
        &mut self,
        ready: &BTreeSet<HostId>,
        now: Timestamp,
        new_id: &mut dyn FnMut() -> CommandId,
    ) -> Vec<Effect> {
        let failed = self.counts().failed;
        if let Some(most) = self.stop_after
            && self.halted.is_none()
            && failed >= most as usize
        {
            self.halted = Some(format!("{failed} failed"));
        }
        let mut deploying = self.running().filter(|(_, step, _)| self.deploys(*step)).count();
        let mut asks = Vec::new();
        let hosts: Vec<HostId> = self.hosts.keys().cloned().collect();
        for host in hosts {
            let Some(Progress::Waiting { step, since, why }) = self.hosts.get(&host) else {
                continue;
            };
            let (step, since) = (*step, *since);
            let next = if self.halted.is_some() {
                Progress::Skipped { step }
            } else if since.is_some_and(|since| now.since(since) >= PATIENCE) {
                let minutes = PATIENCE.as_secs() / 60;
                let why = why.clone().unwrap_or_default();
                Progress::Failed { step, why: format!("waited {minutes} minutes. {why}") }
            } else if (why.is_some() && !ready.contains(&host))
                || (self.deploys(step) && deploying >= self.at_once.max(1) as usize)
            {
                continue;
            } else {
                let Some(op) = self.steps.get(step).copied() else {
                    continue;
                };
                deploying += usize::from(self.deploys(step));
                let id = new_id();
                asks.push(Effect::Ask { host: host.clone(), id, op });
                Progress::Running { step, command: id, since }
            };
            self.hosts.insert(host, next);
        }
        asks
    }

    fn deploys(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|op| op.rules().deploys)
    }
}

/// What steps are called together.
pub fn label(steps: &[Operation]) -> String {
    if *steps == UPDATE {
        return "Update".to_owned();
    }
    let names: Vec<&str> = steps.iter().map(|op| op.label()).collect();
    names.join(", ")
}
