//! How systemd's units are, and which of them speak against an activated system.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct UnitState {
    active: bool,
    /// It failed, or is between two starts of a service that does.
    fails: bool,
    /// When it changed last, in microseconds since the boot.
    changed: u64,
}

/// How all units are that systemd knows.
pub(crate) type UnitStates = BTreeMap<String, UnitState>;

/// Reads what `systemctl show` says of several units.
pub(super) fn read(text: &str) -> UnitStates {
    let blocks = text.split("\n\n").filter_map(|block| {
        let of =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (active, sub) = (of("ActiveState")?, of("SubState").unwrap_or_default());
        let state = UnitState {
            active: active == "active",
            fails: active == "failed" || sub.contains("auto-restart"),
            changed: of("StateChangeTimestampMonotonic").and_then(|n| n.parse().ok()).unwrap_or(0),
        };
        Some((of("Id")?.to_owned(), state))
    });
    blocks.collect()
}

/// Units that fail now, and were active at arm or have changed since. What the guard itself made,
/// and what may fail, does not count.
pub(super) fn broken(at_arm: &UnitStates, now: &UnitStates, ignored: &[String]) -> Vec<String> {
    let own = ["nixfleet-job-", "nixfleet-guard-", "nixfleet-activate-", "nixfleet-return-"];
    let counts = |name: &String| {
        !own.iter().any(|begin| name.starts_with(begin))
            && !ignored.iter().any(|unit| unit == name || format!("{unit}.service") == **name)
    };
    let broken = now.iter().filter(|(name, state)| {
        let before = at_arm.get(*name);
        let touched = before.is_none_or(|before| before.active || before.changed != state.changed);
        state.fails && touched && counts(name)
    });
    broken.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ARM: &str = "Id=a.service\nActiveState=active\nSubState=running\n\
        StateChangeTimestampMonotonic=1\n\nId=b.service\nActiveState=failed\nSubState=failed\n\
        StateChangeTimestampMonotonic=2\n";

    #[test]
    fn a_unit_counts_as_broken_when_it_was_well_or_was_touched_and_fails_now() {
        let at_arm = read(AT_ARM);
        assert_eq!(broken(&at_arm, &at_arm, &[]), [""; 0], "what failed before and was left alone");
        let now = read(
            "Id=a.service\nActiveState=activating\nSubState=auto-restart\n\
            StateChangeTimestampMonotonic=5\n\nId=b.service\nActiveState=failed\nSubState=failed\n\
            StateChangeTimestampMonotonic=6\n\nId=c.service\nActiveState=failed\nSubState=failed\n\
            StateChangeTimestampMonotonic=7\n\nId=nixfleet-activate-1.service\n\
            ActiveState=failed\nSubState=failed\nStateChangeTimestampMonotonic=8\n",
        );
        assert_eq!(broken(&at_arm, &now, &[]), ["a.service", "b.service", "c.service"]);
        assert_eq!(broken(&at_arm, &now, &["c".into(), "b.service".into()]), ["a.service"]);
    }
}
