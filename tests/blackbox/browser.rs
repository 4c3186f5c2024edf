//! The page in a real browser, against real agents.

use crate::support::browser::Browser;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, GitHub, wait_until};
use std::sync::Arc;

struct Page {
    repo: ConfigRepo,
    dashboard: Dashboard,
    agent: Agent,
    user: Client,
    browser: Browser,
}

impl Page {
    fn open() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let agent = Agent::start(&dashboard.url, "web", &repo.remote());
        user.wait_for_row("web", "ok ok ok out unk");
        let browser = Browser::start();
        browser.login(&dashboard.url, &dashboard.password);
        Self { repo, dashboard, agent, user, browser }
    }

    fn click(&self, op: &str) {
        self.browser.ask("web", op);
    }
}

#[test]
fn a_day_by_clicks_ends_green_without_a_reload_or_a_complaint_of_the_browser() {
    let page = Page::open();
    let browser = &page.browser;
    browser.run("window.neverReloaded = true");
    browser.wait_for_row("web", "ok ok ok outdated unknown");
    page.repo.push_change("by clicks");
    browser.wait_for_row("web", "ok outdated ok outdated unknown");
    page.click("pull");
    browser.wait_for_row("web", "ok ok ok outdated unknown");
    page.agent.set("gate");
    page.click("switch");
    browser.wait_for_row("web", "ok ok ok working unknown");
    browser.wait_for_text("#log-panel", "waiting at the gate");
    browser.wait_for_text("#log-outcome", "running");
    browser.pictures("fleet-switching");
    page.agent.set("go");
    browser.wait_for_row("web", "ok ok ok ok outdated");
    browser.wait_for_text("#log-panel", "after 10");
    browser.wait_for_text("#log-outcome", "succeeded · exit code 0");
    page.click("test");
    browser.wait_for_row("web", "ok ok ok ok ok");
    browser.wait_for_count("", 1);
    browser.wait_for_count("ok", 1);
    browser.pictures("fleet-green");
    assert_eq!(browser.run("return window.neverReloaded"), true);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_running_switch_is_stopped_by_a_click_and_the_row_says_so() {
    let page = Page::open();
    page.agent.set("gate");
    page.click("switch");
    page.browser.wait_for_text("#log-panel", "waiting at the gate");
    page.click("stop");
    page.browser.wait_for_row("web", "ok ok ok outdated outdated");
    page.browser.wait_for_text("#log-outcome", "stopped");
    page.browser.click("#host-web [data-compartment=system]");
    page.browser.wait_for_text("#dialogs [data-dialog=system]", "Switch was stopped by admin");
}

#[test]
fn the_page_is_right_again_by_itself_after_the_dashboard_was_killed_and_started() {
    let mut page = Page::open();
    page.browser.run("window.neverReloaded = true");
    page.dashboard.kill_9();
    page.browser.wait_for_text("#link", "reconnecting");
    page.repo.push_change("while nobody looked");
    page.dashboard.start_again();
    page.browser.wait_for_text("#link", "live");
    page.browser.wait_for_row("web", "ok outdated ok outdated unknown");
    assert_eq!(page.browser.run("return window.neverReloaded"), true);
}

/// The version that a page is of.
fn version_of(page: &str) -> u64 {
    let (_, rest) = page.split_once("data-version=\"").unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn a_page_from_before_a_restart_is_never_taken_for_one_of_the_new_dashboard() {
    let mut dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    for n in 0..20 {
        user.post("/api/hosts", &serde_json::json!({ "hostname": format!("host-{n}") }));
    }
    let before = version_of(&user.get("/").text);
    dashboard.kill_9();
    dashboard.start_again();
    let after = version_of(&user.get("/").text);
    assert!(after > before, "{after} is not above {before}");
    assert!(after < 1 << 53, "a browser cannot count {after} exactly");
}

#[test]
fn a_host_that_goes_away_is_dimmed_and_keeps_its_row() {
    let mut page = Page::open();
    page.agent.kill_9();
    page.browser.wait_for("#host-web[data-online=false]");
    assert_eq!(page.browser.row("web"), "ok ok ok outdated unknown");
    page.browser.pictures("fleet-offline");
}

#[test]
fn a_host_is_added_on_the_page_and_its_token_lets_its_agent_in() {
    let dashboard = Dashboard::start(&[]);
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.pictures("fleet-empty");
    browser.click(".first a");
    browser.type_in("#hostname", "new-one");
    browser.click("#add-host button[type=submit]");
    browser.wait_for("#new-token");
    let token = browser.text("#new-token");
    let mut agent = crate::support::OldAgent::connect(&dashboard.url, token.trim(), "new-one")
        .expect("the token lets in");
    agent.register();
    browser.wait_for("#host-new-one[data-online=true]");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_hosts_page_tells_the_story_of_its_commands() {
    let page = Page::open();
    page.user.run("web", "switch", "succeeded");
    page.user.run("web", "test", "succeeded");
    page.browser.click("#host-web .who a");
    page.browser.wait_for_text("main", "Switch");
    page.browser.wait_for_text("main", "succeeded");
    page.browser.pictures("host");
    for dark in [false, true] {
        page.browser.screen(1280, 900, dark);
        assert_eq!(page.browser.axe(), [""; 0], "dark: {dark}");
    }
    page.browser.screen(1280, 900, false);
    page.browser.click("header nav a[href='/events']");
    wait_until("the audit log is shown", || {
        let text = page.browser.text("main");
        if text.contains("Switch was started.") { Ok(()) } else { Err(text) }
    });
    page.browser.pictures("events");
    assert_eq!(page.browser.complaints(), [""; 0]);
}

#[test]
fn logging_out_ends_the_session() {
    let page = Page::open();
    page.browser.click("#user-button");
    page.browser.click("form[action='/logout'] button");
    page.browser.wait_for("#password");
    page.browser.pictures("login");
    assert_eq!(page.browser.axe(), [""; 0]);
    page.browser.go(&format!("{}/", page.dashboard.url));
    page.browser.wait_for("#password");
}

#[test]
fn a_click_on_a_host_that_is_away_waits_for_it_and_the_row_says_so() {
    let mut page = Page::open();
    page.agent.kill_9();
    page.browser.wait_for("#host-web[data-online=false]");
    page.click("pull");
    page.browser.wait_for_text("#host-web .why", "Pull waits for the host");
    page.browser.pictures("fleet-waiting");
    page.agent.start_again();
    page.browser.wait_for_text("#log-outcome", "succeeded");
    page.browser.wait_for_text("#host-web .why", "No deployment seen");
    assert_eq!(page.browser.complaints(), [""; 0]);
}

#[test]
fn an_update_is_merged_by_a_click_and_every_lock_turns_yellow() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    repo.push_branch("update_flake_lock_action");
    github.open_pull(42, "update_flake_lock_action", true);
    let dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
        ("NIXFLEET_GITHUB_API", &github.url),
        ("NIXFLEET_GITHUB_TOKEN", "ghp_anybody"),
    ]);
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.wait_for_text("#fleet-target", "flake.lock: update from");
    browser.wait_for("#host-web [data-compartment=lock][data-pr]");
    browser.pictures("fleet-update");
    browser.click("#fleet-target [data-op=merge]");
    browser.wait_for_row("web", "ok outdated outdated outdated unknown");
    browser.wait_for_text("#toasts", "Nothing was deployed.");
    browser.wait_for("#fleet-target:not(:has(.pr))");
    wait_until("hovering over Git names the missing commits", || {
        let hover =
            browser.run("return document.querySelector('#host-web [data-compartment=git]').title");
        let hover = hover.as_str().unwrap().to_owned();
        if hover.contains("flake.lock: update") { Ok(()) } else { Err(hover) }
    });
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_hosts_page_is_live_and_true_after_a_click_and_after_a_restart_of_the_dashboard() {
    let mut page = Page::open();
    page.browser.click("#host-web .who a");
    page.browser.wait_for_text("#link", "live");
    page.browser.run("window.neverReloaded = true");
    page.click("switch");
    page.browser.wait_for_row("web", "ok ok ok ok outdated");
    page.browser.wait_for_text("#timeline", "Switch succeeded");
    page.browser.click("#host-page [data-op=menu]");
    page.browser.click("#dialogs [data-op=open-settings]");
    page.browser.choose("#tests_enabled", "off");
    page.browser.click("dialog [data-op=save]");
    page.browser.wait_for_row("web", "ok ok ok ok unknown");
    page.dashboard.kill_9();
    page.browser.wait_for_text("#link", "reconnecting");
    page.repo.push_change("while nobody looked");
    page.dashboard.start_again();
    page.browser.wait_for_row("web", "ok outdated ok outdated unknown");
    page.browser.wait_for_text("#missing", "while nobody looked");
    assert_eq!(page.browser.run("return window.neverReloaded"), true);
}
