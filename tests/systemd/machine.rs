//! A machine that boots systemd: a container with a disk of its own, which can be rebooted and
//! whose power can be cut.

use crate::support::{poll, wait_until};
use crate::tree;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// Mounts the disk: what is written goes to memory, and with the machine. The container needs a
/// cgroup2 hierarchy that may be written; what others see of theirs stays as it is.
const DISK: &str = r#"
set -eu
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/$GROUP
mkdir "$group"
[ -e "$group/cgroup.kill" ] || { echo "the kernel is older than 5.14" >&2; exit 1; }
mount -t tmpfs -o size=3G,mode=755 tmpfs "$DIR"
mkdir "$DIR/upper" "$DIR/work" "$DIR/root"
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
echo mounted
# Until the tests close it or end, however they end: nothing of the machine is left behind then.
read -r _ || true
echo 1 > "$group/cgroup.kill"
# The kernel kills after it has answered, and no program of a shell waits for `cgroup.events`.
while [ -n "$(find "$group" -name cgroup.procs -exec cat {} +)" ]; do sleep 0.05; done
find "$group" -depth -type d -exec rmdir {} +
"#;
/// Runs a program in the machine's group.
const IN_GROUP: &str = r#"echo $$ > "/sys/fs/cgroup/$GROUP/cgroup.procs" && exec "$@""#;
/// A network with a default route.
const NETWORK: &str = "
ip link add eth0 type veth peer name peer0
ip address add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip link set peer0 up
ip route add default via 192.0.2.2
";
/// How long a boot may take.
const BOOT: Duration = Duration::from_secs(90);
/// How a container ends that is to be booted again.
const REBOOT: i32 = 133;
/// The environment of a command inside.
const PATH: &str = "PATH=/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Machine {
    dir: tempfile::TempDir,
    group: String,
    /// Holds the mounts: the machine's disk is there as long as it lives.
    disk: Child,
    /// The container, while the machine is on.
    on: Option<Child>,
    binds: Vec<String>,
    /// It has a network of its own, which can be cut.
    apart: bool,
}

impl Machine {
    /// A machine that is off. The error says what this computer does not allow.
    pub fn new() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let name = dir.path().file_name().unwrap().to_string_lossy();
        let group = format!("nixfleet-test{name}");
        let mut disk = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", DISK])
            .env("DIR", dir.path())
            .env("TREE", tree::path())
            .env("GROUP", &group)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let _ = BufReader::new(disk.stdout.take().unwrap()).read_line(&mut line);
        if line.trim() != "mounted" {
            let output = disk.wait_with_output().map_err(|error| error.to_string())?;
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Self { dir, group, disk, on: None, binds: Vec::new(), apart: false })
    }

    /// Shows a directory of this computer in there.
    pub fn bind(&mut self, from: &Path, to: &str) {
        self.binds.push(format!("--bind={}:{to}", from.display()));
    }

    /// Gives it a network of its own, with nothing but itself in it.
    pub fn set_apart(&mut self) {
        self.apart = true;
    }

    /// Where a file of its disk is, as long as it is there.
    pub fn file(&self, path: &str) -> PathBuf {
        let root = format!("/proc/{}/root{}/root", self.disk.id(), self.dir.path().display());
        Path::new(&root).join(path.trim_start_matches('/'))
    }

    fn container(&self, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let disk = self.disk.id().to_string();
        command
            .args(["--mount", "--target", &disk, "sh", "-c", IN_GROUP, "sh"])
            .args(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit"])
            .args(["--machine=alpha", "--resolv-conf=off", "--timezone=off"])
            .args(["--kill-signal=SIGRTMIN+3", "--console=passive"])
            .arg(format!("--directory={}/root", self.dir.path().display()))
            .args(self.apart.then_some("--private-network"))
            .args(&self.binds)
            .args(program)
            .env("GROUP", &self.group)
            .stdin(Stdio::null());
        command
    }

    /// Runs a program on the disk of the machine while it is off, as an installer does.
    #[track_caller]
    pub fn install(&self, script: &str) {
        let output = self.container(&["/bin/bash", "-euc", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }

    fn console(&self) -> PathBuf {
        self.dir.path().with_extension("console")
    }

    /// Switches it on with this program as its first process, and waits until it is up.
    pub fn try_boot_with(&mut self, init: &str) -> Result<(), String> {
        let console = File::create(self.console()).map_err(|error| error.to_string())?;
        let mut container = self.container(&[init]);
        container.stdout(console.try_clone().unwrap()).stderr(console);
        self.on = Some(container.spawn().map_err(|error| error.to_string())?);
        let up = poll(BOOT, || {
            let ended = self.on.as_mut().unwrap().try_wait().ok().flatten();
            let up = self.is_up();
            if up || ended.is_some() { Ok(up) } else { Err(()) }
        });
        if up == Ok(true) {
            return self.connect();
        }
        let said = fs::read(self.console()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        Err(last.into_iter().rev().collect::<Vec<_>>().join(" / "))
    }

    /// A network of its own has a way out, as far as its kernel knows.
    fn connect(&self) -> Result<(), String> {
        let (true, Some(first)) = (self.apart, self.first()) else {
            return Ok(());
        };
        let connected = Command::new("nsenter")
            .args(["--net", "--target", &first, "sh", "-euc", NETWORK])
            .output()
            .map_err(|error| error.to_string())?;
        if connected.status.success() { Ok(()) } else { Err(format!("{connected:?}")) }
    }

    /// Boots nothing but systemd.
    pub fn try_boot(&mut self) -> Result<(), String> {
        self.try_boot_with("/lib/systemd/systemd")
    }

    #[track_caller]
    pub fn boot(&mut self) {
        if let Err(why) = self.try_boot_with("/srv/nixfleet/stage-2") {
            panic!("the machine does not boot: {why}");
        }
    }

    /// The first process of the machine.
    fn first(&self) -> Option<String> {
        let container = self.on.as_ref()?.id();
        let children = format!("/proc/{container}/task/{container}/children");
        let children = fs::read_to_string(children).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// A program that is to be run inside; `None` while the machine is off or between two boots.
    pub fn command(&self, program: &[&str]) -> Option<Command> {
        let first = self.first()?;
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &first, "env", "-i", PATH, "HOME=/root", "LANG=C"]);
        command.args(program).stdin(Stdio::null());
        Some(command)
    }

    /// Runs a program inside; `None` while the machine is off or between two boots.
    pub fn try_run(&self, program: &[&str]) -> Option<Output> {
        self.command(program)?.output().ok()
    }

    /// What a program says that has to succeed.
    #[track_caller]
    pub fn run(&self, program: &[&str]) -> String {
        let output = self.try_run(program).expect("the machine is on");
        assert!(output.status.success(), "{program:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What a program says, whether or not it succeeds.
    pub fn says(&self, program: &[&str]) -> String {
        let output = self.try_run(program);
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_default()
    }

    /// Sends a signal to a process.
    #[track_caller]
    pub fn signal(&self, signal: &str, process: &str) {
        self.run(&["sh", "-c", &format!("kill -{signal} {process}")]);
    }

    fn is_up(&self) -> bool {
        let state = self.says(&["systemctl", "is-system-running"]);
        ["running", "degraded"].contains(&state.as_str())
    }

    /// Asks the machine to reboot, as a user at its keyboard does, and waits until it is back.
    #[track_caller]
    pub fn reboot(&mut self) {
        self.try_run(&["systemctl", "reboot"]);
        let container = self.on.as_mut().expect("the machine is on");
        let ended = wait_until("the machine has shut down", || {
            container.try_wait().unwrap().ok_or("it has not")
        });
        assert_eq!(ended.code(), Some(REBOOT), "{ended}");
        self.boot();
    }

    /// Waits until the machine reboots by itself, and boots it.
    #[track_caller]
    pub fn wait_for_its_reboot(&mut self) {
        let container = self.on.as_mut().expect("the machine is on");
        let ended = crate::host::wait_long("the machine has shut down", || {
            container.try_wait().unwrap().ok_or("it has not")
        });
        assert_eq!(ended.code(), Some(REBOOT), "{ended}");
        self.boot();
    }

    /// Its power goes away. What is on its disk stays, also what was not synced yet: it is no test
    /// of that.
    pub fn cut_power(&mut self) {
        let Some(mut container) = self.on.take() else {
            return;
        };
        let group = format!("/proc/{}/root/sys/fs/cgroup/{}", self.disk.id(), self.group);
        fs::write(Path::new(&group).join("cgroup.kill"), "1").unwrap();
        container.wait().unwrap();
    }

    /// What systemd wrote down of a unit since the last boot.
    pub fn journal(&self, unit: &str) -> String {
        self.says(&["journalctl", "--no-pager", "-b", "-o", "cat", "-u", unit])
    }

    /// One property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.says(&["systemctl", "show", "--value", "-p", name, unit])
    }

    /// Units that are loaded now and have such a name.
    pub fn units(&self, pattern: &str) -> Vec<String> {
        let list = self.says(&[
            "systemctl",
            "list-units",
            "--all",
            "--plain",
            "--no-legend",
            "--full",
            pattern,
        ]);
        list.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let console = fs::read(self.console()).unwrap_or_default();
            let journal =
                self.says(&["journalctl", "--no-pager", "-b", "-n", "60", "-o", "short-precise"]);
            eprintln!("console: {}\n{journal}", String::from_utf8_lossy(&console));
        }
        drop(self.disk.stdin.take());
        if let Some(container) = &mut self.on {
            let _ = container.wait();
        }
        let _ = self.disk.wait();
        let _ = fs::remove_file(self.console());
    }
}
