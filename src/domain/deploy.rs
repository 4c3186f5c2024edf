//! What was deployed: from what a switch or rollback built to what ran after it
//! (spec: compartments, "Facts per host").

use super::ids::{CommandId, Commit, LockState};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// A switch or rollback that reached its host and ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// Which command it was.
    pub command_id: CommandId,
    /// Switch, or back to an earlier generation.
    pub kind: DeployKind,
    /// Its number among the commands of its host: a later one has a higher number.
    #[serde(default)]
    pub order: u64,
    /// The commit that was checked out when its build began (of a pull and switch: after its
    /// pull; of a 3.x agent: when it ended; of a rollback: what its target was built from).
    pub commit: Option<Commit>,
    /// The files differed from that commit: what was built equals no commit.
    #[serde(default)]
    pub dirty: bool,
    /// First line of that commit's message, where the remote told it. Hostile text.
    #[serde(default)]
    pub subject: Option<String>,
    /// The flake.lock that was checked out then.
    pub lock: Option<LockState>,
    /// The path that was to run; `None` where nobody said which.
    #[serde(default)]
    pub intended: Option<String>,
    /// When that becomes real.
    #[serde(default)]
    pub starts: Starts,
    /// The boot in which it ended.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// The paths when it began.
    #[serde(default)]
    pub before: Paths,
    /// The paths when it ended, or at the first word of the host after that.
    #[serde(default)]
    pub after: Paths,
    /// What ran afterwards.
    pub store_path: Option<String>,
    /// Generation number that ran afterwards.
    pub generation: Option<u64>,
    /// Why somebody wanted it, where they said so. Hostile text.
    #[serde(default)]
    pub why: Option<String>,
    /// How it ended.
    pub outcome: DeployOutcome,
    /// The exit code, where there was one.
    pub exit_code: Option<i32>,
    /// When it ended.
    pub ended_at: Timestamp,
}

impl Deploy {
    /// The path that runs because of it, if it brought one: it succeeded and was meant for now,
    /// a boot came up with what it intended, or another path ran at its end than at its beginning.
    pub fn brought(&self) -> Option<&str> {
        let after = self.left()?;
        let changed = self.before.running.as_deref().is_some_and(|before| before != after);
        let came = match self.starts {
            Starts::Now => self.outcome == DeployOutcome::Succeeded,
            Starts::NextBoot => false,
            Starts::Booted => true,
        };
        if changed || came { Some(after) } else { None }
    }

    /// Whether it changed what runs, or proved it. A host that tells no path is believed when the
    /// deploy succeeded, and did not wait for a boot.
    pub fn ran(&self) -> bool {
        let told = self.left().is_some();
        self.brought().is_some() || (!told && self.went_well_and_runs())
    }

    /// Whether it succeeded, and what it built was to run at once, or does since a boot.
    pub fn went_well_and_runs(&self) -> bool {
        self.outcome == DeployOutcome::Succeeded && self.starts != Starts::NextBoot
    }

    /// What ran at its end.
    pub fn left(&self) -> Option<&str> {
        // Earlier versions stored only `store_path`.
        self.after.running.as_deref().or(self.store_path.as_deref())
    }

    /// Whether it waits for a boot to start what it built.
    pub fn waits_for_boot(&self) -> bool {
        self.starts == Starts::NextBoot && self.outcome == DeployOutcome::Succeeded
    }
}

/// What runs, and what the system profile points to; each may be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Paths {
    /// What runs.
    pub running: Option<String>,
    /// What a boot would start.
    pub profile: Option<String>,
}

impl Paths {
    /// Whether both are known.
    pub fn are_known(&self) -> bool {
        self.running.is_some() && self.profile.is_some()
    }
}

/// When what a deploy intended becomes real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// With its end.
    #[default]
    Now,
    /// With the next boot.
    NextBoot,
    /// A boot came up with it.
    Booted,
}

/// What a job says of what it built.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Built {
    /// The commit that was checked out when the build began.
    pub commit: Option<Commit>,
    /// The flake.lock that was checked out then.
    pub lock: Option<LockState>,
    /// The files differed from that commit.
    pub dirty: bool,
    /// The path that is to run.
    pub path: Option<String>,
    /// When.
    pub starts: Starts,
}

/// What is known of a path that a deploy brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brought {
    /// The path.
    pub path: String,
    /// The deploy's number among the commands of its host.
    pub order: u64,
    /// What it was built from.
    pub commit: Option<Commit>,
    /// The files differed from that commit.
    #[serde(default)]
    pub dirty: bool,
    /// The flake.lock that it was built with.
    pub lock: Option<LockState>,
}

/// The two ways to change what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployKind {
    /// The checkout was built and activated.
    Switch,
    /// An earlier generation was activated.
    Rollback,
}

impl DeployKind {
    /// The name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Switch => "Switch",
            Self::Rollback => "Rollback",
        }
    }
}

/// What is said of a deploy that the host's guard took back.
pub fn returned(missing: &str) -> String {
    format!("Rolled back by itself: {missing}")
}

/// How a deploy ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployOutcome {
    /// Exit 0 and the goal was met.
    Succeeded,
    /// Exit 0, but what was wanted cannot be proven; says what was missed.
    Unverified(String),
    /// It failed or took too long; says how.
    Failed(String),
    /// It failed, and the host's guard brought back what ran before; says what was missing.
    Returned(String),
    /// It was stopped; says by whom.
    Stopped(String),
    /// Nobody knows how it ended; says what was last known.
    Lost(String),
}
