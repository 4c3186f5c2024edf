//! Which test run counts, and what it proves (spec: compartments, Tests). The numbers are those of
//! the findings about rows, commands and jobs.

use super::*;

fn result(index: u32, passed: bool) -> TestResult {
    TestResult {
        index,
        total: 8,
        name: format!("Test {index}"),
        outcome: if passed { TestCaseOutcome::Passed } else { TestCaseOutcome::Failed },
        duration_ms: 5,
        output: String::new(),
        subtests: None,
    }
}

impl Lab {
    fn result(&mut self, id: CommandId, index: u32, passed: bool) {
        let (about, result) = (About::Id(id), result(index, passed));
        self.apply(HostEvent::TestEnded { about, result });
    }
}

/// 15.
#[test]
fn a_failed_result_makes_tests_red_whatever_its_exit_code_says() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    lab.result(id, 3, false);
    lab.ends(id, exited(0), Report::default());
    assert_eq!(lab.row(), "ok ok ok ok err");
    assert_eq!(lab.says(Compartment::Tests), "1 of 8 failed: Test 3");
    // And if nobody heard its end, or somebody stopped it.
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    lab.result(id, 3, false);
    lab.beat(Report::default(), None);
    lab.beat(Report::default(), None);
    assert_eq!((lab.last().state, lab.row().as_str()), (State::Lost, "ok ok ok ok err"));
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    lab.result(id, 3, false);
    let stopped = Outcome {
        kind: OutcomeKind::Stopped,
        exit_code: 130,
        message: None,
        blocked_by: Vec::new(),
    };
    lab.ends(id, stopped, Report::default());
    assert_eq!(lab.row(), "ok ok ok ok err");
}

/// 15.
#[test]
fn a_run_that_proved_nothing_makes_the_one_before_count_no_more() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    lab.result(id, 1, true);
    lab.ends(id, exited(0), Report::default());
    assert_eq!((lab.last().state, lab.row().as_str()), (State::Unverified, "ok ok ok ok out"));
}

/// 15, 20: what never reached the host is no run.
#[test]
fn a_run_that_was_only_sent_changes_nothing() {
    let mut lab = Lab::green();
    lab.asks(Operation::Test, false).unwrap();
    lab.apply(HostEvent::Disconnected);
    lab.waits(3600);
    assert_eq!((lab.last().state, lab.row().as_str()), (State::Lost, "ok ok ok ok ok"));
}

/// 28.
#[test]
fn the_late_outcome_of_an_older_run_changes_no_newer_one() {
    let mut lab = Lab::green();
    lab.loses(Operation::Test, system(1, 1));
    let lost = lab.last().id;
    lab.tests(false);
    assert_eq!(lab.row(), "ok ok ok ok err");
    for index in 1..=8 {
        lab.result(lost, index, true);
    }
    lab.ends(lost, exited(0), Report::default());
    assert_eq!(lab.row(), "ok ok ok ok err");
    assert_eq!(lab.says(Compartment::Tests), "1 of 8 failed: GPU acceleration");
}

/// 29.
#[test]
fn a_run_without_a_result_passes_nothing() {
    let mut lab = Lab::green();
    lab.switches(system(1, 1));
    let id = lab.starts(Operation::Test);
    lab.ends(id, exited(0), Report::default());
    assert_eq!(lab.last().state, State::Unverified);
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn a_lost_run_whose_true_end_comes_late_counts() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Test);
    for index in 1..=8 {
        lab.result(id, index, true);
    }
    lab.beat(Report::default(), None);
    lab.beat(Report::default(), None);
    assert_eq!((lab.last().state, lab.row().as_str()), (State::Lost, "ok ok ok ok out"));
    lab.ends(id, exited(0), Report::default());
    assert_eq!((lab.last().state, lab.row().as_str()), (State::Succeeded, "ok ok ok ok ok"));
}

#[test]
fn a_run_counts_for_what_it_began_on() {
    for after in [system(2, 1), system(1, 1)] {
        let mut lab = Lab::green();
        let id = lab.starts(Operation::Test);
        lab.beat(Report { system: Some(system(2, 1)), ..Report::default() }, None);
        lab.beat(
            Report { system: Some(after), ..Report::default() },
            Some(Work { id: Some(id), name: "test".into() }),
        );
        for index in 1..=8 {
            lab.result(id, index, true);
        }
        lab.ends(id, exited(0), Report::default());
        // Also where what ran at its beginning runs again.
        assert!(lab.row().ends_with("out"), "{}", lab.row());
    }
}

/// A 3.x agent tells no path: what runs may be another one when protocol 4 is back.
#[test]
fn what_changed_while_a_3x_agent_was_there_needs_tests_again() {
    for (back, row) in [(system(1, 1), "ok ok ok ok ok"), (system(2, 1), "ok ok ok ok out")] {
        let mut lab = Lab::green();
        let mut old = lab.registration("3.1.5");
        (old.protocol, old.jobs) = (None, None);
        lab.connects(old);
        let mut new = lab.registration(DASHBOARD_VERSION);
        new.report.system = Some(back);
        lab.connects(new);
        assert_eq!(lab.row(), row);
    }
}
