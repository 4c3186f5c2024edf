//! The pages beside the fleet's: one host, rollouts, settings, log in, first run.

use crate::fleet_page::Fleet;
use crate::support::browser::Browser;
use crate::support::{ConfigRepo, Dashboard, wait_until};
use serde_json::json;

/// No sideways scrolling from a phone to a very wide screen, nothing serious for people with
/// disabilities in either look, and pictures of it.
fn looks_right(browser: &Browser, name: &str) {
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    for width in [320, 390, 1024, 1440, 2560] {
        browser.screen(width, 900, false);
        assert_eq!(browser.run(wide), 0, "{name} at {width}");
    }
    for (width, height) in [(1440, 900), (1024, 768), (390, 844)] {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            assert_eq!(browser.axe_whole(), [""; 0], "{name} at {width}, dark: {dark}");
            let look = if dark { "dark" } else { "light" };
            browser.picture(&format!("{name}-{width}-{look}"));
        }
    }
    browser.screen(1440, 900, false);
}

/// D5, D10; of 3: the same error once, and only what failed is asked for again.
#[test]
fn a_rollout_is_followed_its_errors_are_told_once_and_what_failed_is_asked_again() {
    let mut fleet = Fleet::open(0, 4, 1, 1);
    fleet.browser.click("header nav a[href='/rollouts']");
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.wait_for_text("#ended", "None yet.");
    fleet.browser.run("window.neverReloaded = true");
    let hosts = ["late-00", "late-01", "late-02", "gone-00"];
    let asked = json!({ "op": "pull", "hosts": hosts, "at_once": 4 });
    assert_eq!(fleet.user.post("/api/rollouts", &asked).status, 202);
    fleet.browser.wait_for_text(".rolling h2", "Pull of 4 hosts");
    for name in ["late-00", "late-01", "late-02"] {
        fleet.agent(name).expect_command("pull");
        fleet.agent(name).begin("pull");
    }
    fleet.browser.wait_for_text(".rolling [data-of=host-late-01]", "Pull");
    fleet.browser.wait_for_text(".rolling .counts", "3 working");
    looks_right(&fleet.browser, "rollouts-running");
    fleet.browser.assert_true();
    fleet.end(fleet.at("late-02"), "pull", 0);
    fleet.browser.wait_for_text(".rolling .counts", "1 done");
    for name in ["late-00", "late-01"] {
        fleet.end(fleet.at(name), "pull", 1);
    }
    // Who is away is waited for, and holds nobody up; nobody has to wait.
    fleet.browser.wait_for_text(".rolling [data-of=host-gone-00]", "gone-00 is offline");
    fleet.browser.click(".rolling [data-of=host-gone-00] [data-op=leave-out]");
    fleet.browser.wait_for("section[data-over=true][data-bad='2']");
    fleet.browser.wait_for_text(".same:has(.bad) .chips", "late-00");
    fleet.browser.wait_for_text(".same:has(.bad) .chips", "late-01");
    let errors = "return document.querySelectorAll('.same:has(.bad)').length";
    assert_eq!(fleet.browser.run(errors), 1, "the same error is told once");
    fleet.browser.wait_for_text(".same:has(.off)", "left out by admin");
    fleet.browser.wait_for_text(".same:has(.off)", "gone-00");
    fleet.browser.wait_for_text("#ended", "1 done, 2 failed, 1 left out");
    assert_eq!(fleet.browser.run("return window.neverReloaded"), true);
    looks_right(&fleet.browser, "rollouts");
    fleet.browser.assert_true();
    fleet.browser.click("section[data-over=true] [data-op=retry]");
    fleet.browser.wait_for_text("dialog h2", "Pull 2 hosts");
    fleet.browser.wait_for_text("dialog", "As it was asked before: each host does pull.");
    assert_eq!(fleet.browser.axe(), [""; 0], "asked once more");
    fleet.browser.click("dialog [data-op=start]");
    for name in ["late-00", "late-01"] {
        fleet.agent(name).expect_command("pull");
        fleet.agent(name).begin("pull");
    }
    fleet.browser.wait_for_text(".rolling h2", "Pull of 2 hosts");
    for name in ["late-00", "late-01"] {
        fleet.end(fleet.at(name), "pull", 0);
    }
    // What nobody has to look at any more goes, and stays in the history.
    fleet.browser.click("section[data-over=true] [data-op=dismiss]");
    fleet.browser.wait_for("#rollouts-page:not(:has(section[data-over]))");
    fleet.browser.wait_for_text("#ended", "1 done, 2 failed, 1 left out");
    fleet.browser.assert_true();
    assert_eq!(fleet.browser.complaints(), [""; 0]);
}

/// D9.
#[test]
fn a_hosts_page_says_what_is_next_and_why_and_what_happened() {
    let mut fleet = Fleet::open(2, 1, 1, 1);
    fleet.browser.click("#host-fail-00 .who a");
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.wait_for_text(".now", "linux-6.12.7-modules did not build");
    fleet.browser.wait_for_text(".crumb", "Failed");
    fleet.browser.wait_for_text("#timeline", "Switch failed");
    // Its log is beside it where there is room, and the errors in it stand out.
    fleet.browser.screen(1440, 900, false);
    fleet.browser.go(fleet.browser.run("return location.href").as_str().unwrap());
    fleet.browser.wait_for(".app[data-dock=side] #log-lines [data-bad]");
    looks_right(&fleet.browser, "host-failed");
    fleet.browser.assert_true();
    fleet.browser.click(".beside [title$='fail-01']");
    fleet.browser.wait_for("#host-page[data-host=fail-01]");
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.run("window.neverReloaded = true");
    fleet.browser.ask("fail-01", "switch");
    fleet.agent("fail-01").expect_command("switch");
    fleet.agent("fail-01").begin("switch");
    fleet.browser.wait_for("#host-page[data-busy=switch] .now [data-op=stop]");
    fleet.browser.wait_for("#log-lines[data-log=fail-01]");
    fleet.end(fleet.at("fail-01"), "switch", 0);
    fleet.browser.wait_for_row("fail-01", "ok ok ok ok outdated");
    fleet.browser.wait_for_text("#timeline", "Switch succeeded");
    // Only what was asked for of what happened, from the address.
    fleet.browser.click("#timeline .seg a[href$='only=tests']");
    fleet.browser.wait_for_text("#timeline", "Nothing yet.");
    fleet.browser.click("#timeline .seg a[href$='only=deploys']");
    fleet.browser.wait_for_text("#timeline", "Switch failed");
    fleet.browser.assert_true();
    // A compartment and the menu open as they do in the list.
    fleet.browser.click("#host-page [data-compartment=tests]");
    fleet.browser.wait_for("#dialogs [data-dialog=tests]");
    fleet.browser.press("\u{e00c}");
    fleet.browser.wait_for("#dialogs:empty");
    assert_eq!(fleet.browser.complaints(), [""; 0]);
}

#[test]
fn settings_are_cards_and_what_the_browser_is_to_look_like_is_remembered() {
    let fleet = Fleet::open(0, 2, 0, 0);
    let browser = &fleet.browser;
    browser.click("header nav a[href='/settings']");
    looks_right(browser, "settings");
    browser.click("[data-look=theme][value=dark]");
    browser.click("[data-look=density][value=comfortable]");
    browser.wait_for("[data-look=theme][value=dark][aria-pressed=true]");
    browser.go(&fleet.dashboard.url);
    browser.wait_for_text("#link", "live");
    let looks = "return getComputedStyle(document.documentElement).colorScheme + ' ' +
                 document.querySelector('article').getBoundingClientRect().height";
    assert_eq!(browser.run(looks), "dark 44");
    browser.picture("fleet-comfortable-dark");
    assert_eq!(browser.axe(), [""; 0]);
    browser.go(&format!("{}/settings", fleet.dashboard.url));
    browser.click("[data-look=theme][value='']");
    browser.click("[data-look=density][value='']");
    browser.go(&fleet.dashboard.url);
    browser.wait_for_text("#link", "live");
    assert_eq!(browser.run(looks), "light dark 36");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn who_comes_first_is_told_what_this_is_and_what_to_do() {
    let dashboard = Dashboard::start(&[]);
    let browser = Browser::start();
    browser.go(&dashboard.url);
    browser.wait_for_text("main", "Every machine of one flake");
    looks_right(&browser, "login");
    browser.type_in("#password", "nonsense\u{e007}");
    browser.wait_for_text("[role=alert]", "Wrong password");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("login-wrong");
    browser.login(&dashboard.url, &dashboard.password);
    // B15: it does not ask for what is there, and does ask for what is not.
    browser.wait_for_text(".first", "NIXFLEET_SOURCE");
    assert_eq!(browser.axe(), [""; 0]);
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    wait_until("the repository is known", || {
        let text = browser.text(".first");
        let right = text.contains("can be read") && !text.contains("NIXFLEET_SOURCE");
        if right { Ok(()) } else { Err(text) }
    });
    looks_right(&browser, "first-run");
    browser.click(".first a");
    browser.wait_for("dialog[data-dialog=add-host]");
    assert_eq!(browser.complaints(), [""; 0]);
}
