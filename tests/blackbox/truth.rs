//! A row never lies: situations in which it is tempting to, on real parts. The numbers are those of
//! the findings about rows, commands and jobs.

use crate::support::github::GitHub;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// A host whose row is green, and its clone.
struct Green {
    repo: Arc<ConfigRepo>,
    user: Client,
    agent: Agent,
    _dashboard: Dashboard,
}

impl Green {
    fn new() -> Self {
        let repo = Arc::new(ConfigRepo::new());
        let dashboard = Dashboard::with_source(&repo.remote());
        Self::with(repo, dashboard)
    }

    fn with(repo: Arc<ConfigRepo>, dashboard: Dashboard) -> Self {
        let user = dashboard.login();
        let agent = Agent::start(&dashboard.url, "web", &repo.remote());
        let green = Self { repo, user, agent, _dashboard: dashboard };
        green.row("ok ok ok out unk");
        green.run("switch", "succeeded");
        green.run("test", "succeeded");
        green.row("ok ok ok ok ok");
        green
    }

    fn row(&self, row: &str) {
        self.user.wait_for_row("web", row);
    }

    fn run(&self, op: &str, state: &str) -> serde_json::Value {
        self.user.run("web", op, state)
    }

    fn says(&self, compartment: &str) -> String {
        self.user.says("web", compartment)
    }

    fn clone(&self) -> PathBuf {
        self.agent.dir.path().join("state/repo")
    }

    /// Somebody at the host works in the clone.
    fn by_hand(&self, git: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.clone()).args(["-c", "safe.directory=*"]).args(git);
        assert!(command.env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap().success());
    }
}

/// 6.
#[test]
fn what_is_edited_by_hand_on_the_host_is_yellow_and_so_is_what_was_built_from_it() {
    let green = Green::new();
    let file = green.clone().join("flake.nix");
    fs::write(green.clone().join("notes.txt"), "Nix sees no file that is not tracked").unwrap();
    fs::write(&file, "{ outputs = { self }: { by = \"hand\"; }; }\n").unwrap();
    green.row("ok out ok out out");
    assert!(green.says("git").starts_with("Changed by hand on the host"), "{}", green.says("git"));
    assert_eq!(green.user.host("web")["dirty"], true);
    green.run("switch", "unverified");
    green.by_hand(&["checkout", "--quiet", "flake.nix"]);
    green.row("ok ok ok out out");
    assert!(green.user.host("web")["deployed"].is_null());
    green.run("switch", "succeeded");
    green.run("test", "succeeded");
    green.row("ok ok ok ok ok");
    assert_eq!(fs::read_to_string(green.clone().join("notes.txt")).unwrap().len(), 36);
}

/// 33.
#[test]
fn a_clone_that_is_deleted_on_the_host_is_said_and_a_pull_brings_it_back() {
    let green = Green::new();
    fs::remove_dir_all(green.clone()).unwrap();
    green.row("ok out out out out");
    assert!(green.says("git").starts_with("No checkout on the host: pull"));
    assert!(green.user.host("web")["generation"].is_null());
    green.run("pull", "succeeded");
    green.row("ok ok ok ok ok");
}

#[test]
fn a_remote_whose_newest_commit_has_no_flake_lock_is_red_while_the_host_has_one() {
    let green = Green::new();
    green.repo.git(&["rm", "--quiet", "flake.lock"]);
    green.repo.push("no lock any more");
    green.row("ok out err out out");
    assert!(green.says("lock").starts_with("no flake.lock on origin/main"));
    green.run("pull", "succeeded");
    green.row("ok ok ok out out");
}

/// 55.
#[test]
fn a_version_json_without_a_lock_hash_proves_no_lock() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    let lock = repo.remote_bytes(&["cat-file", "blob", "main:flake.lock"]).unwrap();
    let lock: String = Sha256::digest(lock).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut version = json!({
        "gitCommit": repo.head(), "lockHash": lock, "message": "first",
        "branch": "main", "timestamp": "2026-01-18T10:30:00Z",
    });
    let url = github.file("version.json", &version.to_string());
    let green = Green::with(repo, Dashboard::start(&[("NIXFLEET_SOURCE", &url)]));
    version.as_object_mut().unwrap().remove("lockHash");
    github.file("version.json", &version.to_string());
    green.row("ok ok out out out");
    assert_eq!(green.says("lock"), "Cannot verify: version.json names no lockHash");
    assert!(green.says("system").starts_with("Cannot verify against the remote: "));
}

#[test]
fn a_build_that_failed_stays_red_until_a_switch_succeeds_whatever_is_pushed_and_pulled() {
    let green = Green::new();
    green.repo.push_change("does not build");
    green.row("ok out ok out out");
    green.run("pull", "succeeded");
    green.agent.set("fail-build");
    green.run("switch", "failed");
    green.row("ok ok ok err out");
    green.repo.push_change("a fix");
    green.row("ok out ok err out");
    green.run("pull", "succeeded");
    green.row("ok ok ok err out");
    green.agent.unset("fail-build");
    green.run("switch", "succeeded");
    green.row("ok ok ok ok out");
}

/// 8.
#[test]
fn a_checkout_that_moves_while_it_is_built_makes_the_switch_unverified() {
    let green = Green::new();
    let pushed = green.repo.push_change("pulled by hand");
    green.row("ok out ok out out");
    green.agent.set("gate");
    let switch = green.user.start("web", "switch");
    green.user.wait_for_line(&switch, "waiting at the gate");
    green.by_hand(&["fetch", "--quiet", "origin"]);
    green.by_hand(&["reset", "--quiet", "--hard", &pushed]);
    wait_until("the checkout is told to have moved", || {
        let host = green.user.host("web");
        if host["generation"] == pushed.as_str() { Ok(()) } else { Err(host) }
    });
    green.agent.set("go");
    let ended = green.user.wait_for_state(&switch, "unverified");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.starts_with("The checkout moved from"), "{reason}");
    green.row("ok ok ok out out");
    assert_ne!(green.user.host("web")["deployed"], pushed.as_str());
}

/// 38.
#[test]
fn a_pull_and_switch_that_fails_in_its_pull_leaves_system_as_it_was() {
    let green = Green::new();
    let (here, away) = (green.repo.remote(), green.repo.remote().with_extension("away"));
    fs::rename(&here, &away).unwrap();
    let failed = green.run("pull-switch", "failed");
    fs::rename(&away, &here).unwrap();
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.starts_with("Pull failed: "), "{reason}");
    green.row("ok ok ok ok ok");
    assert!(green.user.get("/api/hosts/web/deployments").json().as_array().unwrap().len() == 1);
}
