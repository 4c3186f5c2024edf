//! The log as a dock: its size, long lines, and links to a line.

use crate::fleet_page::Fleet;
use crate::support::browser::Browser;
use crate::support::wait_until;

const UP: &str = "\u{e013}";
const END: &str = "\u{e010}";

fn height(browser: &Browser) -> f64 {
    let script = "return document.querySelector('.dock').getBoundingClientRect().height";
    browser.run(script).as_f64().unwrap()
}

fn wait_for_height(browser: &Browser, percent: f64) {
    wait_until(&format!("the log has {percent} % of the window"), || {
        let share = 100.0 * height(browser) / browser.run("return innerHeight").as_f64().unwrap();
        if (share - percent).abs() < 1.5 { Ok(()) } else { Err(share) }
    });
}

/// D5: it is made larger and smaller with the pointer and with keys, and stays so.
#[test]
fn the_log_is_resized_by_its_edge_and_by_keys_and_stays_so_d5() {
    let fleet = Fleet::open(1, 2, 0, 0);
    let browser = &fleet.browser;
    browser.screen(1440, 900, false);
    browser.click("#host-fail-00 .why a");
    browser.wait_for(".app[data-dock=bottom] #log-lines");
    wait_for_height(browser, 40.0);
    let edge = browser
        .run("return Math.round(document.querySelector('.grip').getBoundingClientRect().top + 4)");
    browser.drag((700, edge.as_i64().unwrap()), (700, 270));
    wait_for_height(browser, 70.0);
    assert_eq!(browser.run("return document.querySelector('.grip').ariaValueNow"), "70");
    browser.run("document.querySelector('.grip').focus()");
    browser.press(UP);
    wait_for_height(browser, 75.0);
    browser.press(END);
    wait_for_height(browser, 85.0);
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("log-large");
    // In this browser it stays so.
    browser.go(browser.run("return location.href").as_str().unwrap());
    browser.wait_for("#log-lines[data-log=fail-00]");
    wait_for_height(browser, 85.0);
    // Beside the page it has a size of its own.
    browser.click(".tabs [data-dock=side]");
    browser.wait_for(".app[data-dock=side]");
    browser.run("document.querySelector('.grip').focus()");
    browser.press(UP);
    wait_until("it is wider", || {
        let share = browser.run("return Math.round(100 * document.querySelector('.dock').getBoundingClientRect().width / innerWidth)");
        if share == 41 { Ok(()) } else { Err(share) }
    });
    assert_eq!(browser.axe(), [""; 0]);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn long_lines_wrap_or_do_not_as_the_reader_wants() {
    let mut fleet = Fleet::open(0, 1, 0, 0);
    let id = fleet.user.start("late-00", "switch");
    let agent = fleet.agent("late-00");
    agent.expect_command("switch");
    agent.begin("switch");
    agent.output(&"building ".repeat(100));
    fleet.end(fleet.at("late-00"), "switch", 1);
    fleet.user.wait_for_state(&id, "failed");
    let browser = &fleet.browser;
    browser.screen(1440, 900, false);
    browser.click("#host-late-00 .why a");
    browser.wait_for_text("#log-lines", "building");
    let wide = "const box = document.querySelector('#log-lines'); return box.scrollWidth > box.clientWidth + 1";
    assert_eq!(browser.run(wide), false);
    browser.click("#log-wrap");
    browser.wait_for("#log-wrap[aria-pressed=false]");
    assert_eq!(browser.run(wide), true);
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("log-not-wrapped");
    browser.go(browser.run("return location.href").as_str().unwrap());
    browser.wait_for("#log-wrap[aria-pressed=false]");
    assert_eq!(browser.run(wide), true);
    browser.click("#log-wrap");
    browser.wait_for("#log-wrap[aria-pressed=true]");
    assert_eq!(browser.run(wide), false);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The number of a line leads to it, from the end of a long log and from what was searched.
#[test]
fn the_number_of_a_line_is_a_link_that_shows_it_where_it_stands() {
    let mut fleet = Fleet::open(0, 1, 0, 0);
    let id = fleet.user.start("late-00", "switch");
    let agent = fleet.agent("late-00");
    agent.expect_command("switch");
    agent.begin("switch");
    for n in 1..=2500 {
        agent.output(&if n == 700 { "the needle".to_owned() } else { format!("line {n}") });
    }
    fleet.end(fleet.at("late-00"), "switch", 1);
    fleet.user.wait_for_state(&id, "failed");
    let browser = &fleet.browser;
    browser.screen(1440, 900, false);
    browser.click("#host-late-00 .why a");
    browser.wait_for_text("#log-lines", "line 2500");
    browser.type_in("#log-search input", "needle\u{e007}");
    browser.wait_for_text("#log-found", "1 line contains");
    browser.hover("#log-lines .line");
    let link = format!("/hosts/late-00?command={id}&line=700#line");
    wait_until("its number is a link", || {
        let now =
            browser.run("return document.querySelector('#log-lines .to')?.getAttribute('href')");
        if now == link.as_str() { Ok(()) } else { Err(now) }
    });
    browser.click("#log-lines .to");
    browser.wait_for_text("#host-page[data-host=late-00]", "late-00");
    browser.wait_for_text("#log-lines .line[data-here]", "the needle");
    wait_until("it is seen", || {
        let seen = browser.run(
            "const [line, box] = ['.line[data-here]', '#log-lines'].map((css) => document.querySelector(css).getBoundingClientRect());
             return line.top >= box.top && line.bottom <= box.bottom",
        );
        if seen == true { Ok(()) } else { Err(browser.text("#log-lines").len()) }
    });
    browser.wait_for_text("#log-lines", "line 701");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("log-line");
    // Whoever wants the end again gets it.
    browser.click("#log-follow");
    browser.wait_for_text("#log-lines", "line 2500");
    let bad = fleet.user.get(&format!("/hosts/late-00?command={id}&line=first"));
    assert_eq!(bad.status, 400);
    assert!(bad.text.contains("line"), "{}", bad.text);
    assert_eq!(browser.complaints(), [""; 0]);
}
