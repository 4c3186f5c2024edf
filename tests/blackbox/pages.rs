//! What stands around the rows: selection, dialogs, keys, the log, settings, the audit log.

use crate::support::browser::Browser;
use crate::support::{
    Agent, Client, ConfigRepo, Dashboard, GitHub, OldAgent, Proxy, nixfleet, wait_until,
};
use std::sync::Arc;

struct Page {
    repo: ConfigRepo,
    dashboard: Dashboard,
    agents: Vec<Agent>,
    user: Client,
    browser: Browser,
}

impl Page {
    /// The fleet page with these hosts, all of them current.
    fn open(names: &[&str]) -> Self {
        Self::open_with(ConfigRepo::new(), names)
    }

    fn open_with(repo: ConfigRepo, names: &[&str]) -> Self {
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let start = |name: &&str| Agent::start(&dashboard.url, name, &repo.remote());
        let agents = names.iter().map(start).collect();
        for name in names {
            user.wait_for_row(name, "ok ok ok out unk");
        }
        let browser = Browser::start();
        browser.login(&dashboard.url, &dashboard.password);
        browser.wait_for_text("#link", "live");
        Self { repo, dashboard, agents, user, browser }
    }

    /// Opens a dialog of the host's menu.
    fn menu(&self, host: &str, what: &str) {
        self.browser.click(&format!("#host-{host} [data-op=menu]"));
        self.browser.click(&format!("#dialogs [data-op=open-{what}]"));
        self.browser.wait_for(&format!("dialog[data-dialog={what}]"));
    }

    fn visible_hosts(&self) -> String {
        let script = "return [...document.querySelectorAll('#hosts article:not([hidden])')]\
                      .map(row => row.dataset.host).join(' ')";
        self.browser.run(script).as_str().unwrap().to_owned()
    }

    /// No complaint of the browser, and nothing on the page that a fresh one would not show.
    #[track_caller]
    fn end(&self) {
        self.browser.assert_true();
        assert_eq!(self.browser.complaints(), [""; 0]);
    }
}

#[test]
fn a_selection_says_what_will_happen_to_whom_and_runs_it() {
    let mut page = Page::open(&["away", "db", "web"]);
    page.agents[0].kill_9();
    page.repo.push_change("for all");
    let browser = &page.browser;
    browser.wait_for("#host-away[data-online=false]");
    browser.wait_for_row("web", "ok outdated ok outdated unknown");
    browser.click("#host-db .pick");
    browser.run("document.querySelector('#host-away .pick').dispatchEvent(new MouseEvent('click', { bubbles: true, shiftKey: true }))");
    browser.wait_for_text("#bar", "3 selected");
    browser.wait_for_text("#bar", "1 offline takes part when it is back: away.");
    browser.wait_for("#bar [data-op=test-selected][title*='1 without tests is left out: db.']");
    browser.wait_for_text("#bar [data-op=update-selected]", "Update 3…");
    browser.pictures("fleet-selection");
    assert_eq!(browser.axe(), [""; 0]);
    // More than one host: who, who not and why, in which order, and when it stops.
    browser.click("#bar [data-op=update-selected]");
    browser.wait_for_text("dialog h2", "Update 3 hosts");
    browser.wait_for_text("dialog .names", "db");
    browser.wait_for_text("dialog .names", "web");
    browser.wait_for_text("dialog .away", "1 offline: asked when back");
    browser.wait_for("dialog [name=how][value=first]:checked");
    assert_eq!(browser.run("return document.querySelector('#stop-after').value"), "1");
    assert_eq!(browser.axe(), [""; 0]);
    browser.pictures("dialog-confirm");
    browser.click("dialog [data-op=start]");
    browser.wait_for_text("#rollouts", "Update of 3 hosts");
    browser.wait_for("#bar[hidden]");
    browser.wait_for_row("web", "ok ok ok ok ok");
    // Who is away is delivered when it is back, and holds nobody up.
    browser.wait_for_text("#rollouts", "2 done, 1 waiting");
    page.agents[0].start_again();
    // What ended well needs nobody.
    browser.wait_for("#rollouts:empty");
    browser.pictures("fleet-rollout");
    page.end();
}

#[test]
fn everything_on_all_hosts_is_confirmed_with_the_exclusions_named() {
    let page = Page::open(&["db", "web"]);
    let browser = &page.browser;
    page.agents[1].set("gate");
    page.repo.push_change("for all");
    browser.wait_for_row("db", "ok outdated ok outdated unknown");
    browser.wait_for_row("web", "ok outdated ok outdated unknown");
    browser.click("[data-op=update-all]");
    browser.wait_for_text("dialog[data-dialog=rollout]", "pull, then switch, then test");
    browser.wait_for_text("dialog .names", "db");
    browser.wait_for_text("dialog .names", "web");
    browser.pictures("dialog-rollout");
    assert_eq!(browser.axe(), [""; 0]);
    browser.click("dialog [data-op=start]");
    browser.wait_for_text("#rollouts", "Update of 2 hosts");
    browser.wait_for("#host-web[data-busy=switch]");
    browser.pictures("fleet-rollout-running");
    browser.click("#rollouts [data-op=cancel]");
    browser.wait_for_text(".sure:popover-open", "no more of them start");
    assert_eq!(browser.axe(), [""; 0]);
    browser.picture("fleet-sure");
    browser.click(".sure button");
    browser.wait_for_text("#rollouts", "cancelled by admin");
    page.agents[1].set("go");
    browser.wait_for("#rollouts [data-over=true]");
    page.end();
}

#[test]
fn every_dialog_opens_from_the_menu_and_people_with_disabilities_can_use_it() {
    let repo = ConfigRepo::new();
    let failing = "#!/bin/sh\n# Name: Second\necho broken; exit 1\n";
    repo.test("web", "T02-second.sh", failing);
    repo.push("a test that fails");
    let page = Page::open_with(repo, &["web"]);
    let browser = &page.browser;
    page.user.run("web", "switch", "succeeded");
    page.user.run("web", "test", "failed");
    page.repo.push_change("more");
    browser.wait_for_row("web", "ok outdated ok outdated error");
    browser.wait_for_text("#host-web .why", "1 of 2 tests failed: Second");
    // There is nothing to go back to: the next step is the fix that was pushed.
    browser.wait_for("#host-web .do [data-op=update]");
    browser.wait_for_text("#toasts", "Tests failed on web");
    // It is to be seen as long as looking takes.
    browser.run("clearTimeout(note.timer)");
    for dark in [true, false] {
        browser.screen(1280, 900, dark);
        assert_eq!(browser.axe(), [""; 0], "dark: {dark}");
    }
    browser.click("#toasts [data-dismiss]");
    for what in ["rollback", "reboot", "settings", "remove"] {
        page.menu("web", what);
        if what == "rollback" {
            browser.wait_for_text("dialog", "Generation 1");
        }
        assert_eq!(browser.axe(), [""; 0], "{what}");
        browser.pictures(&format!("dialog-{what}"));
        browser.click("dialog header button");
        browser.wait_for("#dialogs:empty");
    }
    for what in ["agent", "git", "lock", "system", "tests"] {
        browser.click(&format!("#host-web [data-compartment={what}]"));
        browser.wait_for(&format!("#dialogs [data-dialog={what}]"));
        if what == "tests" {
            browser.wait_for_text("dialog", "✗ Second");
            browser.wait_for_text("dialog", "broken");
            browser.wait_for_text("dialog", "1/2 passed");
        }
        assert_eq!(browser.axe(), [""; 0], "{what}");
        browser.pictures(&format!("dialog-{what}"));
        browser.press("\u{e00c}");
        browser.wait_for("#dialogs:empty");
    }
    browser.click("#host-web [data-op=menu]");
    browser.wait_for("#dialogs [data-dialog=menu]:popover-open");
    assert_eq!(browser.axe(), [""; 0], "menu");
    browser.pictures("dialog-menu");
    browser.press("\u{e00c}");
    browser.wait_for("#dialogs:empty");
    browser.click("[data-op=add-host]");
    browser.wait_for("dialog[data-dialog=add-host]");
    assert_eq!(browser.axe(), [""; 0], "add-host");
    browser.pictures("dialog-add-host");
    browser.type_in("#hostname", "web");
    browser.click("#add-host button[type=submit]");
    browser.wait_for_text("dialog [role=alert]", "There is a host web already.");
    browser.type_in("#hostname", "-two"); // What was typed before is still there.
    browser.click("#add-host button[type=submit]");
    browser.wait_for_text("dialog[data-dialog=token]", "web-two is added");
    assert_eq!(browser.axe(), [""; 0], "token");
    browser.pictures("dialog-token");
    // B5: what is shown once is not lost by a key.
    browser.press("\u{e00c}");
    browser.press("\u{e00c}");
    browser.wait_for("dialog[data-dialog=token] #go-on:disabled");
    browser.click("#stored");
    browser.click("#go-on");
    browser.wait_for("#dialogs:empty");
    browser.wait_for("#host-web-two[data-online=false]");
    browser.assert_true();
}

#[test]
fn a_dialog_stays_open_and_true_while_its_host_changes() {
    let page = Page::open(&["web"]);
    let browser = &page.browser;
    page.repo.push_change("meanwhile");
    browser.wait_for_row("web", "ok outdated ok outdated unknown");
    browser.click("#host-web [data-compartment=git]");
    browser.wait_for_text("#dialogs", "meanwhile");
    page.user.run("web", "pull", "succeeded");
    browser.wait_for("#dialogs .status[data-status=ok]");
    browser.press("\u{e00c}");
    browser.wait_for("#dialogs:empty");
    let focused = "return document.activeElement.dataset.compartment";
    assert_eq!(browser.run(focused), "git", "the focus is back where the dialog was opened");
    page.end();
}

#[test]
fn settings_of_a_host_change_its_row_and_removing_it_takes_it_away_everywhere() {
    let page = Page::open(&["db", "web"]);
    let browser = &page.browser;
    let other = Browser::start();
    other.login(&page.dashboard.url, &page.dashboard.password);
    other.go(&format!("{}/hosts/db", page.dashboard.url));
    other.wait_for_text("#link", "live");
    page.menu("web", "settings");
    browser.choose("#location", "cloud");
    browser.type_in("#theme_color", "#12ab34");
    browser.click("dialog [data-op=save]");
    browser.wait_for("#host-web .tags.cloud");
    assert_eq!(page.user.host("web")["theme_color"], "#12ab34");
    page.menu("db", "remove");
    // D6: what is lost for good wants its name.
    browser.type_in("#remove-name", "d");
    browser.wait_for("dialog [data-op=remove]:disabled");
    browser.type_in("#remove-name", "b");
    browser.click("dialog [data-op=remove]");
    browser.wait_for("#hosts:not(:has(#host-db))");
    browser.wait_for_count("", 1);
    other.wait_for("#hosts:not(:has(#host-db))");
    page.end();
}

#[test]
fn the_keys_filter_walk_select_and_open() {
    let page = Page::open(&["db", "web"]);
    let browser = &page.browser;
    browser.press("/");
    browser.type_in("#filter", "WEB nixos");
    assert_eq!(page.visible_hosts(), "web");
    browser.type_in("#filter", "nonsense");
    browser.wait_for("#none-found:not([hidden])");
    browser.pictures("fleet-none-found");
    browser.run("filter.value = ''; filter.dispatchEvent(new Event('input', { bubbles: true })); filter.blur()");
    assert_eq!(page.visible_hosts(), "db web");
    let focused = "return document.activeElement.id";
    browser.press("j");
    assert_eq!(browser.run(focused), "host-db");
    browser.press("j");
    browser.press("x");
    browser.wait_for_text("#bar", "1 selected");
    browser.press("k");
    assert_eq!(browser.run(focused), "host-db");
    browser.press("\u{e00c}");
    browser.wait_for("#bar[hidden]");
    browser.press("m");
    browser.wait_for("#dialogs [data-dialog=menu]:popover-open");
    browser.press("\u{e00c}");
    browser.wait_for("#dialogs:empty");
    browser.press("?");
    browser.wait_for_text("dialog[data-dialog=keys]", "next and previous host");
    browser.pictures("dialog-keys");
    browser.press("\u{e00c}");
    page.end();
}

#[test]
fn hosts_are_sorted_as_asked_and_stay_so_while_they_change() {
    let page = Page::open(&["aa", "bb"]);
    let browser = &page.browser;
    page.agents[1].set("fail-build");
    page.user.run("bb", "switch", "failed");
    browser.wait_for("#host-bb[data-standing=failed]");
    let shows = |hosts: &str| {
        wait_until("the order is right", || {
            let now = page.visible_hosts();
            if now == hosts { Ok(()) } else { Err(now) }
        });
    };
    // What failed comes first.
    shows("bb aa");
    page.user.run("aa", "switch", "succeeded");
    browser.wait_for("#host-aa [data-compartment=system][data-status=ok]");
    shows("bb aa");
    browser.choose("#group", "No groups");
    browser.wait_for("#hosts:not(:has(.grp))");
    shows("aa bb");
    assert!(browser.run("return location.search").as_str().unwrap().contains("group=none"));
    page.end();
}

#[test]
fn the_title_and_the_icon_of_the_tab_show_that_something_failed() {
    let page = Page::open(&["web"]);
    let browser = &page.browser;
    let tab =
        "return document.title + ' ' + document.getElementById('icon').href.includes('failed')";
    assert_eq!(browser.run(tab), "Fleet · nixfleet false");
    page.agents[0].set("fail-build");
    page.user.run("web", "switch", "failed");
    wait_until("the tab shows it", || {
        let now = browser.run(tab);
        if now == "(1 failed) Fleet · nixfleet true" { Ok(()) } else { Err(now) }
    });
    browser.pictures("fleet-failed");
    page.end();
}

#[test]
fn a_log_of_a_hundred_thousand_lines_neither_freezes_the_page_nor_loses_a_line() {
    let page = Page::open(&["web"]);
    let browser = &page.browser;
    page.agents[0].on_switch(
        "#!/bin/sh\nprintf '\\033[1;31mred\\033[0m and plain\\n'\nprintf 'loading 10%%\\rloading 100%%\\n'\n\
         seq -f 'line %.0f of many' 100000\n",
    );
    // What the page does at one go is what freezes it: the most lines, and its work in all. A line may
    // come with the log that it is in and by itself: it is one.
    browser.run(
        "window.most = 0;
         const lines = (node) => (node.matches ? [...node.querySelectorAll('.line'), ...(node.matches('.line') ? [node] : [])] : []);
         new MutationObserver((all) => {
             const added = all.flatMap((one) => [...one.addedNodes]).flatMap(lines);
             window.most = Math.max(window.most, new Set(added).size);
         }).observe(document.body, { childList: true, subtree: true })",
    );
    let before = browser.worked();
    browser.ask("web", "switch");
    browser.wait_for_text("#log-outcome", "succeeded");
    let id = browser.run("return document.querySelector('#log-lines').dataset.command");
    let id = id.as_str().unwrap();
    browser.wait_for_text("#log-lines .line:nth-last-of-type(2)", "line 100000 of many");
    let worked = browser.worked() - before;
    let most = browser.run("return window.most").as_u64().unwrap();
    // The same lines, put on the same page as cheaply as can be, on the same machine.
    let before = browser.worked();
    browser.run(
        "const html = document.querySelector('#log-lines .line:nth-last-of-type(2)').outerHTML.repeat(5000);
         for (let n = 0; n < 20; n++) {
             const box = document.createElement('div');
             box.innerHTML = html;
             document.querySelector('#log-lines').append(box);
             window.most = box.offsetHeight;
             box.remove();
         }",
    );
    let least = browser.worked() - before;
    println!(
        "100,000 lines: the page worked for {worked:.0} ms, {least:.0} are needed; at most {most} lines at once"
    );
    assert!(most <= 6000, "{most} lines at once");
    assert!(worked < 3.0 * least, "the page worked for {worked} ms; {least} ms are needed");
    let count = browser.run("return document.querySelectorAll('.line').length").as_u64().unwrap();
    assert!(count <= 6000, "{count} lines on the page");
    let stored = page.user.output(id).iter().filter(|line| line.ends_with(" of many")).count();
    assert_eq!(stored, 100_000);
    browser.run("document.querySelector('#log-lines').scrollTop = 0");
    browser.click("#log-lines .earlier");
    wait_until("earlier lines are there", || {
        let now = browser.run("return document.querySelectorAll('.line').length").as_u64().unwrap();
        if now > count { Ok(()) } else { Err(now) }
    });
    let following = browser.run("return document.querySelector('#log-follow').checked");
    assert_eq!(following, false, "who has scrolled up is left alone");
    browser.type_in("#log-search input", "line 77777 of\u{e007}");
    browser.wait_for_text("#log-found", "1 line contains");
    assert_eq!(browser.text("#log-lines").trim(), "line 77777 of many");
    browser.run("document.querySelector('#log-search input').value = ''");
    browser.type_in("#log-search input", "and plain\u{e007}");
    browser.wait_for_text("#log-lines", "red and plain");
    assert_eq!(browser.text("#log-lines .f1.b"), "red");
    browser.run("document.querySelector('#log-search input').value = ''");
    browser.type_in("#log-search input", "loading\u{e007}");
    browser.wait_for_text("#log-lines", "loading 100%");
    assert!(!browser.text("#log-lines").contains("10%\n"));
    browser.click("#log-found a");
    browser.wait_for_text("#log-lines", "line 100000 of many");
    assert_eq!(browser.axe(), [""; 0]);
    browser.pictures("fleet-log");
    browser.go(browser.run("return location.href").as_str().unwrap());
    browser.wait_for_text("#log-lines", "line 100000 of many");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn long_names_and_strange_text_break_no_layout() {
    let repo = ConfigRepo::new();
    let right_to_left = "\u{202e}\u{645}\u{631}\u{62d}\u{628}\u{627} \u{1f680}\u{1f9e8} ";
    let subject = format!("{right_to_left}{} {}", "long".repeat(30), "words ".repeat(25));
    repo.push(&subject);
    let long = "h".repeat(120) + ".example.org";
    let page = Page::open_with(repo, &[&long, "web"]);
    let browser = &page.browser;
    page.repo.push(&subject);
    browser.wait_for_text("#fleet-target", "\u{1f680}");
    browser.wait_for_row("web", "ok outdated ok outdated unknown");
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    for path in
        ["/", "/hosts/web", "/rollouts", "/events", "/settings", "/hosts/web/git", "/add-host"]
    {
        browser.go(&format!("{}{path}", page.dashboard.url));
        for width in [320, 390, 800, 1280, 3840] {
            browser.screen(width, 900, false);
            assert_eq!(browser.run(wide), 0, "{path} at {width}");
        }
    }
    browser.go(&page.dashboard.url);
    browser.wait_for_text("#link", "live");
    browser.pictures("fleet-strange");
    page.end();
}

#[test]
fn times_are_those_of_the_browsers_zone_and_a_row_can_be_copied_and_printed() {
    let page = Page::open(&["web"]);
    let browser = &page.browser;
    let hover = "return document.querySelector('#fleet-target time').title";
    browser.zone("Asia/Tokyo");
    browser.go(&page.dashboard.url);
    wait_until("times are there", || {
        let title = browser.run(hover);
        if title != "" { Ok(()) } else { Err(title) }
    });
    let tokyo = browser.run(hover);
    browser.zone("America/New_York");
    browser.go(&page.dashboard.url);
    wait_until("times are those of another zone", || {
        let title = browser.run(hover);
        if title != "" && title != tokyo { Ok(()) } else { Err(title) }
    });
    let copied = browser.run(
        "getSelection().selectAllChildren(document.querySelector('#host-web'));
         return getSelection().toString().replace(/\\s+/g, ' ')",
    );
    let copied = copied.as_str().unwrap();
    assert!(copied.contains("web"), "{copied}");
    assert!(copied.contains("Agent: current Git: current Lock: current"), "{copied}");
    browser.print_view(true);
    let shown = "return getComputedStyle(document.querySelector('#host-web .do')).display";
    assert_eq!(browser.run(shown), "none");
    browser.picture("fleet-printed");
    browser.print_view(false);
    page.end();
}

#[test]
fn the_audit_log_is_searched_and_filtered_and_leads_to_the_logs_d10_b15() {
    let page = Page::open(&["db", "web"]);
    page.user.run("web", "switch", "succeeded");
    page.user.run("db", "switch", "succeeded");
    let browser = &page.browser;
    browser.click("header nav a[href='/events']");
    browser.wait_for_text(".audit", "Switch was started.");
    browser.wait_for_text(".audit", "Switch ended: succeeded");
    for (width, dark) in [(1440, false), (1024, true), (390, false)] {
        browser.screen(width, 900, dark);
        assert_eq!(browser.axe(), [""; 0], "{width}");
    }
    browser.pictures("events");
    // B15: a part of a name finds it; of several words each.
    browser.type_in("[name=q]", "we switch");
    browser.choose("[name=category]", "command");
    browser.click(".filters button");
    wait_until("only commands of web are shown", || {
        let text = browser.text(".audit");
        let names = |host| text.split_whitespace().any(|word| word == host);
        let right = names("web") && text.contains("Switch was started.") && !names("db");
        if right { Ok(()) } else { Err(text) }
    });
    // D10: each entry about a command leads to its log.
    browser.click(".audit a[aria-label^='Log of web']");
    browser.wait_for_text("#log-outcome", "succeeded");
    let failed = page.user.get("/api/events?outcome=failed").json();
    assert_eq!(failed, serde_json::json!([]));
    assert_eq!(page.user.get("/api/events?outcome=great").status, 400);
    let at = |query: &str| page.user.get(&format!("/events?{query}"));
    assert!(at("from=2999-01-01").text.contains("Nothing here."));
    assert!(at("to=1999-01-01").text.contains("Nothing here."));
    assert!(at("from=yesterday").text.contains("`from`"));
    assert_eq!(at("from=yesterday").status, 400);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_merge_whose_switch_failed_somewhere_names_the_hosts_and_is_reverted_by_a_click() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    repo.push_branch("update_flake_lock_action");
    github.open_pull(42, "update_flake_lock_action", true);
    let mut dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
        ("NIXFLEET_GITHUB_API", &github.url),
        ("NIXFLEET_GITHUB_TOKEN", "ghp_anybody"),
    ]);
    let user = dashboard.login();
    let agents: Vec<Agent> = ["bad", "good", "idle"]
        .map(|name| Agent::start(&dashboard.url, name, &repo.remote()))
        .into();
    for name in ["bad", "good", "idle"] {
        user.wait_for_row(name, "ok ok ok out unk");
    }
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.wait_for_text("#fleet-target .pr", "#42 waits");
    browser.pictures("fleet-pull-request");
    browser.click("#fleet-target [data-op=merge]");
    browser.wait_for_row("bad", "ok outdated outdated outdated unknown");
    agents[0].set("fail-build");
    user.run("good", "pull-switch", "succeeded");
    user.run("bad", "pull-switch", "failed");
    browser.wait_for_text("[data-merged='42']", "failed: bad");
    browser.wait_for_text("[data-merged='42']", "succeeded: good");
    browser.wait_for_text("[data-merged='42']", "not attempted: idle");
    browser.pictures("fleet-revert");
    // What was merged from here is known after a restart too.
    dashboard.kill_9();
    browser.wait_for_text("#link", "reconnecting");
    dashboard.start_again();
    browser.wait_for_text("#link", "live");
    browser.click("[data-merged='42'] [data-op=revert]");
    browser.wait_for_text("[data-merged='42']", "takes it back");
    browser.wait_for_text("#toasts", "takes it back.");
    browser.assert_true();
}

#[test]
fn forms_work_where_the_script_does_not_run() {
    let page = Page::open(&["web"]);
    let user = &page.user;
    page.repo.push_change("without a script");
    user.wait_for_row("web", "ok out ok out unk");
    let menu = user.get("/hosts/web/menu").text;
    assert!(menu.contains("<html"), "a dialog is a page of its own");
    let sent = user.post_form("/hosts/web/commands", &[("op", "pull")]);
    assert_eq!(sent.status, 303, "{sent:?}");
    user.wait_for_row("web", "ok ok ok out unk");
    let sent = user.post_form("/rollouts", &[("op", "update"), ("hosts[]", "web")]);
    assert_eq!(sent.status, 303, "{sent:?}");
    user.wait_for_row("web", "ok ok ok ok ok");
    let sent =
        user.post_form("/hosts/web/settings", &[("location", "cloud"), ("tests_enabled", "")]);
    assert_eq!(sent.status, 303, "{sent:?}");
    assert_eq!(user.host("web")["location"], "cloud");
    let sent = user.post_form("/hosts/web/settings", &[("location", "moon")]);
    assert_eq!(sent.status, 400);
    assert!(sent.text.contains("expected one of home, work, cloud"), "{sent:?}");
    let sent = user.post_form("/hosts/web/refresh", &[]);
    assert_eq!(sent.status, 303, "{sent:?}");
    let sent = user.post_form("/hosts/web/commands", &[("op", "reboot")]);
    assert_eq!(sent.status, 409, "{sent:?}");
    let sent = user.clone().without_csrf().post_form("/hosts/web/remove", &[]);
    assert_eq!(sent.status, 403, "{sent:?}");
    let sent = user.post_form("/hosts/web/remove", &[("name", "wep")]);
    assert_eq!(sent.status, 400, "{sent:?}");
    let sent = user.post_form("/hosts/web/remove", &[("name", "web")]);
    assert_eq!(sent.status, 303, "{sent:?}");
    assert_eq!(user.get("/api/hosts/web").status, 404);
    assert_eq!(user.get("/hosts/web/nonsense").status, 404);
}

#[test]
fn an_update_of_a_fleet_of_3x_agents_is_possible_too() {
    let page = Page::open(&[]);
    let head = page.repo.head();
    let mut old = OldAgent::join(&page.dashboard.url, "old", &head);
    old.heartbeat();
    page.browser.wait_for("#host-old[data-online=true]");
    page.browser.click("#host-old .pick");
    page.browser.click("#bar [data-op=pull-selected]");
    old.expect_command("pull");
    old.end("pull", 0);
    wait_until("it is through", || {
        let all = page.user.get("/api/rollouts").json();
        if all[0]["counts"]["done"] == 1 { Ok(()) } else { Err(all) }
    });
    page.browser.assert_true();
}

#[test]
fn a_click_is_answered_before_the_host_does_anything_and_a_second_one_does_nothing() {
    let page = Page::open(&[]);
    let browser = &page.browser;
    let head = page.repo.head();
    let mut old = OldAgent::join(&page.dashboard.url, "slow", &head);
    old.heartbeat();
    browser.wait_for("#host-slow[data-online=true]");
    let other = Browser::start();
    other.login(&page.dashboard.url, &page.dashboard.password);
    other.wait_for("#host-slow[data-online=true]");
    let took = browser.run_async(
        "const done = arguments[0], began = performance.now();
         const button = document.querySelector('#host-slow [data-op=update]');
         new MutationObserver((_, watch) => {
             if (!document.querySelector('#host-slow[data-busy=pull]')) return;
             watch.disconnect();
             done(performance.now() - began);
         }).observe(document.body, { subtree: true, attributes: true, childList: true });
         button.click(); button.click();",
    );
    let took = took.as_f64().unwrap();
    println!("a click is answered in {took:.0} ms");
    assert!(took < 1000.0, "{took} ms");
    browser.wait_for_text("#host-slow .why", "Pull · sent");
    other.wait_for_text("#host-slow .why", "Pull · sent");
    // The other administrator's page is as true: the buttons say why they do nothing.
    other.wait_for("#host-slow .do [data-op=stop]");
    other.click("#host-slow [data-op=menu]");
    other.wait_for("#dialogs [data-op=pull]:disabled[title*='slow is busy']");
    other.press("\u{e00c}");
    old.expect_command("pull");
    old.end("pull", 1); // So that no further step follows.
    browser.wait_for("#host-slow[data-busy='']");
    let commands = page.user.get("/api/hosts/slow/commands").json();
    assert_eq!(commands.as_array().unwrap().len(), 1, "{commands}");
    other.assert_true();
    page.end();
}

#[test]
fn a_link_that_is_cut_is_said_and_the_page_is_true_again_when_it_is_back() {
    let page = Page::open(&["web"]);
    let proxy = Proxy::to(&page.dashboard.url);
    let browser = Browser::start();
    browser.login(&proxy.url, &page.dashboard.password);
    browser.wait_for_text("#link", "live");
    proxy.cut();
    browser.wait_for_text("#link", "reconnecting");
    browser.picture("fleet-reconnecting");
    page.repo.push_change("while the link was down");
    page.user.wait_for_row("web", "ok out ok out unk");
    // D11: since when, what that means, and no button that does nothing.
    browser.wait_for_text("#lost:not([hidden])", "Not live since");
    browser.wait_for("#host-web .do [data-op=switch][aria-disabled=true]");
    browser.click("#host-web .do [data-op=switch]");
    browser.wait_for_text("#toasts", "Not live: nothing can be started");
    browser.pictures("fleet-not-live");
    proxy.restore();
    browser.wait_for_text("#link", "live");
    browser.wait_for("#lost[hidden]");
    browser.wait_for("#host-web .do:not(:has([aria-disabled]))");
    assert_eq!(page.user.get("/api/hosts/web/commands").json(), serde_json::json!([]));
    browser.wait_for_row("web", "ok outdated ok outdated unknown");
    browser.assert_true();
}

#[test]
fn from_an_empty_dashboard_to_a_green_row_with_nothing_but_what_the_page_says() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.wait_for_text(".first", "Add the first host");
    assert_eq!(browser.axe(), [""; 0]);
    browser.click(".first a");
    browser.type_in("#hostname", "web");
    browser.click("#add-host button[type=submit]");
    browser.wait_for("dialog[data-dialog=token]");
    let shown = browser.text("dialog details pre");
    // The command as it is shown, with what only this test knows added.
    let agent = Agent::prepare();
    let program = nixfleet();
    let command =
        shown.replace("<your config repository>", repo.remote().to_str().unwrap()).replace(
            "nixfleet --agent",
            &format!("{} --agent", program.get_program().to_str().unwrap()),
        );
    let running = agent.run(&command);
    browser.click("#stored");
    browser.click("#go-on");
    browser.wait_for_row("web", "ok ok ok outdated unknown");
    browser.ask("web", "switch");
    browser.wait_for_row("web", "ok ok ok ok outdated");
    browser.ask("web", "test");
    browser.wait_for_row("web", "ok ok ok ok ok");
    browser.wait_for_count("ok", 1);
    assert_eq!(browser.complaints(), [""; 0]);
    drop(running);
}
