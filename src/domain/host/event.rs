//! What can happen to a host, and what must be done about it.

use super::overrides::Change;
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::bounds::Bound;
use crate::domain::command::{Command, Outcome, WorkPhase};
use crate::domain::deploy::Built;
use crate::domain::desired::Desired;
use crate::domain::disk::Disk;
use crate::domain::facts::{
    AgentBinary, Comparison, Deploy, Feature, LockState, Process, SystemFacts, TestRun,
};
use crate::domain::generation::Generation;
use crate::domain::ids::{CommandId, Commit};
use crate::domain::maintenance::Restraints;
use crate::domain::operation::{Args, Operation};
use crate::domain::profile::HostProfile;
use crate::domain::refusal::Refusal;
use crate::domain::repeated::Repeated;
use crate::domain::snapshot::Metrics;
use crate::domain::tag::Tags;
use crate::domain::test_report::TestResult;
use std::sync::Arc;
use std::time::Duration;

/// A fact that a message leaves as it was (`None`), unsays (`Some(None)`), or tells.
pub type Told<T> = Option<Option<T>>;

/// Facts that came in one message. What the message lacks is `None` and changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Commit of the config clone.
    pub checkout: Option<Commit>,
    /// There is no config clone.
    pub no_checkout: bool,
    /// Whether the clone differs from its commit.
    pub dirty: Told<bool>,
    /// How many commits the clone has that its remote has not.
    pub ahead: Told<u32>,
    /// The agent that what runs contains.
    pub expected_agent: Told<String>,
    /// With an outcome: what the job built.
    pub built: Option<Built>,
    /// The clone's flake.lock.
    pub lock: Option<LockState>,
    /// Version of nixpkgs.
    pub nixpkgs_version: Option<String>,
    /// The agent's binary.
    pub binary: AgentBinary,
    /// What runs.
    pub system: Option<SystemFacts>,
    /// How tests are set up.
    pub tests: Option<TestSetup>,
    /// How long one test may take.
    pub test_timeout: Option<Duration>,
    /// The last generations.
    pub generations: Option<Vec<Generation>>,
    /// The disks.
    pub disks: Option<Vec<Disk>>,
    /// What the agent did by itself, in words. Hostile text.
    pub notices: Vec<String>,
    /// Load.
    pub metrics: Option<Metrics>,
}

impl Report {
    /// Whether it says the same as another one, the load apart.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        // Taken apart, so that a field that is new cannot be forgotten here.
        let Self {
            checkout,
            no_checkout,
            dirty,
            ahead,
            expected_agent,
            built,
            lock,
            nixpkgs_version,
            binary,
            system,
            tests,
            test_timeout,
            generations,
            disks,
            notices,
            metrics: _,
        } = self;
        *checkout == other.checkout
            && *no_checkout == other.no_checkout
            && *dirty == other.dirty
            && *ahead == other.ahead
            && *expected_agent == other.expected_agent
            && *built == other.built
            && *lock == other.lock
            && *nixpkgs_version == other.nixpkgs_version
            && *binary == other.binary
            && *system == other.system
            && *tests == other.tests
            && *test_timeout == other.test_timeout
            && *generations == other.generations
            && *disks == other.disks
            // Each of them is news.
            && notices.is_empty()
    }
}

/// How a host was when a job ended, as its outcome says.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    pub(super) checkout: Option<Commit>,
    pub(super) lock: Option<LockState>,
}

impl From<&Report> for Said {
    fn from(report: &Report) -> Self {
        Self { checkout: report.checkout.clone(), lock: report.lock.clone() }
    }
}

/// How tests are set up on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestSetup {
    /// Whether they are on.
    pub enabled: bool,
    /// Whether they run by themselves after a switch.
    pub auto_run: bool,
    /// How many there are; `None` if not counted.
    pub count: Option<u32>,
}

/// What an agent says when it connects.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registration {
    /// Name, looks and place; empty fields change nothing.
    pub profile: HostProfile,
    /// The agent's version.
    pub version: Option<String>,
    /// The protocol it speaks; `None` means 3.
    pub protocol: Option<u32>,
    /// Which process of the agent it is. Hostile text.
    pub process: Process,
    /// What it can do beyond its protocol.
    pub features: Vec<Feature>,
    /// Facts.
    pub report: Report,
    /// The tags that its configuration gives it; `None` if it does not say.
    pub tags: Option<Tags>,
    /// The jobs it has; `None` if it cannot resume (protocol 3).
    pub jobs: Option<Vec<Job>>,
    /// What it keeps of what its host left; `None` if it keeps nothing of that.
    pub held: Option<Vec<Repeated>>,
}

/// A job that an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The command's id.
    pub id: CommandId,
    /// What it does; `None` if this dashboard does not know the operation.
    pub op: Option<Operation>,
    /// Whether it still runs.
    pub running: bool,
}

/// What an agent says it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Its id, if the agent knows one (protocol 4).
    pub id: Option<CommandId>,
    /// The operation's name as the agent wrote it. Hostile text.
    pub name: String,
}

/// Which command a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Protocol 4: this one.
    Id(CommandId),
    /// Protocol 3: the one with this name that runs; empty: whatever runs.
    Name(String),
}

/// What can happen to a host.
#[derive(Debug, Clone)]
pub enum HostEvent {
    /// An agent registered. `known`: the commands behind its jobs, as stored.
    Connected {
        /// What it said.
        registration: Box<Registration>,
        /// Commands of this host that its jobs belong to.
        known: Vec<Command>,
    },
    /// The link is gone.
    Disconnected,
    /// Whether there is a link, as a fact of its own: it holds at once, also while nothing can be
    /// stored. What follows for commands comes with [`Self::Connected`] and
    /// [`Self::Disconnected`].
    LinkIs {
        /// There is one.
        up: bool,
    },
    /// A heartbeat came.
    Heartbeat {
        /// Facts.
        report: Box<Report>,
        /// What the agent works on.
        work: Option<Work>,
    },
    /// A frame came that says nothing else.
    Heard,
    /// A command of this host that is over, as stored: the agent still talks about it, or may.
    Remembered(Box<Command>),
    /// Lines of output came. What becomes of them is told by [`HostEffect::StoreOutput`].
    Output {
        /// Whose they are; `None` in protocol 3: they belong to what runs.
        id: Option<CommandId>,
        /// The number of the first; `None` in protocol 3: the next one.
        first_seq: Option<u64>,
        /// How many there are.
        count: u64,
        /// The last of them that was on stderr. Hostile text.
        last_error: Option<String>,
    },
    /// The agent started a command.
    Accepted(CommandId),
    /// The agent said what a command's job is doing.
    Phase {
        /// Which command.
        id: CommandId,
        /// What.
        phase: WorkPhase,
    },
    /// The agent refused a command.
    Rejected {
        /// Which.
        about: About,
        /// Why. Hostile text.
        reason: String,
        /// What runs instead.
        work: Option<Work>,
    },
    /// A command ended on the host.
    Ended {
        /// Which.
        about: About,
        /// How.
        outcome: Outcome,
        /// Facts gathered after it.
        report: Box<Report>,
    },
    /// A test is about to start, or the agent says how far it is.
    Progress {
        /// Which command.
        about: About,
        /// In a few words. Hostile text.
        text: String,
    },
    /// A test ended.
    TestEnded {
        /// Which command.
        about: About,
        /// How.
        result: TestResult,
    },
    /// A user asks for an operation.
    Requested {
        /// Chosen by a rollout, which asks again if it does not know that it has asked. It also
        /// takes a command that does the same and runs already.
        id: Option<CommandId>,
        /// What.
        op: Operation,
        /// With what.
        args: Args,
        /// Wait if the host is offline.
        queue: bool,
        /// Who.
        by: Author,
    },
    /// A user stops a command, or takes it back.
    StopRequested {
        /// Which.
        id: CommandId,
        /// Who.
        by: Author,
    },
    /// A user changes what the dashboard says about the host.
    Configured {
        /// What changes; the rest stays.
        change: Box<Change>,
        /// Who.
        by: Author,
    },
    /// A user holds the host: nothing is rolled out to it, whatever the remote says.
    Held {
        /// Why. Hostile text.
        reason: String,
        /// Who.
        by: Author,
    },
    /// A user lets it go.
    Released {
        /// Who.
        by: Author,
    },
    /// A user gives a command more time.
    ExtendRequested {
        /// Which.
        id: CommandId,
        /// Who.
        by: Author,
    },
    /// The remote says something new.
    DesiredChanged(Arc<Desired>),
    /// The source worked out how two commits relate.
    Compared {
        /// The host's commit.
        host: Commit,
        /// The remote's head.
        head: Commit,
        /// `None` if it could not be worked out.
        comparison: Option<Comparison>,
    },
    /// What a freeze and its windows hold back now: a fact of its own, told before anything that may
    /// begin something.
    Restrained(Restraints),
    /// It runs another commit than most hosts of its source, or no longer does.
    Drift(bool),
    /// The agent said something that makes no sense; in words.
    Odd(String),
    /// The agent said more than it may.
    Exceeded(&'static Bound),
    /// Somebody wants to know how the host is now.
    ReportWanted,
    /// Time has passed.
    Tick,
}

impl HostEvent {
    /// Whether a user waits for its answer.
    pub fn is_asked_by_user(&self) -> bool {
        matches!(
            self,
            Self::Requested { .. }
                | Self::StopRequested { .. }
                | Self::ExtendRequested { .. }
                | Self::Configured { .. }
                | Self::Held { .. }
                | Self::Released { .. }
        )
    }

    /// Whether it came on an agent's link, after `register`.
    pub fn is_said_by_agent(&self) -> bool {
        match self {
            Self::Heartbeat { .. }
            | Self::Heard
            | Self::Output { .. }
            | Self::Accepted(_)
            | Self::Phase { .. }
            | Self::Rejected { .. }
            | Self::Ended { .. }
            | Self::Progress { .. }
            | Self::TestEnded { .. }
            | Self::Odd(_)
            | Self::Exceeded(_) => true,
            Self::Connected { .. }
            | Self::Disconnected
            | Self::LinkIs { .. }
            | Self::Restrained(_)
            | Self::Remembered(_)
            | Self::Requested { .. }
            | Self::StopRequested { .. }
            | Self::ExtendRequested { .. }
            | Self::Configured { .. }
            | Self::Held { .. }
            | Self::Released { .. }
            | Self::DesiredChanged(_)
            | Self::Compared { .. }
            | Self::Drift(_)
            | Self::ReportWanted
            | Self::Tick => false,
        }
    }
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum HostEffect {
    /// Store profile and facts.
    SaveHost,
    /// Store the command; with `journal`, its state is a transition.
    SaveCommand {
        /// The command as it is now.
        command: Box<Command>,
        /// Whether it entered a state.
        journal: bool,
    },
    /// Store the lines that came, under this command; `first_seq` is the number of the first.
    StoreOutput {
        /// Whose they are.
        id: CommandId,
        /// The number of the first.
        first_seq: u64,
    },
    /// Store a line of the dashboard's own in a command's log.
    SayInLog {
        /// Whose log.
        id: CommandId,
        /// The line's number.
        first_seq: u64,
        /// The line.
        text: String,
    },
    /// Store a test's result.
    SaveTestResult(CommandId, Box<TestResult>),
    /// Store a deploy that ended.
    SaveDeploy(Box<Deploy>),
    /// Store a finished test run.
    SaveTestRun(Box<TestRun>),
    /// Write to the audit log.
    Record {
        /// What it is about.
        category: AuditCategory,
        /// What happened.
        message: String,
        /// Who did it, if a user did.
        by: Option<Author>,
        /// Which command it is about, if about one.
        command: Option<CommandId>,
    },
    /// Tell the agent to run a command.
    Run {
        /// Its id.
        id: CommandId,
        /// What.
        op: Operation,
        /// With what.
        args: Args,
    },
    /// Tell the agent to stop what it runs.
    Stop(CommandId),
    /// Tell the agent to gather its facts and to say them.
    AskToReport,
    /// Tell the agent that what this command left, or brought, is held no more.
    LetGo(CommandId),
    /// Browsers open the log of a command that was accepted.
    Announce(Box<Command>),
    /// Browsers learn that a command is over.
    Complete(Box<Command>),
    /// Ask the remote anew.
    Refetch,
    /// Work out how two commits relate.
    Compare {
        /// The host's commit.
        host: Commit,
        /// The remote's head.
        head: Commit,
    },
    /// Answers a request: the command, or why not.
    Answer(Box<Result<Command, Refusal>>),
}
