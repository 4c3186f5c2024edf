//! Reading files that somebody else has written: only plain ones, and only so much of them.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is a link, a device, a pipe or a directory.
    NotPlain,
    /// It is larger than it may be.
    TooLarge,
    /// The system says so.
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a plain file of at most `limit` bytes. A link in its place is not followed, and nothing
/// that is no file is waited for.
pub(crate) fn plain_file(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    let bytes = beginning(path, limit.saturating_add(1))?;
    if bytes.len() as u64 > limit { Err(Refused::TooLarge) } else { Ok(bytes) }
}

/// Reads at most the first `limit` bytes of a plain file.
pub(crate) fn beginning(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err(Refused::NotPlain);
        }
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(Refused::NotPlain);
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Finding 13 of the security review: a link to /dev/zero filled the memory.
    #[test]
    fn only_a_plain_file_of_its_size_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        symlink(path("file"), path("link")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(plain_file(&path("file"), 5).unwrap(), b"12345");
        assert!(matches!(plain_file(&path("file"), 4), Err(Refused::TooLarge)));
        for name in ["zero", "link", "pipe", "."] {
            assert!(matches!(plain_file(&path(name), 5), Err(Refused::NotPlain)), "{name}");
        }
        assert_eq!(beginning(&path("file"), 3).unwrap(), b"123");
    }
}
