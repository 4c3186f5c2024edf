//! Room on the disks that matter to this agent: the store's, the boot loader's, its own.

use super::site::Site;
use crate::protocol::DiskReport;
use nix::sys::statvfs::statvfs;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a directory is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Building: the Nix store.
    Store,
    /// Booting: kernels and entries of the boot loader.
    Boot,
    /// The agent's own: clone, jobs, output.
    State,
}

/// The directories that matter, where they are there.
pub(crate) fn places(site: &Site) -> Vec<(Use, PathBuf)> {
    let store =
        if site.store_dir.is_dir() { site.store_dir.clone() } else { site.root.join("nix") };
    let all = [
        (Use::Store, store),
        (Use::Boot, site.root.join("boot")),
        (Use::State, site.state_dir.clone()),
    ];
    all.into_iter().filter(|(_, dir)| dir.is_dir()).collect()
}

/// The disks below these directories, each once.
pub(crate) fn report(site: &Site) -> Vec<DiskReport> {
    let mut disks: Vec<DiskReport> = Vec::new();
    for (_, dir) in places(site) {
        let Some(disk) = of(&dir) else { continue };
        if disks.iter().all(|known| known.mount != disk.mount) {
            disks.push(disk);
        }
    }
    disks
}

/// Whether the disks differ enough to be told again: by a hundredth of one of them. Every heartbeat
/// with other figures would be stored.
pub(crate) fn differs_visibly(told: &[DiskReport], now: &[DiskReport]) -> bool {
    let same_disk = |(told, now): (&DiskReport, &DiskReport)| {
        let inodes = (told.inodes_free.unwrap_or(0), now.inodes_free.unwrap_or(0));
        let least = told.inodes_free.map_or(0, |inodes| inodes / 100);
        told.mount == now.mount
            && told.total == now.total
            && told.free.abs_diff(now.free) <= now.total / 100
            && inodes.0.abs_diff(inodes.1) <= least
    };
    told.len() != now.len() || !told.iter().zip(now).all(same_disk)
}

/// The disk that holds a directory; `None` where the system does not tell.
#[allow(clippy::useless_conversion, reason = "the counts have 32 bits on macOS")]
pub(crate) fn of(dir: &Path) -> Option<DiskReport> {
    let told = statvfs(dir).ok()?;
    let unit = told.fragment_size();
    let mount = mount_point(dir)?;
    Some(DiskReport {
        mount: mount.to_string_lossy().into_owned(),
        free: u64::from(told.blocks_available()).saturating_mul(unit),
        total: u64::from(told.blocks()).saturating_mul(unit),
        // File systems that make inodes as they need them say 0 of 0.
        inodes_free: (told.files() > 0).then(|| u64::from(told.files_available())),
    })
}

/// The topmost directory that is still on the same file system.
fn mount_point(dir: &Path) -> Option<PathBuf> {
    let dir = fs::canonicalize(dir).ok()?;
    let device = fs::metadata(&dir).ok()?.dev();
    let same = |path: &&Path| fs::metadata(path).is_ok_and(|data| data.dev() == device);
    dir.ancestors().take_while(same).last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_hardly_differ_are_not_told_again() {
        let disk = |free, inodes| {
            vec![DiskReport { mount: "/".into(), free, total: 10_000, inodes_free: Some(inodes) }]
        };
        assert!(!differs_visibly(&disk(5000, 1000), &disk(5100, 1010)));
        assert!(differs_visibly(&disk(5000, 1000), &disk(5101, 1000)));
        assert!(differs_visibly(&disk(5000, 1000), &disk(5000, 1011)));
        assert!(differs_visibly(&disk(5000, 1000), &[]));
    }

    #[test]
    fn the_disk_of_a_directory_is_the_one_that_it_is_mounted_from() {
        let dir = tempfile::tempdir().unwrap();
        let disk = of(dir.path()).unwrap();
        assert!(dir.path().canonicalize().unwrap().starts_with(&disk.mount), "{disk:?}");
        assert!(disk.free <= disk.total && disk.total > 0, "{disk:?}");
        assert_eq!(of(&dir.path().join("nowhere")), None);
    }
}
