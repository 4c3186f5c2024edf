//! docs/API.md says what the program does, both ways; and objects look as they did.

mod samples;

use super::access::NewToken;
use super::commands::{NewCommand, NewCommands};
use super::hosts::HoldBody;
use super::remotes::{MergeBody, RevertBody};
use super::tags::NewTag;
use super::*;
use crate::dashboard::http::actions::{
    ChangeBody, NewFreeze, NewHost, NewRollout, NewWindow, Settings,
};
use crate::dashboard::notify::{NewChannel, NewSettings};
use crate::domain::operation::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn reference() -> String {
    fs::read_to_string(file("docs/API.md")).unwrap()
}

/// What stands under a heading.
fn section(text: &str, heading: &str) -> String {
    let (_, rest) =
        text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let end = rest.find("\n#").unwrap_or(rest.len());
    rest[..end].to_owned()
}

/// The cells of a section's table, without its head. The first is without its marks.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    lines.map(cells).collect()
}

fn first_column(section: &str) -> BTreeSet<String> {
    let rows = rows(section);
    let names: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(names.len(), rows.len(), "a name stands twice in {section}");
    names
}

/// The files with calls of the API.
const PARTS: [&str; 9] = [
    "access",
    "audit",
    "commands",
    "hosts",
    "maintenance",
    "notifications",
    "remotes",
    "rollouts",
    "tags",
];

/// The routes of a source, below a prefix.
fn routes(source: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in source.split(".route(\"").skip(1) {
        let (path, rest) = rest.split_once('"').unwrap();
        let (_, rest) = rest.split_once("web::").unwrap();
        let (method, _) = rest.split_once("()").unwrap();
        found.push(format!("{} {prefix}{path}", method.to_uppercase()));
    }
    found
}

#[test]
fn every_route_is_in_the_reference_and_nothing_else_is() {
    let read = |path: &str| fs::read_to_string(file("src/dashboard/http").join(path)).unwrap();
    let own = read("api/mod.rs");
    let (outside, inside) = own.split_once("web::scope(\"/api\")").unwrap();
    let mut known = routes(outside, "");
    known.extend(routes(inside, "/api"));
    for part in PARTS {
        known.extend(routes(&read(&format!("api/{part}.rs")), "/api"));
    }
    known.extend(routes(&read("hooks.rs"), "/hooks"));
    let parts = inside.matches("::configure)").count();
    assert_eq!(parts, PARTS.len(), "a part of the API that this test does not read");
    let told = first_column(&section(&reference(), "## Calls"));
    assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), told);
}

/// Who may call a handler, as the type of its caller says.
fn who(source: &str, handler: &str) -> &'static str {
    let start = source.find(&format!("fn {handler}(")).unwrap_or_else(|| panic!("no {handler}"));
    let signature = source[start..].split(" {\n").next().unwrap();
    let known = [
        ("By<Reader", "read"),
        ("By<Changer", "operate"),
        ("By<Admin", "admin"),
        ("By<Person", "login"),
        ("Visitor", "anybody"),
        ("Pushed", "signature"),
    ];
    let signature: String = signature.split_whitespace().collect();
    let found = known.iter().find(|(caller, _)| signature.contains(caller));
    found.unwrap_or_else(|| panic!("nobody may call {signature}")).1
}

#[test]
fn who_may_call_is_in_the_reference_as_the_handlers_signature_says_it_20() {
    let read = |path: &str| fs::read_to_string(file("src/dashboard/http").join(path)).unwrap();
    let own = read("api/mod.rs");
    let (outside, inside) = own.split_once("web::scope(\"/api\")").unwrap();
    let mut sources =
        vec![(outside.to_owned(), ""), (inside.to_owned(), "/api"), (read("hooks.rs"), "/hooks")];
    sources.extend(PARTS.map(|part| (read(&format!("api/{part}.rs")), "/api")));
    let mut known = BTreeSet::new();
    for (source, prefix) in &sources {
        let handlers = source.split(".route(\"").skip(1).map(|rest| {
            let (_, rest) = rest.split_once(".to(").unwrap();
            rest.split_once(')').unwrap().0
        });
        for (route, handler) in routes(source, prefix).into_iter().zip(handlers) {
            let text = if source == outside { &own } else { source };
            known.insert((route, who(text, handler).to_owned()));
        }
    }
    let told = rows(&section(&reference(), "## Calls"));
    let told: BTreeSet<_> = told.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(known, told);
}

#[test]
fn every_code_of_an_error_is_in_the_reference_with_its_status() {
    let told = rows(&section(&reference(), "## Bodies and answers"));
    let told: BTreeSet<_> =
        told.iter().map(|row| (row[0].clone(), row[1].parse::<u16>().unwrap())).collect();
    let status = |code: RefusalCode| HttpError::new(code, "").status().as_u16();
    let known = RefusalCode::ALL.iter().map(|code| (code.name().to_owned(), status(*code)));
    assert_eq!(known.collect::<BTreeSet<_>>(), told);
}

/// The fields that a body may have, as its own complaint about another one names them.
fn fields_of<T: DeserializeOwned>() -> BTreeSet<String> {
    let complaint = match serde_json::from_str::<T>(r#"{"?": 1}"#) {
        Ok(_) => panic!("a body takes a field that is not known"),
        Err(error) => error.to_string(),
    };
    let (_, expected) = complaint.split_once("expected ").expect("it names the fields");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_of_a_body_is_in_the_reference_and_nothing_else_is() {
    let reference = reference();
    let told = |name: &str| first_column(&section(&reference, &format!("### Body of {name}")));
    assert_eq!(fields_of::<NewHost>(), told("a new host"));
    assert_eq!(fields_of::<Settings>(), told("settings"));
    assert_eq!(fields_of::<NewCommand>(), told("a new command"));
    assert_eq!(fields_of::<NewCommands>(), told("a new command on many"));
    assert_eq!(fields_of::<Args>(), told("arguments"));
    assert_eq!(fields_of::<MergeBody>(), told("a merge"));
    assert_eq!(fields_of::<RevertBody>(), told("a revert"));
    assert_eq!(fields_of::<HoldBody>(), told("a hold"));
    assert_eq!(fields_of::<NewRollout>(), told("a new rollout"));
    assert_eq!(fields_of::<ChangeBody>(), told("a change of a rollout"));
    assert_eq!(fields_of::<NewToken>(), told("a new token"));
    assert_eq!(fields_of::<NewTag>(), told("a new tag"));
    assert_eq!(fields_of::<NewFreeze>(), told("a freeze"));
    assert_eq!(fields_of::<NewWindow>(), told("a new window"));
    assert_eq!(fields_of::<NewChannel>(), told("a channel"));
    assert_eq!(fields_of::<NewSettings>(), told("settings of notifications"));
    assert_eq!(reference.matches("\n### Body of").count(), 16);
}

/// Every field of an object, with those above it.
fn fields(value: &Value, above: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = match above {
                    "update_status" => "COMPARTMENT",
                    "hosts" => "HOST",
                    _ => name,
                };
                let dot = if above.is_empty() { "" } else { "." };
                fields(value, &format!("{above}{dot}{name}"), found);
            }
        }
        Value::Array(list) => {
            assert!(!list.is_empty(), "the sample's {above} is empty");
            for value in list {
                fields(value, &format!("{above}[]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(above.to_owned());
        }
    }
}

fn fields_in(values: &[Value]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in values {
        fields(value, "", &mut found);
    }
    found
}

#[test]
fn every_field_of_an_object_is_in_the_reference_and_nothing_else_is() {
    let reference = reference();
    let told = |name: &str| first_column(&section(&reference, &format!("### {name}")));
    let sources = samples::desired().as_array().unwrap().clone();
    for (name, samples) in [
        ("Host", vec![samples::host()]),
        ("Command", vec![samples::command()]),
        ("Test run", vec![samples::test_run()]),
        ("Generation", vec![samples::generation()]),
        ("Deployment", vec![samples::deployment()]),
        ("Rollout", vec![samples::rollout()]),
        ("Plan of some hosts", vec![samples::plan()]),
        ("Source", sources),
        ("Pull request", vec![samples::pull_request()]),
        ("Event", vec![samples::event()]),
        ("API token", vec![samples::api_token()]),
        ("Session", vec![samples::session()]),
        ("Tag", vec![samples::tag()]),
        ("Freeze", vec![samples::freeze()]),
        ("Window", vec![samples::window()]),
        ("Notifications", vec![samples::notifications()]),
        ("Error", vec![samples::error()]),
    ] {
        assert_eq!(fields_in(&samples), told(name), "{name}");
    }
    let mut story = told("Story of a command");
    story.extend(told("Command"));
    assert_eq!(fields_in(&[samples::story()]), story);
}

#[test]
fn objects_look_as_they_did() {
    for (name, sample) in [
        ("host", samples::host()),
        ("command", samples::command()),
        ("story", samples::story()),
        ("test_run", samples::test_run()),
        ("generation", samples::generation()),
        ("deployment", samples::deployment()),
        ("rollout", samples::rollout()),
        ("desired", samples::desired()),
        ("event", samples::event()),
        ("api_token", samples::api_token()),
        ("session", samples::session()),
        ("notifications", samples::notifications()),
        ("error", samples::error()),
    ] {
        insta::assert_json_snapshot!(name, sample);
    }
}
