//! Generations of a host's system, and drift between hosts.

use super::ids::{Commit, HostId};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One generation in a host's system profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number in the profile.
    pub generation: u64,
    /// Its resolved store path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    /// The flake commit it was built from, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_revision: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Whether it runs now.
    #[serde(default)]
    pub current: bool,
}

/// The hosts whose commit differs from that of the fleet's majority. With no majority
/// (two commits equally common) the hosts of neither drift.
pub fn drifting(checkouts: &BTreeMap<HostId, Commit>) -> BTreeSet<HostId> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for commit in checkouts.values() {
        // Old agents report short hashes: they are counted by what all of them have.
        *counts.entry(commit.short()).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let mut leading = counts.iter().filter(|(_, count)| **count == most);
    let (Some((majority, _)), None) = (leading.next(), leading.next()) else {
        return BTreeSet::new();
    };
    let differs = checkouts.iter().filter(|(_, commit)| commit.short() != *majority);
    differs.map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_off_the_majority_drift() {
        let commit = |text| Commit::parse(text).unwrap();
        let host = |text| HostId::parse(text).unwrap();
        let mut fleet: BTreeMap<HostId, Commit> = [
            (host("a"), commit("aaaaaaaa")),
            (host("b"), commit("aaaaaaa")),
            (host("c"), commit("bbbbbbb")),
        ]
        .into();
        assert_eq!(drifting(&fleet), [host("c")].into());
        fleet.remove(&host("a"));
        assert_eq!(drifting(&fleet), [].into(), "one against one is no majority");
    }
}
