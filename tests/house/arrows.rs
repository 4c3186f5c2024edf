//! The plan: rooms and the arrows that docs/ARCHITECTURE.md allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One room knows another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
}

/// The rooms and what each may know.
pub struct Plan {
    rooms: BTreeMap<String, BTreeSet<String>>,
}

impl Plan {
    /// Reads the block of docs/ARCHITECTURE.md that begins with three backticks and `arrows`:
    /// one room a line, `room: rooms that it may know`.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
        let text = std::fs::read_to_string(path).unwrap();
        let block = text.split("```arrows\n").nth(1).expect("a block of arrows");
        let block = block.split("```").next().unwrap();
        let mut rooms = BTreeMap::new();
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            let (room, known) = line.split_once(':').expect("room: rooms");
            let known = known.split(',').map(str::trim).filter(|name| !name.is_empty());
            let known: BTreeSet<String> = known.map(str::to_owned).collect();
            let twice = rooms.insert(room.trim().to_owned(), known);
            assert!(twice.is_none(), "{room} is listed twice");
        }
        let plan = Self { rooms };
        for arrow in plan.arrows() {
            assert!(plan.rooms.contains_key(&arrow.to), "{} is no room of the plan", arrow.to);
        }
        plan
    }

    /// The room that a module or an item is in: the longest that its path begins with.
    pub fn room_of(&self, path: &[String]) -> Option<&str> {
        let path = path.join("/");
        let holds = |room: &&String| path == **room || path.starts_with(&format!("{room}/"));
        self.rooms.keys().filter(holds).max_by_key(|room| room.len()).map(String::as_str)
    }

    /// Whether the plan lists it.
    pub fn allows(&self, arrow: &Arrow) -> bool {
        self.rooms.get(&arrow.from).is_some_and(|known| known.contains(&arrow.to))
    }

    /// All that it lists.
    pub fn arrows(&self) -> impl Iterator<Item = Arrow> {
        self.rooms.iter().flat_map(|(from, known)| {
            known.iter().map(|to| Arrow { from: from.clone(), to: to.clone() })
        })
    }
}

/// A circle among these, if there is one, in its order.
pub fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        let mut path = Vec::new();
        if let Some(found) = walk(start, edges, &mut done, &mut path) {
            return Some(found);
        }
    }
    None
}

fn walk(
    at: &str,
    edges: &BTreeMap<String, BTreeSet<String>>,
    done: &mut BTreeSet<String>,
    path: &mut Vec<String>,
) -> Option<Vec<String>> {
    if let Some(begins) = path.iter().position(|seen| seen == at) {
        return Some(path[begins..].to_vec());
    }
    if !done.insert(at.to_owned()) {
        return None;
    }
    path.push(at.to_owned());
    for next in edges.get(at).into_iter().flatten() {
        if let Some(found) = walk(next, edges, done, path) {
            return Some(found);
        }
    }
    path.pop();
    None
}

#[test]
fn a_circle_is_found_and_a_shared_floor_is_none() {
    let edges = |list: &[(&str, &str)]| {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in list {
            edges.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        edges
    };
    assert_eq!(circle(&edges(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])), None);
    let found = circle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(found, ["b", "c"]);
}
