//! What the host went back from, kept by the agent for a dashboard that does not know (spec: guard,
//! "Held"). While a job is there, its intent says it; what is forgotten leaves it in a file.

use super::{Job, Jobs, hold, read_whole, write_whole};
use crate::agent::guard::intent::{self, Intent};
use crate::domain::guard::Claim;
use crate::domain::hold::Left;
use crate::domain::ids::{CommandId, Commit};
use crate::domain::operation::Operation;
use crate::domain::repeated::{Kept, Repeated, Went};
use crate::protocol::OutcomeStatus;
use std::path::Path;

/// Beside the jobs.
const HELD: &str = "held";

/// What was kept; nothing where that cannot be read.
pub(super) fn read(dir: &Path) -> Kept {
    let read = read_whole(&dir.join(HELD)).inspect_err(|error| {
        log::warn!("what this host went back from cannot be read: {error}");
    });
    read.ok().flatten().unwrap_or_default()
}

impl Jobs {
    /// What the host went back from, and nobody has let go. `runs`: the path that runs now.
    pub(crate) fn held(&self, runs: Option<&str>) -> Vec<Repeated> {
        let jobs = self.list();
        let is_open = jobs.iter().any(|job| intent::is_open(&job.dir));
        let mut kept = hold(&self.held);
        // In a switch that is not over yet another system runs for a while.
        if let Some(runs) = runs.filter(|_| !is_open) {
            let mut with_the_jobs = all(&kept, &jobs);
            if with_the_jobs.moves_on(runs) {
                *kept = Kept::default();
                self.write(&kept);
                return Vec::new();
            }
        }
        all(&kept, &jobs).left
    }

    /// The dashboard has let go what these commands left, or brought.
    pub(crate) fn let_go(&self, commands: &[CommandId]) {
        let mut kept = hold(&self.held);
        if kept.forget(commands) {
            self.write(&kept);
        }
    }

    /// The job is about to be forgotten.
    pub(super) fn keep_what_was_left(&self, job: &Job) {
        let Some(went) = went(job) else { return };
        let mut kept = hold(&self.held);
        kept.went(went);
        self.write(&kept);
    }

    fn write(&self, kept: &Kept) {
        if let Err(error) = write_whole(&self.dir.join(HELD), kept) {
            log::warn!("what this host went back from cannot be written: {error}");
        }
    }
}

/// What is kept, with what the jobs say that are not forgotten yet.
fn all(kept: &Kept, jobs: &[Job]) -> Kept {
    let mut all = kept.clone();
    for went in jobs.iter().filter_map(went) {
        all.went(went);
    }
    all
}

/// What the job's end means for what is held; `None`: nothing, or it has no guard, or is not over.
fn went(job: &Job) -> Option<Went> {
    let end = intent::end(&job.dir)?;
    let order = job.order().ok().flatten()?;
    let intent = intent::intent(&job.dir).ok().flatten()?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (old, new) = (text(&intent.old), text(&intent.new));
    let left = |commit, path, reason| Repeated {
        left: Left { commit, path: Some(path), of: Some(job.id) },
        reason,
    };
    if end.returned {
        let reason = end.message.unwrap_or_default();
        return Some(Went { left: Some(left(built_from(&intent), new, reason)), runs: old });
    }
    let kept = intent::claim(&job.dir) == Some(Claim::Keep) && end.status == OutcomeStatus::Ok;
    if order.op != Operation::Rollback || !kept || intent::boots(&job.dir) {
        return None;
    }
    let said = order.args.reason.filter(|reason| !reason.trim().is_empty());
    let reason = said.unwrap_or_else(|| "rolled back".to_owned());
    let holds = order.args.hold != Some(false);
    Some(Went { left: holds.then(|| left(None, old, reason)), runs: new })
}

/// What is built from changed files is of no commit.
fn built_from(intent: &Intent) -> Option<Commit> {
    let built = intent.built.as_ref().filter(|built| !built.dirty)?;
    Commit::parse(&built.commit)
}

#[cfg(test)]
mod tests;
