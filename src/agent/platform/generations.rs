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

/// Which generation runs, if `current` is what runs: the one that the profile points to if that is
/// this path, else the newest that is. Several generations may be the same path.
pub(super) fn running(
    profiles: &Path,
    name: &str,
    links: &[(u64, PathBuf)],
    current: &Path,
) -> Option<u64> {
    let is_current = |link: &Path| fs::canonicalize(link).is_ok_and(|target| target == current);
    let pointed = fs::read_link(profiles.join(name)).ok();
    let chosen = pointed.and_then(|target| {
        let is_it = |link: &&(u64, PathBuf)| link.1.file_name() == target.file_name();
        links.iter().find(is_it)
    });
    let newest = || links.iter().find(|(_, link)| is_current(link));
    let running = chosen.filter(|(_, link)| is_current(link)).or_else(newest);
    running.map(|(number, _)| *number)
}

/// The last ten generations; `current` is the path that runs.
pub(super) fn list(profiles: &Path, name: &str, current: Option<&Path>) -> Vec<Generation> {
    let links = links(profiles, name);
    let runs = current.and_then(|current| running(profiles, name, &links, current));
    let newest = links.into_iter().take(MOST);
    let generations = newest.map(|(number, link)| Generation {
        generation: number,
        store_path: fs::canonicalize(&link).ok().map(|path| path.to_string_lossy().into_owned()),
        configuration_revision: None,
        created_at: changed_at(&link),
        current: runs == Some(number),
    });
    generations.collect()
}

/// What a profile points to in the end: what a boot would activate.
pub(super) fn target(profile: &Path) -> Option<String> {
    let path = fs::canonicalize(profile).ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// When a link was made.
pub(super) fn changed_at(link: &Path) -> Option<Timestamp> {
    fs::symlink_metadata(link).ok().map(|data| Timestamp::from_secs(data.mtime()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Finding 34: the newest link with the same path was reported, not the profile's.
    #[test]
    fn of_generations_with_one_path_the_profiles_own_runs() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        for system in ["a", "b"] {
            fs::create_dir(dir.join(system)).unwrap();
        }
        for (number, system) in [(1, "a"), (2, "b"), (3, "a")] {
            symlink(dir.join(system), dir.join(format!("system-{number}-link"))).unwrap();
        }
        for (profile, current, expected) in [(1, "a", 1), (3, "a", 3), (2, "a", 3), (1, "b", 2)] {
            let _ = fs::remove_file(dir.join("system"));
            symlink(format!("system-{profile}-link"), dir.join("system")).unwrap();
            let links = links(&dir, "system");
            let runs = running(&dir, "system", &links, &dir.join(current));
            assert_eq!(runs, Some(expected), "profile {profile}, {current} runs");
            let list = list(&dir, "system", Some(&dir.join(current)));
            let marked: Vec<u64> =
                list.iter().filter(|g| g.current).map(|g| g.generation).collect();
            assert_eq!(marked, [expected]);
        }
    }
}
