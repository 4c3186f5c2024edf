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
}

impl Row {
    /// The verdicts with their compartments, in the order of [`Compartment::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Compartment, &Verdict)> {
        Compartment::ALL.into_iter().map(|compartment| (compartment, &self[compartment]))
    }

    /// Whether any compartment has this status.
    pub fn has(&self, status: Status) -> bool {
        self.iter().any(|(_, verdict)| verdict.status == status)
    }

    /// Whether nothing is to be done: agent, config, dependencies and deployment are proven
    /// current, and tests have passed, or are off or not there.
    pub fn is_current(&self) -> bool {
        let proven = [&self.agent, &self.git, &self.lock, &self.system];
        let all_proven = proven.iter().all(|verdict| verdict.status == Status::Ok);
        all_proven && matches!(self.tests.status, Status::Ok | Status::Unknown)
    }

    /// The whole row in one word: the worst of it.
    pub fn standing(&self) -> Standing {
        if self.has(Status::Error) {
            return Standing::Failed;
        }
        if self.has(Status::Working) {
            return Standing::Busy;
        }
        if self.has(Status::Outdated) {
            return Standing::NeedsAction;
        }
        if self.is_current() { Standing::Current } else { Standing::Unknown }
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
