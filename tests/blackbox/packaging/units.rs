//! What the units and daemons are like.

use super::{minimal, module, with};
use serde_json::{Value, json};

#[test]
fn a_dashboard_elsewhere_behind_a_firewall_with_a_file_of_variables_is_possible() {
    let more = json!({ "dashboard": {
        "listenAddress": "0.0.0.0", "port": 8443, "openFirewall": true, "dataDir": "/srv/fleet/",
        "environmentFiles": ["/run/secrets/env", "-/etc/100%"],
    } });
    let nixos = module("nixos", &with(&minimal(), &more)).unwrap();
    assert_eq!(nixos["networking"]["firewall"]["allowedTCPPorts"], json!([8443]));
    let service = &nixos["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"];
    assert_eq!(service["EnvironmentFile"], json!(["/run/secrets/env", "-/etc/100%%"]));
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

// Findings systemd 10 and 11.
#[test]
fn both_are_restarted_by_the_switch_that_replaces_them_and_never_down_before() {
    let nixos = module("nixos", &minimal()).unwrap();
    let darwin = module("darwin", &minimal()).unwrap();
    for role in ["dashboard", "agent"] {
        let unit = &nixos["systemd"]["services"][format!("nixfleet-{role}")];
        assert_eq!(unit["stopIfChanged"], false, "{role}");
        assert_eq!(unit["restartIfChanged"], Value::Null, "what stays old is a row that lies");
        assert_eq!(unit["startLimitIntervalSec"], 0, "{role}: it is never given up");
        assert_eq!(unit["serviceConfig"]["Type"], "notify");
        assert_eq!(unit["serviceConfig"]["Restart"], "always");
        let starts = unit["serviceConfig"]["ExecStart"].as_str().unwrap();
        assert!(starts.ends_with(&format!("/bin/nixfleet --{role}")), "{starts}");

        let daemon = &darwin["launchd"]["daemons"][format!("nixfleet-{role}")];
        // Finding systemd 13: nix-darwin itself waits for the store before it runs a command.
        let starts = daemon["command"].as_str().unwrap();
        assert!(starts.ends_with(&format!("/bin/nixfleet --{role}")), "{starts}");
        assert_eq!(daemon["serviceConfig"]["ProgramArguments"], Value::Null);
        for (key, value) in [
            ("KeepAlive", json!(true)),
            ("RunAtLoad", json!(true)),
            ("AbandonProcessGroup", json!(true)),
            ("Umask", json!(0o077)),
        ] {
            assert_eq!(daemon["serviceConfig"][key], value, "{key}");
        }
        let log = daemon["serviceConfig"]["StandardOutPath"].as_str().unwrap();
        let rotation = format!("newsyslog.d/nixfleet-{role}.conf");
        let rotation = darwin["environment"]["etc"][rotation]["text"].as_str().unwrap();
        assert!(rotation.starts_with(&format!("{log} ")), "{rotation}");
    }
}

// Finding systemd 12.
#[test]
fn the_agent_is_told_what_kind_of_machine_it_rebuilds() {
    let nixos = module("nixos", &minimal()).unwrap();
    let unit = &nixos["systemd"]["services"]["nixfleet-agent"];
    assert_eq!(unit["environment"]["NIXFLEET_PLATFORM"], "nixos");
    let darwin = module("darwin", &minimal()).unwrap();
    let daemon = &darwin["launchd"]["daemons"]["nixfleet-agent"]["serviceConfig"];
    assert_eq!(daemon["EnvironmentVariables"]["NIXFLEET_PLATFORM"], "darwin");
}

// Finding systemd 6.
#[test]
fn a_percent_sign_reaches_the_program_as_it_is() {
    let odd = json!({
        "dashboard": {
            "source": "https://e.org/my%20repo", "dataDir": "/srv/50%full",
            "passwordHashFile": "/run/50%hash", "environment": { "NIXFLEET_LOG": "100%" },
        },
        "agent": { "branch": "50%host", "repoUrl": null, "repoDir": "/srv/my%20repo" },
    });
    let nixos = module("nixos", &with(&minimal(), &odd)).unwrap();
    let services = &nixos["systemd"]["services"];
    let dashboard = &services["nixfleet-dashboard"];
    assert_eq!(dashboard["environment"]["NIXFLEET_SOURCE"], "https://e.org/my%%20repo");
    assert_eq!(dashboard["environment"]["NIXFLEET_LOG"], "100%%");
    assert_eq!(dashboard["environment"]["NIXFLEET_PASSWORD_HASH_FILE"], "%d/password_hash");
    let config = &dashboard["serviceConfig"];
    assert_eq!(config["LoadCredential"], json!(["password_hash:/run/50%%hash"]));
    assert_eq!(config["ReadWritePaths"], json!(["/srv/50%%full"]));
    let agent = &services["nixfleet-agent"];
    assert_eq!(agent["environment"]["NIXFLEET_BRANCH"], "50%%host");
    assert_eq!(agent["serviceConfig"]["ReadWritePaths"], json!(["-/srv/my%%20repo"]));
    // launchd knows no such signs.
    let darwin = module("darwin", &with(&minimal(), &odd)).unwrap();
    let daemon = &darwin["launchd"]["daemons"]["nixfleet-agent"]["serviceConfig"];
    assert_eq!(daemon["EnvironmentVariables"]["NIXFLEET_BRANCH"], "50%host");
}

#[test]
fn the_dashboard_can_run_as_a_user_who_is_there_already() {
    let more = json!({ "dashboard": { "user": "web", "group": "www", "dataDir": "/srv/fleet" } });
    let nixos = module("nixos", &with(&minimal(), &more)).unwrap();
    let service = &nixos["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"];
    assert_eq!((&service["User"], &service["Group"]), (&json!("web"), &json!("www")));
    assert_eq!(nixos["systemd"]["tmpfiles"]["rules"][0], "d /srv/fleet 0700 web www -");
    assert_eq!(nixos["users"], json!({}), "users of others are not made");
    let nixos = module("nixos", &minimal()).unwrap();
    assert_eq!(nixos["users"]["users"]["nixfleet"]["group"], "nixfleet");
}

#[test]
fn options_are_known_under_their_older_names() {
    let older = json!({
        "dashboard": { "settings": { "NIXFLEET_FETCH_TTL": 7 }, "environmentFile": "/run/env" },
        "agent": { "settings": { "NIXFLEET_LOG": "debug" } },
    });
    let nixos = module("nixos", &with(&minimal(), &older)).unwrap();
    let services = &nixos["systemd"]["services"];
    let dashboard = &services["nixfleet-dashboard"];
    assert_eq!(dashboard["environment"]["NIXFLEET_FETCH_TTL"], "7");
    assert_eq!(dashboard["serviceConfig"]["EnvironmentFile"], json!(["/run/env"]));
    assert_eq!(services["nixfleet-agent"]["environment"]["NIXFLEET_LOG"], "debug");
}

// Finding systemd 8: where it is missing the agent starts, and can say so.
#[test]
fn an_existing_clone_can_be_used_instead_of_one_of_the_agents_own() {
    let change = json!({ "agent": { "repoUrl": null, "repoDir": "/etc/nixos" } });
    let nixos = module("nixos", &with(&minimal(), &change)).unwrap();
    let unit = &nixos["systemd"]["services"]["nixfleet-agent"];
    assert_eq!(unit["environment"]["NIXFLEET_REPO_DIR"], "/etc/nixos");
    assert_eq!(unit["environment"]["NIXFLEET_REPO_URL"], Value::Null);
    assert_eq!(unit["serviceConfig"]["ReadWritePaths"], json!(["-/etc/nixos"]));
    assert_eq!(unit["unitConfig"]["RequiresMountsFor"], "/etc/nixos");
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

/// What each module has the system's build run: the settings, read by the program itself.
#[test]
fn the_settings_of_each_module_are_read_when_the_system_is_built() {
    let home = json!({ "agent": with(&minimal()["agent"], &json!({ "hostname": "me" })) });
    let checks = |which: &str, defined: &Value| -> Vec<Value> {
        let made = module(which, defined).unwrap();
        let etc = made["environment"]["etc"].as_object().into_iter().flatten();
        let files = etc.filter_map(|(_, file)| file.get("source")).cloned();
        let lists = [&made["system"]["checks"], &made["home"]["extraDependencies"]];
        let listed = lists.into_iter().filter_map(Value::as_array).flatten().cloned();
        listed.chain(files).collect()
    };
    for (which, defined, count) in
        [("nixos", minimal(), 2), ("darwin", minimal(), 2), ("home", home, 1)]
    {
        let checks = checks(which, &defined);
        assert_eq!(checks.len(), count, "{which}: {checks:#?}");
        for check in checks {
            assert_eq!(read_settings(&check), Ok(()), "{which}: {check}");
        }
    }
    let wrong = json!({ "agent": { "environment": { "NIXFLEET_INTERVAL": "soon" } } });
    let wrong = checks("nixos", &with(&minimal(), &wrong));
    let said = wrong.iter().find_map(|check| read_settings(check).err()).unwrap();
    assert!(said.contains("NIXFLEET_INTERVAL"), "{said}");
}

/// Runs the line of such a check with its variables and no others, as a build does.
fn read_settings(check: &Value) -> Result<(), String> {
    let script = check["script"].as_str().unwrap();
    let line = script.lines().find(|line| line.contains("--check=settings")).unwrap();
    let mut command = crate::support::nixfleet();
    command.env_clear().args(line.split_whitespace().skip(1));
    for (name, value) in check["environment"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8(output.stderr).unwrap())
}
