//! `nixfleet --demo`, as a new user starts it.

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
        let tmp = tempfile::tempdir().unwrap();
        let mut child = nixfleet()
            .args(["--demo", "--listen", "127.0.0.1:0"])
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
