//! `switch`, `rollback` and `dry-run`: by the platform's own program.

use crate::agent::jobs::work::{Failure, Work};
use crate::agent::platform;
use crate::agent::repository;
use crate::agent::site::Site;
use std::process::Command;

/// Builds and activates the checkout.
pub(super) fn switch(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    // A pull of somebody else must not move the checkout while it is built.
    let _lock = repository::lock(site)?;
    if repository::checkout(site).is_none() {
        return Err(Failure::Refused(1, "there is no checkout yet: pull first".to_owned()));
    }
    run_all(platform::of(site).switch(site), work)
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
    let _lock = repository::lock(site)?;
    run_all(platform::of(site).dry_run(site), work)
}

fn run_all(steps: Vec<Command>, work: &mut Work<'_>) -> Result<(), Failure> {
    for mut step in steps {
        let words = step.get_args().map(|word| word.to_string_lossy().into_owned());
        let program = step.get_program().to_string_lossy().into_owned();
        let line: Vec<String> = std::iter::once(program).chain(words).collect();
        work.say(&format!("$ {}", line.join(" ")))?;
        work.run(&mut step)?;
    }
    Ok(())
}
