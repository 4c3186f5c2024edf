//! What is refused when a system is evaluated, with a message that helps.

use super::{minimal, module, with};
use serde_json::{Value, json};

fn too_many() -> Vec<String> {
    (0..17).map(|n| format!("t{n}")).collect()
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
            json!({ "dashboard": { "tlsKey": "/key.pem" } }),
            "tlsCertificate and tlsKey belong together",
        ),
        (
            json!({ "dashboard": { "environment": { "NIXFLEET_AGENT_TOKEN": "x" } } }),
            "a secret must not stand here",
        ),
        (
            json!({ "agent": { "environment": { "NIXFLEET_TOKEN": "x" } } }),
            "a secret must not stand here",
        ),
        (
            json!({ "agent": { "location": "moon" } }),
            "services.nixfleet.agent.location' is not of type",
        ),
        (json!({ "agent": { "deviceType": "toaster" } }), "agent.deviceType' is not of type"),
        (json!({ "agent": { "themeColor": "blue" } }), "agent.themeColor' is not of type"),
        (json!({ "agent": { "tags": ["no tag"] } }), "agent.tags"),
        (json!({ "agent": { "tags": too_many() } }), "expected at most 16 tags, got 17"),
        (
            json!({ "agent": { "guard": { "activationLimit": 86400 } } }),
            "agent.guard.activationLimit' is not of type",
        ),
        (json!({ "agent": { "guard": { "window": 3601 } } }), "agent.guard.window' is not of type"),
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
    for role in ["dashboard", "agent"] {
        let file = json!({ role: { "environmentFiles": ["/run/env"] } });
        let error = module("darwin", &with(&minimal(), &file)).unwrap_err();
        assert!(error.contains("launchd reads no such files"), "{error}");
    }
}

#[test]
fn a_test_may_have_its_secrets_in_the_store() {
    let change = json!({ "allowSecretsInStore": true, "agent": { "tokenFile": "/nix/store/x" } });
    assert!(module("nixos", &with(&minimal(), &change)).is_ok());
}

/// Values of one option, each refused on both systems with a message that names the option.
fn refused(option: &str, values: &[Value], part: &str) {
    let (role, name) = option.split_once('.').unwrap();
    for value in values {
        for which in ["nixos", "darwin"] {
            let change = json!({ role: { name: value } });
            let error = module(which, &with(&minimal(), &change)).expect_err(&value.to_string());
            assert!(error.contains(option) && error.contains(part), "{which} {value}: {error}");
        }
    }
}

/// Values of one option that are taken.
fn taken(option: &str, values: &[Value]) {
    let (role, name) = option.split_once('.').unwrap();
    for value in values {
        let change = json!({ role: { name: value } });
        let made = module("nixos", &with(&minimal(), &change));
        assert!(made.is_ok(), "{value}: {made:?}");
    }
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|value| json!(value)).collect()
}

// Finding systemd 7: the directory was taken away from everybody else.
#[test]
fn the_dashboard_takes_no_directory_that_is_not_its_own() {
    let bad = [
        "/var/lib",
        "/var/lib/",
        "/srv",
        "/srv/",
        "/home/me/fleet",
        "/root/fleet",
        "/run/user/1000/fleet",
        "/srv/my fleet",
        "/srv/a:b",
        "/var/lib/../x",
        "/",
    ];
    refused("dashboard.dataDir", &texts(&bad), "dataDir");
    taken("dashboard.dataDir", &texts(&["/var/lib/fleet", "/srv/fleet", "/data/fleet/"]));
}

// Finding systemd 14.
#[test]
fn no_secret_gets_into_the_store_by_another_way() {
    let bad = texts(&[
        "https://me:token@git.example.org/nixcfg",
        "https://token@github.com/you/nixcfg",
        "lab=ssh://git:word@git.example.org/nixcfg#main",
        "https://example.org/version.json?access_token=x",
    ]);
    refused("dashboard.source", &bad, "in the store");
    refused("agent.repoUrl", &bad, "in the store");
    taken("dashboard.source", &texts(&["git@github.com:you/nixcfg.git", "ssh://git@e.org/n"]));
    for (name, value) in [
        ("NIXFLEET_TOKEN_FILE", "/nix/store/x-token"),
        ("NIXFLEET_SMTP_PASSWORD", "word"),
        ("HTTPS_PROXY", "http://me:word@proxy.example.org:3128"),
    ] {
        for role in ["dashboard", "agent"] {
            let option = format!("{role}.environment");
            refused(&option, &[json!({ name: value })], "store");
        }
    }
    refused("agent.environmentFiles", &[json!(["/nix/store/x-env"])], "in the Nix store");
}

// Finding systemd 15: they were evaluated, and did not start.
#[test]
fn what_the_program_would_refuse_is_refused_earlier() {
    let addresses = ["[::]", "localhost", "256.0.0.1", "1.2.3", "0.0.0.0:80", ""];
    refused("dashboard.listenAddress", &texts(&addresses), "without brackets");
    taken("dashboard.listenAddress", &texts(&["::", "::1", "fe80::1", "0.0.0.0", "10.0.0.255"]));
    let branches = ["", "-x", "a b", "a..b", "/a", "a/", "a^", "a:b", "a\\b", "a[b"];
    refused("dashboard.branch", &texts(&branches), "name of a git branch");
    refused("agent.branch", &texts(&branches), "name of a git branch");
    taken("agent.branch", &texts(&["main", "release/25.11", "50%host"]));
    refused("agent.hostname", &texts(&["me@laptop", "", "-a", "a b"]), "beginning with a letter");
    taken("agent.hostname", &texts(&["web-1.example.org"]));
    let clones = ["/srv/my repo", "/srv/a:b", "/srv/../etc"];
    for clone in clones {
        let change = json!({ "agent": { "repoUrl": null, "repoDir": clone } });
        let error = module("nixos", &with(&minimal(), &change)).expect_err(clone);
        assert!(error.contains("agent.repoDir"), "{error}");
    }
}
