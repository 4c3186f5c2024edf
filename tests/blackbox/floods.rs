//! Whatever a link or a connection sends, it takes little of the dashboard's memory, and nothing from
//! others (finding 1 and 3 of the security review).

use crate::support::flood::{Memory, RawLink, until_closed};
use crate::support::{Client, Dashboard, OldAgent, poll, wait_until};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// So many links flood at once.
const LINKS: u64 = 4;
/// So much each of them sends.
const EACH: u64 = 24 * 1024 * 1024;
/// How long a slow machine may need for one.
const FLOOD: Duration = Duration::from_secs(600);
/// And so much memory each may take, in KiB.
const A_LINK: u64 = 4 * 1024;

/// Floods with `text` on links that `open` made, and meanwhile works with another host and pages.
fn flood(dashboard: &Dashboard, user: &Client, text: &str, open: impl Fn(u64) -> RawLink) {
    let name = format!("honest-{}", text.len());
    let mut honest = OldAgent::join(&dashboard.url, &name, "abc1234");
    user.wait_for_online(&name);
    let links: Vec<RawLink> = (0..LINKS).map(open).collect();
    user.get("/");
    let (memory, before) = Memory::watch(dashboard);
    let sent = Arc::<AtomicU64>::default();
    let floods: Vec<_> = links
        .into_iter()
        .map(|link| {
            let (text, sent) = (text.to_owned(), Arc::clone(&sent));
            thread::spawn(move || link.flood(&text, EACH, &sent))
        })
        .collect();
    wait_until("the floods are under way", || {
        honest.heartbeat();
        let now = sent.load(Ordering::Relaxed);
        if now > EACH / 4 { Ok(()) } else { Err(now) }
    });
    // Others are unharmed meanwhile.
    honest.generation = "def5678".to_owned();
    honest.heartbeat();
    wait_until("the honest heartbeat counts", || {
        let host = user.host(&name);
        if host["generation"] == "def5678" { Ok(()) } else { Err(host) }
    });
    assert_eq!(user.get("/").status, 200);
    for flood in floods {
        // Who says nothing for long is offline.
        let beating = poll(FLOOD, || {
            honest.heartbeat();
            if flood.is_finished() { Ok(()) } else { Err(()) }
        });
        assert!(beating.is_ok(), "it goes on");
        flood.join().unwrap().expect("the link takes all of it, at its own pace");
    }
    let grown = memory.peak().saturating_sub(before);
    println!("{LINKS} links took {grown} KiB");
    assert!(grown <= LINKS * A_LINK, "{LINKS} links took {grown} KiB");
    let pull = user.start(&name, "pull");
    honest.expect_command("pull");
    assert_eq!(user.host(&name)["pending_command"]["command_id"], pull.as_str());
}

#[test]
fn a_flood_before_register_stays_on_the_host_that_sends_it_1() {
    let dashboard = Dashboard::start(&[]);
    let heartbeat = json!({ "type": "heartbeat", "payload": { "filler": "x".repeat(800) } });
    flood(&dashboard, &dashboard.login(), &heartbeat.to_string(), |_| {
        RawLink::agent(&dashboard.url)
    });
}

#[test]
fn a_flood_of_heartbeats_stays_on_the_host_that_sends_it_1() {
    let dashboard = Dashboard::start(&[]);
    let heartbeat = json!({ "type": "heartbeat", "payload": { "filler": "x".repeat(8000) } });
    flood(&dashboard, &dashboard.login(), &heartbeat.to_string(), |n| {
        let mut link = RawLink::agent(&dashboard.url);
        let register = json!({ "hostname": format!("flood-{n}"), "host_type": "nixos" });
        link.send(&json!({ "type": "register", "payload": register }).to_string());
        link
    });
}

#[test]
fn a_flood_of_unknown_and_of_huge_frames_stays_on_the_host_that_sends_it_1() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let registered = |n| {
        let mut link = RawLink::agent(&dashboard.url);
        let register = json!({ "hostname": format!("flood-{n}"), "host_type": "nixos" });
        link.send(&json!({ "type": "register", "payload": register }).to_string());
        link
    };
    flood(&dashboard, &user, r#"{"type":"song","payload":{}}"#, registered);
    let huge = json!({ "type": "song", "payload": "x".repeat(1_000_000) });
    flood(&dashboard, &user, &huge.to_string(), registered);
}

#[test]
fn a_flood_of_output_of_a_3x_agent_stays_on_the_host_that_sends_it_1() {
    let dashboard = Dashboard::start(&[]);
    let output = json!({ "line": "x".repeat(100_000), "stream": "stdout" });
    let output = json!({ "type": "output", "payload": output });
    flood(&dashboard, &dashboard.login(), &output.to_string(), |n| {
        let mut link = RawLink::agent(&dashboard.url);
        let register = json!({ "hostname": format!("flood-{n}"), "host_type": "nixos" });
        link.send(&json!({ "type": "register", "payload": register }).to_string());
        let beat = json!({ "pending_command": "switch", "command_pid": 7 });
        link.send(&json!({ "type": "heartbeat", "payload": beat }).to_string());
        link
    });
}

#[test]
fn a_flood_of_a_browser_stays_in_the_browser_1() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let address = dashboard.url.strip_prefix("http://").unwrap();
    let header = format!("Origin: {}\r\nCookie: {}", dashboard.url, user.cookie());
    assert!(header.contains(address));
    let text = json!({ "type": "song", "filler": "x".repeat(900) }).to_string();
    flood(&dashboard, &user, &text, |_| RawLink::open(&dashboard.url, "/live", &header));
}

#[test]
fn a_frame_that_says_it_is_endless_is_refused_before_it_is_in_memory_1() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let header = format!("Origin: {}\r\nCookie: {}", dashboard.url, user.cookie());
    let (memory, before) = Memory::watch(&dashboard);
    let agents = (0..LINKS).map(|_| RawLink::agent(&dashboard.url));
    let browser = std::iter::once_with(|| RawLink::open(&dashboard.url, "/live", &header));
    for mut link in agents.chain(browser) {
        let mut head = vec![0x81, 0xff];
        head.extend((1_u64 << 40).to_be_bytes());
        head.extend([0; 4]);
        link.stream.write_all(&head).unwrap();
        let filler = vec![b'x'; 65_536];
        // It closes after 1 MiB, or 4 KiB, and drops for another second what comes.
        let until = Instant::now() + Duration::from_secs(30);
        while link.stream.write_all(&filler).is_ok() {
            assert!(Instant::now() < until, "a frame was taken for 30 s");
        }
    }
    let grown = memory.peak().saturating_sub(before);
    assert!(grown <= LINKS * A_LINK, "{LINKS} links took {grown} KiB");
}

#[test]
fn bytes_that_are_no_frames_close_the_connection_at_once_1() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let header = format!("Origin: {}\r\nCookie: {}", dashboard.url, user.cookie());
    for garbage in [&[0xff; 4096][..], &[0x81, 0x01, b'x'], &[0x83, 0x80, 0, 0, 0, 0]] {
        for mut link in
            [RawLink::agent(&dashboard.url), RawLink::open(&dashboard.url, "/live", &header)]
        {
            link.stream.write_all(garbage).unwrap();
            let came = until_closed(&mut link.stream, Duration::from_secs(10));
            assert!(came.is_some(), "still open after {:x?}", &garbage[..2]);
        }
    }
}
