//! What the outside sees of a host: one value that page and API both show.

use super::command::{Command, State};
pub use super::compartment::Standing;
use super::compartment::{Compartment, Row, Status};
use super::desired::PendingPr;
use super::facts::{Feature, HostFacts, MissingCommit};
use super::forge::Forge;
use super::generation::Generation;
use super::ids::{CommandId, HostId};
use super::operation::Operation;
use super::profile::HostProfile;
use super::refusal::Refusal;
use super::timestamp::Timestamp;

/// A host as it is now. Made by its actor after every change, read by everybody else.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSnapshot {
    /// Its id.
    pub id: HostId,
    /// Name, looks and place.
    pub profile: HostProfile,
    /// Whether an agent is connected.
    pub online: bool,
    /// Its link crosses a network and is not encrypted. Whoever holds the link says so.
    pub plain_link: bool,
    /// Whether the facts are there to say so: the agent's version is not the dashboard's.
    pub agent_outdated: bool,
    /// What it reported.
    pub facts: HostFacts,
    /// The five verdicts.
    pub row: Row,
    /// The live exclusive command.
    pub command: Option<Command>,
    /// Other live commands: queued ones, restart-agent, reboot.
    pub waiting: Vec<Command>,
    /// What its agent works on, if that has no name here. Hostile text.
    pub busy_with: Option<String>,
    /// The command that ended last, for its log.
    pub last_command: Option<LastCommand>,
    /// The last ten generations.
    pub generations: Vec<Generation>,
    /// Since when it is known that two machines use its name; `None` while one does.
    pub shared_name_since: Option<Timestamp>,
    /// It runs another commit than most hosts of its source.
    pub drift: bool,
    /// Rollouts leave it out: somebody holds it, or it went back from what the remote's head is.
    pub held: bool,
    /// An open pull request that updates flake.lock.
    pub pending_pr: Option<PendingPr>,
    /// Where the forge of its source has pages of commits, where that is known.
    pub forge: Option<Forge>,
    /// The name of the source that it is compared with, where that could be read.
    pub source: Option<String>,
    /// Which operations could start now; for the others, why not.
    pub allowed: Vec<(Operation, Result<(), Refusal>)>,
}

impl HostSnapshot {
    /// The newest of the commits that the host does not have, if it is behind.
    pub fn missing(&self) -> &[MissingCommit] {
        let behind = self.row[Compartment::Git].status == Status::Outdated;
        let lineage = self
            .facts
            .lineage
            .as_ref()
            .filter(|lineage| behind && self.facts.checkout.as_ref() == Some(&lineage.host));
        lineage.map_or(&[], |lineage| &lineage.missing)
    }
}

/// The command of a host that ended last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastCommand {
    /// Its id.
    pub id: CommandId,
    /// What it was.
    pub op: Operation,
    /// How it ended.
    pub state: State,
    /// When.
    pub finished_at: Option<Timestamp>,
}

impl HostSnapshot {
    /// Whether its switches are guarded (spec: guard); `None` where that is not known.
    pub fn is_guarded(&self) -> Option<bool> {
        let agent = &self.facts.agent;
        // An agent that can boot later does as users set it; an older one does as it was set up.
        let set = self.profile.overrides.guard.filter(|_| agent.can(Feature::Boot));
        agent.version.as_ref().map(|_| set.unwrap_or(agent.can(Feature::Guard)))
    }

    /// The whole row in one word.
    pub fn standing(&self) -> Standing {
        self.row.standing()
    }

    /// Why `op` may not start now; `None` if it may.
    pub fn refusal(&self, op: Operation) -> Option<&Refusal> {
        self.allowed.iter().find(|(known, _)| *known == op)?.1.as_ref().err()
    }
}

/// What changes with every heartbeat and is not worth a render of the row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pulse {
    /// When a frame last came.
    pub last_seen: Option<Timestamp>,
    /// CPU in percent, RAM in percent, swap in percent, 1-minute load.
    pub metrics: Option<Metrics>,
}

/// Load of a host.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Metrics {
    /// Percent.
    pub cpu: f64,
    /// Percent.
    pub ram: f64,
    /// Percent.
    pub swap: f64,
    /// 1-minute load average.
    pub load: f64,
}
