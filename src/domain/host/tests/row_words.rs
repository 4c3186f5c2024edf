//! What a row says beside its colours, and situations that are no row of the acceptance table.

use super::*;

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
    let behind = lab.says(Compartment::Git);
    assert_eq!(lab.says(Compartment::System), behind);
    assert_eq!(lab.says(Compartment::Tests), format!("Passed (8/8) on 1111111; {behind}"));
    lab.pulls(2, 2);
    assert_eq!(
        lab.says(Compartment::System),
        "Pulled, not switched: 1111111 runs, the checkout is 2222222"
    );
    assert_eq!(
        lab.says(Compartment::Tests),
        "Passed (8/8) on 1111111; the checkout is 2222222, not switched"
    );
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
    assert_eq!(
        lab.says(Compartment::System),
        "Changed outside nixfleet: another system runs, 1111111 was deployed"
    );
}

#[test]
fn a_run_that_was_stopped_counts_for_nothing_and_one_that_took_too_long_is_red() {
    for (kind, row, words) in [
        (OutcomeKind::Stopped, "ok ok ok ok out", "stopped"),
        (OutcomeKind::TimedOut, "ok ok ok ok err", "too long"),
    ] {
        let mut lab = Lab::green();
        let id = lab.starts(Operation::Test);
        let ended = Outcome { kind, exit_code: 130, message: None, blocked_by: Vec::new() };
        lab.ends(id, ended, Report::default());
        assert_eq!(lab.row(), row);
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

#[test]
fn a_remote_that_tells_no_lock_is_the_reason_why_nothing_can_be_verified() {
    let mut lab = Lab::green();
    lab.remote_says(commit(1), None);
    let why = "Cannot verify against the remote: version.json names no lockHash";
    for compartment in [Compartment::System, Compartment::Tests] {
        assert_eq!(lab.says(compartment), why);
    }
}
