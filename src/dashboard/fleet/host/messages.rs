//! What a host's actor is told and asked.

use crate::dashboard::link::Link;
use crate::dashboard::request_error::RequestError;
use crate::domain::audit::Asker;
use crate::domain::command::Command;
use crate::domain::desired::Desired;
use crate::domain::facts::Comparison;
use crate::domain::host::HostEvent;
use crate::domain::ids::Commit;
use crate::protocol::{AgentMessage, Register};
use actix::prelude::*;
use std::sync::Arc;

/// A message of the agent, by the link it came on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromAgent {
    /// The link's number.
    pub link: u64,
    /// What it said.
    pub message: AgentMessage,
}

/// An agent registered. Answered on the link.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AgentConnected {
    /// The link.
    pub link: Link,
    /// What it said.
    pub register: Box<Register>,
}

/// A link was closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AgentGone {
    /// The link's number.
    pub link: u64,
}

/// Answered by an actor that has started, and so has told what its host looks like.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HasStarted;

/// A user's request: an event that answers.
#[derive(Message)]
#[rtype(result = "Result<Command, RequestError>")]
pub(crate) struct Ask {
    /// What.
    pub event: HostEvent,
    /// From where.
    pub from: Option<String>,
}

/// A user changes what the dashboard says about the host: an event that answers nothing.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct Configure {
    /// What.
    pub event: HostEvent,
    /// From where.
    pub from: Option<String>,
}

/// A user removes the host. Refused while it runs something; after this the actor is gone.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct Remove {
    /// Who.
    pub by: Asker,
}

/// Something about the world outside the host.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub(crate) enum News {
    /// The remote says something new.
    Desired(Arc<Desired>),
    /// The source worked out how two commits relate.
    Compared {
        /// The host's commit.
        host: Commit,
        /// The remote's head.
        head: Commit,
        /// `None` if it could not be worked out.
        comparison: Option<Comparison>,
    },
    /// The host's commit differs from the fleet's majority, or no longer does.
    Drift(bool),
    /// Somebody wants to know how the host is now.
    Report,
    /// The dashboard stops: the agent should come back at once.
    Restarting,
}
