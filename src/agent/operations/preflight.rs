//! What is looked at before anything is done: room on the disks, an activation by hand, power. What
//! is missing blocks the operation, with what helps; the user may go on regardless.

use crate::agent::disk::{self, Use};
use crate::agent::jobs::activation;
use crate::agent::jobs::work::Failure;
use crate::agent::site::Site;
use crate::domain::disk::{self as room, FILES};
use crate::domain::operation::{Operation, Regardless};
use crate::protocol::DiskReport;
use std::fs;
use std::path::Path;

const MIB: u64 = 1024 * 1024;
/// Below so many percent a battery is nearly empty.
const BATTERY: u32 = 20;

/// Whether the operation may begin. The failure says in the user's words what is in the way.
pub(super) fn check(site: &Site, op: Operation, regardless: &[Regardless]) -> Result<(), Failure> {
    let (pulls, activates) = match op {
        Operation::Pull => (true, false),
        Operation::Switch => (false, true),
        Operation::PullSwitch => (true, true),
        Operation::Rollback => return nobody_activates(site),
        Operation::Test | Operation::DryRun | Operation::RestartAgent | Operation::Reboot => {
            return Ok(());
        }
    };
    if activates {
        nobody_activates(site)?;
    }
    let looks = |what| !regardless.contains(&what);
    if looks(Regardless::Space)
        && let Some(why) = too_full(site, pulls, activates)
    {
        return Err(Failure::Blocked(why, Some(Regardless::Space)));
    }
    if activates
        && site.check_power
        && looks(Regardless::Power)
        && let Some(why) = battery(&site.root.join("sys/class/power_supply"))
    {
        return Err(Failure::Blocked(why, Some(Regardless::Power)));
    }
    Ok(())
}

/// Nobody may go on regardless of this: the two would destroy each other's work.
pub(super) fn nobody_activates(site: &Site) -> Result<(), Failure> {
    let Some(what) = activation::in_progress(site) else {
        return Ok(());
    };
    let why = format!("{what} activates a system on this machine now: wait until it has ended");
    Err(Failure::Blocked(why, None))
}

fn too_full(site: &Site, pulls: bool, activates: bool) -> Option<String> {
    disk::places(site).into_iter().find_map(|(of, dir)| {
        let (matters, needed, helps) = match of {
            Use::Store => (activates, room::BUILD, "nix-collect-garbage makes room"),
            Use::Boot => {
                let helps = "remove old generations (nix-collect-garbage -d) and switch again";
                (activates, 50 * MIB, helps)
            }
            Use::State => (pulls || activates, 100 * MIB, "make room there"),
        };
        let disk = if matters { disk::of(&dir) } else { None };
        missing(&disk?, &dir, needed, helps)
    })
}

/// What a disk is short of. Of a small disk, a tenth must be free.
fn missing(disk: &DiskReport, dir: &Path, needed: u64, helps: &str) -> Option<String> {
    let dir = dir.display();
    let needed = room::enough(needed, disk.total);
    if disk.free < needed {
        let (free, needed) = (disk.free / MIB, needed.div_ceil(MIB));
        return Some(format!("{dir} has {free} MiB free and needs {needed} MiB: {helps}."));
    }
    match disk.inodes_free {
        Some(free) if free < FILES => {
            Some(format!("{dir} has room for {free} files and needs {FILES}: {helps}."))
        }
        Some(_) | None => None,
    }
}

/// A battery that is nearly empty and not being charged.
fn battery(supplies: &Path) -> Option<String> {
    let supplies: Vec<_> = fs::read_dir(supplies).ok()?.flatten().map(|e| e.path()).collect();
    let text = |dir: &Path, name: &str| {
        fs::read_to_string(dir.join(name)).unwrap_or_default().trim().to_owned()
    };
    let is_plugged_in = supplies.iter().any(|dir| {
        ["Mains", "USB"].contains(&text(dir, "type").as_str()) && text(dir, "online") == "1"
    });
    if is_plugged_in {
        return None;
    }
    let batteries = supplies
        .iter()
        .filter(|dir| text(dir, "type") == "Battery" && text(dir, "status") == "Discharging");
    let levels = batteries.filter_map(|dir| text(dir, "capacity").parse::<u32>().ok());
    let level = levels.max()?;
    if level >= BATTERY {
        return None;
    }
    Some(format!("The battery is at {level} % and is not charged: plug it in."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free: u64, total: u64, inodes_free: Option<u64>) -> DiskReport {
        DiskReport { mount: "/".into(), free, total, inodes_free }
    }

    #[test]
    fn a_disk_without_room_is_named_with_what_is_missing_and_what_helps() {
        let dir = Path::new("/nix/store");
        let of = |disk: &DiskReport| missing(disk, dir, 1024 * MIB, "clean up");
        let said = of(&disk(10 * MIB, 1_000_000 * MIB, None)).unwrap();
        assert_eq!(said, "/nix/store has 10 MiB free and needs 1024 MiB: clean up.");
        let said = of(&disk(2000 * MIB, 1_000_000 * MIB, Some(999))).unwrap();
        assert_eq!(said, "/nix/store has room for 999 files and needs 1000: clean up.");
        assert_eq!(of(&disk(1024 * MIB, 1_000_000 * MIB, Some(1000))), None);
        // A small disk, such as that of a boot loader.
        assert_eq!(of(&disk(7 * MIB, 64 * MIB, None)), None);
        assert!(of(&disk(6 * MIB, 64 * MIB, None)).is_some());
    }

    #[test]
    fn only_a_battery_that_is_nearly_empty_and_not_charged_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let set = |supply: &str, values: &[(&str, &str)]| {
            fs::create_dir_all(dir.path().join(supply)).unwrap();
            for (name, value) in values {
                fs::write(dir.path().join(supply).join(name), format!("{value}\n")).unwrap();
            }
        };
        assert_eq!(battery(&dir.path().join("nothing")), None);
        set("BAT0", &[("type", "Battery"), ("status", "Discharging"), ("capacity", "19")]);
        assert!(battery(dir.path()).unwrap().contains("19 %"));
        set("BAT0", &[("capacity", "20")]);
        assert_eq!(battery(dir.path()), None);
        set("BAT0", &[("capacity", "5")]);
        set("AC", &[("type", "Mains"), ("online", "1")]);
        assert_eq!(battery(dir.path()), None);
    }
}
