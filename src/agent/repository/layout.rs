//! Where git keeps its things for a checkout: also for a worktree, a submodule, and a clone whose
//! references are in tables.

use crate::agent::read;
use crate::domain::ids::Commit;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How much is read of git's small files, in bytes.
const SMALL: u64 = 64 * 1024;
/// How much is read of packed references, in bytes.
const PACKED: u64 = 16 * 1024 * 1024;

/// The directories of git for one checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// `.git`, or what the file `.git` leads to.
    pub(super) git_dir: PathBuf,
    /// Where the references are: the same, but for a worktree.
    common_dir: PathBuf,
}

impl Layout {
    /// The layout of the checkout in `dir`; `None` if it has no `.git`.
    ///
    /// # Errors
    ///
    /// There is a `.git` and it cannot be understood.
    pub(super) fn of(dir: &Path) -> io::Result<Option<Self>> {
        let git = dir.join(".git");
        let data = match fs::symlink_metadata(&git) {
            Ok(data) => data,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let git_dir = if data.is_file() {
            let text = small(&git).ok_or_else(|| io::Error::other("its .git cannot be read"))?;
            let target = text.trim().strip_prefix("gitdir: ");
            dir.join(target.ok_or_else(|| io::Error::other("its .git is not understood"))?)
        } else {
            git
        };
        let common_dir = match small(&git_dir.join("commondir")) {
            Some(text) => git_dir.join(text.trim()),
            None => git_dir.clone(),
        };
        Ok(Some(Self { git_dir, common_dir }))
    }

    /// Whether references are kept in tables, which only git itself reads.
    pub(super) fn has_tables(&self) -> bool {
        self.common_dir.join("reftable").is_dir()
    }

    /// The commit that HEAD leads to.
    pub(super) fn head(&self) -> Option<String> {
        let head = small(&self.git_dir.join("HEAD"))?;
        let hash = match head.trim().strip_prefix("ref: ") {
            None => head.trim().to_owned(),
            Some(name) => self.reference(name)?,
        };
        Commit::parse(&hash).map(|commit| commit.to_string())
    }

    fn reference(&self, name: &str) -> Option<String> {
        let loose =
            [&self.git_dir, &self.common_dir].into_iter().find_map(|d| small(&d.join(name)));
        match loose {
            Some(hash) => Some(hash.trim().to_owned()),
            None => self.packed(name),
        }
    }

    fn packed(&self, name: &str) -> Option<String> {
        let bytes = read::plain_file(&self.common_dir.join("packed-refs"), PACKED).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let end = format!(" {name}");
        let line = text.lines().find(|line| line.ends_with(&end))?;
        line.split(' ').next().map(str::to_owned)
    }

    /// Removes locks that a git left behind that was killed. Only while nothing works on the clone.
    pub(super) fn remove_stale_locks(&self) -> Vec<PathBuf> {
        let mut removed = Vec::new();
        for dir in [&self.git_dir, &self.common_dir] {
            remove_locks_in(dir, &mut removed);
        }
        remove_locks_below(&self.common_dir.join("refs"), &mut removed);
        removed
    }
}

fn small(path: &Path) -> Option<String> {
    let bytes = read::plain_file(path, SMALL).ok()?;
    String::from_utf8(bytes).ok()
}

fn remove_locks_in(dir: &Path, removed: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_lock && is_file && fs::remove_file(&path).is_ok() {
            removed.push(path);
        }
    }
}

fn remove_locks_below(dir: &Path, removed: &mut Vec<PathBuf>) {
    remove_locks_in(dir, removed);
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_locks_below(&entry.path(), removed);
        }
    }
}
