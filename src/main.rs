//! Reads the command line and picks the role.

use nixfleet::cli::{self, CliError, Role};
use nixfleet::{agent, dashboard, demo};
use std::process::ExitCode;

fn main() -> ExitCode {
    let filter = env_logger::Env::new().filter_or("NIXFLEET_LOG", "info");
    env_logger::Builder::from_env(filter)
        .format_target(false)
        .init();
    let role = match cli::parse(std::env::args_os(), &cli::environment()) {
        Ok(role) => role,
        Err(CliError::Clap(error)) => error.exit(),
        Err(CliError::Setting(text)) => {
            eprintln!("nixfleet: {text}");
            return ExitCode::from(2);
        }
    };
    let done = match role {
        Role::Dashboard(config) => dashboard::run(*config).map_err(anyhow::Error::from),
        Role::Agent(config) => agent::run(*config).map_err(anyhow::Error::from),
        Role::Demo { listen } => demo::run(listen).map_err(anyhow::Error::from),
        Role::JobRun { dir } => agent::jobs::supervisor::run(&dir).map_err(anyhow::Error::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nixfleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}
