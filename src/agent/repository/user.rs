//! A user's own clone: only ever brought forward, as its owner.

use super::signed::{self, Signers};
use super::{LOCAL, REMOTE, Runs, State, git, local, remote_reference};
use crate::agent::site::Site;

/// Fetches the branch into the user's clone, without touching the checkout. Answers what to bring the
/// clone to.
///
/// # Errors
///
/// The command that failed, or in words why git cannot be run there, or why the head is not taken.
pub(crate) fn fetch<R: Runs>(
    site: &Site,
    signers: Option<&Signers>,
    runs: &mut R,
) -> Result<String, R::Error> {
    signed::fetch(site, signers, &[], runs)
}

/// What is in the way of bringing the clone forward, in the user's words; `None` if nothing is.
pub(crate) fn in_the_way(site: &Site, state: &State) -> Option<String> {
    let dir = site.repo_dir.display();
    if state.clean != Some(true) {
        let files = state.changed.join(", ");
        return Some(format!(
            "{dir} has changes of its own: {files}. Commit, stash or remove them"
        ));
    }
    let git = git(site).ok()?;
    let ask = |arguments: &[&str]| local(git.at(&site.repo_dir).args(arguments), LOCAL);
    let branch = ask(&["symbolic-ref", "--quiet", "--short", "HEAD"]).unwrap_or_default();
    if branch != site.branch {
        let is = if branch.is_empty() { "no branch".to_owned() } else { branch };
        return Some(format!("{dir} is on {is}, not on {}", site.branch));
    }
    match state.ahead {
        Some(0) => None,
        Some(commits) => {
            let remote = remote_reference(site);
            let behind = ask(&["rev-list", "--count", &format!("HEAD..{remote}"), "--"]);
            let diverged = behind.is_some_and(|count| count != "0");
            let how = if diverged { "has diverged from" } else { "is ahead of" };
            Some(format!("{dir} {how} origin/{} by {commits}. Push or rebase it", site.branch))
        }
        None => Some(format!("{dir}: git does not tell how far it is from its remote")),
    }
}

/// Brings the clone forward to `head`, which was fetched.
///
/// # Errors
///
/// As [`fetch`].
pub(crate) fn forward<R: Runs>(site: &Site, head: &str, runs: &mut R) -> Result<(), R::Error> {
    let mut command = git(site)?.at(&site.repo_dir);
    // Git takes ignored files for rubbish that a merge may overwrite, unless it is told.
    let merge = ["merge", "--ff-only", "--no-overwrite-ignore", "--quiet"];
    runs.run(command.args(merge).arg(head), REMOTE)
}
