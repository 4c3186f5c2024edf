//! How a command ends, and the exit code that says so.

use std::io;

/// How something that was asked for ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of it was done.
    Done,
    /// None of it was done.
    Failed,
    /// Some of it was done.
    Partly,
    /// The dashboard refused it: nothing was begun.
    Refused,
    /// The dashboard did not answer, or not as one does.
    Away,
}

impl Ending {
    /// The exit code. These are fixed: scripts go by them.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Partly => 2,
            Self::Refused => 3,
            Self::Away => 4,
        }
    }

    /// What the parts come to. Nothing to do is done.
    pub(super) fn of_all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Self::Done;
        };
        parts.fold(first, |so_far, part| match (so_far, part) {
            (same, other) if same == other => same,
            (Self::Done | Self::Partly, _) | (_, Self::Done | Self::Partly) => Self::Partly,
            (_, _) => Self::Failed,
        })
    }
}

/// Why a call to the dashboard has no result.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The dashboard refused it.
    Refused {
        /// What programs go by.
        code: String,
        /// For people. Hostile.
        message: String,
    },
    /// The dashboard did not answer, or not as one does.
    Away(String),
    /// What was to be printed could not be.
    Output(io::Error),
}

impl Trouble {
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Refused { .. } => Ending::Refused,
            Self::Away(_) => Ending::Away,
            Self::Output(_) => Ending::Failed,
        }
    }

    /// Whether it may be otherwise in a moment: the dashboard restarts, or is asked too much.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code == "too_many_requests",
            Self::Away(_) => true,
            Self::Output(_) => false,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Ending; 5] =
        [Ending::Done, Ending::Failed, Ending::Partly, Ending::Refused, Ending::Away];

    #[test]
    fn the_parts_come_to_one_exit_code() {
        use Ending::{Done, Failed, Partly, Refused};
        for (parts, code) in [
            (vec![], 0),
            (vec![Done, Done], 0),
            (vec![Failed, Failed], 1),
            (vec![Refused, Failed], 1),
            (vec![Done, Failed], 2),
            (vec![Refused, Done], 2),
            (vec![Failed, Refused, Done], 2),
            (vec![Partly], 2),
            (vec![Refused, Refused], 3),
        ] {
            assert_eq!(Ending::of_all(parts.iter().copied()).code(), code, "{parts:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_the_parts_says_nothing(
            parts in prop::collection::vec(prop::sample::select(&ALL[..]), 0..8).prop_shuffle(),
        ) {
            let mut sorted = parts.clone();
            sorted.sort_by_key(|part| part.code());
            prop_assert_eq!(Ending::of_all(parts.clone()), Ending::of_all(sorted));
            // Whoever reads 0 may rely on it.
            let all_done = parts.iter().all(|part| *part == Ending::Done);
            prop_assert_eq!(Ending::of_all(parts) == Ending::Done, all_done);
        }
    }
}
