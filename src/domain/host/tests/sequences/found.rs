//! Sequences that were found by generating them, each with what was wrong.

use super::*;
use crate::domain::facts::DeployKind;

fn plays(mute: bool, steps: &[Step]) -> Player {
    let mut player = Player::green(mute);
    for step in steps {
        player.play(step);
    }
    player
}

fn asks(op: Operation) -> Step {
    Step::Ask { op, queue: false }
}

fn beats(works: Option<Whose>, facts: u32) -> Step {
    Step::Heartbeat { works, facts }
}

fn ends(whose: Whose, code: i32, facts: u32) -> Step {
    let kind = if code == 0 { OutcomeKind::Exited } else { OutcomeKind::Failed };
    Step::Ended { whose, kind, code, facts }
}

fn connects(facts: u32) -> Step {
    Step::Connect { protocol: 4, machine: None, running: None, finished: None, facts }
}

/// The oracle took a switch that its agent named only while it was being stopped for one that had
/// never reached the host. The agent had it, so it was the last deploy; what ran at its end was
/// replaced afterwards by what says that it is the checkout. Green is right.
#[test]
fn a_switch_that_its_agent_names_while_it_is_being_stopped_has_reached_the_host() {
    let player = plays(
        false,
        &[
            asks(Operation::Switch),
            ends(Whose::Nameless, 0, 41),
            asks(Operation::Switch),
            Step::Stop(Whose::Current),
            beats(Some(Whose::Current), 20),
            beats(Some(Whose::Last), 16),
            connects(5),
        ],
    );
    assert_eq!(player.lab.row(), "ok ok ok ok out");
}

/// What it had wrong, the program had too: that the agent named it was in memory only.
#[test]
fn a_switch_that_was_named_while_it_was_being_stopped_has_reached_the_host_after_a_restart_too() {
    let named =
        [asks(Operation::Switch), Step::Stop(Whose::Current), beats(Some(Whose::Current), 20)];
    for restarts in [false, true] {
        let mut player = plays(false, &named);
        if restarts {
            player.play(&Step::Restart);
        }
        for step in [connects(20), beats(None, 20), beats(None, 20)] {
            player.play(&step);
        }
        assert_eq!(player.lab.last().state, State::Lost, "{restarts}");
        assert_eq!(player.lab.row(), "ok ok ok out out", "{restarts}");
        let said = player.lab.says(Compartment::System);
        assert!(said.starts_with("Switch was lost"), "{restarts}: {said}");
    }
}

/// An outcome came twice while the first was being checked, and its checkout was another one by
/// then: it became what had been built.
#[test]
fn a_second_word_about_an_end_changes_nothing_of_what_was_built() {
    let mut player = plays(false, &[asks(Operation::PullSwitch), ends(Whose::Current, 0, 16 + 3)]);
    let built = |player: &Player| {
        let command = player.lab.state.command().expect("it is being checked");
        command.built.clone().and_then(|built| built.commit)
    };
    assert_eq!(built(&player), Some(commit(2)));
    player.play(&ends(Whose::Current, 0, 32 + 3));
    assert_eq!(built(&player), Some(commit(2)));
}

/// It was lost on its way, as far as anybody knew, so it was no deploy; then its agent says that it
/// died with the machine. It stayed lost, so nobody looked, and the row stayed green.
#[test]
fn a_switch_that_seemed_never_to_have_arrived_and_died_with_the_machine_is_a_lost_one() {
    let kind = OutcomeKind::Interrupted;
    let dies = Step::Ended { whose: Whose::Last, kind, code: 0, facts: 0 };
    let mut player = plays(false, &[asks(Operation::Switch), Step::Wait(3000)]);
    assert_eq!(
        (player.lab.last().state, player.lab.row().as_str()),
        (State::Lost, "ok ok ok ok ok")
    );
    player.play(&dies);
    assert_eq!(player.lab.row(), "ok ok ok out ok");
    let said = player.lab.says(Compartment::System);
    assert!(said.starts_with("Switch was lost: Interrupted by a restart."), "{said}");
    // Its agent says it until that is acknowledged.
    let once = player.lab.state.facts.clone();
    player.play(&dies);
    assert_eq!(player.lab.state.facts, once);
}

/// The oracle took what is checked out when the new agent comes for what the old one had built. The
/// old one told no end, so it built what was checked out when it began; the new one has no clone yet.
#[test]
fn a_switch_whose_3x_agent_was_replaced_without_a_word_built_what_was_there_when_it_began() {
    let mut player = Player::new();
    let queued = Step::Ask { op: Operation::Switch, queue: true };
    let old =
        |facts| Step::Connect { protocol: 3, machine: None, running: None, finished: None, facts };
    for step in [queued, old(971), connects(3788), beats(None, 5445)] {
        player.play(&step);
    }
    assert_eq!(player.lab.row(), "ok ok ok ok out");
}

/// The second time it had lost the line that was its reason, so it looked like news.
#[test]
fn what_died_with_the_machine_is_not_told_anew_by_its_agents_second_word() {
    let (kind, whose) = (OutcomeKind::Interrupted, Whose::Current);
    let mut player = Player::new();
    let old = Step::Connect { protocol: 3, machine: None, running: None, finished: None, facts: 0 };
    let dies = Step::Ended { whose, kind, code: 0, facts: 0 };
    for step in [old, asks(Operation::Switch), Step::Line(true), dies] {
        player.play(&step);
    }
    let once = player.lab.state.facts.clone();
    player.play(&Step::Again);
    assert_eq!(player.lab.state.facts, once);
}

/// Its outcome came late and said what ran at its end; that was forgotten before it was proven, and
/// what ran by then was taken for it.
#[test]
fn a_late_outcome_of_a_switch_left_what_it_says_and_not_what_runs_by_then() {
    let steps = [
        asks(Operation::Switch),
        Step::Accepted(Whose::Current),
        beats(None, 108),
        beats(None, 108),
        ends(Whose::Last, 0, 244),
    ];
    let player = plays(true, &steps);
    let last = player.lab.state.facts.last_deploy.clone().unwrap();
    assert_eq!(last.after.running, mute_system(4).store_path);
    assert!(player.lab.says(Compartment::System).starts_with("Changed outside nixfleet"));
}

#[test]
fn a_switch_that_seemed_never_to_have_arrived_left_what_its_late_outcome_says() {
    let steps = [asks(Operation::Switch), Step::Wait(3000), ends(Whose::Last, 0, 20)];
    let player = plays(true, &steps);
    assert!(!player.lab.row().starts_with("ok ok ok ok"), "{}", player.lab.row());
}

/// Its agent had said that it died; an agent of 3.x that came much later proved it all the same.
#[test]
fn a_rollback_that_died_with_the_machine_is_not_proven_by_another_agent() {
    let (kind, whose) = (OutcomeKind::Interrupted, Whose::Current);
    let old = Step::Connect { protocol: 3, machine: None, running: None, finished: None, facts: 4 };
    let dies = Step::Ended { whose, kind, code: 0, facts: 20 };
    let player = plays(false, &[asks(Operation::Rollback), dies, old]);
    assert_eq!(player.lab.last().state, State::Lost);
}

/// Its agent said that a rollback had died with the machine, and then that it still ran it. What was
/// told of the end that was none became what the rollback had brought: the host, on the generation
/// that it had in fact gone back to, was green.
#[test]
fn what_was_told_of_an_end_that_was_none_is_forgotten_when_the_agent_still_runs_it() {
    let connects = |protocol, running, facts| Step::Connect {
        protocol,
        machine: None,
        running,
        finished: None,
        facts,
    };
    let (kind, whose) = (OutcomeKind::Interrupted, Whose::Nameless);
    let player = plays(
        false,
        &[
            asks(Operation::Rollback),
            Step::Ended { whose, kind, code: 0, facts: 276 },
            connects(4, Some(Whose::Last), 0),
            connects(3, None, 0),
            connects(3, None, 260),
        ],
    );
    let last = player.lab.last();
    assert_eq!((last.state, last.ended_with.is_some()), (State::Succeeded, false));
    assert_eq!(player.lab.row(), "ok ok ok out out");
}

/// The same, found by another way: what had run at that end was taken for what ran when the host was
/// lost for good, and the tests of before stayed green.
#[test]
fn a_command_that_was_found_again_and_lost_for_good_leaves_what_runs_unknown() {
    let (kind, whose) = (OutcomeKind::Interrupted, Whose::Current);
    let player = plays(
        false,
        &[
            asks(Operation::Rollback),
            Step::Ended { whose, kind, code: 0, facts: 4 },
            Step::StopsTwice(Operation::Rollback),
            Step::Disconnect,
            Step::Wait(3000),
        ],
    );
    assert_eq!(player.lab.last().state, State::Lost);
    assert_eq!(player.lab.row(), "ok ok ok out out");
}

/// Its outcome told what had run before it, and the next heartbeat what it had gone back to, which
/// proved it. Only the outcome's paths were kept: the host, on what it had gone back to, was green.
#[test]
fn a_rollback_that_is_proven_after_its_outcome_left_what_proved_it() {
    let rollback = [asks(Operation::Rollback), ends(Whose::Current, 0, 4)];
    let mut player = plays(false, &rollback);
    assert_eq!(player.lab.state.command().map(|now| now.state), Some(State::Verifying));
    player.play(&Step::Remote(2));
    player.play(&beats(None, 23));
    let last = player.lab.state.facts.last_deploy.clone().unwrap();
    assert_eq!(last.after.running, system(2, 2).store_path);
    assert_eq!(player.lab.row(), "ok ok ok out out");
    let said = player.lab.says(Compartment::System);
    assert!(said.starts_with("Rolled back to"), "{said}");
    plays(
        false,
        &[
            Step::Remote(3),
            beats(None, 9236),
            Step::Names("force-update"),
            asks(Operation::Rollback),
            ends(Whose::Current, 0, 20),
            beats(None, 47),
        ],
    );
}

/// The same for a switch: what its outcome told was there before what it built was activated.
#[test]
fn what_is_unproven_when_its_host_is_back_left_what_is_there_then() {
    plays(
        false,
        &[
            asks(Operation::PullSwitch),
            ends(Whose::Current, 0, 373),
            Step::Disconnect,
            Step::Ask { op: Operation::Pull, queue: true },
            Step::Remote(2),
            connects(29),
            ends(Whose::Current, 1, 44),
            Step::Wait(1),
            Step::Connect { protocol: 3, machine: None, running: None, finished: None, facts: 22 },
        ],
    );
}

/// The oracle forgot what an outcome had told once the link was gone. It told that the same runs as
/// before, so the tests of before still count, as the specification says.
#[test]
fn what_an_outcome_told_is_known_after_the_link_is_gone() {
    let rollback = [asks(Operation::Rollback), ends(Whose::Current, 0, 4)];
    let mut player = plays(false, &rollback);
    player.play(&Step::Disconnect);
    player.play(&Step::Wait(3000));
    assert_eq!(player.lab.last().state, State::Unverified);
    assert_eq!(player.lab.row(), "ok ok ok out ok");
}

/// Its agent said that it ran a switch that was still queued, and then that it ran a rollback that had
/// been given up. The oracle forgot the first when the switch was sent. The switch may have done
/// anything, so it is the last deploy, and a rollback that had begun before it holds nothing.
#[test]
fn a_queued_switch_that_its_agent_names_as_it_connects_has_reached_the_host() {
    let connects = |protocol, running| Step::Connect {
        protocol,
        machine: None,
        running,
        finished: None,
        facts: 0,
    };
    let player = plays(
        false,
        &[
            asks(Operation::Rollback),
            Step::Restart,
            Step::Wait(600),
            Step::Ask { op: Operation::Switch, queue: true },
            connects(4, Some(Whose::Queued)),
            Step::Stop(Whose::Current),
            beats(Some(Whose::Last), 0),
            connects(3, None),
        ],
    );
    let facts = &player.lab.state.facts;
    let last = facts.last_deploy.as_ref().map(|last| last.kind);
    assert_eq!((last, &facts.hold), (Some(DeployKind::Switch), &None));
    assert!(!player.lab.row().starts_with("ok ok ok ok"), "{}", player.lab.row());
}

/// The oracle took what a rollback had left for held although a later switch had returned to that
/// very system: what runs is not what was left.
#[test]
fn what_a_switch_returned_to_is_held_no_more_though_a_rollback_had_left_it() {
    let old = Step::Connect { protocol: 3, machine: None, running: None, finished: None, facts: 6 };
    let kind = OutcomeKind::Returned;
    let returns = Step::Ended { whose: Whose::Current, kind, code: 0, facts: 4 };
    let steps = [asks(Operation::Rollback), beats(None, 19), old, asks(Operation::Switch), returns];
    let player = plays(false, &steps);
    let facts = &player.lab.state.facts;
    let runs = facts.system.store_path.as_deref();
    let hold = facts.hold.as_ref().expect("what the switch brought is held");
    assert!(runs.is_some() && hold.paths().all(|path| Some(path) != runs), "{runs:?} {hold:#?}");
}

/// Nothing that runs was brought by a rollback that waits for its boot: the host looked as if it had
/// moved on, and the hold ended at once.
#[test]
fn what_a_rollback_that_waits_for_a_boot_left_is_held_whatever_runs_until_then() {
    let comes =
        Step::Connect { protocol: 4, machine: None, running: None, finished: None, facts: 212 };
    let steps = [asks(Operation::Rollback), comes, ends(Whose::Nameless, 0, 13712)];
    let player = plays(false, &steps);
    assert!(player.lab.state.facts.hold.is_some(), "{:#?}", player.lab.state.facts.last_deploy);
}

/// The oracle forgot what the outcome of a rollback had said of what ran, as a 3.x agent came, and took
/// what ran later for that. Green is right: what runs by then says that it is the head.
#[test]
fn what_an_outcome_told_of_what_ran_outlives_the_coming_of_a_3x_agent() {
    let old =
        |facts| Step::Connect { protocol: 3, machine: None, running: None, finished: None, facts };
    let steps = [
        Step::StopsTwice(Operation::Rollback),
        ends(Whose::Current, 0, 4),
        old(0),
        beats(None, 83),
        Step::Remote(2),
        old(20),
    ];
    let player = plays(false, &steps);
    let last = player.lab.state.facts.last_deploy.clone().expect("the rollback");
    assert_eq!(last.after.running, system(1, 1).store_path);
    assert_eq!(player.lab.row(), "ok ok ok ok out");
}

/// The oracle took what ran when a late outcome was given up for what that outcome had told of its end.
/// What runs by then says that it is the checkout, and is another system: the failure is past.
#[test]
fn what_a_late_outcome_told_of_what_ran_goes_before_what_is_known_when_it_is_given_up() {
    let steps = [
        asks(Operation::Rollback),
        Step::Wait(600),
        ends(Whose::Last, 0, 44),
        Step::Wait(90),
        beats(None, 20),
        beats(None, 4),
    ];
    let player = plays(false, &steps);
    let last = player.lab.state.facts.last_deploy.clone().expect("the rollback");
    assert_eq!(last.after.running, system(3, 3).store_path);
    assert_eq!(player.lab.row(), "ok ok ok ok out");
}
