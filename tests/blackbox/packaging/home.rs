//! The agent of one user's home, on Linux and on macOS.

use super::{module, with};
use serde_json::{Value, json};

fn minimal() -> Value {
    json!({ "agent": {
        "enable": true, "url": "https://fleet.example.org", "hostname": "me-laptop",
        "tokenFile": "/home/me/.config/nixfleet-token", "repoUrl": "https://example.org/nixcfg",
    } })
}

#[test]
fn a_users_agent_is_a_user_unit_that_rebuilds_the_home() {
    let home = module("home", &minimal()).unwrap();
    let unit = &home["systemd"]["user"]["services"]["nixfleet-agent"];
    assert_eq!(unit["Install"]["WantedBy"], json!(["default.target"]));
    assert_eq!(unit["Unit"]["StartLimitIntervalSec"], 0);
    assert_eq!(unit["Unit"]["X-SwitchMethod"], "restart");
    assert_eq!(unit["Service"]["Type"], "notify");
    assert_eq!(unit["Service"]["Restart"], "always");
    let variables: Vec<&str> =
        unit["Service"]["Environment"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    for variable in [
        "\"NIXFLEET_PLATFORM=home-manager\"",
        "\"NIXFLEET_HOSTNAME=me-laptop\"",
        "\"NIXFLEET_URL=https://fleet.example.org\"",
        "\"NIXFLEET_TOKEN_FILE=/home/me/.config/nixfleet-token\"",
    ] {
        assert!(variables.contains(&variable), "{variable}: {variables:?}");
    }
    assert_eq!(home["launchd"], Value::Null);
}

#[test]
fn signs_that_systemd_reads_in_its_own_way_are_escaped_in_a_home_too() {
    let odd = json!({ "agent": { "environment": { "GREETING": "50% \"of\" it" } } });
    let home = module("home", &with(&minimal(), &odd)).unwrap();
    let unit = &home["systemd"]["user"]["services"]["nixfleet-agent"];
    let variables = unit["Service"]["Environment"].as_array().unwrap();
    assert!(variables.contains(&json!("\"GREETING=50%% \\\"of\\\" it\"")), "{variables:?}");
}

#[test]
fn on_a_mac_it_is_a_launch_agent() {
    let home = module("home on a mac", &minimal()).unwrap();
    let agent = &home["launchd"]["agents"]["nixfleet-agent"];
    assert_eq!(agent["enable"], true);
    let config = &agent["config"];
    assert_eq!(config["EnvironmentVariables"]["NIXFLEET_PLATFORM"], "home-manager");
    assert_eq!(config["KeepAlive"], true);
    let starts = config["ProgramArguments"][0].as_str().unwrap();
    assert!(starts.ends_with("/bin/nixfleet"), "{starts}");
    assert_eq!(config["ProgramArguments"][1], "--agent");
    assert_eq!(home["systemd"], Value::Null);
}

#[test]
fn a_home_without_a_name_or_with_a_dashboard_is_refused() {
    for (change, part) in [
        (json!({ "agent": { "hostname": null } }), "agent.hostname: expected letters"),
        (json!({ "agent": { "hostname": "me@laptop" } }), "agent.hostname: expected letters"),
        (json!({ "agent": { "tokenFile": "/nix/store/x" } }), "is in the Nix store"),
        (json!({ "dashboard": { "enable": true } }), "dashboard' does not exist"),
    ] {
        for which in ["home", "home on a mac"] {
            let error = module(which, &with(&minimal(), &change)).expect_err(part);
            assert!(error.contains(part), "{which} {change}: {error}");
        }
    }
}
