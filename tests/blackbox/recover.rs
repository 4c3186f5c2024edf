//! The way back in: a hash for the settings, a new password, recovery codes.

use crate::support::{Client, Dashboard, nixfleet};
use std::io::Write;
use std::process::Stdio;

/// `nixfleet hash-password` with something piped in.
fn hash_of(typed: &str) -> (bool, String, String) {
    let mut child = nixfleet()
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let told = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (told.status.success(), text(told.stdout), text(told.stderr))
}

#[test]
fn a_password_is_hashed_from_standard_input_and_lets_in() {
    let (done, hash, told) = hash_of("correct horse battery\n");
    assert!(done, "{told}");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    let dir = tempfile::tempdir().unwrap();
    let settings = [("NIXFLEET_PASSWORD_HASH".to_owned(), hash.trim().to_owned())];
    let (mut child, lines) = crate::support::dashboard::spawn(dir.path(), "127.0.0.1:0", &settings);
    let url = crate::support::dashboard::expect(&lines, |line| {
        line.split_once(" dashboard: ").map(|(_, url)| url.to_owned())
    });
    assert_eq!(Client::visitor(&url).try_login("correct horse battery").status, 303);
    crate::support::kill_9(&mut child);
    for (typed, expected) in [("", "got nothing"), ("short\n", "12 to 256 characters")] {
        let (done, hash, told) = hash_of(typed);
        assert!(!done && hash.is_empty() && told.contains(expected), "{typed:?}: {hash} {told}");
    }
}

#[test]
fn a_forgotten_password_is_reset_on_the_machine_itself_and_every_session_ends() {
    let mut dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let dir = dashboard.dir.path().to_owned();
    let reset = || {
        let mut command = nixfleet();
        command.args(["--dashboard", "--reset-password", "--data-dir"]).arg(&dir);
        command.output().unwrap()
    };
    let refused = reset();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("in use"), "{told}");
    dashboard.kill_9();
    let done = reset();
    assert!(done.status.success(), "{done:?}");
    let told = String::from_utf8(done.stdout).unwrap();
    let password = told.lines().find_map(|line| line.strip_prefix("admin password: ")).unwrap();
    dashboard.start_again();
    assert_eq!(user.get("/api/hosts").status, 401);
    let visitor = Client::visitor(&dashboard.url);
    assert_eq!(visitor.try_login(&dashboard.password).status, 401);
    assert_eq!(visitor.try_login(password).status, 303);
    let user = Client::login(&dashboard.url, password);
    assert!(user.get("/api/events").text.contains("was reset on the machine itself"));
    let mut fixed = nixfleet();
    fixed.args(["--dashboard", "--reset-password", "--data-dir"]).arg(&dir);
    let fixed = fixed.env("NIXFLEET_PASSWORD_HASH", "x").output().unwrap();
    assert!(String::from_utf8_lossy(&fixed.stderr).contains("NIXFLEET_PASSWORD_HASH"));
}

/// What a page shows once.
fn secret_of(page: &str) -> String {
    let (_, rest) = page.split_once("id=\"new-secret\"").unwrap_or_else(|| panic!("{page}"));
    rest.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0.to_owned()
}

#[test]
fn a_recovery_code_stands_in_for_a_lost_phone_once() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let offered = user.post_form("/settings/totp/new", &[]).text;
    let (_, rest) = offered.split_once("id=\"totp-secret\">").unwrap();
    let secret = rest.split_once('<').unwrap().0.to_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let totp = totp_rs::Secret::try_from_base32(&secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(totp).build().unwrap();
    let code = totp.generate(now.as_secs()).to_string();
    let form = [("secret", secret.as_str()), ("code", code.as_str())];
    let codes = secret_of(&user.post_form("/settings/totp/on", &form).text);
    let codes: Vec<&str> = codes.lines().collect();
    assert_eq!(codes.len(), 10);
    let database = dashboard.dir.path().join("nixfleet.db");
    let stored = [database.clone(), database.with_extension("db-wal")];
    for file in stored.iter().filter_map(|path| std::fs::read(path).ok()) {
        for code in [codes[0].to_owned(), codes[0].replace('-', "")] {
            let code = code.as_bytes();
            let is_there = file.windows(code.len()).any(|window| window == code);
            assert!(!is_there, "only hashes are stored");
        }
    }
    let login = |code: &str| {
        let visitor = Client::visitor(&dashboard.url);
        visitor.try_login(&format!("{}&totp={code}", dashboard.password)).status
    };
    assert_eq!(login("aaaaa-aaaaa-aaaaa-aaaaa"), 401);
    assert_eq!(login(codes[0]), 303);
    assert_eq!(login(codes[0]), 401, "each works once");
    assert_eq!(login(&codes[1].replace('-', "").to_uppercase()), 303, "however it is typed");
    assert!(user.get("/settings").text.contains("8 recovery codes left"));
    // New ones need a code too; the old ones are gone then.
    let refused = user.post_form("/settings/totp/recovery", &[("code", "000000")]);
    assert_eq!(refused.status, 422);
    let fresh = user.post_form("/settings/totp/recovery", &[("code", codes[2])]).text;
    let fresh = secret_of(&fresh);
    assert_eq!(login(codes[3]), 401);
    let last = fresh.lines().next().unwrap();
    assert_eq!(user.post_form("/settings/totp/off", &[("code", last)]).status, 200);
    assert_eq!(Client::visitor(&dashboard.url).try_login(&dashboard.password).status, 303);
}
