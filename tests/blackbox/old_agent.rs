//! NixFleet 3.x agents, which are installed already, keep working.

use crate::support::dashboard::TOKEN;
use crate::support::{Client, ConfigRepo, Dashboard, OldAgent, wait_until};
use serde_json::json;
use sha2::{Digest, Sha256};

struct Old {
    repo: ConfigRepo,
    dashboard: Dashboard,
    user: Client,
    agent: OldAgent,
}

impl Old {
    /// An old agent whose checkout is the head of the remote.
    fn joins() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let mut agent = OldAgent::join(&dashboard.url, "old", &repo.head());
        agent.lock_hash = Some(lock_hash(&repo));
        agent.heartbeat();
        user.wait_for_row("old", "out ok ok out unk");
        Self { repo, dashboard, user, agent }
    }

    /// Switches as a 3.x agent does: it says so, exits, and comes back.
    fn switch(&mut self, binary: (&str, &str)) -> String {
        let id = self.user.start("old", "switch");
        self.agent.expect_command("switch");
        self.agent.begin("switch");
        self.agent.heartbeat();
        self.agent.output("building the system configuration...");
        self.agent.end("switch", 0);
        self.come_back(binary);
        id
    }

    /// Its process ends; its service manager starts another.
    fn come_back(&mut self, binary: (&str, &str)) {
        self.agent.hang_up();
        self.user.wait_for_offline("old");
        let mut agent = OldAgent::connect(&self.dashboard.url, TOKEN, "old").expect("a link");
        agent.generation.clone_from(&self.agent.generation);
        agent.lock_hash.clone_from(&self.agent.lock_hash);
        agent.binary = (binary.0.to_owned(), binary.1.to_owned());
        agent.register();
        agent.heartbeat();
        self.agent = agent;
    }
}

pub fn lock_hash(repo: &ConfigRepo) -> String {
    let text = repo.git(&["show", "HEAD:flake.lock"]) + "\n";
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_old_agent_pulls_switches_and_tests_and_its_row_is_current() {
    let mut old = Old::joins();
    let pushed = old.repo.push_change("for the old one");
    old.user.wait_for_row("old", "out out ok out unk");

    let pull = old.user.start("old", "pull");
    old.agent.expect_command("pull");
    old.agent.begin("pull");
    old.agent.heartbeat();
    old.user.wait_for_state(&pull, "running");
    old.agent.generation = pushed[..7].to_owned();
    old.agent.end("pull", 0);
    old.agent.heartbeat();
    old.user.wait_for_state(&pull, "succeeded");
    old.user.wait_for_row("old", "out ok ok out unk");

    let switch = old.switch(("source-2", "binary-2"));
    old.user.wait_for_state(&switch, "succeeded");
    assert_eq!(old.user.output(&switch), ["building the system configuration..."]);

    // Whether it has tests is not known before one was seen: the first run is asked for.
    old.user.wait_for_row("old", "out ok ok ok out");
    old.user.start("old", "test");
    old.agent.expect_command("test");
    old.agent.begin("test");
    old.agent.heartbeat();
    old.user.wait_for_row("old", "out ok ok ok wrk");
    old.agent.output("fine");
    old.agent.end("test", 0);
    old.agent.heartbeat();
    old.user.wait_for_row("old", "out ok ok ok ok");
    // From now on they run by themselves.
    old.switch(("source-3", "binary-3"));
    old.agent.expect_command("test");
    assert!(old.user.says("old", "agent").contains("3.1.5"));
}

#[test]
fn an_old_agent_that_comes_back_with_its_old_binary_is_red() {
    let mut old = Old::joins();
    let switch = old.switch(("source-2", "binary-1"));
    let ended = old.user.wait_for_state(&switch, "unverified");
    assert_eq!(ended["reason"], "stale agent binary");
    old.user.wait_for_row("old", "err ok ok ok out");
}

#[test]
fn a_switch_of_an_old_agent_that_dies_without_a_word_is_verified_by_its_return() {
    let mut old = Old::joins();
    let switch = old.user.start("old", "switch");
    old.agent.expect_command("switch");
    old.agent.begin("switch");
    old.agent.heartbeat();
    old.user.wait_for_state(&switch, "running");
    old.come_back(("source-2", "binary-2"));
    old.user.wait_for_state(&switch, "succeeded");
}

#[test]
fn a_refusal_of_an_old_agent_is_shown_and_what_it_runs_is_adopted() {
    let mut old = Old::joins();
    let pull = old.user.start("old", "pull");
    old.agent.expect_command("pull");
    old.agent.begin("test");
    old.agent.reject();
    let refused = old.user.wait_for_state(&pull, "rejected");
    assert_eq!(refused["reason"], "command already running");
    old.user.wait_for_row("old", "out ok ok out wrk");
    assert_eq!(old.user.host("old")["pending_command"]["op"], "test");
}

#[test]
fn an_old_agent_that_reports_its_stop_twice_is_stopped_once() {
    let mut old = Old::joins();
    let switch = old.user.start("old", "switch");
    old.agent.expect_command("switch");
    old.agent.begin("switch");
    old.agent.heartbeat();
    old.user.wait_for_state(&switch, "running");
    old.user.post(&format!("/api/commands/{switch}/stop"), &json!({}));
    old.agent.expect_command("stop");
    old.agent.status("stopped", "switch", 130, "terminated by user");
    old.agent.end("switch", -1);
    old.agent.heartbeat();
    let stopped = old.user.wait_for_state(&switch, "stopped");
    assert_eq!(stopped["exit_code"], 130);
    assert_eq!(stopped["reason"], "Stopped by admin.");
    old.user.wait_for_idle("old");
}

#[test]
fn an_old_agent_whose_heartbeat_lacks_the_lock_hash_loses_nothing() {
    let mut old = Old::joins();
    let known = old.user.host("old")["lock_hash"].clone();
    let seen = old.user.host("old")["last_seen"].clone();
    old.agent.lock_hash = None;
    old.agent.heartbeat();
    wait_until("the heartbeat was seen", || {
        let host = old.user.host("old");
        if host["last_seen"] == seen { Err(host) } else { Ok(()) }
    });
    assert_eq!(old.user.host("old")["lock_hash"], known);
    assert_eq!(old.user.row("old"), "out ok ok out unk");
}

#[test]
fn the_newer_of_two_links_of_one_host_wins_and_the_older_is_told_why() {
    let mut old = Old::joins();
    let generation = old.agent.generation.clone();
    let mut newer = OldAgent::join(&old.dashboard.url, "old", &generation);
    let (code, reason) = old.agent.expect_close();
    assert_eq!(code, 4001);
    assert!(reason.contains("took over"), "{reason}");
    newer.heartbeat();
    old.user.wait_for_online("old");
}
