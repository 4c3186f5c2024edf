//! The dashboard inside this very program, with an allocator that counts.
//!
//! Memory that is asked for does not depend on how busy the machine is. So it can be guarded.

use anyhow::{Context as _, bail};
use nixfleet::cli::{self, Role};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::BufRead as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the line with the counts begins with.
pub(crate) const COUNTS: &str = "counts: ";

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicU64 = AtomicU64::new(0);
static HIGHEST: AtomicU64 = AtomicU64::new(0);

/// The system's allocator; it counts where [`serve`] has said so.
pub(crate) struct Counting;

// SAFETY: everything is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        fewer(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        fewer(layout.size());
        more(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn more(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED.fetch_add(bytes as u64, Ordering::Relaxed);
        let live = LIVE.fetch_add(bytes as u64, Ordering::Relaxed).wrapping_add(bytes as u64);
        // What was allocated before the counting began may be freed since: then it is below 0.
        if live < u64::MAX / 2 {
            HIGHEST.fetch_max(live, Ordering::Relaxed);
        }
    }
}

fn fewer(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        LIVE.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) allocations: u64,
    pub(crate) allocated: u64,
    pub(crate) live: u64,
    /// The most that was live at once since the last time somebody asked.
    pub(crate) highest: u64,
}

impl Counts {
    /// Reads the line that [`serve`] prints.
    pub(crate) fn read(line: &str) -> anyhow::Result<Self> {
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        match numbers?.as_slice() {
            [allocations, allocated, live, highest] => Ok(Self {
                allocations: *allocations,
                allocated: *allocated,
                live: *live,
                highest: *highest,
            }),
            _ => bail!("expected four counts, not {line:?}"),
        }
    }
}

/// Is the dashboard until it is told to end. Each line on stdin is answered with the counts.
pub(crate) fn serve(arguments: &[String]) -> anyhow::Result<()> {
    COUNTING.store(true, Ordering::Relaxed);
    std::thread::spawn(|| {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            let live = LIVE.load(Ordering::Relaxed);
            let highest = HIGHEST.swap(live, Ordering::Relaxed);
            let allocations = ALLOCATIONS.load(Ordering::Relaxed);
            let allocated = ALLOCATED.load(Ordering::Relaxed);
            println!("{COUNTS}{allocations} {allocated} {live} {highest}");
        }
    });
    let words = std::iter::once("nixfleet".into()).chain(arguments.iter().map(Into::into));
    let asked = cli::environment().and_then(|environment| cli::parse(words, &environment));
    match asked.map_err(|error| anyhow::anyhow!("{error:?}"))? {
        Role::Dashboard(config) => nixfleet::dashboard::run(*config).context("the dashboard"),
        other => bail!("expected --dashboard, not {other:?}"),
    }
}
