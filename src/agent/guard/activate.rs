//! The wrapper around an activation: it writes how it ended by a rename. `systemd-run --wait` is no
//! witness of that: it answers 0 at once when the activation restarts dbus.

use crate::base::atomic_file;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// Activates `system` and writes its exit code to `status` (`nixfleet guard-activate`).
///
/// # Errors
///
/// It could not be started, or its code not be written.
pub fn run(system: &Path, status: &Path) -> io::Result<()> {
    let program = system.join("bin/switch-to-configuration");
    let ended = Command::new(program).arg("test").status()?;
    let code = ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or(0));
    atomic_file::write(status, code.to_string().as_bytes(), 0o600)
}

/// The code that was written; `None` while there is none.
pub(super) fn code(status: &Path) -> Option<i32> {
    std::fs::read_to_string(status).ok()?.trim().parse().ok()
}
