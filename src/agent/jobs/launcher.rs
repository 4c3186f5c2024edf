//! Starts a supervisor where nothing that ends the agent ends it.

use super::Job;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

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
        let mut command = match self.by {
            By::Session => {
                let mut command = Command::new(&self.program);
                command.arg("job-run").arg(&job.dir);
                command
            }
            By::SystemdRun { user } => self.systemd_run(job, user),
        };
        // The job needs no secret of the agent, and its output goes to the spool.
        command
            .env_remove("NIXFLEET_TOKEN")
            .env_remove("NIXFLEET_TOKEN_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self.by {
            By::Session => self.children.push(command.spawn()?),
            By::SystemdRun { .. } => {
                let status = command.status()?;
                if !status.success() {
                    return Err(io::Error::other(format!("systemd-run: {status}")));
                }
            }
        }
        Ok(())
    }

    fn systemd_run(&self, job: &Job, user: bool) -> Command {
        let mut command = Command::new("systemd-run");
        if user {
            command.arg("--user");
        }
        command
            .args(["--quiet", "--collect", "--service-type=exec"])
            .arg(format!("--unit=nixfleet-job-{}", job.id))
            .arg("--working-directory=/")
            .arg("--setenv=PATH")
            .arg("--setenv=HOME");
        command.arg("--").arg(&self.program).arg("job-run").arg(&job.dir);
        command
    }
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
}
