//! What a command against a running dashboard works with.

use crate::base::secret::Secret;
use crate::domain::operation::Operation;

/// What a command against a running dashboard works with.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The dashboard's address, `http(s)://…`, without a slash at the end.
    pub url: String,
    /// An API token.
    pub token: Secret,
    /// Whether programs read what is printed.
    pub json: bool,
    /// Whether colours are welcome on a terminal.
    pub colours: bool,
    /// What is asked.
    pub ask: Ask,
}

/// What a user asks of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// How the fleet is.
    Status {
        /// Whether the exit code says if all hosts are current.
        check: bool,
    },
    /// The row of each host.
    Hosts {
        /// Which; all if empty.
        names: Vec<String>,
    },
    /// One operation.
    Run {
        /// Which.
        op: Operation,
        /// Where.
        hosts: Which,
        /// Whether it may wait for a host that is offline.
        queue: bool,
        /// Whether nothing is activated before the next boot.
        boot: bool,
        /// What it goes on regardless of.
        regardless: Vec<String>,
        /// Whether its end is waited for.
        wait: bool,
    },
    /// A rollout.
    Rollout(RolloutAsk),
    /// No rollout takes these hosts.
    Hold {
        /// Which.
        hosts: Vec<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Rollouts take them again.
    Release {
        /// Which.
        hosts: Vec<String>,
    },
    /// The log of a command.
    Logs {
        /// A command's id, or a host, whose last command is meant.
        of: String,
        /// Whether to go on until it ends.
        follow: bool,
        /// So many lines at the end; all if `None`.
        last: Option<u64>,
    },
    /// The audit log.
    Events {
        /// About this host only.
        host: Option<String>,
        /// Of this category only.
        category: Option<String>,
        /// So many at the end.
        last: u32,
        /// Whether to go on for ever.
        follow: bool,
    },
}

/// Which hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All there are.
    All,
    /// These.
    Named(Vec<String>),
}

/// What a user asks about rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutAsk {
    /// The last ones.
    List,
    /// One of them.
    Show {
        /// Its id.
        id: String,
        /// Whether its end is waited for.
        wait: bool,
    },
    /// A new one.
    Start {
        /// `update`, or an operation.
        op: String,
        /// Where.
        hosts: Which,
        /// How many hosts at once in a step that changes what runs.
        at_once: Option<u32>,
        /// After so many failures no further step starts.
        stop_after: Option<u32>,
        /// Whether one host goes through before the others begin.
        one_first: bool,
        /// How many hosts begin together; all if empty.
        waves: Vec<String>,
        /// Seconds between two waves.
        soak: Option<u64>,
        /// Whether a wave of which too many failed goes back.
        roll_back: bool,
        /// Whether hosts that need it are rebooted at the end.
        reboot: bool,
        /// The one-time code for that.
        totp: Option<String>,
        /// What holds hosts back and it goes on regardless of.
        regardless: Vec<String>,
        /// Whether its end is waited for.
        wait: bool,
    },
    /// A new one of the hosts that failed.
    Retry {
        /// The id of the one before.
        id: String,
        /// The one-time code, where it reboots.
        totp: Option<String>,
        /// What holds hosts back and it goes on regardless of.
        regardless: Vec<String>,
    },
    /// It goes on in another way: `cancel`, `pause` and so on, as the API names them.
    Change {
        /// Its id.
        id: String,
        /// How.
        what: &'static str,
        /// The field that this needs, if it does, and its value.
        field: Option<(&'static str, String)>,
    },
}
