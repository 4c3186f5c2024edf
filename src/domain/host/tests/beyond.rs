//! What a host may say that is said again and again, or of which there is much (finding 9 of the
//! security review): up to its bound it counts, and beyond it only an event tells of it.

use super::*;
use crate::domain::bounds::{self, Bound, rows};

impl Lab {
    /// Whether the last event was told to go beyond this bound, and in no other words.
    fn is_told_of(&self, bound: &Bound) -> bool {
        self.recorded() == [format!("Beyond a bound. {bound}.")]
    }

    /// A test of the run ends; answers what is stored that it printed.
    fn test_prints(&mut self, id: CommandId, at: (u32, u32), printed: &str) -> Option<String> {
        let result = TestResult {
            index: at.0,
            total: at.1,
            name: "a test".into(),
            outcome: TestCaseOutcome::Passed,
            duration_ms: 5,
            output: printed.to_owned(),
            subtests: None,
        };
        self.apply(HostEvent::TestEnded { about: About::Id(id), result });
        self.effects.iter().find_map(|effect| match effect {
            HostEffect::SaveTestResult(_, result) => Some(result.output.clone()),
            _ => None,
        })
    }

    /// One line comes that has this number; whether it is stored.
    fn prints_line(&mut self, id: CommandId, number: u64) -> bool {
        let output =
            HostEvent::Output { id: Some(id), first_seq: Some(number), count: 1, last_error: None };
        self.apply(output);
        self.effects.iter().any(|effect| matches!(effect, HostEffect::StoreOutput { .. }))
    }
}

#[test]
fn a_run_has_a_bounded_number_of_tests_9() {
    for beyond in [(bounds::TEST_RESULTS + 1, 8), (1, bounds::TEST_RESULTS + 1)] {
        let mut lab = Lab::green();
        let id = lab.starts(Operation::Test);
        let last = (bounds::TEST_RESULTS, bounds::TEST_RESULTS);
        assert_eq!(lab.test_prints(id, last, "x").as_deref(), Some("x"));
        assert_eq!(lab.test_prints(id, beyond, "x"), None, "{beyond:?}");
        assert!(lab.is_told_of(rows::TEST_RESULTS), "{:?}", lab.recorded());
    }
}

#[test]
fn all_tests_of_a_run_print_a_bounded_text_together_and_the_next_run_anew_9() {
    let mut lab = Lab::green();
    let part = "x".repeat(bounds::TEST_OUTPUTS / 8);
    for _ in 0..2 {
        let id = lab.starts(Operation::Test);
        for index in 1..=8 {
            let stored = lab.test_prints(id, (index, 10), &part);
            assert_eq!(stored.map(|text| text.len()), Some(part.len()), "test {index}");
        }
        let stored = lab.test_prints(id, (9, 10), "one more").expect("its result counts");
        assert!(stored.starts_with("Left out"), "{stored}");
        lab.ends(id, exited(0), Report::default());
    }
    // Once in a while is enough.
    assert_eq!(lab.recorded().iter().filter(|text| text.contains("Beyond")).count(), 0);
}

#[test]
fn the_number_of_a_line_is_never_far_from_that_of_the_one_before_9() {
    let mut lab = Lab::green();
    let id = lab.starts(Operation::Pull);
    let most = bounds::LINE_NUMBER_JUMP;
    assert!(!lab.prints_line(id, most + 1));
    assert!(lab.is_told_of(rows::LINE_NUMBER_JUMP), "{:?}", lab.recorded());
    assert!(lab.prints_line(id, most), "so many may be left out");
    assert!(!lab.prints_line(id, 2 * most + 1));
    assert!(lab.prints_line(id, 2 * most));
    assert!(!lab.prints_line(id, u64::MAX));
}

#[test]
fn messages_that_make_no_sense_are_recorded_so_often_for_each_link_9() {
    let mut lab = Lab::green();
    for link in 0..2 {
        lab.joins(1, 1);
        for n in 1..=2 * bounds::ODD_MESSAGES {
            lab.apply(HostEvent::Odd("What is that?".to_owned()));
            let told = lab.recorded();
            assert_eq!(told.len(), usize::from(n <= bounds::ODD_MESSAGES), "{n}: {told:?}");
            let is_last = told.iter().any(|text| text.contains("not recorded until it reconnects"));
            assert_eq!(is_last, n == bounds::ODD_MESSAGES, "link {link}, {n}: {told:?}");
        }
    }
}

#[test]
fn what_an_agent_did_by_itself_is_recorded_a_few_times_a_minute_9() {
    let mut lab = Lab::green();
    for minute in 0..2 {
        for n in 0..2 * bounds::NOTICES {
            let notice = format!("Did something by itself, {minute} {n}.");
            lab.beat(Report { notices: vec![notice.clone()], ..Report::default() }, None);
            let told = lab.recorded();
            let is_told = told.iter().any(|text| *text == notice);
            assert_eq!(is_told, n < bounds::NOTICES, "{told:?}");
            if (minute, n) == (0, bounds::NOTICES) {
                assert!(lab.is_told_of(rows::NOTICES), "{told:?}");
            }
        }
        lab.waits(60);
    }
}
