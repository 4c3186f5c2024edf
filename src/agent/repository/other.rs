//! A commit that is not checked out, in a directory of its own: to build it before anybody deploys it.

use super::signed::{self, Signers};
use super::{LOCAL, REMOTE, Runs, git};
use crate::agent::site::Site;
use crate::base::git::Git;
use crate::domain::ids::WholeCommit;
use std::path::Path;

/// Brings `commit` from the remote and checks it out at `to`, which must not be there yet. The clone
/// gets the commit's objects; what is checked out there stays. Where there are signers one of them must
/// have signed it: to say what it would do, a system runs a program of its own. The clone must be held
/// by the caller ([`super::lock`]).
///
/// # Errors
///
/// The first command that failed: above all, the remote does not give that commit. In words, why it
/// is not taken.
pub(crate) fn bring<R: Runs>(
    site: &Site,
    commit: &WholeCommit,
    signers: Option<&Signers>,
    to: &Path,
    runs: &mut R,
) -> Result<(), R::Error> {
    let from = &site.repo_dir;
    let fetch = ["fetch", "--no-tags", "--no-write-fetch-head", "origin", commit.as_str()];
    runs.run(git(site)?.at(from).args(fetch), REMOTE)?;
    if let Some(signers) = signers {
        let said = signed::verify(site, signers, commit, false)?;
        runs.say(&said);
    }
    // The copy is this user's own, whoever owns the clone.
    let config = to.with_extension("gitconfig");
    let ours = Git::new()
        .trusting(&config, &[from])
        .map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
    // All objects come along, also those that no branch leads to, as these.
    let clone = ["clone", "--quiet", "--local", "--no-checkout", "--"];
    runs.run(ours.command().args(clone).arg(from).arg(to), LOCAL)?;
    runs.run(ours.at(to).args(["checkout", "--quiet", "--detach", commit.as_str()]), LOCAL)
}
