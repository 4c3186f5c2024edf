//! Whatever happens, in whatever order: a host is never busy without a live reason, and nothing is
//! green without proof.

mod found;
mod oracle;
mod player;
mod steps;

use super::*;
use player::Player;
use proptest::prelude::*;
use std::collections::HashMap;
use steps::{Step, Whose, step};

proptest! {
    #![proptest_config(sequences(1000))]

    #[test]
    fn a_host_that_goes_away_for_good_is_not_busy_for_ever(steps in prop::collection::vec(step(), 1..60)) {
        let mut player = Player::new();
        for step in &steps {
            player.play(step);
        }
        player.play(&Step::Disconnect);
        player.time_passes();
        let left: Vec<_> = player.lab.state.live().collect();
        prop_assert!(left.is_empty(), "never ends: {left:#?}");
    }

    #[test]
    fn a_host_whose_agent_is_back_and_idle_is_not_busy_for_ever(steps in prop::collection::vec(step(), 1..60)) {
        let mut player = Player::new();
        for step in &steps {
            player.play(step);
        }
        let idle = Step::Heartbeat { works: None, facts: 0 };
        player.play(&Step::Connect {
            protocol: 4,
            machine: None,
            running: None,
            finished: None,
            facts: 0,
        });
        for _ in 0..200 {
            player.play(&idle);
            player.play(&Step::Wait(60));
        }
        let left: Vec<_> = player.lab.state.live().collect();
        prop_assert!(left.is_empty(), "never ends: {left:#?}");
    }

    /// Finding 27, and whatever else was counted by a clock that somebody can set.
    #[test]
    fn a_clock_that_is_set_changes_nothing_whatever_happens_27(steps in prop::collection::vec(step(), 1..60)) {
        let (mut set, mut steady) = (Player::new(), Player::new());
        for step in &steps {
            set.play(step);
            if !matches!(step, Step::ClockJumps(_)) {
                steady.play(step);
            }
            prop_assert_eq!(set.told(), steady.told());
        }
        set.play(&Step::Disconnect);
        steady.play(&Step::Disconnect);
        set.time_passes();
        steady.time_passes();
        prop_assert_eq!(set.told(), steady.told());
    }

    #[test]
    fn whatever_happens_to_a_green_host_nothing_is_green_that_the_facts_do_not_prove(
        mute in any::<bool>(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut player = Player::green(mute);
        for step in &steps {
            player.play(step);
        }
    }

    #[test]
    fn a_message_that_comes_twice_changes_nothing_the_second_time(steps in prop::collection::vec(step(), 1..40)) {
        let mut player = Player::new();
        for step in &steps {
            // A click is no message, a heartbeat without the command counts, and protocol 3
            // gives its messages no ids to tell the second from the first.
            let named = |whose: &Whose| {
                !matches!(whose, Whose::Queued) && matches!(player.about(*whose), About::Id(_))
            };
            let repeatable = match step {
                Step::Accepted(whose) | Step::Ended { whose, .. } => named(whose),
                // What a 3.x agent refuses hangs on what it was asked before.
                Step::Rejected { .. } if !player.lab.state.protocol().names_commands_by_id() => false,
                Step::Rejected { whose, instead } => named(whose) && instead.as_ref().is_none_or(named),
                _ => false,
            };
            player.play(step);
            if repeatable {
                let once = player.lab.clone();
                player.play(&Step::Again);
                prop_assert_eq!(&once.state.facts, &player.lab.state.facts);
                let ids = |lab: &Lab| {
                    let live = lab.state.live().map(|c| (c.id, c.state));
                    live.collect::<HashMap<CommandId, State>>()
                };
                prop_assert_eq!(ids(&once), ids(&player.lab));
            }
        }
    }
}
