//! The acceptance table (spec: compartments, "Whole rows that must come out"), each row
//! reached by the events that lead there.

mod reach;

use super::*;
use reach::*;

type Situation = (&'static str, fn() -> Lab, &'static str);

/// The table, in its order. Columns: Agent, Git, Lock, System, Tests.
const TABLE: &[Situation] = &[
    ("fresh host, nothing reported, remote known", Lab::new, "unk unk unk unk unk"),
    ("reported, current, no revision, nothing ever run", never_deployed, "ok ok ok out unk"),
    (
        "no revision, nothing deployed, tests passed",
        || {
            let mut lab = never_deployed();
            lab.tests(true);
            lab
        },
        "ok ok ok out out",
    ),
    ("everything current, tests passed (3.x too)", Lab::green, "ok ok ok ok ok"),
    (
        "dashboard started, nothing fetched yet, was green",
        || {
            let mut lab = Lab::green();
            lab.remote_not_yet_fetched();
            lab
        },
        "ok unk unk unk unk",
    ),
    (
        "remote got a commit that left flake.lock alone",
        || {
            let mut lab = Lab::green();
            lab.remote(2, 1);
            lab
        },
        "ok out ok out out",
    ),
    (
        "remote merged a flake.lock update",
        || {
            let mut lab = Lab::green();
            lab.remote(2, 2);
            lab
        },
        "ok out out out out",
    ),
    (
        "... pull running",
        || {
            let mut lab = Lab::green();
            lab.remote(2, 2);
            lab.starts(Operation::Pull);
            lab
        },
        "ok wrk wrk out out",
    ),
    (
        "pull running, was all green",
        || {
            let mut lab = Lab::green();
            lab.starts(Operation::Pull);
            lab
        },
        "ok wrk wrk ok ok",
    ),
    (
        "after a pull that changed the inputs",
        || {
            let mut lab = Lab::green();
            lab.remote(2, 2);
            lab.pulls(2, 2);
            lab
        },
        "ok ok ok out out",
    ),
    (
        "after a pull that changed nothing, was all green",
        || {
            let mut lab = Lab::green();
            lab.pulls(1, 1);
            lab
        },
        "ok ok ok ok ok",
    ),
    (
        "switch of the new commit running",
        || {
            let mut lab = new_commit_pulled();
            lab.starts(Operation::Switch);
            lab
        },
        "ok ok ok wrk out",
    ),
    (
        "switch of the same commit running, was all green",
        || {
            let mut lab = Lab::green();
            lab.starts(Operation::Switch);
            lab
        },
        "ok ok ok wrk ok",
    ),
    (
        "switch succeeded, tests not run",
        || {
            let mut lab = new_commit_pulled();
            lab.switches(system(2, 2));
            lab
        },
        "ok ok ok ok out",
    ),
    (
        "switched, but the old agent still runs",
        || {
            let mut lab = Lab::green();
            let mut old = lab.registration(DASHBOARD_VERSION);
            old.report.binary.store_path = Some("/nix/store/old-nixfleet".into());
            lab.connects(old);
            lab.remote(2, 1);
            lab.pulls(2, 1);
            let agent_path = Some("/nix/store/new-nixfleet".into());
            lab.switches(SystemFacts { agent_path, ..system(2, 2) });
            lab.waits(100);
            lab
        },
        "err ok ok ok out",
    ),
    (
        "switch of the new commit failed to build (nothing changed)",
        failed_build,
        "ok ok ok err out",
    ),
    (
        "same commit switched again, failed to build, was green",
        || {
            let mut lab = Lab::green();
            lab.deploys(Operation::Switch, exited(1), system(1, 1));
            lab
        },
        "ok ok ok err ok",
    ),
    (
        "switch failed while activating (what runs changed)",
        || {
            let mut lab = new_commit_pulled();
            lab.deploys(Operation::Switch, exited(1), system(2, 2));
            lab
        },
        "ok ok ok err out",
    ),
    (
        "switch failed to build, then a fix was pushed",
        || {
            let mut lab = failed_build();
            lab.remote(3, 1);
            lab
        },
        "ok out ok err out",
    ),
    (
        "... and that fix was pulled, not yet switched",
        || {
            let mut lab = failed_build();
            lab.remote(3, 1);
            lab.pulls(3, 1);
            lab
        },
        "ok ok ok err out",
    ),
    (
        "switch of the new commit stopped, nothing changed",
        || {
            let mut lab = new_commit_pulled();
            lab.stops(Operation::Switch, says(system(1, 1)));
            lab
        },
        "ok ok ok out out",
    ),
    (
        "same commit switched again, stopped or lost, paths as before, was green",
        || {
            let mut lab = Lab::green();
            lab.stops(Operation::Switch, says(system(1, 1)));
            lab.loses(Operation::Switch, system(1, 1));
            lab
        },
        "ok ok ok out ok",
    ),
    (
        "switch of the new commit ended without proof",
        || {
            let mut lab = new_commit_pulled();
            lab.switches(system(1, 1));
            lab.waits(100);
            lab
        },
        "ok ok ok out out",
    ),
    ("boot chosen instead of switch", boot_chosen, "ok ok ok out out"),
    (
        "... rebooted into it, tests not run",
        || {
            let mut lab = boot_chosen();
            lab.apply(HostEvent::Disconnected);
            boots(&mut lab, "second", Some(system(2, 2)));
            lab
        },
        "ok ok ok ok out",
    ),
    (
        "boot of the same commit chosen, was green",
        || {
            let mut lab = Lab::green();
            boots(&mut lab, "first", None);
            chooses_boot(&mut lab, 1);
            lab
        },
        "ok ok ok out out",
    ),
    (
        "another system starts at the next boot, was green",
        || {
            let mut lab = Lab::green();
            lab.beat(says(profile_ahead(system(1, 1), 2)), None);
            lab
        },
        "ok ok ok out ok",
    ),
    ("guarded switch, confirming", || confirming().0, "ok ok ok wrk out"),
    (
        "... returned by itself",
        || {
            let (mut lab, id) = confirming();
            let message = Some("no link to the dashboard".into());
            let outcome = Outcome { kind: OutcomeKind::Returned, message, ..exited(1) };
            lab.ends(id, outcome, says(system(1, 1)));
            lab
        },
        "ok ok ok err out",
    ),
    (
        "tests running",
        || {
            let mut lab = Lab::green();
            lab.starts(Operation::Test);
            lab
        },
        "ok ok ok ok wrk",
    ),
    (
        "tests failed",
        || {
            let mut lab = Lab::green();
            lab.tests(false);
            lab
        },
        "ok ok ok ok err",
    ),
    (
        "test run lost, an earlier one had passed",
        || {
            let mut lab = Lab::green();
            lab.loses(Operation::Test, system(1, 1));
            lab
        },
        "ok ok ok ok out",
    ),
    (
        "rolled back after failed tests",
        || {
            let mut lab = new_commit_pulled();
            lab.switches(system(2, 2));
            lab.tests(false);
            lab.deploys(Operation::Rollback, exited(0), system(1, 1));
            lab
        },
        "ok ok ok out out",
    ),
    (
        "rolled back to a generation of the same commit, tests passed",
        || {
            let mut lab = Lab::green();
            lab.switches(system(2, 1));
            lab.deploys(Operation::Rollback, exited(0), system(1, 1));
            lab.tests(true);
            lab
        },
        "ok ok ok out ok",
    ),
    (
        "config edited by hand (not flake.lock), was green",
        || {
            let mut lab = Lab::green();
            lab.beat(Report { dirty: Some(Some(true)), ..Report::default() }, None);
            lab
        },
        "ok out ok out out",
    ),
    (
        "built from a dirty tree (revision `…-dirty`)",
        || {
            let mut lab = Lab::green();
            let dirty = Some("1111111111-dirty".to_owned());
            let system = SystemFacts { configuration_revision: dirty, ..system(2, 1) };
            lab.switches(system);
            lab.waits(100);
            lab.tests(true);
            lab
        },
        "ok ok ok out out",
    ),
    (
        "clone deleted on the host, was green",
        || {
            let mut lab = Lab::green();
            lab.beat(Report { no_checkout: true, ..Report::default() }, None);
            lab
        },
        "ok out out out out",
    ),
    (
        "remote cannot be read, was all green",
        || {
            let mut lab = Lab::green();
            lab.remote_fails();
            lab
        },
        "ok err err out out",
    ),
    (
        "remote cannot be read, host reported nothing",
        || {
            let mut lab = Lab::new();
            lab.remote_fails();
            lab
        },
        "unk unk unk unk unk",
    ),
    (
        "remote cannot be read, host reported, never run",
        || {
            let mut lab = Lab::new();
            lab.remote_fails();
            lab.joins(1, 1);
            lab
        },
        "ok err err out out",
    ),
    (
        "remote has no flake.lock, host has one",
        || {
            let mut lab = Lab::green();
            lab.remote_says(commit(2), Some(LockState::Absent));
            lab
        },
        "ok out err out out",
    ),
    (
        "version.json without lockHash, else current",
        || {
            let mut lab = Lab::green();
            lab.remote_says(commit(1), None);
            lab
        },
        "ok ok out out out",
    ),
    (
        "host offline, was all green",
        || {
            let mut lab = Lab::green();
            lab.apply(HostEvent::Disconnected);
            lab
        },
        "ok ok ok ok ok",
    ),
    (
        "... and the remote got a commit that left flake.lock alone",
        || {
            let mut lab = Lab::green();
            lab.apply(HostEvent::Disconnected);
            lab.remote(2, 1);
            lab
        },
        "ok out ok out out",
    ),
    (
        "older agent, everything else current",
        || {
            let mut lab = Lab::green();
            lab.connects(lab.registration("3.9.0"));
            lab
        },
        "out ok ok ok ok",
    ),
];

/// Every situation of the table by its name, with a host that is in it.
pub(crate) fn situations() -> Vec<(&'static str, HostState)> {
    TABLE.iter().map(|(situation, reach, _)| (*situation, reach().state)).collect()
}

#[test]
fn every_situation_of_the_acceptance_table_comes_out() {
    let wrong: Vec<_> = TABLE
        .iter()
        .map(|(situation, reach, expected)| (situation, reach().row(), *expected))
        .filter(|(_, row, expected)| row != expected)
        .collect();
    assert!(wrong.is_empty(), "(situation, row, expected): {wrong:#?}");
}
