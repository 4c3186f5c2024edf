//! Load of this machine, on Linux and macOS.

use crate::protocol::Metrics;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Measures load. CPU use is measured between two calls.
pub(crate) struct Meter {
    system: Option<System>,
}

impl Meter {
    /// Begins to measure.
    pub(crate) fn new() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram().with_swap());
        Self { system: System::new_with_specifics(what).ok() }
    }

    /// Load since the last call; `None` where the system does not tell.
    pub(crate) fn measure(&mut self) -> Option<Metrics> {
        let system = self.system.as_mut()?;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let percent = |used: u64, total: u64| {
            if total == 0 { 0.0 } else { round(used as f64 * 100.0 / total as f64) }
        };
        Some(Metrics {
            cpu: round(f64::from(system.global_cpu_usage())),
            ram: percent(system.used_memory(), system.total_memory()),
            swap: percent(system.used_swap(), system.total_swap()),
            load: System::load_average().ok()?.one,
        })
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
