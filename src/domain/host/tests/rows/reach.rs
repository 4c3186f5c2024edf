//! How hosts get into situations of the acceptance table.

use super::*;
use crate::domain::generation::Generation;

/// A host whose configuration tells no revision, and on which nothing was ever done.
pub(super) fn never_deployed() -> Lab {
    let mut lab = Lab::new();
    lab.joins(1, 1);
    lab.beat(Report { system: Some(mute_system(1)), ..Report::default() }, None);
    lab
}

/// The remote has a new commit, and it was pulled.
pub(super) fn new_commit_pulled() -> Lab {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab
}

pub(super) fn failed_build() -> Lab {
    let mut lab = new_commit_pulled();
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    lab
}

/// A switch of the new commit that only sets what the next boot starts.
pub(super) fn boot_chosen() -> Lab {
    let mut lab = Lab::green();
    boots(&mut lab, "first", None);
    lab.remote(2, 1);
    lab.pulls(2, 1);
    chooses_boot(&mut lab, 2);
    lab
}

/// Generation 1 runs; generation 2, built from commit `from`, is what the next boot starts.
pub(super) fn chooses_boot(lab: &mut Lab, from: u32) {
    let id = lab.starts(Operation::Switch);
    let built = Built {
        commit: Some(commit(from)),
        lock: Some(lock(1)),
        dirty: false,
        path: system(2, from).store_path,
        starts: Starts::NextBoot,
    };
    let report = Report {
        system: Some(profile_ahead(system(1, 1), 2)),
        generations: Some(vec![generation(2), generation(1)]),
        built: Some(built),
        ..Report::default()
    };
    lab.ends(id, exited(0), report);
}

pub(super) fn generation(n: u64) -> Generation {
    Generation {
        generation: n,
        store_path: system(n, 1).store_path,
        configuration_revision: None,
        created_at: None,
        current: false,
    }
}

/// The agent connects from this boot.
pub(super) fn boots(lab: &mut Lab, boot: &str, runs: Option<SystemFacts>) {
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.process.boot_id = Some(boot.to_owned());
    registration.report.system = runs;
    lab.connects(registration);
}

/// A guarded switch whose new system runs and waits to be confirmed; its command.
pub(super) fn confirming() -> (Lab, CommandId) {
    let mut lab = new_commit_pulled();
    let id = lab.starts(Operation::Switch);
    lab.beat(Report { system: Some(system(2, 2)), ..Report::default() }, running(id));
    (lab, id)
}

pub(super) fn running(id: CommandId) -> Option<Work> {
    Some(Work { id: Some(id), name: "switch".to_owned() })
}

pub(super) fn says(system: SystemFacts) -> Report {
    Report { system: Some(system), ..Report::default() }
}
