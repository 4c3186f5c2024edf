//! Waves, pauses, and what users do about them.

use super::*;

impl Lab {
    pub(super) fn in_waves(hosts: &[&str], waves: &[usize], soak: u64) -> Self {
        let mut lab = Self::new(&[Operation::Switch], hosts, 10);
        (lab.rollout.waves, lab.rollout.soak) = (waves.to_vec(), soak);
        lab.rollout.stop_after = Some(1);
        lab
    }

    pub(super) fn waits(&mut self, duration: Duration) -> Vec<String> {
        self.now.up = self.now.up + duration;
        self.begin()
    }

    pub(super) fn why(&self, host: &str) -> String {
        self.rollout.waits_for(&id(host)).unwrap_or_default()
    }
}

pub(super) const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn waves_begin_one_after_the_other_each_when_the_one_before_is_done_and_has_soaked() {
    let mut lab = Lab::in_waves(&FIVE, &[1, 2, 2], 60);
    assert_eq!(lab.begin(), ["switch a"]);
    assert_eq!(lab.why("b"), "wave 1 of 3 is under way");
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.why("b"), "wave 2 begins when wave 1 has soaked");
    assert_eq!(lab.waits(Duration::from_secs(59)), [""; 0]);
    assert_eq!(lab.waits(Duration::from_secs(1)), ["switch b", "switch c"]);
    assert_eq!(lab.end("b", OK), [""; 0]);
    assert_eq!(lab.end("c", OK), [""; 0]);
    assert_eq!(lab.waits(Duration::from_secs(60)), ["switch d", "switch e"]);
    lab.end("d", OK);
    lab.end("e", OK);
    assert_eq!(lab.rollout.told(), "5 done");
}

#[test]
fn what_fails_in_a_wave_halts_the_rest_unless_that_many_may_fail() {
    let mut lab = Lab::in_waves(&FIVE, &[1, 4], 60);
    lab.begin();
    assert_eq!(lab.end("a", State::Failed), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 failed, 4 not attempted");
    // A wave in which nobody succeeded is not done: the next host takes the place.
    let mut lab = Lab::in_waves(&FIVE, &[1, 4], 60);
    lab.rollout.stop_after = Some(2);
    lab.begin();
    assert_eq!(lab.end("a", State::Failed), ["switch b"]);
    assert_eq!(lab.end("b", OK), [""; 0]);
    assert_eq!(lab.waits(Duration::from_secs(60)), ["switch c", "switch d", "switch e"]);
}

#[test]
fn who_is_away_holds_nobody_up_is_delivered_when_it_is_back_and_left_out_after_a_day() {
    let mut lab = Lab::in_waves(&FIVE, &[1, 4], 0);
    assert_eq!(lab.begin(), ["switch a"]);
    assert_eq!(lab.refuse("a", RefusalCode::HostOffline), ["switch b"]);
    assert_eq!(lab.why("a"), "a: host_offline");
    assert_eq!(lab.end("b", OK), ["switch c", "switch d", "switch e"]);
    for host in ["c", "d", "e"] {
        lab.end(host, OK);
    }
    assert_eq!(lab.rollout.told(), "4 done, 1 waiting");
    let mut back = lab.clone();
    assert_eq!(back.asked(Event::Tick { ready: [id("a")].into() }), ["switch a"]);
    back.refuse("a", RefusalCode::HostOffline);
    back.waits(AWAY);
    assert_eq!(back.rollout.told(), "4 done, 1 left out");
    assert!(back.rollout.is_over());
}

/// Found by generated sequences after 47,010 of them.
#[test]
fn a_wave_soaks_no_more_once_a_host_of_it_is_back_and_in_a_step() {
    let mut lab = Lab::in_waves(&FIVE, &[2, 3], 60);
    lab.rollout.steps = vec![Operation::Pull, Operation::Switch];
    assert_eq!(lab.begin(), ["pull a", "pull b"]);
    lab.end("b", OK);
    assert_eq!(lab.refuse("b", RefusalCode::HostOffline), [""; 0]);
    lab.end("a", OK);
    lab.end("a", OK);
    assert!(lab.rollout.soaks.is_some(), "who is away holds nobody up");
    assert_eq!(lab.asked(Event::Tick { ready: [id("b")].into() }), ["switch b"]);
    assert_eq!(lab.rollout.soaks, None);
    assert_eq!(lab.end("b", OK), [""; 0]);
    assert!(lab.rollout.soaks.is_some(), "it soaks with b");
    assert_eq!(lab.waits(Duration::from_secs(60)), ["pull c", "pull d", "pull e"]);
}

#[test]
fn a_pause_starts_nothing_ends_nothing_and_costs_nobody_their_patience() {
    let mut lab = Lab::in_waves(&FIVE, &[2, 3], 0);
    lab.begin();
    lab.refuse("b", RefusalCode::RemoteUnavailable);
    assert_eq!(lab.asked(Event::Pause(Author::Admin)), [""; 0]);
    assert_eq!(lab.why("d"), "paused by admin");
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.waits(PATIENCE * 2), [""; 0]);
    assert_eq!(lab.rollout.counts().failed, 0, "{}", lab.rollout.told());
    lab.end("c", OK);
    assert_eq!(lab.asked(Event::Resume(Author::Admin)), ["switch d", "switch e"]);
    assert_eq!(lab.rollout.counts().failed, 0);
    lab.asked(Event::Pause(Author::Admin));
    lab.asked(Event::Cancel(Author::Admin));
    assert_eq!(lab.rollout.counts().waiting, 0, "{}", lab.rollout.told());
}

#[test]
fn the_next_wave_begins_at_once_where_somebody_wants_that_and_a_host_is_left_out() {
    let mut lab = Lab::in_waves(&FIVE, &[1, 2, 2], 600);
    lab.begin();
    assert_eq!(lab.asked(Event::Promote(Author::Admin)), ["switch b", "switch c"]);
    let left_out = Event::LeaveOut { host: id("d"), by: Author::Admin };
    assert_eq!(lab.asked(left_out), [""; 0]);
    for host in ["a", "b", "c"] {
        lab.end(host, OK);
    }
    assert_eq!(lab.asked(Event::Promote(Author::Admin)), ["switch e"]);
    assert_eq!(lab.asked(Event::Promote(Author::Admin)), [""; 0], "it is the last wave");
    // One that runs is not left out.
    lab.apply(Event::LeaveOut { host: id("e"), by: Author::Admin });
    lab.end("e", OK);
    assert_eq!(lab.rollout.told(), "4 done, 1 left out");
}

#[test]
fn a_rollout_of_before_there_were_waves_goes_on() {
    let mut lab = Lab::new(&UPDATE, &["a", "b"], 3);
    lab.rollout.one_first = true;
    lab.begin();
    lab.end("a", OK);
    let mut stored = serde_json::to_value(&lab.rollout).unwrap();
    for field in ["waves", "soak", "wave", "began", "soaks", "paused", "boots", "way_back"] {
        stored.as_object_mut().unwrap().remove(field);
    }
    lab.rollout = serde_json::from_value(stored).unwrap();
    assert_eq!(lab.begin(), [""; 0]);
    assert_eq!(lab.end("a", OK), ["test a"]);
    assert_eq!(lab.end("a", OK), ["pull b"]);
}
