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
    let asked =
        cli::environment().and_then(|environment| cli::parse(std::env::args_os(), &environment));
    let role = match asked {
        Ok(role) => role,
        Err(CliError::Clap(error)) => error.exit(),
        Err(CliError::Setting(text)) => {
            eprintln!("nixfleet: {text}");
            return BAD_SETTING.into();
        }
    };
    match run(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("nixfleet: {}", failure.text);
            failure.code
        }
    }
}

/// Why a role ended, and the exit code that says so.
struct Failure {
    text: String,
    code: ExitCode,
}

fn run(role: Role) -> Result<(), Failure> {
    match role {
        Role::Dashboard(config) => Ok(dashboard::run(*config)?),
        Role::Agent(config) => Ok(agent::run(*config)?),
        Role::CheckAgent(config) => match agent::check(config.map(|config| *config)) {
            true => Ok(()),
            // What is wrong was said line by line.
            false => Err(Failure {
                text: "the agent would not work".to_owned(),
                code: ExitCode::FAILURE,
            }),
        },
        Role::AdoptClone(config) => {
            let told = agent::adopt_clone(&config)?;
            println!("{told}");
            Ok(())
        }
        Role::Demo { listen } => demo::run(listen).map_err(failed),
        Role::Backup { data_dir, file } => Ok(dashboard::backup(&data_dir, &file)?),
        Role::Restore { data_dir, file } => Ok(dashboard::restore(&data_dir, &file)?),
        Role::JobRun { dir } => agent::jobs::supervisor::run(&dir).map_err(failed),
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure { text: error.to_string(), code: ExitCode::FAILURE }
}

fn failed_or_bad_setting(error: impl std::fmt::Display, is_setting: bool) -> Failure {
    let code = if is_setting { BAD_SETTING.into() } else { ExitCode::FAILURE };
    Failure { text: error.to_string(), code }
}

impl From<DashboardError> for Failure {
    fn from(error: DashboardError) -> Self {
        let is_setting = error.is_bad_setting();
        failed_or_bad_setting(error, is_setting)
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let is_setting = error.is_bad_setting();
        failed_or_bad_setting(error, is_setting)
    }
}
