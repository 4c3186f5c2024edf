//! The row of five compartments (spec: compartments).
//!
//! Everything about a row is decided by [`evaluate`], from facts and desired state that
//! come in as arguments. No rule reads a clock. What is stored are the facts, never a row.
//! Comments name the rules by their numbers there.

mod remote;
mod row;
mod system;
mod test_runs;

pub use row::{Row, Standing};

use super::command::Command;
use super::desired::Desired;
use super::facts::HostFacts;
use super::message::Message;
use remote::{Compared, Rules};
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
    pub const ALL: [Self; 5] = [Self::Agent, Self::Git, Self::Lock, Self::System, Self::Tests];

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

/// What a click on a compartment offers to do (spec: compartments, "What a click does").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Pull.
    Pull,
    /// Pull and switch.
    PullSwitch,
    /// Switch.
    Switch,
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
    /// Reboot.
    Reboot,
}

/// Why a compartment is as it is, where it only follows something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The remote cannot be read, or none is set.
    Source,
    /// Git is as it is.
    Git,
    /// Lock is as it is.
    Lock,
    /// System is as it is.
    System,
}

impl Cause {
    /// The name in the API and in `data-follows`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Git => "git",
            Self::Lock => "lock",
            Self::System => "system",
        }
    }
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
    /// What it follows; `None`: it is a cause of its own.
    pub follows: Option<Cause>,
}

/// The version of this program: the one agents should have.
pub const DASHBOARD_VERSION: &str = env!("CARGO_PKG_VERSION");

impl Verdict {
    fn new(status: Status, message: impl Into<Message>) -> Self {
        Self { status, message: message.into(), action: None, follows: None }
    }

    fn offering(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    fn following(mut self, cause: Cause) -> Self {
        self.follows = Some(cause);
        self
    }

    /// It is as another one is, with its words and its button.
    fn like(other: &Self, status: Status, cause: Cause) -> Self {
        Self { status, follows: Some(cause), ..other.clone() }
    }
}

/// The row of a host: a pure function of what it reported, what runs on it by our order
/// (`live`: commands that are not over), and what the remote says.
pub fn evaluate(facts: &HostFacts, live: &[&Command], desired: &Desired) -> Row {
    let rules = Rules { facts, live, desired };
    // g and l of the specification: a pull that runs hides Git and Lock from the row, but makes
    // nothing current.
    let compared = Compared { git: rules.git(), lock: rules.lock() };
    let system = rules.system(&compared);
    let tests = rules.tests(&compared);
    let agent = rules.agent();
    let Compared { git, lock } = compared;
    // Git 1, Lock 1
    match rules.running(Command::pulls_now).map(Rules::working) {
        Some(pulls) => Row { agent, git: pulls.clone(), lock: pulls, system, tests },
        None => Row { agent, git, lock, system, tests },
    }
}
