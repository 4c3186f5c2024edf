//! A model of the installed 3.x agents, and whatever may happen to it and its link: what the
//! dashboard says of a command is what became of it.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

/// What may happen. Everything that the agent says waits until it is delivered.
#[derive(Debug, Clone)]
enum Step {
    Ask(Operation),
    Stop,
    Refresh,
    /// The agent reads the next message.
    Reads,
    Beats,
    /// What it works on ends.
    Ends(i32),
    /// So many of its messages arrive.
    Deliver(usize),
    /// The link breaks; what was under way is gone.
    Cut,
    /// Its process dies with the link.
    Dies,
    Connect,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop::sample::select(vec![
        Operation::Pull,
        Operation::Switch,
        Operation::Test,
        Operation::Rollback,
    ]);
    prop_oneof![
        6 => op.prop_map(Step::Ask),
        2 => Just(Step::Stop),
        1 => Just(Step::Refresh),
        6 => Just(Step::Reads),
        4 => Just(Step::Beats),
        6 => prop_oneof![2 => Just(0), 1 => Just(1)].prop_map(Step::Ends),
        8 => (1..4_usize).prop_map(Step::Deliver),
        1 => Just(Step::Cut),
        1 => Just(Step::Dies),
        3 => Just(Step::Connect),
        1 => (1..8_u64).prop_map(Step::Wait),
    ]
}

/// What the dashboard tells the agent.
#[derive(Debug, Clone, Copy)]
enum Told {
    Run(CommandId, Operation),
    Stop,
    Refresh,
}

/// What it works on.
#[derive(Debug, Clone, Copy)]
struct Job {
    /// `None`: it gathers its facts.
    command: Option<(CommandId, Operation)>,
    stopped: bool,
}

impl Job {
    fn name(&self) -> &'static str {
        self.command.map_or("refresh-all", |(_, op)| op.name())
    }
}

/// What the agent has said about the end of a command, and whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
struct End {
    code: i32,
    stopped: bool,
    arrived: bool,
}

struct World {
    lab: Lab,
    /// Whether it exits after a good switch.
    exits: bool,
    connected: bool,
    job: Option<Job>,
    inbox: VecDeque<Told>,
    outbox: VecDeque<(HostEvent, Option<CommandId>)>,
    ends: HashMap<CommandId, End>,
    /// It ends its process when all of this has arrived.
    leaves: bool,
}

impl World {
    fn new(exits: bool) -> Self {
        let mut world = Self {
            lab: Lab::new(),
            exits,
            connected: false,
            job: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            ends: HashMap::new(),
            leaves: false,
        };
        world.connect();
        world
    }

    /// An event happens; what follows for the agent goes on its way.
    fn happens(&mut self, event: HostEvent) {
        self.lab.apply(event);
        for effect in self.lab.effects.clone() {
            match effect {
                HostEffect::Run { id, op, .. } => self.inbox.push_back(Told::Run(id, op)),
                HostEffect::Stop(_) => self.inbox.push_back(Told::Stop),
                HostEffect::AskToReport => self.inbox.push_back(Told::Refresh),
                HostEffect::Announce(command) => {
                    assert_ne!(command.requested_by, Author::Agent, "a phantom: {command:#?}");
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self) {
        if self.connected {
            return;
        }
        self.connected = true;
        let mut registration = self.lab.registration("3.1.5");
        (registration.protocol, registration.jobs) = (None, None);
        registration.report.checkout = Some(commit(1));
        registration.report.lock = Some(lock(1));
        registration.profile.tests_auto_run = Some(false);
        let registration = Box::new(registration);
        self.happens(HostEvent::Connected { registration, known: Vec::new() });
        self.beat();
    }

    fn cut(&mut self) {
        if self.connected {
            self.connected = false;
            self.inbox.clear();
            self.outbox.clear();
            self.happens(HostEvent::Disconnected);
        }
    }

    fn dies(&mut self) {
        self.cut();
        self.job = None;
        self.leaves = false;
    }

    fn says(&mut self, event: HostEvent, end_of: Option<CommandId>) {
        if self.connected {
            self.outbox.push_back((event, end_of));
        }
    }

    fn beat(&mut self) {
        let work = self.job.map(|job| Work { id: None, name: job.name().to_owned() });
        self.says(HostEvent::Heartbeat { report: Box::default(), work }, None);
    }

    fn status(&mut self, name: &str, kind: OutcomeKind, exit_code: i32, of: Option<CommandId>) {
        let about = About::Name(name.to_owned());
        let outcome = Outcome { kind, exit_code, message: None, blocked_by: Vec::new() };
        self.says(HostEvent::Ended { about, outcome, report: Box::default() }, of);
    }

    fn reads(&mut self) {
        let Some(told) = self.inbox.pop_front() else {
            return;
        };
        let has_pid = |(id, op): (CommandId, Operation)| {
            // A pull in its own clone has none.
            if op == Operation::Pull { None } else { Some((id, op)) }
        };
        match (told, self.job) {
            (Told::Stop, Some(job)) if job.command.and_then(has_pid).is_some() => {
                self.job = Some(Job { stopped: true, ..job });
                if let Some((id, op)) = job.command {
                    let end = End { code: 130, stopped: true, arrived: false };
                    self.ends.entry(id).or_insert(end);
                    self.status(op.name(), OutcomeKind::Stopped, 130, Some(id));
                }
            }
            (Told::Stop, _) => self.status("stop", OutcomeKind::Failed, 1, None),
            (Told::Run(..) | Told::Refresh, Some(job)) => {
                let work = Some(Work { id: None, name: job.name().to_owned() });
                let about = About::Name(String::new());
                let reason = "command already running".to_owned();
                self.says(HostEvent::Rejected { about, reason, work }, None);
            }
            (Told::Run(id, op), None) => {
                self.job = Some(Job { command: Some((id, op)), stopped: false });
            }
            (Told::Refresh, None) => self.job = Some(Job { command: None, stopped: false }),
        }
    }

    fn ends(&mut self, code: i32) {
        let Some(job) = self.job.filter(|_| !self.leaves) else {
            return;
        };
        let code = if job.stopped { -1 } else { code };
        let kind = if code == 0 { OutcomeKind::Exited } else { OutcomeKind::Failed };
        match job.command {
            None => self.status("refresh-all", OutcomeKind::Exited, 0, None),
            Some((id, op)) => {
                self.ends.entry(id).or_insert(End { code, stopped: false, arrived: false });
                let output =
                    HostEvent::Output { id: None, first_seq: None, count: 1, last_error: None };
                self.says(output, None);
                let of = if job.stopped { None } else { Some(id) };
                self.status(op.name(), kind, code, of);
                if op != Operation::Pull {
                    self.beat();
                }
                self.leaves = self.exits && code == 0 && op == Operation::Switch;
            }
        }
        if !self.leaves {
            self.job = None;
        }
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some((event, end_of)) = self.outbox.pop_front() else {
                break;
            };
            if let Some(end) = end_of.and_then(|id| self.ends.get_mut(&id)) {
                end.arrived = true;
            }
            self.happens(event);
        }
        if self.leaves && self.outbox.is_empty() {
            self.dies();
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Ask(op) => {
                let (op, args, by) = (*op, Args::default(), Author::Admin);
                self.happens(HostEvent::Requested { id: None, op, args, queue: false, by });
            }
            Step::Stop => {
                if let Some(id) = self.lab.state.command().map(|c| c.id) {
                    self.happens(HostEvent::StopRequested { id, by: Author::Admin });
                }
            }
            Step::Refresh => self.happens(HostEvent::ReportWanted),
            Step::Reads => self.reads(),
            // It exits 500 ms after its last.
            Step::Beats if self.leaves => {}
            Step::Beats => {
                // SIGKILL comes after 3 s, a heartbeat every 5 s.
                if self.job.is_some_and(|job| job.stopped) {
                    self.ends(-1);
                }
                self.beat();
            }
            Step::Ends(code) => self.ends(*code),
            Step::Deliver(count) => self.deliver(*count),
            Step::Cut if self.leaves => self.dies(),
            Step::Cut => self.cut(),
            Step::Dies => self.dies(),
            Step::Connect => self.connect(),
            Step::Wait(seconds) => {
                // It needs no seconds to read. What is on its way for longer than a stop may
                // take cannot be told from what is sent after it: there are no ids.
                while !self.inbox.is_empty() {
                    self.reads();
                }
                self.lab.now = self.lab.now + std::time::Duration::from_secs(*seconds);
                self.happens(HostEvent::Tick);
            }
        }
        self.is_true();
    }

    /// Nothing new is asked; everything arrives, and the agent is free in the end.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.connect();
            self.reads();
            self.ends(0);
            self.beat();
            self.deliver(100);
            self.lab.now = self.lab.now + std::time::Duration::from_secs(10);
            self.happens(HostEvent::Tick);
            self.is_true();
        }
    }

    /// What the dashboard says of a command is not another's end.
    fn is_true(&self) {
        let state = &self.lab.state;
        let live = |command: &&Command| state.live().any(|live| live.id == command.id);
        let over = state.commands.last().filter(|last| !live(last));
        for command in over.into_iter().chain(state.live()) {
            let end = self.ends.get(&command.id);
            match command.state {
                State::Failed => {
                    assert!(end.is_some_and(|e| e.arrived && e.code != 0), "{end:?} {command:#?}");
                }
                State::Succeeded => {
                    let well = end.is_some_and(|end| end.arrived && end.code == 0);
                    assert!(well, "{end:?} {command:#?}");
                }
                State::Stopped => assert!(command.stop_by.is_some(), "{command:#?}"),
                State::Lost | State::Rejected => {
                    assert!(!end.is_some_and(|end| end.arrived), "{end:?} {command:#?}");
                }
                State::Queued
                | State::Sent
                | State::Running
                | State::Overdue
                | State::Stopping
                | State::Verifying
                | State::Unverified
                | State::Blocked
                | State::TimedOut
                | State::Expired
                | State::Cancelled => {}
            }
        }
        state.commands.check();
    }
}

proptest! {
    #![proptest_config(sequences(3000))]

    #[test]
    fn a_command_of_a_3x_agent_ends_as_it_ended_and_no_other_appears(
        exits in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(exits);
        for step in &steps {
            world.play(step);
        }
        world.settle();
        let left: Vec<_> = world.lab.state.live().collect();
        prop_assert!(left.is_empty(), "never ends: {left:#?}");
    }
}
