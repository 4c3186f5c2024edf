//! Medians and percentiles.

use std::time::Duration;

/// The middle one; between the two middle ones of an even number. 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => f64::midpoint(*upper, sorted[middle - 1]),
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
}

impl Latencies {
    /// One more.
    pub(crate) fn add(&mut self, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.micros.len()
    }

    /// Forgets those so far: they were of the warming up.
    pub(crate) fn clear(&mut self) {
        self.micros.clear();
    }

    /// The 50th and 99th percentile and the longest, in milliseconds.
    pub(crate) fn summary(&mut self) -> [f64; 3] {
        self.micros.sort_unstable();
        let last = self.micros.len().saturating_sub(1);
        let at = |part: f64| {
            let index = (last as f64 * part).round() as usize;
            f64::from(self.micros.get(index).copied().unwrap_or(0)) / 1000.0
        };
        [at(0.5), at(0.99), at(1.0)]
    }
}
