//! Whatever happens, in whatever order: a host is never busy without a live reason.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

/// Which command a message is about, resolved when it happens.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Current,
    Last,
    Queued,
    Foreign,
    ByName(Operation),
    Nameless,
}

#[derive(Debug, Clone)]
enum Step {
    Connect {
        protocol: u32,
        running: Option<Whose>,
        finished: Option<Whose>,
        facts: u32,
    },
    Disconnect,
    Heartbeat {
        works: Option<Whose>,
        facts: u32,
    },
    /// It names something that is no operation here, or something that passes.
    Names(&'static str),
    /// It refuses what was sent for that.
    RejectedFor(&'static str),
    /// What a 3.x agent says after a stop: twice, and then an echo.
    StopsTwice(Operation),
    /// Somebody looks.
    ReportWanted,
    /// A line without an id.
    Line(bool),
    Accepted(Whose),
    Rejected {
        whose: Whose,
        instead: Option<Whose>,
    },
    Ended {
        whose: Whose,
        kind: OutcomeKind,
        code: i32,
        facts: u32,
    },
    Progress(Whose),
    TestEnded {
        whose: Whose,
        index: u32,
        pass: bool,
    },
    Ask {
        op: Operation,
        queue: bool,
    },
    Stop(Whose),
    Extend(Whose),
    Remote(u32),
    RemoteFails,
    Wait(u64),
    ClockJumps(i64),
    /// The dashboard is killed and started again.
    Restart,
    /// The last event comes once more.
    Again,
}

fn op() -> impl Strategy<Value = Operation> {
    prop::sample::select(Operation::ALL.to_vec())
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![
        6 => Just(Whose::Current),
        2 => Just(Whose::Last),
        1 => Just(Whose::Queued),
        1 => Just(Whose::Foreign),
        2 => op().prop_map(Whose::ByName),
        1 => Just(Whose::Nameless),
    ]
}

fn chore() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["force-update", "update", "refresh-all", "stop", "", "\u{7}"])
}

fn kind() -> impl Strategy<Value = OutcomeKind> {
    prop::sample::select(vec![
        OutcomeKind::Exited,
        OutcomeKind::Failed,
        OutcomeKind::Stopped,
        OutcomeKind::TimedOut,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let code = prop_oneof![4 => Just(0), 2 => 1..3_i32, 1 => any::<i32>()];
    prop_oneof![
        3 => (
            prop::sample::select(vec![3, 4, 4, 9]),
            prop::option::of(whose()),
            prop::option::of(whose()),
            0..64_u32,
        )
            .prop_map(|(protocol, running, finished, facts)| Step::Connect {
                protocol, running, finished, facts
            }),
        2 => Just(Step::Disconnect),
        6 => (prop::option::of(whose()), 0..64_u32)
            .prop_map(|(works, facts)| Step::Heartbeat { works, facts }),
        1 => chore().prop_map(Step::Names),
        1 => chore().prop_map(Step::RejectedFor),
        1 => op().prop_map(Step::StopsTwice),
        1 => Just(Step::ReportWanted),
        1 => any::<bool>().prop_map(Step::Line),
        2 => whose().prop_map(Step::Accepted),
        1 => (whose(), prop::option::of(whose()))
            .prop_map(|(whose, instead)| Step::Rejected { whose, instead }),
        4 => (whose(), kind(), code, 0..64_u32)
            .prop_map(|(whose, kind, code, facts)| Step::Ended { whose, kind, code, facts }),
        1 => whose().prop_map(Step::Progress),
        1 => (whose(), 0..4_u32, any::<bool>())
            .prop_map(|(whose, index, pass)| Step::TestEnded { whose, index, pass }),
        6 => (op(), any::<bool>()).prop_map(|(op, queue)| Step::Ask { op, queue }),
        2 => whose().prop_map(Step::Stop),
        1 => whose().prop_map(Step::Extend),
        2 => (1..4_u32).prop_map(Step::Remote),
        1 => Just(Step::RemoteFails),
        3 => prop_oneof![1..40_u64, 40..700_u64, 3000..90_000_u64].prop_map(Step::Wait),
        1 => prop::sample::select(vec![86_400_000, -86_400_000, 5_000]).prop_map(Step::ClockJumps),
        1 => Just(Step::Restart),
        2 => Just(Step::Again),
    ]
}

/// Some of the facts a message may carry, chosen by the bits of `bits`.
fn report(bits: u32) -> Report {
    let n = bits >> 4 & 3;
    Report {
        checkout: (bits & 1 != 0).then(|| commit(1 + n)),
        lock: (bits & 2 != 0).then(|| lock(1 + n)),
        system: (bits & 4 != 0).then(|| system(u64::from(1 + n), 1 + n)),
        tests: (bits & 8 != 0).then_some(TestSetup {
            enabled: n != 3,
            auto_run: n == 1,
            count: Some(4),
        }),
        ..Report::default()
    }
}

/// Plays steps and checks after each what must always hold.
struct Player {
    lab: Lab,
    /// What SQLite holds.
    stored: HashMap<CommandId, Command>,
    previous: Option<HostEvent>,
}

impl Player {
    fn new() -> Self {
        Self { lab: Lab::new(), stored: HashMap::new(), previous: None }
    }

    fn find(&self, whose: Whose) -> Option<CommandId> {
        let state = &self.lab.state;
        match whose {
            Whose::Current => state.command().map(|c| c.id),
            Whose::Last => state.commands.last().map(|c| c.id),
            Whose::Queued => state.live().find(|c| c.state == State::Queued).map(|c| c.id),
            Whose::Foreign => Some(CommandId(Uuid::from_u128(1 << 100))),
            Whose::ByName(_) | Whose::Nameless => None,
        }
    }

    fn about(&self, whose: Whose) -> About {
        match whose {
            Whose::ByName(op) => About::Name(op.name().to_owned()),
            _ => self.find(whose).map_or(About::Name(String::new()), About::Id),
        }
    }

    fn work(&self, whose: Whose) -> Work {
        let id = self.find(whose);
        let known = id.and_then(|id| self.stored.get(&id)).map(|c| c.op);
        let name = match whose {
            Whose::ByName(op) => op.name(),
            _ => known.map_or("pull", Operation::name),
        };
        Work { id, name: name.to_owned() }
    }

    fn event(&self, step: &Step) -> Option<HostEvent> {
        let id_of = |whose: Whose| self.find(whose);
        Some(match step.clone() {
            Step::Connect { protocol, running, finished, facts } => {
                let mut registration = self.lab.registration(DASHBOARD_VERSION);
                registration.protocol = (protocol != 3).then_some(protocol);
                registration.report = report(facts);
                let jobs = [(running, true), (finished, false)].into_iter();
                let jobs = jobs.filter_map(|(whose, running)| {
                    let id = id_of(whose?)?;
                    Some(Job { id, op: self.stored.get(&id).map(|c| c.op), running })
                });
                registration.jobs = (protocol != 3).then(|| jobs.collect());
                let known = registration.jobs.iter().flatten();
                let known = known.filter_map(|job| self.stored.get(&job.id)).cloned().collect();
                HostEvent::Connected { registration: Box::new(registration), known }
            }
            Step::Disconnect => HostEvent::Disconnected,
            Step::Heartbeat { works, facts } => HostEvent::Heartbeat {
                report: Box::new(report(facts)),
                work: works.map(|whose| self.work(whose)),
            },
            Step::Names(name) => HostEvent::Heartbeat {
                report: Box::default(),
                work: Some(Work { id: None, name: name.to_owned() }),
            },
            Step::RejectedFor(name) => HostEvent::Rejected {
                about: About::Name(String::new()),
                reason: "busy".to_owned(),
                work: Some(Work { id: None, name: name.to_owned() }),
            },
            Step::StopsTwice(op) => HostEvent::Ended {
                about: About::Name(op.name().to_owned()),
                outcome: Outcome { kind: OutcomeKind::Stopped, exit_code: 130, message: None },
                report: Box::default(),
            },
            Step::ReportWanted => HostEvent::ReportWanted,
            Step::Line(error) => HostEvent::Output {
                id: None,
                first_seq: None,
                count: 1,
                last_error: error.then(|| "no".to_owned()),
            },
            Step::Accepted(whose) => HostEvent::Accepted(id_of(whose)?),
            Step::Rejected { whose, instead } => HostEvent::Rejected {
                about: self.about(whose),
                reason: "no".to_owned(),
                work: instead.map(|whose| self.work(whose)),
            },
            Step::Ended { whose, kind, code, facts } => HostEvent::Ended {
                about: self.about(whose),
                outcome: Outcome { kind, exit_code: code, message: None },
                report: Box::new(report(facts)),
            },
            Step::Progress(whose) => {
                HostEvent::Progress { about: self.about(whose), text: "Test 1 of 4".to_owned() }
            }
            Step::TestEnded { whose, index, pass } => HostEvent::TestEnded {
                about: self.about(whose),
                result: TestResult {
                    index,
                    total: 4,
                    name: "a test".to_owned(),
                    outcome: if pass { TestCaseOutcome::Passed } else { TestCaseOutcome::Failed },
                    duration_ms: 1,
                    output: String::new(),
                    subtests: None,
                },
            },
            Step::Ask { op, queue } => {
                let args = Args { confirmed: Some(true), ..Args::default() };
                HostEvent::Requested { id: None, op, args, queue, by: Author::Admin }
            }
            Step::Stop(whose) => HostEvent::StopRequested { id: id_of(whose)?, by: Author::Admin },
            Step::Extend(whose) => {
                HostEvent::ExtendRequested { id: id_of(whose)?, by: Author::Admin }
            }
            Step::Again => {
                let mut event = self.previous.clone()?;
                if let HostEvent::Connected { known, .. } = &mut event {
                    for command in known {
                        command.clone_from(self.stored.get(&command.id)?);
                    }
                }
                event
            }
            Step::ClockJumps(millis) => HostEvent::ClockJumped(millis),
            Step::Wait(_) => HostEvent::Tick,
            Step::Remote(_) | Step::RemoteFails | Step::Restart => return None,
        })
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Remote(n) => self.lab.remote(*n, *n),
            Step::RemoteFails => self.lab.remote_fails(),
            Step::Restart => self.restart(),
            Step::Wait(seconds) => self.lab.now = self.lab.now + Duration::from_secs(*seconds),
            Step::ClockJumps(millis) => self.lab.now = self.lab.now.shifted(*millis),
            _ => {}
        }
        self.store();
        let before = self.lab.clone();
        self.lab.effects.clear();
        if let Some(event) = self.event(step) {
            self.bring_back(&event);
            // A clock jumps once; what an agent says may come twice.
            if !matches!(event, HostEvent::ClockJumped(_)) {
                self.previous = Some(event.clone());
            }
            self.lab.apply(event);
        }
        self.store();
        self.check(step, &before);
        if let Step::StopsTwice(op) = step {
            let whose = Whose::ByName(*op);
            let kind = OutcomeKind::Failed;
            self.play(&Step::Ended { whose, kind, code: -1, facts: 0 });
            self.play(&Step::Heartbeat { works: Some(whose), facts: 0 });
        }
    }

    /// What an actor reads from SQLite before it hands on a message that names a command.
    fn bring_back(&mut self, event: &HostEvent) {
        let about = |about: &About| match about {
            About::Id(id) => Some(*id),
            About::Name(_) => None,
        };
        let id = match event {
            HostEvent::Heartbeat { work: Some(work), .. }
            | HostEvent::Rejected { work: Some(work), .. } => work.id,
            HostEvent::Rejected { about: a, .. }
            | HostEvent::Ended { about: a, .. }
            | HostEvent::Progress { about: a, .. }
            | HostEvent::TestEnded { about: a, .. } => about(a),
            HostEvent::Accepted(id) => Some(*id),
            _ => None,
        };
        if let Some(command) = id.and_then(|id| self.stored.get(&id)).cloned() {
            self.lab.apply(HostEvent::Remembered(Box::new(command)));
            self.store();
        }
    }

    fn store(&mut self) {
        for effect in std::mem::take(&mut self.lab.effects) {
            if let HostEffect::SaveCommand { command, .. } = effect {
                let id = command.id;
                let state = command.state;
                let old = self.stored.insert(id, *command);
                if let Some(old) = old.filter(|old| old.state.is_terminal()) {
                    let may = old.state == state || old.state == State::Lost;
                    assert!(may, "{:?} became {state:?}", old.state);
                }
            }
        }
    }

    fn restart(&mut self) {
        let state = &self.lab.state;
        let stored: Vec<&Command> = self.stored.values().collect();
        let mut live: Vec<Command> =
            stored.iter().filter(|c| !c.state.is_terminal()).map(|c| (*c).clone()).collect();
        live.sort_by_key(|c| c.id);
        let latest = stored.iter().max_by_key(|c| c.id);
        let restored = Restored {
            id: state.id.clone(),
            profile: state.profile.clone(),
            facts: state.facts.clone(),
            last_seen: state.last_seen,
            live,
            last: latest.filter(|c| c.state.is_terminal()).map(|c| (*c).clone()),
            results: Vec::new(),
        };
        self.lab.effects.clear();
        let desired = Arc::clone(&state.desired);
        self.lab.state = HostState::restore(restored, desired, self.lab.now);
        self.lab.apply(HostEvent::Tick);
        self.store();
    }

    fn check(&self, step: &Step, before: &Lab) {
        let state = &self.lab.state;
        state.commands.check();
        let busy: Vec<&Command> =
            state.live().filter(|c| c.op.rules().exclusive && c.state.is_active()).collect();
        assert!(busy.len() <= 1, "two exclusive commands: {busy:#?}");
        for command in state.live() {
            assert!(!command.state.is_terminal(), "live and over: {command:#?}");
            let users_turn = command.state == State::Overdue && state.online;
            assert!(users_turn || command.due().is_some(), "no deadline: {command:#?}");
            assert_eq!(
                self.stored.get(&command.id).map(|c| c.state),
                Some(command.state),
                "what is live is stored"
            );
        }
        if matches!(step, Step::Disconnect) {
            let statuses = |lab: &Lab| {
                Compartment::ALL.map(|compartment| lab.state.snapshot().row[compartment].status)
            };
            assert_eq!(statuses(before), statuses(&self.lab), "offline changes no status");
        }
        self.row_is_true();
    }

    /// What no row may ever say, whatever led there.
    fn row_is_true(&self) {
        let state = &self.lab.state;
        let row = state.snapshot().row;
        let facts = &state.facts;
        let remote = state.desired.known();
        let current = remote.is_some_and(|remote| {
            facts.checkout.as_ref() == Some(&remote.commit)
                && remote.lock.is_some()
                && facts.lock == remote.lock
        });
        for (compartment, verdict) in row.iter() {
            if compartment == Compartment::Agent || verdict.status != Status::Ok {
                continue;
            }
            let compared = matches!(compartment, Compartment::Git | Compartment::Lock);
            let own = remote.is_some() && compared;
            assert!(current || own, "green without proof: {row:#?}");
        }
        if row[Compartment::Git].status == Status::Ok {
            assert_eq!(facts.checkout.as_ref(), remote.map(|r| &r.commit));
        }
        if row[Compartment::Lock].status == Status::Ok {
            let told = remote.and_then(|remote| remote.lock.as_ref());
            assert!(told.is_some() && facts.lock.as_ref() == told, "{told:?} {:?}", facts.lock);
        }
        if matches!(*state.desired, Desired::Unavailable { .. }) && facts.checkout.is_some() {
            assert_ne!(row[Compartment::Git].status, Status::Unknown, "gray for a failed fetch");
            assert_ne!(row[Compartment::System].status, Status::Unknown, "gray for a failed fetch");
        }
        assert_eq!(row, state.snapshot().row, "the same facts give the same row");
    }

    /// Nothing happens any more but time.
    fn time_passes(&mut self) {
        for _ in 0..1000 {
            let Some(due) = self.lab.state.next_due() else {
                return;
            };
            self.lab.now = self.lab.now.max(due);
            self.lab.apply(HostEvent::Tick);
            self.store();
        }
        panic!("ticks without end: {:#?}", self.lab.state.live().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

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
        player.play(&Step::Connect { protocol: 4, running: None, finished: None, facts: 0 });
        for _ in 0..200 {
            player.play(&idle);
            player.play(&Step::Wait(60));
        }
        let left: Vec<_> = player.lab.state.live().collect();
        prop_assert!(left.is_empty(), "never ends: {left:#?}");
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
                Step::Rejected { whose, instead } => named(whose) && instead.as_ref().is_none_or(named),
                _ => false,
            };
            player.play(step);
            if repeatable {
                let once = player.lab.clone();
                player.play(&Step::Again);
                prop_assert_eq!(&once.state.facts, &player.lab.state.facts);
                let ids = |lab: &Lab| lab.state.live().map(|c| (c.id, c.state)).collect::<Vec<_>>();
                prop_assert_eq!(ids(&once), ids(&player.lab));
            }
        }
    }
}
