//! How far each host of a rollout is.

use super::{AWAY, PATIENCE, plan};
use crate::domain::ids::CommandId;
use crate::domain::moment::{Moment, Uptime};
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// How far one host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Progress {
    /// It did not take part, or not to its end; says why.
    LeftOut {
        /// E.g. `offline`.
        why: String,
    },
    /// Its next step has not started.
    Waiting {
        /// Number of that step, from 0.
        step: usize,
        /// Since when something other than the limit keeps it, by the time of day.
        since: Option<Timestamp>,
        /// When it has been kept for long enough, by time that passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Uptime>,
        /// It is away: it holds nobody up, and is left out in the end.
        #[serde(default, skip_serializing_if = "is_not")]
        away: bool,
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
        /// As while it waited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Uptime>,
        /// As while it waited.
        #[serde(default, skip_serializing_if = "is_not")]
        away: bool,
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

/// How long something other than the limit has kept a host from its step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Uptime>,
    pub(super) away: bool,
}

impl Kept {
    /// The same, counted from now on if it was not before, or was kept by something else.
    pub(super) fn from(self, now: Moment, away: bool) -> Self {
        let before = if self.away == away { self } else { Self::default() };
        let patience = if away { AWAY } else { PATIENCE };
        let until = before.until.or(Some(now.up + patience));
        Self { since: before.since.or(Some(now.at)), until, away }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_not(flag: &bool) -> bool {
    !flag
}

impl Progress {
    /// The next step has not started.
    pub const fn next(step: usize) -> Self {
        Self::Waiting { step, since: None, until: None, away: false, why: None }
    }

    pub(super) fn waiting(step: usize, kept: Kept, why: Option<String>) -> Self {
        let Kept { since, until, away } = kept;
        Self::Waiting { step, since, until, away, why }
    }

    pub(super) fn running(step: usize, command: CommandId, kept: Kept) -> Self {
        let Kept { since, until, away } = kept;
        Self::Running { step, command, since, until, away }
    }

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

    /// Whether it is under way: a step was asked for, or is behind it.
    pub(super) const fn has_begun(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Waiting { step: 1.., .. })
    }

    /// Whether it never took part because it had nothing to do.
    pub fn was_current(&self) -> bool {
        matches!(self, Self::LeftOut { why } if why == plan::CURRENT)
    }
}
