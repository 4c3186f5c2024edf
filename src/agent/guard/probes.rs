//! The host's probes: what it must be able to do, beyond being heard. The executable scripts
//! `hosts/<host>/probes/P*.sh`, run side by side.

use crate::agent::jobs::child::Lines;
use crate::agent::jobs::work::Work;
use crate::agent::site::Site;
use crate::base::child::{self, Bounds, Leftovers};
use crate::base::secret;
use crate::protocol::Stream;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How long one may take.
const WITHIN: Duration = Duration::from_secs(20);
/// So much of what one prints is shown.
const MOST: usize = 16 * 1024;

fn scripts(site: &Site) -> Vec<PathBuf> {
    let dir = site.repo_dir.join("hosts").join(&site.hostname).join("probes");
    let is_probe = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with('P') && name.ends_with(".sh")
    };
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut scripts: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(is_probe).collect();
    scripts.sort();
    scripts
}

/// How one ended, and what it printed.
struct Told {
    name: String,
    failed: Option<String>,
    lines: Vec<String>,
}

fn one(script: &Path, site: &Site) -> Told {
    let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(script);
    secret::hide_from(&mut command);
    command.current_dir(&site.repo_dir).env("NIXFLEET_HOSTNAME", &site.hostname);
    let bounds =
        Bounds { timeout: Some(WITHIN), leftovers: Leftovers::Killed, ..Bounds::default() };
    let output = match child::output(&mut command, MOST, &bounds) {
        Ok(output) => output,
        Err(error) => {
            return Told {
                name,
                failed: Some(format!("cannot be run: {error}")),
                lines: Vec::new(),
            };
        }
    };
    let failed = if output.ended.timed_out {
        Some(format!("did not end within {} s", WITHIN.as_secs()))
    } else {
        (output.ended.code != 0).then(|| format!("failed with exit code {}", output.ended.code))
    };
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = stdout.lines().chain(output.stderr.lines()).map(str::to_owned).collect();
    Told { name, failed, lines }
}

/// Runs all of them; answers which failed, and how.
pub(super) fn run(site: &Site, work: &mut Work<'_>) -> Option<String> {
    let scripts = scripts(site);
    let told: Vec<Told> = thread::scope(|scope| {
        let running: Vec<_> =
            scripts.iter().map(|script| scope.spawn(move || one(script, site))).collect();
        running.into_iter().filter_map(|probe| probe.join().ok()).collect()
    });
    for probe in &told {
        for line in &probe.lines {
            Lines::line(work, Stream::Stdout, line);
        }
        let how = probe.failed.as_deref().unwrap_or("passed");
        work.say(&format!("# Probe {} {how}", probe.name));
    }
    let failed = told.iter().find_map(|probe| {
        let how = probe.failed.as_ref()?;
        Some(format!("the probe {} {how}", probe.name))
    });
    // One that is lost has not passed.
    let lost = || (told.len() < scripts.len()).then(|| "a probe was lost".to_owned());
    failed.or_else(lost)
}
