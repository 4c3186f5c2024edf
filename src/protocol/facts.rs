//! What an agent tells of its machine, field by field: `register` and `heartbeat`.

use crate::domain::generation::Generation;
use crate::domain::ids::CommandId;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// `register`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Register {
    /// Name of the host, and its id: 1 to 253 letters, digits, `.`, `_`, `-`.
    pub hostname: String,
    /// `nixos` or `macos`.
    pub host_type: String,
    /// The agent's version, such as `4.0.0`.
    pub agent_version: String,
    /// Name and version of the operating system, for people.
    pub os_version: String,
    /// Version of nixpkgs; 4.x agents leave it empty.
    pub nixpkgs_version: String,
    /// Commit of the checkout: short, full, empty or `unknown`. Protocol 4: full, or empty.
    pub generation: String,
    /// `#rrggbb`, or empty.
    pub theme_color: String,
    /// Seconds between heartbeats.
    pub heartbeat_interval: f64,
    /// `home`, `work`, `cloud`, or empty.
    pub location: String,
    /// `server`, `desktop`, `laptop`, `gaming`, or empty.
    pub device_type: String,
    /// Address of the config repository, without credentials; empty: the checkout names it.
    pub repo_url: String,
    /// Directory of the checkout.
    pub repo_dir: String,
    /// Commit that the agent was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// Store path of the agent's package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    /// SHA-256 of the agent's program, in 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_hash: Option<String>,
    // Protocol 4 from here.
    /// Version of the protocol; absent: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// What the agent can do, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// `nixos`, `darwin` or `home-manager`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// When the machine was booted, by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_time: Option<Timestamp>,
    /// Branch that the checkout follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// How tests are set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSettings>,
    /// What runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemReport>,
    /// The last ten generations, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Generation>,
    /// Jobs that run, or whose outcome was not acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<JobReport>>,
    /// SHA-256 of the flake.lock in the checkout, in 64 hexadecimal digits; empty: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    /// The boot of the machine or container. Another boot has another id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// When this process of the agent began. Together with `boot_id`: which process it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_started: Option<Timestamp>,
    /// The commit that is checked out; `null`: there is no checkout. Absent: an agent that does not
    /// tell, then `generation` counts.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub checkout: Told<String>,
    /// The checkout differs from its commit: a tracked file, or the index. What is not tracked does
    /// not count: Nix does not see it.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub dirty: Told<bool>,
    /// How many commits the checkout has that its remote's branch, as fetched last, has not.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub ahead: Told<u32>,
    /// Store path of the agent that the running system contains: the one that should run.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub expected_agent_path: Told<String>,
    /// The disks of the store, of the boot loader and of the agent's state directory, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Vec<DiskReport>>,
    /// What the agent did by itself since it told last, in words: it set aside a job that it cannot
    /// read, say. Each is told once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Tags that the host's configuration gives it; absent: an agent that does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// While a guarded switch is to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardWord>,
    /// The host takes only commits that a key of these files signed; empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    /// What the host left and nobody has released, oldest first; absent: an agent that keeps nothing
    /// of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<HeldReport>>,
}

/// A system that the host went back from, for a dashboard that does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldReport {
    /// The command that left it, or that brought it and was taken back: `released` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// What it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it is held.
    pub reason: String,
}

/// What a guarded switch wants confirmed: the agent says it on a link that it opened for that, and
/// the dashboard repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardWord {
    /// The command's id.
    pub command_id: CommandId,
    /// Made for this one question.
    pub nonce: String,
}

/// A fact that an agent may leave as it was (`None`), unsay (`Some(None)`, `null` on the wire), or
/// tell.
pub type Told<T> = Option<Option<T>>;

/// Tells `null` from a field that is not there.
pub(super) fn told<'de, D, T>(from: D) -> Result<Told<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}

/// Room on one disk of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskReport {
    /// Where it is mounted.
    pub mount: String,
    /// Bytes that are free for users other than root.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files that can still be made; absent where the file system has no such limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
}

/// How tests are set up on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSettings {
    /// Tests may be asked for.
    pub enabled: bool,
    /// They run by themselves after a switch.
    pub auto_run: bool,
    /// Seconds that one test may take.
    pub timeout_s: u64,
    /// How many tests the checkout has for this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// What runs on a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemReport {
    /// Number of the profile's generation that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Store path that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    /// Commit that the system says it was built from; any text that it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_revision: Option<String>,
    /// When what runs was activated, by the machine's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// Store path of the agent that this system contains: the one that should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_path: Option<String>,
    /// Whether what was booted is not what would boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_needed: Option<bool>,
    /// Version of the kernel that was booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted_kernel: Option<String>,
    /// Version of the kernel that would boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_kernel: Option<String>,
    /// What the profile points to: what a boot would activate. It differs from `store_path` after an
    /// activation that failed, and after a boot into an older generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_path: Option<String>,
}

/// A job the agent has: running, or ended and not yet acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// The command's id.
    pub command_id: CommandId,
    /// Name of the operation.
    pub op: String,
    /// Whether it still runs.
    pub state: JobState,
    /// Its exit code, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Number of the last line in the spool.
    pub last_seq: u64,
}

/// Whether a job still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It runs.
    Running,
    /// It ended; the outcome follows after the output.
    Finished,
}

/// `heartbeat`. The `update_status` of 3.x agents, their own opinion of the
/// compartments, is not read: nothing here is decided by it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// As in `register`.
    pub generation: String,
    /// As in `register`.
    pub nixpkgs_version: String,
    /// Name of the command that runs; `null`: none.
    pub pending_command: Option<String>,
    /// Its process; protocol 4: absent.
    pub command_pid: Option<i64>,
    /// Load of the machine; `null`: it cannot be told.
    pub metrics: Option<Metrics>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_hash: Option<String>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_path: Option<String>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_hash: Option<String>,
    // Protocol 4 from here.
    /// The running command's id, beside its name in `pending_command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemReport>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestSettings>,
    /// Sent when they changed since the last time on this link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generations: Option<Vec<Generation>>,
    /// As in `register`; this and the following are left out while they are as they were told last.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub checkout: Told<String>,
    /// As in `register`.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub dirty: Told<bool>,
    /// As in `register`.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub ahead: Told<u32>,
    /// As in `register`.
    #[serde(deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    pub expected_agent_path: Told<String>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Vec<DiskReport>>,
    /// As in `register`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// Load of a host: percent, percent, percent, 1-minute load average.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Use of all processors, in percent.
    pub cpu: f64,
    /// Use of memory, in percent.
    pub ram: f64,
    /// Use of swap, in percent.
    pub swap: f64,
    /// Load average of one minute.
    pub load: f64,
}
