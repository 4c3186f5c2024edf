//! The row of five compartments (spec: compartments).

use super::message::Message;
use serde::{Deserialize, Serialize};

/// Status of one compartment. The order is that of the specification's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Current against the remote desired state, and proven so.
    Ok,
    /// An action is needed, or the proof is missing.
    Outdated,
    /// A real problem.
    Error,
    /// An operation on this compartment runs.
    Working,
    /// Warm-up, or tests are disabled.
    Unknown,
}

impl Status {
    /// The name in the API and in `data-status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Outdated => "outdated",
            Self::Error => "error",
            Self::Working => "working",
            Self::Unknown => "unknown",
        }
    }
}

/// The five compartments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compartment {
    /// Is the tooling current?
    Agent,
    /// Is the config current?
    Git,
    /// Are the dependencies current?
    Lock,
    /// Is the deployment current?
    System,
    /// Does the system actually work?
    Tests,
}

impl Compartment {
    /// All five, in the order of the row.
    pub const ALL: [Self; 5] = [
        Self::Agent,
        Self::Git,
        Self::Lock,
        Self::System,
        Self::Tests,
    ];

    /// The name in the API and in `data-compartment`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Git => "git",
            Self::Lock => "lock",
            Self::System => "system",
            Self::Tests => "tests",
        }
    }

    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::Git => "Git",
            Self::Lock => "Lock",
            Self::System => "System",
            Self::Tests => "Tests",
        }
    }
}

/// What a click on a compartment offers to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Pull.
    Pull,
    /// Pull and switch.
    PullSwitch,
    /// Run the tests.
    RunTests,
    /// Stop what runs.
    Stop,
    /// Fetch the remote again.
    RetryFetch,
    /// Switch again, or roll back.
    RetrySwitch,
    /// Roll back.
    Rollback,
    /// Restart the agent.
    RestartAgent,
}

/// One compartment's status and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Its status.
    pub status: Status,
    /// Why, in the user's words.
    pub message: Message,
    /// What a click offers.
    pub action: Option<Action>,
}

/// The five verdicts in the order of [`Compartment::ALL`].
pub type Row = [Verdict; 5];
