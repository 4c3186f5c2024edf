//! System: does what runs come from what is checked out?

use super::remote::{Compared, Rules};
use super::{Action, Cause, Status, Verdict};
use crate::domain::deploy::{Deploy, DeployKind, DeployOutcome, returned};
use crate::domain::deployed::Deployed;
use crate::domain::facts::SinceDeploy;
use crate::domain::ids::Commit;
use crate::domain::message::Message;

impl Rules<'_> {
    /// System 4, Tests 4: Git or Lock cannot be told, or nothing can prove Lock.
    pub(super) fn cannot_verify(&self, compared: &Compared) -> Option<Verdict> {
        let Compared { git, lock } = compared;
        let (failed, cause) = if git.status == Status::Error {
            (git, Cause::Git)
        } else if lock.status == Status::Error {
            (lock, Cause::Lock)
        } else if self.lock_cannot_be_verified() {
            let message = "Cannot verify against the remote: version.json names no lockHash";
            return Some(Verdict::new(Status::Outdated, message).following(Cause::Lock));
        } else {
            return None;
        };
        let reason = Message::from("Cannot verify against the remote: ");
        let message = reason.and(&failed.message);
        Some(Verdict { message, ..Verdict::like(failed, Status::Outdated, cause) })
    }

    pub(super) fn system(&self, compared: &Compared) -> Verdict {
        // 1
        if let Some(command) = self.running(|c| c.op.rules().deploys) {
            return Self::working(command);
        }
        // 2, 3
        let standing = self.facts.since_deploy != SinceDeploy::Superseded;
        let last = self.facts.last_deploy.as_ref();
        if let Some(verdict) = last.filter(|_| standing).and_then(|last| self.ended_badly(last)) {
            return verdict;
        }
        // 4
        if let Some(verdict) = self.cannot_verify(compared) {
            return verdict;
        }
        // 5, 6, then 7
        let causes = [(&compared.git, Cause::Git), (&compared.lock, Cause::Lock)];
        for status in [Status::Outdated, Status::Unknown] {
            if let Some((verdict, cause)) = causes.iter().find(|(v, _)| v.status == status) {
                return Verdict::like(verdict, status, *cause);
            }
        }
        let Some(checkout) = &self.facts.checkout else {
            return Verdict::new(Status::Unknown, "Waiting for the host to report its commit.");
        };
        // 8, 9, 10
        if let Some(verdict) = self.runs_another_path() {
            return verdict;
        }
        self.runs_the_checkout(checkout)
    }

    /// 2 and 3: what stands until a deploy succeeds, or until what runs proves itself.
    fn ended_badly(&self, deploy: &Deploy) -> Option<Verdict> {
        let what = deploy.kind.label();
        let reads = self.facts.system.configuration_revision.is_some();
        let until = if reads { "" } else { " (only a switch that succeeds clears this)" };
        let (status, message) = match &deploy.outcome {
            DeployOutcome::Succeeded => return None,
            DeployOutcome::Returned(missing) => (Status::Error, returned(missing)),
            DeployOutcome::Failed(why) => (Status::Error, format!("{what} failed: {why}")),
            DeployOutcome::Stopped(how) => {
                let how = how.trim_end_matches('.');
                let how = how.strip_prefix("Stopped").unwrap_or(how).trim();
                (Status::Outdated, format!("{what} was stopped {how}: switch again."))
            }
            DeployOutcome::Lost(why) => {
                (Status::Outdated, format!("{what} was lost: {why} Switch again."))
            }
            DeployOutcome::Unverified(why) => {
                (Status::Outdated, format!("{what} was not verified: {why} Switch again."))
            }
        };
        let action = if status == Status::Error { Action::RetrySwitch } else { Action::Switch };
        Some(Verdict::new(status, message + until).offering(action))
    }

    /// 8, 9 and 10: the paths say that something else runs than was meant to, or will.
    fn runs_another_path(&self) -> Option<Verdict> {
        let facts = self.facts;
        let system = &facts.system;
        let last = facts.last_deploy.as_ref();
        let outdated = |message: String| Some(Verdict::new(Status::Outdated, message));
        // 8
        if let (Some(runs), Some(boots)) = (&system.store_path, &system.profile_path)
            && runs != boots
        {
            let intended =
                last.is_some_and(|d| d.waits_for_boot() && d.intended.as_ref() == Some(boots));
            let number = |known: Option<u64>| known.map(|number| number.to_string());
            let boots = number(system.profile_generation);
            let message = if intended {
                let boots = boots.map_or_else(|| "What was built".to_owned(), generation);
                format!("{boots} starts at the next boot: reboot to finish")
            } else {
                let boots = boots.map_or_else(String::new, |n| format!(" (generation {n})"));
                let runs = number(system.generation)
                    .map_or_else(String::new, |n| format!(" (generation {n})"));
                format!("Another system{boots} starts at the next boot than runs{runs}")
            };
            let action = if intended { Action::Reboot } else { Action::Switch };
            return outdated(message).map(|verdict| verdict.offering(action));
        }
        let last = last?;
        let left = last.left().zip(system.store_path.as_deref());
        // 9
        if left.is_some_and(|(left, runs)| left != runs) && !facts.revision_is_the_checkout() {
            let deployed = last.commit.as_ref().map_or("unknown", Commit::short);
            let runs = match facts.deployed() {
                Deployed::Commit { commit, .. } => commit.short().to_owned(),
                Deployed::NoCommit(text) => short_text(&text),
                Deployed::Unknown => "another system".to_owned(),
            };
            let message = format!("Changed outside nixfleet: {runs} runs, {deployed} was deployed");
            return outdated(message).map(|verdict| verdict.offering(Action::Switch));
        }
        // 10
        let still = left.is_none_or(|(left, runs)| left == runs);
        if last.kind == DeployKind::Rollback && still {
            return outdated(rolled_back(last)).map(|verdict| verdict.offering(Action::Switch));
        }
        None
    }

    /// 11, 12 and 13: what runs was built from the checkout, or from something else, or nobody
    /// knows.
    fn runs_the_checkout(&self, checkout: &Commit) -> Verdict {
        let facts = self.facts;
        let outdated =
            |message: String| Verdict::new(Status::Outdated, message).offering(Action::Switch);
        // 11
        match facts.deployed() {
            Deployed::NoCommit(text) => {
                let text = short_text(&text);
                let checkout = checkout.short();
                return outdated(format!(
                    "Built from a changed tree ({text}); the checkout is {checkout}: switch"
                ));
            }
            Deployed::Commit { commit, .. } if commit != *checkout => {
                return outdated(format!(
                    "Pulled, not switched: {} runs, the checkout is {}",
                    commit.short(),
                    checkout.short()
                ));
            }
            Deployed::Unknown if self.pulled_since() => {
                return outdated(format!(
                    "Pulled, not switched: the checkout is {}",
                    checkout.short()
                ));
            }
            Deployed::Commit { .. } | Deployed::Unknown => {}
        }
        // 12
        if facts.runs_the_checkout() {
            return self.is_deployed(checkout);
        }
        // 13
        outdated(match facts.deployed() {
            Deployed::Commit { .. } => format!(
                "{} is deployed with another flake.lock than is checked out: switch",
                checkout.short()
            ),
            Deployed::NoCommit(_) | Deployed::Unknown => {
                "No deployment seen: switch to prove it".to_owned()
            }
        })
    }

    /// Whether a pull changed the inputs since the last deploy. One that ended where the deploy
    /// was is no change.
    fn pulled_since(&self) -> bool {
        let facts = self.facts;
        let is_as_deployed = facts.last_deploy.as_ref().is_some_and(|last| {
            last.commit.is_some() && last.commit == facts.checkout && last.lock == facts.lock
        });
        let pulled = facts.last_pull.as_ref();
        !is_as_deployed
            && pulled.is_some_and(|p| p.changed_desired && p.deployment == facts.deployment)
    }

    fn is_deployed(&self, checkout: &Commit) -> Verdict {
        let system = &self.facts.system;
        let mut message = Message::from(format!("{} is deployed", checkout.short()));
        if let Some(generation) = system.generation {
            message = message.text(format!(" as generation {generation}"));
        }
        if let Some(activated_at) = system.activated_at {
            message = message.text(", activated ").time(activated_at);
        }
        Verdict::new(Status::Ok, message)
    }
}

fn generation(number: String) -> String {
    format!("Generation {number}")
}

/// What a system says it was built from, where that is no commit. Hostile text.
fn short_text(text: &str) -> String {
    text.chars().take(60).collect()
}

fn rolled_back(deploy: &Deploy) -> String {
    let to = match (deploy.generation, &deploy.commit) {
        (Some(number), Some(commit)) => format!(" to generation {number} ({})", commit.short()),
        (Some(number), None) => format!(" to generation {number}"),
        (None, Some(commit)) => format!(" to {}", commit.short()),
        (None, None) => String::new(),
    };
    let why = deploy.why.as_ref().filter(|why| !why.trim().is_empty());
    let why = why.map_or_else(String::new, |why| format!(": {}", why.trim()));
    format!("Rolled back{to}{why}")
}
