//! Files that are there whole or not at all, also after a power cut, and room that is kept for one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replaces `path` by `bytes`: who reads it sees the old file or the new one. File and directory
/// are synced before it returns. `mode` is that of a file that is made anew, such as `0o600`.
///
/// # Errors
///
/// What the system says; the old file is as it was then.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path, ".new");
    let written = write_new(&new, bytes, mode).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // What was written in part takes room that may be what was missing.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    sync_directory_of(path)
}

fn write_new(new: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A leftover may have another mode, or be a link to somewhere else.
    match fs::remove_file(new) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(new)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the entries of the directory that holds `path` durable.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// Room on the disk for a file that must be written later, also when the disk is full then.
#[derive(Debug)]
pub struct Reserved {
    file: File,
    room: PathBuf,
    path: PathBuf,
}

impl Reserved {
    /// Keeps `bytes` bytes of room for `path`, in a file beside it. A room that an earlier process
    /// kept is used.
    ///
    /// # Errors
    ///
    /// What the system says: above all that the disk is full already.
    pub fn keep(path: &Path, bytes: u64, mode: u32) -> io::Result<Self> {
        let room = beside(path, ".room");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&room)?;
        if let Err(error) = allocate(&file, bytes) {
            let _ = fs::remove_file(&room);
            return Err(error);
        }
        file.sync_all()?;
        Ok(Self { file, room, path: path.to_owned() })
    }

    /// Writes the file into its room and gives it its name. What is longer than the room needs more.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)?;
        self.file.set_len(bytes.len() as u64)?;
        self.file.sync_all()?;
        fs::rename(&self.room, &self.path)?;
        sync_directory_of(&self.path)
    }
}

/// Blocks of its own for a file, where the file system can do that without writing (a copy-on-write
/// one needs new blocks for what was written before, and none for these); else zeros.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{FallocateFlags, fallocate};
        let length = i64::try_from(bytes).unwrap_or(i64::MAX);
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => return Ok(()),
            Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"one", 0o600).unwrap();
        fs::write(beside(&path, ".new"), "a leftover").unwrap();
        write(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"one", 0o600).unwrap();
        fs::create_dir(beside(&path, ".new")).unwrap();
        assert!(write(&path, b"two", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn what_is_written_into_its_room_is_the_file_and_the_room_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let reserved = Reserved::keep(&path, 4096, 0o600).unwrap();
        assert!(!path.exists());
        reserved.write(b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
