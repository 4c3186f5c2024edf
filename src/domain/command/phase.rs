//! What a job that deploys is doing.

use serde::{Deserialize, Serialize};

/// What a job that deploys is doing: the phases of a plain and of a guarded switch (spec: guard).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkPhase {
    /// The checkout is brought forward.
    Pull,
    /// The system is built; nothing has changed yet.
    Build,
    /// The host is looked at before anything changes.
    Preflight,
    /// The way back is prepared.
    Arm,
    /// The system is being activated.
    Activate,
    /// It is activated, and proves itself.
    Confirm,
    /// It is made the one that boots.
    Keep,
    /// The system that ran before comes back.
    Return,
    /// A word that this version does not know.
    #[serde(other)]
    Other,
}

impl WorkPhase {
    /// What is being done, for people, where that says more than that it runs.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Pull => Some("pulling"),
            Self::Build => Some("building"),
            Self::Preflight => Some("looking at the host"),
            Self::Arm => Some("preparing the way back"),
            Self::Activate => Some("activating"),
            Self::Confirm => Some("waiting for the host to prove itself"),
            Self::Keep => Some("keeping it"),
            Self::Return => Some("going back to the system of before"),
            Self::Other => None,
        }
    }

    /// Whether it is one that only a guarded switch has.
    pub const fn is_guarded(self) -> bool {
        match self {
            Self::Arm | Self::Confirm | Self::Keep | Self::Return => true,
            Self::Pull | Self::Build | Self::Preflight | Self::Activate | Self::Other => false,
        }
    }

    /// Whether what runs on the host may be changing: who ends the job then leaves the host
    /// between two systems. A phase that is not known may.
    pub const fn may_activate(self) -> bool {
        match self {
            Self::Pull | Self::Build | Self::Preflight | Self::Arm => false,
            Self::Activate | Self::Confirm | Self::Keep | Self::Return | Self::Other => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_is_not_known_counts_as_activating() {
        let told: WorkPhase = serde_json::from_str("\"dance\"").unwrap();
        assert_eq!(told, WorkPhase::Other);
        assert!(told.may_activate());
        let told: WorkPhase = serde_json::from_str("\"build\"").unwrap();
        assert!(!told.may_activate());
    }
}
