//! What a host has told us. Facts are stored; compartments are computed from them.
//!
//! A fact that a message lacks stays as it was: nothing is ever wiped by a message
//! that lacks a field.

pub use super::deploy::{Brought, Deploy, DeployKind, DeployOutcome, Paths, Starts};
use super::hold::{Hold, Left};
pub use super::ids::LockState;
use super::ids::{CommandId, Commit};
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
    /// The host said that it has none; `checkout` is `None` then.
    pub no_checkout: bool,
    /// Whether the checkout differs from its commit; `None` where the host cannot tell.
    pub dirty: Option<bool>,
    /// How many commits the checkout has that its remote, as the host knows it, has not.
    pub ahead: Option<u32>,
    /// The flake.lock of the host's config clone.
    pub lock: Option<LockState>,
    /// What runs now.
    pub system: SystemFacts,
    /// The path that ran when the host last told one, also where it tells none any more.
    pub last_path: Option<String>,
    /// Counts the changes of what runs. A test run belongs to the number it started
    /// under, so no clock decides whether it still counts.
    pub deployment: u64,
    /// Counts the commands that were sent to the host: what came later has the higher number,
    /// whatever ids and clocks say.
    pub orders: u64,
    /// The newest switch or rollback that reached the host and ended.
    pub last_deploy: Option<Deploy>,
    /// What became of what runs since that deploy, while nothing was under way.
    pub since_deploy: SinceDeploy,
    /// What deploys brought, each path once, oldest first; at most [`BROUGHT`].
    pub brought: Vec<Brought>,
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
    /// Why nothing is rolled out to the host, if somebody holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What was left and is held no more, as long as the host's agent repeats it; at most as many as
    /// it may repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub let_go: Vec<Left>,
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
    /// What it can do beyond its protocol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
}

impl AgentFacts {
    /// Whether it can do that.
    pub fn can(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

/// What an agent can do beyond its protocol (spec: protocol, `features`), as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Its switches are guarded, as its host is set up.
    Guard,
    /// It can make a system the one that the next boot starts, and activate nothing.
    Boot,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Guard, Self::Boot];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Boot => "boot",
        }
    }
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
    /// Version of the kernel that was booted. Hostile text.
    pub booted_kernel: Option<String>,
    /// Version of the kernel that would boot. Hostile text.
    pub next_kernel: Option<String>,
    /// What the system profile points to: what a boot would start.
    pub profile_path: Option<String>,
    /// Its number among the generations that the host told, worked out here.
    pub profile_generation: Option<u64>,
}

impl SystemFacts {
    /// The configuration revision, where it is a commit (`dirty` and free text are not).
    pub fn revision(&self) -> Option<Commit> {
        self.configuration_revision.as_deref().and_then(Commit::parse)
    }

    /// Why the host needs a reboot, in words, with the versions where they tell it; `None` where it
    /// needs none, or none is known to be needed.
    pub fn needs_a_reboot(&self) -> Option<String> {
        if self.reboot_needed != Some(true) {
            return None;
        }
        Some(match (&self.booted_kernel, &self.next_kernel) {
            (Some(was), Some(next)) if was != next => {
                format!("Linux {was} runs, {next} would boot")
            }
            (Some(_), Some(same)) => {
                format!("another initrd, or other modules, of Linux {same} would boot than run")
            }
            (None, _) | (_, None) => "another kernel would boot than the one that runs".to_owned(),
        })
    }

    /// What runs, and what a boot would start.
    pub fn paths(&self) -> Paths {
        Paths { running: self.store_path.clone(), profile: self.profile_path.clone() }
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
        if newer.booted_kernel.is_some() {
            self.booted_kernel.clone_from(&newer.booted_kernel);
        }
        if newer.next_kernel.is_some() {
            self.next_kernel.clone_from(&newer.next_kernel);
        }
        if newer.agent_path.is_some() {
            self.agent_path.clone_from(&newer.agent_path);
        }
        if newer.activated_at.is_some() {
            self.activated_at = newer.activated_at;
        }
        if newer.profile_path.is_some() {
            self.profile_path.clone_from(&newer.profile_path);
        }
    }
}

/// So many paths that deploys brought are kept: as many as generations are told, and some more.
pub const BROUGHT: usize = 16;

/// What became of what runs after the last deploy, while nothing was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinceDeploy {
    /// It is as the deploy left it, or changed while a command was live.
    #[default]
    AsItWas,
    /// It became another path.
    MovedOn,
    /// It became another path, which said that it was built from the checkout: how the deploy
    /// ended decides nothing any more.
    Superseded,
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
    /// Its number among the commands of its host.
    #[serde(default)]
    pub order: u64,
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
    /// A user stopped it, before any test failed.
    Stopped,
    /// It took too long.
    TimedOut,
    /// Nobody knows how it ended.
    Lost,
    /// It ended well and did not prove it: it brought no result, or too few.
    Unverified,
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
