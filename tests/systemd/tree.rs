//! The files of the machine that is booted: a small Debian, made once and kept.

use crate::machine::Machine;
use nixfleet::base::hex;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What it has beside the essentials.
const PACKAGES: &str = "systemd,systemd-sysv,libpam-systemd,dbus,git,openssh-client,nix-bin";
/// How long its making may take. It loads some 100 MB.
const SECONDS: &str = "900";
/// What is needed here, and the package that has it on Debian.
const PROGRAMS: [(&str, &str); 6] = [
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("timeout", "coreutils"),
    ("ip", "iproute2"),
];

/// Where the tree lies once it is made.
pub fn path() -> PathBuf {
    let packages = hex::sha256(PACKAGES.as_bytes());
    let name = format!("systemd-tree-{}-{}", suite(), &packages[..8]);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The release of this machine: the binary is linked with its libraries.
fn suite() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

/// Makes what all tests need. The error says why this machine cannot run them.
pub fn prepare() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("only root can boot a container".to_owned());
    }
    for (program, package) in PROGRAMS {
        let found = Command::new("which").arg(program).stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(format!("{program} is missing (Debian: {package})"));
        }
    }
    if suite().is_empty() {
        return Err("/etc/os-release names no release of Debian or Ubuntu".to_owned());
    }
    make()?;
    Machine::new()?.try_boot().map_err(|why| format!("a container does not boot here: {why}"))
}

fn make() -> Result<(), String> {
    let made = path();
    if made.exists() {
        return Ok(());
    }
    println!("making the tree of a small {} (some minutes, once)", suite());
    let new = made.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|error| format!("{}: {error}", new.display()))?;
    }
    let output = Command::new("timeout")
        .args([SECONDS, "mmdebstrap", "--quiet", "--variant=minbase"])
        .arg(format!("--include={PACKAGES}"))
        // What nobody reads in there.
        .args([
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
        ])
        .args(["--dpkgopt=path-exclude=/usr/share/locale/*"])
        .arg(suite())
        .arg(&new)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("mmdebstrap: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("mmdebstrap: {}: {}", output.status, text.trim()));
    }
    fs::rename(&new, &made).map_err(|error| format!("{}: {error}", made.display()))
}
