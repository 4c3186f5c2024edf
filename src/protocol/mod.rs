//! The wire between agent and dashboard (spec: protocol).
//!
//! Protocol 3 is what NixFleet 3.x agents speak; protocol 4 adds optional fields and
//! messages. Both are described by the same types: what only protocol 4 has is optional.
//! This room reads and writes frames. It decides nothing.

use crate::domain::bounds;
use crate::domain::protocol::Protocol;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod facts;
mod fragments;
mod orders;
mod work;

pub use facts::*;
pub use fragments::{FragmentError, Fragments};
pub use orders::*;
pub use work::*;

/// The protocol that this program speaks.
pub const VERSION: u32 = Protocol::OURS.number();
/// The largest frame that either side accepts, in bytes.
pub const MAX_FRAME_BYTES: usize = bounds::FRAME;
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
    /// Protocol 4: what the job of a command that deploys is doing.
    CommandPhase(CommandPhase),
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
    /// Protocol 4: how far the output of a command is stored.
    Ack(Ack),
    /// Protocol 4: what the host left is held no more.
    Released(Released),
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
    CommandPhase = "command_phase",
    CommandRejected = "command_rejected",
    OperationProgress = "operation_progress",
    TestProgress = "test_progress",
    TestResult = "test_result",
});

messages!(DashboardMessage {
    Registered = "registered",
    Command = "command",
    Ack = "ack",
    Released = "released",
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CommandId;

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
