//! A host that takes only signed commits: real git, ssh-keygen and gpg, an agent, and a remote that
//! does what a taken-over forge would do.

mod gpg;
mod ssh;

use crate::support::{Agent, ConfigRepo, StandIn, nixfleet};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A host with an agent that was told who may sign.
struct Host {
    standin: StandIn,
    agent: Agent,
    /// The checkout that it deploys from.
    clone: PathBuf,
}

impl Host {
    fn start(repo: &ConfigRepo, more: &[(&str, &str)]) -> Self {
        let standin = StandIn::new();
        let agent = Agent::start_with(&standin.url, "web", &repo.remote(), more);
        let register = standin.hears("register", |_| true);
        // It says that it takes no others, and by which files.
        let is_file = |name: &str| {
            ["ALLOWED_SIGNERS", "SIGNERS_KEYRING"]
                .map(|of| format!("NIXFLEET_{of}"))
                .contains(&name.to_owned())
        };
        let files = more.iter().filter(|(name, _)| is_file(name)).map(|(_, file)| json!(file));
        let files: Vec<Value> = files.collect();
        let told = register.get("signers").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(told, json!(files), "{register}");
        let given = more.iter().find(|(name, _)| *name == "NIXFLEET_REPO_DIR");
        let own = agent.dir.path().join("state/repo");
        let clone = given.map_or(own, |(_, dir)| PathBuf::from(dir));
        Self { standin, agent, clone }
    }

    fn state_dir(&self) -> PathBuf {
        self.agent.dir.path().join("state")
    }

    fn head(&self) -> Option<String> {
        git(&self.clone, &["rev-parse", "--verify", "--quiet", "HEAD"])
    }

    fn run_with(&self, op: &str, args: &Value) -> (Value, Vec<String>) {
        let id = self.standin.command_with(op, args);
        let outcome = self.standin.outcome(&id);
        (outcome, self.standin.lines(&id))
    }

    /// A pull that takes the remote's head. Answers its lines.
    #[track_caller]
    fn takes(&self, commit: &str) -> Vec<String> {
        let (outcome, lines) = self.run_with("pull", &json!({}));
        assert_eq!(outcome["status"], "ok", "{outcome} {lines:#?}");
        assert_eq!(self.head().as_deref(), Some(commit));
        lines
    }

    /// A pull that takes nothing, and says why. What is checked out, and what the host takes for the
    /// remote's head, stay as they are.
    #[track_caller]
    fn refuses(&self, status: &str, why: &str) {
        let known = || {
            let remote = git(&self.clone, &["rev-parse", "--quiet", "refs/remotes/origin/main"]);
            (self.head(), remote, fs::read(self.clone.join("hosts/web/configuration.nix")).ok())
        };
        let before = known();
        let (outcome, lines) = self.run_with("pull", &json!({}));
        assert_eq!(outcome["status"], status, "{why}: {outcome} {lines:#?}");
        let said = outcome["message"].as_str().unwrap();
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!(known(), before, "{why}");
    }
}

fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*", "-C"]).arg(dir).args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.trim().to_owned())
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: see tests/run"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Commits a change with these options, and makes it the head of the remote's main, whatever that
/// was.
fn push(repo: &ConfigRepo, options: &[String], variables: &[(&str, &str)], text: &str) -> String {
    repo.write("hosts/web/configuration.nix", text);
    repo.git(&["add", "-A"]);
    let mut words: Vec<&str> = options.iter().map(String::as_str).collect();
    words.extend(["commit", "--quiet", "--allow-empty", "-m", text]);
    if !options.is_empty() {
        words.push("-S");
    }
    repo.git_with(variables, &words);
    force(repo);
    repo.head()
}

fn force(repo: &ConfigRepo) {
    repo.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
}

/// Runs the agent's program beside the agent; whether it succeeded, and what it said.
fn agent_command(host: &Host, arguments: &[&str]) -> (bool, String) {
    let mut command = nixfleet();
    command.arg("--agent").args(arguments).arg("--state-dir").arg(host.state_dir());
    command.env("NIXFLEET_PLATFORM", "nixos").env("NIXFLEET_TOKEN", "t");
    // Nobody is there: a link of its own would take the agent's place.
    let output = command.env("NIXFLEET_URL", "http://127.0.0.1:9").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}
