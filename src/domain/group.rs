//! Which of seven groups a host is in. Each host is in exactly one, so their counts add up.

use super::compartment::{Cause, Compartment, Row, Standing, Status, Verdict};

/// The groups, worst first: the order in which the page shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Something failed.
    Failed,
    /// Something is to be done.
    Due,
    /// Something runs.
    Working,
    /// What is to be proven cannot be now: the remote cannot be read, or the host has not told.
    Unverified,
    /// It was added, and its agent has never connected.
    New,
    /// Its agent is gone.
    Offline,
    /// All of its row says so.
    Current,
}

impl Group {
    /// All groups, in the order of the page.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::Due,
        Self::Working,
        Self::Unverified,
        Self::New,
        Self::Offline,
        Self::Current,
    ];

    /// The name in `data-standing` and in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Due => "due",
            Self::Working => "run",
            Self::Unverified => "unsure",
            Self::New => "new",
            Self::Offline => "off",
            Self::Current => "ok",
        }
    }

    /// The one word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Due => "needs action",
            Self::Working => "working",
            Self::Unverified => "not verified",
            Self::New => "new",
            Self::Offline => "offline",
            Self::Current => "current",
        }
    }

    /// Reads the name that an address holds; `None` if there is no such group.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// The group of a host with this row. `seen`: an agent of it has connected before.
    pub fn of(row: &Row, online: bool, seen: bool) -> Self {
        if !online {
            return if seen { Self::Offline } else { Self::New };
        }
        // A remote that cannot be read is one fact about the remote, and not a failure of each
        // host. Its hosts are what they are by what they say of themselves.
        let unread = |verdict: &Verdict| {
            verdict.follows == Some(Cause::Source) && verdict.status == Status::Error
        };
        let source_unread = row.iter().any(|(_, verdict)| unread(verdict));
        let statuses = Compartment::ALL.map(|compartment| {
            let verdict = &row[compartment];
            let only_follows = source_unread && verdict.follows.is_some();
            if only_follows { Status::Unknown } else { verdict.status }
        });
        match Standing::of(statuses) {
            Standing::Failed => Self::Failed,
            Standing::Busy => Self::Working,
            Standing::NeedsAction => Self::Due,
            Standing::Unknown => Self::Unverified,
            Standing::Current => Self::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::tests::rows::situations;

    #[test]
    fn each_situation_of_the_acceptance_table_is_in_one_group() {
        for (situation, expected) in [
            ("everything current, tests passed (3.x too)", Group::Current),
            ("tests failed", Group::Failed),
            ("tests running", Group::Working),
            ("after a pull that changed the inputs", Group::Due),
            ("dashboard started, nothing fetched yet, was green", Group::Unverified),
            ("host offline, was all green", Group::Offline),
        ] {
            let all = situations();
            let (_, state) = all.iter().find(|(name, _)| *name == situation).unwrap();
            let snapshot = state.snapshot();
            let seen = Group::of(&snapshot.row, snapshot.online, true);
            assert_eq!(seen, expected, "{situation}");
            let never = Group::of(&snapshot.row, false, false);
            assert_eq!(never, Group::New, "{situation}");
        }
    }

    #[test]
    fn a_remote_that_cannot_be_read_makes_no_host_fail() {
        let mut told = Vec::new();
        for (situation, state) in situations() {
            let snapshot = state.snapshot();
            let follows = |cause| snapshot.row.iter().any(|(_, v)| v.follows == Some(cause));
            let own = snapshot.row.iter().any(|(_, v)| {
                v.follows.is_none() && matches!(v.status, Status::Error | Status::Outdated)
            });
            if snapshot.online && follows(Cause::Source) && !own {
                let group = Group::of(&snapshot.row, true, true);
                assert_ne!(group, Group::Failed, "{situation}");
                assert_ne!(group, Group::Due, "{situation}");
                told.push(situation);
            }
        }
        assert!(!told.is_empty(), "no situation has a remote that cannot be read");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for group in Group::ALL {
            assert_eq!(Group::parse(group.name()), Some(group));
        }
        assert_eq!(Group::parse("nonsense"), None);
    }
}
