//! Generations that real Nix builds, and a profile that it really switches.

use crate::support::browser::Browser;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fakehost").join(name)
}

/// A NixOS host that only exists below a directory, but whose Nix is real.
struct FakeHost {
    root: tempfile::TempDir,
    repo: ConfigRepo,
    config: Value,
}

impl FakeHost {
    fn new() -> Self {
        // Its path becomes part of every store path.
        let root = tempfile::Builder::new().prefix("nf").tempdir().unwrap();
        let dir = root.path().to_str().unwrap();
        let made = Command::new(fixture("bin/fakehost-init")).arg(dir).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let repo = ConfigRepo::empty();
        for file in ["flake.nix", "host.json", "switch-to-configuration.sh"] {
            repo.write(file, &fs::read_to_string(root.path().join("repo").join(file)).unwrap());
        }
        repo.mode("switch-to-configuration.sh", 0o755);
        repo.test(
            "alpha",
            "T01-motd.sh",
            "#!/bin/sh\n# Name: Message of the day\n\
             motd=$(cat \"$FAKE_ROOT/run/current-system/etc/motd\")\n\
             echo \"it says $motd\"\n[ \"$motd\" != broken ]\n",
        );
        let text = fs::read_to_string(root.path().join("repo/host.json")).unwrap();
        let mut host = Self { root, repo, config: serde_json::from_str(&text).unwrap() };
        host.push(json!({}));
        host
    }

    /// Commits a change of host.json; answers the commit. `null` takes a key out.
    fn push(&mut self, change: Value) -> String {
        let config = self.config.as_object_mut().unwrap();
        for (key, value) in change.as_object().unwrap() {
            match value {
                Value::Null => config.remove(key),
                value => config.insert(key.clone(), value.clone()),
            };
        }
        self.repo.write("host.json", &self.config.to_string());
        self.repo.push(&format!("change {change}"))
    }

    /// Pushes a change to a branch of its own, and to nothing else; answers the commit.
    fn propose(&mut self, change: Value) -> String {
        let main = self.repo.git(&["rev-parse", "HEAD"]);
        let config = self.config.clone();
        self.repo.git(&["checkout", "--quiet", "-b", "update"]);
        for (key, value) in change.as_object().unwrap() {
            self.config[key] = value.clone();
        }
        self.repo.write("host.json", &self.config.to_string());
        self.config = config;
        self.repo.git(&["commit", "--quiet", "-a", "-m", "update"]);
        self.repo.git(&["push", "--quiet", "origin", "update"]);
        let update = self.repo.git(&["rev-parse", "HEAD"]);
        self.repo.git(&["checkout", "--quiet", "main"]);
        assert_eq!(self.repo.git(&["rev-parse", "HEAD"]), main);
        update
    }

    fn agent(&self, url: &str) -> Agent {
        let root = self.root.path().to_str().unwrap().to_owned();
        let rebuild = fixture("bin/nixos-rebuild");
        let below = |path: &str| format!("{root}/{path}");
        let config = "experimental-features = nix-command flakes\nsubstituters =\n\
                      flake-registry =\nsandbox = false\nbuild-users-group =\n";
        Agent::start_with(
            url,
            "alpha",
            &self.repo.remote(),
            &[
                ("NIXFLEET_ROOT", &root),
                ("NIXFLEET_REBUILD", rebuild.to_str().unwrap()),
                ("FAKE_ROOT", &root),
                ("NIX_STORE_DIR", &below("nix/store")),
                ("NIX_STATE_DIR", &below("nix/var/nix")),
                ("NIX_LOG_DIR", &below("nix/var/log/nix")),
                ("NIX_CONF_DIR", &below("etc/nix")),
                ("NIX_REMOTE", ""),
                ("NIX_CONFIG", config),
            ],
        )
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        // A store is read-only, also for whoever wants to remove it.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.root.path()).status();
    }
}

/// A user who also compares the whole row after every step.
struct Steps {
    user: Client,
}

impl Steps {
    #[track_caller]
    fn run(&self, op: &str, args: &Value, state: &str, row: &str) -> Value {
        let body = json!({ "op": op, "args": args });
        let answer = self.user.post("/api/hosts/alpha/commands", &body);
        assert_eq!(answer.status, 202, "{answer:?}");
        let id = answer.json()["command_id"].as_str().unwrap().to_owned();
        let command = self.user.wait_for_state(&id, state);
        self.user.wait_for_row("alpha", row);
        command
    }

    /// Pulls what was pushed; what runs stays as it was.
    #[track_caller]
    fn pull(&self, row: &str) {
        self.run("pull", &json!({}), "succeeded", row);
    }

    #[track_caller]
    fn switch(&self, state: &str, row: &str) -> Value {
        self.run("switch", &json!({}), state, row)
    }

    #[track_caller]
    fn test(&self, state: &str, row: &str) {
        self.run("test", &json!({}), state, row);
    }

    fn generation(&self) -> Value {
        self.user.host("alpha")["system"]["generation"].clone()
    }
}

#[test]
fn generations_are_built_switched_broken_and_rolled_back_by_real_nix() {
    let mut host = FakeHost::new();
    let dashboard = Dashboard::with_source(&host.repo.remote());
    let user = dashboard.login();
    let _agent = host.agent(&dashboard.url);
    user.wait_for_row("alpha", "ok ok ok out unk");
    let steps = Steps { user: user.clone() };

    // One.
    steps.switch("succeeded", "ok ok ok ok out");
    steps.test("succeeded", "ok ok ok ok ok");
    assert_eq!(steps.generation(), 1);

    // Two: another package.
    let two = host.push(json!({ "packages": { "hello": "2.12.2" } }));
    user.wait_for_row("alpha", "ok out ok out out");
    steps.pull("ok ok ok out out");
    steps.switch("succeeded", "ok ok ok ok out");
    steps.test("succeeded", "ok ok ok ok ok");
    assert_eq!(steps.generation(), 2);
    let revision = user.host("alpha")["system"]["configuration_revision"].clone();
    assert_eq!(revision, two.as_str());

    // Three: its tests fail; back to the one that worked, which has to prove it again.
    host.push(json!({ "motd": "broken" }));
    user.wait_for_row("alpha", "ok out ok out out");
    steps.pull("ok ok ok out out");
    steps.switch("succeeded", "ok ok ok ok out");
    steps.test("failed", "ok ok ok ok err");
    assert_eq!(user.says("alpha", "tests"), "1 of 1 failed: Message of the day");
    steps.run("rollback", &json!({ "generation": 2 }), "succeeded", "ok ok ok out out");
    let says = user.says("alpha", "system");
    assert_eq!(says, format!("Rolled back to generation 2 ({})", &two[..7]));
    steps.test("succeeded", "ok ok ok out out");
    assert_eq!(steps.generation(), 2);

    // Four: does not build. What runs did not change, so its tests still count.
    host.push(json!({ "motd": "fine", "failBuild": true }));
    user.wait_for_row("alpha", "ok out ok out out");
    steps.pull("ok ok ok out out");
    let failed = steps.switch("failed", "ok ok ok err out");
    assert_eq!(failed["exit_code"], 1);
    let log = user.output(failed["command_id"].as_str().unwrap()).join("\n");
    assert!(log.contains("host.json asks for a failing build"), "{log}");

    // Five: builds, does not activate.
    host.push(json!({ "failBuild": null, "switchExit": 9 }));
    user.wait_for_row("alpha", "ok out ok err out");
    steps.pull("ok ok ok err out");
    steps.switch("failed", "ok ok ok err out");
    assert_eq!(steps.generation(), 2);

    // Six: activates, but units fail. What runs changed.
    host.push(json!({ "switchExit": 4 }));
    user.wait_for_row("alpha", "ok out ok err out");
    steps.pull("ok ok ok err out");
    steps.switch("failed", "ok ok ok err out");

    // Seven: all is well again.
    host.push(json!({ "switchExit": null }));
    user.wait_for_row("alpha", "ok out ok err out");
    steps.pull("ok ok ok err out");
    steps.switch("succeeded", "ok ok ok ok out");
    steps.test("succeeded", "ok ok ok ok ok");

    // Eight, and back by one, the platform's own way.
    host.push(json!({ "motd": "eight" }));
    user.wait_for_row("alpha", "ok out ok out out");
    steps.pull("ok ok ok out out");
    steps.switch("succeeded", "ok ok ok ok out");
    let before = steps.generation().as_u64().unwrap();
    steps.run("rollback", &json!({}), "succeeded", "ok ok ok out out");
    assert_eq!(steps.generation(), before - 1);

    // A generation that was collected as garbage is no target.
    let profile = host.root.path().join("nix/var/nix/profiles/system");
    fs::remove_file(profile.with_file_name("system-1-link")).unwrap();
    wait_until("the agent has seen that it is gone", || {
        let body = json!({ "op": "rollback", "args": { "generation": 1 } });
        let answer = user.post("/api/hosts/alpha/commands", &body);
        let gone = answer.status == 409 && answer.code() == "no_such_generation";
        if gone { Ok(()) } else { Err(answer) }
    });
}

#[test]
fn a_dry_run_by_real_nix_says_what_a_switch_then_changes_and_activates_nothing() {
    let mut host = FakeHost::new();
    let dashboard = Dashboard::with_source(&host.repo.remote());
    let user = dashboard.login();
    let _agent = host.agent(&dashboard.url);
    user.wait_for_row("alpha", "ok ok ok out unk");
    let steps = Steps { user: user.clone() };
    steps.switch("succeeded", "ok ok ok ok out");
    host.push(json!({ "packages": { "hello": "3.0", "jq": "1.7" } }));
    user.wait_for_row("alpha", "ok out ok out out");
    steps.pull("ok ok ok out out");
    let before = fs::read_link(host.root.path().join("run/current-system")).unwrap();
    let run = steps.run("dry-run", &json!({}), "succeeded", "ok ok ok out out");
    assert_eq!(run["exit_code"], 0);
    let would = json!([
        { "name": "hello", "kind": "up", "from": "2.12.1", "to": "3.0", "bytes": null },
        { "name": "jq", "kind": "added", "from": "", "to": "1.7", "bytes": null },
    ]);
    assert_eq!(run["changes"], would);
    let page = user.get("/hosts/alpha").text;
    assert!(page.contains("2 packages change"), "{page}");
    assert_eq!(fs::read_link(host.root.path().join("run/current-system")).unwrap(), before);
    assert_eq!(steps.generation(), 1);
    let switch = steps.switch("succeeded", "ok ok ok ok out");
    assert_eq!(switch["changes"], would);
}

#[test]
fn a_dry_run_of_an_update_builds_its_head_before_it_is_merged_and_moves_nothing() {
    let mut host = FakeHost::new();
    let dashboard = Dashboard::with_source(&host.repo.remote());
    let user = dashboard.login();
    let _agent = host.agent(&dashboard.url);
    user.wait_for_row("alpha", "ok ok ok out unk");
    let steps = Steps { user: user.clone() };
    steps.switch("succeeded", "ok ok ok ok out");
    let before = fs::read_link(host.root.path().join("run/current-system")).unwrap();
    let update = host.propose(json!({ "packages": { "hello": "3.0" } }));

    let args = json!({ "commit": update });
    let run = steps.run("dry-run", &args, "succeeded", "ok ok ok ok out");
    assert_eq!(run["args"]["commit"], update.as_str());
    let would = json!([
        { "name": "hello", "kind": "up", "from": "2.12.1", "to": "3.0", "bytes": null },
    ]);
    assert_eq!(run["changes"], would);
    let dialog = user.get("/hosts/alpha/dry-run").text;
    let said = format!("Dry run of <code title=\"{update}\">{}</code>", &update[..7]);
    assert!(dialog.contains(&said), "{dialog}");
    assert_eq!(fs::read_link(host.root.path().join("run/current-system")).unwrap(), before);
    assert_eq!(user.row("alpha"), "ok ok ok ok out");

    let unknown = json!({ "commit": "0123456789".repeat(4) });
    let failed = steps.run("dry-run", &unknown, "failed", "ok ok ok ok out");
    assert_ne!(failed["exit_code"], 0);
    let path = "/api/hosts/alpha/commands";
    for (op, commit) in [("switch", update.as_str()), ("dry-run", "main"), ("dry-run", "abc1234")] {
        let bad = user.post(path, &json!({ "op": op, "args": { "commit": commit } }));
        assert_eq!((bad.status, bad.code().as_str()), (400, "bad_input"), "{op} {commit}: {bad:?}");
    }
}

#[test]
fn the_hosts_page_shows_generations_and_leads_back_to_the_last_known_working_one() {
    let mut host = FakeHost::new();
    let dashboard = Dashboard::with_source(&host.repo.remote());
    let user = dashboard.login();
    let _agent = host.agent(&dashboard.url);
    user.wait_for_row("alpha", "ok ok ok out unk");
    let steps = Steps { user: user.clone() };
    steps.switch("succeeded", "ok ok ok ok out");
    steps.test("succeeded", "ok ok ok ok ok");
    let one = user.host("alpha")["generation"].as_str().unwrap().to_owned();
    host.push(json!({ "motd": "broken" }));
    user.wait_for_row("alpha", "ok out ok out out");
    steps.pull("ok ok ok out out");
    steps.switch("succeeded", "ok ok ok ok out");
    steps.test("failed", "ok ok ok ok err");
    wait_until("both generations are known with their tests", || {
        let list = user.get("/api/hosts/alpha/generations").json();
        let told = list.as_array().unwrap().iter().map(|g| {
            (g["generation"].clone(), g["tests"]["outcome"].clone(), g["last_working"].clone())
        });
        let told = json!(told.collect::<Vec<_>>());
        if told == json!([[2, "failed", false], [1, "passed", true]]) { Ok(()) } else { Err(list) }
    });
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.click("#host-alpha .who a");
    browser.wait_for_text("#generations", "last known working");
    browser.click("#generations a.button");
    browser.wait_for_text("dialog [data-generation='1']", &one[..7]);
    browser.wait_for("dialog [data-generation='1'] input:checked");
    browser.pictures("dialog-rollback");
    browser.type_in("#rollback-why", "motd is broken");
    browser.click("dialog [data-op=rollback]");
    user.wait_for_row("alpha", "ok ok ok out out");
    assert_eq!(steps.generation(), 1);
    let log = user.get("/api/events?host=alpha").text;
    let told =
        "Rollback from generation 2 to generation 1, because \\\"motd is broken\\\", was started.";
    assert!(log.contains(told), "{log}");
    browser.click("#timeline li:has([data-outcome=bad]) summary");
    browser.wait_for_text("#timeline", "it says broken");
    assert_eq!(browser.complaints(), [""; 0]);
}
