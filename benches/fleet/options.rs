//! What a user of the load generator can say.

use crate::harm::Harm;
use crate::server::Subject;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Simulated agents and browsers against a dashboard process that this program starts.
///
/// Server CPU is user and system time of the server's process, from /proc.
#[derive(Debug, Clone, Parser)]
#[command(name = "fleet", no_binary_name = false)]
pub(crate) struct Options {
    /// What to measure, in this order; without any: open, closed, browsers and pages.
    #[arg(value_enum)]
    wanted: Vec<Scenario>,
    /// The program to measure; the one of this build if missing.
    #[arg(long, value_name = "PROGRAM")]
    dashboard: Option<PathBuf>,
    /// Another build of it, to compare with in the same run.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Leave the floor server out: a bare actix and WebSocket that only parses.
    #[arg(long)]
    no_floor: bool,
    /// Simulated hosts; each scenario has a number of its own if missing. Several numbers, separated
    /// by commas, are measured one after the other.
    #[arg(long, value_delimiter = ',')]
    hosts: Vec<usize>,
    /// Finished commands that the database holds from before; several as with --hosts.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    history: Vec<usize>,
    /// Seconds between heartbeats of a host.
    #[arg(long, default_value_t = 5.0)]
    interval: f64,
    /// Seconds that are measured, after one interval of warming up.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Minutes of `soak` and `siege`.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// What the ten hostile hosts of `siege` do; each kind if missing.
    #[arg(long, value_enum, value_delimiter = ',')]
    harm: Vec<Harm>,
    /// Browsers that watch the fleet in `browsers` and `logs`; 50 and 1 if missing.
    #[arg(long)]
    browsers: Option<usize>,
    /// Hosts per second whose row changes in `browsers`.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) changes: f64,
    /// Page loads, API calls or clicks that are measured.
    #[arg(long, default_value_t = 100)]
    pub(crate) loads: usize,
    /// Lines of output in `logs`.
    #[arg(long, default_value_t = 300_000)]
    pub(crate) lines: u64,
    /// How often everything is measured; medians are reported.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Every how manieth agent speaks protocol 4; 0: none.
    #[arg(long, default_value_t = 0)]
    pub(crate) protocol_4_every: usize,
    /// Fails where a heartbeat costs more than so many times the floor's CPU.
    #[arg(long, value_name = "TIMES")]
    pub(crate) at_most_floor: Option<f64>,
    /// Directory for the databases; the system's one for temporary files if missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Writes every figure of every round here too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draws each figure over the hosts, or over the history, into this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
}

/// How large the fleet is, and how long it has been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Simulated hosts.
    pub(crate) hosts: usize,
    /// Finished commands in the database.
    pub(crate) history: usize,
}

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Heartbeats every few seconds, whatever the server does; pings as 3.x agents send them.
    Open,
    /// Heartbeat, ping, wait for the answer, and again.
    Closed,
    /// The open loop with browsers that watch, and rows that change.
    Browsers,
    /// The open loop, and pages and the list of hosts are loaded.
    Pages,
    /// A command on one host after the other: from the request to the agent.
    Clicks,
    /// One protocol-4 agent sends lines of output, to disk and to browsers.
    Logs,
    /// Links and browsers that mean harm, beside hosts that do not.
    Hostile,
    /// From the start of the process to its first page, hosts in the database.
    Start,
    /// Random commands, cuts, pushes and reloads for minutes: nothing may pile up.
    Soak,
    /// Good hosts at work, and ten that mean harm in ten ways, for minutes.
    Siege,
    /// What must not grow unnoticed: writes, allocations, bytes. It fails where one has.
    Guard,
}

impl Scenario {
    /// As a user writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Browsers => "browsers",
            Self::Pages => "pages",
            Self::Clicks => "clicks",
            Self::Logs => "logs",
            Self::Hostile => "hostile",
            Self::Start => "start",
            Self::Soak => "soak",
            Self::Siege => "siege",
            Self::Guard => "guard",
        }
    }

    /// Whether it can be measured with this subject: the floor only reads heartbeats, and only
    /// the dashboard inside this program counts.
    pub(crate) fn fits(self, subject: &Subject) -> bool {
        match (self, subject) {
            (Self::Guard, subject) => *subject == Subject::Counted,
            (_, Subject::Counted) => false,
            (Self::Open | Self::Closed, Subject::Floor) => true,
            (
                Self::Browsers
                | Self::Pages
                | Self::Clicks
                | Self::Logs
                | Self::Hostile
                | Self::Start
                | Self::Soak
                | Self::Siege,
                Subject::Floor,
            ) => false,
            (_, Subject::Dashboard { .. }) => true,
        }
    }

    /// How many hosts take part if nobody says.
    fn usual_hosts(self) -> usize {
        match self {
            Self::Open => 5000,
            Self::Closed | Self::Hostile | Self::Guard => 100,
            Self::Browsers
            | Self::Pages
            | Self::Clicks
            | Self::Start
            | Self::Soak
            | Self::Siege => 1000,
            Self::Logs => 1,
        }
    }

    /// With which fleets it is measured, one after the other.
    pub(crate) fn sizes(self, options: &Options) -> Vec<Size> {
        let usual = vec![self.usual_hosts()];
        let hosts = if options.hosts.is_empty() { &usual } else { &options.hosts };
        let sizes = hosts
            .iter()
            .flat_map(|&hosts| options.history.iter().map(move |&history| Size { hosts, history }));
        sizes.collect()
    }
}

impl Options {
    /// What is to be measured.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if !self.wanted.is_empty() {
            return self.wanted.clone();
        }
        vec![Scenario::Open, Scenario::Closed, Scenario::Browsers, Scenario::Pages]
    }

    /// Who is measured.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let mut subjects = Vec::new();
        if !self.no_floor {
            subjects.push(Subject::Floor);
        }
        let own = PathBuf::from(env!("CARGO_BIN_EXE_nixfleet"));
        let program = self.dashboard.clone().unwrap_or(own);
        subjects.push(Subject::Dashboard { label: "dashboard".to_owned(), program });
        if let Some(program) = self.against.clone() {
            subjects.push(Subject::Dashboard { label: "against".to_owned(), program });
        }
        subjects.push(Subject::Counted);
        subjects
    }

    /// Between two heartbeats of a host.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval.max(0.01))
    }

    /// How long is measured.
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(0.1))
    }

    /// How many browsers watch.
    pub(crate) fn browsers_or(&self, usual: usize) -> usize {
        self.browsers.unwrap_or(usual)
    }

    /// What hostile hosts do: each of them one of these, in turn.
    pub(crate) fn harm(&self) -> impl Iterator<Item = Harm> {
        let kinds: &[Harm] = if self.harm.is_empty() { &Harm::ALL } else { &self.harm };
        kinds.iter().copied().cycle()
    }

    /// The most hosts that any scenario wants.
    pub(crate) fn most_hosts(&self) -> usize {
        let sizes = self.scenarios().into_iter().flat_map(|scenario| scenario.sizes(self));
        sizes.map(|size| size.hosts).max().unwrap_or(0)
    }
}
