//! What a freeze and windows hold back on a host, above all what waits for it (findings 1, 3 and 4 of the
//! review of freezes and windows).

use super::*;
use crate::domain::command::QUEUED_FOR;
use crate::domain::maintenance::{HeldBack, Restraint, Restraints};
use crate::domain::operation::Regardless;
use proptest::prelude::*;

const FROZEN: &str = "frozen until 2027-01-04 08:00 UTC: holidays";
const CLOSED: &str = "outside of its maintenance window, which opens Sat 2027-01-09 02:00 (UTC)";

/// Which freeze it is, and whether no window is open.
fn restraints(freeze: Option<i64>, closed: bool) -> Restraints {
    let back = |by, why: &str| HeldBack { by, why: why.to_owned() };
    let frozen = freeze.map(|_| back(Restraint::Freeze, FROZEN));
    let closed = closed.then(|| back(Restraint::Windows, CLOSED));
    let back = frozen.into_iter().chain(closed).collect();
    Restraints { back, freeze: freeze.map(Timestamp::from_secs) }
}

impl Lab {
    /// As the host's actor does it: the fact, and then something that may begin what waits.
    fn is_restrained(&mut self, by: Restraints) {
        self.apply(HostEvent::Restrained(by));
        self.apply(HostEvent::Tick);
    }

    fn ran(&self) -> Vec<(Operation, Args)> {
        let ran = self.effects.iter().filter_map(|effect| match effect {
            HostEffect::Run { op, args, .. } => Some((*op, args.clone())),
            _ => None,
        });
        ran.collect()
    }

    fn leaves(&mut self) {
        self.apply(HostEvent::Disconnected);
    }

    fn why(&self) -> String {
        self.state.snapshot().why(None).text
    }
}

fn going_on(of: &[Regardless]) -> Args {
    Args { regardless: of.to_vec(), confirmed: Some(true), ..Args::default() }
}

/// Commit 2 is checked out and not switched to.
fn pulled() -> Lab {
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab
}

#[test]
fn what_waits_for_its_host_waits_on_in_a_freeze_or_outside_of_its_windows_and_goes_then() {
    for (restrained, why) in
        [(restraints(Some(1), false), FROZEN), (restraints(None, true), CLOSED)]
    {
        let mut lab = pulled();
        lab.leaves();
        let id = lab.asks(Operation::Switch, true).expect("it waits").id;
        assert_eq!(lab.why(), "Switch waits for the host");
        // Also over a restart: what holds it back is told anew.
        lab.restarts();
        lab.apply(HostEvent::Restrained(restrained));
        lab.joins(2, 1);
        assert_eq!(lab.ran(), []);
        let waits = lab.state.find(id).expect("it waits").clone();
        assert_eq!(waits.state, State::Queued);
        assert_eq!(waits.reason.as_deref(), Some(format!("Waits: {why}.").as_str()));
        assert!(lab.why().starts_with(&format!("Switch waits: {}", &why[..20])), "{}", lab.why());
        assert!(lab.state.waits_for_restraints());
        // What changes nothing that runs, and a way back, are not behind it.
        lab.starts(Operation::Test);
        assert_eq!(lab.ran(), []);
        let test = lab.state.command().expect("it runs").id;
        lab.ends(test, exited(0), Report::default());
        assert_eq!(lab.state.find(id).map(|waits| waits.state), Some(State::Queued));
        // The host goes again, and waits for that.
        lab.leaves();
        assert_eq!(lab.why(), "Switch waits for the host");
        lab.joins(2, 1);
        assert!(lab.why().starts_with("Switch waits: "), "{}", lab.why());
        lab.is_restrained(Restraints::default());
        assert_eq!(lab.ran(), [(Operation::Switch, lab.state.find(id).unwrap().args.clone())]);
        assert!(!lab.state.waits_for_restraints());
    }
}

#[test]
fn what_could_not_begin_in_its_time_says_what_kept_it_back() {
    let mut lab = pulled();
    lab.leaves();
    let id = lab.asks(Operation::Switch, true).expect("it waits").id;
    lab.apply(HostEvent::Restrained(restraints(Some(1), true)));
    lab.joins(2, 1);
    lab.waits(QUEUED_FOR.as_secs() + 1);
    lab.apply(HostEvent::Tick);
    let last = lab.last();
    assert_eq!((last.id, last.state), (id, State::Expired));
    let told = format!("It could not begin in its time: {FROZEN}, and {CLOSED}.");
    assert_eq!(last.reason.as_deref(), Some(told.as_str()));
    // Where the host is away, that is why.
    let mut lab = pulled();
    lab.leaves();
    lab.asks(Operation::Switch, true).expect("it waits");
    lab.apply(HostEvent::Restrained(restraints(Some(1), false)));
    lab.waits(QUEUED_FOR.as_secs() + 1);
    lab.apply(HostEvent::Tick);
    assert_eq!(lab.last().reason.as_deref(), Some("The host did not come back in time."));
}

/// Whoever went on regardless of a freeze was told of that one.
#[test]
fn who_goes_on_regardless_does_so_of_the_freeze_that_was_told_and_of_no_later_one() {
    let asked_in = |freeze: i64| {
        let mut lab = pulled();
        lab.leaves();
        lab.apply(HostEvent::Restrained(restraints(Some(freeze), false)));
        let args = going_on(&[Regardless::Freeze]);
        lab.asks_with(Operation::Switch, args, true).expect("it waits");
        assert_eq!(lab.recorded(), ["Switch was queued regardless of the freeze."]);
        lab
    };
    let mut same = asked_in(1);
    same.joins(2, 1);
    assert_eq!(same.ran(), [(Operation::Switch, going_on(&[Regardless::Freeze]))]);
    let mut other = asked_in(1);
    other.apply(HostEvent::Restrained(restraints(Some(2), false)));
    other.joins(2, 1);
    assert_eq!(other.ran(), []);
    assert!(other.why().contains("frozen until"), "{}", other.why());
    let mut closed = asked_in(1);
    closed.apply(HostEvent::Restrained(restraints(Some(1), true)));
    closed.joins(2, 1);
    assert_eq!(closed.ran(), [], "nobody said anything of windows");
}

#[test]
fn all_that_is_in_the_way_is_told_at_once_and_what_is_gone_on_regardless_of_stands_with_the_command()
 {
    let mut lab = pulled();
    lab.apply(HostEvent::Restrained(restraints(Some(1), true)));
    let refused = lab.asks(Operation::Switch, false).expect_err("it is held back");
    assert_eq!(refused.code, RefusalCode::Frozen);
    let told = format!("The fleet is {FROZEN}. web is {CLOSED}. Go on regardless, or wait.");
    assert_eq!(refused.message, told);
    assert_eq!(lab.recorded(), [format!("Switch was not started: {told}")]);
    let freeze_alone = going_on(&[Regardless::Freeze]);
    let refused = lab.asks_with(Operation::Switch, freeze_alone, false).expect_err("the window");
    assert_eq!(refused.code, RefusalCode::OutsideWindow);
    assert_eq!(refused.message, format!("web is {CLOSED}. Go on regardless, or wait."));
    let both = going_on(&[Regardless::Freeze, Regardless::Windows]);
    let command = lab.asks_with(Operation::Switch, both.clone(), false).expect("it starts");
    assert_eq!(command.args, both);
    let told = "Switch was started regardless of the freeze and maintenance windows.";
    assert_eq!(lab.recorded(), [told]);
    let for_agent = command.args.for_agent();
    assert_eq!(for_agent.regardless, [], "it is nothing for the agent");
}

/// Finding 4: a reboot brings a system too, where another one would boot than the one that runs.
#[test]
fn what_brings_another_system_is_held_back_and_nothing_else_is() {
    let reboot_needed = || SystemFacts { reboot_needed: Some(true), ..system(1, 1) };
    let untold = || SystemFacts { store_path: None, profile_path: None, ..system(1, 1) };
    for (what, runs, op, held_back) in [
        ("a switch", system(1, 1), Operation::Switch, true),
        ("a pull and switch", system(1, 1), Operation::PullSwitch, true),
        ("a pull", system(1, 1), Operation::Pull, false),
        ("tests", system(1, 1), Operation::Test, false),
        ("a dry run", system(1, 1), Operation::DryRun, false),
        ("a way back", system(1, 1), Operation::Rollback, false),
        ("a restart of the agent", system(1, 1), Operation::RestartAgent, false),
        ("a reboot into what runs", system(1, 1), Operation::Reboot, false),
        ("a reboot of who tells no paths", untold(), Operation::Reboot, false),
        ("a reboot into another kernel", reboot_needed(), Operation::Reboot, true),
        ("a reboot into another system", profile_ahead(system(1, 1), 2), Operation::Reboot, true),
    ] {
        for restrained in [restraints(Some(1), false), restraints(None, true)] {
            let mut lab = Lab::green();
            lab.beat(Report { system: Some(runs.clone()), ..Report::default() }, None);
            lab.apply(HostEvent::Restrained(restrained));
            let asked = lab.asks(op, false);
            assert_eq!(asked.is_err(), held_back, "{what}: {asked:?}");
            // A rollout says for itself whom it asks, and minds both before.
            let mut waits = Lab::green();
            waits.beat(Report { system: Some(runs.clone()), ..Report::default() }, None);
            waits.leaves();
            waits.asks(op, true).expect("it waits");
            waits.apply(HostEvent::Restrained(restraints(Some(1), true)));
            let told = Report { system: Some(runs.clone()), ..Report::default() };
            let mut registration = waits.registration(DASHBOARD_VERSION);
            registration.report = told;
            waits.connects(registration);
            assert_eq!(waits.ran().is_empty(), held_back, "{what}, which waited");
        }
    }
}

/// A click whose frame was lost: the host comes back minutes later, and meanwhile it was frozen.
#[test]
fn what_was_sent_and_never_arrived_is_not_begun_in_a_freeze_that_came_meanwhile() {
    let mut lab = pulled();
    let id = lab.asks(Operation::Switch, false).expect("it starts").id;
    lab.leaves();
    lab.apply(HostEvent::Restrained(restraints(Some(1), false)));
    lab.waits(60);
    lab.joins(2, 1);
    assert_eq!(lab.ran(), []);
    let last = lab.last();
    assert_eq!((last.id, last.state), (id, State::Blocked));
    assert_eq!(last.blocked_by, [Regardless::Freeze]);
    let told = format!("It did not arrive in time: {FROZEN}.");
    assert_eq!(last.reason.as_deref(), Some(told.as_str()));
    // Without it, it is sent once more, as ever.
    let mut lab = pulled();
    lab.asks(Operation::Switch, false).expect("it starts");
    lab.leaves();
    lab.joins(2, 1);
    assert_eq!(lab.ran().len(), 1);
}

/// Finding 7: the windows of a host go by its tags, which a 3.x agent cannot say.
#[test]
fn the_tags_of_a_host_stay_when_a_3x_agent_takes_over_and_go_when_they_are_unsaid() {
    let tags = |lab: &Lab| lab.state.profile().tags.to_string();
    let mut lab = Lab::new();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.tags = Some(crate::domain::tag::Tags::known(["db", "eu"].into_iter()));
    lab.connects(registration.clone());
    assert_eq!(tags(&lab), "db eu");
    let mut old = lab.registration("3.1.5");
    (old.protocol, old.jobs) = (None, None);
    lab.connects(old);
    assert_eq!(tags(&lab), "db eu", "it cannot say them");
    registration.tags = Some(crate::domain::tag::Tags::default());
    lab.connects(registration);
    assert_eq!(tags(&lab), "");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask { op: Operation, queue: bool, freeze: bool, windows: bool },
    Restrain { freeze: Option<i64>, closed: bool },
    Leave,
    Join,
    Wait(u64),
    Restart,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let ops = [Operation::Switch, Operation::PullSwitch, Operation::Pull, Operation::Rollback];
    let ask = (prop::sample::select(ops.to_vec()), any::<bool>(), any::<bool>(), any::<bool>());
    prop_oneof![
        4 => ask.prop_map(|(op, queue, freeze, windows)| Step::Ask { op, queue, freeze, windows }),
        4 => (prop::option::of(1_i64..4), any::<bool>())
            .prop_map(|(freeze, closed)| Step::Restrain { freeze, closed }),
        2 => Just(Step::Leave),
        3 => Just(Step::Join),
        1 => (1_u64..40_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => Just(Step::End),
    ]
}

proptest! {
    #![proptest_config(sequences(256))]

    /// Whatever happens in which order: what is begun was not held back then, or only by what whoever
    /// asked was told of.
    #[test]
    fn nothing_begins_that_is_held_back_whatever_happens(steps in prop::collection::vec(step(), 1..40)) {
        let mut lab = pulled();
        // In which freeze each command was asked for.
        let mut asked_in = std::collections::BTreeMap::new();
        let mut now = Restraints::default();
        for step in steps {
            let mut begun = Vec::new();
            match step {
                Step::Ask { op, queue, freeze, windows } => {
                    let some = [(freeze, Regardless::Freeze), (windows, Regardless::Windows)];
                    let of: Vec<_> = some.iter().filter(|one| one.0).map(|one| one.1).collect();
                    if let Ok(command) = lab.asks_with(op, going_on(&of), queue) {
                        asked_in.insert(command.id, now.freeze);
                    }
                }
                Step::Restrain { freeze, closed } => {
                    now = restraints(freeze, closed);
                    lab.is_restrained(now.clone());
                }
                Step::Leave => lab.leaves(),
                Step::Join => lab.joins(2, 1),
                Step::Wait(seconds) => {
                    lab.waits(seconds);
                    lab.apply(HostEvent::Tick);
                }
                Step::Restart => {
                    lab.restarts();
                    lab.apply(HostEvent::Restrained(now.clone()));
                }
                Step::End => {
                    if let Some(id) = lab.state.command().map(|command| command.id) {
                        lab.ends(id, exited(1), Report::default());
                    }
                }
            }
            for effect in &lab.effects {
                if let HostEffect::Run { id, op, args } = effect {
                    begun.push((*id, *op, args.clone()));
                }
            }
            for (id, op, args) in begun {
                let minds = matches!(op, Operation::Switch | Operation::PullSwitch);
                for back in now.back.iter().filter(|_| minds) {
                    let passed = args.restraints().any(|one| one == back.by);
                    let of_this = back.by == Restraint::Windows || asked_in[&id] == now.freeze;
                    prop_assert!(passed && of_this, "{op} {id} began though {}", back.why);
                }
            }
        }
    }
}
