//! `pull`: the agent's own clone is fetched and reset, a user's clone is only brought forward.

use crate::agent::jobs::work::{Failure, Work};
use crate::agent::repository::signed::Signers;
use crate::agent::repository::{self, Runs, Whose, own, user};
use crate::agent::site::Site;
use crate::base::secret;
use std::process::Command;
use std::time::Duration;

impl Runs for Work<'_> {
    type Error = Failure;

    fn run(&mut self, command: &mut Command, timeout: Duration) -> Result<(), Failure> {
        self.run_within(command, timeout)
    }

    fn say(&mut self, text: &str) {
        Work::say(self, text);
    }
}

/// Brings the checkout to the head of the branch.
pub(super) fn run(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    let _lock = work.hold_the_clone(site)?;
    let signers = signers(site)?;
    let signers = signers.as_ref();
    let before = repository::checkout(site);
    let url = site.repo_url.as_deref().unwrap_or("origin");
    let address = secret::address_without_credentials(url);
    work.say(&format!("pulling {} of {address}", site.branch));
    match repository::whose(site) {
        Whose::Nobody | Whose::Agent => own::pull(site, signers, work)?,
        Whose::User => bring_forward(site, signers, work)?,
        Whose::Foreign(why) => return Err(Failure::Blocked(why, None)),
    }
    let after = repository::checkout(site);
    let short =
        |commit: Option<String>| commit.map_or_else(|| "nothing".to_owned(), |c| c[..7].to_owned());
    if before == after {
        work.say(&format!("already at {}", short(after)));
    } else {
        work.say(&format!("{} -> {}", short(before), short(after)));
    }
    Ok(())
}

/// Who may sign what this host takes, if it was told. Nothing was done where that cannot be read.
pub(super) fn signers(site: &Site) -> Result<Option<Signers>, Failure> {
    Signers::of(site).map_err(|why| Failure::Blocked(why, None))
}

fn bring_forward(
    site: &Site,
    signers: Option<&Signers>,
    work: &mut Work<'_>,
) -> Result<(), Failure> {
    let head = user::fetch(site, signers, work)?;
    let state = repository::state(site);
    if let Some(why) = user::in_the_way(site, &state) {
        return Err(Failure::Blocked(why, None));
    }
    user::forward(site, &head, work)
}
