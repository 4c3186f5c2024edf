//! NixOS and nix-darwin: a system profile, and `/run/current-system`.

use super::{NIXOS, ONLY_NIXOS, Platform, contained_agent, flake, generations, rebuild};
use crate::agent::site::Site;
use crate::base::child::{self, Bounds};
use crate::base::secret;
use crate::domain::generation::Generation;
use crate::protocol::SystemReport;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a system may take to say what it was built from.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Where a system says how its agent is started: NixOS, then nix-darwin.
pub(super) const UNITS: &[&str] = &[
    "etc/systemd/system/nixfleet-agent.service",
    "Library/LaunchDaemons/org.nixos.nixfleet-agent.plist",
];

/// The two differ only in the names of their programs.
pub(super) struct System {
    pub(super) tool: &'static str,
    pub(super) version: &'static str,
}

fn current(site: &Site) -> PathBuf {
    site.root.join("run/current-system")
}

fn profiles(site: &Site) -> PathBuf {
    site.root.join("nix/var/nix/profiles")
}

/// Version of a system's kernel, by the directory of its modules.
fn kernel_version(system: &Path) -> Option<String> {
    let modules = fs::read_dir(system.join("kernel-modules/lib/modules")).ok()?;
    let mut versions: Vec<String> =
        modules.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    versions.sort_unstable();
    versions.pop()
}

/// Whether another kernel or initrd, or other modules, would boot than were booted; `None` where that
/// cannot be told.
fn reboot_needed(booted: &Path, next: &Path) -> Option<bool> {
    let parts = ["kernel", "kernel-modules", "initrd"];
    let pairs = parts.iter().filter_map(|part| {
        let of = |system: &Path| fs::canonicalize(system.join(part)).ok();
        Some((of(booted)?, of(next)?))
    });
    pairs.map(|(was, is)| was != is).reduce(|one, other| one || other)
}

/// The generation that the profile points to.
fn pointed(profile: &Path, links: &[(u64, PathBuf)]) -> Option<u64> {
    let target = fs::read_link(profile).ok()?;
    Some(links.iter().find(|(_, link)| link.file_name() == target.file_name())?.0)
}

/// The generation before the one that the profile points to.
fn previous(profile: &Path, links: &[(u64, PathBuf)]) -> Option<u64> {
    let current = pointed(profile, links)?;
    links.iter().map(|(number, _)| *number).filter(|number| *number < current).max()
}

impl System {
    /// The commit that the running system says it was built from.
    fn asked_revision(&self, store_path: &Path) -> Option<String> {
        let program = store_path.join("sw/bin").join(self.version);
        let mut command = Command::new(program);
        command.arg("--configuration-revision");
        secret::hide_from(&mut command);
        let bounds = Bounds { timeout: Some(ANSWERS_WITHIN), ..Bounds::default() };
        let output = child::output(&mut command, 1000, &bounds).ok();
        let output = output.filter(|output| output.ended.ok())?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    /// Points the profile to a generation, and activates that or makes it the one that boots.
    fn set_and(&self, site: &Site, number: u64, how: &str) -> Result<Vec<Command>, String> {
        let link = profiles(site).join(format!("system-{number}-link"));
        if !link.exists() {
            return Err(format!("there is no generation {number} any more"));
        }
        let mut set = Command::new("nix-env");
        set.arg("-p").arg(self.profile(site));
        set.arg("--switch-generation").arg(number.to_string());
        let activate = if self.tool == NIXOS {
            let mut activate = Command::new(link.join("bin/switch-to-configuration"));
            activate.arg(how);
            activate
        } else {
            Command::new(link.join("activate"))
        };
        Ok(vec![set, activate])
    }
}

impl Platform for System {
    fn switch(&self, site: &Site) -> Vec<Command> {
        vec![rebuild(site, self.tool, &["switch", "--flake", &flake(site)])]
    }

    fn rollback(&self, site: &Site, generation: Option<u64>) -> Result<Vec<Command>, String> {
        let profile = profiles(site).join("system");
        // The one before is what the platform's own program knows how to go back to.
        let before = previous(&profile, &generations::links(&profiles(site), "system"));
        let Some(number) = generation.filter(|number| Some(*number) != before) else {
            return Ok(vec![rebuild(site, self.tool, &["switch", "--rollback"])]);
        };
        self.set_and(site, number, "switch")
    }

    fn boots_later(&self) -> bool {
        self.tool == NIXOS
    }

    fn boot(&self, site: &Site) -> Result<Vec<Command>, String> {
        if !self.boots_later() {
            return Err(ONLY_NIXOS.to_owned());
        }
        Ok(vec![rebuild(site, self.tool, &["boot", "--flake", &flake(site)])])
    }

    fn boot_generation(&self, site: &Site, number: u64) -> Result<Vec<Command>, String> {
        if !self.boots_later() {
            return Err(ONLY_NIXOS.to_owned());
        }
        self.set_and(site, number, "boot")
    }

    fn dry_run(&self, site: &Site) -> Vec<Command> {
        let build = self.build(site);
        if self.tool == "darwin-rebuild" {
            return vec![build];
        }
        // NixOS also says which units would be restarted.
        vec![build, rebuild(site, self.tool, &["dry-activate", "--flake", &flake(site)])]
    }

    fn system(&self, site: &Site) -> SystemReport {
        // What runs is what is active, never what the profile points to: a switch sets the
        // profile before it activates.
        let Ok(path) = fs::canonicalize(current(site)) else {
            return SystemReport::default();
        };
        let links = generations::links(&profiles(site), "system");
        let runs = generations::running(&profiles(site), "system", &links, &path);
        // What would boot is what the profile points to, whatever runs.
        let next = fs::canonicalize(profiles(site).join("system"));
        let (booted, next) = (site.root.join("run/booted-system"), next.unwrap_or(path.clone()));
        SystemReport {
            generation: runs,
            configuration_revision: self.asked_revision(&path),
            store_path: Some(path.to_string_lossy().into_owned()),
            activated_at: generations::changed_at(&current(site)),
            agent_path: contained_agent(&path, UNITS),
            reboot_needed: reboot_needed(&booted, &next),
            booted_kernel: kernel_version(&booted),
            next_kernel: kernel_version(&next),
            profile_path: generations::target(&profiles(site).join("system")),
        }
    }

    fn profile(&self, site: &Site) -> PathBuf {
        profiles(site).join("system")
    }

    fn running_path(&self, site: &Site) -> Option<PathBuf> {
        fs::canonicalize(current(site)).ok()
    }

    fn revision(&self, store_path: &Path) -> Option<String> {
        self.asked_revision(store_path)
    }

    fn build(&self, site: &Site) -> Command {
        rebuild(site, self.tool, &["build", "--flake", &flake(site)])
    }

    fn rollback_target(
        &self,
        site: &Site,
        generation: Option<u64>,
    ) -> Result<(u64, PathBuf), String> {
        let profile = self.profile(site);
        let before = || previous(&profile, &generations::links(&profiles(site), "system"));
        let number = generation.or_else(before).ok_or("there is no generation before this one")?;
        let link = profiles(site).join(format!("system-{number}-link"));
        match fs::canonicalize(link) {
            Ok(system) => Ok((number, system)),
            Err(_) => Err(format!("there is no generation {number} any more")),
        }
    }

    fn generation_of_profile(&self, site: &Site) -> Option<u64> {
        pointed(&self.profile(site), &generations::links(&profiles(site), "system"))
    }

    fn generations(&self, site: &Site) -> Vec<Generation> {
        let runs = fs::canonicalize(current(site)).ok();
        generations::list(&profiles(site), "system", runs.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::{kernel_version, reboot_needed};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A system whose kernel is this one.
    fn system(dir: &Path, name: &str, kernel: &str) -> std::path::PathBuf {
        let (system, kernel) = (dir.join(name), dir.join(kernel));
        fs::create_dir_all(&system).unwrap();
        fs::write(&kernel, "").unwrap();
        symlink(&kernel, system.join("kernel")).unwrap();
        system
    }

    #[test]
    fn a_reboot_is_needed_when_another_kernel_would_boot() {
        let dir = tempfile::tempdir().unwrap();
        let old = system(dir.path(), "old", "linux-1");
        let same = system(dir.path(), "same", "linux-1");
        let new = system(dir.path(), "new", "linux-2");
        assert_eq!(reboot_needed(&old, &same), Some(false));
        assert_eq!(reboot_needed(&old, &new), Some(true));
        assert_eq!(reboot_needed(&dir.path().join("nothing"), &new), None);
        assert_eq!(kernel_version(&new), None);
        fs::create_dir_all(new.join("kernel-modules/lib/modules/6.12.5")).unwrap();
        assert_eq!(kernel_version(&new).as_deref(), Some("6.12.5"));
    }
}
