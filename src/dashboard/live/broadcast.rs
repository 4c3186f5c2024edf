//! The broadcaster, as everybody else knows it.

use super::broadcaster::Broadcaster;
use actix::dev::ToEnvelope;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes news and questions for the broadcaster. Its queue is bounded: what does not fit is not
/// waited for, and browsers get the whole state once there is room again.
#[derive(Clone)]
pub struct Broadcast {
    to: Addr<Broadcaster>,
    missed: Missed,
}

/// Whether news did not fit into the queue.
#[derive(Clone, Default)]
pub struct Missed(Arc<AtomicBool>);

impl Missed {
    /// Whether that happened since it was asked last.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Broadcast {
    pub(super) fn new(to: Addr<Broadcaster>, missed: Missed) -> Self {
        Self { to, missed }
    }

    /// Tells it something. False if there was no room: then it was not told, and whoever keeps
    /// that up to date tells it again.
    pub fn tell<M>(&self, news: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Broadcaster: Handler<M>,
        Context<Broadcaster>: ToEnvelope<Broadcaster, M>,
    {
        match self.to.try_send(news) {
            Ok(()) => true,
            Err(error) => {
                if matches!(error, SendError::Full(_)) {
                    self.missed.0.store(true, Ordering::Relaxed);
                }
                false
            }
        }
    }

    /// Asks it something.
    pub fn send<M>(&self, question: M) -> Request<Broadcaster, M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Broadcaster: Handler<M>,
        Context<Broadcaster>: ToEnvelope<Broadcaster, M>,
    {
        self.to.send(question)
    }

    /// Whether it lives.
    pub fn lives(&self) -> bool {
        self.to.connected()
    }

    /// It, as somebody who takes messages of one kind.
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Broadcaster: Handler<M>,
        Context<Broadcaster>: ToEnvelope<Broadcaster, M>,
    {
        self.to.clone().recipient()
    }
}
