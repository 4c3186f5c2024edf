//! What happens elsewhere takes nothing away from whoever looks, reads, points or types.

use crate::fleet_page::Fleet;
use crate::support::browser::Browser;
use crate::support::dashboard::TOKEN;
use crate::support::{Dashboard, OldAgent, Proxy, wait_until};
use serde_json::json;

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const UP: &str = "\u{e013}";

/// Where an element stands in the window.
fn top(browser: &Browser, css: &str) -> f64 {
    let script = format!("return document.querySelector({css:?}).getBoundingClientRect().top");
    browser.run(&script).as_f64().unwrap()
}

/// The next fetch whose address holds this is answered when `release()` is called, and not before.
fn hold_back(browser: &Browser, address: &str) {
    browser.run(&format!(
        "const real = window.real ??= window.fetch;
         window.fetch = async (path, ...how) => {{
             if (!String(path).includes({address:?})) return real(path, ...how);
             window.fetch = real;
             const answer = await real(path, ...how), text = await answer.text();
             await new Promise((done) => (window.release = done));
             return new Response(text, {{ status: answer.status }});
         }}"
    ));
}

#[track_caller]
fn release(browser: &Browser) {
    wait_until("it is held back", || {
        if browser.run("return !!window.release") == true { Ok(()) } else { Err(()) }
    });
    // What it leads to at once has happened then.
    browser
        .run_async("const done = arguments[0]; release(); release = null; setTimeout(done, 100)");
}

/// A2: what was asked of one host is never clicked in what another one's row opened meanwhile.
#[test]
fn a_late_answer_clicks_nothing_in_what_was_opened_meanwhile_a2() {
    let fleet = Fleet::open(0, 2, 0, 0);
    let browser = &fleet.browser;
    browser.run("document.querySelector('#host-late-00').focus()");
    hold_back(browser, "late-00/menu");
    browser.press("p");
    browser.click("#host-late-01 .more");
    browser.wait_for("#dialogs [role=menu][aria-label=late-01]:popover-open");
    release(browser);
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    assert_eq!(fleet.commands_of("late-01"), 0);
    assert_eq!(fleet.commands_of("late-00"), 0);
    // One that cannot be read clicks nothing either.
    browser.click("#host-late-01 [data-compartment=git]");
    browser.wait_for("#dialogs [data-dialog=git]:popover-open");
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    browser.run("document.querySelector('#host-late-00').focus()");
    browser.press("p");
    wait_until("it was asked for", || match fleet.commands_of("late-00") {
        1 => Ok(()),
        n => Err(n),
    });
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The numbers of the lines that a log shows.
fn numbers(browser: &Browser) -> Vec<u64> {
    let script = "return [...document.querySelectorAll('#log-lines .line')].map((line) => +line.dataset.seq)";
    let all = browser.run(script);
    all.as_array().unwrap().iter().map(|seq| seq.as_u64().unwrap()).collect()
}

/// A1: the log of a host's page has every line, whatever is read again meanwhile, and after the link
/// was cut.
#[test]
fn the_log_of_a_hosts_page_loses_no_line_while_the_page_is_read_again_a1() {
    let mut fleet = Fleet::open(0, 1, 0, 0);
    let proxy = Proxy::to(&fleet.dashboard.url);
    let browser = Browser::start();
    browser.login(&proxy.url, &fleet.dashboard.password);
    fleet.user.start("late-00", "switch");
    let agent = fleet.agent("late-00");
    agent.expect_command("switch");
    agent.begin("switch");
    agent.output("line 1");
    browser.go(&format!("{}/hosts/late-00?log=1", proxy.url));
    browser.wait_for_text("#link", "live");
    browser.wait_for_text("#log-lines", "line 1");
    wait_until("the log is followed", || {
        if browser.run("return !!log") == true { Ok(()) } else { Err("not yet") }
    });
    browser.run(
        "window.reads = 0; const real = window.fetch;
         window.fetch = (path, ...how) => {
             if (String(path) === location.href) window.reads += 1;
             return real(path, ...how);
         }; window.real = window.fetch",
    );
    // The page is read again, and lines come before the answer does.
    hold_back(&browser, "/hosts/late-00");
    let tagged = fleet.user.patch("/api/hosts/late-00", &json!({ "tags": ["edge"] }));
    assert_eq!(tagged.status, 200, "{tagged:?}");
    let agent = fleet.agent("late-00");
    (2..=40).for_each(|n| agent.output(&format!("line {n}")));
    browser.wait_for_text("#log-lines", "line 40");
    release(&browser);
    browser.wait_for_text("#facts", "edge");
    let agent = fleet.agent("late-00");
    (41..=80).for_each(|n| agent.output(&format!("line {n}")));
    browser.wait_for_text("#log-lines", "line 80");
    assert_eq!(numbers(&browser), (1..=80).collect::<Vec<_>>());
    let reads = browser.run("return window.reads").as_u64().unwrap();
    assert!(reads <= 5, "it was read {reads} times");
    // What came while the link was cut is read, and where nothing comes after it, too.
    proxy.cut();
    browser.wait_for_text("#link", "reconnecting");
    let agent = fleet.agent("late-00");
    (81..=90).for_each(|n| agent.output(&format!("line {n}")));
    let id = fleet.user.get("/api/hosts/late-00/commands").json()[0]["command_id"].clone();
    fleet.user.wait_for_line(id.as_str().unwrap(), "line 90");
    proxy.restore();
    browser.wait_for_text("#link", "live");
    browser.wait_for_text("#log-lines", "line 90");
    assert_eq!(numbers(&browser), (1..=90).collect::<Vec<_>>());
    fleet.end(fleet.at("late-00"), "switch", 1);
    browser.wait_for("#host-page[data-busy='']");
    browser.assert_true();
}

/// A3: neither a rollout's line, nor a remote that is gone, nor a link that is cut and comes back moves
/// a row from under the pointer.
#[test]
fn nothing_above_the_rows_moves_them_from_under_the_pointer_a3() {
    let mut fleet = Fleet::open(1, 3, 0, 0);
    let proxy = Proxy::to(&fleet.dashboard.url);
    let browser = Browser::start();
    browser.login(&proxy.url, &fleet.dashboard.password);
    browser.wait_for_text("#link", "live");
    browser.screen(1440, 900, false);
    browser.hover("#host-late-01 .why");
    let row = "#host-late-01";
    let before = top(&browser, row);
    let asked = json!({ "op": "pull", "hosts": ["late-00", "late-02"], "at_once": 2 });
    assert_eq!(fleet.user.post("/api/rollouts", &asked).status, 202);
    browser.wait_for("#rollouts .roll");
    assert_eq!(top(&browser, row), before, "a rollout began");
    proxy.cut();
    browser.wait_for("#lost:not([hidden])");
    assert_eq!(top(&browser, row), before, "the link was cut");
    browser.picture("fleet-lost");
    proxy.restore();
    browser.wait_for("#lost[hidden]");
    assert_eq!(top(&browser, row), before, "the link is back");
    // Whoever leaves sees all of it.
    browser.hover(".brand");
    wait_until("the line takes its room", || {
        let now = top(&browser, row);
        if now > before { Ok(()) } else { Err(now) }
    });
    browser.hover("#host-late-01 .why");
    let before = top(&browser, row);
    for name in ["late-00", "late-02"] {
        fleet.agent(name).expect_command("pull");
        fleet.agent(name).begin("pull");
        fleet.end(fleet.at(name), "pull", 0);
    }
    browser.wait_for("#rollouts:not(:has(.roll))");
    assert_eq!(top(&browser, row), before, "it ended");
    browser.hover(".brand");
    browser.assert_true();
}

/// A4: on the page of rollouts a button stays that of its host while somebody points at it.
#[test]
fn a_button_of_a_rollout_stays_with_its_host_under_the_pointer_a4() {
    let mut fleet = Fleet::open(0, 3, 0, 0);
    let hosts = ["late-00", "late-01", "late-02"];
    let asked = json!({ "op": "pull", "hosts": hosts, "at_once": 3 });
    assert_eq!(fleet.user.post("/api/rollouts", &asked).status, 202);
    for name in hosts {
        fleet.agent(name).expect_command("pull");
        fleet.agent(name).begin("pull");
    }
    fleet.browser.screen(1440, 900, false);
    fleet.browser.go(&format!("{}/rollouts", fleet.dashboard.url));
    fleet.browser.wait_for_text("#link", "live");
    let stop = |host: &str| format!(".rolling tr[data-of=host-{host}] [data-op=stop]");
    fleet.browser.wait_for(&stop("late-02"));
    fleet.browser.hover(&stop("late-01"));
    wait_until("hands are there", || {
        if fleet.browser.run("return handy") == true { Ok(()) } else { Err("not yet") }
    });
    let place = top(&fleet.browser, &stop("late-01"));
    // The one below it fails and the one above it is done: both have another place.
    fleet.end(fleet.at("late-02"), "pull", 1);
    fleet.browser.wait_for(".rolling tr[data-of=host-late-02][data-progress=failed]");
    assert!((top(&fleet.browser, &stop("late-01")) - place).abs() < 1.0);
    fleet.end(fleet.at("late-00"), "pull", 0);
    fleet.browser.wait_for(".rolling tr[data-of=host-late-00][inert]");
    assert!((top(&fleet.browser, &stop("late-01")) - place).abs() < 1.0);
    fleet.browser.hover(".brand");
    fleet.browser.wait_for(".rolling:not(:has(tr[data-of=host-late-00]))");
    let first = "return document.querySelector('.rolling tbody tr').dataset.of";
    assert_eq!(fleet.browser.run(first), "host-late-02", "what failed is first again");
    fleet.browser.assert_true();
    fleet.end(fleet.at("late-01"), "pull", 0);
}

/// A4: what is open of a host's story stays open, and stays what it is of.
#[test]
fn an_open_entry_of_the_timeline_stays_that_of_its_command_a4() {
    let mut fleet = Fleet::open(1, 0, 0, 0);
    fleet.browser.go(&format!("{}/hosts/fail-00", fleet.dashboard.url));
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.click("#timeline details.command summary");
    let open = "return document.querySelector('#timeline details.command[open]').closest('li').id";
    let before = fleet.browser.run(open);
    fleet.command(0, "pull", 1);
    fleet.browser.wait_for_text("#timeline", "Pull failed");
    assert_eq!(fleet.browser.run(open), before);
    fleet.browser.assert_true();
}

/// A7: a group of hosts is never taken for a state, whatever the hosts are called.
#[test]
fn hosts_whose_names_begin_like_a_state_are_grouped_by_name_a7() {
    let fleet = Fleet::open(0, 0, 0, 0);
    let browser = &fleet.browser;
    for name in ["run1", "run2", "ok1", "ok2"] {
        fleet.user.post("/api/hosts", &json!({ "hostname": name }));
    }
    browser.wait_for("#host-run2");
    browser.choose("#group", "By name prefix");
    browser.wait_for_text("[id='group-name:run']", "run");
    browser.wait_for_text("#link", "live");
    // Something happens: the heads of states are told to every page.
    fleet.user.post("/api/hosts", &json!({ "hostname": "run3" }));
    browser.hover(".brand");
    browser.wait_for("#host-run3:not([hidden])");
    let heads = "return [...document.querySelectorAll('.grp:not([hidden])')].map((head) => head.textContent.trim())";
    assert_eq!(browser.run(heads), json!(["ok", "run"]));
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A8: a colleague's command does not take the log away that is read; A9: one's own is shown, wherever
/// it was clicked.
#[test]
fn a_log_opens_where_it_was_clicked_and_takes_no_other_one_away_a8_a9() {
    let mut fleet = Fleet::open(1, 2, 0, 0);
    let page = format!("{}/hosts/fail-00?log=1", fleet.dashboard.url);
    fleet.browser.go(&page);
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.wait_for_text("#log-lines", "did not build");
    let shown = "return document.querySelector('#log-lines').dataset.command";
    let before = fleet.browser.run(shown);
    fleet.user.start("fail-00", "pull");
    fleet.agent("fail-00").expect_command("pull");
    fleet.agent("fail-00").begin("pull");
    fleet.browser.wait_for("#host-page[data-busy=pull]");
    fleet.browser.wait_for_text("#timeline", "Pull ");
    assert_eq!(fleet.browser.run(shown), before);
    fleet.end(fleet.at("fail-00"), "pull", 1);
    // From a popover.
    fleet.browser.go(&fleet.dashboard.url);
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.click("#host-late-00 [data-compartment=git]");
    fleet.browser.click("#dialogs [data-op=pull]");
    fleet.agent("late-00").expect_command("pull");
    fleet.browser.wait_for("#log-lines[data-log=late-00]");
    fleet.agent("late-00").begin("pull");
    fleet.end(fleet.at("late-00"), "pull", 1);
    fleet.browser.wait_for_text("#log-outcome", "failed");
    // From the dialog of a rollout.
    fleet.browser.click("#fleet-target [data-op=update-all]");
    fleet.browser.click("dialog[data-dialog=rollout] [data-op=start]");
    fleet.browser.wait_for("#log-outcome :is([data-state=sent], [data-state=running])");
    fleet.browser.assert_true();
}

/// A14: what is fetched while nothing is live starts nothing either.
#[test]
fn keys_and_menus_start_nothing_while_the_page_is_not_live_a14() {
    let fleet = Fleet::open(0, 2, 0, 0);
    let browser = &fleet.browser;
    // Only the live connection is gone: what is fetched still comes.
    browser.run("window.WebSocket = class {}; socket.close()");
    browser.wait_for("#lost:not([hidden])");
    browser.run("document.querySelector('#host-late-00').focus()");
    browser.press("p");
    browser.wait_for_text("#toasts", "Not live: nothing can be started");
    browser.click("#host-late-01 [data-compartment=git]");
    browser.click("#dialogs [data-op=pull]");
    browser.run("document.querySelector('#fleet-target [data-op=update-all]').click()");
    browser.click("dialog [data-op=start]");
    browser.wait_for_text("dialog #said", "Not live: nothing can be started");
    assert_eq!(fleet.commands_of("late-00") + fleet.commands_of("late-01"), 0);
    assert_eq!(fleet.user.get("/api/rollouts").json(), json!([]));
}

/// A11: what is wrong with what a dialog sent is said in the dialog.
#[test]
fn an_error_is_seen_in_the_dialog_that_it_is_about_a11() {
    let fleet = Fleet::open(0, 1, 0, 0);
    let browser = &fleet.browser;
    browser.click("#host-late-00 .more");
    browser.click("#dialogs [data-op=open-settings]");
    browser.type_in("#tags", "Not A Tag!");
    browser.click("dialog [data-op=save]");
    browser.wait_for_text("dialog #said[role=alert]", "tag");
    let seen = "const { x, y } = document.querySelector('#said').getBoundingClientRect();
                return document.elementFromPoint(x + 2, y + 2).id";
    assert_eq!(browser.run(seen), "said");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("dialog-error");
    // It stays while its host changes, and so does what was typed.
    fleet.user.post("/api/hosts/late-00/hold", &json!({ "reason": "until Monday" }));
    browser.wait_for_text("#host-late-00 .why", "Held");
    assert_eq!(browser.run("return document.querySelector('#tags').value"), "Not A Tag!");
    browser.wait_for("dialog #said");
    // The next answer takes its place.
    browser.run("document.querySelector('#tags').value = 'edge'");
    browser.click("dialog [data-op=save]");
    browser.wait_for("#dialogs:empty");
    browser.wait_for("#host-late-00[data-tags=edge]");
}

/// A15: what was typed, and a secret, are lost by nothing that comes late.
#[test]
fn what_was_typed_or_is_shown_once_is_not_replaced_a15() {
    let fleet = Fleet::open(0, 1, 0, 0);
    let browser = &fleet.browser;
    browser.click("#fleet-target [data-op=add-host]");
    browser.type_in("#hostname", "web-01");
    browser.chord("k");
    assert_eq!(browser.run("return document.querySelector('#palette')"), json!(null));
    assert_eq!(browser.run("return document.querySelector('#hostname').value"), "web-01");
    // An answer that comes late lies above it.
    hold_back(browser, "/keys");
    browser.run("hand('open', '/keys')");
    release(browser);
    browser.wait_for("dialog[data-dialog=keys][open]");
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:not(:has([data-dialog=keys]))");
    assert_eq!(browser.run("return document.querySelector('#hostname').value"), "web-01");
    browser.click("#add-host button[type=submit]");
    browser.wait_for("dialog[data-dialog=token] #go-on:disabled");
    // Only who has copied the token has stored it.
    browser.run("document.querySelectorAll('dialog details').forEach((one) => (one.open = true))");
    browser.click("[data-copy=snippet-nixos]");
    browser.wait_for_text("dialog #said", "Copied.");
    browser.wait_for("#go-on:disabled");
    browser.click("[data-copy=new-token]");
    browser.wait_for("#go-on:enabled");
    browser.click("#go-on");
    browser.wait_for("#dialogs:empty");
    // What was waited for does not come after Escape.
    hold_back(browser, "late-00/git");
    browser.click("#host-late-00 [data-compartment=git]");
    browser.wait_for("dialog[data-waiting]");
    browser.press(ESCAPE);
    browser.wait_for("#dialogs:empty");
    release(browser);
    assert_eq!(browser.run("return document.querySelector('#dialogs').childElementCount"), 0);
    // On a page without rows nothing says that it will say something.
    browser.go(&format!("{}/settings", fleet.dashboard.url));
    browser.chord("k");
    browser.type_in("#palette input", &format!("add host{ENTER}"));
    browser.type_in("#hostname", "web-02");
    browser.click("#add-host button[type=submit]");
    browser.wait_for_text("#awaited", "web-02 has not connected yet.");
    browser.click("#stored");
    browser.click("#go-on");
}

/// A5, A6: words find what they say, here and on the server, also in a group that is folded.
#[test]
fn the_filter_finds_the_same_hosts_as_the_server_a5_a6() {
    let fleet = Fleet::open(1, 2, 21, 1);
    let browser = &fleet.browser;
    let shown = || {
        browser.run(
            "return [...document.querySelectorAll('#hosts article:not([hidden])')].map((row) => row.dataset.host).sort()",
        )
    };
    let words = [
        "st",
        "os",
        "host",
        "needs action",
        "macos",
        "nixos",
        "current",
        "fine-07",
        "failed",
        "build",
        "offline",
    ];
    // All hosts are NixOS, whose name holds this.
    let all = 26;
    for words in words {
        browser.run("filter.value = ''");
        browser.type_in("#filter", words);
        let here = shown();
        let page = fleet.user.get(&format!("/?q={}", words.replace(' ', "+"))).text;
        let rows = page.split("<article").skip(1).filter(|row| !row.starts_with(" hidden"));
        let mut there: Vec<&str> = rows
            .map(|row| row.split("data-host=\"").nth(1).unwrap().split('"').next().unwrap())
            .collect();
        there.sort_unstable();
        assert_eq!(here, json!(there), "{words}");
        match words {
            "st" | "host" | "macos" => assert_eq!(here, json!([]), "{words}"),
            "os" | "nixos" => assert_eq!(there.len(), all, "{words}"),
            "needs action" => assert_eq!(here, json!(["late-00", "late-01"])),
            "current" => assert_eq!(there.len(), 21),
            "fine-07" => assert_eq!(here, json!(["fine-07"])),
            _ => {}
        }
    }
    browser.run("filter.value = ''");
    browser.type_in("#filter", &format!("fine-07{ENTER}"));
    assert_eq!(browser.run("return document.activeElement.id"), "host-fine-07");
    browser.run("document.activeElement.blur()");
    browser.run("filter.value = ''; refilter()");
    browser.hover(".brand");
    browser.wait_for("#host-fine-07[hidden]");
    browser.assert_true();
}

/// A10: groups fold, and do what their heads offer, without a mouse.
#[test]
fn the_heads_of_groups_are_reached_by_the_arrows_a10() {
    let fleet = Fleet::open(2, 1, 0, 0);
    let browser = &fleet.browser;
    browser.run("document.querySelector('#host-fail-00').focus()");
    browser.press(UP);
    assert_eq!(browser.run("return document.activeElement.dataset.group"), "failed");
    browser.press("\u{e014}");
    assert_eq!(browser.run("return document.activeElement.dataset.op"), "switch-failed");
    browser.press("\u{e012}");
    browser.press(ENTER);
    browser.wait_for("#host-fail-00[hidden]");
    browser.press("j");
    assert_eq!(browser.run("return document.activeElement.dataset.group"), "due");
    browser.press("k");
    browser.press(ENTER);
    browser.wait_for("#host-fail-00:not([hidden])");
    browser.press("j");
    assert_eq!(browser.run("return document.activeElement.id"), "host-fail-00");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A12: how many rollouts go on is right also where the link was cut when one ended.
#[test]
fn the_count_of_rollouts_is_right_after_the_link_was_cut_a12() {
    let mut fleet = Fleet::open(0, 1, 0, 0);
    let proxy = Proxy::to(&fleet.dashboard.url);
    let browser = Browser::start();
    browser.login(&proxy.url, &fleet.dashboard.password);
    let asked = json!({ "op": "pull", "hosts": ["late-00"] });
    assert_eq!(fleet.user.post("/api/rollouts", &asked).status, 202);
    fleet.agent("late-00").expect_command("pull");
    fleet.agent("late-00").begin("pull");
    browser.go(&format!("{}/hosts/late-00", proxy.url));
    browser.wait_for_text("#going:not([hidden])", "1");
    browser.wait_for_text("#link", "live");
    proxy.cut();
    browser.wait_for_text("#link", "reconnecting");
    fleet.end(fleet.at("late-00"), "pull", 1);
    wait_until("it is over", || {
        let all = fleet.user.get("/api/rollouts").json();
        if all[0]["over"] == true { Ok(()) } else { Err(all) }
    });
    proxy.restore();
    browser.wait_for("#going[hidden]");
    browser.assert_true();
}

/// A17: the focus stays on the next step, whatever that is by then.
#[test]
fn the_focus_stays_on_the_next_step_of_a_hosts_page_a17() {
    let mut fleet = Fleet::open(0, 1, 0, 0);
    fleet.browser.go(&format!("{}/hosts/late-00", fleet.dashboard.url));
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.wait_for(".now .do [data-op=update]");
    fleet.browser.run("document.querySelector('.now .do [data-op=update]').focus()");
    fleet.user.post("/api/hosts/late-00/hold", &json!({ "reason": "until Monday" }));
    fleet.browser.wait_for(".now .do [data-op=release]");
    assert_eq!(fleet.browser.run("return document.activeElement.dataset.op"), "release");
    fleet.user.start("late-00", "pull");
    fleet.browser.wait_for(".now .do [data-op=stop]");
    assert_eq!(fleet.browser.run("return document.activeElement.dataset.op"), "stop");
    fleet.agent("late-00").expect_command("pull");
}

/// A18: the address is of the log that is shown, and Back shows what was there; A19: without the
/// script a search is a page.
#[test]
fn the_address_is_of_the_log_that_is_shown_a18_a19() {
    let mut fleet = Fleet::open(1, 1, 0, 0);
    let first = fleet.user.get("/api/hosts/fail-00/commands").json()[0]["command_id"].clone();
    fleet.command(0, "pull", 1);
    let first = first.as_str().unwrap();
    let browser = &fleet.browser;
    browser.run(&format!("openLog('/commands/{first}/log')"));
    let shown = format!("#log-lines[data-command='{first}']");
    browser.wait_for(&shown);
    browser.go(browser.run("return location.href").as_str().unwrap());
    browser.wait_for(&shown);
    browser.wait_for_text("#link", "live");
    browser.click("#fleet-summary [data-show=failed]");
    browser.click("#log-close");
    browser.wait_for(".app[data-dock=tabs]");
    browser.run("history.back()");
    browser.wait_for(&format!(".app[data-dock=bottom] {shown}"));
    let page = fleet.user.get(&format!("/commands/{first}/log?q=linux")).text;
    assert!(page.contains("<html") && page.contains("did not build"), "{page}");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What is late goes by how often the host said that it speaks.
#[test]
fn a_host_that_is_not_heard_is_amber_after_a_minute_and_three_of_its_intervals_a13() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let links: Vec<OldAgent> = [("fast", 5), ("slow", 120)]
        .map(|(name, every)| {
            let mut link =
                OldAgent::connect(&dashboard.url, TOKEN, name).expect("the token is right");
            let says = json!({ "hostname": name, "protocol": 4, "heartbeat_interval": every });
            link.send("register", &says);
            user.wait_for_online(name);
            link
        })
        .into();
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.run(
        "const now = Date.now; window.ahead = 0; Date.now = () => now() + window.ahead * 1000",
    );
    let shows = |name: &str, online: &str| {
        browser.wait_for(&format!("#hosts [data-host={name}][data-online={online}]"));
    };
    shows("fast", "true");
    shows("slow", "true");
    browser.run("window.ahead = 100");
    shows("fast", "stale");
    shows("slow", "true");
    browser.run("window.ahead = 400");
    shows("slow", "stale");
    drop(links);
    shows("fast", "false");
    shows("slow", "false");
}
