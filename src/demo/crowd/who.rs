//! Who is simulated: names, looks, and the state in which each host is shown.

use crate::domain::looks::{DeviceType, Place};

/// The state in which a host is shown when the demo has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// It runs the head, and nobody has tested it yet.
    Current,
    /// It runs the head, and its tests have passed.
    Tested,
    /// One commit is missing.
    Behind,
    /// Several are, and its flake.lock is old.
    FarBehind,
    /// What it would switch to does not build.
    Unbuildable,
    /// Its tests fail.
    FailingTests,
    /// Somebody holds it.
    Held,
    /// It was rolled back.
    RolledBack,
    /// It was there, and is gone.
    Gone,
    /// The same, and something waits for it.
    Awaited,
    /// It was added, and its agent has never connected.
    New,
    /// It builds something that takes very long.
    Building,
    /// Its agent is one of NixFleet 3.
    Old,
}

/// How many hosts of 40 are in each state.
const WAYS: [(Way, usize); 13] = [
    (Way::Current, 11),
    (Way::Tested, 13),
    (Way::Behind, 3),
    (Way::FarBehind, 2),
    (Way::Unbuildable, 1),
    (Way::FailingTests, 1),
    (Way::Held, 1),
    (Way::RolledBack, 1),
    (Way::Gone, 2),
    (Way::Awaited, 1),
    (Way::New, 1),
    (Way::Building, 1),
    (Way::Old, 2),
];
const ROUND: usize = 40;
/// It shares no factor with [`ROUND`]: 40 hosts in a row are in all states, in a mixed order.
const STRIDE: usize = 11;

/// What a host is for: how its name begins, and what kind of machine that is.
/// There is no common factor with [`ROUND`] either: hosts of one state have many names.
const ROLES: [(&str, Place, DeviceType); 9] = [
    ("web", Place::Cloud, DeviceType::Server),
    ("db", Place::Cloud, DeviceType::Server),
    ("cache", Place::Cloud, DeviceType::Server),
    ("build", Place::Work, DeviceType::Server),
    ("desk", Place::Work, DeviceType::Desktop),
    ("mac", Place::Home, DeviceType::Laptop),
    ("lap", Place::Work, DeviceType::Laptop),
    ("gpu", Place::Home, DeviceType::Gaming),
    ("mail", Place::Cloud, DeviceType::Server),
];
const SITES: [&str; 5] = ["fra", "nyc", "sin", "ams", "osl"];

/// A host that is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    /// Its number among them.
    pub n: usize,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub device: DeviceType,
    /// How it is shown.
    pub way: Way,
}

impl Who {
    /// Host number so-and-so.
    fn nth(n: usize) -> Self {
        let (role, place, device) = ROLES[n % ROLES.len()];
        let site = SITES[n / ROLES.len() % SITES.len()];
        let number = n / (ROLES.len() * SITES.len()) + 1;
        let mut at = n * STRIDE % ROUND;
        let mut way = Way::Current;
        for (one, many) in WAYS {
            if at < many {
                way = one;
                break;
            }
            at -= many;
        }
        Self { n, name: format!("{role}-{site}-{number:02}"), place, device, way }
    }

    /// What it runs, by the name of the protocol.
    pub(super) fn platform(&self) -> &'static str {
        if self.name.starts_with("mac-") { "darwin" } else { "nixos" }
    }

    /// The tags of its configuration: what it is for, and whether it goes first.
    pub(super) fn tags(&self) -> Vec<String> {
        let (role, ..) = ROLES[self.n % ROLES.len()];
        let canary = self.n.is_multiple_of(20).then(|| "canary".to_owned());
        std::iter::once(role.to_owned()).chain(canary).collect()
    }

    /// Whether it needs a reboot.
    pub(super) fn needs_a_reboot(&self) -> bool {
        self.way == Way::Tested && self.n.is_multiple_of(3)
    }

    /// Load of processors, memory and disk in percent, at heartbeat number so-and-so.
    pub(super) fn load(&self, beat: u32) -> [f64; 3] {
        let wave = |factor: usize, most: usize| (self.n * factor + 13) % most;
        let swing = beat.wrapping_mul(7).wrapping_add(u32::try_from(self.n).unwrap_or(0)) % 11;
        let percent = |whole: usize| f64::from(u32::try_from(whole).unwrap_or(0));
        let cpu = percent(wave(29, 61)) + f64::from(swing);
        // A few are nearly full, as in every fleet.
        let disk = if self.n % 37 == 5 { 99.4 } else { percent(25 + wave(17, 60)) };
        [if self.way == Way::Building { 97.0 } else { cpu }, percent(30 + wave(23, 65)), disk]
    }
}

/// The name of the first one, which is there as soon as any is: it runs the head of the repository,
/// and is a NixOS with a guard.
pub(in crate::demo) const FIRST: &str = "web-fra-01";

/// So many hosts.
pub(super) fn all(count: usize) -> Vec<Who> {
    (0..count).map(Who::nth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn forty_hosts_in_a_row_are_in_all_states_and_no_two_have_one_name() {
        let all = all(497);
        let names: BTreeSet<&str> = all.iter().map(|who| who.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        for some in all.windows(ROUND).step_by(17) {
            let mut ways: BTreeMap<Way, usize> = BTreeMap::new();
            some.iter().for_each(|who| *ways.entry(who.way).or_default() += 1);
            assert_eq!(ways, WAYS.into());
        }
    }

    #[test]
    fn the_first_one_can_be_broken_in_every_demo() {
        let first = all(1).remove(0);
        assert_eq!((first.name.as_str(), first.way), (FIRST, Way::Current));
        assert_eq!(first.platform(), "nixos");
    }

    #[test]
    fn every_load_is_a_share() {
        for who in all(497) {
            for beat in [0, 1, 7, u32::MAX] {
                assert!(who.load(beat).iter().all(|load| (0.0..=100.0).contains(load)), "{who:?}");
            }
        }
    }
}
