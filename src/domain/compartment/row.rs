//! The five verdicts of a host, and what they say together.

use super::{Compartment, Status, Verdict};
use std::ops::Index;

/// The verdict of each compartment.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub(super) agent: Verdict,
    pub(super) git: Verdict,
    pub(super) lock: Verdict,
    pub(super) system: Verdict,
    pub(super) tests: Verdict,
}

impl Index<Compartment> for Row {
    type Output = Verdict;

    fn index(&self, compartment: Compartment) -> &Verdict {
        match compartment {
            Compartment::Agent => &self.agent,
            Compartment::Git => &self.git,
            Compartment::Lock => &self.lock,
            Compartment::System => &self.system,
            Compartment::Tests => &self.tests,
        }
    }
}

/// A host's whole row in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Something failed.
    Failed,
    /// Something runs.
    Busy,
    /// Something is to be done.
    NeedsAction,
    /// It has not told enough yet.
    Unknown,
    /// All of the row says so; where there are no tests, Tests says nothing.
    Current,
}

impl Standing {
    /// The name in `data-standing`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::NeedsAction => "needs-action",
            Self::Unknown => "unknown",
            Self::Current => "current",
        }
    }

    /// What five statuses come to, in the order of [`Compartment::ALL`]: the worst of them.
    pub fn of(statuses: [Status; 5]) -> Self {
        if statuses.contains(&Status::Error) {
            return Self::Failed;
        }
        if statuses.contains(&Status::Working) {
            return Self::Busy;
        }
        if statuses.contains(&Status::Outdated) {
            return Self::NeedsAction;
        }
        let [proven @ .., tests] = statuses;
        let all_proven = proven.iter().all(|status| *status == Status::Ok);
        let is_current = all_proven && matches!(tests, Status::Ok | Status::Unknown);
        if is_current { Self::Current } else { Self::Unknown }
    }
}

impl Row {
    /// The verdicts with their compartments, in the order of [`Compartment::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Compartment, &Verdict)> {
        Compartment::ALL.into_iter().map(|compartment| (compartment, &self[compartment]))
    }

    /// Whether nothing is to be done: agent, config, dependencies and deployment are proven
    /// current, and tests have passed, or are off or not there.
    pub fn is_current(&self) -> bool {
        self.standing() == Standing::Current
    }

    /// The whole row in one word: the worst of it.
    pub fn standing(&self) -> Standing {
        Standing::of(Compartment::ALL.map(|compartment| self[compartment].status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(statuses: [Status; 5]) -> Row {
        let [agent, git, lock, system, tests] =
            statuses.map(|status| Verdict::new(status, status.name()));
        Row { agent, git, lock, system, tests }
    }

    #[test]
    fn a_compartment_finds_its_own_verdict_and_the_order_is_that_of_the_page() {
        let statuses =
            [Status::Ok, Status::Outdated, Status::Error, Status::Working, Status::Unknown];
        let row = row(statuses);
        let told: Vec<_> = row.iter().map(|(compartment, v)| (compartment, v.status)).collect();
        let expected: Vec<_> = Compartment::ALL.into_iter().zip(statuses).collect();
        assert_eq!(told, expected);
        for (compartment, status) in expected {
            assert_eq!(row[compartment].status, status);
        }
    }

    #[test]
    fn a_row_stands_as_its_worst_compartment_does() {
        let (ok, unknown) = (Status::Ok, Status::Unknown);
        for (statuses, expected) in [
            ([ok, ok, ok, ok, ok], Standing::Current),
            // Tests that are off or not there take nothing away.
            ([ok, ok, ok, ok, unknown], Standing::Current),
            ([ok, ok, ok, unknown, ok], Standing::Unknown),
            ([unknown; 5], Standing::Unknown),
            ([unknown, ok, ok, ok, Status::Outdated], Standing::NeedsAction),
            ([ok, Status::Outdated, ok, Status::Working, ok], Standing::Busy),
            ([ok, Status::Outdated, ok, Status::Working, Status::Error], Standing::Failed),
        ] {
            let row = row(statuses);
            assert_eq!(row.standing(), expected, "{statuses:?}");
            assert_eq!(row.is_current(), expected == Standing::Current, "{statuses:?}");
        }
    }
}
