//! A NixOS host on such a machine: real Nix, a profile, a boot loader's default, and an agent
//! that systemd runs. Its dashboard is outside.

use crate::machine::Machine;
use crate::relay;
use crate::support::dashboard::TOKEN;
use crate::support::{Client, ConfigRepo, Dashboard, nixfleet, poll, wait_until};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The name of the one host.
pub const NAME: &str = "alpha";
/// The agent's unit.
pub const AGENT: &str = "nixfleet-agent.service";
/// What nixos-rebuild activates in.
pub const ACTIVATION: &str = "nixos-rebuild-switch-to-configuration*";

const NIX_CONF: &str = "experimental-features = nix-command flakes\nsubstituters =\n\
    flake-registry =\nsandbox = false\nbuild-users-group =\nwarn-dirty = false\n";
/// Builds what is committed and makes it the system that boots, as an installer does.
const INSTALL: &str = r"
git clone --quiet /srv/config.git /root/config
nix build --out-link /root/system '/root/config#nixosConfigurations.alpha.config.system.build.toplevel'
nix-env -p /nix/var/nix/profiles/system --set /root/system
/nix/var/nix/profiles/system/bin/switch-to-configuration boot
rm -r /root/config /root/system
";
/// The project's files that make a unit, and the directory with more of them.
const MODULES: [&str; 3] = ["nixos-module.nix", "home-module.nix", "tests/nix/lib.nix"];
const MORE_MODULES: &str = "nix";
/// The configuration around them.
const CONFIG: [&str; 5] =
    ["flake.nix", "units.nix", "gate", "nixos-rebuild", "switch-to-configuration"];

pub struct Host {
    pub machine: Machine,
    pub dashboard: Dashboard,
    pub user: Client,
    pub repo: ConfigRepo,
    config: Value,
    /// The binary and the first program of a boot.
    _programs: tempfile::TempDir,
}

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The binary under test without what only a debugger reads.
fn install_binary(to: &Path) {
    let binary = nixfleet().get_program().to_owned();
    let stripped = Command::new("strip").arg("-o").arg(to).arg(&binary).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(&binary, to).unwrap();
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `change` put into `base`, field by field; `null` takes a field out.
fn merge(base: &mut Value, change: &Value) {
    let (Value::Object(base), Value::Object(change)) = (base, change) else {
        return;
    };
    for (name, value) in change {
        match (base.get_mut(name), value) {
            (_, Value::Null) => drop(base.remove(name)),
            (Some(old @ Value::Object(_)), Value::Object(_)) => merge(old, value),
            _ => drop(base.insert(name.clone(), value.clone())),
        }
    }
}

impl Host {
    /// A host that is up, online and in step with its repository.
    pub fn new() -> Self {
        Self::with(&json!({}))
    }

    /// The same with more in its configuration.
    pub fn with(change: &Value) -> Self {
        let host = Self::installed(change);
        host.user.wait_for_row(NAME, "ok ok ok ok unk");
        host
    }

    /// The same, whatever becomes of it.
    pub fn installed(change: &Value) -> Self {
        Self::made(change, false)
    }

    /// A host with a network of its own, whose switches are guarded, and in little time.
    pub fn guarded(change: &Value) -> Self {
        let mut config = json!({ "services": { "agent": { "guard": {
            "enable": true, "activationLimit": 20, "window": 12,
        } } } });
        merge(&mut config, change);
        let host = Self::made(&config, true);
        host.user.wait_for_row(NAME, "ok ok ok ok unk");
        host
    }

    fn made(change: &Value, apart: bool) -> Self {
        let repo = ConfigRepo::empty();
        let more = fs::read_dir(here(MORE_MODULES)).unwrap();
        let more = more.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let more = more.map(|name| format!("{MORE_MODULES}/{name}"));
        for file in MODULES.into_iter().map(str::to_owned).chain(more) {
            repo.write(&format!("nixfleet/{file}"), &fs::read_to_string(here(&file)).unwrap());
        }
        for file in CONFIG {
            let text = fs::read_to_string(here("tests/systemd/config").join(file)).unwrap();
            repo.write(file, &text);
        }
        repo.test(NAME, "T01-first.sh", "#!/bin/sh\n# Name: First\necho fine\n");
        repo.push("all but the host's own");
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let programs = tempfile::tempdir().unwrap();
        fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
        install_binary(&programs.path().join("nixfleet"));
        let stage_2 = programs.path().join("stage-2");
        fs::copy(here("tests/systemd/config/stage-2"), stage_2).unwrap();

        let mut machine = Machine::new().unwrap();
        machine.bind(programs.path(), "/srv/nixfleet");
        if apart {
            machine.set_apart();
            relay::install(&machine, programs.path(), &dashboard.url);
        }
        machine.bind(&repo.remote(), "/srv/config.git");
        for (path, text) in [
            ("/etc/NIXOS", ""),
            ("/etc/hostname", "alpha\n"),
            ("/etc/nix/nix.conf", NIX_CONF),
            ("/etc/nixfleet-token", TOKEN),
        ] {
            let file = machine.file(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let mut config = json!({
            "system": format!("{}-linux", std::env::consts::ARCH),
            "release": "1",
            "motd": "one",
            "demo": {},
            "fault": "",
            "kernel": "6.12.4",
            "inhibitors": {},
            "home": {},
            "services": { "agent": {
                "enable": true,
                "url": dashboard.url,
                "tokenFile": "/etc/nixfleet-token",
                "repoUrl": "/srv/config.git",
                "interval": 1,
                "tests": { "autoRunAfterSwitch": false },
                // Tests of the guard have it on.
                "guard": { "enable": false },
                // What a builder says is shown, so that one can be seen to wait.
                "rebuildFlags": ["-L"],
            } },
        });
        merge(&mut config, change);
        let mut host = Self { machine, dashboard, user, repo, config, _programs: programs };
        host.push(&json!({}));
        host.machine.install(INSTALL);
        host.machine.boot();
        host
    }

    /// Commits a change of the host's configuration; answers the commit.
    pub fn push(&mut self, change: &Value) -> String {
        merge(&mut self.config, change);
        self.repo.write("host.json", &self.config.to_string());
        self.repo.push(&format!("change {change}"))
    }

    /// Commits a change and brings the checkout there, so that a switch has something to do.
    pub fn pull(&mut self, change: &Value) -> String {
        let commit = self.push(change);
        self.user.wait_for_online(NAME);
        self.user.wait_for_idle(NAME);
        wait_until("the dashboard knows the commit", || {
            let row = self.user.row(NAME);
            if row.split(' ').nth(1) == Some("out") { Ok(()) } else { Err(row) }
        });
        self.user.run(NAME, "pull", "succeeded");
        commit
    }

    /// From now on what comes to this place waits there.
    pub fn close(&self, gate: &str) {
        self.machine.run(&["mkdir", "-p", "/run/control"]);
        self.machine.run(&["rm", "-f", &format!("/run/control/at-{gate}")]);
        self.machine.run(&["touch", &format!("/run/control/gate-{gate}")]);
    }

    /// Lets it go on.
    pub fn open(&self, gate: &str) {
        self.machine.run(&["rm", "-f", &format!("/run/control/gate-{gate}")]);
    }

    /// Starts a switch and waits until it is at a closed gate.
    #[track_caller]
    pub fn switch_until(&self, gate: &str) -> String {
        self.close(gate);
        let id = self.user.start(NAME, "switch");
        wait_until(&format!("the switch waits at {gate}"), || {
            let lines = self.user.output(&id);
            let waits = |line: &String| line.ends_with(&format!("waiting at {gate}"));
            if lines.iter().any(waits) { Ok(()) } else { Err(lines) }
        });
        id
    }

    /// How its agent is set up.
    pub fn agent_settings(&self) -> Value {
        self.config["services"]["agent"].clone()
    }

    /// What is active.
    pub fn runs(&self) -> String {
        self.machine.says(&["readlink", "-f", "/run/current-system"])
    }

    /// The agent's process.
    pub fn agent(&self) -> String {
        self.machine.property(AGENT, "MainPID")
    }

    /// The units of jobs, and of what their switches activate in.
    pub fn units_of_jobs(&self) -> Vec<String> {
        [self.machine.units("nixfleet-job-*"), self.machine.units(ACTIVATION)].concat()
    }

    /// Waits until a command has ended, however; answers how.
    #[track_caller]
    pub fn wait_for_the_end(&self, id: &str) -> Value {
        wait_long("the command has ended", || {
            let command = self.user.command(id);
            let state = command["state"].as_str().unwrap_or_default();
            let lives = ["queued", "sent", "running", "overdue", "stopping", "verifying"];
            if lives.contains(&state) { Err(command) } else { Ok(command) }
        })
    }

    /// Waits until its agent has told twice how it is.
    #[track_caller]
    pub fn wait_for_two_heartbeats(&self) {
        for _ in 0..2 {
            let before = self.user.host(NAME)["last_seen"].clone();
            wait_until("it is heard again", || {
                let now = self.user.host(NAME)["last_seen"].clone();
                if now == before { Err(now) } else { Ok(()) }
            });
        }
    }

    /// Proves that it still works: another change is pulled and switched to.
    #[track_caller]
    pub fn switches_again(&mut self) {
        self.pull(&json!({ "motd": "and it still works" }));
        self.user.run(NAME, "switch", "succeeded");
    }
}

/// As [`wait_until`], for what may take minutes by its specification.
#[track_caller]
pub fn wait_long<T, E: Debug>(what: &str, look: impl FnMut() -> Result<T, E>) -> T {
    match poll(Duration::from_secs(240), look) {
        Ok(found) => found,
        Err(last) => panic!("waited in vain until {what}: {last:#?}"),
    }
}
