//! What the broadcaster's queue had no room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether news did not fit into the queue.
#[derive(Clone, Default)]
pub(crate) struct Missed(Arc<AtomicBool>);

impl Missed {
    /// It happened.
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether that happened since it was asked last.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
