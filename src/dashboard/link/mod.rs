//! An agent's connection as the actors see it. The socket itself is another room.

pub(crate) mod translate;

use crate::domain::ids::HostId;
use actix::prelude::*;

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenFor {
    /// This host only.
    Host(HostId),
    /// Any host that has no token of its own; it is created at first use.
    Enrolment,
}

/// An agent's connection, as its host's actor sees it.
#[derive(Clone)]
pub(crate) struct Link {
    /// Tells links of one host apart.
    pub number: u64,
    /// It crosses a network, and is not encrypted.
    pub plain: bool,
    frames: Recipient<SendFrame>,
    closing: Recipient<CloseLink>,
}

/// A frame for the agent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SendFrame(pub String);

/// Why a link is closed from here.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub(crate) enum CloseLink {
    /// 1008: the agent did, or is, something that is not allowed.
    Policy(String),
    /// 1009: a frame was too large.
    TooBig,
    /// 4001: a newer link of this host has its place.
    Replaced,
    /// 1012: the dashboard restarts, come back at once.
    Restarting,
    /// 1013: the dashboard cannot now, come back later.
    TryAgain(String),
}

impl Link {
    /// The link with that number, to a socket that takes frames and can be closed.
    pub(crate) fn new(
        number: u64,
        plain: bool,
        frames: Recipient<SendFrame>,
        closing: Recipient<CloseLink>,
    ) -> Self {
        Self { number, plain, frames, closing }
    }

    /// Sends a frame. An agent that takes so little that the socket's queue is full is closed: it
    /// comes back, and says what it did not hear of.
    pub(crate) fn send(&self, frame: SendFrame) {
        if let Err(SendError::Full(_)) = self.frames.try_send(frame) {
            self.close(CloseLink::TryAgain("the agent does not take its frames".to_owned()));
        }
    }

    /// Closes the link.
    pub(crate) fn close(&self, why: CloseLink) {
        // Past the queue's bound, because it ends the queue: each link is closed by its host's
        // actor once, and by a full queue once.
        self.closing.do_send(why);
    }
}
