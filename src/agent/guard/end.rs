//! How a guarded switch is said to have ended, by whoever acts for it when its supervisor is gone.

use super::intent::{self, End, Intent};
use super::{boot, roots, systemd};
use crate::agent::facts::{self, JobFacts};
use crate::agent::jobs::supervisor::write_outcome;
use crate::agent::jobs::{Job, Order, Outcome};
use crate::protocol::OutcomeStatus;
use std::io;

/// Ends the job: it is over from here on, and nothing of the guard is left. `last_seq` is the number
/// of the last line of its output.
///
/// # Errors
///
/// It cannot be written that it is over; then it is not.
pub(super) fn write(
    job: &Job,
    order: &Order,
    intent: &Intent,
    end: &End,
    last_seq: u64,
) -> io::Result<()> {
    intent::mark_done(&job.dir, end)?;
    let well = end.status == OutcomeStatus::Ok;
    let built = boot::built(&job.dir, &order.site, intent, well);
    let facts = JobFacts { built, ..facts::after_job(&order.site) };
    let outcome = Outcome { facts, ..Outcome::of_the_guard(end, last_seq) };
    if let Err(error) = write_outcome(job, &outcome) {
        // The agent makes one of what was marked.
        log::warn!("the end of the job {} cannot be written: {error}", job.id);
    }
    systemd::disarm(intent.id);
    roots::remove(&order.site, intent);
    Ok(())
}
