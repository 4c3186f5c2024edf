//! Every option, and what becomes of it.

use super::{evaluate, minimal, module, root, with};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

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
        both(
            "dashboard.environment",
            json!({ "NIXFLEET_FETCH_TTL": 7 }),
            "NIXFLEET_FETCH_TTL",
            "7",
        ),
        secret("dashboard.passwordHashFile", "NIXFLEET_PASSWORD_HASH_FILE"),
        secret("dashboard.totpSecretFile", "NIXFLEET_TOTP_SECRET_FILE"),
        secret("dashboard.sessionSecretFile", "NIXFLEET_SESSION_SECRET_FILE"),
        secret("dashboard.githubTokenFile", "NIXFLEET_GITHUB_TOKEN_FILE"),
        secret("dashboard.giteaTokenFile", "NIXFLEET_GITEA_TOKEN_FILE"),
        secret("dashboard.sshKeyFile", "NIXFLEET_SSH_KEY"),
        secret("dashboard.agentTokenFile", "NIXFLEET_AGENT_TOKEN_FILE"),
        secret("dashboard.hookSecretFile", "NIXFLEET_HOOK_SECRET_FILE"),
        secret("agent.tokenFile", "NIXFLEET_TOKEN_FILE"),
        both("agent.caFile", json!("/etc/ca.pem"), "NIXFLEET_CA", "/etc/ca.pem"),
        both("agent.url", json!("http://dash:8000"), "NIXFLEET_URL", "http://dash:8000"),
        both("agent.repoUrl", json!("/srv/r.git"), "NIXFLEET_REPO_URL", "/srv/r.git"),
        both("agent.branch", json!("stable"), "NIXFLEET_BRANCH", "stable"),
        both("agent.sshKeyFile", json!("/root/key"), "NIXFLEET_SSH_KEY", "/root/key"),
        both("agent.interval", json!(30), "NIXFLEET_INTERVAL", "30"),
        both("agent.hostname", json!("web"), "NIXFLEET_HOSTNAME", "web"),
        both("agent.location", json!("cloud"), "NIXFLEET_LOCATION", "cloud"),
        both("agent.deviceType", json!("server"), "NIXFLEET_DEVICE_TYPE", "server"),
        both("agent.themeColor", json!("#7aa2f7"), "NIXFLEET_THEME_COLOR", "#7aa2f7"),
        both("agent.tags", json!(["db", "canary"]), "NIXFLEET_TAGS", "db canary"),
        both("agent.tests.enable", json!(false), "NIXFLEET_TESTS_ENABLED", "false"),
        both("agent.tests.autoRunAfterSwitch", json!(false), "NIXFLEET_TESTS_AUTO_RUN", "false"),
        both("agent.tests.timeout", json!(90), "NIXFLEET_TEST_TIMEOUT", "90"),
        both("agent.checkPower", json!(true), "NIXFLEET_CHECK_POWER", "true"),
        both("agent.guard.enable", json!(false), "NIXFLEET_GUARD", "false"),
        both("agent.guard.reboot", json!(false), "NIXFLEET_GUARD_REBOOT", "false"),
        both(
            "agent.guard.ignoreUnits",
            json!(["a.service", "b.timer"]),
            "NIXFLEET_GUARD_IGNORE_UNITS",
            "a.service b.timer",
        ),
        both("agent.guard.activationLimit", json!(60), "NIXFLEET_GUARD_ACTIVATION", "60"),
        both("agent.guard.window", json!(30), "NIXFLEET_GUARD_WINDOW", "30"),
        both(
            "agent.allowedSigners",
            json!("/etc/signers"),
            "NIXFLEET_ALLOWED_SIGNERS",
            "/etc/signers",
        ),
        both("agent.signersKeyring", json!("/etc/s.gpg"), "NIXFLEET_SIGNERS_KEYRING", "/etc/s.gpg"),
        both(
            "agent.rebuildFlags",
            json!(["--show-trace", "-L"]),
            "NIXFLEET_REBUILD_FLAGS",
            "--show-trace -L",
        ),
        both("agent.environment", json!({ "NIXFLEET_LOG": "debug" }), "NIXFLEET_LOG", "debug"),
    ]
}

/// Options that the table cannot show as one value; each has a test or a case of its own.
const ELSEWHERE: [&str; 13] = [
    "dashboard.tlsCertificate",
    "dashboard.tlsKey",
    "allowSecretsInStore",
    "dashboard.enable",
    "dashboard.package",
    "dashboard.openFirewall",
    "dashboard.environmentFiles",
    "dashboard.user",
    "dashboard.group",
    "agent.enable",
    "agent.package",
    "agent.environmentFiles",
    "agent.repoDir",
];

fn credential(variable: &str) -> String {
    let name = variable.strip_prefix("NIXFLEET_").unwrap();
    name.strip_suffix("_FILE").unwrap_or(name).to_lowercase()
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
fn a_certificate_and_its_key_are_paths_of_the_unit() {
    let files =
        json!({ "dashboard": { "tlsCertificate": "/acme/chain.pem", "tlsKey": "/acme/key.pem" } });
    let nixos = module("nixos", &with(&minimal(), &files)).unwrap();
    let unit = &nixos["systemd"]["services"]["nixfleet-dashboard"]["environment"];
    assert_eq!(unit["NIXFLEET_TLS_CERT"], "/acme/chain.pem");
    assert_eq!(unit["NIXFLEET_TLS_KEY"], "/acme/key.pem");
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
