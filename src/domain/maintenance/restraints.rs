//! All that holds a host back at a moment.

use super::{HeldBack, Maintenance, Regardless, Restraint, Zones};
use crate::domain::ids::HostId;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::tag::Tags;
use crate::domain::timestamp::Timestamp;

/// All that holds a host back at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restraints {
    /// Each with its reason; none twice.
    pub back: Vec<HeldBack>,
    /// Since when the freeze lasts, if there is one: which freeze it is.
    pub freeze: Option<Timestamp>,
}

impl Maintenance {
    /// All that holds a host with these tags back now.
    pub fn restraints(&self, tags: &Tags, now: Timestamp, zones: Zones<'_>) -> Restraints {
        let one = |wanted: Restraint| {
            let others: Regardless =
                Restraint::ALL.into_iter().filter(|other| *other != wanted).collect();
            self.holds_back(tags, &others, now, zones)
        };
        let freeze = self.freeze_at(now).map(|freeze| freeze.since);
        Restraints { back: Restraint::ALL.into_iter().filter_map(one).collect(), freeze }
    }
}

impl HeldBack {
    /// A sentence about this host.
    pub fn told(&self, host: &HostId) -> String {
        let why = self.why.trim_end_matches('.');
        match self.by {
            Restraint::Freeze => format!("The fleet is {why}."),
            Restraint::Windows => format!("{host} is {why}."),
        }
    }
}

/// Why something is not begun on a host; `None` if nothing holds it back. Its code is that of the first.
pub fn refusal(back: &[HeldBack], host: &HostId) -> Option<Refusal> {
    let code = match back.first()?.by {
        Restraint::Freeze => RefusalCode::Frozen,
        Restraint::Windows => RefusalCode::OutsideWindow,
    };
    let told: Vec<String> = back.iter().map(|back| back.told(host)).collect();
    Some(Refusal::new(code, format!("{} Go on regardless, or wait.", told.join(" "))))
}
