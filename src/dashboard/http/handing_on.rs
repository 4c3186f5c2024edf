//! How a link's messages come to its host's actor, which works on another thread.
//!
//! Waking a thread costs more than all the rest of a heartbeat. So an idle host's heartbeat waits a
//! moment for those of others, and a small message is not waited for, up to a bound.

use crate::dashboard::fleet::host::{FromAgent, HostActor};
use crate::protocol::AgentMessage;
use actix::prelude::*;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// So many messages in a row are handed on before one is waited for.
const AHEAD: u8 = 8;
/// A frame is small up to so many bytes. With [`AHEAD`], what waits for a host is bounded.
const SMALL: usize = 8 << 10;
/// A heartbeat waits so long for others.
const TOGETHER: Duration = Duration::from_millis(100);

thread_local! {
    static HEARTBEATS: RefCell<Vec<(Addr<HostActor>, FromAgent)>> = const { RefCell::new(Vec::new()) };
    static SENDS_SOON: Cell<bool> = const { Cell::new(false) };
}

/// What became of a message.
pub(super) enum Handed {
    /// It is on its way.
    On,
    /// There was no room, or it must be waited for: until then nothing more is read.
    Wait(Box<FromAgent>),
    /// The host's actor is gone.
    Nowhere,
}

/// What one link handed on.
#[derive(Default)]
pub(super) struct HandingOn {
    ahead: u8,
    heartbeat: Option<Instant>,
}

impl HandingOn {
    /// Hands on a message that came as so many bytes. The order of a link's messages stays.
    pub(super) fn hand(
        &mut self,
        host: &Addr<HostActor>,
        message: FromAgent,
        bytes: usize,
    ) -> Handed {
        if bytes <= SMALL && is_idle(&message) && self.is_first() {
            soon(host.clone(), message);
            return Handed::On;
        }
        send_heartbeats();
        if bytes > SMALL || self.ahead >= AHEAD {
            self.ahead = 0;
            return Handed::Wait(Box::new(message));
        }
        match host.try_send(message) {
            Ok(()) => {
                self.ahead += 1;
                Handed::On
            }
            Err(SendError::Full(message)) => Handed::Wait(Box::new(message)),
            Err(SendError::Closed(_)) => Handed::Nowhere,
        }
    }

    /// Whether no heartbeat of this link can be waiting: so there is one of each link at most.
    fn is_first(&mut self) -> bool {
        let now = Instant::now();
        let before = self.heartbeat.replace(now);
        before.is_none_or(|before| now.duration_since(before) > TOGETHER * 2)
    }
}

/// A heartbeat of a host that works on nothing.
fn is_idle(message: &FromAgent) -> bool {
    match &message.message {
        AgentMessage::Heartbeat(beat) => {
            beat.command_id.is_none() && beat.pending_command.as_deref().is_none_or(str::is_empty)
        }
        _ => false,
    }
}

fn soon(host: Addr<HostActor>, message: FromAgent) {
    HEARTBEATS.with_borrow_mut(|waiting| waiting.push((host, message)));
    if !SENDS_SOON.replace(true) {
        actix_rt::spawn(async {
            actix_rt::time::sleep(TOGETHER).await;
            SENDS_SOON.set(false);
            send_heartbeats();
        });
    }
}

/// Sends the heartbeats that wait on this thread. Whatever else a link sends comes after its own.
pub(super) fn send_heartbeats() {
    for (host, message) in HEARTBEATS.take() {
        // Past the queue's bound: there is one for each link.
        host.do_send(message);
    }
}
