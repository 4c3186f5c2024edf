//! `pull`: fetch, hard reset and clean, in the agent's own clone.

use crate::agent::jobs::work::{Failure, Work};
use crate::agent::repository;
use crate::agent::site::Site;

/// Brings the clone to the head of the branch.
pub(super) fn run(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    let _lock = repository::lock(site)?;
    let before = repository::checkout(site);
    let url = site.repo_url.as_deref().unwrap_or("origin");
    work.say(&format!("pulling {} of {url}", site.branch))?;
    for mut step in repository::pull(site)? {
        work.run(&mut step)?;
    }
    let after = repository::checkout(site);
    let short =
        |commit: Option<String>| commit.map_or_else(|| "nothing".to_owned(), |c| c[..7].to_owned());
    if before == after {
        work.say(&format!("already at {}", short(after)))?;
    } else {
        work.say(&format!("{} -> {}", short(before), short(after)))?;
    }
    Ok(())
}
