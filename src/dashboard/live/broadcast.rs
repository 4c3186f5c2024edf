//! The broadcaster, as everybody else knows it.

use super::broadcaster::Broadcaster;
use super::missed::Missed;
use actix::dev::ToEnvelope;
use actix::prelude::*;

/// Takes news and questions for the broadcaster. Its queue is bounded: what does not fit is not
/// waited for, and browsers get the whole state once there is room again.
#[derive(Clone)]
pub(crate) struct Broadcast {
    to: Addr<Broadcaster>,
    missed: Missed,
}

impl Broadcast {
    /// Starts it.
    pub(crate) fn start(broadcaster: Broadcaster) -> Self {
        let missed = broadcaster.missed();
        Self { to: broadcaster.start(), missed }
    }

    /// Tells it something. False if there was no room: then it was not told, and whoever keeps
    /// that up to date tells it again.
    pub(crate) fn tell<M>(&self, news: M) -> bool
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
                    self.missed.note();
                }
                false
            }
        }
    }

    /// Asks it something.
    pub(crate) fn send<M>(&self, question: M) -> Request<Broadcaster, M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Broadcaster: Handler<M>,
        Context<Broadcaster>: ToEnvelope<Broadcaster, M>,
    {
        self.to.send(question)
    }

    /// Whether it lives.
    pub(crate) fn lives(&self) -> bool {
        self.to.connected()
    }

    /// It, as somebody who takes messages of one kind.
    pub(crate) fn recipient<M>(&self) -> Recipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Broadcaster: Handler<M>,
        Context<Broadcaster>: ToEnvelope<Broadcaster, M>,
    {
        self.to.clone().recipient()
    }
}
