//! Makes the system that runs the one that boots, or puts back what boots.

use super::intent::{self, End, Intent};
use crate::agent::platform;
use crate::agent::site::Site;
use crate::base::child::{self, Bounds};
use crate::base::secret;
use crate::protocol::OutcomeStatus;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(5 * 60);

/// Which of the two systems runs now.
pub(crate) fn runs(site: &Site, intent: &Intent) -> crate::domain::guard::Runs {
    intent::runs(intent, platform::of(site).running_path(site).as_deref())
}

/// The new system becomes profile and boot entry.
///
/// # Errors
///
/// The step that failed, with its last line.
pub(crate) fn new(site: &Site, intent: &Intent) -> Result<(), String> {
    let until = Instant::now() + WITHIN;
    let profile = platform::of(site).profile(site);
    let number = intent.generation.filter(|number| {
        let link = profile.with_file_name(format!("system-{number}-link"));
        link.canonicalize().is_ok_and(|path| path == intent.new)
    });
    match number {
        Some(number) => switch_generation(&profile, number, until)?,
        None => nix_env(&profile, &["--set".as_ref(), intent.new.as_os_str()], until)?,
    }
    boots(&intent.new, until)?;
    nix::unistd::sync();
    Ok(())
}

/// The old system becomes profile and boot entry again.
///
/// # Errors
///
/// As [`new`].
pub(crate) fn old(site: &Site, intent: &Intent) -> Result<(), String> {
    let until = Instant::now() + WITHIN;
    let profile = platform::of(site).profile(site);
    if profile.canonicalize().is_ok_and(|path| path != intent.old) {
        match intent.old_generation {
            Some(number) => switch_generation(&profile, number, until)?,
            None => nix_env(&profile, &["--set".as_ref(), intent.old.as_os_str()], until)?,
        }
    }
    boots(&intent.old, until)?;
    nix::unistd::sync();
    Ok(())
}

/// The new system could not be made the one that boots; nothing was activated. What boots is put back.
pub(crate) fn not_booted(site: &Site, intent: &Intent, why: &str) -> End {
    let text = match old(site, intent) {
        Ok(()) => format!("It cannot be made the one that boots: {why}"),
        Err(error) => format!(
            "It cannot be made the one that boots: {why}. What booted before cannot be put back: \
             {error}"
        ),
    };
    End::with(OutcomeStatus::Error, text)
}

fn switch_generation(profile: &Path, number: u64, until: Instant) -> Result<(), String> {
    nix_env(profile, &["--switch-generation".as_ref(), number.to_string().as_ref()], until)
}

fn nix_env(profile: &Path, words: &[&std::ffi::OsStr], until: Instant) -> Result<(), String> {
    let mut command = Command::new("nix-env");
    command.arg("-p").arg(profile).args(words);
    run(command, "nix-env", until)
}

fn boots(system: &Path, until: Instant) -> Result<(), String> {
    let mut command = Command::new(system.join("bin/switch-to-configuration"));
    command.arg("boot");
    run(command, "switch-to-configuration boot", until)
}

fn run(mut command: Command, what: &str, until: Instant) -> Result<(), String> {
    secret::hide_from(&mut command);
    let left = until.saturating_duration_since(Instant::now());
    let bounds = Bounds { timeout: Some(left), ..Bounds::default() };
    let output = child::output(&mut command, 64 * 1024, &bounds)
        .map_err(|error| format!("{what} cannot be run: {error}"))?;
    if output.ended.ok() {
        return Ok(());
    }
    if output.ended.timed_out {
        return Err(format!("{what} did not come to an end within {} s", WITHIN.as_secs()));
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let last =
        |text: &str| text.lines().rev().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned);
    let said = last(&output.stderr).or_else(|| last(&stdout)).unwrap_or_default();
    let code = output.ended.code;
    Err(secret::without_credentials(&format!("{what}: exit code {code}: {said}")).into_owned())
}
