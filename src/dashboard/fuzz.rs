//! What fuzzers reach of the dashboard: every parser of bytes from outside, one function each. No
//! other code may use it, and it decides nothing.
//!
//! fuzz/ runs these with libFuzzer; `cargo test` runs the same with bytes of proptest, and with
//! `PROPTEST_CASES` for as long as one likes.

use super::brake::Brake;
use super::link::translate;
use super::remotes::source;
use super::{auth, http};
use crate::base::{hex, secret};
use crate::domain::bounds;
use crate::domain::command::OutcomeKind;
use crate::domain::host::{HostEvent, HostState};
use crate::domain::ids::{CommandId, Commit, HostId, LockHash};
use crate::domain::moment::Moment;
use crate::domain::protocol::Protocol;
use crate::domain::terminal::{Style, as_text, plain, spans};
use crate::domain::timestamp::Timestamp;
use crate::domain::{closure_diff, desired::Desired, test_report};
use crate::protocol::{AgentMessage, DashboardMessage, Fragments};
use actix_codec::Decoder;
use actix_http::ws::Codec;
use actix_web::web::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// A function that takes whatever bytes there are.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("agent_frames", agent_frames),
    ("websocket", websocket),
    ("requests", requests),
    ("remotes", remotes),
    ("terminal", terminal),
    ("texts", texts),
    ("secrets", secrets),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Frames of an agent, a line each: read, understood, and lived through by a host.
pub fn agent_frames(bytes: &[u8]) {
    let Ok(id) = HostId::parse("web") else { return };
    let mut host = HostState::new(id, "web", Arc::new(Desired::NotYetFetched));
    let mut now = Moment::default();
    for frame in text(bytes).lines() {
        now.up = now.up + std::time::Duration::from_secs(1);
        let _ = DashboardMessage::parse(frame);
        let Ok(Some(message)) = AgentMessage::parse(frame) else { continue };
        translate::exceeded(&message);
        for event in events(message, host.protocol()) {
            host.apply(event, now, &mut || CommandId(uuid::Uuid::nil()));
        }
        let told = host.snapshot();
        assert!(told.generations.len() <= bounds::GENERATIONS);
        assert!(told.profile.hostname.chars().count() <= bounds::TEXT);
    }
}

fn events(message: AgentMessage, protocol: Protocol) -> Vec<HostEvent> {
    match message {
        AgentMessage::Register(register) => {
            let _ = translate::host_id(&register);
            let registration = Box::new(translate::registration(&register));
            vec![HostEvent::Connected { registration, known: Vec::new() }]
        }
        AgentMessage::Heartbeat(beat) => vec![translate::heartbeat(&beat, protocol)],
        AgentMessage::Status(status) => vec![translate::status(&status, protocol)],
        AgentMessage::CommandComplete(complete) => vec![translate::complete(&complete)],
        AgentMessage::CommandRejected(rejected) => vec![translate::rejected(&rejected)],
        AgentMessage::TestProgress(progress) => {
            translate::test_progress(&progress).into_iter().collect()
        }
        AgentMessage::TestResult(message) => {
            let result = translate::test_result(message);
            assert!(result.output.len() <= bounds::TEST_OUTPUT);
            Vec::new()
        }
        AgentMessage::OutputBatch(batch) => {
            translate::lines(batch.lines);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// Bytes of a WebSocket, in pieces, through the brake and the decoder.
pub fn websocket(bytes: &[u8]) {
    let size = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).map(Ok).collect();
    let (mut brake, gauge) = Brake::new(stream::iter(pieces), bounds::BROWSER_FRAME);
    let mut codec = Codec::new().max_size(bounds::BROWSER_FRAME);
    let (mut buffer, mut fragments) = (BytesMut::new(), Fragments::default());
    while let Some(Some(Ok(piece))) = futures_util::FutureExt::now_or_never(brake.next()) {
        let _ = fragments.begin(&piece);
        let _ = fragments.add(&piece);
        let _ = fragments.end(&piece);
        buffer.extend_from_slice(&piece);
        // What is no frame ends a link: so it does here.
        while let Ok(Some(_)) = codec.decode(&mut buffer) {
            gauge.frame_of_nobody();
        }
    }
}

/// What a browser or a program sends: bodies, forms, queries, cookies, addresses.
pub fn requests(bytes: &[u8]) {
    http::read_anything(bytes);
    auth::read_anything(bytes);
    let _ = hex::decode(&text(bytes));
}

/// What remotes answer: version.json, GitHub, git, headers.
pub fn remotes(bytes: &[u8]) {
    source::read_anything(bytes);
}

/// Output for a terminal: nothing of the terminal is left, and it grows only so much.
pub fn terminal(bytes: &[u8]) {
    let line = text(bytes);
    let shown = spans(&line);
    let styled = shown.iter().filter(|span| span.style != Style::default()).count();
    let length: usize = shown.iter().map(|span| span.text.len()).sum::<usize>() + 48 * styled;
    assert!(length <= line.len() + (line.len() * (bounds::GROWTH - 1)).max(96) + 2 * line.len());
    for text in [plain(&line), as_text(&line).into_owned()] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\t'));
    }
}

/// Texts of hosts and tools that are read for what they say.
pub fn texts(bytes: &[u8]) {
    let text = text(bytes);
    let _ = (HostId::parse(&text), Commit::parse(&text), LockHash::parse(&text));
    let _ = (CommandId::parse(&text), Timestamp::parse(&text));
    test_report::tap(&text);
    closure_diff::read(text.lines());
    let cut = bounds::without_middle(text.clone(), 200);
    assert!(cut.len() <= 200);
    let _ = OutcomeKind::Exited;
}

/// Addresses lose what is secret in them, wherever they stand.
pub fn secrets(bytes: &[u8]) {
    let text = text(bytes);
    let shown = secret::without_credentials(&text);
    assert_eq!(secret::without_credentials(&shown), shown, "once is enough");
    secret::address_without_credentials(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that lead somewhere.
    const SEEDS: &[&str] = &[
        r#"{"type":"register","payload":{"hostname":"web","protocol":4,"jobs":[{"command_id":"019a0000-0000-7000-8000-000000000000","op":"pull","state":"running","last_seq":3}],"generations":[{"generation":1}],"disk":[{"mount":"/","free":1,"total":2}]}}
{"type":"heartbeat","payload":{"generation":"abc1234","pending_command":"switch","command_id":"019a0000-0000-7000-8000-000000000000","checkout":null,"metrics":{"cpu":1e308}}}
{"type":"status","payload":{"status":"ok","command":"switch","exit_code":-9223372036854775808}}"#,
        r#"{"type":"test_result","payload":{"command_id":"019a0000-0000-7000-8000-000000000000","index":1,"total":4294967295,"name":"x","outcome":"failed","output":"1..2"}}
{"type":"output_batch","payload":{"command_id":"019a0000-0000-7000-8000-000000000000","first_seq":18446744073709551615,"lines":[{"stream":"stderr","text":"https://u:p@x/"}]}}"#,
        r#"{"gitCommit":"abc1234abc1234abc1234abc1234abc1234abc12","lockHash":"","message":"x","branch":"main","timestamp":"2026-01-18T10:30:00Z"}"#,
        r#"{"status":"ahead","ahead_by":1,"commits":[{"sha":"abc1234","commit":{"message":"x","committer":{"date":"2026-01-18T10:30:00Z"}}}]}"#,
        r#"{"op":"switch","hosts":["web"],"args":{"generation":3},"queue":true}"#,
        "host=web&limit=10&before=1&csrf_token=%00%ff&after=18446744073709551616",
        "nixfleet_session=x; nixfleet_login=\"y\"",
        "1.1.1.1, [2001:db8::1]:5555, unknown",
        "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        "\u{1b}[31;1mred\u{1b}[0m\u{1b}[1000C\u{1b}[1Kx\r\u{8}\u{1b}]0;t\u{7}",
        "http://user:secret@example.org/x ssh://git@h/x https://tok@h",
        "<https://api.github.com/x?page=2>; rel=\"next\", Sun, 06 Nov 1994 08:49:37 GMT",
        "abc1234abc1234abc1234abc1234abc1234abc12 a subject\n1768732200\nline",
        "1..3\nok 1\nnot ok 2 # TODO\n<<< a\n>>> b\n[U.]  #1  x  1.0 -> 2.0",
    ];

    /// A seed that was cut, repeated and written over here and there.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let change = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..6));
        let seed = (0..SEEDS.len(), prop::collection::vec(change, 0..6), 1_usize..4);
        let changed = seed.prop_map(|(seed, changes, times)| {
            let mut bytes = SEEDS[seed].repeat(times).into_bytes();
            for (place, written) in changes {
                let at = place.index(bytes.len());
                bytes.splice(at..(at + written.len() / 2).min(bytes.len()), written);
            }
            bytes
        });
        prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..600), 4 => changed]
    }

    macro_rules! takes_whatever_comes {
        ($($target:ident)+) => {
            proptest! {
                $(#[test]
                fn $target(bytes in bytes()) {
                    super::$target(&bytes);
                })+
            }

            #[test]
            fn every_target_has_a_program_and_a_test() {
                let tested = [$(stringify!($target)),+];
                let named: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
                assert_eq!(named, tested);
                let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
                let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
                for name in named {
                    let program = fuzz.join(format!("fuzz_targets/{name}.rs"));
                    let program = std::fs::read_to_string(program).unwrap();
                    assert!(program.contains(&format!("fuzz::{name}(")), "{name}");
                    assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
                }
            }
        };
    }

    takes_whatever_comes!(agent_frames websocket requests remotes terminal texts secrets);
}
