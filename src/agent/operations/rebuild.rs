//! `switch`, `rollback` and `dry-run`: by the platform's own program.

use super::preflight;
use crate::agent::guard::{self, preflight::Target};
use crate::agent::jobs::Order;
use crate::agent::jobs::work::{Failure, Work};
use crate::agent::platform;
use crate::agent::repository;
use crate::agent::site::Site;
use crate::domain::closure_diff;
use crate::domain::command::WorkPhase;
use crate::domain::ids::WholeCommit;
use crate::domain::operation::Regardless;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long comparing two closures may take: the list is a courtesy.
const COMPARE_WITHIN: Duration = Duration::from_secs(120);

/// Builds and activates the checkout.
pub(super) fn switch(order: &Order, work: &mut Work<'_>) -> Result<(), Failure> {
    let site = &order.site;
    // A pull of somebody else must not move the checkout while it is built.
    let _lock = work.hold_the_clone(site)?;
    if repository::checkout(site).is_none() {
        return Err(Failure::Refused(1, "there is no checkout yet: pull first".to_owned()));
    }
    let platform = platform::of(site);
    let before = platform.system(site).store_path;
    work.builds(site);
    match order.is_guarded() {
        true => guarded(order, platform.build(site), work)?,
        false => {
            if !order.held.is_empty() || order.args.plan.is_some() {
                // Nothing is activated before it is known what: the program that follows builds no
                // more.
                let system = build(platform.build(site), work)?;
                may_be_activated(order, &system)?;
            }
            if order.args.boots() {
                return at_the_next_boot(site, platform.boot(site), work);
            }
            let watch = work.begins_to_switch(site);
            run_all(platform.switch(site), work)?;
            drop(watch);
        }
    }
    if let (Some(before), Some(after)) = (before, platform.system(site).store_path)
        && before != after
    {
        compare(site, work, Path::new(&before), Path::new(&after));
    }
    Ok(())
}

/// The same under the guard: the rebuild program builds, and the agent does the rest.
fn guarded(order: &Order, command: Command, work: &mut Work<'_>) -> Result<(), Failure> {
    let system = build(command, work)?;
    work.has_built(&system);
    may_be_activated(order, &system)?;
    // Somebody may have begun in the meantime.
    preflight::nobody_activates(&order.site)?;
    let target = Target { system, generation: None };
    guard::switch::run(order, target, work)
}

/// Makes a system the one that boots by the platform's own program, and activates nothing.
fn at_the_next_boot(
    site: &Site,
    steps: Result<Vec<Command>, String>,
    work: &mut Work<'_>,
) -> Result<(), Failure> {
    let steps = steps.map_err(|reason| Failure::Refused(1, reason))?;
    // The entries of the boot loader are written by what activates otherwise.
    let watch = work.begins_to_switch(site);
    run_all(steps, work)?;
    drop(watch);
    let system = fs::canonicalize(platform::of(site).profile(site));
    let system = system.map_err(|error| Failure::Refused(1, format!("nothing boots: {error}")))?;
    work.starts_at_the_next_boot(&system);
    work.say(&format!("{} starts at the next boot", system.display()));
    Ok(())
}

/// Builds, and answers what that came to. What is built stays below the job, and goes with it.
fn build(mut command: Command, work: &mut Work<'_>) -> Result<PathBuf, Failure> {
    work.enters(WorkPhase::Build);
    command.current_dir(work.dir());
    run_all(vec![command], work)?;
    let system = fs::canonicalize(work.dir().join("result"));
    system.map_err(|error| Failure::Refused(1, format!("the build left no system behind: {error}")))
}

/// Nothing was activated yet: only what somebody read, where they named it, and nothing that is held.
fn may_be_activated(order: &Order, system: &Path) -> Result<(), Failure> {
    if let Some(plan) = order.args.plan.as_ref().filter(|plan| Path::new(plan.as_str()) != system) {
        let (built, plan) = (system.display(), plan.as_str());
        let why = format!(
            "The plan is out of date: the build came to {built}, the plan was {plan}. Look at what \
             would change once more."
        );
        return Err(Failure::Blocked(why, None));
    }
    is_not_held(system, &order.held)
}

/// What the host went back from does not come back by itself.
fn is_not_held(system: &Path, held: &[String]) -> Result<(), Failure> {
    if !held.iter().any(|path| Path::new(path) == system) {
        return Ok(());
    }
    let why = format!("The build came to {}, which this host went back from.", system.display());
    Err(Failure::Blocked(why, Some(Regardless::Held)))
}

/// Activates an earlier generation: the one before, or the one that was asked for.
pub(super) fn rollback(order: &Order, work: &mut Work<'_>) -> Result<(), Failure> {
    let (site, generation) = (&order.site, order.args.generation);
    if order.is_guarded() {
        let target = platform::of(site).rollback_target(site, generation);
        let (number, system) = target.map_err(|reason| Failure::Refused(1, reason))?;
        work.say(&format!("rolling back to generation {number}"));
        let target = Target { system, generation: Some(number) };
        return guard::switch::run(order, target, work);
    }
    if order.args.boots() {
        let target = platform::of(site).rollback_target(site, generation);
        let (number, _) = target.map_err(|reason| Failure::Refused(1, reason))?;
        return at_the_next_boot(site, platform::of(site).boot_generation(site, number), work);
    }
    let steps = platform::of(site).rollback(site, generation);
    work.enters(WorkPhase::Activate);
    run_all(steps.map_err(|reason| Failure::Refused(1, reason))?, work)
}

/// Builds the checkout, or another commit, and says what activating it would do.
pub(super) fn dry_run(
    site: &Site,
    commit: Option<&WholeCommit>,
    work: &mut Work<'_>,
) -> Result<(), Failure> {
    let _lock = work.hold_the_clone(site)?;
    let platform = platform::of(site);
    let mut steps = match commit {
        None => {
            work.builds(site);
            platform.dry_run(site)
        }
        Some(commit) => {
            work.builds_commit(commit);
            let other = work.dir().join("other");
            let signers = super::pull::signers(site)?;
            repository::other::bring(site, commit, signers.as_ref(), &other, work)?;
            platform.dry_run(&Site { repo_dir: other, ..site.clone() })
        }
    };
    for step in &mut steps {
        // What is built stays below the job, and goes with it.
        step.current_dir(work.dir());
    }
    run_all(steps, work)?;
    let built = fs::canonicalize(work.dir().join("result")).ok();
    if let Some(built) = &built {
        // Told with the outcome: a switch can be asked for that comes to this or is blocked.
        work.has_built(built);
    }
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
