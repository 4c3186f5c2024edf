//! An agent as a process, on a host that only exists below a temporary directory.

use super::dashboard::TOKEN;
use super::{kill_9, nixfleet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const REBUILD: &str = include_str!("rebuild.sh");

pub struct Agent {
    pub dir: tempfile::TempDir,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Agent {
    /// Starts the agent of `name`, which clones `remote`.
    pub fn start(url: &str, name: &str, remote: &Path) -> Self {
        Self::start_with(url, name, remote, &[])
    }

    /// The same with more variables; they win.
    pub fn start_with(url: &str, name: &str, remote: &Path, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/control")).unwrap();
        let rebuild = dir.path().join("rebuild");
        fs::write(&rebuild, REBUILD).unwrap();
        fs::set_permissions(&rebuild, fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let mut settings = vec![
            ("NIXFLEET_URL".to_owned(), url.to_owned()),
            ("NIXFLEET_TOKEN".to_owned(), TOKEN.to_owned()),
            ("NIXFLEET_REPO_URL".to_owned(), remote.to_str().unwrap().to_owned()),
            ("NIXFLEET_HOSTNAME".to_owned(), name.to_owned()),
            ("NIXFLEET_PLATFORM".to_owned(), "nixos".to_owned()),
            ("NIXFLEET_INTERVAL".to_owned(), "0.2".to_owned()),
            ("NIXFLEET_STATE_DIR".to_owned(), path("state")),
            ("NIXFLEET_ROOT".to_owned(), path("root")),
            ("NIXFLEET_REBUILD".to_owned(), path("rebuild")),
            ("NIXFLEET_TESTS_AUTO_RUN".to_owned(), "false".to_owned()),
        ];
        for (name, value) in more {
            settings.retain(|(known, _)| known != name);
            settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut agent = Self { dir, settings, child: None };
        agent.start_again();
        agent
    }

    pub fn start_again(&mut self) {
        let child = nixfleet()
            .arg("--agent")
            .envs(self.settings.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
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

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Jobs outlive their agent, also in tests.
        let jobs = fs::read_dir(self.dir.path().join("state/jobs")).into_iter().flatten();
        for pid in jobs.flatten().filter_map(|job| fs::read_to_string(job.path().join("pid")).ok())
        {
            let _ = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status();
        }
    }
}
