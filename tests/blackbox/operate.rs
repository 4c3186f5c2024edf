//! What those who run a dashboard need: metrics, backups, a service manager that watches, and
//! a way from NixFleet 3.

use crate::old_agent::lock_hash;
use crate::support::dashboard::{expect, spawn};
use crate::support::{Agent, Client, ConfigRepo, Dashboard, OldAgent, PATIENCE, nixfleet};
use serde_json::json;
use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

#[test]
fn metrics_count_hosts_commands_fetches_sockets_and_sqlite_for_who_has_a_token() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    user.run("web", "pull", "succeeded");
    let visitor = Client::visitor(&dashboard.url);
    assert_eq!(visitor.get("/metrics").status, 401);
    let made = user.post("/api/tokens", &json!({ "name": "prometheus" })).json();
    let token = made["token"].as_str().unwrap();
    let answer = visitor.get_with_token("/metrics", token);
    assert_eq!(answer.status, 200);
    for line in [
        "nixfleet_hosts{compartment=\"git\",status=\"ok\"} 1",
        "nixfleet_hosts{compartment=\"system\",status=\"outdated\"} 1",
        "nixfleet_hosts_online 1",
        "nixfleet_commands_total{op=\"pull\",outcome=\"succeeded\"} 1",
        "nixfleet_command_seconds_count{op=\"pull\"} 1",
        "nixfleet_sockets{kind=\"agent\"} 1",
        "nixfleet_source_up{source=\"default\"} 1",
        "nixfleet_rollouts_running 0",
    ] {
        assert!(answer.text.lines().any(|l| l == line), "{line}\n{}", answer.text);
    }
    for part in [
        "nixfleet_build_info{commit=",
        "nixfleet_fetches_total{result=\"ok\",source=\"default\"}",
        "nixfleet_sqlite_transaction_seconds_bucket",
        "nixfleet_sqlite_read_seconds_count",
        "nixfleet_sqlite_write_queue",
    ] {
        assert!(answer.text.contains(part), "{part}\n{}", answer.text);
    }
}

#[test]
fn the_alerts_and_the_dashboard_for_grafana_name_only_metrics_that_there_are() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    user.run("web", "pull", "succeeded");
    let known = user.get("/metrics").text;
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let grafana = std::fs::read_to_string(docs.join("monitoring/grafana.json")).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&grafana).is_ok());
    for file in ["monitoring/alerts.yml", "MONITORING.md"] {
        let text = std::fs::read_to_string(docs.join(file)).unwrap() + &grafana;
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let metric = word.starts_with("nixfleet_");
            assert!(!metric || known.contains(word), "{file}: {word}");
        }
    }
}

fn run(arguments: &[&str]) -> (bool, String) {
    let output = nixfleet().args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_backup_is_made_while_the_dashboard_runs_and_brings_everything_back() {
    let mut dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    user.post("/api/hosts", &json!({ "hostname": "kept" }));
    let data = dashboard.dir.path().to_str().unwrap().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    let (worked, said) = run(&["backup", copy, "--data-dir", &data]);
    assert!(worked, "{said}");
    let (worked, said) = run(&["backup", copy, "--data-dir", &data]);
    assert!(!worked && said.contains("exists"), "{said}");
    user.post("/api/hosts", &json!({ "hostname": "later" }));
    let (worked, said) = run(&["restore", copy, "--data-dir", &data]);
    assert!(!worked && said.contains("in use by another dashboard"), "{said}");
    dashboard.kill_9();
    let (worked, said) = run(&["restore", copy, "--data-dir", &data]);
    assert!(worked && said.contains("before-restore"), "{said}");
    dashboard.start_again();
    let user = dashboard.login();
    let hosts = user.get("/api/hosts").json();
    let names: Vec<_> = hosts.as_array().unwrap().iter().map(|h| h["hostname"].clone()).collect();
    assert_eq!(names, [json!("kept")]);
}

/// A service manager's socket, and what it is told.
struct Manager {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { dir, socket }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let path = self.dir.path().join("notify").to_str().unwrap().to_owned();
        vec![("NOTIFY_SOCKET".to_owned(), path), ("WATCHDOG_USEC".to_owned(), "300000".to_owned())]
    }

    #[track_caller]
    fn told(&self) -> String {
        let mut bytes = [0; 256];
        let length = self.socket.recv(&mut bytes).expect("the service manager is told");
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    }
}

#[test]
fn the_service_manager_is_told_when_the_dashboard_is_ready_alive_and_ending() {
    let manager = Manager::new();
    let data = tempfile::tempdir().unwrap();
    let (child, _lines) = spawn(data.path(), "127.0.0.1:0", &manager.variables());
    let mut child = Ended(child);
    assert_eq!(manager.told(), "READY=1");
    assert_eq!(manager.told(), "WATCHDOG=1");
    assert_eq!(manager.told(), "WATCHDOG=1");
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    while manager.told() != "STOPPING=1" {}
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn the_service_manager_is_told_that_the_agent_is_ready_and_alive() {
    let (repo, manager) = (ConfigRepo::new(), Manager::new());
    let variables = manager.variables();
    let more: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let _agent = Agent::start_with("http://127.0.0.1:9", "web", &repo.remote(), &more);
    assert_eq!(manager.told(), "READY=1");
    assert_eq!(manager.told(), "WATCHDOG=1");
    assert_eq!(manager.told(), "WATCHDOG=1");
}

#[test]
fn a_token_file_that_everybody_can_read_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "secret-token-of-a-file").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let data = dir.path().join("data");
    let mut child = nixfleet()
        .args(["--dashboard", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env("NIXFLEET_AGENT_TOKEN_FILE", &file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let _child = Ended(child);
    let warned = stderr.lines().map_while(Result::ok).find(|line| line.contains("WARN"));
    let warned = warned.expect("it warns");
    assert!(warned.contains("NIXFLEET_AGENT_TOKEN_FILE"), "{warned}");
    assert!(!warned.contains("secret-token"), "{warned}");
}

#[test]
fn a_dashboard_of_nixfleet_3_is_replaced_with_its_variables_and_its_agents_go_on() {
    let repo = ConfigRepo::new();
    let data = tempfile::tempdir().unwrap();
    let variables: Vec<(String, String)> = [
        ("NIXFLEET_PASSWORD_HASH", OLD_HASH),
        ("NIXFLEET_SESSION_SECRET", "a session secret of version 3, which is long enough"),
        ("NIXFLEET_AGENT_TOKEN", "the shared token of version 3"),
        ("NIXFLEET_SOURCE", repo.remote().to_str().unwrap()),
        ("NIXFLEET_FETCH_TTL", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (child, lines) = spawn(data.path(), "127.0.0.1:0", &variables);
    let _child = Ended(child);
    let url = expect(&lines, |line| line.split_once(" dashboard: ").map(|(_, url)| url.to_owned()));
    let user = Client::login(&url, "the old password");
    let old = repo.head();
    let mut agent = OldAgent::connect(&url, "the shared token of version 3", "web").unwrap();
    agent.generation = old;
    agent.lock_hash = Some(lock_hash(&repo));
    agent.register();
    agent.heartbeat();
    user.wait_for_row("web", "out ok ok out unk");
    let new = repo.push_change("the first change under version 4");
    user.wait_for_row("web", "out out ok out unk");
    let pull = user.start("web", "pull");
    agent.expect_command("pull");
    agent.output("HEAD is now at the head");
    agent.generation = new;
    agent.end("pull", 0);
    user.wait_for_state(&pull, "succeeded");
    user.wait_for_line(&pull, "HEAD is now at the head");
    let switch = user.start("web", "switch");
    agent.expect_command("switch");
    agent.end("switch", 0);
    // It exits, and its new version comes back.
    agent.hang_up();
    let mut agent = OldAgent::connect(&url, "the shared token of version 3", "web").unwrap();
    agent.generation = repo.head();
    agent.lock_hash = Some(lock_hash(&repo));
    agent.binary = ("source-2".to_owned(), "binary-2".to_owned());
    agent.register();
    agent.heartbeat();
    user.wait_for_state(&switch, "succeeded");
    // After its tests all is current but the agent, which is still old.
    user.start("web", "test");
    agent.expect_command("test");
    agent.output("fine");
    agent.end("test", 0);
    agent.heartbeat();
    user.wait_for_row("web", "out ok ok ok ok");
}

/// A process that is ended with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// bcrypt of "the old password", cost 4, as NixFleet 3 stored it.
const OLD_HASH: &str = "$2b$04$h/A9.OpolK4ktC5G4gd0B.oHIglWQn93TjW6fuFT4SbbonLxLeyh2";
