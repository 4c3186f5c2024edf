//! The acceptance table (spec: compartments, "Whole rows that must come out"), each row
//! reached by the events that lead there.

use super::*;

type Situation = (&'static str, fn() -> Lab, &'static str);

fn failed_build() -> Lab {
    let mut lab = Lab::green();
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    lab
}

/// The table, in its order. Columns: Agent, Git, Lock, System, Tests.
const TABLE: &[Situation] = &[
    ("fresh host, nothing reported, remote known", Lab::new, "unk unk unk unk unk"),
    ("everything current, tests passed", Lab::green, "ok ok ok ok ok"),
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
        "remote fetch fails, host was all green",
        || {
            let mut lab = Lab::green();
            lab.remote_fails();
            lab
        },
        "ok err err out out",
    ),
    (
        "remote fetch fails, host has reported nothing",
        || {
            let mut lab = Lab::new();
            lab.remote_fails();
            lab
        },
        "unk unk unk unk unk",
    ),
    (
        "remote fetch fails, host reported, nothing ever run",
        || {
            let mut lab = Lab::new();
            lab.remote_fails();
            lab.joins(1, 1);
            lab
        },
        "ok err err out out",
    ),
    (
        "after a pull that changed the inputs",
        || {
            let mut lab = Lab::green();
            lab.remote(2, 2);
            lab.pulls(2, 2);
            lab
        },
        "ok ok ok out ok",
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
        "switch running, tests had passed before",
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
            let mut lab = Lab::green();
            lab.remote(2, 1);
            lab.pulls(2, 1);
            lab.switches(system(2, 2));
            lab
        },
        "ok ok ok ok out",
    ),
    ("switch failed to build (what runs did not change)", failed_build, "ok ok ok err ok"),
    (
        "switch failed while activating (what runs changed)",
        || {
            let mut lab = Lab::green();
            lab.deploys(Operation::Switch, exited(1), system(2, 1));
            lab
        },
        "ok ok ok err out",
    ),
    (
        "switch failed to build, then a fix was pushed",
        || {
            let mut lab = failed_build();
            lab.remote(2, 1);
            lab
        },
        "ok out ok err out",
    ),
    (
        "... and that fix was pulled, not yet switched",
        || {
            let mut lab = failed_build();
            lab.remote(2, 1);
            lab.pulls(2, 1);
            lab
        },
        "ok ok ok err ok",
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
        "rolled back after failed tests",
        || {
            let mut lab = Lab::green();
            lab.remote(2, 1);
            lab.pulls(2, 1);
            lab.switches(system(2, 2));
            lab.tests(false);
            lab.deploys(Operation::Rollback, exited(0), system(1, 1));
            lab
        },
        "ok ok ok out out",
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

#[test]
fn messages_name_the_two_values_that_were_compared() {
    let mut lab = Lab::green();
    lab.remote(2, 2);
    assert_eq!(
        lab.says(Compartment::Git),
        "Not the head of origin/main (host 1111111, latest 2222222). Pull to update."
    );
    let relation = Relation::Behind { commits: 3, lock_commits: 2 };
    let comparison = Some(Comparison { relation, missing: Arc::default() });
    lab.apply(HostEvent::Compared { host: commit(1), head: commit(2), comparison });
    assert_eq!(
        lab.says(Compartment::Git),
        "3 commits behind origin/main (host 1111111, latest 2222222). Pull to update."
    );
    assert_eq!(
        lab.says(Compartment::Lock),
        "flake.lock outdated by 2 commits. Latest: 2222222, host: 1111111. Pull to update."
    );
    assert_eq!(lab.says(Compartment::System), "Remote is ahead: pull, then switch");
    assert_eq!(lab.says(Compartment::Tests), "Passed (8/8), but the remote is ahead");
}

#[test]
fn a_failed_fetch_is_quoted_wherever_it_keeps_a_proof_away() {
    let mut lab = Lab::green();
    lab.remote_fails();
    for compartment in &Compartment::ALL[1..] {
        assert!(lab.says(*compartment).contains("HTTP 403"), "{}", lab.says(*compartment));
    }
    assert!(lab.says(Compartment::System).starts_with("Cannot verify against the remote: "));
}

#[test]
fn a_host_without_a_configured_remote_is_told_which_setting_is_missing() {
    let mut lab = Lab::green();
    let setting = "NIXFLEET_SOURCE".to_owned();
    lab.apply(HostEvent::DesiredChanged(Arc::new(Desired::NotConfigured { setting })));
    assert_eq!(lab.row(), "ok err err out out");
    assert!(
        lab.says(Compartment::Git).contains("NIXFLEET_SOURCE"),
        "{}",
        lab.says(Compartment::Git)
    );
}

#[test]
fn a_failure_says_its_last_error_line_and_failed_tests_their_name() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Switch);
    lab.apply(HostEvent::Output {
        id: Some(id),
        first_seq: Some(1),
        count: 1,
        last_error: Some("error: attribute 'foo' missing".into()),
    });
    assert_eq!(lab.effects, [HostEffect::StoreOutput { id, first_seq: 1 }]);
    lab.ends(id, exited(1), Report::default());
    assert_eq!(lab.says(Compartment::System), "Switch failed: error: attribute 'foo' missing");
    let mut lab = Lab::green();
    lab.tests(false);
    assert_eq!(lab.says(Compartment::Tests), "1 of 8 failed: GPU acceleration");
}

#[test]
fn a_rollback_names_its_generation_and_commit() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.switches(system(2, 2));
    lab.deploys(Operation::Rollback, exited(0), system(1, 1));
    assert_eq!(lab.says(Compartment::System), "Rolled back to generation 1 (1111111)");
}

#[test]
fn a_system_that_was_changed_outside_nixfleet_is_yellow_and_needs_tests_again() {
    let mut lab = Lab::green();
    let mut outside = system(2, 1);
    outside.configuration_revision = None;
    lab.beat(Report { system: Some(outside), ..Report::default() }, None);
    assert_eq!(lab.row(), "ok ok ok out out");
    assert_eq!(lab.says(Compartment::System), "Changed outside nixfleet");
}

#[test]
fn stopped_and_timed_out_runs_count_as_failed_and_say_so() {
    for (kind, words) in [(OutcomeKind::Stopped, "stopped"), (OutcomeKind::TimedOut, "too long")] {
        let mut lab = Lab::green();
        let id = lab.starts(Operation::Test);
        lab.ends(id, Outcome { kind, exit_code: 130, message: None }, Report::default());
        assert_eq!(lab.row(), "ok ok ok ok err");
        assert!(lab.says(Compartment::Tests).contains(words), "{}", lab.says(Compartment::Tests));
    }
}

#[test]
fn tests_that_are_off_or_not_there_are_gray_and_say_so() {
    for (enabled, count, says) in [(false, 8, "Tests disabled"), (true, 0, "No tests found")] {
        let mut lab = Lab::green();
        let tests = Some(TestSetup { enabled, auto_run: true, count: Some(count) });
        lab.beat(Report { tests, ..Report::default() }, None);
        assert_eq!(lab.row(), "ok ok ok ok unk");
        assert_eq!(lab.says(Compartment::Tests), says);
    }
}

#[test]
fn a_run_that_started_before_a_switch_does_not_count_after_it() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    // Somebody switched by hand while the tests ran.
    lab.beat(Report { system: Some(system(2, 1)), ..Report::default() }, None);
    lab.ends(id, exited(0), Report::default());
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn an_open_update_pull_request_adds_words_and_changes_no_colour() {
    let mut lab = Lab::green();
    let mut remote = lab.state.desired.known().unwrap().clone();
    remote.pending_pr = Some(crate::domain::desired::PendingPr {
        number: 42,
        title: "flake.lock: update".into(),
        url: "https://example.org/42".into(),
        mergeable: Some(true),
        head: "abc".into(),
    });
    lab.apply(HostEvent::DesiredChanged(Arc::new(Desired::Known(remote))));
    assert_eq!(lab.row(), "ok ok ok ok ok");
    assert!(
        lab.says(Compartment::Lock).ends_with("Merge PR #42 to update."),
        "{}",
        lab.says(Compartment::Lock)
    );
}

#[test]
fn flake_locks_that_are_missing_on_one_side_or_both() {
    for (host, remote, status) in [
        (LockState::Absent, Some(LockState::Absent), "ok"),
        (lock(1), Some(LockState::Absent), "err"),
        (LockState::Absent, Some(lock(1)), "out"),
        // Finding 55: a remote that does not tell is no remote without a lock.
        (lock(1), None, "out"),
        (LockState::Absent, None, "out"),
    ] {
        let mut lab = Lab::new();
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.report.checkout = Some(commit(1));
        registration.report.lock = Some(host.clone());
        lab.connects(registration);
        let mut known = lab.state.desired.known().unwrap().clone();
        known.lock = remote.clone();
        lab.apply(HostEvent::DesiredChanged(Arc::new(Desired::Known(known))));
        assert_eq!(lab.row().split(' ').nth(2), Some(status), "{host:?} against {remote:?}");
    }
}
