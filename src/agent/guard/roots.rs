//! What a guarded switch needs is rooted as long as it may be needed: a path that only a unit names
//! is dead for the garbage collector.

use super::intent::Intent;
use crate::agent::site::Site;
use crate::base::atomic_file;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn dir(site: &Site) -> PathBuf {
    site.root.join("nix/var/nix/gcroots/nixfleet")
}

/// The package in the store that a file is in; the file itself elsewhere.
fn package<'a>(site: &Site, path: &'a Path) -> &'a Path {
    let in_store = |one: &&Path| one.parent() == Some(&site.store_dir);
    path.ancestors().find(in_store).unwrap_or(path)
}

fn links(site: &Site, intent: &Intent) -> [(PathBuf, PathBuf); 3] {
    let link = |what: &str| dir(site).join(format!("{}-{what}", intent.id));
    [
        (link("old"), intent.old.clone()),
        (link("new"), intent.new.clone()),
        (link("agent"), package(site, &intent.exe).to_owned()),
    ]
}

/// Roots both systems and the program.
///
/// # Errors
///
/// What the system says.
pub(crate) fn add(site: &Site, intent: &Intent) -> io::Result<()> {
    fs::create_dir_all(dir(site))?;
    for (link, target) in links(site, intent) {
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => symlink(target, &link)?,
        }
    }
    atomic_file::sync_directory_of(&dir(site).join("-"))
}

/// Lets them go.
pub(crate) fn remove(site: &Site, intent: &Intent) {
    for (link, _) in links(site, intent) {
        // A root too many costs room, no more.
        let _ = fs::remove_file(link);
    }
}
