//! Hosts that a freeze or their windows hold back.

use super::*;
use crate::domain::maintenance::{Freeze, Restraint};
use proptest::prelude::*;

fn held(hosts: &[&str]) -> Event {
    Event::HeldBack(hosts.iter().map(|name| (id(name), format!("{name}: frozen"))).collect())
}

#[test]
fn who_is_held_back_begins_nothing_deploys_nothing_and_says_why_until_it_ends() {
    let mut lab = Lab::new(&UPDATE, &["a", "b"], 3);
    assert_eq!(lab.asked(held(&["b"])), ["pull a"]);
    assert_eq!(lab.rollout.waits_for(&id("b")).as_deref(), Some("b: frozen"));
    // It comes between two steps: what would change what runs waits, what runs is ended by nobody.
    assert_eq!(lab.asked(held(&["a", "b"])), [""; 0]);
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.rollout.waits_for(&id("a")).as_deref(), Some("a: frozen"));
    lab.now.up = lab.now.up + AWAY + PATIENCE;
    assert_eq!(lab.begin(), [""; 0]);
    assert_eq!(lab.rollout.told(), "2 waiting", "nobody's patience counts");
    assert_eq!(lab.asked(held(&["b"])), ["switch a"]);
    // Tests are of what runs already.
    lab.apply(held(&["a", "b"]));
    assert_eq!(lab.end("a", OK), ["test a"]);
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.asked(held(&[])), ["pull b"]);
}

#[test]
fn hosts_whose_windows_open_at_one_time_still_begin_in_waves() {
    let mut lab = Lab::new(&[Operation::Switch], &["a", "b", "c"], 3);
    lab.rollout.waves = vec![1, 2];
    assert_eq!(lab.asked(held(&["a", "b", "c"])), [""; 0]);
    assert_eq!(lab.begin(), [""; 0]);
    assert_eq!(lab.rollout.wave, 0, "no wave is passed over");
    assert_eq!(lab.asked(held(&[])), ["switch a"]);
    assert_eq!(lab.end("a", OK), ["switch b", "switch c"]);
}

#[test]
fn who_may_begin_does_not_wait_for_those_who_may_not() {
    let mut lab = Lab::new(&[Operation::Switch], &["a", "b", "c"], 3);
    lab.rollout.waves = vec![1, 2];
    assert_eq!(lab.asked(held(&["a"])), ["switch b"]);
    assert_eq!(lab.end("b", OK), ["switch c"]);
    assert_eq!(lab.end("c", OK), [""; 0]);
    assert_eq!(lab.rollout.told(), "2 done, 1 waiting");
    assert_eq!(lab.asked(held(&[])), ["switch a"]);
}

/// The review of rollouts, 4.
#[test]
fn who_waits_for_its_window_between_two_steps_holds_up_nobody() {
    let mut lab = Lab::new(&UPDATE, &["a", "b", "c"], 3);
    (lab.rollout.waves, lab.rollout.soak) = (vec![1, 2], 60);
    lab.rollout.stop_after = Some(1);
    lab.rollout.way_back.on_failure = OnFailure::RollBack;
    assert_eq!(lab.begin(), ["pull a"]);
    lab.apply(held(&["a"]));
    // Nobody of the wave succeeded: the next host takes the place, and decides about the wave.
    assert_eq!(lab.end("a", OK), ["pull b"]);
    assert_eq!(lab.rollout.waits_for(&id("a")).as_deref(), Some("a: frozen"));
    assert_eq!(lab.end("b", OK), ["switch b"]);
    assert_eq!(lab.end("b", OK), ["test b"]);
    assert_eq!(lab.end("b", OK), [""; 0]);
    assert!(lab.rollout.soaks.is_some(), "it soaks");
    assert_eq!(lab.waits(Duration::from_secs(60)), ["pull c"]);
    // What fails then takes back its own wave.
    assert_eq!(lab.asked(held(&[])), ["switch a"]);
    assert_eq!(lab.end("a", State::Failed), ["back a", "back b"]);
}

/// The review of rollouts, 3.
#[test]
fn patience_stands_still_while_a_host_is_held_back_between_two_steps() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.rollout.stop_after = Some(1);
    lab.begin();
    lab.end("a", OK);
    lab.refuse("a", RefusalCode::RemoteUnavailable);
    lab.waits(PATIENCE / 2);
    lab.apply(held(&["a"]));
    lab.waits(PATIENCE * 3);
    assert_eq!(lab.rollout.told(), "1 waiting");
    // A freeze instead of another one is no end of it.
    lab.apply(held(&["a", "b"]));
    lab.waits(PATIENCE);
    lab.apply(held(&[]));
    assert_eq!(lab.rollout.told(), "1 waiting");
    let mut still = lab.clone();
    assert_eq!(lab.asked(Event::Tick { ready: [id("a")].into() }), ["switch a"]);
    // What was left of it is left, and no more.
    still.waits(PATIENCE / 2);
    assert_eq!(still.rollout.told(), "1 failed");
}

#[test]
fn who_is_back_while_its_window_is_closed_is_not_away_when_that_opens() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    lab.refuse("a", RefusalCode::HostOffline);
    lab.apply(held(&["a"]));
    let mut gone = lab.clone();
    lab.now.up = lab.now.up + Duration::from_secs(3600);
    assert_eq!(lab.asked(Event::Tick { ready: [id("a")].into() }), [""; 0]);
    assert_eq!(lab.rollout.hosts[&id("a")], Progress::next(0), "only its window keeps it");
    lab.waits(AWAY * 2);
    assert_eq!(lab.asked(held(&[])), ["pull a"]);
    // Who stays away is left out after a day in which it could have been asked.
    gone.waits(AWAY * 2);
    gone.apply(held(&[]));
    gone.waits(AWAY / 2);
    gone.apply(held(&["a"]));
    gone.waits(AWAY);
    assert_eq!(gone.rollout.told(), "1 waiting");
    gone.apply(held(&[]));
    gone.waits(AWAY / 2);
    assert_eq!(gone.rollout.told(), "1 left out");
}

/// The review of rollouts, 12.
#[test]
fn who_was_asked_and_is_held_back_after_all_waits_for_that_and_not_for_its_patience() {
    for code in [RefusalCode::Frozen, RefusalCode::OutsideWindow] {
        let mut lab = Lab::new(&UPDATE, &["a", "b"], 3);
        (lab.rollout.waves, lab.rollout.stop_after) = (vec![1, 1], Some(1));
        assert_eq!(lab.begin(), ["pull a"]);
        assert_eq!(lab.refuse("a", code), ["pull b"], "another one takes its place");
        lab.end("b", OK);
        assert_eq!(lab.refuse("b", code), [""; 0], "it is not asked again before that ends");
        lab.waits(AWAY * 2);
        assert_eq!(lab.why("b"), format!("b: {code}"));
        assert_eq!(lab.asked(held(&[])), ["switch b"]);
    }
}

/// The review of rollouts, 8.
#[test]
fn nothing_keeps_anybody_from_going_back() {
    for (steps, changes, begins) in [
        (vec![Operation::Rollback], false, false),
        (vec![Operation::Rollback, Operation::Reboot], true, false),
        (vec![Operation::Pull], false, false),
        (vec![Operation::Test], false, false),
        (vec![Operation::Reboot], true, true),
        (UPDATE.to_vec(), true, true),
    ] {
        let lab = Lab::new(&steps, &["a"], 3);
        assert_eq!(lab.rollout.changes_what_runs(), changes, "{steps:?}");
        assert_eq!(lab.rollout.begins_with_a_change(), begins, "{steps:?}");
    }
    let mut lab = Lab::new(&[Operation::Rollback, Operation::Reboot], &["a", "b"], 1);
    assert_eq!(lab.asked(held(&["a", "b"])), ["rollback a"], "one at a time all the same");
    // A reboot is no way back.
    assert_eq!(lab.end("a", OK), ["rollback b"]);
    assert_eq!(lab.why("a"), "a: frozen");
}

/// The review of rollouts, 9.
#[test]
fn who_goes_on_regardless_of_a_freeze_goes_on_regardless_of_that_one() {
    let freeze = |since: i64| Freeze {
        reason: "holidays".to_owned(),
        by: Author::Admin,
        since: Timestamp::from_secs(since),
        until: Timestamp::from_secs(1_000),
    };
    let begun = |steps: &[Operation], freeze: Option<&Freeze>| {
        let mut rollout = Lab::new(steps, &["a"], 3).rollout;
        rollout.regardless = Restraint::ALL.into();
        rollout.begins_in(freeze);
        rollout
    };
    let (first, second) = (freeze(1), freeze(2));
    let rollout = begun(&UPDATE, Some(&first));
    assert_eq!(rollout.regardless_in(Some(&first)), Restraint::ALL.into());
    assert_eq!(rollout.regardless_in(Some(&second)), [Restraint::Windows].into());
    let stored = serde_json::to_string(&rollout).unwrap();
    let restored: Rollout = serde_json::from_str(&stored).unwrap();
    assert_eq!(restored.regardless_in(Some(&second)), [Restraint::Windows].into());
    // Nobody was told of one that there was not.
    let rollout = begun(&UPDATE, None);
    assert_eq!(rollout.regardless, [Restraint::Windows].into());
    assert_eq!(rollout.regardless_in(Some(&first)), [Restraint::Windows].into());
    // What nothing holds back goes on regardless of nothing.
    assert!(begun(&[Operation::Pull], Some(&first)).regardless.is_empty());
}

#[test]
fn what_it_waits_for_outlives_a_restart_and_a_rollout_of_before_waits_for_nothing() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.apply(held(&["a"]));
    let mut stored = serde_json::to_value(&lab.rollout).unwrap();
    assert_eq!(serde_json::from_value::<Rollout>(stored.clone()).unwrap(), lab.rollout);
    let object = stored.as_object_mut().unwrap();
    object.remove("held_back");
    object.remove("regardless");
    let of_before: Rollout = serde_json::from_value(stored).unwrap();
    assert!(of_before.held_back.is_empty() && of_before.regardless.is_empty());
}

proptest! {
    #[test]
    fn whoever_is_held_back_starts_nothing_that_changes_what_runs(
        steps in prop::collection::vec((0..3_u8, prop::collection::vec(0..4_usize, 0..4)), 1..60),
        waves in prop::collection::vec(1..3_usize, 0..3), at_once in 1..4_u32,
    ) {
        let names = ["a", "b", "c", "d"];
        let mut lab = Lab::new(&UPDATE, &names, at_once);
        let waves: Vec<Wave> = waves.iter().map(|n| Wave::Hosts(u32::try_from(*n).unwrap())).collect();
        lab.rollout.waves = if waves.is_empty() { Vec::new() } else { sizes(&waves, names.len()) };
        for (what, hosts) in steps {
            let running: Vec<String> =
                lab.rollout.running().map(|(host, ..)| host.to_string()).collect();
            let asked = match (what, running.first()) {
                (0, _) => {
                    let hosts: Vec<&str> = hosts.iter().map(|host| names[*host]).collect();
                    lab.asked(held(&hosts))
                }
                (1, Some(host)) => lab.end(host, OK),
                _ => lab.begin(),
            };
            for asked in asked {
                let (op, host) = asked.split_once(' ').unwrap();
                prop_assert!(
                    op == "test" || !lab.rollout.held_back.contains_key(&id(host)),
                    "{} in {:#?}", asked, lab.rollout
                );
            }
        }
        // It ends one day, and so does the rollout.
        lab.apply(held(&[]));
        for _ in 0..40 {
            let running: Vec<String> =
                lab.rollout.running().map(|(host, ..)| host.to_string()).collect();
            for host in running {
                lab.end(&host, OK);
            }
        }
        prop_assert!(lab.rollout.is_over(), "{:#?}", lab.rollout);
    }
}
