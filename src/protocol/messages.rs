//! The payloads, field by field. The names are those of the specification's tables.

use crate::domain::generation::Generation;
use crate::domain::ids::CommandId;
use crate::domain::operation::Args;
use crate::domain::test_report::{self, TestCaseOutcome, TestResult};
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `register`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the names are those of the specification's table
pub struct Register {
    pub hostname: String,
    pub host_type: String,
    pub agent_version: String,
    pub os_version: String,
    pub nixpkgs_version: String,
    pub generation: String,
    pub theme_color: String,
    pub heartbeat_interval: f64,
    pub location: String,
    pub device_type: String,
    pub repo_url: String,
    pub repo_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_hash: Option<String>,
    // Protocol 4 from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Generation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<JobReport>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    /// The boot of the machine, as its kernel names it. Another boot has another id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// When this process of the agent began. Together with `boot_id`: which process it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_started: Option<Timestamp>,
}

/// How tests are set up on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TestSettings {
    pub enabled: bool,
    pub auto_run: bool,
    pub timeout_s: u64,
    /// How many tests the checkout has for this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// What runs on a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SystemReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// Store path of the agent that this system contains: the one that should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_path: Option<String>,
    /// Whether what was booted is not what would boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_needed: Option<bool>,
}

/// A job the agent has: running, or ended and not yet acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JobReport {
    pub command_id: CommandId,
    pub op: String,
    pub state: JobState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Number of the last line in the spool.
    pub last_seq: u64,
}

/// Whether a job still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It runs.
    Running,
    /// It ended; the outcome follows after the output.
    Finished,
}

/// `heartbeat`. The `update_status` of 3.x agents, their own opinion of the
/// compartments, is not read: nothing here is decided by it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Heartbeat {
    pub generation: String,
    pub nixpkgs_version: String,
    pub pending_command: Option<String>,
    pub command_pid: Option<i64>,
    pub metrics: Option<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_hash: Option<String>,
    // Protocol 4 from here.
    /// The running command's id, beside its name in `pending_command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSettings>,
    /// Sent when they changed since the last time on this link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generations: Option<Vec<Generation>>,
}

/// Load of a host: percent, percent, percent, 1-minute load average.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Metrics {
    pub cpu: f64,
    pub ram: f64,
    pub swap: f64,
    pub load: f64,
}

/// Which of its two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// `output`, protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Output {
    pub line: String,
    #[serde(default = "Output::default_stream")]
    pub stream: Stream,
    #[serde(default)]
    pub command: String,
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
#[allow(missing_docs)]
pub struct OutputBatch {
    pub command_id: CommandId,
    /// Number of the first line; the others follow without a gap. Lines of a command
    /// count from 1. A number higher than the last one plus 1 means that the spool
    /// had to drop lines.
    pub first_seq: u64,
    pub lines: Vec<Line>,
}

/// One line of output, without its line end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Line {
    pub stream: Stream,
    pub text: String,
}

/// `status`: the outcome of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Status {
    pub status: OutcomeStatus,
    #[serde(default)]
    pub command: String,
    #[serde(default)]
    pub exit_code: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    // Protocol 4 from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// The outcome's own number: one more than the last line's. Acknowledging it lets
    /// the agent delete the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSettings>,
    /// The agent ended the job for its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timed_out: Option<bool>,
}

/// How a command ended, as the agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum OutcomeStatus {
    Ok,
    Error,
    Stopped,
}

/// `command_complete`, protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CommandComplete {
    #[serde(default)]
    pub command: String,
    #[serde(default)]
    pub exit_code: i64,
}

/// `command_accepted`, protocol 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CommandAccepted {
    pub command_id: CommandId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
}

/// `command_rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CommandRejected {
    #[serde(default)]
    pub reason: String,
    /// What runs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_command: Option<String>,
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
#[allow(missing_docs)]
pub struct OperationProgress {
    pub progress: Option<Progress>,
}

/// The parts of an `operation_progress`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Progress {
    pub pull: Option<Phase>,
    pub lock: Option<Phase>,
    pub system: Option<Phase>,
    pub tests: Option<Phase>,
}

/// How far one part is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Phase {
    pub current: u32,
    pub total: u32,
    pub status: String,
}

/// `test_progress`: a test starts, or has just ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct TestProgress {
    pub current: u32,
    pub total: u32,
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
#[allow(missing_docs)]
pub struct TestResultMessage {
    pub command_id: CommandId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub index: u32,
    pub total: u32,
    pub name: String,
    pub outcome: TestCaseOutcome,
    #[serde(default)]
    pub duration_ms: u64,
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

/// `registered`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Registered {
    pub host_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_version: Option<String>,
    /// Per job of the agent, the last number the dashboard has stored.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resume: BTreeMap<CommandId, u64>,
}

/// `command`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CommandMessage {
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Args>,
}

/// `ack`, protocol 4: everything up to and including `seq` is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ack {
    pub command_id: CommandId,
    pub seq: u64,
}
