//! What a switch changes, or would change: Nix's closure diff, read from a command's log.

use super::ids::HostId;
use super::terminal::plain;
use serde::Serialize;
use std::cmp::Ordering;

/// Begins the line of the log after which the diff comes.
pub const BEGINS: &str = "# what changes";
/// Begins the line of the log that ends the diff.
pub const ENDS: &str = "# end of what changes";

/// How a package changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To a newer version.
    Up,
    /// To an older version.
    Down,
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// The same version, built anew, or versions that cannot be ordered.
    Rebuilt,
}

/// One package that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Its name. Hostile text.
    pub name: String,
    /// How.
    pub kind: Kind,
    /// Its version or versions before; empty if it was not there or has none.
    pub from: String,
    /// Its version or versions after.
    pub to: String,
    /// How the closure's size changes by it, in bytes, as far as Nix says.
    pub bytes: Option<i64>,
}

/// Finds the diff in a log and reads it; `None` if the log has none. Lines that are not as
/// Nix writes them are left out.
pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<Change>> {
    let mut diff = lines.skip_while(|line| !line.starts_with(BEGINS));
    diff.next()?;
    let within = diff.take_while(|line| !line.starts_with(ENDS));
    Some(within.filter_map(change).collect())
}

/// Hosts on which the same would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Alike {
    /// What; `None` where nobody told it.
    pub changes: Option<Vec<Change>>,
    /// Which, as they were named.
    pub hosts: Vec<HostId>,
}

/// Groups hosts by what would change on them, the largest group first, those that did not tell last
/// (spec: guard, "Plan, then that plan"). What a package takes of the disk makes no difference.
pub fn alike(told: impl IntoIterator<Item = (HostId, Option<Vec<Change>>)>) -> Vec<Alike> {
    let mut groups: Vec<Alike> = Vec::new();
    for (host, changes) in told {
        match groups.iter_mut().find(|group| is_same(&group.changes, &changes)) {
            Some(group) => group.hosts.push(host),
            None => groups.push(Alike { changes, hosts: vec![host] }),
        }
    }
    // Stable: groups of one size stay as their first hosts were named.
    groups.sort_by_key(|group| (group.changes.is_none(), std::cmp::Reverse(group.hosts.len())));
    groups
}

fn is_same(one: &Option<Vec<Change>>, other: &Option<Vec<Change>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let same = |(one, other): (&Change, &Change)| {
                let Change { name, kind, from, to, bytes: _ } = one;
                (name, kind, from, to) == (&other.name, &other.kind, &other.from, &other.to)
            };
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// What would be done to units, as a dry activation says it: "restart", and the units. Hostile text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    /// `stop`, `start`, `restart`, `reload`.
    pub what: String,
    /// Their names.
    pub names: Vec<String>,
}

/// So many kinds of what would be done to units are read.
const KINDS: usize = 8;
/// So many units of each.
const UNITS: usize = 200;

/// Reads "would restart the following units: a.service, b.service" from a log.
pub fn units<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Units> {
    let told = lines.filter_map(|line| {
        let line = plain(line);
        let (what, names) = line.strip_prefix("would ")?.split_once(" the following units: ")?;
        let names = names.split(", ").map(str::trim).filter(|name| !name.is_empty());
        let names: Vec<String> = names.take(UNITS).map(str::to_owned).collect();
        Some(Units { what: what.to_owned(), names }).filter(|units| !units.names.is_empty())
    });
    told.take(KINDS).collect()
}

/// `name: 1.0, 1.1 → 2.0, +12.3 KiB`; ∅ stands for nothing, ε for no version.
fn change(line: &str) -> Option<Change> {
    let line = plain(line);
    let (name, rest) = line.split_once(": ")?;
    let (versions, bytes) = match rest.rsplit_once(", ") {
        Some((versions, size)) if size_in_bytes(size).is_some() => (versions, size_in_bytes(size)),
        _ => match size_in_bytes(rest) {
            // Only its size changed.
            Some(bytes) => ("", Some(bytes)),
            None => (rest, None),
        },
    };
    let (from, to) = match versions.split_once(" → ") {
        Some((from, to)) => (from.trim(), to.trim()),
        None if versions.is_empty() => ("", ""),
        None => return None,
    };
    let kind = match (from, to) {
        ("∅", _) => Kind::Added,
        (_, "∅") => Kind::Removed,
        _ => match newest(from).zip(newest(to)).map(|(old, new)| compare(old, new)) {
            Some(Ordering::Less) => Kind::Up,
            Some(Ordering::Greater) => Kind::Down,
            Some(Ordering::Equal) | None => Kind::Rebuilt,
        },
    };
    let known =
        |text: &str| if matches!(text, "∅" | "ε") { String::new() } else { text.to_owned() };
    Some(Change { name: name.to_owned(), kind, from: known(from), to: known(to), bytes })
}

fn newest(versions: &str) -> Option<&str> {
    let list = versions.split(", ").filter(|version| !matches!(*version, "" | "ε"));
    list.max_by(|one, other| compare(one, other))
}

/// `+12.3 KiB`, `-4.0 MiB`
fn size_in_bytes(text: &str) -> Option<i64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let sign = if number.starts_with('-') { -1.0 } else { 1.0 };
    let digits = number.strip_prefix(['+', '-'])?;
    let factor = match unit {
        "bytes" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = digits.parse::<f64>().ok().filter(|n| n.is_finite())? * factor * sign;
    #[allow(clippy::cast_possible_truncation, reason = "it is rounded, and far below the limits")]
    Some(bytes.clamp(-1e15, 1e15).round() as i64)
}

/// Which of two versions is the newer: numbers as numbers, `pre` before the release.
fn compare(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (parts(one).into_iter(), parts(other).into_iter());
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(part)) => {
                return if part == "pre" { Ordering::Greater } else { Ordering::Less };
            }
            (Some(part), None) => {
                return if part == "pre" { Ordering::Less } else { Ordering::Greater };
            }
            (Some(a), Some(b)) => match compare_part(a, b) {
                Ordering::Equal => {}
                order => return order,
            },
        }
    }
}

fn compare_part(one: &str, other: &str) -> Ordering {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Greater,
        (Err(_), Ok(_)) => Ordering::Less,
        (Err(_), Err(_)) => match (one, other) {
            (same, equal) if same == equal => Ordering::Equal,
            ("pre", _) => Ordering::Less,
            (_, "pre") => Ordering::Greater,
            _ => one.cmp(other),
        },
    }
}

/// Runs of digits and runs of letters.
fn parts(version: &str) -> Vec<&str> {
    let mut list = Vec::new();
    for word in version.split(['.', '-', '_', '+']) {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let digit = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
            list.push(&rest[..end]);
            rest = &rest[end..];
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_grouped_by_equal_change_whatever_the_sizes_and_the_largest_group_comes_first() {
        let told = |lines: &[&str]| Some(lines.iter().filter_map(|line| change(line)).collect());
        let host = |name: &str| HostId::parse(name).unwrap();
        let groups = alike([
            (host("a"), told(&["nginx: 1.0 → 1.1, +1.0 KiB"])),
            (host("mute"), None),
            (host("b"), told(&["nginx: 1.0 → 1.1, +2.0 KiB", "curl: 8.1 → 8.2"])),
            (host("c"), told(&["nginx: 1.0 → 1.1, +3.0 KiB", "curl: 8.1 → 8.2"])),
            (host("d"), told(&[])),
            (host("deaf"), None),
        ]);
        let hosts: Vec<Vec<&str>> = (groups.iter())
            .map(|group| group.hosts.iter().map(|host| host.as_str()).collect())
            .collect();
        assert_eq!(hosts, [vec!["b", "c"], vec!["a"], vec!["d"], vec!["mute", "deaf"]]);
        assert!(groups[2].changes == Some(Vec::new()) && groups[3].changes.is_none());
    }
    use proptest::prelude::*;

    #[test]
    fn units_that_a_switch_would_touch_are_read_as_a_dry_activation_writes_them_b11() {
        let log = [
            "building the system configuration...",
            "would stop the following units: old.service",
            "would restart the following units: nginx.service, sshd.service",
            "would restart the following units: ",
            "would activate the configuration...",
        ];
        let told = units(log.into_iter());
        let told: Vec<_> = told.iter().map(|one| (one.what.as_str(), one.names.len())).collect();
        assert_eq!(told, [("stop", 1), ("restart", 2)]);
        assert!(units(std::iter::empty()).is_empty());
    }

    #[test]
    fn lines_of_nix_are_read() {
        let log = [
            "building the system configuration...",
            "# what changes: generation 1 to 2",
            "firefox: 121.0 → 122.0.1, \u{1b}[31;1m+1.5 MiB\u{1b}[0m",
            "hello: 2.12.2 → 2.12.1",
            "foo: ∅ → 1.0, +512 bytes",
            "bar: 1.0, 1.1 → ∅, -4.0 KiB",
            "glibc: ε → ε, +8.0 KiB",
            "source: +16.0 KiB",
            "rubbish",
            "# end of what changes",
            "after: 1 → 2",
        ];
        let told: Vec<_> = read(log.into_iter())
            .unwrap()
            .into_iter()
            .map(|c| (c.name, c.kind, c.from, c.to, c.bytes))
            .collect();
        let row = |name: &str, kind, from: &str, to: &str, bytes| {
            (name.to_owned(), kind, from.to_owned(), to.to_owned(), bytes)
        };
        let expected = [
            row("firefox", Kind::Up, "121.0", "122.0.1", Some(1_572_864)),
            row("hello", Kind::Down, "2.12.2", "2.12.1", None),
            row("foo", Kind::Added, "", "1.0", Some(512)),
            row("bar", Kind::Removed, "1.0, 1.1", "", Some(-4096)),
            row("glibc", Kind::Rebuilt, "", "", Some(8192)),
            row("source", Kind::Rebuilt, "", "", Some(16384)),
        ];
        assert_eq!(told, expected);
        assert_eq!(read(["no diff here"].into_iter()), None);
    }

    #[test]
    fn versions_are_ordered_as_nix_orders_them() {
        for (older, newer) in
            [("1.9", "1.10"), ("2.0pre1", "2.0"), ("1.0", "1.0.1"), ("1.0a", "1.0b"), ("9", "10")]
        {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
        }
        assert_eq!(compare("1.0", "1.0"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn no_log_makes_it_panic(lines in prop::collection::vec(".*", 0..8)) {
            let all = std::iter::once(BEGINS).chain(lines.iter().map(String::as_str));
            let _ = read(all);
        }
    }
}
