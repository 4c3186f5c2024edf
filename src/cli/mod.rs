//! Flags and environment, one struct per role. The only room that reads the environment.

mod environment;
mod error;
mod options;
mod parse;
mod values;

pub use environment::{Environment, environment, own_variables};
pub use error::CliError;
pub use parse::parse;

use crate::agent::config::AgentConfig;
use crate::dashboard::config::DashboardConfig;
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
    /// `--agent --adopt-clone`
    AdoptClone(Box<AgentConfig>),
    /// `--demo`
    Demo {
        /// Where its dashboard listens; `None`: port 8000, or a free one if that is taken.
        listen: Option<SocketAddr>,
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
    /// `job-run DIR`, used by the agent itself: the detached supervisor of one job.
    JobRun {
        /// The job's directory.
        dir: PathBuf,
    },
}
