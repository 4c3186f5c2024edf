//! The brake of a WebSocket: how much of a link may be in memory unread.
//!
//! actix-web-actors reads whatever its socket holds before it decodes one frame, so an actor that waits
//! holds nothing back (finding 1 of the security review). This stream stands between the socket and the
//! decoder and gives it more only once what it has is decoded. What is not taken stays in TCP, and so on
//! the host that sends it.

use crate::domain::bounds;
use actix_http::ws::{Item, Message};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// With fewer bytes than these waiting, more are taken at once: so much honest links never have.
const PLENTY: u64 = bounds::UNREAD as u64;
/// After so much work for one link others have their turn: bytes, and for each frame as if it had
/// [`OF_A_FRAME`] more.
const TURN: u64 = 16 * 1024;
const OF_A_FRAME: u64 = 256;
/// The largest head of a frame, with its mask.
const HEAD: u64 = 14;

/// What a link's actor and its brake tell each other.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    handled: Cell<u64>,
    frames: Cell<u64>,
    taken: Cell<u64>,
    /// Work since others had their turn.
    turn: Cell<u64>,
    broken: Cell<bool>,
    too_large: Cell<bool>,
}

impl Gauge {
    /// A message came out of the decoder. True: others shall have their turn before the next one. A
    /// link that floods is always ready, and while many tasks are, a thread looks for what came on
    /// other connections only now and then.
    #[must_use]
    pub(crate) fn came_out(&self, message: &Message) -> bool {
        self.handled(match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Continuation(
                Item::FirstText(bytes)
                | Item::FirstBinary(bytes)
                | Item::Continue(bytes)
                | Item::Last(bytes),
            ) => bytes.len(),
            Message::Close(Some(reason)) => 2 + reason.description.as_ref().map_or(0, String::len),
            Message::Close(None) | Message::Nop => 0,
        });
        let is_over = self.turn.get() >= TURN && self.held() > 0;
        if is_over {
            self.turn.set(0);
        }
        is_over
    }

    /// The bytes that the decoder has and that came out of it in no frame yet.
    fn held(&self) -> u64 {
        self.taken.get().saturating_sub(self.handled.get())
    }

    /// A frame came out of a fuzzer's decoder.
    pub(super) fn frame_of_nobody(&self) {
        self.handled(0);
    }

    /// A frame with so many bytes of payload came out of the decoder.
    fn handled(&self, payload: usize) {
        let bytes = on_the_wire(payload);
        self.handled.set(self.handled.get().saturating_add(bytes));
        self.turn.set(self.turn.get().saturating_add(bytes + OF_A_FRAME));
        self.frames.set(self.frames.get().wrapping_add(1));
    }

    /// Whether the connection itself failed. What was read before may still be decoded.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Whether a frame began that is larger than one may be.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.get()
    }
}

/// The bytes of a client's frame: its head, its mask, its payload (RFC 6455, 5.2).
fn on_the_wire(payload: usize) -> u64 {
    let head: u64 = match payload {
        ..126 => 6,
        126..65_536 => 8,
        _ => 14,
    };
    head.saturating_add(payload as u64)
}

/// A link's bytes, on their way from the socket to the decoder.
pub(crate) struct Brake<S> {
    inner: S,
    gauge: Rc<Gauge>,
    /// The largest frame.
    frame: u64,
    /// How many frames had come out when this was last looked at.
    seen: u64,
    /// The decoder has not yet looked at what it was given last.
    fed: bool,
    over: bool,
}

impl<S> Brake<S> {
    /// A brake for frames of at most `frame` bytes, and what the actor tells it.
    pub(crate) fn new(inner: S, frame: usize) -> (Self, Rc<Gauge>) {
        let gauge = Rc::<Gauge>::default();
        let frame = frame as u64;
        let told = Rc::clone(&gauge);
        (Self { inner, gauge, frame, seen: 0, fed: false, over: false }, told)
    }

    /// Whether the decoder may make another frame of what it has.
    fn may_have_a_frame(&mut self) -> bool {
        let frames = self.gauge.frames.get();
        let came_out = std::mem::replace(&mut self.seen, frames) != frames;
        std::mem::take(&mut self.fed) || came_out
    }
}

impl<S> Stream for Brake<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.gauge.held() >= PLENTY {
            if self.may_have_a_frame() {
                // Asked again once that is known.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.gauge.held() >= self.frame + HEAD {
                self.over = true;
                self.gauge.too_large.set(true);
                return Poll::Ready(Some(Err(PayloadError::Overflow)));
            }
        }
        let given = Pin::new(&mut self.inner).poll_next(cx);
        match &given {
            Poll::Ready(Some(Ok(bytes))) => {
                let taken = self.gauge.taken.get().saturating_add(bytes.len() as u64);
                self.gauge.taken.set(taken);
                self.fed = true;
            }
            Poll::Ready(Some(Err(_))) => self.gauge.broken.set(true),
            Poll::Ready(None) | Poll::Pending => {}
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use futures_util::task::noop_waker_ref;
    use proptest::prelude::*;

    /// As much of what is there as the library's loop would take at once.
    fn drain(brake: &mut Brake<impl Stream<Item = Result<Bytes, PayloadError>> + Unpin>) -> u64 {
        let mut cx = Context::from_waker(noop_waker_ref());
        let mut bytes = 0;
        while let Poll::Ready(Some(Ok(chunk))) = Pin::new(&mut *brake).poll_next(&mut cx) {
            bytes += chunk.len() as u64;
        }
        bytes
    }

    /// A socket that never runs dry.
    fn flood(chunk: usize) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin {
        let bytes = Bytes::from(vec![0; chunk]);
        futures_util::stream::repeat_with(move || Ok(bytes.clone()))
    }

    proptest! {
        /// Finding 1: whatever the size of frames and of what the socket gives, little is unread.
        #[test]
        fn a_flood_is_held_back_and_none_of_it_is_lost(
            payload in 0_usize..300_000,
            chunk in 1_usize..40_000,
        ) {
            let (mut brake, gauge) = Brake::new(flood(chunk), 1 << 20);
            let frame = on_the_wire(payload);
            let (mut buffered, mut most, mut frames) = (0, 0, 0);
            for _ in 0..2000 {
                buffered += drain(&mut brake);
                most = most.max(buffered);
                if buffered >= frame {
                    buffered -= frame;
                    frames += 1;
                    gauge.handled(payload);
                }
            }
            prop_assert!(most <= PLENTY + frame + chunk as u64, "{most}");
            let fed = 900 * chunk as u64 / frame;
            prop_assert!(frames >= fed.min(600), "{frames} of {fed}");
            prop_assert!(!gauge.is_too_large());
        }
    }

    #[test]
    fn a_link_that_floods_lets_others_have_their_turn_and_an_honest_one_never_waits() {
        let small = Message::Ping(Bytes::from_static(b"x"));
        let (mut brake, gauge) = Brake::new(flood(1024), 1 << 20);
        drain(&mut brake);
        let turns = (0..1000).filter(|_| gauge.came_out(&small)).count();
        assert!((10..100).contains(&turns), "{turns}");
        assert!(gauge.came_out(&Message::Binary(Bytes::from(vec![0; 20_000]))));
        // All that came is handled: nobody is kept waiting by the next one.
        let (mut brake, gauge) = Brake::new(flood(7).take(1), 1 << 20);
        for _ in 0..1000 {
            drain(&mut brake);
            assert!(!gauge.came_out(&small));
        }
    }

    #[test]
    fn a_frame_that_is_larger_than_it_may_be_is_noticed_before_it_is_in_memory() {
        let (mut brake, gauge) = Brake::new(flood(32 * 1024), 1 << 20);
        let mut taken = 0;
        for _ in 0..1000 {
            taken += drain(&mut brake);
        }
        assert!(gauge.is_too_large());
        assert!(taken <= (1 << 20) + PLENTY, "{taken}");
    }
}
