//! Dashboards that do not answer, or not as one does; tokens and settings that are wrong.

use super::{Fleet, Ran, plain};
use crate::support::Web;
use crate::support::web::Reply;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_dashboard_that_cannot_be_reached_ends_with_4() {
    let home = tempfile::tempdir().unwrap();
    let ask = |url: &str, arguments: &str| {
        let mut command = plain(home.path(), arguments);
        command.env("NIXFLEET_URL", url).env("NIXFLEET_API_TOKEN", "t");
        Ran::of(command)
    };
    // A port that nobody listens on: one that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for arguments in ["status", "hosts", "pull web --wait", "update --all", "events", "logs web -f"]
    {
        let away = format!("http://{free}");
        if !arguments.ends_with("-f") {
            ask(&away, arguments).ends_with_code(4).complains(&away);
        }
    }
    let page = Web::new(|_| Reply::ok("<html>a page</html>"));
    ask(&page.url, "hosts").ends_with_code(4).complains("not understood");
    let redirect = Web::new(|_| {
        Reply::Answer(302, vec![("location", "http://elsewhere.example".into())], String::new())
    });
    ask(&redirect.url, "hosts").ends_with_code(4).complains("302");
    let json = ask(&redirect.url, "hosts --json").ends_with_code(4).json();
    assert_eq!(json["error"]["code"], "no_answer", "{json}");
    let cut = Web::new(|_| Reply::Cut);
    ask(&cut.url, "switch web").ends_with_code(4).complains("Whether it was taken is not known");
    // Nobody asks twice for a change.
    let [asked] = &cut.heard()[..] else { panic!("{:?}", cut.heard()) };
    assert_eq!(
        (asked.method.as_str(), asked.headers["authorization"].as_str()),
        ("POST", "Bearer t")
    );
    assert_eq!(asked.body, r#"{"hosts":["web"],"op":"switch","queue":false}"#);
}

#[test]
fn a_wrong_token_is_refused_and_goes_to_no_other_address() {
    let fleet = Fleet::new(&[]);
    let mut command = fleet.command("status");
    command.env("NIXFLEET_API_TOKEN", "wrong");
    Ran::of(command).ends_with_code(3).complains("NIXFLEET_API_TOKEN");
    let mut command = fleet.command("pull web");
    command.env("NIXFLEET_API_TOKEN", "wrong");
    Ran::of(command).ends_with_code(3);
    let reads = fleet.user.post("/api/tokens", &json!({ "name": "reads" })).json();
    for (arguments, code) in [("status", 0), ("pull web", 3), ("update --all", 3)] {
        let mut command = fleet.command(arguments);
        command.env("NIXFLEET_API_TOKEN", reads["token"].as_str().unwrap());
        Ran::of(command).ends_with_code(code);
    }
    let mut command = fleet.command("status");
    command.env("NIXFLEET_API_TOKEN", "two words");
    Ran::of(command).ends_with_code(64).complains("one word");
}

#[test]
fn bad_usage_ends_with_64_and_help_with_0() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/nixfleet/client.env");
    for (arguments, part) in [
        ("pull", "<HOST"),
        ("pull web --all", "--all"),
        ("logs", "HOST|COMMAND"),
        ("rollout", "Usage"),
        ("events -n 0", "0"),
        ("status --nonsense", "--nonsense"),
        ("status --url nonsense", "--url / NIXFLEET_URL: expected an address"),
        ("status", "NIXFLEET_URL: expected the dashboard's address"),
        ("status", file.to_str().unwrap()),
        ("status --url http://localhost:1", "NIXFLEET_API_TOKEN or NIXFLEET_API_TOKEN_FILE"),
        ("status --config /nowhere", "/nowhere"),
    ] {
        Ran::of(plain(home.path(), arguments)).ends_with_code(64).complains(part);
    }
    Ran::of(plain(home.path(), "status --help")).ends_with_code(0).says("--check");
    // What is no command against a dashboard keeps its own code.
    Ran::of(plain(home.path(), "--dashboard --nonsense")).ends_with_code(2);
}

#[test]
fn address_and_token_come_from_a_flag_the_environment_or_a_file() {
    let fleet = Fleet::new(&[]);
    let file = fleet.home.path().join(".config/nixfleet/client.env");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let write = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (url, token) = (&fleet.dashboard.url, &fleet.token);
    // As agents have the address, too.
    let socket = url.replacen("http", "ws", 1) + "/ws";
    write(&format!("# mine\nNIXFLEET_URL=\"{socket}\"\nNIXFLEET_API_TOKEN='{token}'\n"), 0o600);
    let ran = Ran::of(plain(fleet.home.path(), "status")).ends_with_code(0).says("0 hosts");
    assert_eq!(ran.err, "");
    write(&format!("NIXFLEET_URL={url}\nNIXFLEET_API_TOKEN={token}\n"), 0o644);
    let ran = Ran::of(plain(fleet.home.path(), "status")).ends_with_code(0);
    ran.complains("everybody on this machine can read the token");
    // The environment wins over the file, a flag over both.
    let mut command = plain(fleet.home.path(), "status");
    Ran::of({
        command.env("NIXFLEET_API_TOKEN", "wrong");
        command
    })
    .ends_with_code(3);
    let mut command = plain(fleet.home.path(), &format!("status --url {url}"));
    Ran::of({
        command.env("NIXFLEET_URL", "http://127.0.0.1:1");
        command
    })
    .ends_with_code(0);
    let secret = fleet.home.path().join("token");
    fs::write(&secret, format!("{token}\n")).unwrap();
    let mut command = plain(fleet.home.path(), "status");
    Ran::of({
        command.env("NIXFLEET_API_TOKEN_FILE", &secret);
        command
    })
    .ends_with_code(0);
    write("NIXFLEET_TOKEN=x\n", 0o600);
    Ran::of(plain(fleet.home.path(), "status")).ends_with_code(64).complains("got NIXFLEET_TOKEN");
    write("free text\n", 0o600);
    Ran::of(plain(fleet.home.path(), "status")).ends_with_code(64).complains("line 1");
}

#[test]
fn nothing_that_a_dashboard_says_is_obeyed_by_a_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mevil\u{202e}";
    let text = serde_json::to_string(evil).unwrap();
    let web = Web::new(move |request| {
        let verdict = format!(r#"{{"status":"error","message":{text}}}"#);
        let host = format!(
            r#"{{"host_id":{text},"hostname":{text},"online":true,"pending_command":null,
            "busy_with":{text},"update_status":{{"git":{verdict}}}}}"#
        );
        let event = format!(
            r#"{{"id":1,"at":{text},"host_id":{text},"category":{text},"message":{text},"by":{text}}}"#
        );
        match request.path.split('?').next().unwrap() {
            "/api/hosts" => Reply::ok(format!("[{host}]")),
            "/api/version" => Reply::ok(format!(r#"{{"version":{text}}}"#)),
            "/api/desired" => {
                Reply::ok(format!(r#"[{{"source":{text},"state":{text},"error":{text}}}]"#))
            }
            "/api/events" => Reply::ok(format!("[{event}]")),
            "/api/commands" => Reply::ok(format!(
                r#"[{{"host_id":{text},"error":{{"code":{text},"message":{text}}}}}]"#
            )),
            path if path.ends_with("/output") => {
                Reply::ok(format!(r#"{{"seq":1,"stream":"stdout","text":{text}}}"#))
            }
            _ => Reply::Answer(
                409,
                Vec::new(),
                format!(r#"{{"error":{{"code":{text},"message":{text}}}}}"#),
            ),
        }
    });
    let home = tempfile::tempdir().unwrap();
    let id = "0190a5c4-0000-7000-8000-000000000000";
    for arguments in
        ["status", "hosts", "hosts x", "pull x", "update x", "events", &format!("logs {id}")]
    {
        for json in ["", " --json"] {
            let mut command = plain(home.path(), &format!("{arguments}{json}"));
            command.env("NIXFLEET_URL", &web.url).env("NIXFLEET_API_TOKEN", "t");
            let ran = Ran::of(command);
            assert!(ran.out.contains("evil") || ran.err.contains("evil"), "{arguments}: {ran:?}");
            let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!ran.out.contains(obeyed) && !ran.err.contains(obeyed), "{arguments}: {ran:?}");
        }
    }
}
