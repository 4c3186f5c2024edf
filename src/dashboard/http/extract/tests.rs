//! The doors are shut: what the compiler does not see, read from the sources of this room.

use std::fs;
use std::path::{Path, PathBuf};

/// Handlers that reach nothing, and the door of agents, which checks their tokens itself.
const REACH_NOTHING: [&str; 4] =
    ["no_such_call", "no_such_settings", "assets::serve", "agent_socket::connect"];
/// What proves who calls, or that it does not matter.
const PROOFS: [&str; 6] = ["By<", "Submitted<", "Submitted(", "Visitor", "Pushed", "Watcher"];

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/http")
}

fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The handlers that routes of a file name.
fn handlers(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in text.split("().to(").skip(1) {
        found.push(&rest[..rest.find(')').unwrap()]);
    }
    found
}

/// Everything between a function's name and its body.
fn signature<'a>(text: &'a str, name: &str) -> &'a str {
    let start = text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("no {name}"));
    let rest = &text[start..];
    &rest[..rest.find(" {\n").unwrap()]
}

#[test]
fn every_handler_names_its_caller_and_reads_what_was_sent_only_through_that() {
    let mut seen = 0;
    for (path, text) in sources(&room()) {
        for name in handlers(&text) {
            if REACH_NOTHING.contains(&name) {
                continue;
            }
            seen += 1;
            let (path, text) = match name.split_once("::") {
                Some((module, _)) => {
                    let path = room().join(format!("{module}.rs"));
                    let text = fs::read_to_string(&path).unwrap();
                    (path, text)
                }
                None => (path.clone(), text.clone()),
            };
            let name = name.rsplit("::").next().unwrap();
            let told = signature(&text, name);
            let place = format!("{} in {}: {told}", name, path.display());
            assert!(PROOFS.iter().any(|proof| told.contains(proof)), "no caller: {place}");
            for unordered in ["web::Json", "web::Path", "web::Query", "web::Data", "App"] {
                assert!(!told.contains(unordered), "{unordered} beside the caller: {place}");
            }
        }
    }
    assert!(seen > 60, "only {seen} handlers were found: the test does not read the routes");
}

#[test]
fn actors_are_asked_to_change_things_in_actions_alone() {
    for (path, text) in sources(&room()) {
        let inside = path.strip_prefix(room()).unwrap();
        let may_ask = inside.starts_with("actions") || inside.starts_with("extract");
        for asks in [".fleet()", ".notifier()", ".rollouts()"] {
            assert!(may_ask || !text.contains(asks), "{asks} in {}", inside.display());
        }
    }
}
