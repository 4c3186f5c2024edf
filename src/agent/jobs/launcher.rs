//! Starts a supervisor where nothing that ends the agent ends it.

use super::Job;
use crate::agent::guard::systemd::guard_unit;
use crate::base::child::{self, Bounds};
use crate::base::secret;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long systemd may take to start a unit.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// How a supervisor is started.
pub(super) struct Launcher {
    program: PathBuf,
    by: By,
    /// Supervisors of ours, until they are reaped.
    children: Vec<Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// In a session of its own. Enough wherever the service manager leaves other sessions
    /// alone: on macOS, and when nothing manages the agent.
    Session,
    /// In a transient unit: systemd kills everything that is left in the agent's own.
    SystemdRun {
        /// By the user's service manager.
        user: bool,
    },
}

impl Launcher {
    pub(super) fn detect() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let systemd = fs::exists("/run/systemd/system").unwrap_or(false);
        Ok(Self { program, by: by(systemd, &cgroup), children: Vec::new() })
    }

    pub(super) fn launch(&mut self, job: &Job) -> io::Result<()> {
        self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        match self.by {
            By::Session => {
                let mut command = self.in_a_session(job);
                self.children.push(command.spawn()?);
                Ok(())
            }
            By::SystemdRun { user } => {
                let bounds = Bounds { timeout: Some(STARTS_WITHIN), ..Bounds::default() };
                let guarded = job.order()?.is_some_and(|order| order.is_guarded());
                let mut command = self.systemd_run(job, user, guarded && !user);
                let output = child::output(&mut command, 1000, &bounds)?;
                if output.ended.ok() {
                    return Ok(());
                }
                let said = output.stderr.trim();
                Err(io::Error::other(format!("systemd-run: {} {said}", output.ended.code)))
            }
        }
    }

    fn in_a_session(&self, job: &Job) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("job-run").arg(&job.dir);
        secret::hide_from(&mut command);
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if is_of_the_service(&name) {
                command.env_remove(name);
            }
        }
        // The output goes to the spool.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn systemd_run(&self, job: &Job, user: bool, guarded: bool) -> Command {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut command = Command::new("systemd-run");
        if user {
            command.arg("--user");
        }
        command
            .args(["--quiet", "--collect", "--service-type=exec"])
            .arg(format!("--unit=nixfleet-job-{}", job.id))
            .arg("--description=A job of the nixfleet agent")
            // Systemd tells only the supervisor; that ends its programs and records why.
            .args(["--property=KillMode=mixed", "--property=TimeoutStopSec=20s"])
            .arg("--working-directory=/");
        if guarded {
            // Whatever ends the supervisor starts the way back at once.
            command.arg(format!("--property=OnFailure={}.service", guard_unit(job.id)));
        }
        for name in names.filter(|name| is_passed_on(name)) {
            // Without a value: it is taken from the environment, and in no list of processes.
            command.arg(format!("--setenv={name}"));
        }
        command.arg("--").arg(&self.program).arg("job-run").arg(&job.dir);
        secret::hide_from(&mut command);
        command
    }
}

/// Whether a job gets this variable of the agent's: all but the agent's secrets and what the
/// service manager says about the agent's own unit (spec: lifecycle, "Nothing is lost").
fn is_passed_on(name: &str) -> bool {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_plain && !name.is_empty() && !secret::is_secret_variable(name) && !is_of_the_service(name)
}

/// What systemd says about the unit that a process is in.
fn is_of_the_service(name: &str) -> bool {
    let own = [
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "MAINPID",
        "MANAGERPID",
        "SYSTEMD_EXEC_PID",
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "CACHE_DIRECTORY",
        "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY",
    ];
    let begins = ["WATCHDOG_", "LISTEN_", "MEMORY_PRESSURE_"];
    own.contains(&name) || begins.iter().any(|begin| name.starts_with(begin))
}

/// Which way is right: a unit of systemd's needs a unit of its own for each job.
fn by(systemd: bool, cgroup: &str) -> By {
    let unit = cgroup.lines().filter_map(|line| line.rsplit(':').next()).map(str::trim);
    let service = unit.clone().any(|path| path.ends_with(".service"));
    let user = unit.clone().any(|path| path.contains("/user@"));
    if systemd && service { By::SystemdRun { user } } else { By::Session }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CommandId;

    #[test]
    fn an_agent_that_is_a_service_starts_jobs_in_units_of_their_own() {
        for (systemd, cgroup, expected) in [
            (true, "0::/system.slice/nixfleet-agent.service\n", By::SystemdRun { user: false }),
            (
                true,
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/nixfleet-agent.service\n",
                By::SystemdRun { user: true },
            ),
            (true, "0::/user.slice/user-1000.slice/session-3.scope\n", By::Session),
            (false, "0::/system.slice/x.service\n", By::Session),
            (true, "", By::Session),
        ] {
            assert_eq!(by(systemd, cgroup), expected, "{cgroup}");
        }
    }

    /// The environment of jobs (findings: rows, commands, jobs) and 17 of the security review.
    #[test]
    fn a_job_gets_the_environment_of_the_agent_without_its_secrets() {
        for name in [
            "PATH",
            "HOME",
            "https_proxy",
            "NO_PROXY",
            "NIX_PATH",
            "NIX_SSL_CERT_FILE",
            "SSL_CERT_FILE",
            "SSH_AUTH_SOCK",
            "GIT_SSH_COMMAND",
            "NIXFLEET_ROOT",
            "LANG",
        ] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in [
            "NIXFLEET_TOKEN",
            "NIXFLEET_TOKEN_FILE",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "INVOCATION_ID",
            "STATE_DIRECTORY",
            "",
            "A B",
            "BASH_FUNC_x%%",
            "1X",
        ] {
            assert!(!is_passed_on(name), "{name}");
        }
    }

    /// Finding 3 of the systemd review.
    #[test]
    fn the_unit_of_a_job_lets_its_supervisor_end_its_programs() {
        let launcher =
            Launcher { program: "/p".into(), by: By::SystemdRun { user: false }, children: vec![] };
        let id = CommandId(uuid::Uuid::nil());
        let job = Job { id, dir: "/j".into() };
        let command = launcher.systemd_run(&job, false, false);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert!(words.contains(&"--property=KillMode=mixed".into()), "{words:?}");
        assert!(words.contains(&"--setenv=PATH".into()), "{words:?}");
        assert!(words.ends_with(&["--".into(), "/p".into(), "job-run".into(), "/j".into()]));
        let begins = "--property=OnFailure=";
        assert!(!words.iter().any(|word| word.starts_with(begins)), "{words:?}");
        let guarded = launcher.systemd_run(&job, false, true);
        let on_failure = format!("{begins}nixfleet-guard-{id}.service");
        assert!(guarded.get_args().any(|word| word == on_failure.as_str()));
    }
}
