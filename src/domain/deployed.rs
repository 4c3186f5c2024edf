//! What runs, and what it was built from (spec: compartments, "Facts per host").

use super::deploy::{Brought, Deploy};
use super::facts::{BROUGHT, HostFacts};
use super::ids::{Commit, LockState};
use super::operation::Operation;

/// What was built into what runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Deployed<'a> {
    /// This commit.
    Commit {
        /// Which.
        commit: Commit,
        /// The flake.lock that it was built with, where that is known.
        lock: Option<&'a LockState>,
    },
    /// No commit: it was built from a changed tree, or says of itself anything that is no commit.
    /// Hostile text.
    NoCommit(String),
    /// Nothing says it.
    Unknown,
}

impl HostFacts {
    /// What runs was built from: as the system itself says, else what the newest deploy built
    /// that brought the path that runs; for a host that tells no path, what the last deploy built
    /// if that succeeded.
    pub fn deployed(&self) -> Deployed<'_> {
        let brought = self.system.store_path.as_deref().and_then(|path| self.brought_with(path));
        if let Some(text) = self.system.configuration_revision.as_deref() {
            let Some(commit) = Commit::parse(text) else {
                return Deployed::NoCommit(text.to_owned());
            };
            let ours = brought.filter(|brought| brought.commit.as_ref() == Some(&commit));
            return Deployed::Commit { commit, lock: ours.and_then(|ours| ours.lock.as_ref()) };
        }
        let last = self.last_deploy.as_ref();
        let (commit, dirty, lock) = match (&self.system.store_path, brought, last) {
            (Some(_), Some(brought), _) => (&brought.commit, brought.dirty, brought.lock.as_ref()),
            // Stored before what deploys brought was.
            (Some(path), None, Some(last)) if last.brought() == Some(path) => {
                (&last.commit, last.dirty, last.lock.as_ref())
            }
            (None, _, Some(last)) if last.went_well_and_runs() => {
                (&last.commit, last.dirty, last.lock.as_ref())
            }
            (Some(_), None, _) | (None, _, Some(_) | None) => return Deployed::Unknown,
        };
        match commit {
            Some(commit) if dirty => Deployed::NoCommit(format!("{}-dirty", commit.short())),
            Some(commit) => Deployed::Commit { commit: commit.clone(), lock },
            None => Deployed::Unknown,
        }
    }

    /// The commit that what runs was built from, if it is known.
    pub fn deployed_commit(&self) -> Option<Commit> {
        match self.deployed() {
            Deployed::Commit { commit, .. } => Some(commit),
            Deployed::NoCommit(_) | Deployed::Unknown => None,
        }
    }

    /// Whether what runs is known to be what is checked out. A flake.lock that was not known when
    /// it was built is not compared.
    pub fn runs_the_checkout(&self) -> bool {
        match (self.deployed(), &self.checkout) {
            (Deployed::Commit { commit, lock }, Some(checkout)) => {
                commit == *checkout && lock.is_none_or(|lock| self.lock.as_ref() == Some(lock))
            }
            (Deployed::Commit { .. } | Deployed::NoCommit(_) | Deployed::Unknown, _) => false,
        }
    }

    /// Whether what runs says of itself that it was built from what is checked out.
    pub fn revision_is_the_checkout(&self) -> bool {
        let revision = self.system.revision();
        revision.is_some() && revision == self.checkout
    }

    /// Whether only a reboot brings what is meant to run: another kernel, initrd or modules, or a system
    /// that was set for the next boot.
    pub fn waits_for_a_reboot(&self) -> bool {
        let waits = self.last_deploy.as_ref().is_some_and(Deploy::waits_for_boot);
        waits || self.system.reboot_needed == Some(true)
    }

    /// Whether an operation would bring another system than the one that runs: such a one keeps to a
    /// freeze and to maintenance windows. Going back is always possible, and so is a reboot into what
    /// runs already.
    pub fn brings_another_system(&self, op: Operation) -> bool {
        match op {
            Operation::Switch | Operation::PullSwitch => true,
            Operation::Reboot => self.waits_for_a_reboot() || self.boots_another_path(),
            Operation::Pull
            | Operation::Test
            | Operation::Rollback
            | Operation::DryRun
            | Operation::RestartAgent => false,
        }
    }

    fn boots_another_path(&self) -> bool {
        let paths = self.system.store_path.as_ref().zip(self.system.profile_path.as_ref());
        paths.is_some_and(|(runs, boots)| runs != boots)
    }

    /// What is known of a path that a deploy brought.
    pub fn brought_with(&self, path: &str) -> Option<&Brought> {
        self.brought.iter().rfind(|brought| brought.path == path)
    }

    /// Remembers what a deploy brought, if it did.
    pub fn remember_what_it_brought(&mut self, deploy: &Deploy) {
        let Some(path) = deploy.brought() else {
            return;
        };
        if self.brought_with(path).is_some_and(|known| known.order > deploy.order) {
            return;
        }
        self.brought.retain(|known| known.path != path);
        self.brought.push(Brought {
            path: path.to_owned(),
            order: deploy.order,
            commit: deploy.commit.clone(),
            dirty: deploy.dirty,
            lock: deploy.lock.clone(),
        });
        if self.brought.len() > BROUGHT {
            self.brought.remove(0);
        }
    }
}
