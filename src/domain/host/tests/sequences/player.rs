//! Plays a sequence, keeps what SQLite would hold, and checks after each step what must always hold.

use super::oracle::Oracle;
use super::steps::{Step, Whose, report};
use super::*;
use crate::domain::command::Baseline;
use std::time::Duration;

/// What of a command decides what its end means: a dashboard that starts now must know it.
fn decides(command: &Command) -> impl PartialEq + std::fmt::Debug {
    let Command { state, reached, phase, built, exit_code, stop_by, out_of_time, .. } =
        command.clone();
    let Baseline { order, deployment, protocol, .. } = command.baseline;
    ((state, reached, phase, built, exit_code, stop_by, out_of_time), (order, deployment, protocol))
}

/// Plays steps and checks after each what must always hold.
pub(super) struct Player {
    pub(super) lab: Lab,
    /// What SQLite holds.
    stored: HashMap<CommandId, Command>,
    previous: Option<HostEvent>,
    /// What may be green.
    oracle: Oracle,
    /// What happens next cannot be stored.
    fails: bool,
}

impl Player {
    pub(super) fn new() -> Self {
        Self {
            lab: Lab::new(),
            stored: HashMap::new(),
            previous: None,
            oracle: Oracle::default(),
            fails: false,
        }
    }

    /// A host that was switched and tested; its revision is told, or not.
    pub(super) fn green(mute: bool) -> Self {
        let mut player = Self::new();
        let whose = Whose::Current;
        // Commit, lock, system and tests of number 1.
        let facts = if mute { 15 + 64 } else { 15 };
        player.play(&Step::Remote(1));
        player.play(&Step::Connect {
            protocol: 4,
            machine: None,
            running: None,
            finished: None,
            facts,
        });
        for op in [Operation::Switch, Operation::Test] {
            player.play(&Step::Ask { op, queue: false });
            player.play(&Step::Accepted(whose));
            if op == Operation::Test {
                for index in 1..=4 {
                    player.play(&Step::TestEnded { whose, index, pass: true });
                }
            }
            player.play(&Step::Ended { whose, kind: OutcomeKind::Exited, code: 0, facts });
        }
        assert_eq!(player.lab.row(), "ok ok ok ok ok");
        player
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

    pub(super) fn about(&self, whose: Whose) -> About {
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
            Step::Connect { protocol, machine, running, finished, facts } => {
                let mut registration = self.lab.registration(DASHBOARD_VERSION);
                registration.process.boot_id = machine.map(str::to_owned);
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
                outcome: Outcome {
                    kind: OutcomeKind::Stopped,
                    exit_code: 130,
                    message: None,
                    blocked_by: Vec::new(),
                },
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
                outcome: Outcome { kind, exit_code: code, message: None, blocked_by: Vec::new() },
                report: Box::new(report(facts)),
            },
            Step::Progress(whose) => {
                HostEvent::Progress { about: self.about(whose), text: "Test 1 of 4".to_owned() }
            }
            Step::Phase(whose, phase) => HostEvent::Phase { id: id_of(whose)?, phase },
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
            Step::Hold(true) => {
                HostEvent::Held { reason: "holidays".to_owned(), by: Author::Admin }
            }
            Step::Hold(false) => HostEvent::Released { by: Author::Admin },
            Step::Stop(whose) => HostEvent::StopRequested { id: id_of(whose)?, by: Author::Admin },
            Step::Extend(whose) => {
                HostEvent::ExtendRequested { id: id_of(whose)?, by: Author::Admin }
            }
            Step::Again => {
                let mut event = self.previous.clone()?;
                if let HostEvent::Connected { registration, known } = &mut event {
                    // SQLite is asked anew.
                    let jobs = registration.jobs.iter().flatten();
                    *known = jobs.filter_map(|job| self.stored.get(&job.id)).cloned().collect();
                }
                event
            }
            Step::Wait(_) => HostEvent::Tick,
            Step::Remote(_)
            | Step::RemoteFails
            | Step::Restart
            | Step::Removed
            | Step::StoreFails
            | Step::ClockJumps(_) => return None,
        })
    }

    pub(super) fn play(&mut self, step: &Step) {
        match step {
            Step::Remote(_) | Step::RemoteFails => {
                let before = self.lab.state.clone();
                match step {
                    Step::Remote(n) => self.lab.remote(*n, *n),
                    _ => self.lab.remote_fails(),
                }
                self.oracle.saw(None, &before, &self.lab.state, &self.lab.effects);
            }
            Step::Restart => self.restart(),
            Step::Removed => self.remove(),
            Step::StoreFails => self.fails = true,
            Step::Wait(seconds) => self.lab.now = self.lab.now + Duration::from_secs(*seconds),
            Step::ClockJumps(millis) => self.lab.set += millis,
            _ => {}
        }
        self.store();
        let before = self.lab.clone();
        self.lab.effects.clear();
        if let Some(event) = self.event(step) {
            if std::mem::take(&mut self.fails) {
                self.previous = None;
                self.cannot_be_stored(event);
            } else {
                self.bring_back(&event);
                self.previous = Some(event.clone());
                self.happens(event);
            }
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
            HostEvent::Accepted(id) | HostEvent::Phase { id, .. } => Some(*id),
            _ => None,
        };
        if let Some(command) = id.and_then(|id| self.stored.get(&id)).cloned() {
            self.happens(HostEvent::Remembered(Box::new(command)));
            self.store();
        }
    }

    fn happens(&mut self, event: HostEvent) {
        let before = self.lab.state.clone();
        self.lab.apply(event.clone());
        self.oracle.saw(Some(&event), &before, &self.lab.state, &self.lab.effects);
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

    /// An event that could not be stored has not happened. Who can say it again loses its link;
    /// time, and what a 3.x agent said, only come later.
    fn cannot_be_stored(&mut self, event: HostEvent) {
        let mut copy = self.lab.clone();
        copy.apply(event.clone());
        let says_it_again = self.lab.state.protocol().resumes_jobs();
        if event.is_said_by_agent() && says_it_again {
            self.happens(HostEvent::LinkIs { up: false });
            self.happens(HostEvent::Disconnected);
        } else if !event.is_asked_by_user() {
            self.bring_back(&event);
            self.previous = Some(event.clone());
            self.happens(event);
        }
    }

    /// Its actor refuses while something runs; then nothing of it is left, but its agent, which
    /// knows nothing of that.
    fn remove(&mut self) {
        let state = &self.lab.state;
        if state.command().is_some() {
            return;
        }
        let profile = HostProfile { hostname: "web".into(), ..HostProfile::default() };
        let desired = Arc::clone(&state.desired);
        self.lab.state = HostState::added(state.id.clone(), profile, desired);
        self.stored.clear();
        self.oracle = Oracle::default();
        self.previous = None;
    }

    fn restart(&mut self) {
        let state = &self.lab.state;
        let stored: Vec<&Command> = self.stored.values().collect();
        let mut live: Vec<Command> =
            stored.iter().filter(|c| !c.state.is_terminal()).map(|c| (*c).clone()).collect();
        live.sort_by_key(|c| (c.asked, c.id));
        let latest = stored.iter().max_by_key(|c| (c.asked, c.id));
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
        self.lab.state = HostState::restore(restored, desired, self.lab.moment().up);
        self.oracle.restarted();
        self.happens(HostEvent::Tick);
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
            assert!(command.leaves_by().is_some(), "no deadline: {command:#?}");
            let stored = self.stored.get(&command.id).expect("what is live is stored");
            assert_eq!(decides(stored), decides(command), "what decides its end is stored");
        }
        if matches!(step, Step::Disconnect) {
            let statuses = |lab: &Lab| {
                Compartment::ALL.map(|compartment| lab.state.snapshot().row[compartment].status)
            };
            assert_eq!(statuses(before), statuses(&self.lab), "offline changes no status");
        }
        self.row_is_true();
        self.oracle.judges(state);
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

    /// All that is said of commands, and the colours of the row: nothing of it hangs on the time
    /// of day.
    pub(super) fn told(&self) -> Vec<String> {
        let state = &self.lab.state;
        let last = state.commands.last().into_iter();
        let commands = last.chain(state.live()).map(|command| {
            let Command { id, op, state, timer, at_most, gone_since, reason, .. } = command;
            format!("{id} {op} {state:?} {timer:?} {at_most:?} {gone_since:?} {reason:?}")
        });
        commands.chain([self.lab.row(), format!("{:?}", state.next_due())]).collect()
    }

    /// Nothing happens any more but time.
    pub(super) fn time_passes(&mut self) {
        for _ in 0..1000 {
            let Some(due) = self.lab.state.next_due() else {
                return;
            };
            let due = Timestamp::from_millis(i64::try_from(due.as_millis()).unwrap());
            self.lab.now = self.lab.now.max(due);
            self.lab.apply(HostEvent::Tick);
            self.store();
        }
        panic!("ticks without end: {:#?}", self.lab.state.live().collect::<Vec<_>>());
    }
}
