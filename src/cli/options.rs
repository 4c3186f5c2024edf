//! The options of the command line, as clap reads them and `--help` shows them.

use super::commands::ClientAction;
use clap::{ArgGroup, Parser};
use std::path::PathBuf;

/// One row per machine: is it current? And a click to bring it there.
#[derive(Debug, Parser)]
#[command(name = "nixfleet", version, args_conflicts_with_subcommands = true)]
#[command(group = ArgGroup::new("role").args(["dashboard", "agent", "demo"]).required(true))]
#[command(
    after_help = "Every option can be given as a variable too: --data-dir is NIXFLEET_DATA_DIR.\n\
    Secrets are variables or files (NIXFLEET_TOKEN or NIXFLEET_TOKEN_FILE), never options."
)]
pub(super) struct Cli {
    /// Run the dashboard: web interface and database.
    #[arg(long)]
    pub(super) dashboard: bool,
    /// Make a new admin password, print it once and end every session. The dashboard must be stopped.
    #[arg(long, requires = "dashboard", help_heading = "Dashboard")]
    pub(super) reset_password: bool,
    /// Run the agent on a machine of the fleet.
    #[arg(long)]
    pub(super) agent: bool,
    /// Run a whole fleet on this machine, to try it: nothing to set up.
    #[arg(long)]
    pub(super) demo: bool,
    /// How many hosts the demo has: from 3 to 500. The first three have real agents, the others are
    /// simulated, in all states that a host can be in. 3 if not given.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["dashboard", "agent"])]
    pub(super) hosts: Option<String>,

    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Dashboard")]
    pub(super) listen: Option<String>,
    /// Directory for the database and secrets.
    #[arg(long, value_name = "DIR", help_heading = "Dashboard")]
    pub(super) data_dir: Option<String>,
    /// The dashboard's own address, as users and agents see it.
    #[arg(long, value_name = "URL", help_heading = "Dashboard")]
    pub(super) base_url: Option<String>,
    /// Config repository: github:owner/repo, gitea:https://forge.example.org/owner/repo, a git URL or
    /// path, or the URL of a version.json.
    /// Several: name=source#branch, separated by semicolons; the first is the default.
    #[arg(long, value_name = "SOURCE", help_heading = "Dashboard")]
    pub(super) source: Option<String>,
    /// Base URL of GitHub's API, for GitHub Enterprise.
    #[arg(long, value_name = "URL", help_heading = "Dashboard")]
    pub(super) github_api: Option<String>,
    /// Beginnings of the branches of pull requests that update flake.lock.
    #[arg(long, value_name = "PREFIXES", help_heading = "Dashboard")]
    pub(super) pr_branches: Option<String>,
    /// Labels of pull requests that update flake.lock.
    #[arg(long, value_name = "LABELS", help_heading = "Dashboard")]
    pub(super) pr_labels: Option<String>,
    /// Parts of the titles of pull requests that update flake.lock.
    #[arg(long, value_name = "TEXTS", help_heading = "Dashboard")]
    pub(super) pr_titles: Option<String>,
    /// Authors of pull requests that update flake.lock.
    #[arg(long, value_name = "NAMES", help_heading = "Dashboard")]
    pub(super) pr_authors: Option<String>,
    /// Seconds for which an answer of the remote is used.
    #[arg(long, value_name = "SECONDS", help_heading = "Dashboard")]
    pub(super) fetch_ttl: Option<String>,
    /// Certificate and chain in PEM, to speak TLS; read again when the file changes.
    #[arg(long, value_name = "FILE", help_heading = "Dashboard")]
    pub(super) tls_cert: Option<String>,
    /// Private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", help_heading = "Dashboard")]
    pub(super) tls_key: Option<String>,
    /// Addresses of proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, value_name = "ADDRESSES", help_heading = "Dashboard")]
    pub(super) trusted_proxies: Option<String>,
    /// Days for which commands and their output are kept.
    #[arg(long, value_name = "DAYS", help_heading = "Dashboard")]
    pub(super) command_retention_days: Option<String>,
    /// Days for which the audit log is kept.
    #[arg(long, value_name = "DAYS", help_heading = "Dashboard")]
    pub(super) event_retention_days: Option<String>,
    /// How long operations may take before they are overdue: switch=90m,pull=2m.
    #[arg(long, value_name = "LIMITS", help_heading = "Dashboard")]
    pub(super) time_limits: Option<String>,
    /// Seconds between version messages to browsers.
    #[arg(long, value_name = "SECONDS", help_heading = "Dashboard")]
    pub(super) sync_interval: Option<String>,

    /// The branch that hosts follow.
    #[arg(long, value_name = "BRANCH", help_heading = "Both")]
    pub(super) branch: Option<String>,
    /// Private key for git over ssh.
    #[arg(long, value_name = "FILE", help_heading = "Both")]
    pub(super) ssh_key: Option<String>,

    /// The dashboard's address.
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    pub(super) url: Option<String>,
    /// Certificates in PEM to know the dashboard by, instead of those of the system.
    #[arg(long, value_name = "FILE", help_heading = "Agent")]
    pub(super) ca: Option<String>,
    /// The config repository to clone.
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    pub(super) repo_url: Option<String>,
    /// The agent's own clone of it.
    #[arg(long, value_name = "DIR", help_heading = "Agent")]
    pub(super) repo_dir: Option<String>,
    /// Seconds between heartbeats.
    #[arg(long, value_name = "SECONDS", help_heading = "Agent")]
    pub(super) interval: Option<String>,
    /// This machine's name; must be the name of its configuration in the flake.
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    pub(super) hostname: Option<String>,
    /// Colour of its row.
    #[arg(long, value_name = "#RRGGBB", help_heading = "Agent")]
    pub(super) theme_color: Option<String>,
    /// home, work or cloud.
    #[arg(long, value_name = "PLACE", help_heading = "Agent")]
    pub(super) location: Option<String>,
    /// server, desktop, laptop or gaming.
    #[arg(long, value_name = "TYPE", help_heading = "Agent")]
    pub(super) device_type: Option<String>,
    /// Words by which the host is found and chosen, separated by spaces: small letters, digits, -, _
    /// and dots.
    #[arg(long, value_name = "TAGS", help_heading = "Agent")]
    pub(super) tags: Option<String>,
    /// nixos, darwin or home-manager; detected if not given.
    #[arg(long, value_name = "PLATFORM", help_heading = "Agent")]
    pub(super) platform: Option<String>,
    /// Directory for the clone and for jobs.
    #[arg(long, value_name = "DIR", help_heading = "Agent")]
    pub(super) state_dir: Option<String>,
    /// Whether tests are on: true or false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    pub(super) tests_enabled: Option<String>,
    /// Whether tests run by themselves after a switch: true or false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    pub(super) tests_auto_run: Option<String>,
    /// Seconds that one test may take.
    #[arg(long, value_name = "SECONDS", help_heading = "Agent")]
    pub(super) test_timeout: Option<String>,
    /// Whether a nearly empty battery is in the way of a switch: true or false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    pub(super) check_power: Option<String>,
    /// Whether switches and rollbacks on NixOS are guarded: true or false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    pub(super) guard: Option<String>,
    /// Whether the host reboots when the system of before does not come back otherwise: true or
    /// false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    pub(super) guard_reboot: Option<String>,
    /// Units that may fail in a guarded switch, separated by spaces.
    #[arg(long, value_name = "UNITS", help_heading = "Agent")]
    pub(super) guard_ignore_units: Option<String>,
    /// Seconds that the activation of a guarded switch may take.
    #[arg(long, value_name = "SECONDS", help_heading = "Agent")]
    pub(super) guard_activation: Option<String>,
    /// Seconds within which an activated system must be confirmed.
    #[arg(long, value_name = "SECONDS", help_heading = "Agent")]
    pub(super) guard_window: Option<String>,
    /// Take only commits that a key of this file signed: ssh, in git's format of allowed signers.
    #[arg(long, value_name = "FILE", help_heading = "Agent")]
    pub(super) allowed_signers: Option<String>,
    /// Take only commits that a key of this keyring signed: gpg, exported keys or a keybox.
    #[arg(long, value_name = "FILE", help_heading = "Agent")]
    pub(super) signers_keyring: Option<String>,
    /// Take this commit, in full, as the one that this host has: the next signed head may be it, or
    /// descend from it. For a branch that was rewritten.
    #[arg(long, value_name = "COMMIT", requires = "agent",
        conflicts_with_all = ["check", "adopt_clone"], help_heading = "Agent")]
    pub(super) trust: Option<String>,
    /// Say which format of a guarded switch this agent can confirm. An agent asks the next one so.
    #[arg(long, requires = "agent", conflicts_with_all = ["check", "dashboard"], hide = true)]
    pub(super) guard_format: bool,
    /// Say what the dashboard or the agent would work with, and whether each of it works; start
    /// nothing. `--check=settings` reads the settings only, without secrets.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", value_parser = ["all", "settings"],
        conflicts_with = "demo", help_heading = "Both")]
    pub(super) check: Option<String>,
    /// Give the clone in --repo-dir to the agent: from then on a pull resets it.
    #[arg(long, requires = "agent", conflicts_with = "check", help_heading = "Agent")]
    pub(super) adopt_clone: bool,
    /// Program used instead of nixos-rebuild, darwin-rebuild or home-manager.
    #[arg(long, value_name = "PROGRAM", help_heading = "Agent")]
    pub(super) rebuild: Option<String>,
    /// More arguments for that program, separated by spaces.
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true, help_heading = "Agent")]
    pub(super) rebuild_flags: Option<String>,
    /// Directory that stands for / where the agent looks at what runs.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(super) root: Option<String>,

    #[command(subcommand)]
    pub(super) action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Writes a copy of the dashboard's database, while the dashboard runs.
    Backup {
        /// Where to; must not exist yet.
        file: PathBuf,
        /// The dashboard's directory.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<String>,
    },
    /// Puts a backup in the place of the database. The dashboard must be stopped.
    Restore {
        /// The backup.
        file: PathBuf,
        /// The dashboard's directory.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<String>,
    },
    /// Reads a password from standard input and prints its hash, for NIXFLEET_PASSWORD_HASH.
    HashPassword,
    /// Says whether the dashboard's audit log is whole, or where it breaks.
    VerifyAudit {
        /// The dashboard's directory.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<String>,
    },
    #[command(flatten)]
    Client(ClientAction),
    /// Prints completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, or writes one for each command.
    Man {
        /// Where to write all pages, instead of printing the first.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Activates a system and writes how that ended. The agent starts this itself.
    #[command(hide = true)]
    GuardActivate {
        /// The system.
        system: PathBuf,
        /// The file for its exit code.
        status: PathBuf,
    },
    /// Brings the system back that ran before a guarded switch. The service manager starts this.
    #[command(hide = true)]
    GuardReturn {
        /// The job's directory.
        dir: PathBuf,
    },
    /// Runs one job, detached. The agent starts this itself.
    #[command(hide = true)]
    JobRun {
        /// The job's directory.
        dir: PathBuf,
    },
}
