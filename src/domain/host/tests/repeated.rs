//! What is held outlives the dashboard's database, for the agent repeats it; and what somebody
//! released does not come back (spec: guard, "Held").

use super::*;
use crate::domain::hold::Left;
use crate::domain::repeated::{Kept, Repeated, Went};
use proptest::prelude::*;

fn path(n: u64) -> String {
    format!("/nix/store/{n}-system")
}

/// The dashboard, and what the agent of its host keeps.
struct Both {
    lab: Lab,
    agent: Kept,
    runs: u64,
}

impl Both {
    fn new() -> Self {
        let mut both = Self { lab: Lab::green(), agent: Kept::default(), runs: 1 };
        both.lab.remote(2, 1);
        both.lab.pulls(2, 1);
        both
    }

    fn connects(&mut self) {
        self.agent.moves_on(&path(self.runs));
        let mut registration = self.lab.registration(DASHBOARD_VERSION);
        registration.report.checkout = Some(commit(2));
        registration.report.dirty = Some(Some(false));
        registration.report.system = Some(system(self.runs, 1));
        registration.held = Some(self.agent.left.clone());
        self.lab.connects(registration);
        self.hears();
    }

    /// The agent hears what the dashboard tells it.
    fn hears(&mut self) {
        for effect in &self.lab.effects {
            if let HostEffect::LetGo(id) = effect {
                self.agent.forget(&[*id]);
            }
        }
    }

    fn disconnects(&mut self) {
        self.lab.apply(HostEvent::Disconnected);
    }

    /// A switch to commit 2 that the guard takes back; answers its id.
    fn returns(&mut self) -> CommandId {
        let args = Args {
            regardless: vec![crate::domain::operation::Regardless::Held],
            ..Args::default()
        };
        let id = self.lab.asks_with(Operation::Switch, args, false).expect("it may start").id;
        self.lab.apply(HostEvent::Accepted(id));
        let left = Left { commit: Some(commit(2)), path: Some(path(2)), of: Some(id) };
        let reason = "Rolled back by itself: no link".to_owned();
        self.agent.went(Went { left: Some(Repeated { left, reason }), runs: path(self.runs) });
        let message = Some("no link".to_owned());
        let outcome = Outcome { kind: OutcomeKind::Returned, message, ..exited(1) };
        let built = Built { commit: Some(commit(2)), path: Some(path(2)), ..Built::default() };
        let report =
            Report { system: Some(system(self.runs, 1)), built: Some(built), ..Report::default() };
        self.lab.ends(id, outcome, report);
        self.hears();
        id
    }

    fn is_released(&mut self) {
        self.lab.apply(HostEvent::Released { by: Author::Admin });
        self.hears();
    }

    /// The database is gone; the host is there still.
    fn loses_its_database(&mut self) {
        let ids = self.lab.ids;
        self.lab = Lab { ids: ids + 1000, now: self.lab.now, ..Lab::new() };
        self.lab.remote(2, 1);
    }

    fn holds(&self) -> bool {
        self.lab.state.facts.hold.is_some()
    }

    fn holds_what_the_agent_repeats(&self) -> bool {
        let hold = self.lab.state.facts.hold.as_ref();
        let left = hold.map_or(&[][..], |hold| &hold.left);
        self.agent.left.iter().all(|one| left.iter().any(|known| known.is(&one.left)))
    }
}

#[test]
fn a_dashboard_that_knows_nothing_takes_the_hold_from_the_agent() {
    let mut both = Both::new();
    both.returns();
    both.loses_its_database();
    both.connects();
    let hold = both.lab.state.facts.hold.clone().expect("it is held");
    assert_eq!(
        (hold.reason.as_str(), &hold.by),
        ("Rolled back by itself: no link", &Author::Agent)
    );
    assert!(!hold.pin && hold.runs == Some(path(1)), "{hold:?}");
    let told = "Held, as its agent repeats: what was left 2222222. Rolled back by itself: no link";
    assert!(both.lab.recorded().contains(&told), "{:?}", both.lab.recorded());
    assert!(both.lab.state.snapshot().held);
    let refusal = both.lab.asks(Operation::Switch, false).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Held);
    // On the next link nothing is told or recorded again.
    both.disconnects();
    both.connects();
    assert_eq!(both.lab.recorded(), [""; 0]);
    // And with another system it ends, at both.
    both.lab.beat(Report { system: Some(system(3, 3)), ..Report::default() }, None);
    both.hears();
    assert!(!both.holds() && both.agent.left.is_empty(), "{:?}", both.agent);
}

#[test]
fn what_was_released_while_its_host_was_away_does_not_come_back_with_it() {
    for restarts in [false, true] {
        let mut both = Both::new();
        both.returns();
        both.disconnects();
        both.is_released();
        assert!(!both.holds() && both.agent.left.len() == 1, "nobody heard of it");
        if restarts {
            both.lab.restarts();
        }
        both.connects();
        assert!(!both.holds() && both.agent.left.is_empty(), "{restarts}: {:?}", both.agent);
        // It is told until it is not repeated any more, and then there is nothing to remember.
        both.disconnects();
        both.connects();
        assert_eq!(both.lab.state.facts.let_go, []);
        // Another return is another one.
        both.returns();
        assert!(both.holds());
    }
}

#[test]
fn an_old_backup_gets_what_is_missing_and_keeps_what_it_has_until_it_is_released() {
    let mut both = Both::new();
    let backup = both.lab.clone();
    both.returns();
    both.lab = Lab { ids: both.lab.ids, now: both.lab.now, ..backup };
    both.lab.restarts();
    both.connects();
    assert!(both.holds());
    // A backup of a time when it was held: the agent repeats nothing, and a user lets it go.
    let backup = both.lab.clone();
    both.is_released();
    both.lab = Lab { ids: both.lab.ids, now: both.lab.now, ..backup };
    both.lab.restarts();
    both.connects();
    assert!(both.holds());
    both.is_released();
    both.disconnects();
    both.connects();
    assert!(!both.holds());
}

/// Agents of before repeat nothing; what they do not say takes nothing away.
#[test]
fn an_agent_that_keeps_nothing_of_it_changes_nothing() {
    let mut both = Both::new();
    both.returns();
    let before = both.lab.state.facts.hold.clone();
    both.disconnects();
    both.lab.joins(2, 1);
    assert_eq!(both.lab.state.facts.hold, before);
    both.disconnects();
    both.is_released();
    both.lab.joins(2, 1);
    both.disconnects();
    // The newer agent is back.
    both.connects();
    assert!(!both.holds() && both.agent.left.is_empty());
}

#[test]
fn what_has_no_id_is_held_and_released_by_what_it_is() {
    let mut both = Both::new();
    let left = Left { commit: Some(commit(2)), path: Some(path(2)), of: None };
    let told = vec![Repeated { left, reason: " ".to_owned() }];
    both.agent = Kept { left: told, runs: Some(path(1)) };
    both.disconnects();
    both.connects();
    let hold = both.lab.state.facts.hold.clone().expect("it is held");
    assert_eq!(hold.reason, "its agent says so");
    both.is_released();
    for _ in 0..2 {
        both.disconnects();
        both.connects();
        assert!(!both.holds(), "it says it still, and cannot be told");
    }
}

#[test]
fn a_hold_of_a_user_keeps_its_reason_and_what_the_agent_repeats_is_held_beside_it() {
    let mut both = Both::new();
    both.returns();
    both.loses_its_database();
    both.lab.apply(HostEvent::Held { reason: "on holiday".into(), by: Author::Admin });
    both.connects();
    let hold = both.lab.state.facts.hold.clone().unwrap();
    assert!(hold.pin && hold.reason == "on holiday" && hold.left.len() == 1, "{hold:?}");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Returns,
    Releases,
    Disconnects,
    Connects,
    Restarts,
    LosesItsDatabase,
    ByHand(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Returns),
        Just(Step::Releases),
        Just(Step::Disconnects),
        Just(Step::Connects),
        Just(Step::Restarts),
        Just(Step::LosesItsDatabase),
        (3..6_u64).prop_map(Step::ByHand),
    ]
}

proptest! {
    #![proptest_config(sequences(400))]
    /// After each link both know the same. A release holds at once and for ever, as long as there is
    /// a database that knows of it or the agent heard it; and a hold survives what becomes of either.
    #[test]
    fn what_is_held_is_known_to_both_after_each_link_and_what_was_released_stays_released(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut both = Both::new();
        // Whether it may be held, as somebody would say who saw all of it.
        let mut held = false;
        for step in steps {
            match step {
                Step::Returns if both.lab.state.is_online() => {
                    both.returns();
                    held = true;
                }
                Step::Returns => {}
                Step::Releases => {
                    // A dashboard that does not know of it has nothing to release.
                    held &= !both.holds();
                    both.is_released();
                    prop_assert!(!both.holds());
                }
                Step::Disconnects => both.disconnects(),
                Step::Connects => {
                    both.connects();
                    prop_assert!(both.holds_what_the_agent_repeats());
                    prop_assert_eq!(both.holds(), held);
                }
                Step::Restarts => both.lab.restarts(),
                Step::LosesItsDatabase => {
                    // What the agent knows is all that anybody knows now.
                    both.loses_its_database();
                    held = !both.agent.left.is_empty();
                }
                Step::ByHand(n) if both.lab.state.is_online() && n != both.runs => {
                    both.runs = n;
                    let report = Report { system: Some(system(n, 1)), ..Report::default() };
                    both.lab.beat(report, None);
                    both.hears();
                    prop_assert!(!both.holds(), "{:?}", both.lab.state.facts.hold);
                    held = false;
                }
                Step::ByHand(_) => {}
            }
        }
    }
}
