//! A simulated host: what it has, and what it answers. It knows no link and no clock.

use super::script::{self, End, Luck, Step, TESTS};
use super::who::{Way, Who};
use crate::base::hex;
use crate::domain::generation::Generation;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use crate::domain::timestamp::Timestamp;
use crate::protocol::{
    self, AgentMessage, Built, CommandAccepted, CommandMessage, CommandPhase, CommandRejected,
    DiskReport, Heartbeat, JobReport, JobState, Line, Metrics, OutcomeStatus, Output, OutputBatch,
    Register, Status, Stream, SystemReport, TestResultMessage, TestSettings,
};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;

/// A commit and the hash of its flake.lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    /// The commit, in full.
    pub commit: String,
    /// SHA-256 of flake.lock, in hexadecimal.
    pub lock: String,
    /// The host whose network it cuts.
    pub cuts: Option<String>,
}

/// The commits that hosts begin at, oldest first. The last one is the head.
pub(super) type History = [Pin; 3];

/// What an agent of NixFleet 3 says that it is.
const OLD_VERSION: &str = "3.1.5";
/// Seconds between heartbeats.
pub(super) const INTERVAL: u32 = 5;
const DAY: i64 = 24 * 3600 * 1000;
const GIB: u64 = 1 << 30;

/// What it works on.
struct Job {
    /// 3.x agents get none.
    id: Option<CommandId>,
    op: Operation,
    args: Args,
    steps: VecDeque<Step>,
    /// The number of its last line.
    lines: u64,
    tests: u32,
    end: End,
}

/// A simulated host.
pub(super) struct Machine {
    /// Who it is.
    pub who: Who,
    repo: String,
    /// The remote's head, as it was read last.
    pub remote: Pin,
    checkout: Pin,
    /// Oldest first.
    generations: Vec<Generation>,
    /// The number of the one that runs.
    runs: u64,
    activated: Timestamp,
    /// The commit that does not build, or whose tests fail.
    bad: String,
    job: Option<Job>,
    started: Timestamp,
    /// When it was booted. A reboot changes that, a restart of its agent does not.
    booted: Timestamp,
    boots: u32,
    beats: u32,
    /// Its agent ends, and is started again.
    pub leaves: bool,
}

impl Machine {
    /// A host as it is when the demo begins.
    pub(super) fn new(who: Who, repo: String, history: &History, now: Timestamp) -> Self {
        let [_, middle, head] = history;
        let (checkout, runs) = match who.way {
            Way::FarBehind => (&history[0], 1),
            Way::Behind | Way::Held => (middle, 2),
            Way::Unbuildable | Way::Building => (head, 2),
            _ => (head, 3),
        };
        let n = i64::try_from(who.n).unwrap_or(0);
        let base = 40 + who.n as u64 % 90;
        let mut machine = Self {
            repo,
            remote: head.clone(),
            checkout: checkout.clone(),
            generations: Vec::new(),
            runs: base + runs,
            activated: now.shifted(-(n % 9) * DAY - n * 61_000),
            bad: head.commit.clone(),
            job: None,
            started: now,
            booted: now.shifted(-DAY),
            boots: 1,
            beats: 0,
            leaves: false,
            who,
        };
        for (at, pin) in history.iter().enumerate().take(usize::try_from(runs).unwrap_or(1)) {
            let age = i64::try_from(3 - at).unwrap_or(0) * 9 * DAY;
            machine.make(base + 1 + at as u64, &pin.commit, now.shifted(-age));
        }
        machine
    }

    fn is_old(&self) -> bool {
        self.who.way == Way::Old
    }

    fn path(&self, commit: &str) -> String {
        let hash = hex::encode(&Sha256::digest(format!("{} {commit}", self.who.name)));
        let what = if self.who.platform() == "darwin" { "darwin" } else { "nixos" };
        format!("/nix/store/{}-{what}-system-{}-26.05", &hash[..32], self.who.name)
    }

    fn make(&mut self, number: u64, commit: &str, at: Timestamp) {
        let made = Generation {
            generation: number,
            store_path: Some(self.path(commit)),
            configuration_revision: Some(commit.to_owned()),
            created_at: Some(at),
            current: false,
        };
        self.generations.push(made);
    }

    fn running(&self) -> Option<&Generation> {
        self.generations.iter().find(|one| one.generation == self.runs)
    }

    fn system(&self) -> SystemReport {
        let runs = self.running();
        // macOS tells of no kernel that a boot would change.
        let linux = self.who.platform() == "nixos";
        let reboot = linux && self.who.needs_a_reboot() && self.boots == 1;
        SystemReport {
            generation: Some(self.runs),
            store_path: runs.and_then(|runs| runs.store_path.clone()),
            configuration_revision: runs.and_then(|runs| runs.configuration_revision.clone()),
            activated_at: Some(self.activated),
            agent_path: None,
            reboot_needed: Some(reboot),
            booted_kernel: linux.then(|| if reboot { "6.12.6" } else { "6.12.7" }.to_owned()),
            next_kernel: linux.then(|| "6.12.7".to_owned()),
            profile_path: runs.and_then(|runs| runs.store_path.clone()),
        }
    }

    /// Newest first, as agents tell them.
    fn told_generations(&self) -> Vec<Generation> {
        let all = self.generations.iter().rev().take(10);
        all.map(|one| Generation { current: one.generation == self.runs, ..one.clone() }).collect()
    }

    fn disk(&self) -> Vec<DiskReport> {
        let [.., used] = self.who.load(0);
        let free = ((100.0 - used) / 100.0 * 100.0 * GIB as f64) as u64;
        vec![DiskReport {
            mount: "/".to_owned(),
            free,
            total: 100 * GIB,
            inodes_free: Some(4_000_000),
        }]
    }

    /// The first message on a link.
    pub(super) fn register(&self) -> AgentMessage {
        let basics = Register {
            hostname: self.who.name.clone(),
            host_type: if self.who.platform() == "darwin" { "macos" } else { "nixos" }.to_owned(),
            agent_version: OLD_VERSION.to_owned(),
            os_version: "simulated by the demo".to_owned(),
            generation: self.checkout.commit.clone(),
            heartbeat_interval: f64::from(INTERVAL),
            location: self.who.place.name().to_owned(),
            device_type: self.who.device.name().to_owned(),
            repo_url: self.repo.clone(),
            repo_dir: "/var/lib/nixfleet-agent/repo".to_owned(),
            ..Register::default()
        };
        if self.is_old() {
            return AgentMessage::Register(Box::new(basics));
        }
        let features = ["jobs", "test-results", "resume"];
        AgentMessage::Register(Box::new(Register {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: Some(protocol::VERSION),
            features: features.map(str::to_owned).to_vec(),
            platform: Some(self.who.platform().to_owned()),
            boot_time: Some(self.booted),
            branch: Some("main".to_owned()),
            tests: Some(test_settings()),
            system: Some(self.system()),
            generations: self.told_generations(),
            jobs: Some(self.jobs()),
            lock_hash: Some(self.checkout.lock.clone()),
            boot_id: Some(format!("{}-{}", self.who.name, self.boots)),
            agent_started: Some(self.started),
            checkout: Some(Some(self.checkout.commit.clone())),
            dirty: Some(Some(false)),
            ahead: Some(Some(0)),
            expected_agent_path: Some(None),
            disk: Some(self.disk()),
            tags: Some(self.who.tags()),
            ..basics
        }))
    }

    /// What it says every few seconds.
    pub(super) fn heartbeat(&mut self) -> AgentMessage {
        self.beats = self.beats.wrapping_add(1);
        let [cpu, ram, _] = self.who.load(self.beats);
        let job = self.job.as_ref();
        let old = self.is_old();
        AgentMessage::Heartbeat(Box::new(Heartbeat {
            generation: self.checkout.commit.clone(),
            pending_command: job.map(|job| job.op.name().to_owned()),
            command_pid: job.filter(|_| old).map(|_| 4711),
            metrics: Some(Metrics { cpu, ram, swap: 0.0, load: cpu / 25.0 }),
            lock_hash: Some(self.checkout.lock.clone()),
            command_id: job.and_then(|job| job.id),
            system: (!old).then(|| self.system()),
            tests: (!old).then(test_settings),
            generations: (!old).then(|| self.told_generations()),
            checkout: (!old).then(|| Some(self.checkout.commit.clone())),
            ..Heartbeat::default()
        }))
    }

    /// Whether it is shown as one whose agent is gone.
    pub(super) fn stays_away(&self) -> bool {
        matches!(self.who.way, Way::Gone | Way::Awaited)
    }

    /// Whether there is a next step.
    pub(super) fn works(&self) -> bool {
        self.job.is_some()
    }

    /// Whether what it does now is to take its time from the beginning.
    pub(super) fn is_slow(&self) -> bool {
        self.who.way == Way::Building && self.checkout.commit == self.bad
    }

    /// What it answers to a command.
    pub(super) fn command(
        &mut self,
        command: &CommandMessage,
        now: Timestamp,
    ) -> Vec<AgentMessage> {
        let id = command.command_id;
        if command.command == "stop" {
            return self.stop(id);
        }
        let Some(op) = Operation::parse(&command.command) else {
            return vec![self.heartbeat()];
        };
        if let Some(job) = &self.job {
            return vec![AgentMessage::CommandRejected(CommandRejected {
                reason: "command already running".to_owned(),
                current_command: Some(job.op.name().to_owned()),
                current_pid: job.id.is_none().then_some(4711),
                command_id: id,
                current_command_id: job.id,
            })];
        }
        let accepted = id.map(|command_id| {
            AgentMessage::CommandAccepted(CommandAccepted { command_id, pid: None })
        });
        if matches!(op, Operation::RestartAgent | Operation::Reboot) {
            self.leaves = true;
            self.started = now;
            if op == Operation::Reboot {
                self.booted = now;
                self.boots += 1;
            }
            return accepted.into_iter().collect();
        }
        // What is built is what a pull brings first.
        let of = if op.rules().pulls { &self.remote } else { &self.checkout };
        let luck = Luck {
            host: &self.who.name,
            darwin: self.who.platform() == "darwin",
            commit: of.commit.get(..7).unwrap_or(&of.commit),
            unbuildable: self.who.way == Way::Unbuildable && of.commit == self.bad,
            failing: self.has_bad_tests(),
            slow: self.who.way == Way::Building && of.commit == self.bad,
            cuts: of.cuts.as_deref() == Some(self.who.name.as_str()) && !self.is_old(),
        };
        let (steps, end) = script::of(op, luck);
        let args = command.args.clone().unwrap_or_default();
        self.job = Some(Job { id, op, args, steps, lines: 0, tests: 0, end });
        // What protocol 3 has instead is a heartbeat that names it.
        vec![accepted.unwrap_or_else(|| self.heartbeat())]
    }

    fn has_bad_tests(&self) -> bool {
        let runs = self.running().and_then(|runs| runs.configuration_revision.as_deref());
        matches!(self.who.way, Way::FailingTests | Way::RolledBack) && runs == Some(&self.bad)
    }

    fn stop(&mut self, id: Option<CommandId>) -> Vec<AgentMessage> {
        let Some(job) = self.job.take_if(|job| id.is_none() || job.id == id) else {
            return vec![AgentMessage::CommandRejected(CommandRejected {
                reason: "Nothing runs that could be stopped.".to_owned(),
                current_command: None,
                current_pid: None,
                command_id: id,
                current_command_id: None,
            })];
        };
        let end = End { exit_code: 130, message: Some("terminated by user") };
        vec![self.status(&job, OutcomeStatus::Stopped, end, None)]
    }

    /// The next step of what it works on.
    pub(super) fn step(&mut self, now: Timestamp) -> Vec<AgentMessage> {
        let Some(job) = &mut self.job else { return Vec::new() };
        let Some(step) = job.steps.pop_front() else { return self.finish(now) };
        match (step, job.id) {
            (Step::Line(text), Some(command_id)) => {
                job.lines += 1;
                let lines = vec![Line { stream: Stream::Stderr, text }];
                let first_seq = job.lines;
                vec![AgentMessage::OutputBatch(OutputBatch { command_id, first_seq, lines })]
            }
            (Step::Line(line), None) => vec![AgentMessage::Output(Output {
                line,
                stream: Stream::Stdout,
                command: String::new(),
                is_error: false,
            })],
            (Step::Phase(phase), Some(command_id)) => {
                vec![AgentMessage::CommandPhase(CommandPhase { command_id, phase })]
            }
            (Step::Test(name, outcome, printed), Some(command_id)) => {
                job.tests += 1;
                vec![AgentMessage::TestResult(TestResultMessage {
                    command_id,
                    seq: None,
                    index: job.tests,
                    total: u32::try_from(TESTS.len()).unwrap_or(0),
                    name: name.to_owned(),
                    outcome,
                    duration_ms: 300 + 70 * name.len() as u64,
                    output: printed.to_owned(),
                })]
            }
            (Step::Cut, _) => {
                self.leaves = true;
                Vec::new()
            }
            (Step::Phase(_) | Step::Test(..), None) => Vec::new(),
        }
    }

    /// It is done: what changed by it, and how it ended.
    fn finish(&mut self, now: Timestamp) -> Vec<AgentMessage> {
        let Some(job) = self.job.take() else { return Vec::new() };
        let well = job.end.exit_code == 0;
        if job.op.rules().pulls {
            self.checkout = self.remote.clone();
        }
        let mut built = None;
        match job.op {
            Operation::Switch | Operation::PullSwitch if well => built = Some(self.deploy(now)),
            Operation::Switch | Operation::PullSwitch if job.end == script::RETURNED => {
                built = Some(self.built());
            }
            Operation::Rollback => self.roll_back(job.args.generation, now),
            _ => {}
        }
        let how = if well { OutcomeStatus::Ok } else { OutcomeStatus::Error };
        let mut told = vec![self.status(&job, how, job.end, built)];
        if job.id.is_none() {
            // The echo of its last heartbeat; then a switch starts the agent anew.
            let (op, code) = (job.op, job.end.exit_code);
            self.job = Some(job);
            told.push(self.heartbeat());
            self.job = None;
            self.leaves = code == 0 && op.rules().deploys;
        }
        told.push(self.heartbeat());
        told
    }

    fn deploy(&mut self, now: Timestamp) -> Built {
        let built = self.built();
        let (commit, path) = (self.checkout.commit.clone(), self.path(&self.checkout.commit));
        let known = self.generations.iter().find(|one| one.store_path.as_ref() == Some(&path));
        let number = known.map(|known| known.generation);
        let newest = self.generations.iter().map(|one| one.generation).max().unwrap_or(0);
        if number.is_none() {
            self.make(newest + 1, &commit, now);
        }
        self.runs = number.unwrap_or(newest + 1);
        self.activated = now;
        built
    }

    /// What a switch builds.
    fn built(&self) -> Built {
        Built {
            commit: self.checkout.commit.clone(),
            lock_hash: self.checkout.lock.clone(),
            dirty: false,
            path: Some(self.path(&self.checkout.commit)),
            next_boot: false,
        }
    }

    /// What it works on, for a link that opens meanwhile.
    fn jobs(&self) -> Vec<JobReport> {
        let report = |job: &Job| {
            let state = JobState::Running;
            let (op, last_seq) = (job.op.name().to_owned(), job.lines);
            Some(JobReport { command_id: job.id?, op, state, exit_code: None, last_seq })
        };
        self.job.as_ref().and_then(report).into_iter().collect()
    }

    fn roll_back(&mut self, to: Option<u64>, now: Timestamp) {
        let before = self.generations.iter().map(|one| one.generation).filter(|n| *n < self.runs);
        let known = |n: &u64| self.generations.iter().any(|one| one.generation == *n);
        if let Some(number) = to.filter(known).or(before.max()) {
            self.runs = number;
            self.activated = now;
        }
    }

    fn status(
        &self,
        job: &Job,
        status: OutcomeStatus,
        end: End,
        built: Option<Built>,
    ) -> AgentMessage {
        let new = job.id.is_some();
        AgentMessage::Status(Box::new(Status {
            status,
            command: job.op.name().to_owned(),
            exit_code: end.exit_code,
            message: end.message.map(str::to_owned),
            generation: Some(self.checkout.commit.clone()),
            command_id: job.id,
            seq: job.id.map(|_| job.lines + 1),
            lock_hash: new.then(|| self.checkout.lock.clone()),
            system: new.then(|| self.system()),
            tests: new.then(test_settings),
            timed_out: None,
            blocked_by: Vec::new(),
            checkout: new.then(|| Some(self.checkout.commit.clone())),
            dirty: new.then_some(Some(false)),
            ahead: new.then_some(Some(0)),
            built: built.filter(|_| new),
        }))
    }
}

fn test_settings() -> TestSettings {
    TestSettings {
        enabled: true,
        auto_run: false,
        timeout_s: 60,
        count: u32::try_from(TESTS.len()).ok(),
    }
}

#[cfg(test)]
mod tests;
