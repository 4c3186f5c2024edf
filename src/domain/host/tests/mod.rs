//! A host without a network: events go in, the row comes out.

mod away;
mod beyond;
mod boots;
mod deploys;
mod goals;
mod held;
mod life;
mod needs;
mod old_agents;
mod reconcile;
mod repeated;
mod restrained;
mod rolled_out;
mod row_words;
pub(crate) mod rows;
mod runs;
mod sequences;

use super::*;
use crate::domain::audit::Author;
use crate::domain::command::{Command, Miss, Outcome, OutcomeKind, State, WorkPhase};
use crate::domain::compartment::{Compartment, DASHBOARD_VERSION, Status};
use crate::domain::deploy::{Built, DeployOutcome, Starts};
use crate::domain::desired::{Desired, Remote};
use crate::domain::facts::{
    AgentBinary, Comparison, Feature, LockState, Process, Relation, SystemFacts,
};
use crate::domain::generation::Generation;
use crate::domain::ids::{CommandId, Commit, HostId, LockHash};
use crate::domain::looks::{DeviceType, Place};
use crate::domain::moment::{Moment, Uptime};
use crate::domain::operation::{Args, Operation, TimeLimits};
use crate::domain::profile::HostProfile;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::test_report::{TestCaseOutcome, TestResult};
use crate::domain::timestamp::Timestamp;
use proptest::test_runner::{Config as ProptestConfig, RngSeed};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use uuid::Uuid;

/// How generated sequences are run: so many of them, or `PROPTEST_CASES`; from a seed that is
/// printed, or `PROPTEST_RNG_SEED`.
fn sequences(usual: u32) -> ProptestConfig {
    let told = ProptestConfig::default();
    // 256 is what proptest takes where nobody says anything.
    let cases = if told.cases == 256 { usual } else { told.cases };
    let seed = match told.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(0),
    };
    eprintln!("{cases} sequences from PROPTEST_RNG_SEED={seed}");
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..told }
}

/// Commit number `n`, 1 to 15.
fn commit(n: u32) -> Commit {
    Commit::parse(&format!("{n:x}").repeat(40)).unwrap()
}

/// flake.lock number `n`, 1 to 15.
fn lock(n: u32) -> LockState {
    LockState::Hash(LockHash::parse(&format!("{n:x}").repeat(64)).unwrap())
}

/// Generation `n`, built from commit `from`.
fn system(n: u64, from: u32) -> SystemFacts {
    SystemFacts {
        generation: Some(n),
        store_path: Some(format!("/nix/store/{n}-system")),
        configuration_revision: Some(commit(from).as_str().to_owned()),
        profile_path: Some(format!("/nix/store/{n}-system")),
        ..SystemFacts::default()
    }
}

/// A generation whose configuration tells no revision.
fn mute_system(n: u64) -> SystemFacts {
    SystemFacts { configuration_revision: None, ..system(n, 1) }
}

/// As an activation that failed, or a boot that was chosen, leaves it: the profile is ahead.
fn profile_ahead(runs: SystemFacts, profile: u64) -> SystemFacts {
    SystemFacts { profile_path: Some(format!("/nix/store/{profile}-system")), ..runs }
}

fn exited(exit_code: i32) -> Outcome {
    let kind = if exit_code == 0 { OutcomeKind::Exited } else { OutcomeKind::Failed };
    Outcome { kind, exit_code, message: None, blocked_by: Vec::new() }
}

/// One host, its clock, and what came out of its last event.
#[derive(Clone)]
struct Lab {
    state: HostState,
    /// Time that passes.
    now: Timestamp,
    /// By so many milliseconds somebody has set the time of day.
    set: i64,
    ids: u128,
    effects: Vec<HostEffect>,
}

impl Lab {
    /// A host that reported nothing, while the remote's head is commit 1 with lock 1.
    fn new() -> Self {
        let desired = Arc::new(Desired::NotYetFetched);
        let state = HostState::new(HostId::parse("web").unwrap(), "web", desired);
        let mut lab = Self {
            state,
            now: Timestamp::from_secs(1_000_000),
            set: 0,
            ids: 0,
            effects: Vec::new(),
        };
        lab.remote(1, 1);
        lab
    }

    /// A host on which everything is current and was tested.
    fn green() -> Self {
        let mut lab = Self::new();
        lab.joins(1, 1);
        lab.switches(system(1, 1));
        lab.tests(true);
        lab
    }

    fn apply(&mut self, event: HostEvent) -> &mut Self {
        self.now = self.now.shifted(10);
        let mut ids = self.ids;
        let mut new_id = || {
            ids += 1;
            CommandId(Uuid::from_u128(ids))
        };
        self.effects = self.state.apply(event, self.moment(), &mut new_id);
        self.ids = ids;
        self
    }

    fn moment(&self) -> Moment {
        let up = u64::try_from(self.now.as_millis()).expect("time passes forward");
        Moment { at: self.now.shifted(self.set), up: Uptime::from_millis(up) }
    }

    /// The dashboard is killed and started again; SQLite has all that was stored.
    fn restarts(&mut self) {
        let state = &self.state;
        let last = state.commands.last().cloned();
        let restored = Restored {
            id: state.id.clone(),
            profile: state.profile.clone(),
            facts: state.facts.clone(),
            last_seen: state.last_seen,
            live: state.live().cloned().collect(),
            last,
            results: state.results.clone(),
        };
        let (desired, limits) = (Arc::clone(&state.desired), Arc::clone(&state.limits));
        self.state = HostState::restore(restored, desired, self.moment().up).with_limits(limits);
        self.apply(HostEvent::Tick);
    }

    fn row(&self) -> String {
        let short = |status: Status| match status {
            Status::Ok => "ok",
            Status::Outdated => "out",
            Status::Error => "err",
            Status::Working => "wrk",
            Status::Unknown => "unk",
        };
        let row = self.state.snapshot().row;
        let words: Vec<&str> = row.iter().map(|(_, verdict)| short(verdict.status)).collect();
        words.join(" ")
    }

    /// What a compartment says.
    fn says(&self, compartment: Compartment) -> String {
        self.state.snapshot().row[compartment].message.to_string()
    }

    /// The remote is read.
    fn remote(&mut self, head: u32, with: u32) {
        self.remote_says(commit(head), Some(lock(with)));
    }

    fn remote_says(&mut self, commit: Commit, lock: Option<LockState>) {
        let remote = Remote {
            source: "default".into(),
            branch: "main".into(),
            commit,
            lock,
            subject: "subject".into(),
            committed_at: self.now,
            fetched_at: self.now,
            pending_pr: None,
            pending_details: None,
            hosts: Vec::new(),
            forge: None,
        };
        self.apply(HostEvent::DesiredChanged(Arc::new(Desired::Known(remote))));
    }

    /// The dashboard has just started.
    fn remote_not_yet_fetched(&mut self) {
        self.apply(HostEvent::DesiredChanged(Arc::new(Desired::NotYetFetched)));
    }

    fn remote_fails(&mut self) {
        let last_known = self.state.desired.known().cloned();
        let desired =
            Desired::Unavailable { since: self.now, reason: "HTTP 403".into(), last_known };
        self.apply(HostEvent::DesiredChanged(Arc::new(desired)));
    }

    fn registration(&self, version: &str) -> Registration {
        Registration {
            profile: HostProfile { hostname: "web".into(), ..HostProfile::default() },
            version: Some(version.into()),
            protocol: Some(4),
            jobs: Some(Vec::new()),
            ..Registration::default()
        }
    }

    fn connects(&mut self, registration: Registration) {
        let registration = Box::new(registration);
        self.apply(HostEvent::Connected { registration, known: Vec::new() });
    }

    /// An agent of our version connects; its checkout is commit `at`, its lock is `with`.
    fn joins(&mut self, at: u32, with: u32) {
        let mut registration = self.registration(DASHBOARD_VERSION);
        registration.report.checkout = Some(commit(at));
        registration.report.lock = Some(lock(with));
        registration.profile.tests_auto_run = Some(false);
        registration.report.tests =
            Some(TestSetup { enabled: true, auto_run: false, count: Some(8) });
        self.connects(registration);
    }

    /// A user changes settings.
    fn sets(&mut self, change: Change) {
        self.apply(HostEvent::Configured { change: Box::new(change), by: Author::Admin });
    }

    fn beat(&mut self, report: Report, work: Option<Work>) {
        self.apply(HostEvent::Heartbeat { report: Box::new(report), work });
    }

    /// A click that is accepted and started; answers the command's id.
    fn starts(&mut self, op: Operation) -> CommandId {
        let id = self.asks(op, false).expect("it may start").id;
        self.apply(HostEvent::Accepted(id));
        id
    }

    fn asks(&mut self, op: Operation, queue: bool) -> Result<Command, Refusal> {
        // What holds a host has tests of its own.
        let args = Args { confirmed: Some(true), hold: Some(false), ..Args::default() };
        self.asks_with(op, args, queue)
    }

    fn asks_with(&mut self, op: Operation, args: Args, queue: bool) -> Result<Command, Refusal> {
        self.apply(HostEvent::Requested { id: None, op, args, queue, by: Author::Admin });
        let answer = self.effects.iter().find_map(|effect| match effect {
            HostEffect::Answer(answer) => Some((**answer).clone()),
            _ => None,
        });
        answer.expect("a request is answered")
    }

    fn ends(&mut self, id: CommandId, outcome: Outcome, report: Report) {
        self.apply(HostEvent::Ended { about: About::Id(id), outcome, report: Box::new(report) });
    }

    fn pulls(&mut self, at: u32, with: u32) {
        let id = self.starts(Operation::Pull);
        let report =
            Report { checkout: Some(commit(at)), lock: Some(lock(with)), ..Report::default() };
        self.ends(id, exited(0), report);
    }

    /// A click, and the stop of it.
    fn stops(&mut self, op: Operation, after: Report) {
        let id = self.starts(op);
        self.apply(HostEvent::StopRequested { id, by: Author::Admin });
        let outcome = Outcome {
            kind: OutcomeKind::Stopped,
            exit_code: 130,
            message: None,
            blocked_by: Vec::new(),
        };
        self.ends(id, outcome, after);
    }

    /// The agent no longer runs what it was asked to, and says nothing of its end.
    fn loses(&mut self, op: Operation, after: SystemFacts) {
        self.starts(op);
        for _ in 0..2 {
            self.beat(Report { system: Some(after.clone()), ..Report::default() }, None);
        }
        assert_eq!(self.last().state, State::Lost);
    }

    fn deploys(&mut self, op: Operation, outcome: Outcome, after: SystemFacts) {
        let id = self.starts(op);
        self.ends(id, outcome, Report { system: Some(after), ..Report::default() });
    }

    fn switches(&mut self, after: SystemFacts) {
        self.deploys(Operation::Switch, exited(0), after);
    }

    /// A run of eight tests; the third fails, if not all pass.
    fn tests(&mut self, pass: bool) {
        let id = self.starts(Operation::Test);
        for index in 1..=8 {
            let outcome =
                if pass || index != 3 { TestCaseOutcome::Passed } else { TestCaseOutcome::Failed };
            let result = TestResult {
                index,
                total: 8,
                name: if index == 3 { "GPU acceleration".into() } else { format!("Test {index}") },
                outcome,
                duration_ms: 5,
                output: String::new(),
                subtests: None,
            };
            self.apply(HostEvent::TestEnded { about: About::Id(id), result });
        }
        self.ends(id, exited(i32::from(!pass)), Report::default());
    }

    fn waits(&mut self, seconds: u64) {
        self.now = self.now + std::time::Duration::from_secs(seconds);
        self.apply(HostEvent::Tick);
    }

    fn last(&self) -> &Command {
        self.state.commands.last().expect("a command has ended")
    }

    fn recorded(&self) -> Vec<&str> {
        let messages = self.effects.iter().filter_map(|effect| match effect {
            HostEffect::Record { message, .. } => Some(message.as_str()),
            _ => None,
        });
        messages.collect()
    }
}
