//! Reads the command line and picks the role.

use nixfleet::agent::{self, AgentError};
use nixfleet::base::{launch, log_output, resident};
use nixfleet::cli::{self, CliError, Role};
use nixfleet::client;
use nixfleet::dashboard::{self, DashboardError};
use nixfleet::demo;
use std::process::ExitCode;

/// The exit code for a setting that is not as expected, as for a wrong option.
const BAD_SETTING: u8 = 2;
/// The same for commands against a dashboard, whose 2 says something else. It is that of sysexits.h.
const BAD_USAGE: u8 = 64;

fn main() -> ExitCode {
    if let Some(code) = launch::launched(std::env::args_os()) {
        return code.into();
    }
    log_output::start();
    let bad_setting = if cli::is_client(std::env::args_os()) { BAD_USAGE } else { BAD_SETTING };
    let asked =
        cli::environment().and_then(|environment| cli::parse(std::env::args_os(), &environment));
    let role = match asked {
        Ok(role) => role,
        Err(CliError::Clap(error)) => {
            // Nobody has to read it.
            let _ = error.print();
            return if error.use_stderr() { bad_setting.into() } else { ExitCode::SUCCESS };
        }
        Err(CliError::Setting(text)) => {
            eprintln!("nixfleet: {text}");
            return bad_setting.into();
        }
    };
    match run(role) {
        Ok(code) => code.into(),
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

fn run(role: Role) -> Result<u8, Failure> {
    match role {
        Role::Client(config) => return Ok(client::run(&config)),
        Role::Dashboard(config) => {
            // It is large, and asks git all the time.
            launch::enable();
            resident::settle_allocator();
            dashboard::run(*config).map_err(Failure::from)
        }
        Role::Agent(config) => agent::run(*config).map_err(Failure::from),
        Role::CheckAgent(config) => works(agent::check(config.map(|config| *config)), "agent"),
        Role::CheckDashboard(config) => {
            works(dashboard::check(config.map(|config| *config)), "dashboard")
        }
        Role::SettingsAreFine => Ok(()),
        Role::AdoptClone(config) => {
            let told = agent::adopt_clone(&config)?;
            println!("{told}");
            Ok(())
        }
        Role::Trust(config, commit) => {
            let told = agent::trust(&config, &commit)?;
            println!("{told}");
            Ok(())
        }
        Role::Demo { listen, hosts } => demo::run(listen, hosts).map_err(failed),
        Role::Backup { data_dir, file } => Ok(dashboard::backup(&data_dir, &file)?),
        Role::Restore { data_dir, file } => Ok(dashboard::restore(&data_dir, &file)?),
        Role::ResetPassword(config) => Ok(dashboard::reset_password(&config)?),
        Role::HashPassword => dashboard::hash_password().map_err(failed),
        Role::VerifyAudit { data_dir } => match dashboard::verify_audit(&data_dir)? {
            true => Ok(()),
            false => Err(failed("somebody changed the audit log")),
        },
        Role::GuardFormat => {
            println!("{}", nixfleet::domain::guard::FORMAT);
            Ok(())
        }
        Role::GuardActivate { system, status } => {
            agent::guard::activate::run(&system, &status).map_err(failed)
        }
        Role::GuardReturn { dir } => agent::guard::returning::run(&dir).map_err(failed),
        Role::JobRun { dir } => agent::jobs::supervisor::run(&dir).map_err(failed),
        Role::Page(page) => page.write().map_err(failed),
    }?;
    Ok(0)
}

/// What is wrong was said line by line.
fn works(all: bool, who: &str) -> Result<(), Failure> {
    if all { Ok(()) } else { Err(failed(format!("the {who} would not work"))) }
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
