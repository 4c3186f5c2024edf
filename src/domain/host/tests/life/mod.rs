//! The table "States" of spec: lifecycle, row by row.

mod clocks;
mod names;
mod overdue;

use super::*;
use crate::domain::command::WorkPhase;

const MINUTES: u64 = 60;

impl Lab {
    fn goes_away(&mut self) {
        self.apply(HostEvent::Disconnected);
    }

    /// An agent of ours registers, and names these jobs as running.
    fn is_back(&mut self, running: &[(CommandId, Operation)]) {
        let mut registration = self.registration(DASHBOARD_VERSION);
        let job = |(id, op): &(CommandId, Operation)| Job { id: *id, op: Some(*op), running: true };
        registration.jobs = Some(running.iter().map(job).collect());
        self.connects(registration);
    }

    fn idles(&mut self) {
        self.beat(Report::default(), None);
    }

    fn names(&mut self, id: CommandId, op: Operation) {
        self.beat(Report::default(), Some(Work { id: Some(id), name: op.name().to_owned() }));
    }

    fn enters(&mut self, id: CommandId, phase: WorkPhase) {
        self.apply(HostEvent::Phase { id, phase });
    }

    /// Where a command is in its life.
    fn state_of(&self, id: CommandId) -> State {
        let last = self.state.commands.last().filter(|c| c.id == id);
        self.state.find(id).or(last).map(|c| c.state).expect("the host knows it")
    }

    fn reason(&self) -> &str {
        self.last().reason.as_deref().unwrap_or_default()
    }

    fn was_told_to_stop(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, HostEffect::Stop(_)))
    }

    /// Runs `op` until it is overdue.
    fn is_overdue(&mut self, op: Operation) -> CommandId {
        let id = self.starts(op);
        self.waits(self.state.time_limit(op).as_secs());
        assert_eq!(self.state_of(id), State::Overdue, "{op}");
        id
    }
}

// ---- queued ----

#[test]
fn a_queued_command_waits_for_24_hours_in_which_a_dashboard_runs_27() {
    let mut lab = Lab::green();
    lab.goes_away();
    let pull = lab.asks(Operation::Pull, true).unwrap().id;
    lab.waits(23 * 60 * MINUTES);
    lab.restarts();
    lab.waits(59 * MINUTES);
    assert_eq!(lab.state_of(pull), State::Queued);
    lab.waits(2 * MINUTES);
    assert_eq!(lab.state_of(pull), State::Expired);
}

// ---- sent ----

#[test]
fn a_command_is_on_its_way_for_30_seconds_and_three_heartbeats_of_connection() {
    let mut lab = Lab::green();
    let pull = lab.asks(Operation::Pull, false).unwrap().id;
    lab.waits(31);
    lab.idles();
    lab.idles();
    lab.waits(1);
    assert_eq!(lab.state_of(pull), State::Sent);
    lab.idles();
    lab.waits(1);
    assert_eq!(lab.state_of(pull), State::Lost);
}

#[test]
fn a_command_is_on_its_way_for_10_minutes_of_connection_at_most_however_the_link_flaps() {
    let mut lab = Lab::green();
    let pull = lab.asks(Operation::Pull, false).unwrap().id;
    for _ in 0..11 {
        // 50 s of connection each time, then 8 minutes without.
        lab.waits(50);
        lab.goes_away();
        lab.waits(8 * MINUTES);
        assert_eq!(lab.state_of(pull), State::Sent);
        lab.is_back(&[]);
    }
    lab.waits(49);
    assert_eq!(lab.state_of(pull), State::Sent);
    lab.waits(2);
    assert_eq!(lab.state_of(pull), State::Lost);
}

#[test]
fn a_command_that_was_sent_or_is_being_stopped_is_lost_when_its_host_is_gone_for_10_minutes() {
    let sent = |lab: &mut Lab| lab.asks(Operation::Pull, false).unwrap().id;
    let stopped = |lab: &mut Lab| {
        let pull = lab.starts(Operation::Pull);
        lab.apply(HostEvent::StopRequested { id: pull, by: Author::Admin });
        pull
    };
    let overdue = |lab: &mut Lab| lab.is_overdue(Operation::Pull);
    for begins in [sent as fn(&mut Lab) -> CommandId, stopped, overdue] {
        let mut lab = Lab::green();
        let id = begins(&mut lab);
        lab.goes_away();
        lab.waits(9 * MINUTES);
        assert!(!lab.state_of(id).is_terminal());
        lab.restarts();
        // It was gone before, and is gone still: what was left is left.
        lab.waits(50);
        assert!(!lab.state_of(id).is_terminal());
        lab.waits(20);
        assert_eq!(lab.state_of(id), State::Lost);
    }
}

// ---- running ----

#[test]
fn a_command_is_overdue_after_its_operations_own_time() {
    let minutes = |op| match op {
        Operation::Pull => 5,
        Operation::Switch | Operation::PullSwitch | Operation::DryRun => 60,
        Operation::Test => 30,
        Operation::Rollback | Operation::Reboot => 15,
        Operation::RestartAgent => 2,
    };
    for op in Operation::ALL {
        let mut lab = Lab::green();
        let id = lab.starts(op);
        lab.waits(minutes(op) * MINUTES - 1);
        assert_eq!(lab.state_of(id), State::Running, "{op}");
        lab.waits(1);
        assert_eq!(lab.state_of(id), State::Overdue, "{op}");
    }
}

#[test]
fn a_test_run_may_take_what_its_tests_may_take_and_a_minute() {
    let mut lab = Lab::green();
    let tests = Some(TestSetup { enabled: true, auto_run: false, count: Some(7) });
    let test_timeout = Some(std::time::Duration::from_secs(20));
    lab.beat(Report { tests, test_timeout, ..Report::default() }, None);
    let test = lab.starts(Operation::Test);
    lab.waits(7 * 20 + 59);
    assert_eq!(lab.state_of(test), State::Running);
    lab.waits(1);
    assert_eq!(lab.state_of(test), State::Overdue);
    // A host cannot say that it takes for ever.
    let tests = Some(TestSetup { enabled: true, auto_run: false, count: Some(u32::MAX) });
    let test_timeout = Some(std::time::Duration::from_secs(u64::MAX));
    lab.beat(Report { tests, test_timeout, ..Report::default() }, None);
    assert_eq!(lab.state.time_limit(Operation::Test).as_secs(), 7 * 24 * 3600);
}

// ---- stopping ----

#[test]
fn a_stop_takes_15_seconds_of_connection_and_10_minutes_while_something_activates() {
    let times = [
        (Operation::Pull, None, 15),
        (Operation::Switch, Some(WorkPhase::Build), 15),
        (Operation::Switch, Some(WorkPhase::Activate), 600),
        (Operation::Rollback, None, 600),
    ];
    for (op, phase, seconds) in times {
        let mut lab = Lab::green();
        let id = lab.starts(op);
        if let Some(phase) = phase {
            lab.enters(id, phase);
        }
        lab.apply(HostEvent::StopRequested { id, by: Author::Admin });
        lab.waits(seconds / 2);
        // Time without a connection does not count.
        lab.goes_away();
        lab.waits(9 * MINUTES);
        lab.is_back(&[(id, op)]);
        lab.waits(seconds - seconds / 2 - 1);
        assert_eq!(lab.state_of(id), State::Stopping, "{op} {phase:?}");
        lab.waits(2);
        assert_eq!((lab.last().id, lab.last().state), (id, State::Lost), "{op} {phase:?}");
    }
}

#[test]
fn a_stop_that_finds_an_activation_lets_it_end_first() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.enters(switch, WorkPhase::Build);
    lab.apply(HostEvent::StopRequested { id: switch, by: Author::Admin });
    lab.waits(14);
    lab.enters(switch, WorkPhase::Activate);
    lab.waits(9 * MINUTES);
    assert_eq!(lab.state_of(switch), State::Stopping);
    lab.waits(2 * MINUTES);
    assert_eq!(lab.state_of(switch), State::Lost);
}

#[test]
fn a_stop_is_asked_again_when_the_agent_names_the_job() {
    let mut lab = Lab::green();
    let pull = lab.starts(Operation::Pull);
    lab.apply(HostEvent::StopRequested { id: pull, by: Author::Admin });
    assert!(lab.was_told_to_stop());
    lab.names(pull, Operation::Pull);
    assert!(lab.was_told_to_stop());
    lab.goes_away();
    lab.is_back(&[(pull, Operation::Pull)]);
    assert_eq!(lab.effects.iter().filter(|e| matches!(e, HostEffect::Stop(_))).count(), 1);
    // An agent that does not name it has nothing to stop.
    lab.goes_away();
    lab.is_back(&[]);
    assert!(!lab.was_told_to_stop());
}

// ---- verifying ----

#[test]
fn facts_may_take_90_seconds_of_connection_and_the_operations_time_while_the_host_is_away_27() {
    let elsewhere = || Report { checkout: Some(commit(2)), ..Report::default() };
    let mut lab = Lab::green();
    let pull = lab.starts(Operation::Pull);
    lab.ends(pull, exited(0), elsewhere());
    lab.waits(60);
    lab.goes_away();
    lab.waits(2 * MINUTES);
    // Finding 27: the dashboard was away too, for however long.
    lab.restarts();
    assert_eq!(lab.state_of(pull), State::Verifying);
    lab.is_back(&[]);
    lab.waits(89);
    assert_eq!(lab.state_of(pull), State::Verifying);
    lab.waits(2);
    assert_eq!(lab.state_of(pull), State::Unverified);

    let pull = lab.starts(Operation::Pull);
    lab.ends(pull, exited(0), elsewhere());
    lab.goes_away();
    lab.waits(5 * MINUTES - 1);
    assert_eq!(lab.state_of(pull), State::Verifying);
    lab.waits(1);
    assert_eq!(lab.state_of(pull), State::Unverified);
}

#[test]
fn a_phase_that_an_operation_does_not_have_is_recorded_and_ignored() {
    for (op, phase) in [
        (Operation::Pull, WorkPhase::Build),
        (Operation::Test, WorkPhase::Activate),
        (Operation::Switch, WorkPhase::Pull),
    ] {
        let mut lab = Lab::green();
        let id = lab.starts(op);
        lab.enters(id, phase);
        assert_eq!(lab.recorded().len(), 1, "{op}");
        assert_eq!(lab.state.command().and_then(|command| command.phase), None, "{op}");
    }
}

// ---- what should never be (finding 43) ----

#[test]
fn two_exclusive_commands_that_were_stored_both_end_43() {
    let mut lab = Lab::green();
    let pull = lab.starts(Operation::Pull);
    let mut second = lab.state.command().unwrap().clone();
    second.id = CommandId(Uuid::from_u128(900));
    second.op = Operation::Switch;
    lab.state.commands.put(second.clone());
    lab.restarts();
    let queued = lab.asks(Operation::DryRun, true).unwrap().id;
    lab.is_back(&[]);
    lab.idles();
    assert_eq!(lab.state_of(queued), State::Queued);
    lab.idles();
    for id in [pull, second.id] {
        assert_eq!(lab.state_of(id), State::Lost, "{id}");
    }
    assert_eq!(lab.state_of(queued), State::Sent);
    lab.state.commands.check();
}

#[test]
fn of_two_exclusive_commands_the_one_that_the_agent_names_goes_on_43() {
    let mut lab = Lab::green();
    let pull = lab.starts(Operation::Pull);
    let mut second = lab.state.command().unwrap().clone();
    second.id = CommandId(Uuid::from_u128(900));
    lab.state.commands.put(second.clone());
    lab.restarts();
    lab.is_back(&[(second.id, Operation::Pull)]);
    assert_eq!(lab.state.command().map(|c| (c.id, c.state)), Some((second.id, State::Running)));
    assert_eq!(lab.state_of(pull), State::Lost);
    lab.state.commands.check();
}
