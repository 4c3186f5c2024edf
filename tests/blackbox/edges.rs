//! The page at its edges: slow and broken networks, a remote that is gone, other eyes and hands.

use crate::fleet_page::Fleet;
use crate::support::browser::Browser;
use crate::support::{Agent, ConfigRepo, Dashboard, wait_until};
use serde_json::json;

const ESCAPE: &str = "\u{e00c}";

/// D16: a frame stands for what takes long, none for what does not; what was clicked last is shown.
#[test]
fn a_slow_answer_has_a_frame_and_a_quick_one_has_none() {
    let fleet = Fleet::open(0, 2, 0, 0);
    let browser = &fleet.browser;
    browser.run(
        "window.frames_ = 0;
         new MutationObserver((all) => all.forEach(({ addedNodes }) => addedNodes.forEach((node) => {
             if (node.matches?.('[data-waiting]')) window.frames_ += 1;
         }))).observe(document.querySelector('#dialogs'), { childList: true })",
    );
    browser.network(1500, false);
    browser.click("#host-late-00 [data-compartment=git]");
    browser.wait_for("dialog[data-waiting]");
    browser.picture("fleet-waiting-frame");
    browser.wait_for("#dialogs [data-dialog=git]:popover-open");
    browser.wait_for("#dialogs:not(:has([data-waiting]))");
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    // Two clicks: the answer to the last one counts.
    browser.run(
        "document.querySelector('#host-late-00 [data-compartment=git]').click();
         document.querySelector('#host-late-01 [data-compartment=lock]').click()",
    );
    browser.wait_for_text("#dialogs [data-dialog=lock] h2", "late-01");
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    browser.network(0, false);
    // An answer that is there at once.
    browser.run(
        "window.frames_ = 0;
         window.fetch = async () => new Response('<dialog data-dialog=quick></dialog>');
         document.querySelector('#host-late-00 [data-compartment=git]').click()",
    );
    browser.wait_for("dialog[data-dialog=quick]");
    assert_eq!(browser.run("return window.frames_"), 0);
}

#[test]
fn what_could_not_be_asked_is_said_and_asked_again_by_a_click() {
    let fleet = Fleet::open(0, 1, 0, 0);
    let browser = &fleet.browser;
    browser.network(0, true);
    browser.click("#host-late-00 [data-compartment=git]");
    browser.wait_for_text("#toasts", "The dashboard cannot be reached.");
    browser.picture("fleet-retry");
    browser.network(0, false);
    browser.click("#toasts button");
    browser.wait_for("#dialogs [data-dialog=git]");
    browser.wait_for("#toasts:empty");
}

/// Check 17, D4.
#[test]
fn a_remote_that_cannot_be_read_is_one_red_line_and_what_failed_stays_what_it_was() {
    let fleet = Fleet::open(1, 2, 1, 0);
    let browser = &fleet.browser;
    browser.wait_for_count("failed", 1);
    let (here, away) = (fleet.repo.remote(), fleet.repo.remote().with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    fleet.user.post("/api/desired/refresh", &json!({}));
    browser.wait_for_text("#fleet-target .fail", "cannot be read");
    browser.wait_for_count("unsure", 3);
    browser.wait_for_count("failed", 1);
    assert_eq!(browser.run("return document.querySelectorAll('#fleet-target .fail').length"), 1);
    // No cell is filled because of it.
    let filled = "return [...document.querySelectorAll('#hosts :is([data-compartment=git], [data-compartment=lock])')]
                  .filter((cell) => !cell.dataset.follows && ['error', 'outdated'].includes(cell.dataset.status)).length";
    assert_eq!(browser.run(filled), 0);
    browser.hover(".brand");
    browser.screen(1440, 900, false);
    browser.picture("fleet-remote-gone");
    assert_eq!(browser.axe(), [""; 0]);
    std::fs::rename(&away, &here).unwrap();
    browser.click("#fleet-target .fail [data-op=refresh]");
    browser.wait_for("#fleet-target:not(:has(.fail))");
    browser.wait_for_count("due", 2);
    browser.assert_true();
}

/// Check 19.
#[test]
fn on_a_phone_nothing_scrolls_sideways_and_a_finger_finds_what_it_touches() {
    let fleet = Fleet::open(2, 2, 1, 1);
    let browser = &fleet.browser;
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    // 720 wide is 1440 at 200 %.
    for width in [390, 360, 320, 720] {
        browser.screen(width, 844, false);
        assert_eq!(browser.run(wide), 0, "at {width}");
    }
    for width in [390, 360, 320] {
        browser.screen(width, 844, false);
        let missed = browser.run(
            "return [...document.querySelectorAll('#hosts article:not([hidden]) .do > *')].flatMap((button) => {
                 button.scrollIntoView({ block: 'center' });
                 const { x, y, width, height } = button.getBoundingClientRect();
                 const [cx, cy] = [x + width / 2, y + height / 2];
                 const hit = (dx, dy) => button.contains(document.elementFromPoint(cx + dx, cy + dy));
                 return [[21.5, 0], [-21.5, 0], [0, 21.5], [0, -21.5]].every(([dx, dy]) => hit(dx, dy))
                     ? [] : [button.outerHTML];
             })",
        );
        assert_eq!(missed, json!([]), "at {width}");
    }
}

/// D15: without a mouse there is no room for boxes until somebody wants them.
#[test]
fn a_long_press_on_a_phone_selects_and_shows_the_boxes_d15() {
    let fleet = Fleet::open(1, 2, 0, 0);
    let browser = &fleet.browser;
    browser.screen(390, 844, false);
    let boxes = "return [...document.querySelectorAll('#hosts .pick')].filter((box) => box.checkVisibility()).length";
    assert_eq!(browser.run(boxes), 0);
    let touch = |kind: &str| {
        browser.run(&format!(
            "document.querySelector('#host-late-00 .why').dispatchEvent(
                 new PointerEvent('{kind}', {{ bubbles: true, pointerType: 'touch' }}))"
        ));
    };
    // The first sign of a hand loads what a hand needs.
    touch("pointerdown");
    touch("pointerup");
    wait_until("hands are there", || {
        if browser.run("return handy") == true { Ok(()) } else { Err("not yet") }
    });
    touch("pointerdown");
    browser.wait_for("#pick.picking");
    touch("pointerup");
    browser.wait_for_text("#bar", "1 selected");
    assert_eq!(browser.run(boxes), 3);
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("phone-selecting");
    browser.click("#pick-none");
    browser.wait_for("#bar[hidden]");
    assert_eq!(browser.run(boxes), 0);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check 20 and 21.
#[test]
fn forced_colours_keep_the_states_apart_and_reduced_motion_stops_all_motion() {
    let fleet = Fleet::open(1, 1, 1, 1);
    let browser = &fleet.browser;
    browser.prefers("forced-colors", "active");
    let glyphs = browser.run(
        "return [...document.querySelectorAll('#fleet-summary .g')].map((glyph) => {
             const style = getComputedStyle(glyph, '::before');
             return [style.maskImage, style.backgroundColor, getComputedStyle(document.body).backgroundColor];
         })",
    );
    let glyphs = glyphs.as_array().unwrap();
    let shapes: std::collections::BTreeSet<_> =
        glyphs.iter().map(|one| one[0].to_string()).collect();
    assert_eq!(shapes.len(), glyphs.len(), "each state has a shape of its own: {shapes:?}");
    for one in glyphs {
        assert_ne!(one[1], one[2], "it is seen");
    }
    browser.picture("fleet-forced-colours");
    browser.prefers("prefers-reduced-motion", "reduce");
    browser.go(&fleet.dashboard.url);
    browser.wait_for_text("#link", "live");
    browser.wait_for_count("run", 1);
    let moving = "return document.getAnimations().filter((one) => one.effect.getComputedTiming().duration > 0).length";
    assert_eq!(browser.run(moving), 0);
    browser.click("#host-work-00 .more");
    browser.wait_for("#dialogs [role=menu]:popover-open");
    assert_eq!(browser.run(moving), 0);
}

/// B10: the whole message, and the way to the log.
#[test]
fn a_switch_that_failed_says_all_of_why_and_leads_to_its_log_b10() {
    let fleet = Fleet::open(1, 1, 0, 0);
    let browser = &fleet.browser;
    browser.click("#host-fail-00 [data-compartment=system]");
    browser.wait_for_text("#dialogs [data-dialog=system]", "linux-6.12.7-modules did not build");
    browser.click("#dialogs [data-log-open]");
    browser.wait_for_text("#log-lines[data-log=fail-00]", "linux-6.12.7-modules did not build");
    browser.wait_for("#dialogs:empty");
    // Its header is one line, whatever the message is.
    browser.screen(1440, 900, false);
    let height =
        browser.run("return document.querySelector('.what').getBoundingClientRect().height");
    assert!(height.as_f64().unwrap() <= 48.0, "{height}");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// B11: what a dry run says would change, or else the end of its log.
#[test]
fn what_would_change_is_told_or_the_end_of_the_log_is_shown_b11() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_online("web");
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    user.run("web", "dry-run", "succeeded");
    browser.go(&format!("{}/hosts/web", dashboard.url));
    browser.click("#host-page [data-op=open-dry-run]");
    browser.wait_for_text("dialog .units", "Would restart 2 units");
    browser.wait_for_text("dialog .units", "sshd.service");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("dialog-dry-run");
    agent.set("says-nothing");
    user.run("web", "dry-run", "succeeded");
    wait_until("the dialog follows", || {
        let text = browser.text("dialog");
        if text.contains("the end of a dry run") { Ok(()) } else { Err(text) }
    });
    browser.click("dialog [data-log-open]");
    browser.wait_for_text("#log-lines", "the end of a dry run");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// B15: an address that there is not is a page of ours, for whoever is logged in and who is not.
#[test]
fn an_unknown_address_is_a_page_b15() {
    let fleet = Fleet::open(0, 1, 0, 0);
    for path in ["/nonsense", "/hosts/nobody", "/rollouts/nonsense/at/all"] {
        let answer = fleet.user.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(
            answer.text.contains("<html") && answer.text.contains("Back to the fleet"),
            "{path}"
        );
    }
}

/// B15: that hosts are in another rollout already is said before one starts; and the head of every
/// live page says how many go on.
#[test]
fn hosts_that_are_in_another_rollout_are_named_and_the_head_counts_those_that_go_on_b15() {
    let mut fleet = Fleet::open(0, 3, 0, 0);
    let hosts = ["late-00", "late-01", "late-02"];
    fleet.browser.wait_for("#going[hidden]");
    let asked = json!({ "op": "pull", "hosts": hosts, "at_once": 3 });
    assert_eq!(fleet.user.post("/api/rollouts", &asked).status, 202);
    for name in hosts {
        fleet.agent(name).expect_command("pull");
        fleet.agent(name).begin("pull");
    }
    fleet.browser.wait_for_text("#going:not([hidden])", "1");
    fleet.browser.click("#fleet-target [data-op=update-all]");
    fleet.browser.wait_for_text("dialog .elsewhere", "3 also in “Pull of 3 hosts”");
    assert_eq!(fleet.browser.axe(), [""; 0]);
    fleet.browser.picture("dialog-rollout-elsewhere");
    fleet.browser.press(ESCAPE);
    fleet.browser.wait_for("#dialogs:empty");
    fleet.browser.hover(".brand");
    fleet.browser.assert_true();
    fleet.browser.go(&format!("{}/hosts/late-00", fleet.dashboard.url));
    fleet.browser.wait_for_text("#going:not([hidden])", "1");
    fleet.browser.wait_for_text("#link", "live");
    for name in hosts {
        fleet.end(fleet.at(name), "pull", 0);
    }
    fleet.browser.wait_for("#going[hidden]");
    assert_eq!(fleet.browser.complaints(), [""; 0]);
}

/// B5: typed text is not lost by one key, and an untouched dialog closes at once.
#[test]
fn a_dialog_with_typed_text_asks_before_it_closes_b5() {
    let fleet = Fleet::open(0, 1, 0, 0);
    let browser = &fleet.browser;
    let opens = || {
        browser.click("#fleet-target [data-op=add-host]");
        browser.wait_for("dialog #hostname");
    };
    opens();
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    opens();
    browser.type_in("#hostname", "web-01");
    browser.press(ESCAPE);
    browser.wait_for_text("dialog .once", "Discard what you typed?");
    assert_eq!(browser.run("return document.querySelector('#hostname').value"), "web-01");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("dialog-discard");
    browser.click("dialog .once button");
    browser.wait_for("#dialogs:empty");
    assert_eq!(browser.run("return document.activeElement.dataset.op"), "add-host");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// D10: the audit page, filtered, for all eyes; and what connected is in a host's timeline.
#[test]
fn the_audit_page_is_readable_when_it_is_filtered_d10() {
    let fleet = Fleet::open(2, 2, 1, 0);
    let browser = &fleet.browser;
    for (name, query, expected) in [
        ("words", "q=late", "late-00"),
        ("failed", "category=command&outcome=failed", "fail-00"),
        ("host", "host=fine-00", "All hosts"),
        ("empty", "q=nothing+like+that", "Nothing here."),
    ] {
        browser.go(&format!("{}/events?{query}", fleet.dashboard.url));
        browser.wait_for_text("main", expected);
        for (width, height) in [(1440, 900), (390, 844)] {
            for dark in [false, true] {
                browser.screen(width, height, dark);
                assert_eq!(browser.axe_whole(), [""; 0], "{query} at {width}, dark: {dark}");
                let look = if dark { "dark" } else { "light" };
                browser.picture(&format!("audit-{name}-{width}-{look}"));
            }
        }
    }
    browser.go(&format!("{}/hosts/late-00?only=host", fleet.dashboard.url));
    browser.wait_for_text("#timeline", "Its agent connected for the first time.");
    assert_eq!(browser.complaints(), [""; 0]);
}
