//! The agent looks after guarded switches that nobody acts for: after a restart of the machine, and
//! where the timer is gone in the same boot.

use super::intent::{self, Intent};
use super::systemd;
use crate::agent::facts;
use crate::agent::jobs::{Job, Jobs};
use crate::domain::guard::{self, AgentDoes, Claim, Found};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks for ever. Not for an async loop: systemd is asked. What is to be done is done by the guard, in
/// a service of its own: it may take longer than an agent lives.
pub(crate) fn run(jobs: &Arc<Jobs>) {
    loop {
        for job in jobs.list() {
            if intent::is_open(&job.dir)
                && let Err(error) = look_after(&job)
            {
                log::error!("the guarded switch {} cannot be looked after: {error}", job.id);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn look_after(job: &Job) -> io::Result<()> {
    let (Some(claim), Some(intent)) = (intent::claim(&job.dir), intent::intent(&job.dir)?) else {
        return Ok(());
    };
    let found = found(job, claim, &intent)?;
    match guard::agent(found) {
        AgentDoes::Nothing | AgentDoes::Waits => Ok(()),
        AgentDoes::ArmsAgain => {
            log::warn!("nobody acts for the guarded switch {}: its timer is armed again", job.id);
            systemd::arm(&intent, &job.dir, Duration::from_secs(1)).map_err(io::Error::other)
        }
    }
}

fn found(job: &Job, claim: Claim, intent: &Intent) -> io::Result<Found> {
    let unit = systemd::guard_unit(intent.id);
    Ok(Found {
        claim,
        this_boot: facts::boot_id().is_some_and(|boot| boot == intent.boot_id),
        activating: intent::is_activating(&job.dir),
        done: intent::is_done(&job.dir),
        job_lives: job.try_lock()?.is_none(),
        timer: systemd::is_active(&format!("{unit}.timer")),
        guard_runs: systemd::is_active(&format!("{unit}.service")),
    })
}
