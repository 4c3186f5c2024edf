//! `pull`: the agent's own clone is fetched and reset, a user's clone is only brought forward.

use crate::agent::jobs::work::{Failure, Work};
use crate::agent::repository::own::{self, Runs};
use crate::agent::repository::{self, Whose, user};
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
    let before = repository::checkout(site);
    let url = site.repo_url.as_deref().unwrap_or("origin");
    let address = secret::address_without_credentials(url);
    work.say(&format!("pulling {} of {address}", site.branch));
    match repository::whose(site) {
        Whose::Nobody | Whose::Agent => own::pull(site, work)?,
        Whose::User => bring_forward(site, work)?,
        Whose::Foreign(why) => return Err(Failure::Blocked(why)),
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

fn bring_forward(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    user::fetch(site, work)?;
    let state = repository::state(site);
    if let Some(why) = user::in_the_way(site, &state) {
        return Err(Failure::Blocked(why));
    }
    user::forward(site, work)
}
