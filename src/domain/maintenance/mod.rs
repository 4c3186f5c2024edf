//! When nothing may be rolled out: a freeze of the whole fleet, and the windows of hosts (spec: guard,
//! "Rollouts in waves").
//!
//! Both go by the time of day, because people set them by it. What they hold back waits; nothing that
//! runs is ended by them.

mod freeze;
mod restraints;
mod window;

pub use freeze::{FREEZE_AT_MOST, Freeze};
pub use restraints::{Restraints, refusal};
pub use window::{Day, MIDNIGHT, Window, WindowId, minute_of, opens};

use super::tag::{Tag, Tags};
use super::timestamp::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Finds the rules of a time zone by its name; `None` where this machine does not know it.
pub type Zones<'a> = &'a dyn Fn(&str) -> Option<TimeZone>;

/// What may hold a host back, and what a user may go on regardless of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restraint {
    /// The freeze of the fleet.
    Freeze,
    /// The windows of the host.
    Windows,
}

impl Restraint {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Freeze, Self::Windows];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Windows => "windows",
        }
    }

    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Freeze => "the freeze",
            Self::Windows => "maintenance windows",
        }
    }

    /// Reads a name; `None` if there is no such thing.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// What of several is gone on regardless of.
pub type Regardless = BTreeSet<Restraint>;

/// Why a host may not be changed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// By what.
    pub by: Restraint,
    /// In words, and until when.
    pub why: String,
}

/// The freeze and the windows of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// Nothing is rolled out until it ends.
    pub freeze: Option<Freeze>,
    /// When hosts may be changed. A host that none of them is for may always be.
    pub windows: Vec<Window>,
}

impl Maintenance {
    /// The freeze, while it lasts.
    pub fn freeze_at(&self, now: Timestamp) -> Option<&Freeze> {
        self.freeze.as_ref().filter(|freeze| freeze.until > now)
    }

    /// The windows that are for a host with these tags.
    pub fn windows_of<'a>(&'a self, tags: &'a Tags) -> impl Iterator<Item = &'a Window> {
        self.windows.iter().filter(|window| window.is_for(tags))
    }

    /// The windows that are for hosts with this tag.
    pub fn windows_for<'a>(&'a self, tag: &'a Tag) -> impl Iterator<Item = &'a Window> {
        self.windows.iter().filter(move |window| window.tag.as_ref() == Some(tag))
    }

    /// Why a host with these tags may not be changed now, and until when, in words; `None` if it may.
    pub fn holds_back(
        &self,
        tags: &Tags,
        regardless: &Regardless,
        now: Timestamp,
        zones: Zones<'_>,
    ) -> Option<HeldBack> {
        if !regardless.contains(&Restraint::Freeze)
            && let Some(freeze) = self.freeze_at(now)
        {
            return Some(HeldBack { by: Restraint::Freeze, why: freeze.told() });
        }
        if regardless.contains(&Restraint::Windows) {
            return None;
        }
        let windows: Vec<&Window> = self.windows_of(tags).collect();
        if windows.is_empty() || windows.iter().any(|window| window.is_open(now, zones)) {
            return None;
        }
        let mut why = "outside of its maintenance window".to_owned();
        if let Some((at, window)) = opens(windows.into_iter(), now, zones) {
            why.push_str(", which opens ");
            why.push_str(&window.told_instant(at, zones));
        }
        Some(HeldBack { by: Restraint::Windows, why })
    }
}

#[cfg(test)]
mod tests;
