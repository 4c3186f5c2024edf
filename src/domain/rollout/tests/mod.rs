//! What a rollout does, by tables and by generated sequences.

mod boots;
mod held_back;
mod sequences;
mod take_back;
mod waves;

use super::*;

#[derive(Clone)]
struct Lab {
    rollout: Rollout,
    now: Moment,
    next: u128,
}

fn id(text: &str) -> HostId {
    HostId::parse(text).unwrap()
}

impl Lab {
    fn new(steps: &[Operation], hosts: &[&str], at_once: u32) -> Self {
        let waiting = Progress::next(0);
        let rollout = Rollout {
            id: RolloutId(Uuid::from_u128(1)),
            steps: steps.to_vec(),
            at_once,
            one_first: false,
            waves: Vec::new(),
            soak: 0,
            wave: 0,
            began: BTreeMap::new(),
            soaks: None,
            paused: None,
            regardless: Regardless::new(),
            of_freeze: None,
            held_back: BTreeMap::new(),
            held_since: BTreeMap::new(),
            stop_after: None,
            requested_by: Author::Admin,
            created_at: Timestamp::from_secs(0),
            halted: None,
            finished_at: None,
            dismissed: false,
            hosts: hosts.iter().map(|name| (id(name), waiting.clone())).collect(),
            boots: BTreeSet::new(),
            way_back: WayBack::default(),
        };
        Self { rollout, now: Moment::default(), next: 100 }
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
            Effect::TakeBack { host, .. } => Some(format!("back {host}")),
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
        self.ends(host, command, state, false)
    }

    fn ends(&mut self, host: &str, command: CommandId, state: State, boots: bool) -> Vec<String> {
        self.asked(Event::Ended { host: id(host), command, state, reason: None, boots })
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
    lab.now.up = lab.now.up + AWAY;
    assert_eq!(lab.refuse("a", RefusalCode::HostOffline), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 left out", "the wait counts from its beginning");
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    lab.refuse("a", RefusalCode::RemoteUnavailable);
    lab.now.up = lab.now.up + PATIENCE;
    lab.begin();
    assert_eq!(lab.rollout.told(), "1 failed", "what is no host's absence is given up soon");
}

#[test]
fn a_host_that_is_busy_is_waited_for_as_long_as_it_takes() {
    let mut lab = Lab::new(&UPDATE, &["a"], 3);
    lab.begin();
    lab.refuse("a", RefusalCode::HostBusy);
    lab.now.up = lab.now.up + PATIENCE * 20;
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
fn one_host_goes_through_all_steps_before_the_others_begin() {
    let mut lab = Lab::new(&UPDATE, &["a", "b", "c"], 3);
    lab.rollout.one_first = true;
    assert_eq!(lab.begin(), ["pull a"]);
    assert_eq!(lab.end("a", OK), ["switch a"]);
    assert_eq!(lab.end("a", OK), ["test a"]);
    assert_eq!(lab.end("a", OK), ["pull b", "pull c"]);
    lab.end("b", State::Failed);
    assert_eq!(lab.end("c", OK), ["switch c"]);
}

#[test]
fn if_the_first_host_fails_no_other_begins() {
    let mut lab = Lab::new(&UPDATE, &["a", "b", "c"], 3);
    lab.rollout.one_first = true;
    lab.begin();
    assert_eq!(lab.end("a", State::Failed), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 failed, 2 not attempted");
    assert_eq!(lab.rollout.halted.as_deref(), Some("the first host failed"));
}

#[test]
fn a_host_that_is_busy_lets_another_one_be_the_first() {
    let mut lab = Lab::new(&UPDATE, &["a", "b", "c"], 3);
    lab.rollout.one_first = true;
    assert_eq!(lab.begin(), ["pull a"]);
    assert_eq!(lab.refuse("a", RefusalCode::HostBusy), ["pull b"]);
    // It waits for its turn like the rest now.
    assert_eq!(lab.asked(Event::Tick { ready: BTreeSet::from([id("a")]) }), [""; 0]);
}

#[test]
fn who_has_waited_too_long_counts_as_failed_before_anybody_else_starts() {
    let mut lab = Lab::new(&UPDATE, &["a", "b"], 1);
    lab.rollout.stop_after = Some(1);
    lab.begin();
    lab.end("a", OK);
    lab.refuse("b", RefusalCode::RemoteUnavailable);
    lab.now.up = lab.now.up + PATIENCE;
    let ready = BTreeSet::from([id("b")]);
    assert_eq!(lab.asked(Event::Tick { ready }), [""; 0]);
    assert_eq!(lab.end("a", OK), [""; 0]);
    assert_eq!(lab.rollout.told(), "1 failed, 1 not attempted");
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
