//! The commands against a running dashboard, as clap reads them and `--help` shows them.

use clap::{ArgGroup, Args, Subcommand};
use std::ffi::OsString;

/// The names of the commands.
const NAMES: [&str; 11] = [
    "status", "hosts", "pull", "switch", "test", "update", "rollout", "hold", "release", "logs",
    "events",
];

/// Whether a command line is one of these commands: their exit codes are their own.
pub fn is_client(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let command = arguments.into_iter().nth(1);
    command.is_some_and(|command| NAMES.iter().any(|name| command == *name))
}

/// How the dashboard is reached, and who reads what is printed.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// The dashboard's address.
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// File with NIXFLEET_URL=… and NIXFLEET_API_TOKEN=…, used for what the environment does not
    /// say [default: nixfleet/client.env in the directory for settings].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Which hosts.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["hosts", "all"]).required(true))]
pub(super) struct Hosts {
    /// Names of hosts.
    #[arg(value_name = "HOST")]
    pub(super) hosts: Vec<String>,
    /// All hosts there are.
    #[arg(long)]
    pub(super) all: bool,
}

/// One operation.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) hosts: Hosts,
    /// Wait for a host that is offline, instead of being refused.
    #[arg(long)]
    pub(super) queue: bool,
    /// Go on regardless of what holds it back, such as freeze,windows. It stands in the audit log.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(super) regardless: Vec<String>,
    /// Wait for the end. Ctrl-C ends the waiting alone.
    #[arg(long)]
    pub(super) wait: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Several steps on several hosts.
#[derive(Debug, Args)]
pub(super) struct Steps {
    #[command(flatten)]
    pub(super) hosts: Hosts,
    /// How many hosts at once in a step that changes what runs.
    #[arg(long, value_name = "N")]
    pub(super) at_once: Option<u32>,
    /// One host goes through all steps before any other begins. If it fails, no other does.
    #[arg(long)]
    pub(super) one_first: bool,
    /// How many hosts begin together: numbers, shares and at the end rest, such as 1,10%,rest.
    #[arg(long, value_name = "WAVES", value_delimiter = ',', conflicts_with = "one_first")]
    pub(super) waves: Vec<String>,
    /// Seconds between a wave that is done and the next one.
    #[arg(long, value_name = "SECONDS")]
    pub(super) soak: Option<u64>,
    /// When so many hosts failed, no further step starts.
    #[arg(long, value_name = "N")]
    pub(super) stop_after: Option<u32>,
    /// Then roll back the hosts of the wave that failed.
    #[arg(long)]
    pub(super) roll_back: bool,
    /// At the end, reboot the hosts that need it; only with names of hosts.
    #[arg(long, conflicts_with = "all")]
    pub(super) reboot: bool,
    /// The one-time code, to reboot where codes are set up.
    #[arg(long, value_name = "CODE")]
    pub(super) totp: Option<String>,
    /// Go on regardless of what holds hosts back: freeze, windows, or both. It stands in the audit log.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(super) regardless: Vec<String>,
    /// Wait for the end. Ctrl-C ends the waiting alone.
    #[arg(long)]
    pub(super) wait: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Asks a running dashboard.
#[derive(Debug, Subcommand)]
pub(super) enum ClientAction {
    /// How the fleet is, and which hosts need something.
    Status {
        /// Exit with 0 only if all hosts are online and current; 2 if some are, 1 if none is.
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// The row of each host; with names also why.
    Hosts {
        /// Names of hosts.
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Bring the checkout to the remote's head.
    Pull(Run),
    /// Build and activate the checkout.
    Switch {
        #[command(flatten)]
        run: Run,
        /// Activate nothing now: it starts at the next boot.
        #[arg(long)]
        boot: bool,
    },
    /// Run the host's tests.
    Test(Run),
    /// Pull, switch and test, as a rollout.
    Update(Steps),
    /// Rollouts: several hosts, each only as far as its steps succeed.
    Rollout {
        #[command(subcommand)]
        action: RolloutAction,
    },
    /// Hold hosts: no rollout takes them until they are released.
    Hold {
        /// Names of hosts.
        #[arg(value_name = "HOST", required = true)]
        hosts: Vec<String>,
        /// Why, for the row and the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Release hosts that are held.
    Release {
        /// Names of hosts.
        #[arg(value_name = "HOST", required = true)]
        hosts: Vec<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// The log of a command.
    Logs {
        /// A command's id, or a host, whose last command is meant.
        #[arg(value_name = "HOST|COMMAND")]
        of: String,
        /// Go on until the command ends; the exit code says how it did.
        #[arg(short, long)]
        follow: bool,
        /// So many lines at the end.
        #[arg(short = 'n', long, value_name = "LINES", value_parser = clap::value_parser!(u64).range(1..))]
        last: Option<u64>,
        #[command(flatten)]
        reach: Reach,
    },
    /// The audit log.
    Events {
        /// About this host only.
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// Of this category only.
        #[arg(long, value_name = "CATEGORY")]
        category: Option<String>,
        /// So many entries at the end.
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        last: u32,
        /// Go on with what comes.
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What there is to do with rollouts.
#[derive(Debug, Subcommand)]
pub(super) enum RolloutAction {
    /// The last rollouts.
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// One rollout; the exit code says how it ended, once it has.
    Show {
        /// Its id.
        id: String,
        /// Wait for the end. Ctrl-C ends the waiting alone.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Start one: `update`, or one operation.
    Start {
        /// update, pull, switch, test and so on.
        op: String,
        #[command(flatten)]
        steps: Steps,
    },
    /// Start no further step. What runs goes on to its end.
    Cancel(OneRollout),
    /// Start no further step until it is resumed.
    Pause(OneRollout),
    /// Go on with one that is paused.
    Resume(OneRollout),
    /// Begin the next wave now.
    Promote(OneRollout),
    /// Leave out a host that waits.
    LeaveOut {
        #[command(flatten)]
        of: OneRollout,
        /// The host.
        #[arg(value_name = "HOST")]
        host: String,
    },
    /// Start a new one of the hosts that failed.
    Retry {
        #[command(flatten)]
        of: OneRollout,
        /// The one-time code, to reboot where codes are set up.
        #[arg(long, value_name = "CODE")]
        totp: Option<String>,
        /// Go on regardless of what holds hosts back: freeze, windows, or both. It stands in the audit log.
        #[arg(long, value_name = "WHAT", value_delimiter = ',')]
        regardless: Vec<String>,
    },
}

/// A rollout.
#[derive(Debug, Args)]
pub(super) struct OneRollout {
    /// Its id.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) reach: Reach,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_against_a_dashboard_has_its_exit_codes() {
        #[derive(clap::Parser)]
        struct All {
            #[command(subcommand)]
            _action: ClientAction,
        }
        let command = <All as clap::CommandFactory>::command();
        let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, NAMES);
        let line = |name: &str| ["nixfleet", name].map(OsString::from);
        assert!(NAMES.iter().all(|name| is_client(line(name))));
        assert!(!is_client(line("--agent")));
    }
}
