//! What two versions of a flake.lock differ in. Both texts come from a remote and are hostile.

use super::terminal::visible;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// So many inputs of a flake are told. Nobody has that many.
const TOLD: usize = 100;
/// So long may a name or a version be, in characters.
const LENGTH: usize = 40;
/// `follows` may lead through so many inputs.
const DEEP: usize = 16;

/// What an input is locked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// The beginning of the revision, or of the content's hash where there is no revision.
    pub version: String,
    /// When that was made; `None` if the file does not say.
    pub at: Option<Timestamp>,
}

/// An input of the flake that is locked to something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputChange {
    /// Its name in the flake.
    pub name: String,
    /// What it was; `None`: the input is new.
    pub from: Option<Locked>,
    /// What it becomes; `None`: the input goes.
    pub to: Option<Locked>,
}

/// What a new flake.lock changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChanges {
    /// The flake's own inputs, by name; at most 100.
    pub inputs: Vec<InputChange>,
    /// How many inputs of inputs change too.
    pub nested: usize,
}

/// What is different in `new`; `None` if one of both is no flake.lock.
pub fn changes(old: &str, new: &str) -> Option<LockChanges> {
    let (old, new) = (Lock::parse(old)?, Lock::parse(new)?);
    let names: BTreeSet<&String> = old.inputs().chain(new.inputs()).collect();
    let mut changes = LockChanges::default();
    for name in names {
        let (from, to) = (old.input(name), new.input(name));
        if from.map(identity) != to.map(identity) && changes.inputs.len() < TOLD {
            changes.inputs.push(InputChange {
                name: shown(name),
                from: from.map(locked),
                to: to.map(locked),
            });
        }
    }
    changes.nested = new.nested().filter(|name| old.is_other(&new, name)).count();
    Some(changes)
}

/// A flake.lock, as far as it is understood.
struct Lock {
    nodes: serde_json::Map<String, Value>,
    root: String,
}

impl Lock {
    fn parse(text: &str) -> Option<Self> {
        let Value::Object(mut file) = serde_json::from_str(text).ok()? else {
            return None;
        };
        let root = file.get("root").and_then(Value::as_str).unwrap_or("root").to_owned();
        let Some(Value::Object(nodes)) = file.remove("nodes") else {
            return None;
        };
        nodes.contains_key(&root).then_some(Self { nodes, root })
    }

    fn inputs_of(&self, node: &str) -> Option<&serde_json::Map<String, Value>> {
        self.nodes.get(node)?.get("inputs")?.as_object()
    }

    /// The names of the flake's own inputs.
    fn inputs(&self) -> impl Iterator<Item = &String> {
        self.inputs_of(&self.root).into_iter().flat_map(|inputs| inputs.keys())
    }

    /// What an input of the flake is locked to.
    fn input(&self, name: &str) -> Option<&Value> {
        let node = self.node_of(self.inputs_of(&self.root)?.get(name)?, DEEP)?;
        self.nodes.get(node)?.get("locked")
    }

    /// The node that an input means: by name, or by a path from the root (`follows`).
    fn node_of<'a>(&'a self, input: &'a Value, deep: usize) -> Option<&'a str> {
        let path = match input {
            Value::String(node) => return Some(node),
            Value::Array(path) if deep > 0 => path,
            _ => return None,
        };
        path.iter().try_fold(self.root.as_str(), |node, step| {
            self.node_of(self.inputs_of(node)?.get(step.as_str()?)?, deep - 1)
        })
    }

    /// The nodes that are no input of the flake itself.
    fn nested(&self) -> impl Iterator<Item = &String> {
        let direct: BTreeSet<&str> = self
            .inputs_of(&self.root)
            .into_iter()
            .flat_map(|inputs| inputs.values())
            .filter_map(|input| self.node_of(input, DEEP))
            .collect();
        self.nodes.keys().filter(move |name| **name != self.root && !direct.contains(name.as_str()))
    }

    /// Whether a node is locked to something else than in `new`.
    fn is_other(&self, new: &Self, node: &str) -> bool {
        let locked = |lock: &Self| Some(identity(lock.nodes.get(node)?.get("locked")?).to_owned());
        locked(self) != locked(new)
    }
}

/// What says that two locked inputs are the same content.
fn identity(locked: &Value) -> &str {
    ["narHash", "rev"].iter().find_map(|key| locked.get(key)?.as_str()).unwrap_or_default()
}

fn locked(value: &Value) -> Locked {
    let revision = value.get("rev").and_then(Value::as_str);
    let version = match revision {
        Some(revision) => revision.chars().take(7).collect(),
        None => identity(value).trim_start_matches("sha256-").chars().take(7).collect::<String>(),
    };
    // A time before 1970 or after the year 9999 is none.
    let at = value.get("lastModified").and_then(Value::as_i64);
    let at = at.filter(|secs| (1..253_402_300_800).contains(secs));
    Locked { version: shown(&version), at: at.map(Timestamp::from_secs) }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(visible).take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn node(rev: &str, at: i64) -> Value {
        json!({ "locked": { "rev": rev, "narHash": format!("sha256-{rev}"), "lastModified": at } })
    }

    fn lock(inputs: &Value, nodes: &[(&str, Value)]) -> String {
        let mut all = json!({ "root": { "inputs": inputs } });
        for (name, node) in nodes {
            all[*name] = node.clone();
        }
        json!({ "nodes": all, "root": "root", "version": 7 }).to_string()
    }

    fn one(name: &str, from: Option<(&str, i64)>, to: Option<(&str, i64)>) -> InputChange {
        let locked = |(version, at): (&str, i64)| Locked {
            version: version.to_owned(),
            at: Some(Timestamp::from_secs(at)),
        };
        InputChange { name: name.to_owned(), from: from.map(locked), to: to.map(locked) }
    }

    #[test]
    fn inputs_that_moved_came_or_went_are_told_with_both_versions() {
        let old = lock(
            &json!({ "nixpkgs": "nixpkgs", "agenix": "agenix", "disko": "disko" }),
            &[
                ("nixpkgs", node("aaaaaaaaa", 10)),
                ("agenix", node("ccc", 5)),
                ("disko", node("d", 1)),
            ],
        );
        let new = lock(
            &json!({ "nixpkgs": "nixpkgs_2", "disko": "disko", "hm": "hm" }),
            &[("nixpkgs_2", node("bbbbbbbbb", 20)), ("disko", node("d", 1)), ("hm", node("e", 7))],
        );
        let expected = vec![
            one("agenix", Some(("ccc", 5)), None),
            one("hm", None, Some(("e", 7))),
            one("nixpkgs", Some(("aaaaaaa", 10)), Some(("bbbbbbb", 20))),
        ];
        assert_eq!(changes(&old, &new).unwrap().inputs, expected);
        assert_eq!(changes(&old, &old).unwrap(), LockChanges::default());
    }

    #[test]
    fn what_an_input_follows_is_looked_up_and_inputs_of_inputs_are_counted() {
        let nodes = |rev: &str| {
            let mut home = node("h", 1);
            home["inputs"] = json!({ "nixpkgs": "nixpkgs", "utils": "utils" });
            [("hm", home), ("nixpkgs", node(rev, 1)), ("utils", node(rev, 1))]
        };
        let inputs = json!({ "hm": "hm", "nixpkgs": ["hm", "nixpkgs"] });
        let found = changes(&lock(&inputs, &nodes("a")), &lock(&inputs, &nodes("b"))).unwrap();
        assert_eq!(found.inputs, [one("nixpkgs", Some(("a", 1)), Some(("b", 1)))]);
        assert_eq!(found.nested, 1);
    }

    #[test]
    fn an_input_without_a_revision_is_told_by_its_content() {
        let at = |hash: &str| {
            lock(&json!({ "f": "f" }), &[("f", json!({ "locked": { "narHash": hash } }))])
        };
        let found = changes(&at("sha256-old0000000"), &at("sha256-new0000000")).unwrap();
        let expected = |version: &str| Some(Locked { version: version.into(), at: None });
        assert_eq!(
            (found.inputs[0].from.clone(), found.inputs[0].to.clone()),
            (expected("old0000"), expected("new0000"))
        );
    }

    #[test]
    fn a_circle_of_follows_ends_and_other_files_are_none() {
        let inputs = json!({ "a": ["b"], "b": ["a"] });
        let circle = lock(&inputs, &[]);
        assert_eq!(changes(&circle, &circle).unwrap(), LockChanges::default());
        for text in ["", "[]", "{}", r#"{"nodes":{}}"#, r#"{"nodes":[]}"#, "<html>"] {
            assert_eq!(changes(text, &circle), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_files_say_the_answer_is_bounded(
            names in prop::collection::vec("[a-z\u{202e}\u{7}]{0,60}", 0..150),
            rev in ".{0,80}",
        ) {
            let mut inputs = json!({});
            let mut nodes = json!({});
            for name in &names {
                inputs[name] = json!(name);
                nodes[name] = json!({ "locked": { "rev": rev, "lastModified": i64::MAX } });
            }
            nodes["root"] = json!({ "inputs": inputs });
            let new = json!({ "nodes": nodes }).to_string();
            if let Some(found) = changes(&lock(&json!({}), &[]), &new) {
                prop_assert!(found.inputs.len() <= TOLD);
                for change in found.inputs {
                    prop_assert!(change.name.chars().count() <= LENGTH);
                    let is_plain = !change.name.contains(['\u{202e}', '\u{7}']);
                    prop_assert!(is_plain);
                }
            }
        }
    }
}
