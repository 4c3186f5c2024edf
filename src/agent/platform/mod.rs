//! What differs between NixOS, nix-darwin and home-manager: how to rebuild, and what runs.

mod generations;
mod home_manager;
mod system;

use super::site::Site;
use crate::agent::config::Platform as Kind;
use crate::domain::generation::Generation;
use crate::protocol::SystemReport;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rebuild program of NixOS.
const NIXOS: &str = "nixos-rebuild";
/// Why nothing else has a system start at the next boot.
const ONLY_NIXOS: &str = "only NixOS can have another system start at the next boot";

/// A way to rebuild a machine and to see what runs on it.
pub(crate) trait Platform {
    /// Builds and activates the checkout.
    fn switch(&self, site: &Site) -> Vec<Command>;
    /// Activates an earlier generation. The error says why that cannot be done.
    fn rollback(&self, site: &Site, generation: Option<u64>) -> Result<Vec<Command>, String>;
    /// Builds the checkout as `result` in the directory where it runs, and says what activating
    /// it would do.
    fn dry_run(&self, site: &Site) -> Vec<Command>;
    /// What runs; fields that cannot be told are missing.
    fn system(&self, site: &Site) -> SystemReport;
    /// The profile's link: what a boot would activate.
    fn profile(&self, site: &Site) -> PathBuf;
    /// What runs, resolved.
    fn running_path(&self, site: &Site) -> Option<PathBuf>;
    /// The commit that a system says it was built from.
    fn revision(&self, _store_path: &Path) -> Option<String> {
        None
    }
    /// The last ten generations, newest first.
    fn generations(&self, site: &Site) -> Vec<Generation>;
    /// Builds the checkout as `result` in the directory where it runs, and no more.
    fn build(&self, site: &Site) -> Command;
    /// Number and system of the generation that a rollback goes to: the one before, or this one.
    /// The error says why there is none.
    fn rollback_target(&self, _: &Site, _: Option<u64>) -> Result<(u64, PathBuf), String> {
        Err("rollbacks of this platform are not guarded".to_owned())
    }
    /// Whether it can make a system the one that boots, and activate nothing.
    fn boots_later(&self) -> bool {
        false
    }
    /// Builds the checkout and makes it the one that boots. The error says why that cannot be done.
    fn boot(&self, _: &Site) -> Result<Vec<Command>, String> {
        Err(ONLY_NIXOS.to_owned())
    }
    /// Makes an earlier generation the one that boots.
    fn boot_generation(&self, _: &Site, _: u64) -> Result<Vec<Command>, String> {
        Err(ONLY_NIXOS.to_owned())
    }
    /// The number of the generation that the profile points to.
    fn generation_of_profile(&self, _site: &Site) -> Option<u64> {
        None
    }
}

/// The machine's platform.
pub(crate) fn of(site: &Site) -> Box<dyn Platform + Send> {
    match site.platform {
        Kind::NixOs => Box::new(system::System { tool: NIXOS, version: "nixos-version" }),
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

/// Store path of the agent that a system of NixOS contains.
pub(crate) fn contained_agent_of(system: &Path) -> Option<String> {
    contained_agent(system, system::UNITS)
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
    let mut command = match &site.rebuild {
        Some(program) => Command::new(program),
        None => Command::new(own),
    };
    command.args(arguments);
    if site.rebuild.is_none() && own == NIXOS {
        // It would build a newer copy of itself first, and lose the job to it.
        command.arg("--no-reexec");
    }
    command.args(&site.rebuild_flags);
    command
}

#[cfg(test)]
mod tests {
    use super::{of, started_agent};
    use crate::agent::config::{GuardSettings, Platform, SignerFiles};
    use crate::agent::site::Site;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Duration;

    fn site(platform: Platform, root: &Path) -> Site {
        Site {
            hostname: "mba".to_owned(),
            platform,
            repo_url: None,
            repo_dir: PathBuf::from("/repo"),
            branch: "main".to_owned(),
            ssh_key: None,
            rebuild: None,
            rebuild_flags: vec!["--show-trace".to_owned()],
            root: root.to_owned(),
            store_dir: PathBuf::from("/nix/store"),
            home: root.join("home"),
            state_dir: root.join("state"),
            tests_enabled: true,
            tests_auto_run: true,
            test_timeout: Duration::from_secs(60),
            check_power: false,
            url: String::new(),
            ca: None,
            guard: GuardSettings::default(),
            signers: SignerFiles::default(),
        }
    }

    fn told(commands: &[Command]) -> Vec<String> {
        let words = |command: &Command| {
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        commands.iter().map(words).collect()
    }

    #[test]
    fn each_platform_is_rebuilt_by_its_own_program() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let profiles = root.join("nix/var/nix/profiles");
        std::fs::create_dir_all(&profiles).unwrap();
        std::fs::create_dir(root.join("a-system")).unwrap();
        for number in 1..=3 {
            let link = profiles.join(format!("system-{number}-link"));
            std::os::unix::fs::symlink(root.join("a-system"), link).unwrap();
        }
        std::os::unix::fs::symlink("system-3-link", profiles.join("system")).unwrap();
        let profile = profiles.join("system").display().to_string();
        let darwin = site(Platform::Darwin, root);
        assert_eq!(
            told(&of(&darwin).switch(&darwin)),
            ["darwin-rebuild switch --flake /repo#mba --show-trace"]
        );
        assert_eq!(
            told(&of(&darwin).rollback(&darwin, None).unwrap()),
            ["darwin-rebuild switch --rollback --show-trace"]
        );
        let link = profiles.join("system-1-link");
        let set = format!("nix-env -p {profile} --switch-generation 1");
        assert_eq!(
            told(&of(&darwin).rollback(&darwin, Some(1)).unwrap()),
            [set, link.join("activate").display().to_string()]
        );
        assert_eq!(
            told(&of(&darwin).dry_run(&darwin)),
            ["darwin-rebuild build --flake /repo#mba --show-trace"]
        );
        let nixos = site(Platform::NixOs, root);
        assert_eq!(
            told(&of(&nixos).switch(&nixos)),
            ["nixos-rebuild switch --flake /repo#mba --no-reexec --show-trace"]
        );
        let home = site(Platform::HomeManager, root);
        assert_eq!(
            told(&of(&home).switch(&home)),
            ["home-manager switch --flake /repo#mba --show-trace"]
        );
    }

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
