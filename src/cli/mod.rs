//! Flags and environment, one struct per role. The only room that reads the environment.

mod client;
mod commands;
mod environment;
mod error;
mod old_names;
mod options;
mod pages;
mod parse;
mod settings;
mod values;

pub use commands::is_client;
pub use environment::{Environment, environment, own_variables};
pub use error::CliError;
pub use pages::Page;
pub use parse::parse;

use crate::agent::config::AgentConfig;
use crate::client::config::ClientConfig;
use crate::dashboard::config::DashboardConfig;
use crate::domain::ids::WholeCommit;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug)]
pub enum Role {
    /// `--dashboard`
    Dashboard(Box<DashboardConfig>),
    /// `--agent`
    Agent(Box<AgentConfig>),
    /// `--agent --check`: what the agent would work with, or the setting that is wrong.
    CheckAgent(Result<Box<AgentConfig>, String>),
    /// `--dashboard --check`: what the dashboard would work with, or the setting that is wrong.
    CheckDashboard(Result<Box<DashboardConfig>, String>),
    /// `--check=settings`, of either role, and nothing is wrong with them.
    SettingsAreFine,
    /// `--agent --adopt-clone`
    AdoptClone(Box<AgentConfig>),
    /// `--agent --trust COMMIT`
    Trust(Box<AgentConfig>, WholeCommit),
    /// `--demo`
    Demo {
        /// Where its dashboard listens; `None`: port 8000, or a free one if that is taken.
        listen: Option<SocketAddr>,
        /// How many hosts it has.
        hosts: u32,
    },
    /// `backup FILE`: a copy of the dashboard's database.
    Backup {
        /// The dashboard's directory.
        data_dir: PathBuf,
        /// Where to.
        file: PathBuf,
    },
    /// `restore FILE`: the way back.
    Restore {
        /// The dashboard's directory.
        data_dir: PathBuf,
        /// The backup.
        file: PathBuf,
    },
    /// `--dashboard --reset-password`
    ResetPassword(Box<DashboardConfig>),
    /// `hash-password`: from standard input.
    HashPassword,
    /// `verify-audit`: is the audit log whole?
    VerifyAudit {
        /// The dashboard's directory.
        data_dir: PathBuf,
    },
    /// `status`, `pull`, `logs` and so on: a command against a running dashboard.
    Client(Box<ClientConfig>),
    /// `completions SHELL` and `man`: what is made from the options themselves.
    Page(Page),
    /// `--agent --guard-format`: which format of a guarded switch it can confirm.
    GuardFormat,
    /// `guard-activate SYSTEM STATUS`, used by the agent itself.
    GuardActivate {
        /// What is activated.
        system: PathBuf,
        /// Where its exit code goes.
        status: PathBuf,
    },
    /// `guard-return DIR`, used by the agent itself, as a unit of systemd's.
    GuardReturn {
        /// The job's directory.
        dir: PathBuf,
    },
    /// `job-run DIR`, used by the agent itself: the detached supervisor of one job.
    JobRun {
        /// The job's directory.
        dir: PathBuf,
    },
}
