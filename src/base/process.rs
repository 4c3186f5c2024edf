//! Small things about processes that every role needs.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

/// Tells the service manager that the program is ready, where there is one that wants to know.
pub fn ready() {
    tell(sd_notify::NotifyState::Ready);
}

/// Tells the service manager that the program ends.
pub fn stopping() {
    tell(sd_notify::NotifyState::Stopping);
}

/// How often [`alive`] should be called; `None` if nobody watches.
pub fn watched() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3)
}

/// Tells the service manager's watchdog that the program does its work.
pub fn alive() {
    tell(sd_notify::NotifyState::Watchdog);
}

fn tell(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::warn!("the service manager cannot be told: {error}");
    }
}

/// Makes a child die with the thread that starts it, where the system can do that (Linux):
/// whoever is killed leaves nothing behind that nobody watches.
#[cfg(target_os = "linux")]
pub fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    #[expect(unsafe_code, reason = "only the child itself can ask for it, between fork and exec")]
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

/// Lets this process die with that one, its parent, where the system can do that (Linux).
///
/// # Errors
///
/// The parent is gone already, or the system refuses.
pub(super) fn die_with(parent: &std::ffi::OsStr) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if std::os::unix::process::parent_id().to_string().as_str() == parent {
        return Ok(());
    }
    Err(std::io::Error::other("whoever asked for this is gone"))
}

/// Lets this process have as many descriptors as the system allows; answers how many.
pub fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1024;
    };
    // macOS says that there is no limit, and refuses more than this.
    let wanted = [hard, hard.min(10_240)];
    for most in wanted.into_iter().filter(|most| *most >= soft) {
        match setrlimit(Resource::RLIMIT_NOFILE, most, hard) {
            Ok(()) => return most,
            Err(error) => log::debug!("not {most} descriptors: {error}"),
        }
    }
    log::warn!("no more than {soft} descriptors");
    soft
}

/// Prints for the person who started the program. Nobody has to read it: a closed standard
/// output is no reason to end.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        log::debug!("nobody reads what is printed: {error}");
    }
}
