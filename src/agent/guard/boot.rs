//! A system that starts at the next boot, instead of being activated now.

use super::intent::{self, Intent};
use super::keep;
use crate::agent::disk;
use crate::agent::jobs::work::Failure;
use crate::agent::read;
use crate::agent::site::Site;
use crate::domain::guard::{self, INHIBITORS, Runs};
use crate::domain::operation::Regardless;
use crate::protocol::Built;
use std::fs;
use std::path::Path;

/// The largest list of what inhibits, in bytes.
const MAX_INHIBITORS: u64 = 1024 * 1024;
/// What a boot loader copies to its disk.
const PARTS: [&str; 2] = ["kernel", "initrd"];
const MIB: u64 = 1024 * 1024;

/// What keeps `new` from being activated while `old` runs.
pub(super) fn inhibitors(old: &Path, new: &Path) -> Vec<String> {
    let file = |system: &Path| {
        // A link of the system's own, into the store.
        let path = fs::canonicalize(system.join(INHIBITORS)).ok()?;
        read::plain_file(&path, MAX_INHIBITORS).ok()
    };
    match (file(old), file(new)) {
        (Some(old), Some(new)) => guard::inhibitors(&old, &new),
        (None, _) | (_, None) => Vec::new(),
    }
}

/// Whether the boot loader's disk has room for what of `new` boots and is another than that of `old`.
///
/// # Errors
///
/// It has not: blocked, with what helps.
pub(super) fn has_room(site: &Site, old: &Path, new: &Path) -> Result<(), Failure> {
    let boot = site.root.join("boot");
    let Some(disk) = disk::of(&boot) else { return Ok(()) };
    let of = |system: &Path, part: &str| fs::canonicalize(system.join(part)).ok();
    let fresh = PARTS.iter().filter_map(|part| {
        let path = of(new, part).filter(|path| Some(path) != of(old, part).as_ref())?;
        Some(fs::metadata(path).ok()?.len())
    });
    let needed = guard::room_to_boot(&fresh.collect::<Vec<u64>>());
    if disk.free >= needed {
        return Ok(());
    }
    let (boot, free, needed) = (boot.display(), disk.free / MIB, needed.div_ceil(MIB));
    let why = format!(
        "{boot} has {free} MiB free and the new kernel and initrd need {needed} MiB: remove old \
         generations (nix-collect-garbage -d) and switch again."
    );
    Err(Failure::Blocked(why, Some(Regardless::Space)))
}

/// What a job built whose intent is this, as its end tells it.
pub(super) fn built(dir: &Path, site: &Site, intent: &Intent, well: bool) -> Option<Built> {
    if well && intent::boots(dir) && keep::runs(site, intent) != Runs::New {
        return Some(Built::that_boots(intent.built.clone(), &intent.new));
    }
    intent.built.clone()
}
