//! Who holds a host, and what lets it go (spec: guard, "Held").

use super::rows::situations;
use super::*;
use crate::domain::generation::Generation;
use crate::domain::ids::SystemPath;
use crate::domain::next_step::NextStep;
use crate::domain::operation::Regardless;
use crate::domain::rollout::{UPDATE, plan};

/// The remote has commit 2, which was pulled; the guard took its switch back to generation 1.
fn returned() -> Lab {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    returns(&mut lab, system(1, 1));
    lab
}

fn returns(lab: &mut Lab, after: SystemFacts) {
    let id = lab.asks_with(Operation::Switch, regardless(), false).expect("it may start").id;
    lab.apply(HostEvent::Accepted(id));
    let message = Some("no link to the dashboard".to_owned());
    let outcome = Outcome { kind: OutcomeKind::Returned, message, ..exited(1) };
    let built = Built {
        commit: lab.state.facts.checkout.clone(),
        path: Some("/nix/store/2-system".to_owned()),
        ..Built::default()
    };
    let report = Report { system: Some(after), built: Some(built), ..Report::default() };
    lab.ends(id, outcome, report);
}

fn regardless() -> Args {
    Args { regardless: vec![Regardless::Held], ..Args::default() }
}

/// Commit 2 runs as generation 2; then somebody goes back to generation 1.
fn rolled_back(hold: Option<bool>) -> Lab {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.switches(system(2, 2));
    let reason = Some("the printer is gone".to_owned());
    let args = Args { hold, reason, ..Args::default() };
    rolls_back(&mut lab, args, system(1, 1));
    lab
}

fn rolls_back(lab: &mut Lab, args: Args, after: SystemFacts) {
    let id = lab.asks_with(Operation::Rollback, args, false).expect("it may start").id;
    lab.apply(HostEvent::Accepted(id));
    lab.ends(id, exited(0), Report { system: Some(after), ..Report::default() });
}

fn holds(lab: &mut Lab) {
    lab.apply(HostEvent::Held { reason: "on holiday".into(), by: Author::Admin });
}

fn releases(lab: &mut Lab) {
    lab.apply(HostEvent::Released { by: Author::Admin });
}

/// Why a rollout leaves the host out now.
fn left_out(lab: &Lab) -> Option<String> {
    let snapshot = lab.state.snapshot();
    plan(&UPDATE, std::iter::once(&snapshot)).left_out.pop().map(|(why, _)| why)
}

fn refused(lab: &mut Lab, op: Operation) -> Option<RefusalCode> {
    let mut copy = lab.clone();
    copy.asks(op, false).err().map(|refusal| refusal.code)
}

#[test]
fn what_is_held_by_whom_at_which_head_and_what_may_start() {
    let pinned = || {
        let mut lab = Lab::green();
        lab.remote(2, 1);
        holds(&mut lab);
        lab
    };
    let held = Some(RefusalCode::Held);
    type Case = (&'static str, fn() -> Lab, Option<RefusalCode>, Option<RefusalCode>, &'static str);
    let cases: [Case; 4] = [
        ("returned", returned, held, held, "Rolled back by itself: no link to the dashboard"),
        ("rolled back", || rolled_back(None), held, held, "the printer is gone"),
        ("rolled back, held", || rolled_back(Some(true)), held, held, "the printer is gone"),
        ("pinned", pinned, held, held, "on holiday"),
    ];
    for (what, reach, switch, pull_switch, reason) in cases {
        let mut lab = reach();
        assert_eq!(refused(&mut lab, Operation::Switch), switch, "{what}");
        assert_eq!(refused(&mut lab, Operation::PullSwitch), pull_switch, "{what}");
        for op in [Operation::Pull, Operation::Test, Operation::DryRun, Operation::Rollback] {
            assert_eq!(refused(&mut lab, op), None, "{what}: {op}");
        }
        assert_eq!(left_out(&lab), Some(format!("held ({reason})")), "{what}");
        let mut on = lab.clone();
        let asked = on.asks_with(Operation::Switch, regardless(), false);
        assert!(asked.is_ok(), "{what}: {asked:?}");
        // A restart of the dashboard changes nothing of it.
        lab.restarts();
        assert!(lab.state.snapshot().held, "{what}");
        lab.joins(2, 1);
        assert_eq!(left_out(&lab), Some(format!("held ({reason})")), "{what}");
        releases(&mut lab);
        assert_eq!(lab.recorded(), ["Released."], "{what}");
        assert_eq!(left_out(&lab), None, "{what}");
        assert_eq!(refused(&mut lab, Operation::Switch), None, "{what}");
    }
}

#[test]
fn another_head_ends_what_rollouts_leave_out_but_not_what_is_blocked() {
    for mut lab in [returned(), rolled_back(None)] {
        lab.remote(3, 1);
        assert_eq!(left_out(&lab), None);
        assert!(!lab.state.snapshot().held);
        // The checkout is what was left still.
        assert_eq!(refused(&mut lab, Operation::Switch), Some(RefusalCode::Held));
        assert_eq!(refused(&mut lab, Operation::PullSwitch), None);
        lab.pulls(3, 1);
        assert_eq!(refused(&mut lab, Operation::Switch), None);
        // The head goes back to what was left.
        lab.remote(2, 1);
        assert!(left_out(&lab).is_some());
        lab.remote(3, 1);
        lab.switches(system(3, 3));
        assert_eq!(lab.state.facts.hold, None);
    }
    let mut pinned = Lab::green();
    holds(&mut pinned);
    pinned.remote(3, 1);
    assert_eq!(left_out(&pinned).as_deref(), Some("held (on holiday)"));
    pinned.remote_fails();
    assert_eq!(left_out(&pinned).as_deref(), Some("held (on holiday)"));
}

#[test]
fn a_rollback_whose_box_was_cleared_holds_nothing_and_the_row_says_rolled_back() {
    let lab = rolled_back(Some(false));
    assert_eq!(lab.state.facts.hold, None);
    assert_eq!(left_out(&lab), None);
    let mark = lab.state.snapshot().why(None).mark;
    assert_eq!(mark.as_deref(), Some("Rolled back to gen 1"));
}

#[test]
fn the_row_says_that_it_is_held_and_why_and_offers_to_release_it() {
    for (lab, mark, text) in [
        (returned(), "Held at gen 1", "Rolled back by itself: no link to the dashboard"),
        (rolled_back(None), "Held at gen 1", "the printer is gone"),
    ] {
        let snapshot = lab.state.snapshot();
        let why = snapshot.why(None);
        assert_eq!((why.mark.as_deref(), why.text.as_str()), (Some(mark), text));
        assert_eq!(snapshot.next_step(), Some(NextStep::Release));
    }
    // Once the head is another one, the row offers that.
    let mut lab = returned();
    lab.remote(3, 1);
    assert_eq!(lab.state.snapshot().why(None).mark, None);
    assert_eq!(lab.state.snapshot().next_step(), Some(NextStep::Update));
}

#[test]
fn a_hold_changes_no_colour_in_any_situation() {
    for (situation, state) in situations() {
        let mut lab = Lab { state, ..Lab::new() };
        let before = lab.row();
        holds(&mut lab);
        assert_eq!(lab.row(), before, "{situation}");
        assert!(lab.state.snapshot().held, "{situation}");
        releases(&mut lab);
        assert_eq!(lab.row(), before, "{situation}");
    }
}

#[test]
fn what_is_held_is_told_with_what_builds_unless_the_user_goes_on_regardless() {
    let lab = returned();
    let paths = |op, args: &Args| lab.state.held_paths(op, args);
    let path = ["/nix/store/2-system".to_owned()];
    assert_eq!(paths(Operation::Switch, &Args::default()), path);
    assert_eq!(paths(Operation::PullSwitch, &Args::default()), path);
    assert!(paths(Operation::Switch, &regardless()).is_empty());
    assert!(paths(Operation::Rollback, &Args::default()).is_empty());
}

#[test]
fn a_confirmed_switch_of_what_is_held_ends_the_hold_if_it_stays_and_not_if_it_goes_back_again() {
    let mut lab = returned();
    returns(&mut lab, system(1, 1));
    let hold = lab.state.facts.hold.clone().expect("it is held");
    assert_eq!(hold.left.len(), 1, "{hold:?}");
    let id = lab.asks_with(Operation::Switch, regardless(), false).unwrap().id;
    lab.apply(HostEvent::Accepted(id));
    lab.ends(id, exited(0), Report { system: Some(system(2, 2)), ..Report::default() });
    assert_eq!(lab.state.facts.hold, None);
}

#[test]
fn another_system_that_is_switched_to_by_hand_ends_the_hold_and_the_one_that_was_left_does_not() {
    for (runs, ends) in [(system(1, 1), false), (system(2, 2), false), (system(3, 3), true)] {
        let mut lab = returned();
        lab.beat(Report { system: Some(runs.clone()), ..Report::default() }, None);
        assert_eq!(lab.state.facts.hold.is_none(), ends, "{runs:?}");
    }
    // A user's hold stays, whatever runs.
    let mut lab = returned();
    holds(&mut lab);
    lab.beat(Report { system: Some(system(3, 3)), ..Report::default() }, None);
    let hold = lab.state.facts.hold.clone().expect("it is pinned");
    assert!(hold.pin && hold.left.is_empty(), "{hold:?}");
}

#[test]
fn a_stop_a_failed_build_and_a_lost_switch_hold_nothing() {
    let pulled = || {
        let mut lab = Lab::green();
        lab.remote(2, 1);
        lab.pulls(2, 1);
        lab
    };
    let after = || Report { system: Some(system(1, 1)), ..Report::default() };
    let mut lab = pulled();
    lab.stops(Operation::Switch, after());
    assert_eq!(lab.state.facts.hold, None);
    let mut lab = pulled();
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    assert_eq!(lab.state.facts.hold, None);
    let mut lab = pulled();
    lab.loses(Operation::Switch, system(1, 1));
    assert_eq!(lab.state.facts.hold, None);
}

#[test]
fn two_rollbacks_hold_both_and_going_forward_again_lets_that_one_go() {
    let mut lab = rolled_back(None);
    rolls_back(&mut lab, Args::default(), system(9, 9));
    let hold = lab.state.facts.hold.clone().unwrap();
    let left: Vec<_> = hold.left.iter().filter_map(|left| left.commit.clone()).collect();
    assert_eq!(left, [commit(2), commit(1)]);
    assert!(lab.state.snapshot().held, "the head is what was left first");
    rolls_back(&mut lab, Args::default(), system(2, 2));
    let hold = lab.state.facts.hold.clone().unwrap();
    assert!(!hold.applies(Some(&commit(2))), "{hold:?}");
    assert!(hold.applies(Some(&commit(9))), "{hold:?}");
}

#[test]
fn a_rollback_that_its_guard_took_back_holds_what_it_went_to() {
    let mut lab = Lab::green();
    let path = "/nix/store/7-system".to_owned();
    let revision = Some(commit(7).to_string());
    let seventh = Generation {
        generation: 7,
        store_path: Some(path.clone()),
        configuration_revision: revision,
        created_at: None,
        current: false,
    };
    lab.beat(Report { generations: Some(vec![seventh]), ..Report::default() }, None);
    let args = Args { generation: Some(7), ..Args::default() };
    let id = lab.asks_with(Operation::Rollback, args, false).unwrap().id;
    lab.apply(HostEvent::Accepted(id));
    let outcome = Outcome { kind: OutcomeKind::Returned, ..exited(1) };
    lab.ends(id, outcome, Report { system: Some(system(1, 1)), ..Report::default() });
    let hold = lab.state.facts.hold.clone().unwrap();
    assert_eq!(hold.paths().collect::<Vec<_>>(), [path]);
    assert!(!hold.applies(Some(&commit(1))) && hold.applies(Some(&commit(7))), "{hold:?}");
}

/// A switch of what is held, and one that somebody wants all the same, are two things afterwards.
#[test]
fn the_audit_log_tells_what_was_gone_on_regardless_of() {
    let mut lab = returned();
    lab.asks_with(Operation::Switch, regardless(), false).expect("it may start");
    assert_eq!(lab.recorded(), ["Switch was started regardless of the hold."]);
    let mut lab = returned();
    let of = vec![Regardless::Guard, Regardless::Held, Regardless::Space, Regardless::Held];
    let args = Args { regardless: of, ..Args::default() };
    lab.asks_with(Operation::PullSwitch, args, false).expect("it may start");
    let told = "Pull and switch was started regardless of too little room and the hold and \
                a new system that nobody could confirm.";
    assert_eq!(lab.recorded(), [told]);
    let mut lab = Lab::green();
    lab.asks(Operation::Switch, false).expect("it may start");
    assert_eq!(lab.recorded(), ["Switch was started."]);
    // So it does what was read.
    let mut lab = Lab::green();
    let args = Args { plan: SystemPath::parse("/nix/store/2-system"), ..Args::default() };
    lab.asks_with(Operation::Switch, args, false).expect("it may start");
    assert_eq!(lab.recorded(), ["Switch was started, to /nix/store/2-system alone."]);
}

#[test]
fn a_reason_is_bounded_and_never_empty() {
    let mut lab = Lab::green();
    lab.apply(HostEvent::Held { reason: "x".repeat(5000), by: Author::Admin });
    assert_eq!(lab.state.facts.hold.as_ref().map(|hold| hold.reason.len()), Some(300));
    lab.apply(HostEvent::Held { reason: "  ".into(), by: Author::Token("ci".into()) });
    assert_eq!(lab.state.facts.hold.as_ref().unwrap().reason, "held by token ci");
}
