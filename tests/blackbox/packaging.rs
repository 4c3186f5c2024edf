//! The flake and its modules, evaluated by real Nix without nixpkgs.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
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

fn module(which: &str, defined: &Value) -> Result<Value, String> {
    let made = evaluate("result", &json!({ "module": which, "defined": defined }))?;
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

/// What an option is set to, and where that shows in the unit on NixOS and the plist on macOS;
/// `null`: not there.
fn cases() -> Vec<(&'static str, Value, &'static str, Value, &'static str, Value)> {
    let env =
        |name: &str| -> &'static str { Box::leak(format!("environment/{name}").into_boxed_str()) };
    let plist = |name: &str| -> &'static str {
        Box::leak(format!("EnvironmentVariables/{name}").into_boxed_str())
    };
    let both = |option, value: Value, name, shown: &str| {
        (option, value, env(name), json!(shown), plist(name), json!(shown))
    };
    let secret = |option, name: &str| {
        let file = "/run/secrets/this";
        (
            option,
            json!(file),
            env(name),
            json!(format!("%d/{}", credential(name))),
            plist(name),
            json!(file),
        )
    };
    vec![
        both("dashboard.source", json!("/srv/nixcfg"), "NIXFLEET_SOURCE", "/srv/nixcfg"),
        both("dashboard.branch", json!("stable"), "NIXFLEET_BRANCH", "stable"),
        both("dashboard.listenAddress", json!("::"), "NIXFLEET_LISTEN", "[::]:8000"),
        both("dashboard.port", json!(9000), "NIXFLEET_LISTEN", "127.0.0.1:9000"),
        both(
            "dashboard.baseUrl",
            json!("https://f.example.org"),
            "NIXFLEET_BASE_URL",
            "https://f.example.org",
        ),
        both("dashboard.dataDir", json!("/srv/fleet"), "NIXFLEET_DATA_DIR", "/srv/fleet"),
        both("dashboard.settings", json!({ "NIXFLEET_FETCH_TTL": 7 }), "NIXFLEET_FETCH_TTL", "7"),
        secret("dashboard.passwordHashFile", "NIXFLEET_PASSWORD_HASH_FILE"),
        secret("dashboard.totpSecretFile", "NIXFLEET_TOTP_SECRET_FILE"),
        secret("dashboard.sessionSecretFile", "NIXFLEET_SESSION_SECRET_FILE"),
        secret("dashboard.githubTokenFile", "NIXFLEET_GITHUB_TOKEN_FILE"),
        secret("dashboard.agentTokenFile", "NIXFLEET_AGENT_TOKEN_FILE"),
        secret("dashboard.hookSecretFile", "NIXFLEET_HOOK_SECRET_FILE"),
        secret("agent.tokenFile", "NIXFLEET_TOKEN_FILE"),
        both("agent.url", json!("http://dash:8000"), "NIXFLEET_URL", "http://dash:8000"),
        both("agent.repoUrl", json!("/srv/r.git"), "NIXFLEET_REPO_URL", "/srv/r.git"),
        both("agent.branch", json!("stable"), "NIXFLEET_BRANCH", "stable"),
        both("agent.sshKeyFile", json!("/root/key"), "NIXFLEET_SSH_KEY", "/root/key"),
        both("agent.interval", json!(30), "NIXFLEET_INTERVAL", "30"),
        both("agent.hostname", json!("web"), "NIXFLEET_HOSTNAME", "web"),
        both("agent.location", json!("cloud"), "NIXFLEET_LOCATION", "cloud"),
        both("agent.deviceType", json!("server"), "NIXFLEET_DEVICE_TYPE", "server"),
        both("agent.themeColor", json!("#7aa2f7"), "NIXFLEET_THEME_COLOR", "#7aa2f7"),
        both("agent.tests.enable", json!(false), "NIXFLEET_TESTS_ENABLED", "false"),
        both("agent.tests.autoRunAfterSwitch", json!(false), "NIXFLEET_TESTS_AUTO_RUN", "false"),
        both("agent.tests.timeout", json!(90), "NIXFLEET_TEST_TIMEOUT", "90"),
        both(
            "agent.rebuildFlags",
            json!(["--show-trace", "-L"]),
            "NIXFLEET_REBUILD_FLAGS",
            "--show-trace -L",
        ),
        both("agent.settings", json!({ "NIXFLEET_LOG": "debug" }), "NIXFLEET_LOG", "debug"),
    ]
}

/// Options that the table cannot show as one value; each has a test or a case of its own.
const ELSEWHERE: [&str; 8] = [
    "allowSecretsInStore",
    "dashboard.enable",
    "dashboard.package",
    "dashboard.openFirewall",
    "dashboard.environmentFile",
    "agent.enable",
    "agent.package",
    "agent.repoDir",
];

fn credential(variable: &str) -> String {
    let name = variable.strip_prefix("NIXFLEET_").unwrap().strip_suffix("_FILE").unwrap();
    name.to_lowercase()
}

fn defined(option: &str, value: &Value) -> Value {
    option.rsplit('.').fold(value.clone(), |inner, name| json!({ name: inner }))
}

#[test]
fn every_option_changes_the_unit_and_the_plist_as_it_should() {
    for (option, value, unit, in_unit, plist, in_plist) in cases() {
        let role = option.split('.').next().unwrap();
        let defined = with(&minimal(), &defined(option, &value));
        let nixos = module("nixos", &defined).unwrap_or_else(|e| panic!("{option}: {e}"));
        let service = &nixos["systemd"]["services"][format!("nixfleet-{role}")];
        assert_eq!(service.pointer(&format!("/{unit}")), Some(&in_unit), "{option}: {service}");
        let darwin = module("darwin", &defined).unwrap_or_else(|e| panic!("{option}: {e}"));
        let daemon = &darwin["launchd"]["daemons"][format!("nixfleet-{role}")]["serviceConfig"];
        assert_eq!(daemon.pointer(&format!("/{plist}")), Some(&in_plist), "{option}: {daemon}");
    }
}

#[test]
fn no_option_is_without_a_test() {
    let tested: BTreeSet<&str> = cases().iter().map(|case| case.0).chain(ELSEWHERE).collect();
    let options = evaluate("options", &json!({})).unwrap();
    let names = options.as_array().unwrap().iter().map(|option| option["name"].as_str().unwrap());
    let all: BTreeSet<&str> =
        names.map(|name| name.strip_prefix("services.nixfleet.").unwrap()).collect();
    assert_eq!(tested, all);
}

#[test]
fn a_dashboard_elsewhere_behind_a_firewall_with_a_file_of_variables_is_possible() {
    let more = json!({ "dashboard": {
        "listenAddress": "0.0.0.0", "port": 8443, "openFirewall": true, "dataDir": "/srv/fleet",
        "environmentFile": "/run/secrets/env",
    } });
    let nixos = module("nixos", &with(&minimal(), &more)).unwrap();
    assert_eq!(nixos["networking"]["firewall"]["allowedTCPPorts"], json!([8443]));
    let service = &nixos["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"];
    assert_eq!(service["EnvironmentFile"], "/run/secrets/env");
    assert_eq!(service["ReadWritePaths"], json!(["/srv/fleet"]));
    assert_eq!(service["StateDirectory"], Value::Null);
    assert_eq!(nixos["systemd"]["tmpfiles"]["rules"][0], "d /srv/fleet 0700 nixfleet nixfleet -");
}

#[test]
fn nothing_is_there_that_was_not_enabled() {
    for which in ["nixos", "darwin"] {
        let config = module(which, &json!({})).unwrap();
        assert_eq!(config, json!({}), "{which}");
    }
    let only = json!({ "dashboard": minimal()["dashboard"] });
    let nixos = module("nixos", &only).unwrap();
    assert_eq!(nixos["systemd"]["services"]["nixfleet-agent"], Value::Null);
}

#[test]
fn the_agent_is_restarted_by_the_switch_that_replaces_it_and_never_down_before() {
    let nixos = module("nixos", &minimal()).unwrap();
    let unit = &nixos["systemd"]["services"]["nixfleet-agent"];
    assert_eq!(unit["stopIfChanged"], false);
    assert_eq!(unit["restartIfChanged"], Value::Null, "an agent that stays old is a row that lies");
    assert_eq!(unit["serviceConfig"]["Type"], "notify");
    assert_eq!(unit["serviceConfig"]["Restart"], "always");
    assert!(
        unit["serviceConfig"]["ExecStart"].as_str().unwrap().ends_with("/bin/nixfleet --agent")
    );
    let darwin = module("darwin", &minimal()).unwrap();
    let daemon = &darwin["launchd"]["daemons"]["nixfleet-agent"]["serviceConfig"];
    for (key, value) in [
        ("KeepAlive", json!(true)),
        ("RunAtLoad", json!(true)),
        ("AbandonProcessGroup", json!(true)),
        ("Umask", json!(0o077)),
    ] {
        assert_eq!(daemon[key], value, "{key}");
    }
    assert_eq!(daemon["ProgramArguments"][1], "--agent");
}

#[test]
fn bad_combinations_fail_with_a_message_that_names_the_option() {
    for (change, part) in [
        (json!({ "agent": { "tokenFile": "/nix/store/x-token" } }), "is in the Nix store"),
        (json!({ "agent": { "url": null } }), "agent.url must be set"),
        (json!({ "agent": { "tokenFile": null } }), "agent.tokenFile must be set"),
        (json!({ "agent": { "repoUrl": null } }), "agent.repoUrl must be set"),
        (json!({ "agent": { "repoDir": "/etc/nixos" } }), "repoUrl and repoDir exclude each other"),
        (json!({ "dashboard": { "source": null } }), "dashboard.source must be set"),
        (json!({ "dashboard": { "openFirewall": true } }), "openFirewall"),
        (
            json!({ "dashboard": { "settings": { "NIXFLEET_AGENT_TOKEN": "x" } } }),
            "a secret must not stand here",
        ),
        (
            json!({ "agent": { "settings": { "NIXFLEET_TOKEN": "x" } } }),
            "a secret must not stand here",
        ),
        (
            json!({ "agent": { "location": "moon" } }),
            "services.nixfleet.agent.location' is not of type",
        ),
        (json!({ "agent": { "deviceType": "toaster" } }), "agent.deviceType' is not of type"),
        (json!({ "agent": { "themeColor": "blue" } }), "agent.themeColor' is not of type"),
        (json!({ "agent": { "interval": 0 } }), "agent.interval' is not of type"),
        (json!({ "agent": { "url": "fleet.example.org" } }), "agent.url' is not of type"),
        (json!({ "agent": { "tokenFile": "relative" } }), "agent.tokenFile' is not of type"),
        (json!({ "dashboard": { "port": 70000 } }), "dashboard.port' is not of type"),
        (json!({ "dashboard": { "prot": 8000 } }), "dashboard.prot' does not exist"),
    ] {
        for which in ["nixos", "darwin"] {
            let error = module(which, &with(&minimal(), &change)).expect_err(part);
            assert!(error.contains(part), "{which} {change}: {error}");
        }
    }
    let file = json!({ "dashboard": { "environmentFile": "/run/env" } });
    let error = module("darwin", &with(&minimal(), &file)).unwrap_err();
    assert!(error.contains("launchd reads no such file"), "{error}");
}

#[test]
fn a_test_may_have_its_secrets_in_the_store() {
    let change = json!({ "allowSecretsInStore": true, "agent": { "tokenFile": "/nix/store/x" } });
    assert!(module("nixos", &with(&minimal(), &change)).is_ok());
}

#[test]
fn an_existing_clone_can_be_used_instead_of_one_of_the_agents_own() {
    let change = json!({ "agent": { "repoUrl": null, "repoDir": "/etc/nixos" } });
    let nixos = module("nixos", &with(&minimal(), &change)).unwrap();
    let unit = &nixos["systemd"]["services"]["nixfleet-agent"];
    assert_eq!(unit["environment"]["NIXFLEET_REPO_DIR"], "/etc/nixos");
    assert_eq!(unit["environment"]["NIXFLEET_REPO_URL"], Value::Null);
    assert_eq!(unit["serviceConfig"]["ReadWritePaths"], json!(["/etc/nixos"]));
}

#[test]
fn no_secret_is_ever_a_variable_of_a_unit() {
    let secrets = json!({
        "dashboard": {
            "passwordHashFile": "/run/a", "totpSecretFile": "/run/b", "sessionSecretFile": "/run/c",
            "githubTokenFile": "/run/d", "agentTokenFile": "/run/e", "hookSecretFile": "/run/f",
        },
    });
    let nixos = module("nixos", &with(&minimal(), &secrets)).unwrap();
    for (name, unit) in nixos["systemd"]["services"].as_object().unwrap() {
        for (variable, value) in unit["environment"].as_object().unwrap() {
            let secret = ["TOKEN", "SECRET", "PASSWORD"].iter().any(|word| variable.contains(word));
            let by_file = variable.ends_with("_FILE") && value.as_str().unwrap().starts_with("%d/");
            assert!(!secret || by_file, "{name}: {variable}={value}");
        }
    }
    let credentials =
        &nixos["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"]["LoadCredential"];
    assert_eq!(credentials.as_array().unwrap().len(), 6);
}

/// The reference as it should be.
fn reference() -> String {
    let mut text = "# Options of the modules\n\n\
        Made from `nix/options.nix`; a test compares. `NIXFLEET_BLESS=1 cargo test \
        --test blackbox options_reference` writes it anew.\n"
        .to_owned();
    for option in evaluate("options", &json!({})).unwrap().as_array().unwrap() {
        let field = |name: &str| option[name].as_str().unwrap_or_default();
        let code = |value: &str| {
            if value.contains('`') || value.starts_with("the ") {
                value.to_owned()
            } else {
                format!("`{value}`")
            }
        };
        text += &format!("\n## `{}`\n\n{}\n\n", field("name"), field("description"));
        text += &format!("- type: {}\n", field("type"));
        text += &format!("- default: {}\n", code(field("default")));
        if !field("example").is_empty() {
            text += &format!("- example: {}\n", code(field("example")));
        }
    }
    text
}

#[test]
fn the_options_reference_is_current() {
    let path = root().join("docs/OPTIONS.md");
    let reference = reference();
    if std::env::var_os("NIXFLEET_BLESS").is_some() {
        fs::write(&path, &reference).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == reference, "docs/OPTIONS.md is not what the options say");
}

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
        let vm = shown["checks"][system]["vm"].is_object();
        assert_eq!(vm, system.ends_with("linux"), "{system}");
    }
    assert!(shown["nixosModules"]["default"].is_object(), "{shown}");
    assert!(shown["overlays"]["default"].is_object(), "{shown}");
    // Not every Nix shows outputs that it does not know.
    let darwin = nix("nix", &home)
        .args(["eval", "--json", "--no-write-lock-file", "--override-input", "nixpkgs"])
        .arg(format!("path:{}", stub.display()))
        .arg(format!("path:{}#darwinModules", flake.display()))
        .args(["--apply", "builtins.attrNames"])
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&darwin.stdout).trim().to_owned();
    assert_eq!(names, "[\"default\"]", "{}", String::from_utf8_lossy(&darwin.stderr));
    // A store's directories cannot be removed as they are.
    let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&home).status();
}
