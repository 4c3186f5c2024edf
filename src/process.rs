//! Small things about child processes that both the agent and the demo need.

use std::process::Command;

/// Makes a child die with the thread that starts it, where the system can do that (Linux):
/// whoever is killed leaves nothing behind that nobody watches.
#[cfg(target_os = "linux")]
pub fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    #[allow(unsafe_code)]
    // SAFETY: the closure runs between fork and exec and only makes one system call,
    // which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let signal = nix::sys::signal::Signal::SIGKILL;
            nix::sys::prctl::set_pdeathsig(signal).map_err(std::io::Error::from)
        });
    }
}

/// Elsewhere a child lives on.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_: &mut Command) {}
