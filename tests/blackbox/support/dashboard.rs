//! The dashboard as a process.

use super::{Client, PATIENCE, kill_9, nixfleet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// The enrolment token that test agents use.
pub const TOKEN: &str = "enrolment-token-of-the-tests";

/// A running dashboard with a data directory of its own.
pub struct Dashboard {
    pub dir: tempfile::TempDir,
    pub url: String,
    pub password: String,
    settings: Vec<(String, String)>,
    child: Child,
}

impl Dashboard {
    /// Starts one that reads the given remote.
    pub fn with_source(source: &Path) -> Self {
        Self::start(&[("NIXFLEET_SOURCE", source.to_str().unwrap())])
    }

    /// Starts one with these variables. Two are none: `STDERR_TO` names the file that its log goes
    /// to, `DESCRIPTORS` says how many files it may open.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings: Vec<(String, String)> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        if !settings.iter().any(|(name, _)| name == "NIXFLEET_AGENT_TOKEN") {
            settings.push(("NIXFLEET_AGENT_TOKEN".to_owned(), TOKEN.to_owned()));
        }
        settings.retain(|(_, value)| !value.is_empty());
        if !settings.iter().any(|(name, _)| name == "NIXFLEET_FETCH_TTL") {
            settings.push(("NIXFLEET_FETCH_TTL".to_owned(), "1".to_owned()));
        }
        let (child, lines) = spawn(dir.path(), "127.0.0.1:0", &settings);
        let url =
            expect(&lines, |line| line.split_once(" dashboard: ").map(|(_, url)| url.to_owned()));
        let password =
            expect(&lines, |line| line.strip_prefix("admin password: ").map(str::to_owned));
        Self { dir, url, password, settings, child }
    }

    pub fn login(&self) -> Client {
        Client::login(&self.url, &self.password)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill_9(&mut self) {
        kill_9(&mut self.child);
    }

    /// Stops it as a service manager does.
    pub fn stop(&mut self) {
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(told.success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// Starts it again: same address, same data.
    pub fn start_again(&mut self) {
        let address = self.url.strip_prefix("http://").unwrap().to_owned();
        let (child, lines) = spawn(self.dir.path(), &address, &self.settings);
        self.child = child;
        let url =
            expect(&lines, |line| line.split_once(" dashboard: ").map(|(_, url)| url.to_owned()));
        assert_eq!(url, self.url);
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the process; answers it and the lines it prints.
pub fn spawn(
    data: &Path,
    listen: &str,
    settings: &[(String, String)],
) -> (Child, Receiver<String>) {
    let set = |wanted: &str| {
        let found = settings.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    let stderr = match set("STDERR_TO") {
        Some(path) => std::fs::File::create(path).unwrap().into(),
        None => Stdio::inherit(),
    };
    let mut program = match set("DESCRIPTORS") {
        Some(most) => limited(&nixfleet(), most),
        None => nixfleet(),
    };
    let mut child = program
        .args(["--dashboard", "--listen", listen, "--data-dir"])
        .arg(data)
        .envs(settings.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (tell, lines) = channel();
    thread::spawn(move || {
        stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    (child, lines)
}

/// The same program with the same environment, which may open so many files.
fn limited(program: &Command, most: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// The first line that `find` accepts.
#[track_caller]
pub fn expect<T>(lines: &Receiver<String>, find: impl Fn(&str) -> Option<T>) -> T {
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("the dashboard says more");
        if let Some(found) = find(&line) {
            return found;
        }
    }
}
