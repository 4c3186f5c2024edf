//! Measures how long a program took, on a machine that may stand still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the machine goes on.
const TICK: Duration = Duration::from_millis(20);

/// Counts the time in which the machine let a thread run that wants next to nothing. What a busy
/// machine, or one that was frozen, kept from that thread it kept from the dashboard too.
pub struct Stopwatch {
    began: Instant,
    kept: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Stopwatch {
    pub fn start() -> Self {
        let watch = Self { began: Instant::now(), kept: Arc::default(), over: Arc::default() };
        let (kept, over) = (Arc::clone(&watch.kept), Arc::clone(&watch.over));
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let slept = Instant::now();
                thread::sleep(TICK);
                let late = slept.elapsed().saturating_sub(TICK).as_millis();
                kept.fetch_add(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        watch
    }

    /// The time since its start, without what was kept from everybody.
    pub fn elapsed(&self) -> Duration {
        let passed = self.began.elapsed();
        // One that ended just now may not have been counted yet.
        thread::sleep(2 * TICK);
        passed.saturating_sub(Duration::from_millis(self.kept.load(Ordering::Relaxed)))
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
