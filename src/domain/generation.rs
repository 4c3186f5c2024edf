//! Generations of a host's system, and drift between hosts.

use super::facts::{TestOutcome, TestRun};
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

/// How the hosts are split over the commits that run, most first: "9 at abc1234, 2 at def5678".
pub fn split(deployed: &BTreeMap<HostId, Commit>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for commit in deployed.values() {
        *counts.entry(commit.short()).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = counts.len().saturating_sub(5);
    let told: Vec<String> =
        counts.iter().take(5).map(|(commit, count)| format!("{count} at {commit}")).collect();
    let rest = if more > 0 { format!(", and {more} more commits") } else { String::new() };
    told.join(", ") + &rest
}

/// A generation, and what is known of its tests.
#[derive(Debug, Clone, PartialEq)]
pub struct TestedGeneration {
    /// The generation.
    pub generation: Generation,
    /// The last run on it that ended.
    pub tests: Option<TestRun>,
    /// It is the newest before the one that runs whose tests passed: the way back.
    pub last_working: bool,
}

/// Puts to each generation the last run on its store path. `runs` are newest first.
pub fn with_tests(generations: &[Generation], runs: &[TestRun]) -> Vec<TestedGeneration> {
    let run_of = |generation: &Generation| {
        let path = generation.store_path.as_ref()?;
        runs.iter().find(|run| run.store_path.as_ref() == Some(path)).cloned()
    };
    let mut list: Vec<TestedGeneration> = generations
        .iter()
        .map(|generation| TestedGeneration {
            generation: generation.clone(),
            tests: run_of(generation),
            last_working: false,
        })
        .collect();
    let passed = |one: &TestedGeneration| {
        one.tests.as_ref().is_some_and(|run| run.outcome == TestOutcome::Passed)
    };
    let way_back = list.iter().filter(|one| !one.generation.current && passed(one));
    let newest = way_back.map(|one| one.generation.generation).max();
    for one in &mut list {
        one.last_working = Some(one.generation.generation) == newest;
    }
    list
}

/// The hosts that run another commit than most do. Where several are most frequent, the desired
/// one of them counts as that; if it is none of them, nobody drifts.
pub fn drifting(deployed: &BTreeMap<HostId, Commit>, desired: Option<&Commit>) -> BTreeSet<HostId> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for commit in deployed.values() {
        // Old agents report short hashes: they are counted by what all of them have.
        *counts.entry(commit.short()).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let leading: Vec<&str> =
        counts.iter().filter(|(_, count)| **count == most).map(|(commit, _)| *commit).collect();
    let usual = match leading[..] {
        [one] => Some(one),
        _ => leading.into_iter().find(|commit| desired.is_some_and(|d| d.short() == *commit)),
    };
    let Some(usual) = usual else {
        return BTreeSet::new();
    };
    let differs = deployed.iter().filter(|(_, commit)| commit.short() != usual);
    differs.map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_known_working_generation_is_the_newest_other_one_whose_tests_passed() {
        let generation = |number: u64, current: bool| Generation {
            generation: number,
            store_path: Some(format!("/nix/store/{number}")),
            configuration_revision: None,
            created_at: None,
            current,
        };
        let run = |number: u64, outcome| TestRun {
            command_id: crate::domain::ids::CommandId(uuid::Uuid::from_u128(u128::from(number))),
            order: number,
            deployment: 1,
            store_path: Some(format!("/nix/store/{number}")),
            counts: None,
            outcome,
            first_failed: None,
            exit_code: None,
            ended_at: Timestamp::from_secs(1),
        };
        let list: Vec<Generation> = (1..=4).rev().map(|n| generation(n, n == 4)).collect();
        let runs = [
            run(4, TestOutcome::Passed),
            run(3, TestOutcome::Failed),
            run(3, TestOutcome::Passed),
            run(2, TestOutcome::Passed),
            run(1, TestOutcome::Passed),
        ];
        let told = with_tests(&list, &runs);
        let marked: Vec<u64> = told
            .iter()
            .filter(|one| one.last_working)
            .map(|one| one.generation.generation)
            .collect();
        assert_eq!(marked, [2]);
    }

    #[test]
    fn hosts_off_the_majority_drift() {
        let commit = |text| Commit::parse(text).unwrap();
        let host = |text| HostId::parse(text).unwrap();
        let mut fleet: BTreeMap<HostId, Commit> = [
            (host("a"), commit("aaaaaaaa")),
            (host("b"), commit("aaaaaaa")),
            (host("c"), commit("ccccccc")),
        ]
        .into();
        assert_eq!(drifting(&fleet, None), [host("c")].into());
        assert_eq!(split(&fleet), "2 at aaaaaaa, 1 at ccccccc");
        fleet.remove(&host("a"));
        assert_eq!(drifting(&fleet, None), [].into(), "one against one: nothing says which");
        assert_eq!(drifting(&fleet, Some(&commit("ddddddd"))), [].into());
        assert_eq!(drifting(&fleet, Some(&commit("ccccccc"))), [host("b")].into());
    }
}
