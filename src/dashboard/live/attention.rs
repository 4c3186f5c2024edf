//! Whether anybody looks: what nobody looks at is read less often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Somebody who has just looked still looks.
const STILL_LOOKS: Duration = Duration::from_secs(60);

/// Whether somebody looks at the fleet, or something runs on it.
#[derive(Clone, Default)]
pub(crate) struct Attention {
    browsers: Arc<AtomicUsize>,
    busy: Arc<AtomicUsize>,
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Attention {
    /// Somebody read the fleet.
    pub(crate) fn look(&self) {
        if let Ok(mut looked) = self.looked.lock() {
            *looked = Some(Instant::now());
        }
    }

    /// So many browsers watch.
    pub(crate) fn watch(&self, browsers: usize) {
        self.browsers.store(browsers, Ordering::Relaxed);
    }

    /// So many hosts run a command.
    pub(crate) fn work(&self, hosts: usize) {
        self.busy.store(hosts, Ordering::Relaxed);
    }

    /// Whether somebody looks or something runs.
    pub(crate) fn is_paid(&self) -> bool {
        let recent = |at: &Option<Instant>| at.is_some_and(|at| at.elapsed() < STILL_LOOKS);
        self.browsers.load(Ordering::Relaxed) > 0
            || self.busy.load(Ordering::Relaxed) > 0
            || self.looked.lock().is_ok_and(|looked| recent(&looked))
    }
}
