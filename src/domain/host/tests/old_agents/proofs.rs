//! What proves what was asked of a 3.x agent, and of what follows one.

use super::*;

/// 16.
#[test]
fn a_rollback_whose_end_nobody_heard_is_unverified() {
    let mut old = Old::green();
    let rollback = old.starts(Operation::Rollback);
    old.comes_back();
    old.lab.waits(100);
    assert_eq!(old.state_of(rollback), State::Unverified);
    assert!(old.lab.row().starts_with("out ok ok out"), "{}", old.lab.row());
}

/// 17.
#[test]
fn exit_0_proves_a_switch_after_two_heartbeats_without_a_command_on_the_same_link() {
    let mut old = Old::green();
    let switch = old.starts(Operation::Switch);
    old.ends(Operation::Switch, 0);
    old.beats(None);
    assert_eq!(old.state_of(switch), State::Verifying);
    old.beats(None);
    assert_eq!(old.state_of(switch), State::Succeeded);
    assert!(old.lab.row().starts_with("out ok ok ok"), "{}", old.lab.row());
}

/// 18, 56.
#[test]
fn an_agent_of_protocol_4_proves_the_switch_that_was_sent_to_the_3x_one() {
    for heard in [false, true] {
        let mut old = Old::green();
        let switch = old.starts(Operation::Switch);
        if heard {
            old.ends(Operation::Switch, 0);
        }
        old.cut();
        let mut new = old.lab.registration(DASHBOARD_VERSION);
        new.report.checkout = Some(commit(1));
        new.report.lock = Some(lock(1));
        new.report.system = Some(system(2, 1));
        old.lab.connects(new);
        old.beats(None);
        old.beats(None);
        assert_eq!(old.state_of(switch), State::Succeeded, "heard: {heard}");
        assert!(old.lab.row().starts_with("ok ok ok ok"), "{}", old.lab.row());
    }
}

/// 18, 56.
#[test]
fn a_lost_switch_is_proven_by_the_agent_of_protocol_4_that_comes_late() {
    let mut old = Old::green();
    let switch = old.starts(Operation::Switch);
    old.cut();
    old.lab.waits(3 * 3600);
    assert_eq!(old.state_of(switch), State::Lost);
    let mut new = old.lab.registration(DASHBOARD_VERSION);
    new.report.checkout = Some(commit(1));
    new.report.lock = Some(lock(1));
    new.report.system = Some(system(2, 1));
    old.lab.connects(new);
    assert_eq!(old.state_of(switch), State::Succeeded);
    assert!(old.lab.row().starts_with("ok ok ok ok"), "{}", old.lab.row());
}

/// 32.
#[test]
fn a_crash_in_the_first_switch_is_no_proof_though_more_is_known_after_it() {
    let mut lab = Lab::new();
    let mut unknown = Old { lab: lab.clone(), binary: "a" }.registration();
    unknown.report.binary = AgentBinary::default();
    lab.connects(unknown);
    let mut old = Old { lab, binary: "a" };
    old.beats(None);
    let switch = old.starts(Operation::Switch);
    old.comes_back();
    old.lab.waits(100);
    assert_eq!(old.state_of(switch), State::Unverified);
    // Where it was known, another binary proves it.
    let mut old = Old::green();
    let switch = old.starts(Operation::Switch);
    old.binary = "b";
    old.comes_back();
    assert_eq!(old.state_of(switch), State::Succeeded);
}

/// 7.
#[test]
fn facts_that_only_protocol_4_can_report_are_dropped_when_a_3x_agent_comes_back() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.switches(system(2, 2));
    let rollback = lab.starts(Operation::Rollback);
    let mut old = Old { lab, binary: "a" };
    old.cut();
    let mut registration = old.registration();
    registration.report.checkout = Some(commit(2));
    old.lab.connects(registration);
    old.beats(None);
    old.beats(None);
    assert_eq!(old.state_of(rollback), State::Succeeded);
    assert_eq!(old.lab.state.facts.system, SystemFacts::default());
    assert!(old.lab.state.profile.generations.is_empty());
    assert_eq!(old.lab.row(), "out ok ok out out");
    // And a good switch is believed again.
    old.starts(Operation::Switch);
    old.ends(Operation::Switch, 0);
    old.comes_back_at(2);
    assert!(old.lab.row().starts_with("out ok ok ok"), "{}", old.lab.row());
}

/// 50.
#[test]
fn a_stop_whose_outcome_nobody_heard_has_no_exit_code() {
    let mut old = Old::green();
    let test = old.starts(Operation::Test);
    old.stops(test);
    old.comes_back();
    assert_eq!(old.state_of(test), State::Stopped);
    assert_eq!(old.lab.last().exit_code, None);
}

/// 45.
#[test]
fn no_test_starts_by_itself_where_none_was_ever_seen_and_none_is_told() {
    let mut old = Old::new();
    old.switches();
    assert_eq!(old.busy(), None);
    // What the shell of a 3.x agent says where there is no script.
    old.starts(Operation::Test);
    old.ends(Operation::Test, 1);
    old.beats(None);
    assert_eq!(old.lab.row(), "out ok ok ok unk");
    assert_eq!(old.lab.says(Compartment::Tests), "No tests found");
    // It may have some one day.
    let id = old.asks(Operation::Test);
    assert_eq!(old.state_of(id), State::Sent);
}

/// 45.
#[test]
fn a_test_starts_by_itself_where_one_was_seen() {
    let mut old = Old::green();
    old.starts(Operation::Switch);
    old.ends(Operation::Switch, 0);
    old.comes_back();
    assert_eq!(old.busy(), Some((Operation::Test, State::Sent)));
}

/// 13, 36, 48.
#[test]
fn a_new_link_after_the_old_one_broke_proves_a_reboot_of_a_3x_host() {
    for op in [Operation::Reboot, Operation::RestartAgent] {
        let mut old = Old::green();
        let id = old.asks(op);
        old.cut();
        old.lab.waits(60);
        old.connects();
        assert_eq!(old.state_of(id), State::Succeeded, "{op}");
    }
}

/// 18, 54, 56.
#[test]
fn tests_on_a_migrated_host_wait_for_its_first_clone() {
    let mut old = Old::green();
    old.starts(Operation::Switch);
    old.ends(Operation::Switch, 0);
    old.cut();
    let mut new = old.lab.registration(DASHBOARD_VERSION);
    new.report.system = Some(system(2, 1));
    old.lab.connects(new);
    old.lab.beat(Report::default(), None);
    assert_eq!(old.busy(), None);
    let tests = TestSetup { enabled: true, auto_run: true, count: Some(8) };
    old.lab.beat(Report { tests: Some(tests), ..Report::default() }, None);
    assert_eq!(old.busy(), Some((Operation::Test, State::Sent)));
}

/// 13.
#[test]
fn a_reboot_takes_longer_than_90_seconds() {
    let mut lab = Lab::green();
    let connect = |lab: &mut Lab, boot: i64| {
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.profile.boot_time = Some(Timestamp::from_secs(boot));
        lab.connects(registration);
    };
    connect(&mut lab, 1000);
    let reboot = lab.starts(Operation::Reboot);
    lab.ends(reboot, exited(0), Report::default());
    lab.apply(HostEvent::Disconnected);
    lab.waits(120);
    assert_eq!(lab.state.find(reboot).map(|c| c.state), Some(State::Verifying));
    connect(&mut lab, 2000);
    assert_eq!(lab.last().state, State::Succeeded);
}

/// 36.
#[test]
fn a_boot_time_that_moves_a_second_is_no_reboot() {
    let mut lab = Lab::green();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.profile.boot_time = Some(Timestamp::from_secs(1000));
    lab.connects(registration.clone());
    let reboot = lab.starts(Operation::Reboot);
    registration.profile.boot_time = Some(Timestamp::from_secs(1001));
    lab.connects(registration);
    assert!(lab.state.find(reboot).is_some_and(|c| !c.state.is_terminal()));
}

/// 11.
#[test]
fn a_queued_reboot_is_sent_when_the_host_is_back() {
    for op in [Operation::Reboot, Operation::RestartAgent] {
        let mut lab = Lab::green();
        lab.apply(HostEvent::Disconnected);
        let id = lab.asks(op, true).unwrap().id;
        assert_eq!(lab.asks(op, true).unwrap_err().code, RefusalCode::HostBusy, "{op}");
        lab.connects(lab.registration(DASHBOARD_VERSION));
        assert_eq!(lab.state.find(id).map(|c| c.state), Some(State::Sent), "{op}");
    }
}

/// 27.
#[test]
fn a_restart_of_the_dashboard_ends_no_verification() {
    let mut old = Old::green();
    let switch = old.starts(Operation::Switch);
    old.ends(Operation::Switch, 0);
    let live = old.lab.state.live().cloned().collect();
    let restored = Restored {
        id: old.lab.state.id().clone(),
        profile: old.lab.state.profile().clone(),
        facts: old.lab.state.facts().clone(),
        last_seen: None,
        live,
        last: None,
        results: Vec::new(),
    };
    let desired = Arc::clone(old.lab.state.desired());
    old.lab.now = old.lab.now.shifted(120_000);
    old.lab.state = HostState::restore(restored, desired, old.lab.moment().up);
    old.lab.waits(1);
    assert_eq!(old.state_of(switch), State::Verifying);
    old.connects();
    assert_eq!(old.state_of(switch), State::Succeeded);
}

/// 36. Protocol 4 says which process it is.
#[test]
fn a_link_that_flaps_is_no_restart_and_no_reboot() {
    for op in [Operation::RestartAgent, Operation::Reboot] {
        let mut lab = Lab::green();
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.process = Process {
            boot_id: Some("first boot".to_owned()),
            started: Some(Timestamp::from_secs(1000)),
        };
        lab.connects(registration.clone());
        let id = lab.starts(op);
        lab.connects(registration.clone());
        assert_eq!(lab.state.find(id).map(|c| c.state), Some(State::Running), "{op}");
        registration.process = match op {
            Operation::Reboot => Process {
                boot_id: Some("second boot".to_owned()),
                started: Some(Timestamp::from_secs(900)),
            },
            _ => Process { started: Some(Timestamp::from_secs(2000)), ..registration.process },
        };
        lab.connects(registration);
        assert_eq!(lab.last().state, State::Succeeded, "{op}");
    }
}

/// It tells no paths: after a failed switch nobody knows what runs, and tests must run again.
#[test]
fn after_a_failed_switch_of_a_3x_agent_tests_must_run_again() {
    let mut old = Old::green();
    old.starts(Operation::Switch);
    old.ends(Operation::Switch, 1);
    old.beats(None);
    assert_eq!(old.lab.row(), "out ok ok err out");
    old.switches();
    assert!(old.lab.row().starts_with("out ok ok ok"), "{}", old.lab.row());
}
