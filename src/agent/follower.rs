//! Follows a job's spool and says what the dashboard does not have yet.

use super::facts::JobFacts;
use super::jobs::spool::SpoolReader;
use super::jobs::{Job, Outcome, Progress};
use crate::domain::command::WorkPhase;
use crate::domain::operation::Operation;
use crate::protocol::{
    AgentMessage, CommandPhase, MAX_BATCH_BYTES, MAX_UNACKED_BYTES, OutputBatch, Status,
    TestProgress, TestResultMessage,
};
use std::collections::VecDeque;
use std::io;

/// One job, as far as this link has told of it.
pub(crate) struct Follower {
    /// The job.
    pub job: Job,
    op: Operation,
    reader: SpoolReader,
    /// Batches that are on the wire: last number and size.
    on_the_wire: VecDeque<(u64, usize)>,
    unacked: usize,
    results: usize,
    progress: Option<Progress>,
    phase: Option<WorkPhase>,
    /// The outcome's number, once it was sent.
    ended: Option<u64>,
}

impl Follower {
    /// Follows from the line after number `stored`. The results of tests are told again
    /// from the first: they are few, and carry their own numbers.
    pub(crate) fn new(job: Job, op: Operation, stored: u64) -> Self {
        let reader = SpoolReader::after(&job.dir, stored);
        Self {
            job,
            op,
            reader,
            on_the_wire: VecDeque::new(),
            unacked: 0,
            results: 0,
            progress: None,
            phase: None,
            ended: None,
        }
    }

    /// What it does.
    pub(crate) fn op(&self) -> Operation {
        self.op
    }

    /// Whether the outcome was not sent yet: to the dashboard the command still runs.
    pub(crate) fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// The dashboard has everything up to `seq`. True if that is all there is.
    pub(crate) fn acked(&mut self, seq: u64) -> bool {
        while let Some((last, bytes)) = self.on_the_wire.front().copied()
            && last <= seq
        {
            self.unacked -= bytes;
            self.on_the_wire.pop_front();
        }
        self.ended.is_some_and(|ended| seq >= ended)
    }

    /// What is to be sent now; at most what the window of unacknowledged output allows. `outcome` is
    /// how the job has ended, if it has.
    pub(crate) fn next(&mut self, outcome: Option<Outcome>) -> io::Result<Vec<AgentMessage>> {
        let mut messages = Vec::new();
        if self.ended.is_some() {
            return Ok(messages);
        }
        self.phase(&mut messages);
        // Looked up before the output: what it counts is in the spool by then.
        self.tests(&mut messages);
        while self.unacked < MAX_UNACKED_BYTES {
            let Some((first_seq, lines)) = self.reader.read(MAX_BATCH_BYTES)? else {
                if let Some(outcome) = outcome {
                    messages.push(self.status(outcome));
                }
                return Ok(messages);
            };
            let bytes = lines.iter().map(|line| line.text.len() + 32).sum();
            self.unacked += bytes;
            self.on_the_wire.push_back((first_seq + lines.len() as u64 - 1, bytes));
            let command_id = self.job.id;
            messages.push(AgentMessage::OutputBatch(OutputBatch { command_id, first_seq, lines }));
        }
        Ok(messages)
    }

    fn phase(&mut self, messages: &mut Vec<AgentMessage>) {
        if !self.op.rules().deploys {
            return;
        }
        let phase = self.job.phase();
        if let Some(phase) = phase.filter(|phase| self.phase != Some(*phase)) {
            self.phase = Some(phase);
            let command_id = self.job.id;
            messages.push(AgentMessage::CommandPhase(CommandPhase { command_id, phase }));
        }
    }

    fn tests(&mut self, messages: &mut Vec<AgentMessage>) {
        if self.op != Operation::Test {
            return;
        }
        let progress = self.job.progress();
        if progress != self.progress
            && let Some(now) = &progress
        {
            messages.push(AgentMessage::TestProgress(TestProgress {
                current: now.current,
                total: now.total,
                passed: now.passed,
                running: true,
                result: now.name.clone().into(),
                command_id: Some(self.job.id),
            }));
            self.progress = progress;
        }
        let results = self.job.results();
        let told = self.results;
        self.results = results.len();
        messages.extend(results.into_iter().skip(told).map(|result| {
            AgentMessage::TestResult(TestResultMessage {
                command_id: self.job.id,
                seq: None,
                index: result.index,
                total: result.total,
                name: result.name,
                outcome: result.outcome,
                duration_ms: result.duration_ms,
                output: result.output,
            })
        }));
    }

    fn status(&mut self, outcome: Outcome) -> AgentMessage {
        let seq = outcome.last_seq + 1;
        self.ended = Some(seq);
        // A job that died looked at nothing.
        let looked_up = outcome.facts != JobFacts::default();
        AgentMessage::Status(Box::new(Status {
            status: outcome.status,
            command: self.op.name().to_owned(),
            exit_code: i64::from(outcome.exit_code),
            message: outcome.message,
            checkout: looked_up.then(|| outcome.facts.generation.clone()),
            dirty: looked_up.then_some(outcome.facts.dirty),
            ahead: looked_up.then_some(outcome.facts.ahead),
            generation: outcome.facts.generation,
            command_id: Some(self.job.id),
            seq: Some(seq),
            lock_hash: outcome.facts.lock_hash,
            system: outcome.facts.system,
            tests: outcome.facts.tests,
            timed_out: outcome.timed_out.then_some(true),
            blocked_by: outcome.blocked_by.iter().map(|by| by.name().to_owned()).collect(),
            built: outcome.facts.built,
        }))
    }
}
