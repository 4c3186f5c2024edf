//! Reads the command line and picks the role.

use nixfleet::agent::{self, AgentError};
use nixfleet::base::log_output;
use nixfleet::cli::{self, CliError, Role};
use nixfleet::dashboard::{self, DashboardError};
use nixfleet::demo;
use std::process::ExitCode;

/// The exit code for a setting that is not as expected, as for a wrong option.
const BAD_SETTING: u8 = 2;

fn main() -> ExitCode {
    log_output::start();
    let role = match cli::parse(std::env::args_os(), &cli::environment()) {
        Ok(role) => role,
        Err(CliError::Clap(error)) => error.exit(),
        Err(CliError::Setting(text)) => {
            eprintln!("nixfleet: {text}");
            return BAD_SETTING.into();
        }
    };
    let done = match role {
        Role::Dashboard(config) => dashboard::run(*config).map_err(anyhow::Error::from),
        Role::Agent(config) => agent::run(*config).map_err(anyhow::Error::from),
        Role::CheckAgent(config) => {
            let works = agent::check(config.map(|config| *config));
            return if works { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Role::AdoptClone(config) => {
            agent::adopt_clone(&config).map(|told| println!("{told}")).map_err(anyhow::Error::from)
        }
        Role::Demo { listen } => demo::run(listen).map_err(anyhow::Error::from),
        Role::Backup { data_dir, file } => {
            dashboard::backup(&data_dir, &file).map_err(anyhow::Error::from)
        }
        Role::Restore { data_dir, file } => {
            dashboard::restore(&data_dir, &file).map_err(anyhow::Error::from)
        }
        Role::JobRun { dir } => agent::jobs::supervisor::run(&dir).map_err(anyhow::Error::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nixfleet: {error:#}");
            let setting = match error.downcast_ref() {
                Some(DashboardError::Setting(_)) => true,
                _ => {
                    let state = error.downcast_ref();
                    matches!(state, Some(AgentError::StateDir { .. } | AgentError::Unsafe(_)))
                }
            };
            if setting { BAD_SETTING.into() } else { ExitCode::FAILURE }
        }
    }
}
