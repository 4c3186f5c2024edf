//! The fleet page with many hosts in all states: what is seen first, what stays where it is, and
//! what cannot be done by mistake. Numbers are those of the findings and of the design's checks.

use crate::old_agent::lock_hash;
use crate::support::browser::Browser;
use crate::support::{Client, ConfigRepo, Dashboard, OldAgent, wait_until};
use serde_json::json;

const OURS: &str = env!("CARGO_PKG_VERSION");

pub(crate) struct Fleet {
    pub(crate) dashboard: Dashboard,
    pub(crate) user: Client,
    agents: Vec<OldAgent>,
    tokens: Vec<String>,
    pub(crate) browser: Browser,
    head: String,
    pub(crate) repo: ConfigRepo,
}

impl Fleet {
    /// `failed` hosts whose switch failed, `behind` ones that are behind, `current` ones, and of
    /// each other kind `others`.
    pub(crate) fn open(failed: usize, behind: usize, current: usize, others: usize) -> Self {
        let repo = ConfigRepo::new();
        let old = repo.git(&["rev-parse", "HEAD"]);
        let lock = lock_hash(&repo);
        let head = repo.push_change("a change for all");
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let mut fleet = Self {
            dashboard,
            user,
            agents: Vec::new(),
            tokens: Vec::new(),
            browser: Browser::start(),
            head,
            repo,
        };
        let at_head = fleet.head.clone();
        for n in 0..failed {
            let agent = fleet.join(&format!("fail-{n:02}"), &at_head, &lock);
            fleet.command(agent, "switch", 1);
        }
        for n in 0..behind {
            fleet.join(&format!("late-{n:02}"), &old, &lock);
        }
        for n in 0..current {
            let agent = fleet.join(&format!("fine-{n:02}"), &at_head, &lock);
            fleet.command(agent, "switch", 0);
            fleet.command(agent, "test", 0);
        }
        for n in 0..others {
            let agent = fleet.join(&format!("gone-{n:02}"), &at_head, &lock);
            fleet.agents[agent].hang_up();
            fleet.user.wait_for_offline(&format!("gone-{n:02}"));
            let agent = fleet.join(&format!("work-{n:02}"), &at_head, &lock);
            fleet.user.start(&format!("work-{n:02}"), "switch");
            fleet.agents[agent].expect_command("switch");
            fleet.agents[agent].begin("switch");
            fleet.user.post("/api/hosts", &json!({ "hostname": format!("new-{n:02}") }));
        }
        fleet.browser.login(&fleet.dashboard.url, &fleet.dashboard.password);
        fleet.browser.wait_for_text("#link", "live");
        fleet
    }

    fn join(&mut self, name: &str, commit: &str, lock: &str) -> usize {
        let added = self.user.post("/api/hosts", &json!({ "hostname": name }));
        let token = added.json()["token"].as_str().unwrap().to_owned();
        let agent = self.connect(&token, name, commit, lock);
        self.agents.push(agent);
        self.tokens.push(token);
        self.agents.len() - 1
    }

    fn connect(&self, token: &str, name: &str, commit: &str, lock: &str) -> OldAgent {
        let mut agent = OldAgent::connect(&self.dashboard.url, token, name).unwrap();
        agent.version = OURS;
        agent.generation = commit.to_owned();
        agent.lock_hash = Some(lock.to_owned());
        agent.register();
        agent.heartbeat();
        agent
    }

    pub(crate) fn command(&mut self, agent: usize, op: &str, exit_code: i32) {
        let name = self.agents[agent].name().to_owned();
        let id = self.user.start(&name, op);
        self.agents[agent].expect_command(op);
        self.agents[agent].begin(op);
        self.end(agent, op, exit_code);
        self.user.wait_for_state(&id, if exit_code == 0 { "succeeded" } else { "failed" });
    }

    /// A command ends. An agent of that version is started anew by a switch that succeeds.
    pub(crate) fn end(&mut self, at: usize, op: &str, exit_code: i32) {
        let agent = &mut self.agents[at];
        if exit_code != 0 {
            agent.output_on("stderr", "error: linux-6.12.7-modules did not build");
        }
        if op == "pull" && exit_code == 0 {
            agent.generation.clone_from(&self.head);
        }
        agent.end(op, exit_code);
        if op == "switch" && exit_code == 0 {
            let (name, commit) = (agent.name().to_owned(), agent.generation.clone());
            let lock = agent.lock_hash.clone().unwrap();
            let commands = format!("/api/hosts/{name}/commands");
            wait_until("what it said is read", || {
                let now = self.user.get(&commands).json()[0]["state"].clone();
                if now == "verifying" { Ok(()) } else { Err(now) }
            });
            self.agents[at].hang_up();
            self.agents[at] = self.connect(&self.tokens[at], &name, &commit, &lock);
        } else {
            agent.heartbeat();
        }
    }

    pub(crate) fn at(&self, name: &str) -> usize {
        self.agents.iter().position(|agent| agent.name() == name).unwrap()
    }

    pub(crate) fn agent(&mut self, name: &str) -> &mut OldAgent {
        let at = self.at(name);
        &mut self.agents[at]
    }

    fn shown(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('#hosts article:not([hidden])')]\
                      .map(row => row.dataset.host)";
        let all = self.browser.run(script);
        all.as_array().unwrap().iter().map(|host| host.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn commands_of(&self, name: &str) -> usize {
        let all = self.user.get(&format!("/api/hosts/{name}/commands")).json();
        all.as_array().unwrap().len()
    }

    /// The host whose row is under the pointer.
    fn under(&self, x: i64, y: i64) -> String {
        let script = format!(
            "return document.elementFromPoint({x}, {y})?.closest('article')?.dataset.host ?? ''"
        );
        self.browser.run(&script).as_str().unwrap().to_owned()
    }
}

/// B12, D2; checks 1 and 2.
#[test]
fn what_needs_somebody_comes_first_and_the_strip_adds_up_and_filters() {
    let mut fleet = Fleet::open(3, 4, 22, 2);
    let browser = &fleet.browser;
    for (group, n) in [("failed", 3), ("due", 4), ("run", 2), ("new", 2), ("off", 2), ("ok", 22)] {
        browser.wait_for_count(group, n);
    }
    browser.wait_for_count("", 35);
    // What is current is one line, and what failed is on top.
    let shown = fleet.shown();
    assert_eq!(shown.len(), 13, "{shown:?}");
    assert_eq!(&shown[..3], ["fail-00", "fail-01", "fail-02"]);
    browser.wait_for_text("#group-ok", "Current 22");
    browser.wait_for_text("#group-due", "4 × behind origin/main");
    for (width, height) in [(1440, 900), (1024, 768), (390, 844)] {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            assert_eq!(browser.axe(), [""; 0], "{width}, dark: {dark}");
            browser.picture(&format!("fleet-{width}-{}", if dark { "dark" } else { "light" }));
        }
        // Looking takes time; nobody is silent meanwhile.
        let here = fleet.agents.iter_mut().filter(|agent| !agent.name().starts_with("gone"));
        here.for_each(OldAgent::heartbeat);
    }
    browser.screen(1440, 900, false);
    browser.click("#fleet-summary [data-show=failed]");
    wait_until("only those that failed are shown", || {
        let now = fleet.shown();
        if now == ["fail-00", "fail-01", "fail-02"] { Ok(()) } else { Err(now) }
    });
    let address = browser.run("return location.href");
    assert!(address.as_str().unwrap().ends_with("/?show=failed"), "{address}");
    browser.go(address.as_str().unwrap());
    browser.wait_for_text("#link", "live");
    assert_eq!(fleet.shown(), ["fail-00", "fail-01", "fail-02"]);
    browser.type_in("#filter", "l-02");
    assert_eq!(fleet.shown(), ["fail-02"]);
    let address = browser.run("return location.search");
    assert_eq!(address, "?show=failed&q=l-02");
    // The server shows the same to whoever has no script.
    let page = fleet.user.get("/?show=failed&q=l-02").text;
    let rows = page.split("<article").skip(1);
    let visible: Vec<_> = rows.filter(|row| !row.starts_with(" hidden")).collect();
    assert_eq!(visible.len(), 1, "{visible:?}");
    assert!(visible[0].starts_with(" id=\"host-fail-02\""));
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check 3: a row has one height, whatever runs.
#[test]
fn rows_have_one_height_for_ever_and_no_other_row_moves() {
    let mut fleet = Fleet::open(1, 3, 1, 1);
    let places = "return [...document.querySelectorAll('#hosts article:not([hidden])')].map(row => {\
                  const { top, height } = row.getBoundingClientRect();\
                  return row.dataset.host + ' ' + top + ' ' + height; })";
    fleet.browser.screen(1440, 900, false);
    let before = fleet.browser.run(places);
    for row in before.as_array().unwrap() {
        assert!(row.as_str().unwrap().ends_with(" 36"), "{row}");
    }
    // The pointer is over the list: nothing may move.
    fleet.browser.hover("#host-fail-00 .why");
    for (op, state) in [("pull", 0), ("switch", 1), ("test", 0)] {
        let id = fleet.user.start("late-01", op);
        let agent = fleet.agent("late-01");
        agent.expect_command(op);
        agent.begin(op);
        fleet.browser.wait_for(&format!("#host-late-01[data-busy={op}]"));
        assert_eq!(fleet.browser.run(places), before, "{op} runs");
        fleet.end(fleet.at("late-01"), op, state);
        fleet.user.wait_for_state(&id, if state == 0 { "succeeded" } else { "failed" });
        fleet.browser.wait_for("#host-late-01[data-busy='']");
        assert_eq!(fleet.browser.run(places), before, "{op} is over");
    }
    for (width, height) in [(1024, 36), (390, 76)] {
        fleet.browser.screen(width, 900, false);
        let heights = "return [...new Set([...document.querySelectorAll('#hosts article:not([hidden])')]\
                       .map(row => row.getBoundingClientRect().height))].join()";
        assert_eq!(fleet.browser.run(heights), height.to_string(), "at {width}");
    }
}

/// B1; check 4 and 5.
#[test]
fn nothing_moves_under_the_pointer_and_a_second_click_does_nothing() {
    let mut fleet = Fleet::open(4, 2, 1, 1);
    fleet.browser.screen(1440, 900, false);
    fleet.browser.type_in("#filter", "failed");
    assert_eq!(fleet.shown().len(), 4);
    let next = "#host-fail-00 .do [data-op=switch]";
    let at = fleet.browser.run(&format!(
        "const box = document.querySelector('{next}').getBoundingClientRect();
         return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)]"
    ));
    let (x, y) = (at[0].as_i64().unwrap(), at[1].as_i64().unwrap());
    // A double click, faster than a hand is.
    fleet.browser.double_click_at(x, y);
    fleet.agent("fail-00").expect_command("switch");
    fleet.agent("fail-00").begin("switch");
    fleet.browser.wait_for("#host-fail-00[data-busy=switch]");
    assert_eq!(fleet.under(x, y), "fail-00");
    fleet.browser.wait_for_text("#resort:not([hidden])", "1 host changed: sort again");
    assert_eq!(fleet.under(x, y), "fail-00");
    assert_eq!(fleet.shown().len(), 4, "it stays while the pointer is there");
    // One command was started, none was stopped, and no other host was asked.
    assert_eq!(fleet.commands_of("fail-00"), 2);
    assert_eq!(fleet.commands_of("fail-01"), 1);
    let last = fleet.user.get("/api/hosts/fail-00/commands").json();
    let state = last[0]["state"].as_str().unwrap();
    assert!(["sent", "running"].contains(&state), "{last}");
    fleet.browser.hover(".brand");
    wait_until("the order is right again", || {
        let now = fleet.shown();
        if now == ["fail-01", "fail-02", "fail-03"] { Ok(()) } else { Err(now) }
    });
    fleet.end(fleet.at("fail-00"), "switch", 0);
    fleet.browser.wait_for("#host-fail-00[data-busy='']");
    assert_eq!(fleet.browser.complaints(), [""; 0]);
}

/// B9; check 6.
#[test]
fn what_cannot_be_seen_is_not_selected() {
    let fleet = Fleet::open(2, 3, 1, 1);
    let browser = &fleet.browser;
    browser.type_in("#filter", "late-");
    browser.click("#pick-all");
    browser.wait_for_text("#bar", "3 selected");
    browser.run("filter.value = ''");
    browser.type_in("#filter", "fail-");
    browser.wait_for("#bar[hidden]");
    assert_eq!(browser.run("return document.querySelectorAll('.pick:checked').length"), 0);
    browser.run("filter.value = ''");
    browser.type_in("#filter", "-0");
    browser.click("#host-late-00 .pick");
    browser.click("#host-fail-00 .pick");
    browser.wait_for_text("#bar", "2 selected");
    browser.click("[data-group=due]");
    browser.wait_for_text("#bar", "1 selected");
    browser.wait_for_text("#bar", "1 hidden were deselected");
    browser.wait_for("#bar input[value=fail-00]");
    browser.wait_for("#bar:not(:has(input[value=late-00]))");
    let address = browser.run("return location.search");
    assert!(address.as_str().unwrap().contains("fold=due"), "{address}");
    browser.go(browser.run("return location.href").as_str().unwrap());
    browser.wait_for("#host-late-00[hidden]");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// B2; check 8.
#[test]
fn tests_that_failed_on_many_hosts_are_one_note_and_it_goes_with_its_reason() {
    let mut fleet = Fleet::open(0, 0, 3, 0);
    for name in ["fine-00", "fine-01", "fine-02"] {
        let at = fleet.at(name);
        fleet.command(at, "test", 1);
    }
    fleet.browser.wait_for_text("#toasts", "3 hosts failed their tests");
    assert_eq!(fleet.browser.run("return document.querySelectorAll('.toast').length"), 1);
    fleet.browser.hover("#toasts .toast");
    fleet.browser.picture("fleet-toast");
    for at in 0..3 {
        fleet.command(at, "test", 0);
    }
    fleet.browser.wait_for("#toasts:empty");
    fleet.browser.wait_for_count("ok", 3);
    fleet.browser.hover(".brand");
    fleet.browser.assert_true();
}

/// B14; check 11.
#[test]
fn a_log_opens_only_in_the_window_whose_click_started_the_command() {
    let mut fleet = Fleet::open(0, 2, 0, 0);
    let other = Browser::start();
    other.login(&fleet.dashboard.url, &fleet.dashboard.password);
    other.wait_for_text("#link", "live");
    fleet.browser.ask("late-00", "switch");
    fleet.agent("late-00").expect_command("switch");
    fleet.agent("late-00").begin("switch");
    fleet.browser.wait_for("[data-dock=bottom] #log-lines[data-log=late-00]");
    other.wait_for("#log-tabs [data-for=late-00]");
    assert_eq!(other.run("return document.querySelector('.app').dataset.dock"), "tabs");
    assert_eq!(other.run("return location.pathname + location.search"), "/");
    assert_eq!(other.run("return document.querySelector('#log-lines')"), serde_json::Value::Null);
    assert_eq!(fleet.browser.axe(), [""; 0]);
    fleet.browser.screen(1440, 900, false);
    fleet.browser.picture("fleet-log-bottom");
    fleet.browser.click(".tabs [data-dock=side]");
    fleet.browser.picture("fleet-log-side");
    fleet.browser.click(".tabs [data-dock=tabs]");
    fleet.end(fleet.at("late-00"), "switch", 0);
    fleet.browser.wait_for("#host-late-00[data-busy='']");
    fleet.browser.hover(".brand");
    fleet.browser.assert_true();
}

/// B8, D8, D13; checks 12 and 13.
#[test]
fn escape_closes_the_topmost_only_and_the_focus_comes_back() {
    let fleet = Fleet::open(1, 2, 0, 0);
    let browser = &fleet.browser;
    let focused = "const at = document.activeElement; return at.id || at.className";
    let escape = "\u{e00c}";
    browser.click("#user-button");
    browser.wait_for("#user-menu:popover-open");
    browser.press(escape);
    browser.wait_for("#user-menu:not(:popover-open)");
    assert_eq!(browser.run(focused), "user-button");
    browser.click("#host-late-00 .pick");
    browser.wait_for_text("#bar", "1 selected");
    browser.click("#host-late-00 .more");
    browser.wait_for("#dialogs [role=menu]:popover-open");
    browser.press("\u{e015}"); // arrow down
    assert_eq!(browser.run("return document.activeElement.dataset.op"), "pull");
    browser.press("\u{e013}"); // arrow up
    browser.press("\u{e013}");
    assert_eq!(browser.run("return document.activeElement.dataset.op"), "open-remove");
    browser.picture("fleet-menu");
    browser.press(escape);
    browser.wait_for("#dialogs:empty");
    assert_eq!(browser.run("return document.activeElement.className"), "more");
    browser.wait_for_text("#bar", "1 selected");
    browser.press(escape);
    browser.wait_for("#bar[hidden]");
    // From the filter to the list, and along it.
    browser.press("/");
    browser.type_in("#filter", "late\u{e007}");
    assert_eq!(browser.run(focused), "host-late-00");
    browser.press("j");
    assert_eq!(browser.run(focused), "host-late-01");
    browser.press("2");
    browser.wait_for("#dialogs [data-dialog=git]:popover-open");
    browser.picture("fleet-popover");
    browser.press(escape);
    browser.wait_for("#dialogs:empty");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check 18, B6: what was seen before a restart is known after it.
#[test]
fn hosts_that_are_gone_keep_when_they_were_seen_over_a_restart() {
    let mut fleet = Fleet::open(0, 0, 0, 1);
    fleet.browser.wait_for_count("off", 1);
    fleet.dashboard.kill_9();
    fleet.dashboard.start_again();
    fleet.browser.wait_for_text("#link", "live");
    fleet.browser.wait_for_count("off", 2); // The one that worked is gone as well.
    fleet.browser.wait_for_count("new", 1);
    fleet.browser.wait_for_text("#host-gone-00 .why", "Offline");
    fleet.browser.assert_true();
}

/// D2: hosts that share the beginning of their name stand together.
#[test]
fn hosts_are_grouped_by_how_their_names_begin_d2() {
    let fleet = Fleet::open(2, 3, 1, 1);
    let browser = &fleet.browser;
    browser.choose("#group", "By name prefix");
    browser.wait_for_text("[id='group-name:fail']", "fail");
    browser.wait_for_text("#link", "live");
    let heads = "return [...document.querySelectorAll('.grp:not([hidden])')].map((head) => head.textContent.trim())";
    // Of fine, gone, new and work there is one each.
    assert_eq!(browser.run(heads), json!(["fail", "late", "Other names"]));
    let others = ["fine-00", "gone-00", "new-00", "work-00"];
    let all = [&["fail-00", "fail-01", "late-00", "late-01", "late-02"][..], &others].concat();
    assert_eq!(fleet.shown(), all);
    assert_eq!(browser.run("return location.search"), "?group=name");
    assert_eq!(browser.axe(), [""; 0]);
    browser.screen(1440, 900, false);
    browser.picture("fleet-by-name");
    browser.click("[data-group='name:late']");
    let without = [&["fail-00", "fail-01"][..], &others].concat();
    wait_until("it is folded", || {
        let now = fleet.shown();
        if now == without { Ok(()) } else { Err(now) }
    });
    browser.go(browser.run("return location.href").as_str().unwrap());
    browser.wait_for_text("#link", "live");
    assert_eq!(fleet.shown(), without);
    // One that comes stands with its like, as it would on a page that is loaded then.
    fleet.user.post("/api/hosts", &json!({ "hostname": "fail-02" }));
    browser.hover(".brand");
    wait_until("it is among its like", || {
        let now = fleet.shown();
        if now[..3] == ["fail-00", "fail-01", "fail-02"] { Ok(()) } else { Err(now) }
    });
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}
