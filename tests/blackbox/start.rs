//! How the program starts, and how it refuses to.

use crate::support::dashboard::{expect, spawn};
use crate::support::{ConfigRepo, Dashboard, nixfleet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

fn dashboard(data: &Path, settings: &[(&str, &str)]) -> Output {
    nixfleet()
        .args(["--dashboard", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_first_start_makes_database_and_secrets_that_only_the_owner_can_read() {
    let dashboard = Dashboard::start(&[]);
    let mut names = Vec::new();
    for entry in fs::read_dir(dashboard.dir.path()).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode();
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
        names.push(name);
    }
    assert!(names.iter().any(|name| name == "nixfleet.db"), "{names:?}");
    let db = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), version > 0), ("wal", true));
}

#[test]
fn the_password_is_printed_at_the_first_start_only_and_lets_in_after_a_restart() {
    let mut dashboard = Dashboard::start(&[]);
    dashboard.kill_9();
    let (mut child, lines) = spawn(dashboard.dir.path(), "127.0.0.1:0", &[]);
    let url = expect(&lines, |line| {
        assert!(!line.contains("admin password"), "{line}");
        line.split_once(" dashboard: ").map(|(_, url)| url.to_owned())
    });
    crate::support::Client::login(&url, &dashboard.password);
    crate::support::kill_9(&mut child);
    let said: String = lines.iter().collect();
    assert!(!said.contains("admin password"), "{said}");
}

#[test]
fn the_first_answer_after_a_restart_has_every_host() {
    let mut dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    for n in 0..100 {
        let added = user.post("/api/hosts", &serde_json::json!({ "hostname": format!("host{n}") }));
        assert_eq!(added.status, 201, "{added:?}");
    }
    for _ in 0..3 {
        dashboard.kill_9();
        dashboard.start_again();
        let page = user.get("/").text;
        assert_eq!(page.matches("data-host=").count(), 100, "{}", &page[..page.len().min(2000)]);
        dashboard.kill_9();
        dashboard.start_again();
        let list = user.get("/api/hosts").json();
        assert_eq!(list.as_array().map(Vec::len), Some(100), "{list}");
    }
}

#[test]
fn health_needs_no_login_and_says_the_version() {
    let dashboard = Dashboard::start(&[]);
    let answer = crate::support::Client::visitor(&dashboard.url).get("/health");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["status"], "ok");
    assert_eq!(answer.json()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn help_names_every_role_and_version_is_one_line() {
    let help = nixfleet().arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for word in
        ["--dashboard", "--agent", "--demo", "--listen", "NIXFLEET_DATA_DIR", "NIXFLEET_TOKEN"]
    {
        assert!(text.contains(word), "{word} is missing in:\n{text}");
    }
    let version = nixfleet().arg("--version").output().unwrap();
    let expected = format!("nixfleet {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
}

#[test]
fn a_bad_setting_names_itself_and_what_was_expected_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value, expected) in [
        ("NIXFLEET_LISTEN", "here", "address"),
        ("NIXFLEET_FETCH_TTL", "soon", "seconds"),
        ("NIXFLEET_COMMAND_RETENTION_DAYS", "-1", "days"),
        ("NIXFLEET_PASSWORD_HASH", "secret", "argon2"),
        ("NIXFLEET_BASE_URL", "nixfleet", "http"),
    ] {
        let mut command = nixfleet();
        command.args(["--dashboard", "--data-dir"]).arg(dir.path()).env(name, value);
        let output = command.output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        assert!(text.contains(name), "{name} is not named: {text}");
        assert!(text.contains(expected), "{name}: {expected:?} is not in {text:?}");
    }
}

#[test]
fn an_agent_without_its_settings_names_the_missing_one_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let all = [
        ("NIXFLEET_URL", "http://127.0.0.1:1"),
        ("NIXFLEET_TOKEN", "t"),
        ("NIXFLEET_REPO_URL", "/nowhere"),
    ];
    for missing in 0..all.len() {
        let rest = all.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, pair)| *pair);
        let output =
            nixfleet().args(["--agent", "--state-dir", state]).envs(rest).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(all[missing].0), "{}", stderr(&output));
    }
}

#[test]
fn no_role_is_an_error_that_says_which_roles_there_are() {
    let output = nixfleet().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--dashboard"), "{}", stderr(&output));
}

#[test]
fn a_second_dashboard_on_the_same_data_is_refused() {
    let first = Dashboard::start(&[]);
    let second = dashboard(first.dir.path(), &[]);
    assert!(!second.status.success());
    assert!(stderr(&second).contains("another dashboard"), "{}", stderr(&second));
}

#[test]
fn a_port_in_use_is_named() {
    let first = Dashboard::start(&[]);
    let address = first.url.strip_prefix("http://").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = nixfleet();
    command.args(["--dashboard", "--listen", address, "--data-dir"]).arg(dir.path());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains(address), "{}", stderr(&output));
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nixfleet.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE future (x); PRAGMA user_version = 9999;").unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    let output = dashboard(dir.path(), &[]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("newer"), "{}", stderr(&output));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_corrupt_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nixfleet.db");
    fs::write(&path, "this is no database, but it may be somebody's only copy of something")
        .unwrap();
    let before = fs::read(&path).unwrap();
    let output = dashboard(dir.path(), &[]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("nixfleet.db"), "{}", stderr(&output));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let output = dashboard(&file.join("data"), &[]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains(file.to_str().unwrap()), "{}", stderr(&output));
}

/// Every file below a directory with its content, and when it was changed.
fn files(dir: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let read = files.map(|entry| {
        let changed = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap(), changed)
    });
    let mut files: Vec<_> = read.collect();
    files.sort();
    files
}

fn check(data: &Path, settings: &[(&str, &str)]) -> (bool, String) {
    let mut command = nixfleet();
    command.args(["--dashboard", "--check", "--data-dir"]).arg(data);
    let output = command.envs(settings.iter().copied()).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_dashboard_says_what_it_would_work_with_and_changes_nothing() {
    let repo = ConfigRepo::new();
    let (remote, empty) = (repo.remote(), tempfile::tempdir().unwrap());
    let source = ("NIXFLEET_SOURCE", remote.to_str().unwrap());
    let free = ("NIXFLEET_LISTEN", "127.0.0.1:0");
    let data = empty.path().join("not there yet");
    let (works, said) = check(&data, &[source, free]);
    assert!(works && said.lines().all(|line| line.starts_with("ok ")), "{said}");
    for part in ["will be made", "a password will be made", "is free", "source default: main is at"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!data.exists());

    // Beside one that runs, with its address and directory.
    let mut dashboard = Dashboard::start(&[source]);
    let data = dashboard.dir.path().to_owned();
    let listen = dashboard.url.strip_prefix("http://").unwrap().to_owned();
    let (works, said) = check(&data, &[source, ("NIXFLEET_LISTEN", &listen)]);
    assert!(works && said.matches("a dashboard").count() == 3, "{said}");
    dashboard.kill_9();
    let before = files(&data);
    let (works, said) = check(&data, &[source, free]);
    assert!(works && said.contains("nixfleet.db can be used"), "{said}");
    assert_eq!(files(&data), before);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fs::write(data.join("password-hash"), "secret").unwrap();
    for log in ["nixfleet.db-wal", "nixfleet.db-shm"] {
        fs::remove_file(data.join(log)).unwrap();
    }
    fs::write(data.join("nixfleet.db"), "this is no database, and it is long enough to see that")
        .unwrap();
    let wrong = [
        ("NIXFLEET_SOURCE", "/nowhere.git"),
        ("NIXFLEET_LISTEN", address.as_str()),
        ("NIXFLEET_TOTP_SECRET", "x"),
    ];
    let (works, said) = check(&data, &wrong);
    assert!(!works, "{said}");
    for name in ["secrets", "database", "address", "source default"] {
        assert!(said.contains(&format!("wrong   {name}: ")), "{name}: {said}");
    }
    let (works, said) = check(&data, &[("NIXFLEET_BASE_URL", "nonsense")]);
    assert!(!works && said.contains("wrong   settings: --base-url"), "{said}");
    let (works, said) = check(&data, &[("NIXFLEET_PASSWORD_HASH_FILE", "/nowhere")]);
    assert!(!works && said.contains("wrong   settings: NIXFLEET_PASSWORD_HASH_FILE"), "{said}");
    let (works, said) = check(Path::new("/dev/null/x"), &[free]);
    assert!(!works && said.contains("wrong   data directory: "), "{said}");
}
