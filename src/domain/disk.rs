//! Room on a host's disks.

use serde::{Deserialize, Serialize};

/// Bytes that a build needs on the disk of the store, where that has so much at all.
pub const BUILD: u64 = 1 << 30;
/// So many files must still fit.
pub const FILES: u64 = 1000;

/// One disk, as its host told it last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files that can still be made; `None` where the file system has no such limit.
    pub inodes_free: Option<u64>,
}

impl Disk {
    /// How much of it is in use, in percent; 0 of one that tells no size.
    #[allow(clippy::cast_precision_loss, reason = "it is shown without digits")]
    pub fn used(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        self.total.saturating_sub(self.free) as f64 * 100.0 / self.total as f64
    }

    /// Whether it is nearly full: a build may end for that.
    pub fn is_low(&self) -> bool {
        let few = self.inodes_free.is_some_and(|free| free < FILES);
        few || self.free < enough(BUILD, self.total)
    }
}

/// Bytes that must be free where `wanted` would be good to have. Of a small disk, such as that of a
/// boot loader, a tenth is enough.
pub fn enough(wanted: u64, total: u64) -> u64 {
    wanted.min(total / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_told_in_percent() {
        for (free, total, used) in [(25, 100, 75.0), (0, 0, 0.0), (7, 5, 0.0), (0, 5, 100.0)] {
            let disk = Disk { free, total, ..Disk::default() };
            assert!((disk.used() - used).abs() < f64::EPSILON, "{disk:?}");
        }
    }

    #[test]
    fn a_disk_is_low_below_a_gibibyte_or_a_tenth_or_a_thousand_files() {
        const MIB: u64 = 1 << 20;
        for (free, total, inodes_free, low) in [
            (1024 * MIB, 1_000_000 * MIB, Some(1000), false),
            (1024 * MIB - 1, 1_000_000 * MIB, Some(1000), true),
            (1024 * MIB, 1_000_000 * MIB, Some(999), true),
            (1024 * MIB, 1_000_000 * MIB, None, false),
            (51 * MIB, 512 * MIB, None, true),
            (52 * MIB, 512 * MIB, None, false),
            // A file system that does not tell its size.
            (0, 0, None, false),
        ] {
            let disk = Disk { mount: "/".to_owned(), free, total, inodes_free };
            assert_eq!(disk.is_low(), low, "{disk:?}");
        }
    }
}
