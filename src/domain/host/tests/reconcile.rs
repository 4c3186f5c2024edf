//! Whose word counts (spec: lifecycle, "Reconciliation"), and what contradicts it.

use super::*;

fn working(name: &str, id: Option<CommandId>) -> Option<Work> {
    Some(Work { id, name: name.into() })
}

fn id(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

#[test]
fn a_command_that_the_dashboard_does_not_know_is_adopted_and_shown() {
    let mut lab = Lab::green();
    lab.beat(Report::default(), working("switch", Some(id(900))));
    let command = lab.state.command().unwrap();
    assert_eq!(
        (command.id, command.op, command.state),
        (id(900), Operation::Switch, State::Running)
    );
    assert_eq!(command.requested_by, Author::Agent);
    assert_eq!(lab.row(), "ok ok ok wrk ok");
    lab.ends(id(900), exited(0), Report { system: Some(system(2, 1)), ..Report::default() });
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn what_the_agent_does_not_run_and_did_not_end_is_lost_after_two_heartbeats() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.beat(Report::default(), None);
    assert_eq!(lab.state.command().map(|c| c.id), Some(switch));
    lab.beat(Report::default(), None);
    assert_eq!(lab.last().state, State::Lost);
    assert!(lab.state.command().is_none());
    // Its true outcome may come late.
    lab.ends(switch, exited(0), Report { system: Some(system(2, 1)), ..Report::default() });
    lab.beat(Report { system: Some(system(2, 1)), ..Report::default() }, None);
    assert_eq!(lab.last().state, State::Succeeded);
}

#[test]
fn a_refusal_frees_the_host_and_what_runs_instead_is_adopted() {
    let mut lab = Lab::green();
    let pull = lab.asks(Operation::Pull, false).unwrap().id;
    lab.apply(HostEvent::Rejected {
        about: About::Id(pull),
        reason: "busy".into(),
        work: working("test", Some(id(900))),
    });
    assert_eq!((lab.last().id, lab.last().state), (pull, State::Rejected));
    assert_eq!(lab.state.command().map(|c| c.id), Some(id(900)));
    assert_eq!(lab.row(), "ok ok ok ok wrk");
}

#[test]
fn the_outcome_of_another_command_changes_nothing_and_is_recorded() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    let before = lab.state.facts.clone();
    let lies =
        Report { checkout: Some(commit(9)), system: Some(system(9, 9)), ..Report::default() };
    lab.ends(id(900), exited(1), lies);
    assert_eq!(lab.state.facts, before);
    assert_eq!(lab.state.command().map(|c| c.id), Some(switch));
    assert_eq!(lab.recorded().len(), 1, "{:?}", lab.effects);
}

#[test]
fn an_exit_code_out_of_range_is_recorded_and_ends_nothing() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    for code in [i32::MIN, -2, 256, i32::MAX] {
        lab.ends(switch, exited(code), Report::default());
        assert_eq!(lab.state.command().map(|c| c.state), Some(State::Running), "{code}");
        assert!(lab.recorded()[0].contains("out of range"), "{:?}", lab.recorded());
    }
}

#[test]
fn instants_in_the_future_are_recorded_and_not_believed() {
    let mut lab = Lab::green();
    let mut later = system(1, 1);
    later.activated_at = Some(lab.now.shifted(1000 * 3600 * 24 * 365));
    lab.beat(Report { system: Some(later), ..Report::default() }, None);
    assert_eq!(lab.state.facts.system.activated_at, None);
    assert!(lab.recorded()[0].contains("in the future"), "{:?}", lab.recorded());
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.profile.boot_time = Some(lab.now.shifted(1000 * 3600 * 24 * 365));
    lab.connects(registration);
    assert_eq!(lab.state.profile.boot_time, None);
}

#[test]
fn messages_that_make_no_sense_do_not_fill_the_audit_log() {
    let mut lab = Lab::green();
    let mut recorded = 0;
    for _ in 0..1000 {
        lab.ends(id(900), exited(1), Report::default());
        recorded += lab.recorded().len();
    }
    assert_eq!(recorded, 20);
    lab.connects(lab.registration(DASHBOARD_VERSION));
    lab.ends(id(900), exited(1), Report::default());
    assert_eq!(lab.recorded().len(), 1);
}

#[test]
fn a_message_that_lacks_every_field_changes_no_fact() {
    let mut lab = Lab::green();
    let before = lab.state.facts.clone();
    lab.beat(Report::default(), None);
    let registration = Registration { protocol: Some(4), ..Registration::default() };
    lab.connects(registration);
    assert_eq!(lab.state.facts, before);
}

#[test]
fn queued_commands_wait_run_one_after_the_other_and_can_be_taken_back() {
    let mut lab = Lab::green();
    lab.apply(HostEvent::Disconnected);
    assert_eq!(lab.asks(Operation::Pull, false).unwrap_err().code, RefusalCode::HostOffline);
    let pull = lab.asks(Operation::Pull, true).unwrap();
    let test = lab.asks(Operation::Test, true).unwrap();
    let dry = lab.asks(Operation::DryRun, true).unwrap();
    assert_eq!(pull.state, State::Queued);
    assert_eq!(lab.asks(Operation::Pull, true).unwrap_err().code, RefusalCode::HostBusy);
    lab.apply(HostEvent::StopRequested { id: dry.id, by: Author::Admin });
    assert_eq!(lab.last().state, State::Cancelled);
    lab.connects(lab.registration(DASHBOARD_VERSION));
    assert_eq!(lab.state.command().map(|c| (c.id, c.state)), Some((pull.id, State::Sent)));
    lab.ends(pull.id, exited(0), Report::default());
    assert_eq!(lab.state.command().map(|c| (c.id, c.state)), Some((test.id, State::Sent)));
}

#[test]
fn a_queued_command_expires_after_a_day() {
    let mut lab = Lab::green();
    lab.apply(HostEvent::Disconnected);
    let pull = lab.asks(Operation::Pull, true).unwrap().id;
    lab.waits(24 * 3600 - 60);
    assert!(lab.state.find(pull).is_some_and(|c| c.state == State::Queued));
    lab.waits(120);
    assert_eq!((lab.last().id, lab.last().state), (pull, State::Expired));
}

#[test]
fn a_queued_command_whose_need_is_not_met_any_more_is_blocked_and_says_why() {
    let mut lab = Lab::green();
    lab.apply(HostEvent::Disconnected);
    lab.asks(Operation::Switch, true).unwrap();
    lab.remote_fails();
    lab.connects(lab.registration(DASHBOARD_VERSION));
    assert_eq!(lab.last().state, State::Blocked);
    assert!(lab.last().reason.as_ref().unwrap().contains("HTTP 403"));
}

#[test]
fn a_long_run_is_pointed_at_then_overdue_and_can_be_given_more_time() {
    let mut lab = Lab::green();
    lab.state.limits = Arc::new(TimeLimits::parse("switch=30m").unwrap());
    let switch = lab.starts(Operation::Switch);
    lab.waits(19 * 60);
    assert!(!lab.state.command().unwrap().slow);
    lab.waits(2 * 60);
    assert!(lab.state.command().unwrap().slow);
    lab.waits(10 * 60);
    assert_eq!(lab.state.command().unwrap().state, State::Overdue);
    assert_eq!(lab.row(), "ok ok ok wrk ok");
    lab.apply(HostEvent::ExtendRequested { id: switch, by: Author::Admin });
    assert_eq!(lab.state.command().unwrap().state, State::Running);
    lab.waits(29 * 60);
    assert_eq!(lab.state.command().unwrap().state, State::Running);
    lab.waits(2 * 60);
    assert_eq!(lab.state.command().unwrap().state, State::Overdue);
}

#[test]
fn a_switch_of_a_3x_agent_that_never_comes_back_is_not_green() {
    let mut lab = Lab::new();
    let mut old = lab.registration("3.1.5");
    (old.protocol, old.jobs) = (None, None);
    old.report.checkout = Some(commit(1));
    old.report.lock = Some(lock(1));
    old.report.binary = AgentBinary { binary_hash: Some("a".into()), ..AgentBinary::default() };
    lab.connects(old);
    let switch = lab.asks(Operation::Switch, false).unwrap().id;
    lab.beat(Report::default(), working("switch", None));
    lab.apply(HostEvent::Ended {
        about: About::Name("switch".into()),
        outcome: exited(0),
        report: Box::default(),
    });
    lab.apply(HostEvent::Disconnected);
    // What would prove it cannot come while it is away: that has its own limit.
    lab.waits(100);
    assert_eq!(lab.state.command().map(|c| (c.id, c.state)), Some((switch, State::Verifying)));
    lab.waits(3600);
    assert_eq!((lab.last().id, lab.last().state), (switch, State::Unverified));
    assert_eq!(lab.row(), "out ok ok out out");
}

#[test]
fn the_end_of_a_refresh_ends_no_command_and_its_facts_count() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.apply(HostEvent::Ended {
        about: About::Name("refresh-all".into()),
        outcome: exited(0),
        report: Box::new(Report { lock: Some(lock(2)), ..Report::default() }),
    });
    assert_eq!(lab.state.command().map(|c| (c.id, c.state)), Some((switch, State::Running)));
    assert_eq!(lab.state.facts.lock, Some(lock(2)));
    assert!(lab.recorded().is_empty(), "{:?}", lab.recorded());
}
