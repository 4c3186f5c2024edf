//! `switch`, `rollback` and `dry-run`: by the platform's own program.

use crate::agent::jobs::work::{Failure, Work};
use crate::agent::platform;
use crate::agent::repository;
use crate::agent::site::Site;
use crate::domain::closure_diff;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long comparing two closures may take: the list is a courtesy.
const COMPARE_WITHIN: Duration = Duration::from_secs(120);

/// Builds and activates the checkout.
pub(super) fn switch(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    // A pull of somebody else must not move the checkout while it is built.
    let _lock = work.hold_the_clone(site)?;
    if repository::checkout(site).is_none() {
        return Err(Failure::Refused(1, "there is no checkout yet: pull first".to_owned()));
    }
    let platform = platform::of(site);
    let before = platform.system(site).store_path;
    run_all(platform.switch(site), work)?;
    if let (Some(before), Some(after)) = (before, platform.system(site).store_path)
        && before != after
    {
        compare(site, work, Path::new(&before), Path::new(&after));
    }
    Ok(())
}

/// Activates an earlier generation: the one before, or `generation`.
pub(super) fn rollback(
    site: &Site,
    generation: Option<u64>,
    work: &mut Work<'_>,
) -> Result<(), Failure> {
    let steps = platform::of(site).rollback(site, generation);
    run_all(steps.map_err(|reason| Failure::Refused(1, reason))?, work)
}

/// Builds the checkout and says what activating it would do.
pub(super) fn dry_run(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    let _lock = work.hold_the_clone(site)?;
    let platform = platform::of(site);
    let mut steps = platform.dry_run(site);
    for step in &mut steps {
        // What is built stays below the job, and goes with it.
        step.current_dir(work.dir());
    }
    run_all(steps, work)?;
    let built = fs::canonicalize(work.dir().join("result")).ok();
    if let (Some(runs), Some(built)) = (platform.system(site).store_path, built) {
        compare(site, work, Path::new(&runs), &built);
    }
    Ok(())
}

/// Writes what differs between two closures into the log, where the dashboard finds it. That
/// it cannot be told is no failure of the operation.
fn compare(site: &Site, work: &mut Work<'_>, from: &Path, to: &Path) {
    if ![from, to].iter().all(|path| path.starts_with(&site.store_dir)) {
        return;
    }
    work.say(&format!("{}: {} to {}", closure_diff::BEGINS, from.display(), to.display()));
    let mut command = Command::new("nix");
    command.args(["--extra-experimental-features", "nix-command", "store", "diff-closures"]);
    // What was asked for is done: a stop comes too late to make it undone.
    let _ = work.try_run(command.arg(from).arg(to), Some(COMPARE_WITHIN));
    work.say(closure_diff::ENDS);
}

fn run_all(steps: Vec<Command>, work: &mut Work<'_>) -> Result<(), Failure> {
    for mut step in steps {
        let words = step.get_args().map(|word| word.to_string_lossy().into_owned());
        let program = step.get_program().to_string_lossy().into_owned();
        let line: Vec<String> = std::iter::once(program).chain(words).collect();
        work.say(&format!("$ {}", line.join(" ")));
        work.run(&mut step)?;
    }
    Ok(())
}
