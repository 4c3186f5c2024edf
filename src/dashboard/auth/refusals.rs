//! Who was refused: told once a minute and address, with a number.

use super::Peer;
use crate::domain::moment::Uptime;
use crate::domain::tally::Tally;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what is refused. Cheap to clone; all clones count together.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Tally>>);

impl Refusals {
    /// Counts one. True: it is told now.
    pub(crate) fn count(&self, peer: &Peer, now: Uptime) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(&peer.counted().to_string(), now)
    }

    /// All that were not told yet, at the end.
    pub(crate) fn rest(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rest()
    }

    /// Those that are to be told: where they came from, and how many.
    pub(crate) fn due(&self, now: Uptime) -> Vec<(String, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).due(now)
    }
}
