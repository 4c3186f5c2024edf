//! What differs between NixOS, nix-darwin and home-manager: how to rebuild, and what runs.

mod generations;
mod home_manager;
mod system;

use super::site::Site;
use crate::cli::Platform as Kind;
use crate::domain::generation::Generation;
use crate::protocol::SystemReport;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A way to rebuild a machine and to see what runs on it.
pub trait Platform {
    /// Builds and activates the checkout.
    fn switch(&self, site: &Site) -> Vec<Command>;
    /// Activates an earlier generation. The error says why that cannot be done.
    fn rollback(&self, site: &Site, generation: Option<u64>) -> Result<Vec<Command>, String>;
    /// Builds the checkout as `result` in the directory where it runs, and says what activating
    /// it would do.
    fn dry_run(&self, site: &Site) -> Vec<Command>;
    /// What runs; fields that cannot be told are missing.
    fn system(&self, site: &Site) -> SystemReport;
    /// The commit that a system says it was built from.
    fn revision(&self, _store_path: &Path) -> Option<String> {
        None
    }
    /// The last ten generations, newest first.
    fn generations(&self, site: &Site) -> Vec<Generation>;
}

/// The machine's platform.
pub fn of(site: &Site) -> Box<dyn Platform> {
    match site.platform {
        Kind::NixOs => Box::new(system::System { tool: "nixos-rebuild", version: "nixos-version" }),
        Kind::Darwin => {
            Box::new(system::System { tool: "darwin-rebuild", version: "darwin-version" })
        }
        Kind::HomeManager => Box::new(home_manager::HomeManager),
    }
}

/// `REPO#HOST`, as every rebuild program takes it.
fn flake(site: &Site) -> String {
    format!("{}#{}", site.repo_dir.display(), site.hostname)
}

/// Store path of the agent that a system contains, from the file that starts it.
fn contained_agent(system: &Path, units: &[&str]) -> Option<String> {
    let unit = units.iter().find_map(|unit| fs::read_to_string(system.join(unit)).ok())?;
    started_agent(&unit)
}

/// The store path before the first `/bin/nixfleet` in a unit or a plist.
fn started_agent(unit: &str) -> Option<String> {
    let end = unit.find("/bin/nixfleet")?;
    let not_in_a_path = |c: char| c.is_whitespace() || "\"'=>".contains(c);
    let begin = unit[..end].rfind(not_in_a_path).map_or(0, |at| at + 1);
    Some(unit[begin..end].to_owned()).filter(|path| path.starts_with('/'))
}

/// The rebuild program: the one that was given, else the platform's own.
fn rebuild(site: &Site, own: &str, arguments: &[&str]) -> Command {
    match &site.rebuild {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None => {
            let mut command = Command::new(own);
            command.args(arguments);
            if own == "nixos-rebuild" {
                // It would build a newer copy of itself first, and lose the job to it.
                command.arg("--no-reexec");
            }
            command
        }
    }
}

#[cfg(test)]
mod tests {
    use super::started_agent;

    #[test]
    fn the_agent_that_a_system_contains_is_found_in_its_unit_or_plist() {
        let expected = Some("/nix/store/abc-nixfleet-4.0.0".to_owned());
        for unit in [
            "[Service]\nExecStart=/nix/store/abc-nixfleet-4.0.0/bin/nixfleet --agent\n",
            "ExecStart=\"/nix/store/abc-nixfleet-4.0.0/bin/nixfleet\" \"--agent\"",
            "<array><string>/nix/store/abc-nixfleet-4.0.0/bin/nixfleet</string>",
        ] {
            assert_eq!(started_agent(unit), expected, "{unit}");
        }
        assert_eq!(started_agent("ExecStart=/bin/true"), None);
        assert_eq!(started_agent("ExecStart=nixfleet"), None);
    }
}
