//! `nixfleet --demo`, as a new user starts it.

use crate::support::browser::Browser;
use crate::support::{Client, nixfleet, processes_of, wait_until};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

struct Demo {
    child: Child,
    lines: Vec<String>,
    tmp: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(arguments: &[&str]) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let mut child = nixfleet()
            .args(["--demo", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("TMPDIR", tmp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.last().is_some_and(|line: &String| line.starts_with("Ctrl-C")) {
            lines.push(stdout.next().expect("the demo says more").unwrap());
        }
        child.stdout = None;
        Self { child, lines, tmp }
    }

    fn value(&self, name: &str) -> String {
        let line = self.lines.iter().find(|line| line.trim().starts_with(name));
        line.unwrap().trim().strip_prefix(name).unwrap().trim().to_owned()
    }

    fn login(&self) -> Client {
        Client::login(&self.value("open"), &self.value("password"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_shows_three_hosts_and_its_own_commands_lead_to_a_tested_switch() {
    let demo = Demo::start();
    let user = demo.login();
    for host in ["atlas", "gpc0", "mba"] {
        user.wait_for_online(host);
    }
    user.wait_for_row("atlas", "ok ok ok ok unk");
    let push = demo.value("sh ");
    assert!(Command::new("sh").arg(push).stdout(Stdio::null()).status().unwrap().success());
    user.wait_for_row("atlas", "ok out ok out unk");
    user.run("atlas", "pull", "succeeded");
    user.run("atlas", "switch", "succeeded");
    user.wait_for_row("atlas", "ok ok ok ok ok");
}

/// Issue 16: a commit that breaks the network of one host. It comes back by itself, visibly.
#[test]
fn the_demo_cuts_the_network_of_a_host_which_comes_back_by_itself_and_is_held() {
    const HOST: &str = "web-fra-01";
    let demo = Demo::with(&["--hosts", "4"]);
    let user = demo.login();
    user.wait_for_online(HOST);
    let hint = demo.lines.iter().find(|line| line.trim().ends_with("push-change network"));
    let push = hint.expect("the demo names the command").trim().to_owned();
    assert!(
        Command::new("sh").args(["-c", &push]).stdout(Stdio::null()).status().unwrap().success()
    );
    wait_until("its row is behind", || {
        let row = user.row(HOST);
        if row.split(' ').nth(1) == Some("out") { Ok(()) } else { Err(row) }
    });
    user.run(HOST, "pull", "succeeded");
    let before = user.host(HOST)["system"]["store_path"].clone();
    let command = user.run(HOST, "switch", "failed");
    let id = command["command_id"].as_str().unwrap();
    wait_until("its log says that it comes back", || {
        let output = user.output(id);
        if output.iter().any(|line| line.contains("comes back")) { Ok(()) } else { Err(output) }
    });
    // The page is told after the command's own actor.
    let why = "Rolled back by itself: no link to the dashboard.";
    wait_until("it is held, and runs what it ran", || {
        let host = user.host(HOST);
        let held = host["held"]["reason"] == why && host["held"]["applies"] == true;
        if held && host["system"]["store_path"] == before { Ok(()) } else { Err(host) }
    });
    user.wait_for_online(HOST);
}

#[test]
fn ctrl_c_ends_the_demo_and_leaves_nothing_behind() {
    let mut demo = Demo::start();
    demo.login().wait_for_online("atlas");
    assert!(processes_of(demo.tmp.path()).len() > 1);
    let pid = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(demo.child.wait().unwrap().success());
    wait_until("no process is left", || {
        let left = processes_of(demo.tmp.path());
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    let left: Vec<_> = std::fs::read_dir(demo.tmp.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Issue 17's proof: 200 hosts in all states, and a strip whose counts add up.
#[test]
fn a_demo_of_two_hundred_hosts_shows_them_in_all_states_and_the_counts_add_up() {
    let demo = Demo::with(&["--hosts", "200"]);
    let user = demo.login();
    let page = user.get("/").text;
    assert_eq!(page.matches("<article").count(), 200);
    let browser = Browser::start();
    browser.screen(1440, 900, false);
    browser.login(&demo.value("open"), &demo.value("password"));
    browser.wait_for_text("#link", "live");
    browser.wait_for_count("", 200);
    // The hosts work, so what is seen changes all the time.
    wait_until("hosts are in all states and the counts add up", || {
        let counts = browser.run(
            "return [...document.querySelectorAll('#fleet-summary [data-show]:not([data-show=\"\"])')]
                 .map((one) => [one.dataset.show, +one.querySelector('b').textContent])",
        );
        let counts: Vec<(String, u64)> = serde_json::from_value(counts).unwrap();
        let all = counts.iter().map(|(_, n)| n).sum::<u64>() == 200;
        let some = |group: &&str| counts.iter().any(|(name, n)| name == group && *n > 0);
        let each = ["failed", "due", "run", "new", "off", "ok"].iter().all(some);
        if all && each { Ok(()) } else { Err(counts) }
    });
    for (what, rows) in [
        ("held", "#hosts .hold:not(.back)"),
        ("rolled back", "#hosts .hold.back"),
        ("awaited", "#hosts article[data-online=false]:has([data-op=stop])"),
        ("in need of a reboot", "#hosts .boot"),
        ("an agent of NixFleet 3", "#hosts [data-compartment=agent][data-status=outdated]"),
    ] {
        wait_until(&format!("a host is {what}"), || {
            let any = format!("return document.querySelectorAll('{rows}').length > 0");
            if browser.run(&any) == true { Ok(()) } else { Err(rows) }
        });
    }
    // Check 1: what failed is on top, and so many rows are seen at once.
    wait_until("sixteen rows are seen, what failed on top", || {
        let seen = browser.run(
            "return [...document.querySelectorAll('#hosts article:not([hidden])')].filter((row) => {
                 const { top, bottom } = row.getBoundingClientRect();
                 return top >= 0 && bottom <= innerHeight - 40; }).map((row) => row.dataset.standing)",
        );
        let seen: Vec<String> = serde_json::from_value(seen).unwrap();
        if seen.len() >= 16 && seen[0] == "failed" { Ok(()) } else { Err(seen) }
    });
    for (width, height) in [(1440, 900), (2560, 1440), (390, 844)] {
        for dark in [false, true] {
            browser.screen(width, height, dark);
            browser.picture(&format!("demo-{width}-{}", if dark { "dark" } else { "light" }));
        }
    }
    // They do what they are asked for.
    let behind = user.get("/api/hosts").json();
    let behind = behind.as_array().unwrap().iter().find(|host| {
        host["online"] == true
            && host["update_status"]["git"]["status"] == "outdated"
            && host["held"].is_null()
            && host["agent_outdated"] == false
    });
    let behind = behind.unwrap()["host_id"].as_str().unwrap();
    user.run(behind, "pull", "succeeded");
    user.run(behind, "switch", "succeeded");
    user.run(behind, "test", "succeeded");
    user.wait_for_row(behind, "ok ok ok ok ok");
    browser.screen(1440, 900, false);
    browser.hover(".brand");
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}
