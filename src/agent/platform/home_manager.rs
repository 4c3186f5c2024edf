//! Only home-manager: a profile in the user's home.

use super::{Platform, contained_agent, flake, generations, rebuild};
use crate::agent::site::Site;
use crate::domain::generation::Generation;
use crate::protocol::SystemReport;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Where a home says how its agent is started, on Linux and on macOS.
const UNITS: &[&str] = &[
    "home-files/.config/systemd/user/nixfleet-agent.service",
    "LaunchAgents/org.nix-community.home.nixfleet-agent.plist",
];

/// Home-manager by itself, on Linux or macOS.
pub(super) struct HomeManager;

fn profiles(site: &Site) -> PathBuf {
    site.home.join(".local/state/nix/profiles")
}

impl Platform for HomeManager {
    fn switch(&self, site: &Site) -> Vec<Command> {
        vec![rebuild(site, "home-manager", &["switch", "--flake", &flake(site)])]
    }

    fn rollback(&self, site: &Site, generation: Option<u64>) -> Result<Vec<Command>, String> {
        let links = generations::links(&profiles(site), "home-manager");
        let runs = self.system(site).generation;
        let target = match generation {
            Some(number) => links.iter().find(|(n, _)| *n == number),
            None => links.iter().find(|(n, _)| runs.is_some_and(|runs| *n < runs)),
        };
        let (_, link) = target.ok_or("there is no such generation")?;
        // Each generation brings its own program to activate it.
        Ok(vec![Command::new(link.join("activate"))])
    }

    fn dry_run(&self, site: &Site) -> Vec<Command> {
        vec![self.build(site)]
    }

    fn build(&self, site: &Site) -> Command {
        rebuild(site, "home-manager", &["build", "--flake", &flake(site)])
    }

    fn system(&self, site: &Site) -> SystemReport {
        let profile = profiles(site).join("home-manager");
        let Ok(path) = fs::canonicalize(&profile) else {
            return SystemReport::default();
        };
        let links = generations::links(&profiles(site), "home-manager");
        let runs = generations::running(&profiles(site), "home-manager", &links, &path);
        SystemReport {
            generation: runs,
            store_path: Some(path.to_string_lossy().into_owned()),
            // Home-manager does not record the commit.
            configuration_revision: None,
            activated_at: generations::changed_at(&profile),
            agent_path: contained_agent(&path, UNITS),
            reboot_needed: None,
            booted_kernel: None,
            next_kernel: None,
            profile_path: Some(path.to_string_lossy().into_owned()),
        }
    }

    fn profile(&self, site: &Site) -> PathBuf {
        profiles(site).join("home-manager")
    }

    fn running_path(&self, site: &Site) -> Option<PathBuf> {
        fs::canonicalize(profiles(site).join("home-manager")).ok()
    }

    fn generations(&self, site: &Site) -> Vec<Generation> {
        let runs = fs::canonicalize(profiles(site).join("home-manager")).ok();
        generations::list(&profiles(site), "home-manager", runs.as_deref())
    }
}
