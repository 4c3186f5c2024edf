//! Whoever proves nothing gets little: of memory, of connections, of the database and of the log.

use crate::support::flood::{Memory, RawLink, closes, until_closed};
use crate::support::{
    Client, Dashboard, OldAgent, PATIENCE, Stopwatch, wait_until, within_a_minute,
};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

/// Sends the beginning of a request and no more.
fn begin(dashboard: &Dashboard, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(dashboard.url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// What comes until the other side closes.
fn answer(mut stream: TcpStream, within: Duration) -> String {
    let came = until_closed(&mut stream, within).expect("it is closed");
    String::from_utf8_lossy(&came).into_owned()
}

fn events(user: &Client, category: &str) -> Vec<String> {
    let events = user.get(&format!("/api/events?category={category}&limit=1000")).json();
    let messages = events.as_array().unwrap().iter();
    messages.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn refused_logins_are_one_row_a_minute_and_address_2() {
    let told = within_a_minute(|| {
        let dashboard = Dashboard::start(&[]);
        let visitor = Client::visitor(&dashboard.url);
        for _ in 0..200 {
            let refused = visitor.post_form("/login", &[("password", "x")]);
            assert_eq!(refused.status, 403, "{refused:?}");
        }
        events(&dashboard.login(), "login")
    });
    assert_eq!(told.iter().filter(|text| text.contains("failed")).count(), 1, "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn refused_agents_are_one_line_of_the_log_a_minute_and_address_19() {
    let (text, told) = within_a_minute(|| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let path = log.path().to_str().unwrap();
        let dashboard = Dashboard::start(&[("STDERR_TO", path)]);
        let user = dashboard.login();
        for _ in 0..100 {
            assert_eq!(OldAgent::connect(&dashboard.url, "wrong", "web").err(), Some(401));
        }
        for _ in 0..40 {
            let mut link = OldAgent::connect(&dashboard.url, crate::support::dashboard::TOKEN, "x")
                .expect("the token is right");
            link.send("register", &json!({ "hostname": "../etc" }));
            assert_eq!(link.expect_close().0, 1008);
        }
        (std::fs::read_to_string(log.path()).unwrap(), events(&user, "protocol"))
    });
    assert_eq!(text.matches("refused").count(), 1, "{text}");
    assert!(told.len() <= 21, "{told:?}");
}

#[test]
fn what_was_refused_is_told_to_the_last_one_when_the_dashboard_stops_2_19() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut dashboard = Dashboard::start(&[("STDERR_TO", log.path().to_str().unwrap())]);
    let visitor = Client::visitor(&dashboard.url);
    for _ in 0..5 {
        assert_eq!(visitor.post_form("/login", &[("password", "x")]).status, 403);
        assert_eq!(OldAgent::connect(&dashboard.url, "wrong", "web").err(), Some(401));
    }
    dashboard.stop();
    let text = std::fs::read_to_string(log.path()).unwrap();
    assert!(text.contains("4 more links of agents from 127.0.0.1 were refused"), "{text}");
    dashboard.start_again();
    let told = events(&dashboard.login(), "login");
    assert!(told.contains(&"4 more logins from 127.0.0.1 failed.".to_owned()), "{told:?}");
}

#[test]
fn a_webhook_is_not_read_where_there_are_none_nor_without_a_signature_3() {
    let off = Dashboard::start(&[]);
    let on = Dashboard::start(&[("NIXFLEET_HOOK_SECRET", "a-secret-of-hooks")]);
    let head = "POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 5242880\r\n";
    for (dashboard, header, status) in [
        (&off, "", "404"),
        (&off, "X-Hub-Signature-256: sha256=00\r\n", "404"),
        (&on, "", "401"),
        (&on, "X-Hub-Signature-256: sha256=zz\r\n", "401"),
    ] {
        let (memory, before) = Memory::watch(dashboard);
        let streams: Vec<TcpStream> = (0..20)
            .map(|_| {
                let mut stream = begin(dashboard, &format!("{head}{header}\r\n"));
                // It may be closed by now.
                let _ = stream.write_all(&vec![b'x'; 100_000]);
                stream
            })
            .collect();
        for stream in streams {
            let told = answer(stream, Duration::from_secs(25));
            assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
        }
        let grown = memory.peak().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB");
    }
}

#[test]
fn a_webhook_with_a_right_signature_is_taken_and_with_a_wrong_one_not() {
    use hmac::{Hmac, KeyInit, Mac};
    let dashboard = Dashboard::start(&[("NIXFLEET_HOOK_SECRET", "a-secret-of-hooks")]);
    let body = format!("{{\"filler\":\"{}\"}}", "x".repeat(200_000));
    for (secret, status) in [("a-secret-of-hooks", "204"), ("another", "401")] {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let digest = mac.finalize().into_bytes();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let length = body.len();
        let head = format!(
            "POST /hooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             X-Hub-Signature-256: sha256={hex}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let told = answer(begin(&dashboard, &head), Duration::from_secs(30));
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
    }
}

#[test]
fn a_body_that_is_packed_is_refused_3() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let cookie = user.cookie();
    for (path, status) in [("/login", "400"), ("/api/hosts", "401"), ("/settings/password", "303")]
    {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n\
             Content-Length: 2\r\n\r\n\x1f\x08"
        );
        let told = answer(begin(&dashboard, &head), Duration::from_secs(30));
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {told}");
    }
    let head = format!(
        "POST /settings/password HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {cookie}\r\n\
         Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x08"
    );
    let told = answer(begin(&dashboard, &head), Duration::from_secs(30));
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
}

/// Answers a body of so many bytes, all of which come: its length is said before, or it is not.
fn told_of_a_body(dashboard: &Dashboard, head: &str, bytes: usize, is_said: bool) -> String {
    let body = "x".repeat(bytes);
    let request = if is_said {
        format!("{head}Content-Length: {bytes}\r\n\r\n{body}")
    } else {
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n")
    };
    let mut stream = TcpStream::connect(dashboard.url.strip_prefix("http://").unwrap()).unwrap();
    // It may be refused before all of it was sent.
    let _ = stream.write_all(request.as_bytes());
    // What was refused unread ends the connection roughly: the status comes first.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut status = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut status).expect("an answer");
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[test]
fn a_body_beyond_its_bound_is_413_whether_its_length_is_said_or_not_3() {
    let dashboard = Dashboard::start(&[("NIXFLEET_HOOK_SECRET", "a-secret-of-hooks")]);
    let user = dashboard.login();
    let api = user.post("/api/tokens", &json!({ "name": "a", "scope": "admin" })).json();
    let token = format!("Authorization: Bearer {}\r\n", api["token"].as_str().unwrap());
    let session = format!("Cookie: {}\r\n", user.cookie());
    for (path, proof, most, otherwise) in [
        ("/login", "", 8 << 10, "400"),
        ("/api/hosts", token.as_str(), 64 << 10, "400"),
        ("/settings/password", session.as_str(), 256 << 10, "403"),
        ("/hooks/github", "X-Hub-Signature-256: sha256=00\r\n", 5 << 20, "401"),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{proof}");
        for is_said in [true, false] {
            let status = told_of_a_body(&dashboard, &head, most, is_said);
            assert_eq!(status, otherwise, "{path}: as much as may be, said: {is_said}");
            let status = told_of_a_body(&dashboard, &head, most + 1, is_said);
            assert_eq!(status, "413", "{path}: one byte more, said: {is_said}");
        }
    }
}

#[test]
fn a_body_that_does_not_come_is_given_up_and_pages_answer_meanwhile_3() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let began = Stopwatch::start();
    let waiting: Vec<TcpStream> = (0..700)
        .map(|n| {
            let path = ["/login", "/api/hosts", "/settings/password", "/nothing"][n % 4];
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx");
            begin(&dashboard, &head)
        })
        .collect();
    assert_eq!(user.get("/").status, 200);
    assert_eq!(user.get("/api/hosts").status, 200);
    let told: Vec<String> = waiting.into_iter().map(|stream| answer(stream, PATIENCE)).collect();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    let of = |status: &str| told.iter().filter(|text| text.contains(status)).count();
    assert!(of("HTTP/1.1 408") <= 16, "places of one address");
    assert!(of("HTTP/1.1 408") >= 8 && of("HTTP/1.1 503") >= 100, "{}", of("HTTP/1.1 408"));
    // And whoever logs in finds a place again.
    dashboard.login();
}

/// A proxy keeps its connections for a minute. One that the dashboard had just closed was a dashboard
/// that is down.
#[test]
fn a_connection_on_which_nothing_is_asked_is_kept() {
    let dashboard = Dashboard::start(&[]);
    let mut stream = begin(&dashboard, "GET /login HTTP/1.1\r\nHost: x\r\n\r\n");
    // It was closed after 5 s.
    let told = until_closed(&mut stream, Duration::from_secs(7));
    assert_eq!(told, None, "closed");
    stream.write_all(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let told = answer(stream, Duration::from_secs(30));
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
}

#[test]
fn a_link_that_never_registers_and_a_head_that_never_ends_are_closed_3() {
    let dashboard = Dashboard::start(&[]);
    let told = answer(begin(&dashboard, "GET / HTTP/1.1\r\nHo"), PATIENCE);
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    let mut link = OldAgent::connect(&dashboard.url, crate::support::dashboard::TOKEN, "web")
        .expect("the token is right");
    let (code, reason) = link.expect_close_patiently(Duration::from_secs(60));
    assert_eq!(code, 1008, "{reason}");
}

/// Asks for one page and answers the status; `header` says who asks.
fn status_of(dashboard: &Dashboard, path: &str, header: &str) -> u16 {
    let end = if header.is_empty() { "" } else { "\r\n" };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}{end}\r\n");
    let told = answer(begin(dashboard, &request), PATIENCE);
    let status = told.split_whitespace().nth(1).unwrap_or_default();
    status.parse().unwrap_or_else(|_| panic!("no status: {told}"))
}

#[test]
fn where_connections_are_few_who_is_somebody_is_let_in_and_whoever_says_so_is_not_3() {
    // 64 connections, of which eight are kept.
    let dashboard = Dashboard::start(&[("DESCRIPTORS", "192")]);
    let user = dashboard.login();
    let token = |answer: crate::support::client::Answer| {
        answer.json()["token"].as_str().expect("a token").to_owned()
    };
    let api = token(user.post("/api/tokens", &json!({ "name": "ci", "scope": "read" })));
    let host = token(user.post("/api/hosts", &json!({ "hostname": "web" })));
    let mut strangers = Vec::new();
    while status_of(&dashboard, "/login", "") != 503 {
        assert!(strangers.len() < 64, "everybody is let in");
        strangers.push(begin(&dashboard, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    assert!(strangers.len() > 40, "{} are few", strangers.len());
    for forged in ["Cookie: nixfleet_session=x", "Authorization: Bearer x"] {
        assert_eq!(status_of(&dashboard, "/api/version", forged), 503, "{forged}");
    }
    assert_eq!(OldAgent::connect(&dashboard.url, "x", "web").err(), Some(503));
    let session = format!("Cookie: {}", user.cookie());
    for known in [session, format!("Authorization: Bearer {api}")] {
        assert_eq!(status_of(&dashboard, "/api/version", &known), 200, "{known}");
    }
    assert!(OldAgent::connect(&dashboard.url, &host, "web").is_ok());
    drop(strangers);
    wait_until("strangers are let in again", || match status_of(&dashboard, "/login", "") {
        200 => Ok(()),
        other => Err(other),
    });
}

#[test]
fn a_link_that_goes_silent_is_closed() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let header = format!("Origin: {}\r\nCookie: {}", dashboard.url, user.cookie());
    let browser = RawLink::open(&dashboard.url, "/live", &header);
    let mut agent = RawLink::agent(&dashboard.url);
    agent.send(&json!({ "type": "register", "payload": { "hostname": "web" } }).to_string());
    user.wait_for_online("web");
    // Neither answers a ping.
    for (whose, mut link) in [("a browser's", browser), ("an agent's", agent)] {
        assert!(closes(&mut link.stream), "{whose} goes on");
    }
    user.wait_for_offline("web");
}

#[test]
fn health_costs_no_transaction_22() {
    let dashboard = Dashboard::start(&[]);
    let (user, visitor) = (dashboard.login(), Client::visitor(&dashboard.url));
    let transactions = || -> u64 {
        let told = user.get("/metrics").text;
        let name = "nixfleet_sqlite_transaction_seconds_count ";
        let count = told.lines().find_map(|line| line.strip_prefix(name));
        count.expect("the count").parse().unwrap()
    };
    let (began, before) = (Instant::now(), transactions());
    for _ in 0..200 {
        assert_eq!(visitor.get("/health").status, 200);
    }
    let new = transactions() - before;
    // What the dashboard writes by itself, in its time: a trial every 10 s, and when it started.
    assert!(new <= 10 + began.elapsed().as_secs(), "{new}");
}

#[test]
fn a_database_that_others_may_read_is_so_no_longer_22() {
    let mut dashboard = Dashboard::start(&[]);
    let file = dashboard.dir.path().join("nixfleet.db");
    dashboard.kill_9();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    dashboard.start_again();
    for entry in std::fs::read_dir(dashboard.dir.path()).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{:?}: {mode:o}", entry.file_name());
    }
}

#[test]
fn an_https_address_is_the_only_one_for_browsers_22() {
    let head = "GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (url, told) in [("https://fleet.example.org", true), ("http://fleet.example.org", false)] {
        let dashboard = Dashboard::start(&[("NIXFLEET_BASE_URL", url)]);
        let answer = answer(begin(&dashboard, head), Duration::from_secs(30)).to_lowercase();
        assert_eq!(
            answer.contains("strict-transport-security: max-age=31536000"),
            told,
            "{answer}"
        );
    }
}

#[test]
fn escapes_and_what_reorders_text_reach_nobody_who_did_not_ask_18() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", "abc1234");
    agent
        .send("register", &json!({ "hostname": "web", "os_version": "26.05 \u{202e}lve\u{2066}" }));
    user.wait_for_online("web");
    let id = user.start("web", "pull");
    agent.expect_command("pull");
    agent.begin("pull");
    agent.heartbeat();
    agent.output("\u{1b}[31mred\u{1b}[0m \u{202e}txt.exe\u{1b}]0;title\u{7}");
    user.wait_for_line(&id, "red \u{fffd}txt.exe");
    let output = format!("/api/commands/{id}/output");
    let shown = [
        user.get(&output).text,
        user.get(&format!("{output}?format=jsonl")).text,
        user.get(&format!("/commands/{id}/log")).text,
        user.get("/hosts/web").text,
        user.get("/").text,
        user.get("/api/hosts").text,
    ];
    for text in shown {
        for hidden in ['\u{1b}', '\u{202e}', '\u{2066}', '\u{7}'] {
            assert!(!text.contains(hidden), "{hidden:?} in {text}");
            let escaped = format!("\\u{:04x}", hidden as u32);
            assert!(!text.contains(&escaped), "{escaped} in {text}");
        }
    }
    let raw = user.get(&format!("{output}?ansi=1")).text;
    assert!(raw.contains("\u{1b}[31mred"), "{raw:?}");
}

#[test]
fn searching_a_log_of_escapes_takes_a_bounded_time_and_keeps_nobody_waiting_4() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", "abc1234");
    user.wait_for_online("web");
    let id = user.start("web", "pull");
    agent.expect_command("pull");
    agent.begin("pull");
    agent.heartbeat();
    let line = "x".repeat(16_384) + &"\u{1b}[1K".repeat(100_000);
    for _ in 0..5 {
        agent.output(&line);
    }
    agent.output("the end");
    user.wait_for_line(&id, "the end");
    let began = Stopwatch::start();
    // They wait for one another, 10 s at most: three have time also where the machine stands still.
    let searches: Vec<_> = (0..3)
        .map(|_| {
            let (user, path) = (user.clone(), format!("/commands/{id}/log?q=nowhere"));
            thread::spawn(move || user.get(&path))
        })
        .collect();
    assert_eq!(user.get("/api/hosts").status, 200);
    assert_eq!(user.get(&format!("/commands/{id}/log")).status, 200);
    for search in searches {
        assert_eq!(search.join().unwrap().status, 200);
    }
    // Before: 7 s of each search, and 503 for everybody.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
}

/// A host of protocol 4, over a link of its own. Answers what the dashboard told it.
fn joins(
    dashboard: &Dashboard,
    name: &str,
    jobs: &serde_json::Value,
) -> (OldAgent, serde_json::Value) {
    let token = crate::support::dashboard::TOKEN;
    let mut link = OldAgent::connect(&dashboard.url, token, name).expect("the token is right");
    let payload = json!({ "hostname": name, "host_type": "nixos", "protocol": 4, "jobs": jobs });
    link.send("register", &payload);
    let told = link.receive();
    assert_eq!(told["type"], "registered", "{told}");
    (link, told["payload"].clone())
}

fn lines(id: &str, first: u64, texts: &[&str]) -> serde_json::Value {
    let lines: Vec<_> =
        texts.iter().map(|text| json!({ "stream": "stdout", "text": text })).collect();
    json!({ "command_id": id, "first_seq": first, "lines": lines })
}

#[test]
fn a_host_writes_nothing_into_a_command_of_another_one_7() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let (mut b, _) = joins(&dashboard, "b", &json!([]));
    user.wait_for_online("b");
    let id = user.start("b", "pull");
    assert_eq!(b.receive()["payload"]["command_id"], id.as_str());
    b.send("command_accepted", &json!({ "command_id": id }));
    b.send("output_batch", &lines(&id, 1, &["of b"]));
    user.wait_for_line(&id, "of b");
    let job = json!([{ "command_id": id, "op": "pull", "state": "finished", "last_seq": 0 }]);
    let (mut a, told) = joins(&dashboard, "a", &job);
    assert!(told["resume"].get(&id).is_none(), "{told}");
    a.send("output_batch", &lines(&id, 2, &["of a"]));
    a.send("status", &json!({ "command_id": id, "status": "error", "exit_code": 7, "seq": 3 }));
    a.send("heartbeat", &json!({ "command_id": id, "pending_command": "switch" }));
    a.send("command_accepted", &json!({ "command_id": id }));
    a.send("command_rejected", &json!({ "command_id": id, "reason": "no" }));
    let result =
        json!({ "command_id": id, "index": 1, "total": 1, "name": "of a", "outcome": "failed" });
    a.send("test_result", &result);
    wait_until("each is refused with an event", || {
        let told = events(&user, "protocol");
        let refused = told.iter().filter(|text| text.contains("another host's; refused")).count();
        if refused == 7 { Ok(()) } else { Err(told) }
    });
    b.send("output_batch", &lines(&id, 2, &["still of b"]));
    b.send("status", &json!({ "command_id": id, "status": "ok", "exit_code": 0, "seq": 3 }));
    user.wait_for_line(&id, "still of b");
    assert_eq!(user.output(&id), ["of b", "still of b"]);
    let story = user.command(&id);
    assert_eq!(story["host_id"], "b", "{story}");
    assert_ne!(story["exit_code"], 7, "{story}");
    assert_eq!(story["test_results"], json!([]));
    assert!(user.host("a")["pending_command"].is_null());
}

#[test]
fn what_one_host_makes_the_dashboard_store_is_bounded_9() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let made_up = |_| {
        let id = uuid::Uuid::now_v7().to_string();
        json!({ "command_id": id, "op": "switch", "state": "finished", "last_seq": 5 })
    };
    for _ in 0..3 {
        let jobs: Vec<_> = (0..400).map(made_up).collect();
        let (_, told) = joins(&dashboard, "web", &json!(jobs));
        assert_eq!(told["resume"].as_object().unwrap().len(), 256, "looked up in SQLite");
    }
    let long = "n".repeat(200_000);
    let token = crate::support::dashboard::TOKEN;
    let mut link = OldAgent::connect(&dashboard.url, token, "web").expect("the token is right");
    let generations: Vec<_> =
        (0..500).map(|n| json!({ "generation": n, "store_path": "/nix/store/x" })).collect();
    let payload = json!({
        "hostname": "web", "host_type": "nixos", "protocol": 4, "os_version": long, "branch": long,
        "repo_dir": format!("/{long}"), "generations": generations, "jobs": [],
    });
    link.send("register", &payload);
    link.receive();
    for n in 0..50 {
        let id = uuid::Uuid::now_v7().to_string();
        link.send("heartbeat", &json!({ "command_id": id, "pending_command": "switch", "n": n }));
    }
    let id = uuid::Uuid::now_v7().to_string();
    link.send("output_batch", &lines(&id, 1, &["of nothing"]));
    wait_until("all of it is handled", || {
        let told = events(&user, "protocol");
        if told.iter().any(|text| text.contains(&id)) { Ok(()) } else { Err(told) }
    });
    let commands = user.get("/api/hosts/web/commands?limit=500").json();
    assert_eq!(commands.as_array().unwrap().len(), 8, "unknown jobs that became commands");
    assert_eq!(user.get("/api/hosts/web/generations").json().as_array().unwrap().len(), 10);
    let page = user.get("/hosts/web").text;
    assert!(page.contains(&long[..200]) && !page.contains(&long[..201]));
    assert!(!user.get("/api/hosts").text.contains(&long[..201]));
    assert!(user.get("/").text.len() < 100_000);
    let told = events(&user, "protocol");
    for bound in [
        "jobs in a `register`",
        "jobs of a host that",
        "generations of a host",
        "a name,",
        "a path",
    ] {
        let of = told.iter().filter(|text| text.contains(&format!("bound. {bound}"))).count();
        assert_eq!(of, 1, "{bound}: {told:#?}");
    }
}

#[test]
fn no_page_shows_the_credentials_of_an_address_that_a_host_tells_8() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let (mut link, _) = joins(&dashboard, "web", &json!([]));
    let secret = "ghp_made_up_token";
    let url = format!("http://{secret}@example.org/x and https://user:{secret}@example.org/y");
    link.send("heartbeat", &json!({ "nixpkgs_version": url }));
    let id = user.start("web", "pull");
    assert_eq!(link.receive()["payload"]["command_id"], id.as_str());
    link.send("output_batch", &lines(&id, 1, &[&format!("pulling main of {url}")]));
    let status = json!({
        "command_id": id, "status": "error", "exit_code": 1, "seq": 2, "message": format!("no {url}"),
    });
    link.send("status", &status);
    user.wait_for_state(&id, "failed");
    let (mut old, _) = joins(&dashboard, "old", &json!([]));
    old.send("register", &json!({ "hostname": "old" }));
    let repo =
        json!({ "hostname": "repo", "repo_url": format!("https://{secret}@example.org/x.git") });
    let token = crate::support::dashboard::TOKEN;
    let mut third = OldAgent::connect(&dashboard.url, token, "repo").expect("the token is right");
    third.send("register", &repo);
    user.wait_for_online("repo");
    for path in [
        "/api/hosts".to_owned(),
        "/".to_owned(),
        "/hosts/web".to_owned(),
        "/hosts/repo".to_owned(),
        format!("/api/commands/{id}"),
        format!("/api/commands/{id}/output?ansi=1"),
        format!("/commands/{id}/log"),
        "/api/events".to_owned(),
    ] {
        let text = user.get(&path).text;
        assert!(!text.contains(secret), "{path}: {text}");
    }
    let stored = std::fs::read(dashboard.dir.path().join("nixfleet.db-wal")).unwrap();
    assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[test]
fn the_shared_token_adds_a_hundred_hosts_at_once_and_then_few_9() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let token = crate::support::dashboard::TOKEN;
    let began = Instant::now();
    let mut refused = 0;
    for n in 0..140 {
        let name = format!("made-up-{n}");
        let mut link = OldAgent::connect(&dashboard.url, token, &name).expect("the token is right");
        link.send("register", &json!({ "hostname": name, "host_type": "nixos" }));
        if link.try_receive().is_none() {
            refused += 1;
        }
    }
    let more = usize::try_from(began.elapsed().as_secs() / 6 + 1).unwrap();
    let hosts = user.get("/api/hosts").json().as_array().unwrap().len();
    assert!((100..=100 + more).contains(&hosts), "{hosts} hosts");
    assert_eq!(refused, 140 - hosts);
    let told = events(&user, "protocol");
    assert_eq!(
        told.iter().filter(|text| text.contains("shared token adds")).count(),
        1,
        "{told:?}"
    );
    // Those that are there come back whenever they like.
    OldAgent::join(&dashboard.url, "made-up-1", "abc1234");
}
