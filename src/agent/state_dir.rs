//! The agent's own directory: nobody else may write there, for what is in it runs as the agent.

use nix::unistd::{Uid, User};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes the directory, if it is missing.
///
/// # Errors
///
/// What the system says.
pub(crate) fn prepare(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Why the directory must not be used, in the user's words; `None` if it may.
pub(crate) fn is_unsafe(dir: &Path) -> Option<String> {
    [dir.to_owned(), dir.join("jobs")].iter().find_map(|dir| others_may_write(dir))
}

fn others_may_write(dir: &Path) -> Option<String> {
    // What is not there yet is made with the right mode.
    let data = fs::metadata(dir).ok()?;
    let (me, mode) = (Uid::effective(), data.mode() & 0o7777);
    let owner = Uid::from_raw(data.uid());
    let shown = dir.display();
    if owner != me && !owner.is_root() {
        return Some(format!(
            "{shown} belongs to {}, and this agent runs as {}: its jobs could come from somebody \
             else. Give it to {}: chown {} {shown}",
            name_of(owner),
            name_of(me),
            name_of(me),
            me.as_raw()
        ));
    }
    if mode & 0o022 != 0 {
        return Some(format!(
            "{shown} has mode {mode:04o} and belongs to {}: others may write there, and what is in \
             it runs as {}. chmod 0700 {shown}",
            name_of(owner),
            name_of(me)
        ));
    }
    None
}

fn name_of(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Finding 14 of the security review: jobs that others planted ran as root.
    #[test]
    fn a_directory_that_others_may_write_is_refused_with_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        prepare(&state).unwrap();
        assert_eq!(is_unsafe(&state), None);
        for mode in [0o770, 0o702, 0o1777] {
            fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
            let why = is_unsafe(&state).unwrap();
            assert!(why.contains(&format!("mode {mode:04o}")) && why.contains("chmod"), "{why}");
        }
        fs::set_permissions(&state, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(is_unsafe(&state), None);
        prepare(&state.join("jobs")).unwrap();
        fs::set_permissions(state.join("jobs"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(is_unsafe(&state).unwrap().contains("jobs"));
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        if !Uid::effective().is_root() {
            println!("not shown: this needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(65534), None).unwrap();
        let why = is_unsafe(dir.path()).unwrap();
        assert!(why.contains("belongs to") && why.contains("chown"), "{why}");
    }
}
