//! The keyboard: finding and doing by Ctrl K, one tab stop for the list, pages by two keys.

use crate::fleet_page::Fleet;
use crate::support::wait_until;
use serde_json::json;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const DOWN: &str = "\u{e015}";
const RIGHT: &str = "\u{e014}";
const FOCUSED: &str =
    "const at = document.activeElement; return at.id || at.className || at.localName";

/// D13; check 13 and 12.
#[test]
fn ctrl_k_finds_a_host_and_does_what_it_says() {
    let mut fleet = Fleet::open(1, 2, 1, 1);
    let browser = &fleet.browser;
    browser.click("#host-late-00 .who");
    browser.run("document.querySelector('#host-late-00').focus()");
    browser.chord("k");
    browser.wait_for("#palette[open] [role=option]");
    for dark in [false, true] {
        browser.screen(1440, 900, dark);
        assert_eq!(browser.axe(), [""; 0]);
        browser.picture(&format!("palette-{dark}"));
    }
    browser.screen(1440, 900, false);
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    assert_eq!(browser.run(FOCUSED), "host-late-00", "the focus is where it was");
    // What is typed fast is what is opened.
    browser.chord("k");
    browser.type_in("#palette input", &format!("late-01{ENTER}"));
    browser.wait_for("#host-page[data-host=late-01]");
    // From any page, without a mouse: the next step of a host.
    browser.chord("k");
    browser.type_in("#palette input", "late-00");
    browser.wait_for_text("#pal-list .cap:nth-of-type(3)", "On late-00");
    browser.press(DOWN);
    browser.wait_for_text("#pal-list [aria-selected=true]", "Update");
    let active =
        "return document.querySelector('#palette input').getAttribute('aria-activedescendant')
                  === document.querySelector('#pal-list [aria-selected=true]').id";
    assert_eq!(browser.run(active), true);
    browser.press(ENTER);
    fleet.agent("late-00").expect_command("pull");
    let browser = &fleet.browser;
    // What can be done at all.
    browser.chord("k");
    browser.type_in("#palette input", &format!("add host{ENTER}"));
    browser.wait_for("dialog[data-dialog=add-host]");
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    browser.chord("k");
    browser.type_in("#palette input", "nothing like that");
    browser.wait_for("#pal-list:empty");
    browser.press(ENTER);
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    // Without the script there is a page of links.
    let page = fleet.user.get("/find?q=fail").text;
    assert!(
        page.contains("<html")
            && page.contains("/hosts/fail-00")
            && !page.contains("/hosts/late-00")
    );
    assert_eq!(fleet.user.get(&format!("/find?q={}", "x".repeat(300))).status, 400);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check 14.
#[test]
fn the_list_is_one_tab_stop_and_the_arrows_enter_a_row() {
    let fleet = Fleet::open(2, 3, 1, 1);
    let browser = &fleet.browser;
    browser.screen(1440, 900, false);
    browser.run("document.querySelector('.brand').focus()");
    let mut stops = 0;
    while !browser.run("return document.activeElement.localName === 'article'").as_bool().unwrap() {
        browser.press(TAB);
        stops += 1;
        assert!(stops <= 16, "{}", browser.run(FOCUSED));
        if browser.run("return document.activeElement.matches('.stats a')") == true {
            browser.press(RIGHT);
            assert_eq!(browser.run("return document.activeElement.dataset.show"), "failed");
        }
    }
    println!("the list is reached with {stops} stops");
    assert_eq!(browser.run(FOCUSED), "host-fail-00");
    browser.press("j");
    assert_eq!(browser.run(FOCUSED), "host-fail-01");
    // Into the row, and back.
    browser.press(RIGHT);
    assert_eq!(browser.run("return document.activeElement.matches('#host-fail-01 .pick')"), true);
    browser.press(RIGHT);
    assert_eq!(browser.run("return document.activeElement.matches('#host-fail-01 .who a')"), true);
    // One Tab leaves the list, whichever part of it has the focus; the way back leads to that row.
    browser.press(TAB);
    let inside = "return document.querySelector('#hosts').contains(document.activeElement)";
    wait_until("the list is left", || {
        let now = browser.run(inside);
        if now == false { Ok(()) } else { Err(browser.run(FOCUSED)) }
    });
    assert_ne!(browser.run("return document.activeElement.localName"), json!("body"));
    wait_until("the list can be used again", || {
        if browser.run("return hosts().inert") == false { Ok(()) } else { Err("it is inert") }
    });
    browser.shift_tab();
    wait_until("the row has the focus again", || {
        let now = browser.run(FOCUSED);
        if now == "host-fail-01" { Ok(()) } else { Err(now) }
    });
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn shift_f10_opens_the_menu_of_the_row_that_has_the_focus() {
    const F10: &str = "\u{e03a}";
    let fleet = Fleet::open(1, 1, 0, 0);
    let browser = &fleet.browser;
    let focus = "document.querySelector('#host-late-00').focus()";
    browser.run(focus);
    browser.shift(F10);
    browser.wait_for("#dialogs [role=menu] [href^='/hosts/late-00/']");
    browser.press("\u{e00c}");
    wait_until("the menu is closed", || {
        let open = browser.run("return document.querySelector('#dialogs [role=menu]') !== null");
        if open == false { Ok(()) } else { Err(browser.run(FOCUSED)) }
    });
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn two_keys_go_to_a_page_unless_keys_of_one_letter_are_off() {
    let fleet = Fleet::open(0, 1, 0, 0);
    let browser = &fleet.browser;
    let path = |wanted: &str| {
        wait_until("the page is another", || {
            let now = browser.run("return location.pathname");
            if now == wanted { Ok(()) } else { Err(now) }
        });
    };
    for (key, page) in [("r", "/rollouts"), ("a", "/events"), ("s", "/settings"), ("f", "/")] {
        browser.press("g");
        browser.press(key);
        path(page);
        browser.wait_for("#user-button");
    }
    browser.press("g");
    browser.press("s");
    path("/settings");
    browser.click("[data-look=keys][value=off]");
    browser.press("g");
    browser.press("f");
    browser.press("?");
    assert_eq!(browser.run("return location.pathname"), "/settings");
    assert_eq!(browser.run("return document.querySelector('#dialogs').childElementCount"), 0);
    assert_eq!(fleet.commands_of("late-00"), 0, "g and s is no switch");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// D6: what only waits is taken back by one click.
#[test]
fn what_waits_for_a_host_that_is_away_can_be_undone() {
    let fleet = Fleet::open(0, 0, 0, 1);
    let browser = &fleet.browser;
    browser.wait_for("#host-gone-00[data-online=false]");
    browser.ask("gone-00", "pull");
    browser.wait_for_text("#toasts", "Pull waits for gone-00.");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("fleet-undo");
    browser.click("#toasts [data-op=undo]");
    browser.wait_for("#toasts:empty");
    wait_until("it was taken back", || {
        let all = fleet.user.get("/api/hosts/gone-00/commands").json();
        if all[0]["state"] == "cancelled" { Ok(()) } else { Err(all) }
    });
    // B15: what has no other sign is said.
    browser.click("#fleet-target [data-op=refresh]");
    browser.wait_for_text("#toasts", "The remotes are read again.");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The key of a row that holds its host: nothing is held before somebody says so.
#[test]
fn h_asks_whether_the_host_with_the_focus_is_to_be_held() {
    let fleet = Fleet::open(0, 2, 0, 1);
    let browser = &fleet.browser;
    browser.run("document.querySelector('#host-late-01').focus()");
    browser.press("h");
    browser.wait_for("dialog[data-dialog=hold][open]");
    assert_eq!(fleet.user.host("late-01")["held"], json!(null));
    browser.type_in("#hold-reason", "until Monday");
    browser.click("dialog button[data-op=hold]");
    browser.wait_for_text("#host-late-01 .why .hold", "Held");
    assert_eq!(fleet.user.host("late-01")["held"]["reason"], "until Monday");
    assert_eq!(fleet.user.host("late-00")["held"], json!(null));
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}
