//! The command line against a running dashboard: the real binary, a real dashboard, real agents.

mod answers;
mod operations;
mod reading;
mod reference;
mod terminal;

use crate::support::{Agent, Client, ConfigRepo, Dashboard, nixfleet};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A dashboard with hosts that have a commit to take, and a token for programs.
pub struct Fleet {
    _repo: ConfigRepo,
    pub dashboard: Dashboard,
    pub user: Client,
    pub agents: Vec<Agent>,
    pub token: String,
    /// Where the user's settings would be.
    pub home: tempfile::TempDir,
}

impl Fleet {
    pub fn new(names: &[&str]) -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let token = user.post("/api/tokens", &json!({ "name": "cli", "scope": "operate" })).json();
        let token = token["token"].as_str().unwrap().to_owned();
        let start = |name: &&str| Agent::start(&dashboard.url, name, &repo.remote());
        let agents = names.iter().map(start).collect();
        for name in names {
            user.wait_for_row(name, "ok ok ok out unk");
        }
        repo.push_change("something new");
        for name in names {
            user.wait_for_row(name, "ok out ok out unk");
        }
        Self { _repo: repo, dashboard, user, agents, token, home: tempfile::tempdir().unwrap() }
    }

    /// A command line with the address and the token in the environment.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = plain(self.home.path(), arguments);
        command.env("NIXFLEET_URL", &self.dashboard.url).env("NIXFLEET_API_TOKEN", &self.token);
        command
    }

    /// Runs one to its end.
    pub fn run(&self, arguments: &str) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Starts one.
    pub fn start(&self, arguments: &str) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// A command line without any setting.
pub fn plain(home: &Path, arguments: &str) -> Command {
    let mut command = nixfleet();
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command.env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("NO_COLOR");
    command
}

/// How a command line ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(mut command: Command) -> Self {
        Self::from(command.output().unwrap())
    }

    pub fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("it ended by itself");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn ends_with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no {text:?}: {self:?}");
        self
    }

    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no {text:?}: {self:?}");
        self
    }
}
