//! What a 3.x agent says, and what it means by it.

use super::*;

/// 3, 44.
#[test]
fn the_echo_after_an_outcome_is_no_command_and_hides_no_failure() {
    for op in [Operation::Switch, Operation::Test, Operation::Rollback] {
        let mut old = Old::green();
        let id = old.starts(op);
        old.line("no disk", true);
        old.ends(op, 1);
        assert_eq!(old.busy(), None, "{op}");
        let row = old.lab.row();
        assert!(row.contains("err"), "{op}: {row}");
        old.beats(None);
        old.beats(None);
        old.beats(None);
        assert_eq!((old.busy(), old.lab.row()), (None, row), "{op}");
        assert_eq!((old.lab.last().id, old.lab.last().state), (id, State::Failed), "{op}");
    }
}

/// 3.
#[test]
fn what_is_there_after_a_heartbeat_without_a_command_is_adopted_or_in_the_third() {
    let mut old = Old::green();
    old.starts(Operation::Test);
    old.ends(Operation::Test, 1);
    old.beats(None);
    old.beats(Some("test"));
    assert_eq!(old.busy(), Some((Operation::Test, State::Running)));
    let mut old = Old::green();
    old.starts(Operation::Test);
    old.ends(Operation::Test, 1);
    old.beats(Some("test"));
    assert_eq!(old.busy(), None);
    old.beats(Some("test"));
    assert_eq!(old.busy(), Some((Operation::Test, State::Running)));
}

/// 3.
#[test]
fn an_echo_acknowledges_nothing() {
    let mut old = Old::green();
    old.starts(Operation::Test);
    old.status("test", OutcomeKind::Failed, 1, Some("command failed"));
    let again = old.asks(Operation::Test);
    old.beats(Some("test"));
    assert_eq!(old.state_of(again), State::Sent);
    old.beats(None);
    old.beats(Some("test"));
    assert_eq!(old.state_of(again), State::Running);
}

/// 25.
#[test]
fn the_second_status_of_a_stop_ends_no_other_command() {
    let mut old = Old::green();
    let first = old.starts(Operation::Switch);
    old.stops(first);
    old.status("switch", OutcomeKind::Stopped, 130, Some("terminated by user"));
    assert_eq!(old.state_of(first), State::Stopped);
    let next = old.asks(Operation::Switch);
    assert_eq!((old.state_of(next), old.sent()), (State::Queued, 0));
    old.ends(Operation::Switch, -1);
    assert_eq!((old.state_of(next), old.sent()), (State::Queued, 0));
    old.beats(None);
    assert_eq!((old.state_of(next), old.sent()), (State::Sent, 1));
    old.beats(Some("switch"));
    assert_eq!(old.state_of(next), State::Running);
    assert_eq!(old.lab.last().state, State::Stopped);
}

/// 25.
#[test]
fn what_waits_after_a_stop_waits_for_three_heartbeats_or_two_minutes() {
    let stopped = || {
        let mut old = Old::green();
        let first = old.starts(Operation::Switch);
        old.stops(first);
        old.status("switch", OutcomeKind::Stopped, 130, None);
        let next = old.asks(Operation::Pull);
        (old, next)
    };
    let (mut old, next) = stopped();
    old.beats(Some("switch"));
    old.beats(Some("refresh-all"));
    assert_eq!(old.state_of(next), State::Queued);
    old.beats(Some("refresh-all"));
    assert_eq!(old.state_of(next), State::Sent);
    let (mut old, next) = stopped();
    old.lab.waits(119);
    assert_eq!(old.state_of(next), State::Queued);
    assert!(
        old.lab
            .state
            .next_due()
            .is_some_and(|due| due <= old.lab.moment().up + std::time::Duration::from_secs(2))
    );
    old.lab.waits(2);
    assert_eq!(old.state_of(next), State::Sent);
}

/// A `status` of `stop` is no outcome: what runs cannot be stopped, and goes on.
#[test]
fn a_command_that_cannot_be_stopped_goes_on() {
    let mut old = Old::green();
    let pull = old.starts(Operation::Pull);
    old.stops(pull);
    assert_eq!(old.state_of(pull), State::Stopping);
    old.status("stop", OutcomeKind::Failed, 1, Some("no command running"));
    assert_eq!(old.state_of(pull), State::Running);
    old.beats(Some("pull"));
    old.ends(Operation::Pull, 0);
    assert_eq!(old.state_of(pull), State::Succeeded);
}

/// 47.
#[test]
fn a_rejection_because_of_a_refresh_or_an_echo_is_none() {
    for name in ["refresh-all", "refresh-lock", "test"] {
        let mut old = Old::green();
        old.starts(Operation::Test);
        old.status("test", OutcomeKind::Failed, 1, None);
        let pull = old.asks(Operation::Pull);
        let rejected = || HostEvent::Rejected {
            about: About::Name(String::new()),
            reason: "command already running".into(),
            work: Some(Work { id: None, name: name.into() }),
        };
        for _ in 0..3 {
            old.lab.apply(rejected());
            assert_eq!((old.state_of(pull), old.sent()), (State::Sent, 0), "{name}");
            old.beats(Some(name));
            assert_eq!((old.state_of(pull), old.sent()), (State::Sent, 0), "{name}");
            old.beats(None);
            assert_eq!((old.state_of(pull), old.sent()), (State::Sent, 1), "{name}");
            old.beats(None);
            assert_eq!(old.sent(), 0, "{name}: only once");
        }
        old.lab.apply(rejected());
        assert_eq!(old.state_of(pull), State::Rejected, "{name}");
    }
}

/// 62.
#[test]
fn what_has_no_name_here_is_never_adopted_and_ends_nothing() {
    for name in ["force-update", "check-version", "update", "refresh-git"] {
        let mut old = Old::green();
        old.beats(Some(name));
        assert_eq!(old.busy(), None, "{name}");
        assert_eq!(old.lab.row(), "out ok ok ok ok", "{name}");
        old.beats(None);
        let switch = old.starts(Operation::Switch);
        old.beats(Some(name));
        assert_eq!(old.state_of(switch), State::Running, "{name}");
        old.ends(Operation::Switch, 0);
        old.beats(Some(name));
        assert_eq!(old.state_of(switch), State::Verifying, "{name}");
        old.comes_back();
        assert_eq!(old.state_of(switch), State::Succeeded, "{name}");
    }
}

/// 62.
#[test]
fn a_command_refused_for_what_has_no_name_here_says_what_the_host_is_busy_with() {
    let mut old = Old::green();
    let pull = old.asks(Operation::Pull);
    old.lab.apply(HostEvent::Rejected {
        about: About::Name(String::new()),
        reason: "command already running".into(),
        work: Some(Work { id: None, name: "force-update".into() }),
    });
    assert_eq!(old.state_of(pull), State::Rejected);
    let reason = old.lab.last().reason.clone().unwrap();
    assert!(reason.contains("busy with force-update"), "{reason}");
    assert_eq!(old.busy(), None);
    assert_eq!(old.lab.state.snapshot().busy_with.as_deref(), Some("force-update"));
    // As long as it is, nothing is sent to it.
    let refused = old.lab.asks(Operation::Pull, false).unwrap_err();
    assert_eq!(refused.code, RefusalCode::HostBusy);
    assert!(refused.message.contains("busy with force-update"), "{}", refused.message);
    old.beats(None);
    assert_eq!(old.lab.state.snapshot().busy_with, None);
    old.asks(Operation::Pull);
}

/// 39.
#[test]
fn command_failed_says_nothing_and_the_last_line_of_stderr_says_more() {
    let mut old = Old::green();
    old.starts(Operation::Switch);
    old.line("error: builder for x failed", true);
    old.ends(Operation::Switch, 1);
    assert_eq!(
        old.lab.says(Compartment::System),
        "Switch failed: error: builder for x failed (only a switch that succeeds clears this)"
    );
    // Other texts count.
    let mut old = Old::green();
    old.starts(Operation::Pull);
    old.line("fatal: no such remote", true);
    old.status("pull", OutcomeKind::Failed, 1, Some("exit status 128"));
    assert_eq!(old.lab.last().reason.as_deref(), Some("exit status 128"));
}

/// 40.
#[test]
fn lines_that_come_while_nothing_runs_belong_to_nothing() {
    let stored = |old: &Old| {
        let stores = |effect: &&HostEffect| matches!(effect, HostEffect::StoreOutput { .. });
        old.lab.effects.iter().filter(stores).count()
    };
    let mut old = Old::green();
    old.starts(Operation::Pull);
    old.ends(Operation::Pull, 0);
    // The last lines of a command may come after its outcome.
    old.line("HEAD is now at 1111111", false);
    assert_eq!(stored(&old), 1);
    // Those of a refresh are its own.
    old.lab.apply(HostEvent::ReportWanted);
    assert!(old.lab.effects.contains(&HostEffect::AskToReport));
    old.line("Refreshing all status checks...", false);
    assert_eq!(stored(&old), 0);
    old.status("refresh-all", OutcomeKind::Exited, 0, Some("all refreshed"));
    old.lab.waits(2);
    old.line("late", false);
    assert_eq!(stored(&old), 0);
}

/// 47.
#[test]
fn a_refresh_is_asked_once_and_never_of_a_busy_agent() {
    let asks = |old: &mut Old| {
        old.lab.apply(HostEvent::ReportWanted);
        old.lab.effects.contains(&HostEffect::AskToReport)
    };
    let mut old = Old::green();
    assert!(asks(&mut old));
    assert!(!asks(&mut old), "it is at it");
    old.status("refresh-all", OutcomeKind::Exited, 0, None);
    assert!(asks(&mut old));
    old.comes_back();
    assert!(asks(&mut old), "it forgot");
    old.lab.waits(600);
    assert!(asks(&mut old), "nothing was heard of it");
    old.status("refresh-all", OutcomeKind::Exited, 0, None);
    old.asks(Operation::Pull);
    assert!(!asks(&mut old), "it is busy");
}

/// 47. The refusal of a refresh is not the refusal of what runs.
#[test]
fn a_refused_refresh_rejects_no_command() {
    let mut old = Old::green();
    old.lab.apply(HostEvent::ReportWanted);
    let pull = old.asks(Operation::Pull);
    old.lab.apply(HostEvent::Rejected {
        about: About::Name(String::new()),
        reason: "command already running".into(),
        work: Some(Work { id: None, name: "pull".into() }),
    });
    assert_eq!(old.state_of(pull), State::Running);
    assert!(old.lab.recorded().is_empty(), "{:?}", old.lab.recorded());
}

/// 52.
#[test]
fn a_log_says_that_lines_may_be_missing_where_the_link_was_down() {
    let mut old = Old::green();
    let switch = old.starts(Operation::Switch);
    old.line("building", false);
    old.cut();
    old.lab.waits(4);
    let registration = old.registration();
    old.lab.connects(registration);
    let said = old.lab.effects.iter().find_map(|effect| match effect {
        HostEffect::SayInLog { id, first_seq, text } => Some((*id, *first_seq, text.clone())),
        _ => None,
    });
    let text = "The link was down for 4 s, lines may be missing.".to_owned();
    assert_eq!(said, Some((switch, 2, text)));
    old.beats(Some("switch"));
    old.line("done", false);
    assert_eq!(old.lab.state.find(switch).map(|c| c.output_lines), Some(3));
}

/// 48.
#[test]
fn a_reboot_is_acknowledged_by_its_words_and_keeps_those_of_a_refusal() {
    let mut old = Old::green();
    let reboot = old.asks(Operation::Reboot);
    old.line("Reboot command received.", false);
    assert_eq!(old.state_of(reboot), State::Running);
    old.line("Reboot failed: exit status 1.", true);
    let reason = old.lab.state.find(reboot).and_then(|c| c.reason.clone());
    assert_eq!(reason.as_deref(), Some("Reboot failed: exit status 1."));
}

/// An agent that beats every minute has three heartbeats' time to take a command.
#[test]
fn a_command_is_lost_after_thirty_seconds_and_three_heartbeats() {
    let mut old = Old::green();
    let pull = old.asks(Operation::Pull);
    for _ in 0..3 {
        assert_eq!(old.state_of(pull), State::Sent);
        old.lab.waits(60);
        old.beats(None);
    }
    old.lab.waits(0);
    assert_eq!(old.state_of(pull), State::Lost);
    // One that says nothing at all has ten minutes.
    let mut old = Old::green();
    let pull = old.asks(Operation::Pull);
    old.lab.waits(590);
    assert_eq!(old.state_of(pull), State::Sent);
    old.lab.waits(20);
    assert_eq!(old.state_of(pull), State::Lost);
}

/// An outcome that comes late belongs to the newest lost command of its operation.
#[test]
fn a_late_outcome_belongs_to_the_newest_lost_command_of_its_operation() {
    let mut old = Old::green();
    let switch = old.starts(Operation::Switch);
    old.beats(None);
    old.beats(None);
    assert_eq!(old.state_of(switch), State::Lost);
    let pull = old.starts(Operation::Pull);
    old.status("switch", OutcomeKind::Failed, 1, Some("command failed"));
    assert_eq!((old.state_of(switch), old.state_of(pull)), (State::Failed, State::Running));
}

/// 46.
#[test]
fn a_test_run_of_3x_says_how_little_it_says() {
    let old = Old::green();
    let says = old.lab.says(Compartment::Tests);
    assert!(says.contains("3.x reports the last test only"), "{says}");
    let lab = Lab::green();
    assert!(!lab.says(Compartment::Tests).contains("3.x"));
}

/// 49.
#[test]
fn two_machines_that_use_one_name_are_an_event() {
    let recorded = |lab: &Lab| lab.recorded().iter().any(|text| text.contains("two machines"));
    let mut old = Old::green();
    for taken_over in 1..=6 {
        let registration = old.registration();
        old.lab.connects(registration);
        assert_eq!(recorded(&old.lab), taken_over == 3, "{taken_over}");
    }
    // A link that follows one that has ended takes nothing over.
    for _ in 0..6 {
        old.cut();
        let registration = old.registration();
        old.lab.connects(registration);
        assert!(!recorded(&old.lab));
    }
    // Nor does a process that opens another link before its old one has ended.
    let mut lab = Lab::green();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.process.started = Some(Timestamp::from_secs(1000));
    lab.connects(registration.clone());
    for _ in 0..6 {
        lab.connects(registration.clone());
        assert!(!recorded(&lab));
    }
}
