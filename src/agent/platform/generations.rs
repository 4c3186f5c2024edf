//! Generations of a profile: the links `NAME-N-link` beside it.

use crate::domain::generation::Generation;
use crate::domain::timestamp::Timestamp;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many are reported.
const MOST: usize = 10;

/// The profile's links with their numbers, newest first.
pub(super) fn links(profiles: &Path, name: &str) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(profiles) else {
        return Vec::new();
    };
    let mut links: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('-')?;
            Some((number.strip_suffix("-link")?.parse().ok()?, path))
        })
        .collect();
    links.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    links
}

/// The last ten generations; `current` is the path that runs.
pub(super) fn list(profiles: &Path, name: &str, current: Option<&Path>) -> Vec<Generation> {
    let mut seen = false;
    links(profiles, name)
        .into_iter()
        .take(MOST)
        .map(|(number, link)| {
            let target = fs::canonicalize(&link).ok();
            // Two generations may be the same path; the newer is the one that runs.
            let runs = !seen && target.is_some() && target.as_deref() == current;
            seen |= runs;
            Generation {
                generation: number,
                store_path: target.map(|path| path.to_string_lossy().into_owned()),
                configuration_revision: None,
                created_at: changed_at(&link),
                current: runs,
            }
        })
        .collect()
}

/// When a link was made.
pub(super) fn changed_at(link: &Path) -> Option<Timestamp> {
    fs::symlink_metadata(link).ok().map(|data| Timestamp::from_secs(data.mtime()))
}
