//! What a fleet suffers: processes that are killed and links that are cut.

use crate::support::{Agent, Client, ConfigRepo, Dashboard, Proxy};

/// A switch that waits at the gate, after its first lines.
struct Switch {
    _repo: ConfigRepo,
    dashboard: Dashboard,
    proxy: Proxy,
    agent: Agent,
    user: Client,
    id: String,
}

impl Switch {
    fn at_the_gate() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let proxy = Proxy::to(&dashboard.url);
        let agent = Agent::start(&proxy.url, "web", &repo.remote());
        user.wait_for_row("web", "ok ok ok out unk");
        agent.set("gate");
        let id = user.start("web", "switch");
        user.wait_for_line(&id, "waiting at the gate");
        Self { _repo: repo, dashboard, proxy, agent, user, id }
    }

    /// Lets it go on; it must end as if nothing had happened.
    fn ends_well(&self) {
        let switch = self.user.wait_for_state(&self.id, "succeeded");
        assert_eq!(switch["exit_code"], 0);
        self.log_is_whole();
        self.user.wait_for_row("web", "ok ok ok ok out");
    }

    /// Every line once and in order.
    fn log_is_whole(&self) {
        let numbered = |what: &str| (1..=10).map(|n| format!("{what} {n}")).collect::<Vec<_>>();
        let mut expected = numbered("before");
        expected.push("waiting at the gate".to_owned());
        expected.extend(numbered("after"));
        let lines = self.user.output(&self.id);
        let stdout: Vec<&String> = lines
            .iter()
            .filter(|l| l.starts_with("before") || l.starts_with("after") || l.contains("gate"))
            .collect();
        assert_eq!(stdout, expected.iter().collect::<Vec<_>>(), "all lines: {lines:#?}");
    }
}

#[test]
fn a_switch_outlives_its_agent_that_is_killed_and_started_again() {
    let mut switch = Switch::at_the_gate();
    switch.agent.kill_9();
    switch.agent.set("go");
    switch.agent.start_again();
    switch.ends_well();
}

#[test]
fn a_switch_that_ends_while_its_agent_is_dead_is_told_when_that_comes_back() {
    let mut switch = Switch::at_the_gate();
    switch.agent.kill_9();
    switch.agent.set("go");
    let current = switch.agent.dir.path().join("root/run/current-system");
    crate::support::wait_until("the switch has activated", || {
        std::fs::read_link(&current).map_err(|e| e.to_string())
    });
    switch.agent.start_again();
    switch.ends_well();
}

#[test]
fn a_switch_that_kills_the_agent_it_was_started_by_succeeds() {
    let mut switch = Switch::at_the_gate();
    switch.agent.on_switch(&format!("#!/bin/sh\nkill -9 {}\n", switch.agent.pid()));
    switch.agent.set("go");
    switch.agent.wait_for_death();
    switch.agent.start_again();
    switch.ends_well();
}

#[test]
fn a_switch_outlives_the_dashboard_that_is_killed_and_started_again() {
    let mut switch = Switch::at_the_gate();
    switch.dashboard.kill_9();
    switch.agent.set("go");
    switch.dashboard.start_again();
    switch.user = switch.dashboard.login();
    switch.ends_well();
}

#[test]
fn a_switch_outlives_a_link_that_is_cut_and_restored() {
    let switch = Switch::at_the_gate();
    switch.proxy.cut();
    switch.agent.set("go");
    switch.user.wait_for_offline("web");
    // Offline changes no status: it is still the row of a running switch.
    assert_eq!(switch.user.row("web"), "ok ok ok wrk unk");
    switch.proxy.restore();
    switch.ends_well();
}

#[test]
fn agent_and_dashboard_may_both_be_killed_in_the_middle_of_a_switch() {
    let mut switch = Switch::at_the_gate();
    switch.dashboard.kill_9();
    switch.agent.kill_9();
    switch.agent.set("go");
    switch.agent.start_again();
    switch.dashboard.start_again();
    switch.user = switch.dashboard.login();
    switch.ends_well();
}
