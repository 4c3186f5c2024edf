//! A wave that failed goes back (spec: guard, "Rollouts in waves": what a failure does).

use super::waves::FIVE;
use super::*;
use crate::domain::deploy::{Deploy, DeployKind, DeployOutcome, Paths, Starts};
use crate::domain::generation::Generation;

impl Lab {
    /// The rollback that a host was asked for.
    pub(super) fn goes_back(&self, host: &str) -> Option<CommandId> {
        let mut all = self.rollout.way_back.running();
        all.find(|(known, _)| **known == id(host)).map(|(_, command)| command)
    }

    fn back(&self, host: &str) -> Option<&Back> {
        self.rollout.way_back.hosts.get(&id(host))
    }
}

fn that_goes_back(waves: &[usize]) -> Lab {
    let mut lab = Lab::in_waves(&FIVE, waves, 0);
    lab.rollout.way_back.on_failure = OnFailure::RollBack;
    lab
}

#[test]
fn the_wave_under_way_goes_back_when_too_many_failed_and_the_waves_before_it_stay() {
    let mut lab = that_goes_back(&[1, 3, 1]);
    assert_eq!(lab.begin(), ["switch a"]);
    assert_eq!(lab.end("a", OK), ["switch b", "switch c", "switch d"]);
    assert_eq!(lab.end("b", OK), [""; 0]);
    // What runs ends first; what failed may have changed something too.
    let effects = {
        let command = lab.command_of("c");
        let reason = Some("exit code 1".to_owned());
        let state = State::Failed;
        lab.apply(Event::Ended { host: id("c"), command, state, reason, boots: false })
    };
    assert_eq!(recorded(&effects), ["Switch of 5 hosts rolls back wave 2: 1 failed."]);
    assert_eq!(lab.rollout.told(), "2 done, 1 running, 1 failed, 1 not attempted");
    assert!(lab.goes_back("b").is_some() && lab.goes_back("c").is_some());
    assert_eq!(lab.end("d", OK), ["back d"], "what came late goes back as well");
    for host in ["b", "c", "d"] {
        let command = lab.goes_back(host).unwrap();
        assert!(!lab.rollout.is_over());
        lab.ends(host, command, OK, false);
    }
    assert!(lab.rollout.is_over());
    assert_eq!(lab.back("a"), None);
    let told = "3 done, 1 failed, 1 not attempted, 3 rolled back";
    assert_eq!(lab.rollout.told(), told);
}

#[test]
fn what_a_failure_leaves_is_left_where_nobody_asked_to_roll_back_and_after_a_cancel() {
    let mut lab = Lab::in_waves(&FIVE, &[2, 3], 0);
    lab.begin();
    lab.end("a", OK);
    assert_eq!(lab.end("b", State::Failed), [""; 0]);
    assert!(lab.rollout.is_over() && lab.rollout.way_back.hosts.is_empty());
    let mut lab = that_goes_back(&[2, 3]);
    lab.begin();
    lab.end("a", OK);
    lab.apply(Event::Cancel(Author::Admin));
    assert_eq!(lab.end("b", State::Failed), [""; 0]);
    assert!(lab.rollout.is_over() && lab.rollout.way_back.hosts.is_empty());
}

#[test]
fn a_host_that_did_not_come_to_its_switch_has_nothing_to_take_back() {
    let mut lab = Lab::new(&UPDATE, &["a", "b"], 3);
    lab.rollout.stop_after = Some(1);
    lab.rollout.way_back.on_failure = OnFailure::RollBack;
    lab.begin();
    lab.end("a", OK);
    lab.end("a", OK);
    // The test of a runs still when b cannot even pull.
    assert_eq!(lab.end("b", State::Failed), [""; 0]);
    assert_eq!(lab.end("a", OK), ["back a"]);
    assert_eq!(lab.back("b"), None);
}

#[test]
fn going_back_keeps_the_limit_and_waits_for_who_is_busy_or_away() {
    let mut lab = that_goes_back(&[4, 1]);
    lab.begin();
    lab.rollout.at_once = 1;
    for host in ["a", "b"] {
        lab.end(host, OK);
    }
    lab.end("c", State::Failed);
    assert_eq!(lab.goes_back("a"), None, "one switches still");
    assert_eq!(lab.end("d", OK), ["back a"]);
    let refuse = |lab: &mut Lab, host: &str, code| {
        let asked = lab.goes_back(host).unwrap();
        let refusal = Refusal { code, message: format!("{host}: {code}") };
        lab.asked(Event::Refused { host: id(host), asked, refusal })
    };
    assert_eq!(refuse(&mut lab, "a", RefusalCode::HostBusy), ["back b"]);
    assert_eq!(refuse(&mut lab, "b", RefusalCode::HostOffline), ["back c"]);
    assert_eq!(refuse(&mut lab, "c", RefusalCode::NoSuchGeneration), ["back d"]);
    let asked = lab.goes_back("d").unwrap();
    let why = "it brought nothing new".to_owned();
    lab.asked(Event::NothingToTakeBack { host: id("d"), asked, why });
    // Who is busy is waited for as long as it takes, who is away for a day.
    lab.waits(AWAY);
    assert!(matches!(lab.back("b"), Some(Back::Failed { .. })), "{:?}", lab.back("b"));
    assert!(matches!(lab.back("c"), Some(Back::Failed { .. })), "{:?}", lab.back("c"));
    assert!(!lab.rollout.is_over());
    assert_eq!(lab.asked(Event::Tick { ready: [id("a")].into() }), ["back a"]);
    let command = lab.goes_back("a").unwrap();
    lab.ends("a", command, State::Failed, false);
    assert!(lab.rollout.is_over());
    let failed = Back::Failed { why: "Rollback failed".to_owned() };
    assert_eq!(lab.back("a"), Some(&failed));
}

/// The review of rollouts, 1.
#[test]
fn a_failure_while_it_is_paused_halts_it_and_its_wave_goes_back() {
    let mut lab = that_goes_back(&[5]);
    lab.begin();
    for host in ["a", "b", "c"] {
        lab.end(host, OK);
    }
    assert_eq!(lab.asked(Event::Pause(Author::Admin)), [""; 0]);
    assert_eq!(lab.end("d", OK), [""; 0]);
    assert_eq!(lab.end("e", State::Failed), ["back a", "back b", "back c", "back d", "back e"]);
    assert!(!lab.rollout.is_over());
    // It is no more paused than it could be resumed.
    assert_eq!(lab.rollout.paused, None);
    for host in FIVE {
        let command = lab.goes_back(host).unwrap();
        lab.ends(host, command, OK, false);
    }
    assert_eq!(lab.rollout.told(), "4 done, 1 failed, 5 rolled back");
    assert!(lab.rollout.is_over());
    // Where nobody asked for that, it halts.
    let mut lab = Lab::in_waves(&FIVE, &[2, 3], 0);
    lab.begin();
    lab.apply(Event::Pause(Author::Admin));
    assert_eq!(lab.end("a", State::Failed), [""; 0]);
    assert_eq!(lab.end("b", OK), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 done, 1 failed, 3 not attempted");
}

/// What went into the audit log.
fn recorded(effects: &[Effect]) -> Vec<&str> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::Record { message, .. } => Some(message.as_str()),
        _ => None,
    });
    messages.collect()
}

/// The review of rollouts, 5.
#[test]
fn the_wave_of_the_host_that_failed_goes_back_whichever_is_under_way() {
    let mut lab = Lab::new(&[Operation::Switch, Operation::Test], &FIVE, 9);
    lab.rollout.waves = vec![1, 4];
    lab.rollout.stop_after = Some(1);
    lab.rollout.way_back.on_failure = OnFailure::RollBack;
    lab.begin();
    assert_eq!(lab.end("a", OK), ["test a"]);
    lab.asked(Event::Promote(Author::Admin));
    for host in ["b", "c", "d", "e"] {
        lab.end(host, OK);
    }
    for host in ["b", "c"] {
        lab.end(host, OK);
    }
    let command = lab.command_of("a");
    let failed = |host: &str, command| {
        let (host, state) = (id(host), State::Failed);
        Event::Ended { host, command, state, reason: None, boots: false }
    };
    let effects = lab.apply(failed("a", command));
    assert_eq!(recorded(&effects), ["Switch, Test of 5 hosts rolls back wave 1: 1 failed."]);
    assert!(lab.goes_back("a").is_some());
    assert!(["b", "c", "d", "e"].iter().all(|host| lab.goes_back(host).is_none()));
    // Who fails after that began in another wave: that one goes back as well.
    let command = lab.command_of("d");
    let effects = lab.apply(failed("d", command));
    assert_eq!(recorded(&effects), ["Switch, Test of 5 hosts rolls back wave 2: 1 failed."]);
    assert!(["b", "c", "d"].iter().all(|host| lab.goes_back(host).is_some()));
    assert_eq!(lab.end("e", OK), ["back e"]);
}

#[test]
fn who_comes_back_in_a_later_wave_and_fails_takes_its_own_wave_back() {
    let mut lab = Lab::new(&UPDATE, &FIVE, 9);
    lab.rollout.waves = vec![2, 3];
    lab.rollout.stop_after = Some(1);
    lab.rollout.way_back.on_failure = OnFailure::RollBack;
    lab.begin();
    // It goes away between its pull and its switch.
    lab.end("a", OK);
    lab.refuse("a", RefusalCode::HostOffline);
    lab.end("b", OK);
    lab.end("b", OK);
    assert_eq!(lab.end("b", OK), ["pull c", "pull d", "pull e"]);
    lab.end("c", OK);
    lab.end("c", OK);
    assert_eq!(lab.asked(Event::Tick { ready: [id("a")].into() }), ["switch a"]);
    assert_eq!(lab.end("a", State::Failed), ["back a", "back b"]);
    assert_eq!(lab.back("c"), None);
}

/// What was borne when a wave was done stays borne.
#[test]
fn a_wave_that_was_done_in_spite_of_a_failure_stays_when_a_later_one_fails() {
    let mut lab = that_goes_back(&[2, 3]);
    lab.rollout.stop_after = Some(2);
    lab.begin();
    lab.end("a", State::Failed);
    assert_eq!(lab.end("b", OK), ["switch c", "switch d", "switch e"]);
    assert_eq!(lab.end("c", State::Failed), ["back c"]);
    assert_eq!(lab.end("d", OK), ["back d"]);
    lab.end("e", OK);
    assert!(lab.back("a").is_none() && lab.back("b").is_none());
}

fn deploy(number: u128, before: &str, after: &str) -> Deploy {
    let runs = |path: &str| Paths { running: Some(path.to_owned()), profile: None };
    Deploy {
        command_id: CommandId(Uuid::from_u128(number)),
        kind: DeployKind::Switch,
        order: 1,
        commit: None,
        dirty: false,
        subject: None,
        lock: None,
        intended: None,
        starts: Starts::Now,
        boot_id: None,
        before: runs(before),
        after: runs(after),
        store_path: None,
        generation: None,
        why: None,
        outcome: DeployOutcome::Succeeded,
        exit_code: Some(0),
        ended_at: Timestamp::from_secs(0),
    }
}

#[test]
fn the_way_back_is_the_generation_that_ran_before_whatever_numbers_lie_between() {
    let generation = |generation: u64, path: &str| Generation {
        generation,
        store_path: Some(path.to_owned()),
        configuration_revision: None,
        created_at: None,
        current: false,
    };
    let known = [generation(9, "new"), generation(8, "other"), generation(7, "old")];
    let of = |deploys: &[Deploy]| way_back(deploys, &known, CommandId(Uuid::from_u128(1)));
    assert_eq!(of(&[deploy(1, "old", "new"), deploy(0, "x", "old")]), Ok(7));
    let waits = Deploy { starts: Starts::NextBoot, ..deploy(1, "old", "old") };
    let mute = Deploy { before: Paths::default(), ..deploy(1, "old", "new") };
    for (deploys, why) in [
        (vec![], "it brought nothing"),
        (vec![deploy(0, "x", "old")], "it brought nothing"),
        (vec![deploy(2, "new", "old"), deploy(1, "old", "new")], "another deploy came since"),
        (vec![deploy(1, "old", "old")], "it brought nothing new"),
        (vec![waits], "starts at the next boot"),
        (vec![mute], "does not tell"),
        (vec![deploy(1, "gone", "new")], "no generation is known"),
    ] {
        let answer = of(&deploys).unwrap_err();
        assert!(answer.contains(why), "{answer}");
    }
}
