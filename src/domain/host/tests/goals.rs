//! Exit 0 is not success: the goal is checked against fresh facts.

use super::*;
use crate::domain::generation::Generation;
use crate::domain::operation::Regardless;
use crate::domain::tag::{Tag, Tags};

fn after(lab: &mut Lab, op: Operation, report: Report) -> Command {
    let id = lab.starts(op);
    lab.ends(id, exited(0), report);
    lab.waits(100);
    lab.last().clone()
}

#[test]
fn a_pull_that_left_another_commit_than_the_heads_is_unverified_and_says_which() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    let pull = after(&mut lab, Operation::Pull, Report::default());
    assert_eq!(pull.state, State::Unverified);
    assert_eq!(
        pull.reason.as_deref(),
        Some("The checkout is 1111111, the remote's head is 2222222.")
    );
}

#[test]
fn a_pull_that_reached_the_head_of_its_start_succeeds_though_the_head_moved_on() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    let id = lab.starts(Operation::Pull);
    lab.remote(3, 1);
    let report = Report { checkout: Some(commit(2)), ..Report::default() };
    lab.ends(id, exited(0), report);
    assert_eq!(lab.last().state, State::Succeeded);
    assert_eq!(lab.row(), "ok out ok out out");
}

#[test]
fn a_switch_that_left_another_commit_running_is_unverified_and_system_is_yellow() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    let report = Report { system: Some(system(1, 1)), ..Report::default() };
    let switch = after(&mut lab, Operation::Switch, report);
    assert_eq!(switch.state, State::Unverified);
    assert!(lab.row().starts_with("ok ok ok out"), "{}", lab.row());
}

#[test]
fn a_switch_is_verified_by_facts_that_come_with_a_later_heartbeat() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    let id = lab.starts(Operation::Switch);
    lab.ends(id, exited(0), Report::default());
    assert_eq!(lab.state.command().map(|c| c.state), Some(State::Verifying));
    lab.beat(Report { system: Some(system(2, 2)), ..Report::default() }, None);
    assert_eq!(lab.last().state, State::Succeeded);
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn an_agent_that_is_not_the_one_of_the_new_system_is_stale() {
    let mut lab = Lab::green();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.report.binary.store_path = Some("/nix/store/old-nixfleet".into());
    lab.connects(registration.clone());
    let mut new = system(2, 1);
    new.agent_path = Some("/nix/store/new-nixfleet".into());
    let report = Report { system: Some(new), ..Report::default() };
    let switch = after(&mut lab, Operation::Switch, report);
    assert_eq!(switch.state, State::Unverified);
    assert_eq!(switch.reason.as_deref(), Some("stale agent binary"));
    assert_eq!(switch.miss, Some(Miss::StaleAgent));
    assert!(lab.row().starts_with("err ok ok ok"), "{}", lab.row());
    // The agent of the new system mends it.
    registration.report.binary.store_path = Some("/nix/store/new-nixfleet".into());
    lab.connects(registration);
    assert!(lab.row().starts_with("ok ok ok ok"), "{}", lab.row());
}

#[test]
fn an_agent_that_is_restarted_late_by_the_switch_is_fresh() {
    let mut lab = Lab::green();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.report.binary.store_path = Some("/nix/store/old-nixfleet".into());
    lab.connects(registration.clone());
    let mut new = system(2, 1);
    new.agent_path = Some("/nix/store/new-nixfleet".into());
    let id = lab.starts(Operation::Switch);
    lab.ends(id, exited(0), Report { system: Some(new), ..Report::default() });
    assert_eq!(lab.state.command().map(|c| c.state), Some(State::Verifying));
    registration.report.binary.store_path = Some("/nix/store/new-nixfleet".into());
    lab.connects(registration);
    assert_eq!(lab.last().state, State::Succeeded);
}

#[test]
fn a_run_that_ended_well_but_reported_too_few_tests_is_unverified() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    let result = TestResult {
        index: 1,
        total: 8,
        name: "First".into(),
        outcome: TestCaseOutcome::Passed,
        duration_ms: 1,
        output: String::new(),
        subtests: None,
    };
    lab.apply(HostEvent::TestEnded { about: About::Id(id), result });
    lab.ends(id, exited(0), Report::default());
    assert_eq!(lab.last().state, State::Unverified);
    assert_eq!(lab.last().reason.as_deref(), Some("Only 1 of 8 tests were reported."));
}

#[test]
fn a_reboot_ends_when_the_host_is_back_with_a_later_boot_time() {
    let mut lab = Lab::green();
    let boot = |lab: &mut Lab, at: i64| {
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.profile.boot_time = Some(Timestamp::from_secs(at));
        lab.connects(registration);
    };
    boot(&mut lab, 1000);
    let id = lab.starts(Operation::Reboot);
    // A mere reconnect is no reboot.
    boot(&mut lab, 1000);
    assert!(lab.state.find(id).is_some_and(|c| c.state == State::Verifying));
    boot(&mut lab, 2000);
    assert_eq!(lab.last().state, State::Succeeded);
}

#[test]
fn a_rollback_that_left_the_same_generation_running_is_unverified() {
    let mut lab = Lab::green();
    let report = Report { system: Some(system(1, 1)), ..Report::default() };
    let rollback = after(&mut lab, Operation::Rollback, report);
    assert_eq!(rollback.state, State::Unverified);
    assert_eq!(rollback.reason.as_deref(), Some("Generation 1 still runs."));
}

#[test]
fn failed_tests_after_a_switch_roll_back_only_where_a_user_has_asked_for_it() {
    for asked in [false, true] {
        let mut lab = Lab::green();
        lab.state.profile.tests_auto_run = Some(true);
        lab.sets(Change { auto_rollback: Some(asked), ..Change::default() });
        lab.remote(2, 1);
        lab.pulls(2, 1);
        lab.switches(system(2, 2));
        let test = lab.state.command().expect("tests run by themselves").clone();
        assert_eq!((test.op, test.requested_by), (Operation::Test, Author::Auto));
        lab.ends(test.id, exited(1), Report::default());
        let next = lab.state.command().map(|c| c.op);
        assert_eq!(next, asked.then_some(Operation::Rollback));
        assert!(lab.row().ends_with("err"), "{}", lab.row());
    }
}

#[test]
fn what_a_user_sets_wins_over_the_agent_until_it_is_given_back() {
    let mut lab = Lab::green();
    lab.sets(Change {
        tests_enabled: Set::To(false),
        location: Set::To(Place::Work),
        ..Change::default()
    });
    assert_eq!(lab.row(), "ok ok ok ok unk");
    let says = Some(TestSetup { enabled: true, auto_run: true, count: Some(8) });
    lab.beat(Report { tests: says, ..Report::default() }, None);
    assert_eq!(lab.row(), "ok ok ok ok unk");
    assert_eq!(lab.state.snapshot().profile.location, Some(Place::Work));
    lab.sets(Change { tests_enabled: Set::Clear, location: Set::Clear, ..Change::default() });
    assert_eq!(lab.row(), "ok ok ok ok ok");
    assert_eq!(lab.state.snapshot().profile.location, None);
}

/// What its configuration gives it and what users add are shown together; neither takes the other's.
#[test]
fn tags_of_the_host_and_of_users_stand_together_and_each_takes_back_its_own() {
    let tags = |text: &str| Tags::read(text.split_whitespace()).unwrap();
    let mut lab = Lab::green();
    let shown = |lab: &Lab| lab.state.snapshot().profile.tags.to_string();
    let says = |lab: &mut Lab, told: Option<&str>| {
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.tags = told.map(tags);
        lab.connects(registration);
    };
    says(&mut lab, Some("db eu"));
    lab.sets(Change { tags: SetTags::To(tags("canary db")), ..Change::default() });
    assert_eq!(shown(&lab), "canary db eu");
    // An agent that knows nothing of tags unsays none.
    says(&mut lab, None);
    assert_eq!(shown(&lab), "canary db eu");
    says(&mut lab, Some(""));
    assert_eq!(shown(&lab), "canary db");
    says(&mut lab, Some("eu"));
    lab.sets(Change { tags: SetTags::Remove(Tag::parse("eu").unwrap()), ..Change::default() });
    assert_eq!(shown(&lab), "canary db eu", "the configuration's own stays");
    lab.sets(Change { tags: SetTags::To(Tags::default()), ..Change::default() });
    assert_eq!(shown(&lab), "eu");
}

/// B2 of findings/house.md: the host merges changes, so nobody's is lost.
#[test]
fn two_users_who_change_two_settings_at_one_moment_both_get_what_they_asked_for() {
    let place = Change { location: Set::To(Place::Work), ..Change::default() };
    let device = Change { device_type: Set::To(DeviceType::Laptop), ..Change::default() };
    for changes in [[&place, &device], [&device, &place]] {
        let mut lab = Lab::green();
        for change in changes {
            lab.sets(change.clone());
            assert_eq!(lab.recorded(), ["Settings were changed."]);
        }
        let shown = lab.state.snapshot().profile;
        assert_eq!(
            (shown.location, shown.device_type),
            (Some(Place::Work), Some(DeviceType::Laptop))
        );
    }
}

/// Place 3 of findings/house.md: what a host says in words decides nothing.
#[test]
fn words_of_a_host_do_not_make_its_agent_stale() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Switch);
    let told = Some("stale agent binary".to_owned());
    let outcome =
        Outcome { kind: OutcomeKind::Failed, exit_code: 1, message: told, blocked_by: Vec::new() };
    lab.ends(id, outcome, Report::default());
    assert_eq!((lab.last().state, &lab.last().miss), (State::Failed, &None));
    assert!(!lab.state.facts.agent.stale);
    assert!(lab.row().starts_with("ok ok ok err"), "{}", lab.row());
}

#[test]
fn a_command_that_an_earlier_version_left_verifying_still_finds_its_agent_stale() {
    let mut lab = Lab::green();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.report.binary.store_path = Some("/nix/store/old-nixfleet".into());
    lab.connects(registration);
    let mut new = system(2, 1);
    new.agent_path = Some("/nix/store/new-nixfleet".into());
    let id = lab.starts(Operation::Switch);
    lab.ends(id, exited(0), Report { system: Some(new), ..Report::default() });
    let verifying = lab.state.command().expect("it is being verified");
    assert_eq!(verifying.miss, Some(Miss::StaleAgent));
    let mut stored = serde_json::to_value(verifying).unwrap();
    stored.as_object_mut().unwrap().remove("miss");
    let restored = Restored {
        id: lab.state.id.clone(),
        profile: lab.state.profile.clone(),
        facts: lab.state.facts.clone(),
        last_seen: None,
        live: vec![serde_json::from_value(stored).unwrap()],
        last: None,
        results: Vec::new(),
    };
    lab.state = HostState::restore(restored, Arc::clone(&lab.state.desired), lab.moment().up);
    lab.now = lab.now.shifted(1000 * 3600);
    lab.apply(HostEvent::Tick);
    assert_eq!(lab.last().state, State::Unverified);
    assert!(lab.state.facts.agent.stale);
}

/// What an agent's preflight is in the way of did not begin: no deploy, and nothing red.
#[test]
fn a_switch_that_the_agent_did_not_begin_is_blocked_and_changes_no_row() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Switch);
    let message = Some("2.1 GiB are free in /nix/store, 3 GiB are needed.".to_owned());
    let blocked = Outcome {
        kind: OutcomeKind::Blocked,
        exit_code: 1,
        message: message.clone(),
        blocked_by: vec![Regardless::Space],
    };
    lab.ends(id, blocked, Report::default());
    let command = lab.last().clone();
    assert_eq!(command.regardless(), Some(vec![Regardless::Space]));
    // Asked again with that, the next thing in the way comes on top of it.
    let mut again = command.clone();
    again.args.regardless = vec![Regardless::Space];
    again.blocked_by = vec![Regardless::Power];
    assert_eq!(again.regardless(), Some(vec![Regardless::Space, Regardless::Power]));
    again.blocked_by.clear();
    assert_eq!(again.regardless(), None);
    assert_eq!((command.state, command.reason), (State::Blocked, message));
    assert_eq!(command.exit_code, None);
    assert_eq!(lab.row(), "ok ok ok ok ok");
}

/// Finding 3 of systemd: a test run that a shutdown ended was recorded as red tests.
#[test]
fn a_test_run_that_the_machine_interrupted_is_lost_and_not_red() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    let message = Some("interrupted by a restart".to_owned());
    let died =
        Outcome { kind: OutcomeKind::Interrupted, exit_code: 143, message, blocked_by: Vec::new() };
    lab.ends(id, died, Report::default());
    assert_eq!(lab.last().state, State::Lost);
    assert!(!lab.row().ends_with("err"), "{}", lab.row());
}

#[test]
fn a_rollback_to_one_of_two_generations_with_the_same_path_is_proven_by_the_path_34() {
    let mut lab = Lab::green();
    let mut generations: Vec<Generation> = (5..=7)
        .map(|number| Generation {
            generation: number,
            store_path: Some(format!("/nix/store/{number}-system")),
            configuration_revision: None,
            created_at: None,
            current: false,
        })
        .collect();
    // 5 and 7 point to the same.
    generations[0].store_path = generations[2].store_path.clone();
    let (system, generations) = (Some(system(6, 1)), Some(generations));
    lab.beat(Report { system, generations, ..Report::default() }, None);
    let args = Args { generation: Some(5), ..Args::default() };
    let by = Author::Admin;
    let op = Operation::Rollback;
    lab.apply(HostEvent::Requested { id: None, op, args, queue: false, by });
    let id = lab.state.command().unwrap().id;
    let report = Report { system: Some(super::system(7, 1)), ..Report::default() };
    lab.ends(id, exited(0), report);
    assert_eq!(
        (lab.last().id, lab.last().state),
        (id, State::Succeeded),
        "{:?}",
        lab.last().reason
    );
}

#[test]
fn a_pull_that_left_a_changed_checkout_is_unverified() {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    let dirty = Some(Some(true));
    let report = Report { checkout: Some(commit(2)), dirty, ..Report::default() };
    let pull = after(&mut lab, Operation::Pull, report);
    assert_eq!(pull.state, State::Unverified);
    assert_eq!(pull.reason.as_deref(), Some("The checkout is changed by hand."));
}
