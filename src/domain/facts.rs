//! What a host has told us. Facts are stored; compartments are computed from them.
//!
//! A fact that a message lacks stays as it was: nothing is ever wiped by a message
//! that lacks a field.

use super::ids::{CommandId, Commit, LockHash};
use super::test_report::TestCounts;
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All facts about one host that its compartments are decided by.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// The agent program on the host.
    pub agent: AgentFacts,
    /// Commit of the host's config clone (`generation` on the wire).
    pub checkout: Option<Commit>,
    /// The flake.lock of the host's config clone.
    pub lock: Option<LockState>,
    /// What runs now.
    pub system: SystemFacts,
    /// Counts the changes of what runs. A test run belongs to the number it started
    /// under, so no clock decides whether it still counts.
    pub deployment: u64,
    /// The last switch or rollback that ended.
    pub last_deploy: Option<Deploy>,
    /// The last pull that ended well.
    pub last_pull: Option<Pull>,
    /// The last test run that ended.
    pub last_tests: Option<TestRun>,
    /// Whether tests are on for this host; `None` until the host or a user said so.
    pub tests_enabled: Option<bool>,
    /// What the host itself says about that.
    pub tests_enabled_by_host: Option<bool>,
    /// Whether the host's checkout has tests; `None` until known.
    pub has_tests: Option<bool>,
    /// How the checkout relates to the remote's head, once the source has told.
    pub lineage: Option<Lineage>,
}

/// The agent program on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentFacts {
    /// Its version, e.g. `4.0.0`.
    pub version: Option<String>,
    /// The number of the protocol that it announced; `None` means 3. [`Protocol::of`] says how
    /// to speak with it.
    ///
    /// [`Protocol::of`]: super::protocol::Protocol::of
    pub protocol: Option<u32>,
    /// Which binary it is.
    pub binary: AgentBinary,
    /// Which process it is.
    pub process: Process,
    /// It came back from a successful switch that should have replaced it, unchanged.
    pub stale: bool,
}

/// What identifies a process of an agent, across its links; each may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// The boot in which it runs.
    pub boot_id: Option<String>,
    /// When it began.
    pub started: Option<Timestamp>,
}

impl Process {
    /// Whether it runs in another boot than `then`; `None` where that cannot be told.
    pub fn is_of_another_boot(&self, then: &Self) -> Option<bool> {
        let (now, then) = (self.boot_id.as_ref()?, then.boot_id.as_ref()?);
        Some(now != then)
    }

    /// Whether it is another one than `then`; `None` where that cannot be told.
    pub fn is_another(&self, then: &Self) -> Option<bool> {
        if self.is_of_another_boot(then) == Some(true) {
            return Some(true);
        }
        let (now, then) = (self.started?, then.started?);
        Some(now != then)
    }
}

/// What identifies the agent's binary; each may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentBinary {
    /// Commit of the agent's own source.
    pub source_commit: Option<String>,
    /// Store path of the agent's package.
    pub store_path: Option<String>,
    /// Hash of the agent's executable.
    pub binary_hash: Option<String>,
}

/// The flake.lock of a checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// There is none.
    Absent,
    /// Its hash.
    Hash(LockHash),
}

/// What runs on the host now; each may be missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemFacts {
    /// Number of the generation in the system profile that runs.
    pub generation: Option<u64>,
    /// Resolved store path of what runs.
    pub store_path: Option<String>,
    /// The flake commit it was built from, as the system itself says.
    pub configuration_revision: Option<String>,
    /// When it was activated.
    pub activated_at: Option<Timestamp>,
    /// Store path of the agent that it contains.
    pub agent_path: Option<String>,
    /// Whether what was booted is not what would boot: another kernel, say.
    pub reboot_needed: Option<bool>,
}

impl SystemFacts {
    /// The configuration revision, where it is a commit (`dirty` and free text are not).
    pub fn revision(&self) -> Option<Commit> {
        self.configuration_revision.as_deref().and_then(Commit::parse)
    }

    /// Takes over each field that `newer` has, keeps the rest.
    pub fn merge(&mut self, newer: &SystemFacts) {
        let moved = newer.store_path.is_some() && newer.store_path != self.store_path;
        if moved {
            // What is known of the old path says nothing about the new one.
            *self = newer.clone();
            return;
        }
        if newer.generation.is_some() {
            self.generation = newer.generation;
        }
        if newer.configuration_revision.is_some() {
            self.configuration_revision.clone_from(&newer.configuration_revision);
        }
        if newer.reboot_needed.is_some() {
            self.reboot_needed = newer.reboot_needed;
        }
        if newer.agent_path.is_some() {
            self.agent_path.clone_from(&newer.agent_path);
        }
        if newer.activated_at.is_some() {
            self.activated_at = newer.activated_at;
        }
    }
}

/// A switch or rollback that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// Which command it was.
    pub command_id: CommandId,
    /// Switch, or back to an earlier generation.
    pub kind: DeployKind,
    /// The checkout's commit that was deployed (for a rollback: what the target says).
    pub commit: Option<Commit>,
    /// First line of that commit's message, where the remote told it. Hostile text.
    #[serde(default)]
    pub subject: Option<String>,
    /// The checkout's lock that was deployed.
    pub lock: Option<LockState>,
    /// What ran afterwards.
    pub store_path: Option<String>,
    /// Generation number that ran afterwards.
    pub generation: Option<u64>,
    /// How it ended.
    pub outcome: DeployOutcome,
    /// The exit code, where there was one.
    pub exit_code: Option<i32>,
    /// When it ended.
    pub ended_at: Timestamp,
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

/// How a deploy ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployOutcome {
    /// Exit 0 and the goal was met.
    Succeeded,
    /// Exit 0, but what was wanted cannot be proven; says what was missed.
    Unverified(String),
    /// It failed, timed out or was stopped; says how.
    Failed(String),
    /// Nobody knows how it ended; says what was last known.
    Lost(String),
}

/// A pull that ended well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// Which command it was.
    pub command_id: CommandId,
    /// Whether it changed the checkout's commit or lock.
    pub changed_desired: bool,
    /// The deployment that ran when it ended.
    pub deployment: u64,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// A test run that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestRun {
    /// Which command it was.
    pub command_id: CommandId,
    /// The deployment it started under.
    pub deployment: u64,
    /// The store path that ran when it started, where the host reports one.
    pub store_path: Option<String>,
    /// How many passed, failed, and of how many; `None` where only an exit code is known.
    pub counts: Option<TestCounts>,
    /// How it ended.
    pub outcome: TestOutcome,
    /// Name of the first test that failed.
    pub first_failed: Option<String>,
    /// The exit code, where there was one.
    pub exit_code: Option<i32>,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// How a test run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// All passed.
    Passed,
    /// At least one failed.
    Failed,
    /// A user stopped it; counts as failed.
    Stopped,
    /// It took too long; counts as failed.
    TimedOut,
}

/// How a host's commit relates to the remote's head. Commits never change, so for a
/// given pair this is true for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The host's commit.
    pub host: Commit,
    /// The remote's head.
    pub head: Commit,
    /// How they relate.
    pub relation: Relation,
    /// The newest of the commits that the host misses: one list for all hosts of that commit.
    #[serde(default)]
    pub missing: Arc<[MissingCommit]>,
}

/// How two commits relate, as a source worked it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How they relate.
    pub relation: Relation,
    /// The newest of the commits that the host misses.
    pub missing: Arc<[MissingCommit]>,
}

/// A commit that a host does not have yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissingCommit {
    /// Which.
    pub commit: Commit,
    /// First line of its message. Hostile text.
    pub subject: String,
}

/// How a host's commit relates to the remote's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The host's commit is an ancestor of the head.
    Behind {
        /// Commits between.
        commits: u32,
        /// Commits between that touch flake.lock.
        lock_commits: u32,
    },
    /// The host's commit is a descendant of the head.
    Ahead,
    /// The remote does not know the host's commit, or the two have parted.
    NotOnBranch,
}
