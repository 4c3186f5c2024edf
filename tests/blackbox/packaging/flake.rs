//! The flake's outputs.

use super::{nix, root};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn the_flake_shows_all_its_outputs_for_four_systems() {
    let dir = tempfile::tempdir().unwrap();
    // Where a temporary directory lies behind a link, Nix wants the real path.
    let home = fs::canonicalize(dir.path()).unwrap();
    let flake = home.join("flake");
    fs::create_dir(&flake).unwrap();
    for part in [
        "flake.nix",
        "nixos-module.nix",
        "darwin-module.nix",
        "home-module.nix",
        "nix",
        "Cargo.toml",
        "Cargo.lock",
        "schema.sql",
        "src",
        "assets",
        "tests/vendor",
    ] {
        fs::create_dir_all(flake.join(part).parent().unwrap()).unwrap();
        copy(&root().join(part), &flake.join(part));
    }
    let stub = home.join("nixpkgs");
    copy(&root().join("tests/nix"), &stub);
    let shown = nix("nix", &home)
        .args(["flake", "show", "--json", "--no-write-lock-file", "--override-input", "nixpkgs"])
        .arg(format!("path:{}", stub.display()))
        .arg(format!("path:{}", flake.display()))
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    for system in ["x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"] {
        let name = &shown["packages"][system]["default"]["name"];
        assert_eq!(*name, format!("nixfleet-{}", env!("CARGO_PKG_VERSION")), "{system}: {shown}");
        assert_eq!(shown["apps"][system]["default"]["type"], "app", "{system}");
        assert_eq!(shown["devShells"][system]["default"]["type"], "derivation", "{system}");
        let container = shown["packages"][system]["container"]["name"] == "nixfleet.tar.gz";
        assert_eq!(container, system.ends_with("linux"), "{system}: {shown}");
        let vm = shown["checks"][system]["vm"].is_object();
        assert_eq!(vm, system.ends_with("linux"), "{system}");
    }
    assert!(shown["nixosModules"]["default"].is_object(), "{shown}");
    assert!(shown["overlays"]["default"].is_object(), "{shown}");
    // Not every Nix shows outputs that it does not know.
    for output in ["darwinModules", "homeManagerModules"] {
        let shown = nix("nix", &home)
            .args(["eval", "--json", "--no-write-lock-file", "--override-input", "nixpkgs"])
            .arg(format!("path:{}", stub.display()))
            .arg(format!("path:{}#{output}", flake.display()))
            .args(["--apply", "builtins.attrNames"])
            .output()
            .unwrap();
        let names = String::from_utf8_lossy(&shown.stdout).trim().to_owned();
        assert_eq!(names, "[\"default\"]", "{output}: {}", String::from_utf8_lossy(&shown.stderr));
    }
    // A store's directories cannot be removed as they are.
    let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&home).status();
}
