//! The demo's config repository: a bare remote, and a working clone to commit in.

use super::crowd::{CUTS, FIRST};
use super::{DemoError, io_error};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const FLAKE: &str = r#"{
  description = "The fleet of the nixfleet demo";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }: {
    nixosConfigurations = {
      atlas = nixpkgs.lib.nixosSystem { modules = [ ./hosts/atlas/configuration.nix ]; };
      gpc0 = nixpkgs.lib.nixosSystem { modules = [ ./hosts/gpc0/configuration.nix ]; };
    };
    # nix-darwin would make this; the demo has no Mac to build it for.
    darwinConfigurations.mba = { };
  };
}
"#;

const LOCK: &str = r#"{
  "nodes": {
    "nixpkgs": {
      "locked": {
        "lastModified": 1767364772,
        "narHash": "sha256-fFUnEYMla8b7UKjijLnMe+oVFOz6HjijGGNS1l7dYaQ=",
        "owner": "NixOS",
        "repo": "nixpkgs",
        "rev": "16c7794d0a28b5a37904d55bcca36003b9109aaa",
        "type": "github"
      },
      "original": {
        "owner": "NixOS",
        "ref": "nixos-unstable",
        "repo": "nixpkgs",
        "type": "github"
      }
    },
    "root": { "inputs": { "nixpkgs": "nixpkgs" } }
  },
  "root": "root",
  "version": 7
}
"#;

/// Host, script, name, what it does.
const TESTS: [(&str, &str, &str, &str); 9] = [
    ("atlas", "T00-network.sh", "Network connectivity", "echo 'default via 192.0.2.1'; sleep 0.4"),
    ("atlas", "T10-ssh.sh", "SSH service", "echo 'sshd.service: active'; sleep 0.6"),
    ("atlas", "T20-backup.sh", "Last backup", "echo 'newest snapshot: 3 h old'; sleep 0.5"),
    ("gpc0", "T00-network.sh", "Network connectivity", "echo 'default via 192.0.2.1'; sleep 0.4"),
    ("gpc0", "T10-display.sh", "X11 display", "echo 'DISPLAY :0 answers'; sleep 0.7"),
    (
        "gpc0",
        "T20-gpu.sh",
        "GPU acceleration",
        "sleep 0.6; echo 'Error: nvidia-smi not found' >&2; exit 1",
    ),
    ("gpc0", "T30-home.sh", "Home directory permissions", "echo 'drwx------'; sleep 0.3"),
    ("mba", "T00-network.sh", "Network connectivity", "echo 'en0: active'; sleep 0.4"),
    ("mba", "T10-store.sh", "Nix store integrity", "echo 'checked 1200 paths'; sleep 0.8"),
];

/// Makes the repository, its clone, and the program that pushes a change.
pub(super) fn make(dir: &Path) -> Result<(), DemoError> {
    let config = dir.join("config");
    git(dir, &["init", "--quiet", "--bare", "-b", "main", "remote.git"])?;
    git(dir, &["init", "--quiet", "-b", "main", "config"])?;
    write(&config.join("flake.nix"), FLAKE)?;
    write(&config.join("flake.lock"), LOCK)?;
    for host in ["atlas", "gpc0", "mba"] {
        let text = format!("{{ ... }}: {{\n  networking.hostName = \"{host}\";\n}}\n");
        write(&config.join("hosts").join(host).join("configuration.nix"), &text)?;
    }
    for (host, script, name, body) in TESTS {
        let path = config.join("hosts").join(host).join("tests").join(script);
        write(&path, &format!("#!/bin/sh\n# Name: {name}\n{body}\n"))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, executable).map_err(io_error(script))?;
    }
    for (key, value) in [
        ("user.name", "nixfleet demo"),
        ("user.email", "demo@example.invalid"),
        ("commit.gpgsign", "false"),
    ] {
        git(&config, &["config", key, value])?;
    }
    git(&config, &["remote", "add", "origin", "../remote.git"])?;
    git(&config, &["add", "-A"])?;
    git(&config, &["commit", "--quiet", "-m", "feat: the first configuration of the fleet"])?;
    git(&config, &["push", "--quiet", "-u", "origin", "main"])?;
    let push = PUSH.replace("CUTS", CUTS).replace("FIRST", FIRST);
    write(&dir.join("push-change"), &push)
}

/// Two more commits, so that hosts can be behind: one of flake.lock, and one of the hosts.
pub(super) fn grow(dir: &Path) -> Result<(), DemoError> {
    let config = dir.join("config");
    write(&config.join("flake.lock"), &LOCK.replace("1767364772", "1767969572"))?;
    git(&config, &["commit", "--quiet", "--all", "-m", "chore: update flake.lock"])?;
    for host in ["atlas", "gpc0", "mba"] {
        let text = format!(
            "{{ ... }}: {{\n  networking.hostName = \"{host}\";\n  services.openssh.enable = true;\n}}\n"
        );
        write(&config.join("hosts").join(host).join("configuration.nix"), &text)?;
    }
    git(&config, &["commit", "--quiet", "--all", "-m", "feat: ssh on every host"])?;
    git(&config, &["push", "--quiet"])
}

/// What the user pastes. With `lock`, the change is one of flake.lock; with `network`, it cuts the
/// network of the first simulated host, until the next change.
const PUSH: &str = r##"#!/bin/sh
set -eu
cd "$(dirname "$0")/config"
git rm --quiet --ignore-unmatch CUTS
if [ "${1:-}" = network ]; then
  printf 'FIRST\n%s\n' "$(date)" > CUTS
  git add CUTS
  message="feat: another network for FIRST"
elif [ "${1:-}" = lock ]; then
  sed "s/\"lastModified\": [0-9]*/\"lastModified\": $(date +%s)/" flake.lock > flake.lock.new
  mv flake.lock.new flake.lock
  message="chore: update flake.lock"
else
  for host in hosts/*/configuration.nix; do echo "# changed at $(date +%T)" >> "$host"; done
  message="feat: a change of $(date +%T)"
fi
git commit --quiet --all --message "$message"
git push --quiet
echo "pushed $(git rev-parse --short HEAD): $message"
"##;

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io_error(path.display().to_string()))?;
    }
    fs::write(path, text).map_err(io_error(path.display().to_string()))
}

fn git(dir: &Path, arguments: &[&str]) -> Result<(), DemoError> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .map_err(io_error("the demo needs git, which could not be started"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(DemoError::Program(format!("git {}: {said}", arguments.join(" "))))
}
