//! What an agent tells of its work, field by field.

use super::facts::{SystemReport, TestSettings, Told, told};
use crate::domain::command::WorkPhase;
use crate::domain::ids::CommandId;
use crate::domain::test_report::{self, TestCaseOutcome, TestResult};
use serde::{Deserialize, Serialize};

/// Which of its two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

/// `output`, protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The line, without its end.
    pub line: String,
    /// Where it came from.
    #[serde(default = "Output::default_stream")]
    pub stream: Stream,
    /// Name of the command; 3.x leaves it empty.
    #[serde(default)]
    pub command: String,
    /// It came from the standard error.
    #[serde(default)]
    pub is_error: bool,
}

impl Output {
    fn default_stream() -> Stream {
        Stream::Stdout
    }
}

/// `output_batch`, protocol 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputBatch {
    /// The command's id.
    pub command_id: CommandId,
    /// Number of the first line; the others follow without a gap. Lines of a command
    /// count from 1. A number higher than the last one plus 1 means that the spool
    /// had to drop lines.
    pub first_seq: u64,
    /// The lines, in order; together at most 64 KiB.
    pub lines: Vec<Line>,
}

/// One line of output, without its line end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Where it came from.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// `status`: the outcome of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How it ended.
    pub status: OutcomeStatus,
    /// Name of the operation.
    #[serde(default)]
    pub command: String,
    /// Exit code; 128 + the signal for a program that was killed.
    #[serde(default)]
    pub exit_code: i64,
    /// What went wrong, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// As in `register`, when the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    // Protocol 4 from here.
    /// Protocol 4: the command's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// The outcome's own number: one more than the last line's. Acknowledging it lets
    /// the agent delete the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// As in `register`, when the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    /// As in `register`, when the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemReport>,
    /// As in `register`, when the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSettings>,
    /// The agent ended the job for its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timed_out: Option<bool>,
    /// Of `blocked`: what is in the way, where the user may go on regardless of it. Words of
    /// `Regardless`; what is not known is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// As in `register`, when the job ended.
    #[serde(default, deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub checkout: Told<String>,
    /// As in `register`, when the job ended.
    #[serde(default, deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub dirty: Told<bool>,
    /// As in `register`, when the job ended.
    #[serde(default, deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub ahead: Told<u32>,
    /// What a switch or pull-switch built, once its build has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Built>,
}

/// What was checked out when a build began, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Built {
    /// The commit; empty where none was built from.
    pub commit: String,
    /// SHA-256 of its flake.lock, in 64 hexadecimal digits; empty: there is none.
    pub lock_hash: String,
    /// The files differed from that commit, or that could not be told.
    pub dirty: bool,
    /// The path that it came to, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// It was not activated: it starts at the next boot.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub next_boot: bool,
}

impl Built {
    /// The same, where the system is not activated and starts at the next boot.
    pub fn that_boots(built: Option<Self>, system: &std::path::Path) -> Self {
        let path = Some(system.to_string_lossy().into_owned());
        Self { path, next_boot: true, ..built.unwrap_or_default() }
    }
}

/// How a command ended, as the agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// Exit code 0.
    Ok,
    /// It failed.
    Error,
    /// It was told to stop, and nothing of it lives any more.
    Stopped,
    /// Protocol 4: nothing was done; `message` says what is in the way and what helps.
    Blocked,
    /// Protocol 4: it died with the machine or was ended by the service manager; nobody knows how
    /// far it came.
    Interrupted,
    /// Protocol 4: the agent ended it for its time.
    TimedOut,
}

/// `command_complete`, protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandComplete {
    /// Name of the command.
    #[serde(default)]
    pub command: String,
    /// Its exit code.
    #[serde(default)]
    pub exit_code: i64,
}

/// `command_accepted`, protocol 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAccepted {
    /// The command's id.
    pub command_id: CommandId,
    /// The process that supervises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
}

/// `command_phase`, protocol 4: what the job of a command that deploys is doing. Told when that
/// changes, and again on each link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandPhase {
    /// The command's id.
    pub command_id: CommandId,
    /// What it is doing.
    pub phase: WorkPhase,
}

/// `command_rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRejected {
    /// Why, in the user's words.
    #[serde(default)]
    pub reason: String,
    /// What runs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_command: Option<String>,
    /// Protocol 3: the process of what runs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_pid: Option<i64>,
    /// Protocol 4: the command that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// Protocol 4: the id of what runs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_command_id: Option<CommandId>,
}

/// `operation_progress`, protocol 3.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationProgress {
    /// How far the parts are.
    pub progress: Option<Progress>,
}

/// The parts of an `operation_progress`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Bringing the checkout forward.
    pub pull: Option<Phase>,
    /// Looking at flake.lock.
    pub lock: Option<Phase>,
    /// Building and activating.
    pub system: Option<Phase>,
    /// Testing.
    pub tests: Option<Phase>,
}

/// How far one part is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// Step that is under way, from 1.
    pub current: u32,
    /// How many steps there are.
    pub total: u32,
    /// A word of the agent about it.
    pub status: String,
}

/// `test_progress`: a test starts, or has just ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TestProgress {
    /// Test that is under way, from 1.
    pub current: u32,
    /// How many tests there are.
    pub total: u32,
    /// How many passed so far.
    pub passed: u32,
    /// Protocol 3: a flag. Protocol 4: the same.
    pub running: bool,
    /// Name or result of the test; a text or anything else a 3.x agent sends.
    pub result: serde_json::Value,
    /// Protocol 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
}

/// `test_result`, protocol 4. It has a number of its own in the command's sequence, so
/// it is acknowledged and sent again like a line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResultMessage {
    /// The command's id.
    pub command_id: CommandId,
    /// Number in the command's sequence; 4.0 leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Number of the test, from 1.
    pub index: u32,
    /// How many tests there are.
    pub total: u32,
    /// Name of the test.
    pub name: String,
    /// How it ended.
    pub outcome: TestCaseOutcome,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
    /// What it printed, at most 64 KiB.
    #[serde(default)]
    pub output: String,
}

impl TestResultMessage {
    /// The result without its address on the wire.
    pub fn into_result(self) -> TestResult {
        TestResult {
            index: self.index,
            total: self.total,
            name: self.name,
            outcome: self.outcome,
            duration_ms: self.duration_ms,
            subtests: test_report::tap(&self.output),
            output: self.output,
        }
    }
}
