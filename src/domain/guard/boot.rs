//! What keeps a system from being activated beside the one that runs, so that it starts at the next
//! boot instead.

use serde_json::{Map, Value};

/// The file of a system that names what must be as it is in the system that runs.
pub const INHIBITORS: &str = "switch-inhibitors";

/// The names that both systems know and for which they differ, in order. What only one of them knows
/// inhibits nothing, and neither does a file that cannot be understood.
pub fn inhibitors(old: &[u8], new: &[u8]) -> Vec<String> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes);
    let (Ok(old), Ok(new)) = (read(old), read(new)) else {
        return Vec::new();
    };
    let differs =
        |name: &&String| new.get(*name).is_some_and(|value| Some(value) != old.get(*name));
    let mut names: Vec<String> = old.keys().filter(differs).cloned().collect();
    names.sort_unstable();
    names
}

/// Bytes that the boot loader's disk needs for parts of these sizes: the new ones are there beside the
/// old ones, and half as much again.
pub fn room_to_boot(parts: &[u64]) -> u64 {
    let all = parts.iter().fold(0_u64, |all, part| all.saturating_add(*part));
    all.saturating_add(all / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_systems_name_and_is_another_inhibits() {
        let old = br#"{"dbus": "/nix/store/a-dbus", "init": "1", "gone": "x"}"#;
        for (new, expected) in [
            (r#"{"dbus": "/nix/store/a-dbus", "init": "1"}"#, vec![]),
            (r#"{"dbus": "/nix/store/b-dbus", "init": "2"}"#, vec!["dbus", "init"]),
            (r#"{"came": "y"}"#, vec![]),
            ("[\"/nix/store/a\"]", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(inhibitors(old, new.as_bytes()), expected, "{new}");
        }
        assert_eq!(inhibitors(b"nonsense", br#"{"dbus": "b"}"#), Vec::<String>::new());
    }

    #[test]
    fn what_boots_needs_room_for_itself_and_half_of_it() {
        assert_eq!(room_to_boot(&[]), 0);
        assert_eq!(room_to_boot(&[10, 20]), 45);
        assert_eq!(room_to_boot(&[u64::MAX, 1]), u64::MAX);
    }
}
