//! The processes that are measured.

use crate::api::{Api, Session};
use crate::counted::{COUNTS, Counts};
use crate::options::{Options, Size};
use crate::{COUNTED, FLOOR};
use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Files that are open beside the links.
const SPARE_FILES: u64 = 1000;
/// Commits of the repository that the dashboard follows. Simulated hosts are at one of them.
pub(crate) const COMMITS: usize = 64;

/// Who is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// See [`crate::floor`].
    Floor,
    /// See [`crate::counted`].
    Counted,
    /// A build of NixFleet.
    Dashboard { label: String, program: PathBuf },
}

impl Subject {
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Floor => "floor",
            Self::Counted => "counted",
            Self::Dashboard { label, .. } => label,
        }
    }

    pub(crate) fn is_floor(&self) -> bool {
        match self {
            Self::Floor => true,
            Self::Counted | Self::Dashboard { .. } => false,
        }
    }
}

/// Every link is a file here and one in the server, which inherits our limit.
pub(crate) fn raise_file_limit(options: &Options) -> anyhow::Result<()> {
    let needed = options.most_hosts() as u64 + options.browsers_or(50) as u64 + SPARE_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= needed {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).with_context(|| {
        format!("{needed} files are needed and {hard} allowed: raise `ulimit -Hn`, or be root")
    })
}

/// The name of the n-th simulated host.
pub(crate) fn host_name(n: usize) -> String {
    format!("host-{n:05}")
}

/// A subject with its database: its hosts are added, and nothing runs.
pub(crate) struct Prepared {
    subject: Subject,
    dir: tempfile::TempDir,
    /// Of the hosts, in their order.
    pub(crate) tokens: Vec<String>,
    session: Option<Session>,
    /// Commits of the repository, oldest first.
    pub(crate) commits: Vec<String>,
    /// Memory of the process before it knew any host.
    pub(crate) empty_bytes: u64,
}

impl Prepared {
    pub(crate) fn new(subject: Subject, options: &Options, size: Size) -> anyhow::Result<Self> {
        let dir = match &options.data_dir {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let dir = dir.context("--data-dir: making a directory")?;
        let commits = make_repository(dir.path())?;
        let mut prepared =
            Self { subject, dir, tokens: Vec::new(), session: None, commits, empty_bytes: 0 };
        let running = prepared.start()?;
        prepared.empty_bytes = running.resident_bytes()?;
        if prepared.subject.is_floor() {
            prepared.tokens = vec![String::new(); size.hosts];
            return Ok(prepared);
        }
        let password = running.line_after("admin password: ")?;
        let mut api = Api::new(running.address, None);
        prepared.session = Some(api.login(&password)?);
        for n in 0..size.hosts {
            prepared.tokens.push(api.add_host(&host_name(n))?);
        }
        if size.history > 0 {
            let pull = serde_json::json!({ "op": "pull", "queue": true });
            let asked = api.post(&format!("/api/hosts/{}/commands", host_name(0)), &pull)?;
            let id = asked["command_id"].as_str().context("a command without an id")?;
            api.post(&format!("/api/commands/{id}/stop"), &serde_json::json!({}))?;
        }
        running.end()?;
        prepared.add_history(size)?;
        Ok(prepared)
    }

    /// Copies the one command that is over, until there are so many: to every host as many, an
    /// hour between two of a host. What the audit log says of it is copied too.
    fn add_history(&self, size: Size) -> anyhow::Result<()> {
        let copies = size.history.saturating_sub(1);
        if copies == 0 {
            return Ok(());
        }
        let database = rusqlite::Connection::open(self.dir.path().join("data/nixfleet.db"))?;
        database.execute_batch(&format!(
            "PRAGMA synchronous = OFF;
             BEGIN;
             CREATE TEMP TABLE one AS SELECT * FROM commands LIMIT 1;
             CREATE TEMP TABLE n AS
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies})
                 SELECT i, printf('host-%05d', i % {hosts}) AS host, i / {hosts} * 3600000 AS ago,
                     printf('00000000-0000-7000-8000-%012x', {copies} - i) AS id FROM n;
             INSERT INTO commands
                 SELECT n.id, n.host, op, state, live, created_at - ago, finished_at - ago,
                     json_set(command_json, '$.id', n.id, '$.host', n.host) FROM one, n;
             INSERT INTO transitions SELECT n.id, t.seq, t.at - ago, t.state, t.reason
                 FROM n, one JOIN transitions t ON t.command_id = one.id;
             INSERT INTO events (at, host_id, category, message, by_whom)
                 SELECT e.at - ago, n.host, e.category, e.message, e.by_whom
                 FROM n, events e WHERE e.host_id = 'host-00000' AND e.message LIKE '%pull%'
                 ORDER BY n.i DESC;
             COMMIT;",
            hosts = size.hosts
        ))?;
        Ok(())
    }

    pub(crate) fn label(&self) -> &str {
        self.subject.label()
    }

    pub(crate) fn is_floor(&self) -> bool {
        self.subject.is_floor()
    }

    /// Pushes commit number so-and-so; answers it.
    pub(crate) fn push(&self, number: usize) -> anyhow::Result<String> {
        let path = repository(self.dir.path());
        import(&path, number..number + 1)?;
        let head = git(&path, &["rev-parse", "main"]).output()?;
        Ok(String::from_utf8(head.stdout)?.trim().to_owned())
    }

    /// Bytes of the database with its log.
    pub(crate) fn database_bytes(&self) -> u64 {
        let data = self.dir.path().join("data");
        let files = ["nixfleet.db", "nixfleet.db-wal"].map(|name| data.join(name));
        files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|meta| meta.len()).sum()
    }

    /// Starts it with what it knew before.
    pub(crate) fn start(&self) -> anyhow::Result<Running> {
        let (mut command, before_address) = match &self.subject {
            Subject::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(FLOOR);
                (command, "floor: http://")
            }
            Subject::Counted => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(COUNTED);
                (command, "dashboard: http://")
            }
            Subject::Dashboard { program, .. } => (Command::new(program), "dashboard: http://"),
        };
        if !self.is_floor() {
            command.args(["--dashboard", "--listen", "127.0.0.1:0", "--data-dir"]);
            command.arg(self.dir.path().join("data"));
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NIXFLEET_") {
                command.env_remove(name);
            }
        }
        command.env("NIXFLEET_SOURCE", repository(self.dir.path()));
        command.env("NIXFLEET_LOG", "error");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.try_for_each(|line| tell.send(line))
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let session = self.session.clone();
        let mut running = Running { child, address, lines, session };
        let told = running.line_after(before_address)?;
        running.address = told.parse().with_context(|| format!("its address is {told}"))?;
        Ok(running)
    }
}

/// A process that is measured.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Receiver<String>,
    pub(crate) session: Option<Session>,
}

impl Running {
    /// A user who is logged in.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.address, self.session.clone())
    }

    fn line_after(&self, before: &str) -> anyhow::Result<String> {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            let line = line.with_context(|| format!("it never printed {before:?}"))?;
            if let Some((_, after)) = line.split_once(before) {
                return Ok(after.to_owned());
            }
        }
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).with_context(|| path)
    }

    /// User and system time of the process so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.proc("stat")?;
        let (_, fields) = stat.rsplit_once(')').context("/proc/.../stat has no name")?;
        let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        let user = fields.next().context("no user time")??;
        let system = fields.next().context("no system time")??;
        // The kernel tells it in hundredths of a second, whatever it counts in.
        Ok(Duration::from_millis((user + system) * 10))
    }

    /// What the dashboard inside this program has allocated.
    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        let mut stdin = self.child.stdin.as_ref().context("the process has no stdin")?;
        stdin.write_all(b"\n")?;
        Counts::read(&self.line_after(COUNTS)?)
    }

    /// Files and threads of the process now.
    pub(crate) fn files_and_threads(&self) -> anyhow::Result<(usize, usize)> {
        let count = |what: &str| {
            let dir = format!("/proc/{}/{what}", self.child.id());
            std::fs::read_dir(dir).map(Iterator::count)
        };
        Ok((count("fd")?, count("task")?))
    }

    /// Memory of the process now.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.context("/proc/.../status has no VmRSS")?.parse()?;
        Ok(kib * 1024)
    }

    /// Tells it to stop, and waits.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the process ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn repository(dir: &Path) -> PathBuf {
    dir.join("config")
}

fn git(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    command.arg("-C").arg(path).args(arguments);
    command
}

/// A repository with some commits; answers them, oldest first.
fn make_repository(dir: &Path) -> anyhow::Result<Vec<String>> {
    let path = repository(dir);
    std::fs::create_dir(&path)?;
    let made = git(&path, &["init", "-q", "-b", "main"]).status().context("git is needed")?;
    ensure!(made.success(), "git init failed");
    import(&path, 0..COMMITS)?;
    let list = git(&path, &["rev-list", "--reverse", "main"]).output()?;
    let list = String::from_utf8(list.stdout)?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Adds commits with these numbers.
fn import(path: &Path, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let mut import = git(path, &["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn()?;
    let mut stream = String::new();
    for n in numbers.clone() {
        let lock = format!("{{\"nodes\":{{}},\"root\":\"{n}\",\"version\":7}}\n");
        let time = 1_700_000_000 + n * 60;
        // The first one of a stream has to say what it follows.
        let follows = n > 0 && n == numbers.start;
        let from = if follows { "from refs/heads/main^0\n" } else { "" };
        stream += &format!(
            "commit refs/heads/main\ncommitter Fleet <fleet@example.org> {time} +0000\n\
             data 7\ncommit\n{from}M 100644 inline flake.lock\ndata {}\n{lock}\n",
            lock.len()
        );
    }
    import.stdin.take().context("git has no stdin")?.write_all(stream.as_bytes())?;
    ensure!(import.wait()?.success(), "git fast-import failed");
    Ok(())
}
