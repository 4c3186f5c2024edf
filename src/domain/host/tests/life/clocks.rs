//! What no clock may change (findings 24 and 27).

use super::*;

const DAY: i64 = 24 * 3600 * 1000;

impl Lab {
    /// Somebody sets the clock, and the dashboard may be started again meanwhile.
    fn clock_is_set(&mut self, by: i64, restarts: bool) {
        self.set += by;
        if restarts {
            self.restarts();
        }
    }
}

#[test]
fn a_clock_that_is_set_a_day_forward_or_back_ends_and_prolongs_nothing_27() {
    for by in [DAY, -DAY] {
        for restarts in [false, true] {
            let what = format!("{by} {restarts}");
            // Queued.
            let mut lab = Lab::green();
            lab.goes_away();
            let pull = lab.asks(Operation::Pull, true).unwrap().id;
            lab.clock_is_set(by, restarts);
            lab.waits(24 * 3600 - 10);
            assert_eq!(lab.state_of(pull), State::Queued, "{what}");
            lab.waits(20);
            assert_eq!(lab.state_of(pull), State::Expired, "{what}");
            // Running.
            let mut lab = Lab::green();
            let switch = lab.starts(Operation::Switch);
            lab.clock_is_set(by, restarts);
            lab.is_back(&[(switch, Operation::Switch)]);
            lab.waits(3590);
            assert_eq!(lab.state_of(switch), State::Running, "{what}");
            lab.waits(20);
            assert_eq!(lab.state_of(switch), State::Overdue, "{what}");
            // Verifying.
            let mut lab = Lab::green();
            let pull = lab.starts(Operation::Pull);
            lab.ends(pull, exited(0), Report { checkout: Some(commit(2)), ..Report::default() });
            lab.clock_is_set(by, restarts);
            lab.is_back(&[]);
            lab.waits(80);
            assert_eq!(lab.state_of(pull), State::Verifying, "{what}");
            lab.waits(20);
            assert_eq!(lab.state_of(pull), State::Unverified, "{what}");
        }
    }
}

#[test]
fn a_clock_that_is_set_reorders_no_commands_24() {
    let mut lab = Lab::green();
    let failed = lab.starts(Operation::Pull);
    lab.ends(failed, exited(1), Report::default());
    lab.clock_is_set(-DAY, true);
    lab.is_back(&[]);
    let done = lab.starts(Operation::Pull);
    lab.ends(done, exited(0), Report { checkout: Some(commit(1)), ..Report::default() });
    assert_eq!((lab.last().id, lab.last().state), (done, State::Succeeded));
    // What waits goes in the order in which it was asked.
    lab.goes_away();
    let first = lab.asks(Operation::Pull, true).unwrap().id;
    lab.clock_is_set(-DAY, false);
    let second = lab.asks(Operation::DryRun, true).unwrap().id;
    lab.is_back(&[]);
    assert_eq!((lab.state_of(first), lab.state_of(second)), (State::Sent, State::Queued));
}
