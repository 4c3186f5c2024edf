//! The wire between agent and dashboard (spec: protocol).
//!
//! Protocol 3 is what NixFleet 3.x agents speak; protocol 4 adds optional fields and
//! messages. Both are described by the same types: what only protocol 4 has is optional.
//! This room reads and writes frames. It decides nothing.

use crate::domain::generation::Generation;
use crate::domain::ids::CommandId;
use crate::domain::operation::Args;
use crate::domain::test_report::{TestCaseOutcome, TestResult};
use crate::domain::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The protocol that this program speaks.
pub const VERSION: u32 = 4;
/// The largest frame that either side accepts, in bytes.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;
/// The most output one `output_batch` carries, in bytes of text.
pub const MAX_BATCH_BYTES: usize = 64 * 1024;
/// The most output an agent leaves unacknowledged on the wire, in bytes of text.
pub const MAX_UNACKED_BYTES: usize = 1024 * 1024;

/// What an agent says.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentMessage {
    /// First message on a link: who and what the agent is.
    Register(Box<Register>),
    /// Sent every few seconds.
    Heartbeat(Box<Heartbeat>),
    /// Protocol 3: one line of output.
    Output(Output),
    /// Protocol 4: numbered lines of output.
    OutputBatch(OutputBatch),
    /// The outcome of a command.
    Status(Box<Status>),
    /// Protocol 3: repeats the outcome.
    CommandComplete(CommandComplete),
    /// Protocol 4: the command was started.
    CommandAccepted(CommandAccepted),
    /// The command was refused.
    CommandRejected(CommandRejected),
    /// Protocol 3: coarse progress.
    OperationProgress(OperationProgress),
    /// Progress of a test run.
    TestProgress(TestProgress),
    /// Protocol 4: one test's result.
    TestResult(TestResultMessage),
}

/// What a dashboard says.
#[derive(Debug, Clone, PartialEq)]
pub enum DashboardMessage {
    /// Answers `register`.
    Registered(Registered),
    /// Asks for an operation.
    Command(CommandMessage),
    /// Protocol 3: signals the running command.
    KillCommand(KillCommand),
    /// Protocol 4: how far the output of a command is stored.
    Ack(Ack),
}

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

/// `kill_command`, protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct KillCommand {
    pub signal: String,
    pub pid: i64,
}

/// `ack`, protocol 4: everything up to and including `seq` is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ack {
    pub command_id: CommandId,
    pub seq: u64,
}

/// What is wrong with a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not a JSON object with a `type`: the link is closed with 1008.
    #[error("a frame must be a JSON object {{\"type\": ..., \"payload\": ...}}: {0}")]
    NotAFrame(#[source] serde_json::Error),
    /// A known type whose payload does not fit: the message is dropped and recorded.
    #[error("the payload of `{kind}` is not as expected: {source}")]
    BadPayload {
        /// The frame's type.
        kind: &'static str,
        /// Which field, and what was expected.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct FrameOut<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: &'a T,
}

fn payload<T: DeserializeOwned>(
    kind: &'static str,
    raw: Option<&RawValue>,
) -> Result<T, FrameError> {
    let text = raw.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|source| FrameError::BadPayload { kind, source })
}

fn frame<T: Serialize>(kind: &'static str, payload: &T) -> String {
    // Strings, numbers, and maps with string keys: serde_json cannot fail on these.
    serde_json::to_string(&FrameOut { kind, payload }).unwrap_or_default()
}

/// Writes the two directions of the protocol: one line per message type.
macro_rules! messages {
    ($name:ident { $($variant:ident = $kind:literal),+ $(,)? }) => {
        impl $name {
            /// Reads a frame. `Ok(None)` is a type this side does not know: it is ignored.
            pub fn parse(text: &str) -> Result<Option<Self>, FrameError> {
                let frame: Frame<'_> = serde_json::from_str(text).map_err(FrameError::NotAFrame)?;
                Ok(Some(match frame.kind.as_ref() {
                    $($kind => Self::$variant(payload($kind, frame.payload)?),)+
                    _ => return Ok(None),
                }))
            }

            /// Writes a frame.
            pub fn to_frame(&self) -> String {
                match self {
                    $(Self::$variant(payload) => frame($kind, payload),)+
                }
            }

            /// The frame's type.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)+
                }
            }
        }
    };
}

messages!(AgentMessage {
    Register = "register",
    Heartbeat = "heartbeat",
    Output = "output",
    OutputBatch = "output_batch",
    Status = "status",
    CommandComplete = "command_complete",
    CommandAccepted = "command_accepted",
    CommandRejected = "command_rejected",
    OperationProgress = "operation_progress",
    TestProgress = "test_progress",
    TestResult = "test_result",
});

messages!(DashboardMessage {
    Registered = "registered",
    Command = "command",
    KillCommand = "kill_command",
    Ack = "ack",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_types_and_fields_are_ignored() {
        assert_eq!(AgentMessage::parse(r#"{"type":"news","payload":[1]}"#).unwrap(), None);
        let known =
            AgentMessage::parse(r#"{"type":"heartbeat","payload":{"x":1,"generation":"abc"}}"#);
        let Some(AgentMessage::Heartbeat(heartbeat)) = known.unwrap() else {
            panic!("no heartbeat")
        };
        assert_eq!(heartbeat.generation, "abc");
    }

    #[test]
    fn what_is_no_frame_is_told_apart_from_a_bad_payload() {
        for text in ["", "1", "[]", "null", r#"{"payload":{}}"#, r#"{"type":1}"#, "\u{0}"] {
            let error = AgentMessage::parse(text).unwrap_err();
            assert!(matches!(error, FrameError::NotAFrame(_)), "{text:?}: {error}");
        }
        let error =
            AgentMessage::parse(r#"{"type":"status","payload":{"status":"fine"}}"#).unwrap_err();
        assert!(error.to_string().contains("`status`"), "{error}");
    }

    #[test]
    fn a_message_survives_its_own_frame() {
        let ack = DashboardMessage::Ack(Ack { command_id: CommandId(uuid::Uuid::nil()), seq: 7 });
        assert_eq!(DashboardMessage::parse(&ack.to_frame()).unwrap(), Some(ack));
    }
}
