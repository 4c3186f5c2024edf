//! What the agent and its jobs do about guarded switches.

use super::{Job, Jobs, Order};
use crate::agent::guard::{confirm, intent, systemd};
use crate::domain::guard::{self, Found, StopMeans};
use crate::domain::operation::{Operation, Regardless};
use crate::protocol::GuardWord;
use std::io;

impl Order {
    /// Whether it is carried out under the guard.
    pub(crate) fn is_guarded(&self) -> bool {
        let activates = match self.op {
            Operation::Switch | Operation::PullSwitch | Operation::Rollback => true,
            Operation::Pull
            | Operation::Test
            | Operation::DryRun
            | Operation::RestartAgent
            | Operation::Reboot => false,
        };
        // What users set on the dashboard wins over how the host is set up.
        let wanted = self.args.guard.unwrap_or(self.site.guard.enabled);
        let regardless = self.args.regardless.contains(&Regardless::Guard);
        activates && wanted && self.site.can_be_guarded() && !regardless
    }
}

impl Jobs {
    /// Stops a job whose guard has begun: the system of before comes back. False if a stop is the
    /// usual one.
    ///
    /// # Errors
    ///
    /// In the user's words, that it is too late; or it cannot be marked.
    pub(super) fn stop_by_its_guard(&self, job: &Job) -> io::Result<bool> {
        let found = |claim| Found {
            claim,
            this_boot: true,
            activating: intent::is_activating(&job.dir),
            done: false,
            job_lives: true,
            timer: true,
            guard_runs: false,
        };
        match intent::claim(&job.dir).map(|claim| guard::stop(found(claim))) {
            None | Some(StopMeans::Ends) => Ok(false),
            Some(StopMeans::Refused) => {
                Err(io::Error::other("It is being kept: roll back instead."))
            }
            Some(StopMeans::Returns) => {
                job.tell_to_stop()?;
                let id = job.id;
                // Who holds the job may be another process than the one that began it. The loop that
                // asks waits for no program.
                std::thread::spawn(move || systemd::start_the_guard(id));
                Ok(true)
            }
        }
    }

    /// What a guarded switch of this machine wants confirmed on a new link, if one does.
    pub fn unconfirmed(&self) -> Option<GuardWord> {
        self.list().into_iter().find_map(|job| {
            let nonce = intent::is_open(&job.dir).then(|| confirm::asked(&job.dir)).flatten()?;
            Some(GuardWord { command_id: job.id, nonce })
        })
    }

    /// Says that a confirmation is tried.
    pub fn tries_to_confirm(&self, word: &GuardWord) {
        let dir = self.dir.join(word.command_id.to_string());
        if let Err(error) = confirm::tries(&dir, &word.nonce) {
            log::warn!("the guarded switch {} cannot be told: {error}", word.command_id);
        }
    }

    /// The dashboard has given its word.
    pub fn confirm(&self, word: &GuardWord) {
        let dir = self.dir.join(word.command_id.to_string());
        match confirm::confirm(&dir, &word.nonce) {
            Ok(()) => log::info!("the guarded switch {} is confirmed", word.command_id),
            Err(error) => log::error!("{} cannot be confirmed: {error}", word.command_id),
        }
    }
}
