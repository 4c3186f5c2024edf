//! An agent as a process, on a host that only exists below a temporary directory.

use super::dashboard::TOKEN;
use super::{kill_9, nixfleet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const REBUILD: &str = include_str!("rebuild.sh");

pub struct Agent {
    pub dir: tempfile::TempDir,
    settings: Vec<(String, String)>,
    child: Option<Child>,
    manager: Option<Manager>,
}

/// Starts an agent again whenever it ends, as a service manager does.
struct Manager {
    thread: JoinHandle<()>,
    over: Arc<AtomicBool>,
}

impl Agent {
    /// Starts the agent of `name`, which clones `remote`.
    pub fn start(url: &str, name: &str, remote: &Path) -> Self {
        Self::start_with(url, name, remote, &[])
    }

    /// A host without an agent, for a command that starts one.
    pub fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/control")).unwrap();
        let rebuild = dir.path().join("rebuild");
        fs::write(&rebuild, REBUILD).unwrap();
        fs::set_permissions(&rebuild, fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let settings = vec![
            ("NIXFLEET_PLATFORM".to_owned(), "nixos".to_owned()),
            ("NIXFLEET_INTERVAL".to_owned(), "0.2".to_owned()),
            ("NIXFLEET_STATE_DIR".to_owned(), path("state")),
            ("NIXFLEET_ROOT".to_owned(), path("root")),
            ("NIXFLEET_REBUILD".to_owned(), path("rebuild")),
            ("NIXFLEET_TESTS_AUTO_RUN".to_owned(), "false".to_owned()),
        ];
        Self { dir, settings, child: None, manager: None }
    }

    /// The same as [`Self::start`] with more variables; they win. `STDERR_TO` is none: it names the
    /// file that its log goes to.
    pub fn start_with(url: &str, name: &str, remote: &Path, more: &[(&str, &str)]) -> Self {
        let mut agent = Self::prepare();
        let usual = [
            ("NIXFLEET_URL", url),
            ("NIXFLEET_TOKEN", TOKEN),
            ("NIXFLEET_REPO_URL", remote.to_str().unwrap()),
            ("NIXFLEET_HOSTNAME", name),
        ];
        for (name, value) in usual.iter().chain(more) {
            agent.settings.retain(|(known, _)| known != name);
            agent.settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        agent.start_again();
        agent
    }

    /// Runs a shell command that starts the agent.
    pub fn run(mut self, command: &str) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec env {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        shell.envs(self.settings.iter().map(|(k, v)| (k, v)));
        self.child = Some(shell.spawn().unwrap());
        self
    }

    /// From now on it is started again whenever it ends. Its pid is always in the file
    /// [`Self::pid_file`].
    pub fn manage(&mut self) {
        let mut child = self.child.take().expect("the agent runs");
        let pid_file = self.pid_file();
        write_pid(&pid_file, &child);
        let (settings, over) = (self.settings.clone(), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            loop {
                child.wait().unwrap();
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                child = start(&settings);
                write_pid(&pid_file, &child);
            }
        });
        self.manager = Some(Manager { thread, over });
    }

    pub fn pid_file(&self) -> PathBuf {
        self.dir.path().join("agent.pid")
    }

    pub fn start_again(&mut self) {
        self.child = Some(start(&self.settings));
    }

    pub fn kill_9(&mut self) {
        kill_9(&mut self.child.take().expect("the agent runs"));
    }

    /// Waits until somebody else has killed it.
    pub fn wait_for_death(&mut self) {
        self.child.take().expect("the agent runs").wait().expect("the agent was ours");
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the agent runs").id()
    }

    fn control(&self, name: &str) -> PathBuf {
        self.dir.path().join("root/control").join(name)
    }

    /// Sets one of the files that the stand-in rebuild program looks at.
    pub fn set(&self, name: &str) {
        fs::write(self.control(name), "").unwrap();
    }

    pub fn unset(&self, name: &str) {
        fs::remove_file(self.control(name)).unwrap();
    }

    /// What the stand-in runs while it activates.
    pub fn on_switch(&self, script: &str) {
        let path = self.control("on-switch");
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn start(settings: &[(String, String)]) -> Child {
    let stderr = match settings.iter().find(|(name, _)| name == "STDERR_TO") {
        Some((_, path)) => fs::File::create(path).unwrap().into(),
        None => Stdio::inherit(),
    };
    nixfleet()
        .arg("--agent")
        .envs(settings.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// Whole or not at all: somebody may read it meanwhile.
fn write_pid(file: &Path, child: &Child) {
    let new = file.with_extension("new");
    fs::write(&new, child.id().to_string()).unwrap();
    fs::rename(new, file).unwrap();
}

/// As a power cut would, to whoever has the pid in a file.
pub fn kill_9_of(pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).unwrap();
    let _ = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status();
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(manager) = self.manager.take() {
            manager.over.store(true, Ordering::SeqCst);
            kill_9_of(&self.pid_file());
            let _ = manager.thread.join();
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Jobs outlive their agent, also in tests.
        let jobs = fs::read_dir(self.dir.path().join("state/jobs")).into_iter().flatten();
        for pid in jobs.flatten().filter_map(|job| fs::read_to_string(job.path().join("pid")).ok())
        {
            let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
        }
    }
}
