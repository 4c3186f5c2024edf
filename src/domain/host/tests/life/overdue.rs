//! What becomes of what is overdue (finding 42).

use super::*;

#[test]
fn what_is_overdue_and_changes_nothing_on_the_host_is_told_to_stop_and_times_out_42() {
    let pull = (Operation::Pull, None, 5 * MINUTES);
    let test = (Operation::Test, None, 30 * MINUTES);
    let dry_run = (Operation::DryRun, None, 60 * MINUTES);
    let switch = (Operation::Switch, Some(WorkPhase::Build), 24 * 3600);
    let pull_switch = (Operation::PullSwitch, Some(WorkPhase::Pull), 60 * MINUTES);
    let rollback = (Operation::Rollback, Some(WorkPhase::Preflight), 15 * MINUTES);
    for (op, phase, once_more) in [pull, test, dry_run, switch, pull_switch, rollback] {
        let mut lab = Lab::green();
        let id = lab.is_overdue(op);
        if let Some(phase) = phase {
            lab.enters(id, phase);
        }
        lab.waits(once_more - 1);
        assert_eq!((lab.state_of(id), lab.was_told_to_stop()), (State::Overdue, false), "{op}");
        lab.waits(1);
        assert_eq!((lab.state_of(id), lab.was_told_to_stop()), (State::Stopping, true), "{op}");
        let outcome = Outcome {
            kind: OutcomeKind::Stopped,
            exit_code: 130,
            message: None,
            blocked_by: Vec::new(),
        };
        lab.ends(id, outcome, Report::default());
        assert_eq!((lab.last().id, lab.last().state), (id, State::TimedOut), "{op}");
        assert!(lab.asks(Operation::Pull, false).is_ok(), "{op}: it is over on the host too");
    }
}

#[test]
fn what_is_overdue_and_activates_is_not_told_to_stop_and_times_out_42() {
    for op in [Operation::Switch, Operation::PullSwitch, Operation::Rollback] {
        for phase in [None, Some(WorkPhase::Activate), Some(WorkPhase::Other)] {
            let mut lab = Lab::green();
            let id = lab.is_overdue(op);
            if let Some(phase) = phase {
                lab.enters(id, phase);
            }
            lab.waits(25 * 3600);
            assert!(!lab.was_told_to_stop(), "{op} {phase:?}");
            assert_eq!((lab.last().id, lab.last().state), (id, State::TimedOut), "{op} {phase:?}");
            assert!(lab.reason().contains("still activates"), "{}", lab.reason());
        }
    }
}

/// The guard's own limits are longer than that of a rollback, and it ends by what it decides.
#[test]
fn no_deadline_ends_what_a_guard_works_on() {
    let guarded = |op: Operation| {
        let mut lab = Lab::green();
        let id = lab.is_overdue(op);
        for phase in [WorkPhase::Arm, WorkPhase::Activate] {
            lab.enters(id, phase);
        }
        (lab, id)
    };
    for op in [Operation::Switch, Operation::PullSwitch, Operation::Rollback] {
        let (mut lab, id) = guarded(op);
        lab.waits(22 * 3600);
        assert_eq!((lab.state_of(id), lab.was_told_to_stop()), (State::Overdue, false), "{op}");
        // Its network is cut, until the guard reboots into the system of before.
        lab.goes_away();
        lab.waits(59 * MINUTES);
        assert_eq!(lab.state_of(id), State::Overdue, "{op}");
        lab.is_back(&[(id, op)]);
        lab.enters(id, WorkPhase::Return);
        let outcome = Outcome {
            kind: OutcomeKind::Returned,
            exit_code: 1,
            message: Some("the default route is missing".to_owned()),
            blocked_by: Vec::new(),
        };
        lab.ends(id, outcome, Report::default());
        assert_eq!((lab.last().id, lab.last().state), (id, State::Failed), "{op}");
        assert!(lab.reason().contains("Rolled back by itself"), "{}", lab.reason());
    }
    let (mut lab, id) = guarded(Operation::Rollback);
    lab.apply(HostEvent::StopRequested { id, by: Author::Admin });
    lab.waits(59 * MINUTES);
    assert_eq!(lab.state_of(id), State::Stopping, "the guard brings the system back");
    lab.waits(MINUTES);
    assert_eq!((lab.last().id, lab.last().state), (id, State::Lost));
    // A host that does not come back is not busy for ever.
    let (mut lab, id) = guarded(Operation::Rollback);
    lab.goes_away();
    lab.waits(60 * MINUTES);
    assert_eq!((lab.last().id, lab.last().state), (id, State::Lost));
}

#[test]
fn a_restart_or_a_reboot_that_is_overdue_times_out_and_nothing_is_sent_42() {
    for (op, once_more) in [(Operation::RestartAgent, 2), (Operation::Reboot, 15)] {
        let mut lab = Lab::green();
        let id = lab.is_overdue(op);
        lab.waits(once_more * MINUTES);
        assert!(!lab.was_told_to_stop(), "{op}");
        assert_eq!((lab.last().id, lab.last().state), (id, State::TimedOut), "{op}");
        assert!(lab.asks(Operation::Pull, false).is_ok(), "{op}: the host is not busy");
    }
}

#[test]
fn whatever_comes_of_a_stop_for_its_time_is_timed_out_42() {
    let outcome = |kind, exit_code| {
        move |lab: &mut Lab, id| {
            lab.ends(
                id,
                Outcome { kind, exit_code, message: None, blocked_by: Vec::new() },
                Report::default(),
            );
        }
    };
    type Answer = Box<dyn Fn(&mut Lab, CommandId)>;
    let answers: [Answer; 6] = [
        Box::new(outcome(OutcomeKind::Stopped, 130)),
        Box::new(outcome(OutcomeKind::Failed, 1)),
        Box::new(outcome(OutcomeKind::TimedOut, 1)),
        // It does not answer.
        Box::new(|lab, _| lab.waits(15)),
        Box::new(|lab, id| {
            let (about, reason) = (About::Id(id), "It cannot be stopped.".to_owned());
            lab.apply(HostEvent::Rejected { about, reason, work: None });
        }),
        Box::new(|lab, _| {
            lab.idles();
            lab.idles();
        }),
    ];
    for (number, answer) in answers.iter().enumerate() {
        let mut lab = Lab::green();
        let id = lab.is_overdue(Operation::Pull);
        lab.waits(5 * MINUTES);
        answer(&mut lab, id);
        assert_eq!((lab.last().id, lab.last().state), (id, State::TimedOut), "answer {number}");
    }
    // What was done before the stop reached it was done.
    let mut lab = Lab::green();
    let id = lab.is_overdue(Operation::Pull);
    lab.waits(5 * MINUTES);
    lab.ends(id, exited(0), Report { checkout: Some(commit(1)), ..Report::default() });
    assert_eq!((lab.last().id, lab.last().state), (id, State::Succeeded));
}

#[test]
fn what_is_overdue_is_extended_or_stopped_or_let_be_by_the_user_42() {
    let mut lab = Lab::green();
    let pull = lab.is_overdue(Operation::Pull);
    lab.waits(4 * MINUTES);
    lab.apply(HostEvent::ExtendRequested { id: pull, by: Author::Admin });
    assert_eq!(lab.state_of(pull), State::Running);
    lab.waits(5 * MINUTES - 1);
    assert_eq!(lab.state_of(pull), State::Running);
    lab.waits(1);
    assert_eq!(lab.state_of(pull), State::Overdue);
    lab.apply(HostEvent::StopRequested { id: pull, by: Author::Admin });
    let outcome = Outcome {
        kind: OutcomeKind::Stopped,
        exit_code: 130,
        message: None,
        blocked_by: Vec::new(),
    };
    lab.ends(pull, outcome, Report::default());
    assert_eq!(lab.last().state, State::Stopped);
}

#[test]
fn a_host_that_works_on_what_timed_out_is_busy_for_as_long_as_its_agent_names_it_42() {
    let mut lab = Lab::green();
    let switch = lab.is_overdue(Operation::Switch);
    lab.waits(25 * 3600);
    assert_eq!(lab.last().state, State::TimedOut);
    let refused = |lab: &mut Lab| lab.asks(Operation::Pull, false).unwrap_err();
    assert_eq!(refused(&mut lab).code, RefusalCode::HostBusy);
    for _ in 0..3 {
        lab.names(switch, Operation::Switch);
        assert_eq!(refused(&mut lab).code, RefusalCode::HostBusy);
        assert_eq!(lab.state.snapshot().busy_with.as_deref(), Some("switch"));
        assert_eq!((lab.last().id, lab.last().state), (switch, State::TimedOut));
    }
    // Neither a new link nor a restart of the dashboard makes it forget.
    lab.restarts();
    lab.is_back(&[(switch, Operation::Switch)]);
    assert!(refused(&mut lab).message.contains("took too long"), "{:?}", refused(&mut lab));
    lab.idles();
    assert!(lab.asks(Operation::Pull, false).is_ok());
}

#[test]
fn what_waits_for_a_host_waits_while_it_works_on_what_timed_out_42() {
    let mut lab = Lab::green();
    let switch = lab.is_overdue(Operation::Switch);
    lab.waits(3600);
    lab.goes_away();
    let pull = lab.asks(Operation::Pull, true).unwrap().id;
    lab.is_back(&[(switch, Operation::Switch)]);
    lab.waits(22 * 3600);
    assert_eq!((lab.state_of(switch), lab.state_of(pull)), (State::Overdue, State::Queued));
    lab.waits(3600);
    assert_eq!((lab.state_of(switch), lab.state_of(pull)), (State::TimedOut, State::Queued));
    lab.names(switch, Operation::Switch);
    assert_eq!(lab.state_of(pull), State::Queued);
    lab.idles();
    assert_eq!(lab.state_of(pull), State::Sent);
}
