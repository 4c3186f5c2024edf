//! What a rollout does, by tables and by generated sequences.

use super::*;
use proptest::prelude::*;

struct Lab {
    rollout: Rollout,
    now: Timestamp,
    next: u128,
}

fn id(text: &str) -> HostId {
    HostId::parse(text).unwrap()
}

impl Lab {
    fn new(steps: &[Operation], hosts: &[&str], at_once: u32) -> Self {
        let waiting = Progress::Waiting { step: 0, since: None, why: None };
        let rollout = Rollout {
            id: RolloutId(Uuid::from_u128(1)),
            steps: steps.to_vec(),
            at_once,
            stop_after: None,
            requested_by: Author::Admin,
            created_at: Timestamp::from_secs(0),
            halted: None,
            finished_at: None,
            dismissed: false,
            hosts: hosts.iter().map(|name| (id(name), waiting.clone())).collect(),
        };
        Self { rollout, now: Timestamp::from_secs(0), next: 100 }
    }

    fn apply(&mut self, event: Event) -> Vec<Effect> {
        let next = &mut self.next;
        self.rollout.apply(event, self.now, &mut || {
            *next += 1;
            CommandId(Uuid::from_u128(*next))
        })
    }

    /// The hosts that are asked for something, as "op host".
    fn asked(&mut self, event: Event) -> Vec<String> {
        let ask = |effect| match effect {
            Effect::Ask { host, op, .. } => Some(format!("{op} {host}")),
            _ => None,
        };
        self.apply(event).into_iter().filter_map(ask).collect()
    }

    fn begin(&mut self) -> Vec<String> {
        self.asked(Event::Tick { ready: BTreeSet::new() })
    }

    fn command_of(&self, host: &str) -> CommandId {
        match &self.rollout.hosts[&id(host)] {
            Progress::Running { command, .. } => *command,
            other => panic!("{host} runs nothing: {other:?}"),
        }
    }

    fn end(&mut self, host: &str, state: State) -> Vec<String> {
        let command = self.command_of(host);
        self.asked(Event::Ended { host: id(host), command, state, reason: None })
    }

    fn refuse(&mut self, host: &str, code: RefusalCode) -> Vec<String> {
        let asked = self.command_of(host);
        let refusal = Refusal { code, message: format!("{host}: {code}") };
        self.asked(Event::Refused { host: id(host), asked, refusal })
    }
}

const OK: State = State::Succeeded;

#[test]
fn each_host_goes_on_by_itself_and_only_if_its_step_succeeded() {
    let mut lab = Lab::new(&UPDATE, &["a", "b"], 3);
    assert_eq!(lab.begin(), ["pull a", "pull b"]);
    assert_eq!(lab.end("a", OK), ["switch a"]);
    assert_eq!(lab.end("b", State::Failed), [""; 0]);
    assert_eq!(lab.end("a", OK), ["test a"]);
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 done, 1 failed");
    assert!(lab.rollout.is_over());
    let failed = Progress::Failed { step: 0, why: "Pull failed".to_owned() };
    assert_eq!(lab.rollout.hosts[&id("b")], failed);
}

#[test]
fn no_more_hosts_switch_at_once_than_asked_and_the_next_starts_when_one_ends() {
    let mut lab = Lab::new(&UPDATE, &["a", "b", "c"], 1);
    lab.begin();
    assert_eq!(lab.end("a", OK), ["switch a"]);
    assert_eq!(lab.end("b", OK), [""; 0]);
    assert_eq!(lab.end("c", OK), [""; 0]);
    assert_eq!(lab.end("a", State::Failed), ["switch b"]);
    assert_eq!(lab.end("b", OK), ["test b", "switch c"]);
}

#[test]
fn every_end_but_success_leaves_the_host_out_of_the_next_step() {
    for state in State::ALL.into_iter().filter(|state| state.is_terminal() && *state != OK) {
        let mut lab = Lab::new(&UPDATE, &["a"], 3);
        lab.begin();
        assert_eq!(lab.end("a", state), [""; 0], "{state:?}");
        assert_eq!(lab.rollout.told(), "1 failed", "{state:?}");
    }
}

#[test]
fn a_host_that_cannot_start_is_asked_again_when_it_is_ready_and_given_up_after_a_while() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    assert_eq!(lab.refuse("a", RefusalCode::HostOffline), [""; 0]);
    assert_eq!(lab.begin(), [""; 0], "it is not asked before it is ready");
    assert_eq!(lab.asked(Event::Tick { ready: [id("a")].into() }), ["pull a"]);
    lab.now = lab.now + PATIENCE;
    assert_eq!(lab.refuse("a", RefusalCode::HostOffline), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 failed", "the wait counts from its beginning");
}

#[test]
fn a_host_that_is_busy_is_waited_for_as_long_as_it_takes() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    lab.refuse("a", RefusalCode::HostBusy);
    lab.now = lab.now + PATIENCE * 20;
    lab.begin();
    assert_eq!(lab.rollout.told(), "1 waiting");
}

#[test]
fn a_host_without_tests_is_done_after_its_switch_and_says_so() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    lab.end("a", OK);
    lab.end("a", OK);
    lab.refuse("a", RefusalCode::NoTests);
    let done = Progress::Done { note: Some("a: no_tests".to_owned()) };
    assert_eq!(lab.rollout.hosts[&id("a")], done);
    let mut lab = Lab::new(&[Operation::Test], &["a"], 3);
    lab.begin();
    lab.refuse("a", RefusalCode::NoTests);
    assert_eq!(lab.rollout.told(), "1 failed", "nothing was done at all");
}

#[test]
fn cancelling_lets_running_steps_end_and_starts_no_more() {
    let mut lab = Lab::new(&UPDATE, &["a", "b"], 1);
    lab.begin();
    lab.end("a", OK);
    lab.end("b", OK);
    assert_eq!(lab.asked(Event::Cancel(Author::Admin)), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 running, 1 not attempted");
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.rollout.told(), "2 not attempted");
    assert!(lab.rollout.is_over());
}

#[test]
fn after_so_many_failures_no_further_step_starts() {
    let mut lab = Lab::new(&UPDATE, &["a", "b", "c"], 1);
    lab.rollout.stop_after = Some(1);
    lab.begin();
    for host in ["a", "b", "c"] {
        lab.end(host, OK);
    }
    assert_eq!(lab.end("a", State::Failed), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 failed, 2 not attempted");
    assert_eq!(lab.rollout.halted.as_deref(), Some("1 failed"));
}

#[test]
fn another_command_that_does_the_same_counts_as_the_step() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    let (asked, command) = (lab.command_of("a"), CommandId(Uuid::from_u128(7)));
    lab.apply(Event::Accepted { host: id("a"), asked, command });
    assert_eq!(lab.command_of("a"), command);
    assert_eq!(lab.end("a", OK), ["switch a"]);
}

#[test]
fn a_host_that_was_removed_keeps_nobody_waiting() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    lab.apply(Event::Removed(id("a")));
    assert!(lab.rollout.is_over());
    assert_eq!(lab.rollout.told(), "1 failed");
}

/// What happens to one of five hosts, or to all.
#[derive(Debug, Clone)]
enum Step {
    Take(usize),
    Join(usize),
    Refuse(usize, RefusalCode),
    End(usize, State),
    Stale(usize),
    Ready,
    Wait(u64),
    Cancel,
    Remove(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let host = 0..5_usize;
    let code = prop::sample::select(vec![
        RefusalCode::HostBusy,
        RefusalCode::HostOffline,
        RefusalCode::RemoteUnavailable,
        RefusalCode::NoTests,
        RefusalCode::NotSupported,
    ]);
    let over: Vec<State> = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
    let step = prop_oneof![
        4 => host.clone().prop_map(Step::Take),
        1 => host.clone().prop_map(Step::Join),
        2 => (host.clone(), code).prop_map(|(h, c)| Step::Refuse(h, c)),
        8 => host.clone().prop_map(|h| Step::End(h, OK)),
        2 => (host.clone(), prop::sample::select(over)).prop_map(|(h, s)| Step::End(h, s)),
        1 => host.clone().prop_map(Step::Stale),
        3 => Just(Step::Ready),
        1 => (0..900_u64).prop_map(Step::Wait),
        1 => Just(Step::Cancel),
        1 => host.prop_map(Step::Remove),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Lab {
    fn happen(&mut self, step: Step) {
        let running = |lab: &Self, host: usize| match &lab.rollout.hosts[&id(NAMES[host])] {
            Progress::Running { command, .. } => Some(*command),
            _ => None,
        };
        let name = |host: usize| id(NAMES[host]);
        match step {
            Step::Take(h) => {
                if let Some(asked) = running(self, h) {
                    self.apply(Event::Accepted { host: name(h), asked, command: asked });
                }
            }
            Step::Join(h) => {
                if let Some(asked) = running(self, h) {
                    let command = CommandId(Uuid::from_u128(asked.0.as_u128() + (1 << 64)));
                    self.apply(Event::Accepted { host: name(h), asked, command });
                }
            }
            Step::Refuse(h, code) => {
                if running(self, h).is_some() {
                    self.refuse(NAMES[h], code);
                }
            }
            Step::End(h, state) => {
                if running(self, h).is_some() {
                    self.end(NAMES[h], state);
                }
            }
            Step::Stale(h) => {
                let command = CommandId(Uuid::from_u128(3));
                let before = self.rollout.clone();
                self.apply(Event::Ended { host: name(h), command, state: OK, reason: None });
                assert_eq!(self.rollout, before, "a command of somebody else changes nothing");
            }
            Step::Ready => {
                let ready = self.rollout.kept().map(|(host, _)| host.clone()).collect();
                self.apply(Event::Tick { ready });
            }
            Step::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(seconds);
                self.begin();
            }
            Step::Cancel => {
                self.apply(Event::Cancel(Author::Admin));
            }
            Step::Remove(h) => {
                self.apply(Event::Removed(name(h)));
            }
            Step::Restart => {
                let stored = serde_json::to_string(&self.rollout).unwrap();
                self.rollout = serde_json::from_str(&stored).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_limit_holds_what_is_over_stays_over_and_everything_ends(
        steps in steps(), at_once in 1..4_u32,
    ) {
        let mut lab = Lab::new(&UPDATE, &NAMES, at_once);
        lab.begin();
        for step in steps {
            let before = lab.rollout.clone();
            lab.happen(step);
            let switching = lab.rollout.running().filter(|(_, step, _)| *step == 1).count();
            prop_assert!(switching <= at_once as usize);
            for (host, progress) in &before.hosts {
                if progress.is_over() {
                    prop_assert_eq!(&lab.rollout.hosts[host], progress);
                }
            }
            let nobody_runs = lab.rollout.running().next().is_none();
            let free = lab.rollout.hosts.values().any(
                |p| matches!(p, Progress::Waiting { why: None, .. }));
            prop_assert!(!(nobody_runs && free), "somebody waits for nothing");
        }
        // Every command ends and every host is ready one day: then so does the rollout.
        for _ in 0..40 {
            lab.happen(Step::Ready);
            for host in 0..NAMES.len() {
                lab.happen(Step::End(host, OK));
            }
        }
        prop_assert!(lab.rollout.is_over(), "{:?}", lab.rollout);
    }
}
