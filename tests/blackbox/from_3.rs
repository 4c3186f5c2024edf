//! Coming from NixFleet 3, step by step as docs/FROM_NIXFLEET_3.md says.

use crate::support::dashboard::{expect, spawn};
use crate::support::{Agent, Client, ConfigRepo, OldAgent, nixfleet, wait_until};
use serde_json::json;
use std::fs;
use std::process::Command;

/// A shared token and a one-time secret of 16 letters, as NixFleet 3 took them.
const SHARED: &str = "the-shared-token-of-3.x";
const SHORT_TOTP: &str = "JBSWY3DPEHPK3PXP";
/// "correct horse battery", as bcrypt writes it; made here, because it has a salt.
const PASSWORD: &str = "correct horse battery";

#[test]
fn every_step_of_the_way_from_nixfleet_3_works() {
    let repo = ConfigRepo::new();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Step 1: the old variables, as files of the form that 3.x had them in, with quotes and without.
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let settings = [
        ("NIXFLEET_SOURCE".to_owned(), repo.remote().to_str().unwrap().to_owned()),
        (
            "NIXFLEET_PASSWORD_HASH_FILE".to_owned(),
            file("hash", &format!("NIXFLEET_PASSWORD_HASH='{hash}'\n")),
        ),
        (
            "NIXFLEET_TOTP_SECRET_FILE".to_owned(),
            file("totp", &format!("NIXFLEET_TOTP_SECRET={SHORT_TOTP}\n")),
        ),
        (
            "NIXFLEET_SESSION_SECRET_FILE".to_owned(),
            file(
                "session",
                "# made by openssl\nNIXFLEET_SESSION_SECRET=\"0123456789abcdef0123456789abcdef\"\n",
            ),
        ),
        (
            "NIXFLEET_AGENT_TOKEN_FILE".to_owned(),
            file("shared", &format!("NIXFLEET_AGENT_TOKEN={SHARED}\n")),
        ),
        ("NIXFLEET_FETCH_TTL".to_owned(), "1".to_owned()),
    ];
    // Steps 2 and 3: the new dashboard.
    let data = tempfile::tempdir().unwrap();
    let (child, lines) = spawn(data.path(), "127.0.0.1:0", &settings);
    let _dashboard = Ends(child);
    let url = expect(&lines, |line| line.split_once(" dashboard: ").map(|(_, url)| url.to_owned()));
    let user = login_with_short_code(&url);
    // Step 4: the old agents find it by themselves, with the shared token.
    let head = repo.head();
    assert!(OldAgent::connect(&url, "another token", "web").is_err());
    let mut old = OldAgent::connect(&url, SHARED, "web").expect("the shared token lets it in");
    old.generation = head;
    old.register();
    old.heartbeat();
    user.wait_for_saying("web", "agent", "3.1.5");
    user.wait_for_saying("web", "git", "is the head of origin/main");
    assert!(user.row("web").starts_with("out ok "), "{}", user.row("web"));
    // Step 5: the switch brings an agent of 4.0, with the token file that was there already.
    old.hang_up();
    user.wait_for_offline("web");
    let token = file("token", &format!("NIXFLEET_TOKEN=\"{SHARED}\"\n"));
    let more = [("NIXFLEET_TOKEN", ""), ("NIXFLEET_TOKEN_FILE", token.as_str())];
    let agent = Agent::start_with(&url, "web", &repo.remote(), &more);
    user.wait_for_saying("web", "agent", "Agent 4.0.0, as the dashboard.");
    // Step 6: it gets a token of its own, in the same file; then the shared one opens it no more.
    let renewed = user.post("/api/hosts/web/token", &json!({}));
    assert_eq!(renewed.status, 201, "{renewed:?}");
    let own = renewed.json()["token"].as_str().unwrap().to_owned();
    fs::write(&token, format!("NIXFLEET_TOKEN={own}\n")).unwrap();
    drop(agent);
    user.wait_for_offline("web");
    let _agent = Agent::start_with(&url, "web", &repo.remote(), &more);
    user.wait_for_online("web");
}

struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn login_with_short_code(url: &str) -> Client {
    let secret = totp_rs::Secret::try_from_base32(SHORT_TOTP).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Client::login(
        url,
        &format!("{}&totp={}", PASSWORD.replace(' ', "+"), totp.generate(now.as_secs())),
    )
}

/// Finding 57.
#[test]
fn a_short_one_time_secret_is_taken_with_a_warning_57() {
    let data = tempfile::tempdir().unwrap();
    let mut child = nixfleet()
        .args(["--dashboard", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .env("NIXFLEET_TOTP_SECRET", SHORT_TOTP)
        .stderr(fs::File::create(data.path().join("log")).unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("it warns", || {
        let log = fs::read_to_string(data.path().join("log")).unwrap();
        if log.contains("NIXFLEET_TOTP_SECRET") && log.contains("80 bits") {
            Ok(())
        } else {
            Err(log)
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Finding 57.
#[test]
fn the_database_of_nixfleet_3_in_the_way_is_left_alone_and_named_57() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("nixfleet.db");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch("CREATE TABLE hosts (id TEXT PRIMARY KEY, hostname TEXT NOT NULL)").unwrap();
    drop(old);
    let before = fs::read(&file).unwrap();
    let mut command: Command = nixfleet();
    command.args(["--dashboard", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [file.to_str().unwrap(), "NixFleet 3", "nothing was changed", "move the file away"]
    {
        assert!(said.contains(part), "no {part:?}: {said}");
    }
    assert_eq!(fs::read(&file).unwrap(), before);
}

/// Finding 53.
#[test]
fn an_old_name_is_refused_with_its_new_one() {
    for (name, new) in
        [("NIXFLEET_VERSION_URL", "NIXFLEET_SOURCE"), ("NIXFLEET_DB_PATH", "NIXFLEET_DATA_DIR")]
    {
        let output = nixfleet().arg("--dashboard").env(name, "x").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(name) && said.contains(new), "{said}");
    }
}
