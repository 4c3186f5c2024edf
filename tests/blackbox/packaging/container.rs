//! The container: what its files say is what the program takes.

use super::root;
use crate::support::wait_until;
use std::fs;
use std::process::{Command, Stdio};

/// The variables that a Dockerfile sets.
fn variables() -> Vec<(String, String)> {
    let file = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let lines = file.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs = lines.flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Its last steps, by hand: the variables of the image, its command and its health check. Where it
/// listens and keeps its data is this machine's.
#[test]
fn the_dashboard_starts_as_the_container_starts_it_and_is_healthy() {
    let file = fs::read_to_string(root().join("Dockerfile")).unwrap();
    for part in [
        "\nUSER 10001\n",
        "VOLUME /var/lib/nixfleet",
        "ENTRYPOINT [\"/usr/local/bin/nixfleet\"]",
        "CMD [\"--dashboard\"]",
    ] {
        assert!(file.contains(part), "no {part:?}");
    }
    let data = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ours = |value: &str| {
        let value = value.replace("/var/lib/nixfleet", data.path().to_str().unwrap());
        value.replace("8000", &port.to_string())
    };
    let mut command = crate::support::nixfleet();
    command.arg("--dashboard").stdout(Stdio::null()).env_remove("HOME");
    for (name, value) in variables() {
        command.env(name, ours(&value));
    }
    let mut child = command.spawn().unwrap();
    let check = file.split_once("HEALTHCHECK ").unwrap().1.lines().next().unwrap();
    let check = ours(check.split_once("CMD ").unwrap().1);
    wait_until("it is healthy", || {
        let asked = Command::new("sh").args(["-c", &check]).output().unwrap();
        if asked.status.success() { Ok(()) } else { Err(asked) }
    });
    assert!(data.path().join("nixfleet.db").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let asked = Command::new("sh").args(["-c", &check]).output().unwrap();
    assert!(!asked.status.success(), "{asked:?}");
}

#[test]
fn the_compose_file_runs_it_without_rights_and_with_a_volume() {
    let file = fs::read_to_string(root().join("compose.yaml")).unwrap();
    for part in [
        "read_only: true",
        "cap_drop: [ALL]",
        "no-new-privileges:true",
        "\"127.0.0.1:8000:8000\"",
        "data:/var/lib/nixfleet",
    ] {
        assert!(file.contains(part), "no {part:?}");
    }
}
