//! `--demo`: a whole fleet on one machine, with nothing to set up.
//!
//! Dashboard and agents are real processes of this same program; the config repository is
//! a real git repository. Only the rebuild program stands in (`rebuild.sh`). Everything
//! lives in one temporary directory, which is gone afterwards. Hosts beyond the first three are
//! simulated (`crowd`).

mod config;
mod crowd;

use crate::agent::jobs::Jobs;
use crate::base::{process, secret};
use crowd::{Crowd, FIRST, Place};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const REBUILD: &str = include_str!("rebuild.sh");
/// How long a process may take to end before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// A host of the demo.
struct Host {
    name: &'static str,
    platform: &'static str,
    location: &'static str,
    device: &'static str,
    colour: &'static str,
}

const HOSTS: [Host; 3] = [
    Host {
        name: "atlas",
        platform: "nixos",
        location: "cloud",
        device: "server",
        colour: "#7aa2f7",
    },
    Host { name: "gpc0", platform: "nixos", location: "home", device: "gaming", colour: "#9ece6a" },
    Host { name: "mba", platform: "darwin", location: "work", device: "laptop", colour: "#e0af68" },
];

/// Why the demo did not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that the demo needs failed.
    #[error("{0}")]
    Program(String),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> DemoError {
    let what = what.into();
    move |source| DemoError::Io { what, source }
}

/// Runs the demo with so many hosts until SIGINT or SIGTERM, then ends everything that it started.
///
/// # Errors
///
/// Something that it needs could not be started, or ended by itself.
pub fn run(listen: Option<SocketAddr>, hosts: u32) -> Result<(), DemoError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(io_error("signals"))?;
    }
    let dir = tempfile::Builder::new()
        .prefix("nixfleet-demo-")
        .tempdir()
        .map_err(io_error("cannot make a temporary directory"))?;
    let mut demo = Demo { dir: dir.path().to_owned(), children: Vec::new(), crowd: None };
    let ran = demo.start(listen, hosts, &stop).and_then(|()| demo.watch(&stop));
    process::say("ending the demo");
    demo.end();
    dir.close().map_err(io_error("cannot remove the temporary directory"))?;
    process::say("nothing is left behind");
    ran
}

struct Demo {
    dir: PathBuf,
    /// The dashboard comes last: it ends last.
    children: Vec<(&'static str, Child)>,
    /// The hosts that are simulated.
    crowd: Option<Crowd>,
}

impl Demo {
    fn start(
        &mut self,
        listen: Option<SocketAddr>,
        hosts: u32,
        stop: &AtomicBool,
    ) -> Result<(), DemoError> {
        process::say(&format!("nixfleet demo: making a config repository and {hosts} hosts"));
        let simulated = (hosts as usize).saturating_sub(HOSTS.len());
        if simulated > 0 {
            // Each has a link at both of its ends.
            process::raise_descriptor_limit();
        }
        let rebuild = self.dir.join("rebuild");
        fs::write(&rebuild, REBUILD).map_err(io_error("rebuild"))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&rebuild, executable).map_err(io_error("rebuild"))?;
        config::make(&self.dir)?;
        if simulated > 0 {
            config::grow(&self.dir)?;
        }
        for host in &HOSTS {
            self.first_generation(host, &rebuild)?;
        }
        let token = secret::random_token(16).map_err(DemoError::Program)?;
        let (url, password) = self.start_dashboard(listen, &token)?;
        for host in &HOSTS {
            self.start_agent(host, &url, &token, &rebuild)?;
        }
        if simulated > 0 {
            let remote = self.dir.join("remote.git");
            let at = Place { url: &url, password: &password, remote: &remote };
            self.crowd = Some(Crowd::start(simulated, &at, stop)?);
        }
        process::say(&self.told(&url, &password, simulated));
        Ok(())
    }

    /// Where it is, and what to try.
    fn told(&self, url: &str, password: &str, simulated: usize) -> String {
        let push = self.dir.join("push-change");
        let push = push.display();
        let all = simulated + HOSTS.len();
        let hosts = match simulated {
            0 => "three hosts, current against the config repository.".to_owned(),
            _ => format!(
                "{all} hosts in all states, what needs you first. atlas, gpc0 and mba
     have real agents; the others are simulated: they answer as hosts do, and build nothing."
            ),
        };
        let network = match simulated {
            0 => String::new(),
            _ => format!(
                "
  4. Push a commit that cuts the network of {FIRST} (its guard is simulated, as it is):
       sh {push} network
     Choose Pull and switch in its menu: it goes, comes back by itself, and is held."
            ),
        };
        let update = if simulated > 0 { "the blue Update above the list" } else { "Update 3…" };
        format!(
            "
  open      {url}
  password  {password}

What to try:
  1. Log in: {hosts}
  2. Push a commit, and see the rows turn yellow within seconds:
       sh {push}
     or one that updates flake.lock:
       sh {push} lock
  3. Choose {update}, and once more in the dialog: pull, switch, test.
     The log opens by itself, and the tests of gpc0 show what a failure looks like.{network}

Ctrl-C ends everything and leaves nothing behind."
        )
    }

    fn host_dir(&self, host: &Host) -> PathBuf {
        self.dir.join("hosts").join(host.name)
    }

    /// Every host runs the first commit already, so that its row has something to say.
    fn first_generation(&self, host: &Host, rebuild: &Path) -> Result<(), DemoError> {
        let flake = format!("{}#{}", self.dir.join("config").display(), host.name);
        let output = Command::new(rebuild)
            .args(["switch", "--flake", &flake])
            .env("NIXFLEET_ROOT", self.host_dir(host).join("root"))
            .env("NIXFLEET_DEMO_STEP", "0")
            .stdin(Stdio::null())
            .output()
            .map_err(io_error("the stand-in rebuild program"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(DemoError::Program(format!("the stand-in rebuild program failed: {said}")))
    }

    fn own_program(&self, log: &str) -> Result<Command, DemoError> {
        let program = std::env::current_exe().map_err(io_error("this program"))?;
        let log = fs::File::create(self.dir.join(log)).map_err(io_error(log))?;
        let mut command = Command::new(program);
        for name in crate::cli::own_variables() {
            command.env_remove(name);
        }
        // Groups of their own: Ctrl-C reaches the demo alone, which ends them in order.
        command.stdin(Stdio::null()).stderr(log).process_group(0);
        process::die_with_parent(&mut command);
        Ok(command)
    }

    /// Starts the dashboard. Answers its address and the admin password.
    fn start_dashboard(
        &mut self,
        listen: Option<SocketAddr>,
        token: &str,
    ) -> Result<(String, String), DemoError> {
        let usual = SocketAddr::from(([127, 0, 0, 1], 8000));
        let listen = listen.unwrap_or_else(|| match TcpListener::bind(usual) {
            Ok(_) => usual,
            Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
        });
        let mut child = self
            .own_program("dashboard.log")?
            .arg("--dashboard")
            .args(["--listen", &listen.to_string(), "--fetch-ttl", "2"])
            .arg("--data-dir")
            .arg(self.dir.join("dashboard"))
            .arg("--source")
            .arg(self.dir.join("remote.git"))
            .env("NIXFLEET_AGENT_TOKEN", token)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io_error("the dashboard"))?;
        let stdout = child.stdout.take();
        self.children.push(("dashboard", child));
        let (mut url, mut password) = (None, None);
        for line in stdout.map(BufReader::new).into_iter().flat_map(BufReader::lines) {
            let line = line.map_err(io_error("the dashboard"))?;
            if let Some((_, rest)) = line.split_once(" dashboard: ") {
                url = Some(rest.to_owned());
            } else if let Some(rest) = line.strip_prefix("admin password: ") {
                password = Some(rest.to_owned());
            }
            if let (Some(url), Some(password)) = (&url, &password) {
                return Ok((url.clone(), password.clone()));
            }
        }
        let log = fs::read_to_string(self.dir.join("dashboard.log")).unwrap_or_default();
        Err(DemoError::Program(format!("the dashboard did not start: {log}")))
    }

    fn start_agent(
        &mut self,
        host: &Host,
        url: &str,
        token: &str,
        rebuild: &Path,
    ) -> Result<(), DemoError> {
        let dir = self.host_dir(host);
        let child = self
            .own_program(&format!("agent-{}.log", host.name))?
            .arg("--agent")
            .args(["--url", url, "--hostname", host.name, "--platform", host.platform])
            .args(["--location", host.location, "--device-type", host.device])
            .args(["--theme-color", host.colour, "--interval", "2"])
            .arg("--repo-url")
            .arg(self.dir.join("remote.git"))
            .arg("--state-dir")
            .arg(dir.join("state"))
            .arg("--rebuild")
            .arg(rebuild)
            .env("NIXFLEET_TOKEN", token)
            .env("NIXFLEET_ROOT", dir.join("root"))
            .stdout(Stdio::null())
            .spawn()
            .map_err(io_error(format!("the agent of {}", host.name)))?;
        self.children.insert(0, (host.name, child));
        Ok(())
    }

    /// Waits for the end. A process that ends by itself ends the demo.
    fn watch(&mut self, stop: &AtomicBool) -> Result<(), DemoError> {
        while !stop.load(Ordering::Relaxed) {
            for (name, child) in &mut self.children {
                if let Some(status) = child.try_wait().map_err(io_error(*name))? {
                    return Err(DemoError::Program(format!("{name} ended by itself: {status}")));
                }
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends agents, then what they left running, then the dashboard.
    fn end(&mut self) {
        self.crowd = None;
        for (name, mut child) in std::mem::take(&mut self.children) {
            end(&mut child);
            if let Some(host) = HOSTS.iter().find(|host| host.name == name) {
                end_jobs(&self.host_dir(host).join("state"));
            }
        }
    }
}

fn end(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let until = Instant::now() + ENDS_WITHIN;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(POLL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Stops the jobs of an agent that is gone: they outlive it, as they should.
fn end_jobs(state_dir: &Path) {
    let Ok(jobs) = Jobs::open(state_dir) else {
        return;
    };
    for job in jobs.list() {
        let until = Instant::now() + ENDS_WITHIN;
        let _ = jobs.stop(&job);
        while Instant::now() < until && jobs.is_running(&job) {
            thread::sleep(POLL);
        }
    }
}
