//! The flake and its modules, evaluated by real Nix without nixpkgs.

mod container;
mod flake;
mod home;
mod options;
mod refused;
mod units;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Nix with a home of its own, no network and no store of the machine.
fn nix(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    let config = "experimental-features = nix-command flakes\nsubstituters =\n\
                  flake-registry =\nbuild-users-group =\nwarn-dirty = false\n";
    command
        .env("HOME", home)
        .env("NIX_CONFIG", config)
        .env("NIX_STORE_DIR", home.join("store"))
        .env("NIX_STATE_DIR", home.join("var"))
        .env("NIX_LOG_DIR", home.join("log"))
        .env("NIX_CONF_DIR", home.join("etc"))
        .env_remove("NIX_REMOTE")
        .env_remove("NIX_PATH");
    command
}

fn evaluate(attribute: &str, case: &Value) -> Result<Value, String> {
    let home = tempfile::tempdir().unwrap();
    // Nothing is built: secrets may not lie in the store that machines usually have.
    let Output { status, stdout, stderr } = nix("nix-instantiate", home.path())
        .env_remove("NIX_STORE_DIR")
        .args(["--eval", "--strict", "--json", "--store", "dummy://"])
        .args(["-A", attribute, "--argstr", "case"])
        .arg(case.to_string())
        .args(["--arg", "root"])
        .arg(root())
        .arg(root().join("tests/nix/evaluate.nix"))
        .output()
        .expect("nix is installed: tests/run does that");
    if status.success() {
        Ok(serde_json::from_slice(&stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&stderr).into_owned())
    }
}

/// What a module makes of a user's definitions: `nixos`, `darwin`, `home`, or `home on a mac`.
fn module(which: &str, defined: &Value) -> Result<Value, String> {
    let (which, mac) = match which {
        "home on a mac" => ("home", true),
        other => (other, false),
    };
    let made = evaluate("result", &json!({ "module": which, "mac": mac, "defined": defined }))?;
    let errors = made["errors"].as_array().unwrap();
    if errors.is_empty() {
        return Ok(made["config"].clone());
    }
    Err(errors
        .iter()
        .map(|error| error.as_str().unwrap().to_owned())
        .collect::<Vec<_>>()
        .join("\n"))
}

/// `defined` put into `base`, field by field.
fn with(base: &Value, defined: &Value) -> Value {
    match (base, defined) {
        (Value::Object(base), Value::Object(defined)) => {
            let mut all = base.clone();
            for (name, value) in defined {
                let old = base.get(name).cloned().unwrap_or(Value::Null);
                all.insert(name.clone(), with(&old, value));
            }
            Value::Object(all)
        }
        _ => defined.clone(),
    }
}

fn minimal() -> Value {
    json!({
        "dashboard": { "enable": true, "source": "github:you/nixcfg" },
        "agent": {
            "enable": true, "url": "https://fleet.example.org",
            "tokenFile": "/run/secrets/token", "repoUrl": "https://example.org/nixcfg",
        },
    })
}
