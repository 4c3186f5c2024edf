//! The agent by itself, against a stand-in for the dashboard: what it harms, what it says, and what
//! it survives. The numbers are those of the findings that the tests come from.

use crate::support::{Agent, ConfigRepo, Dashboard, StandIn, processes_of, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An agent that has cloned and is connected.
struct Fixture {
    repo: ConfigRepo,
    standin: StandIn,
    agent: Agent,
}

impl Fixture {
    fn new() -> Self {
        let (repo, standin) = (ConfigRepo::new(), StandIn::new());
        let agent = Agent::start(&standin.url, "web", &repo.remote());
        standin.knows_the_checkout();
        Self { repo, standin, agent }
    }

    fn with_repo_dir(repo: ConfigRepo, dir: &Path, remote: bool) -> Self {
        let standin = StandIn::new();
        let url = repo.remote();
        let url = if remote { url.to_str().unwrap() } else { "" };
        let more = [("NIXFLEET_REPO_DIR", dir.to_str().unwrap()), ("NIXFLEET_REPO_URL", url)];
        let agent = Agent::start_with(&standin.url, "web", &repo.remote(), &more);
        standin.hears("register", |_| true);
        Self { repo, standin, agent }
    }

    fn clone(&self) -> PathBuf {
        self.agent.dir.path().join("state/repo")
    }

    fn run(&self, op: &str) -> (Value, Vec<String>) {
        let id = self.standin.command(op);
        let outcome = self.standin.outcome(&id);
        (outcome, self.standin.lines(&id))
    }

    #[track_caller]
    fn told(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        wait_until(what, || {
            let told = [self.standin.all("register"), self.standin.all("heartbeat")].concat();
            match told.last() {
                Some(_) if told.iter().any(&wanted) => Ok(()),
                other => Err(other.cloned()),
            }
        });
    }
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "safe.directory=*"])
        .arg("-C")
        .arg(dir)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Every file below a directory with its content, but git's own.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.ends_with(".git") {
            continue;
        }
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// A clone of a user's with an edit, a new file, an ignored one, and a commit that was not pushed.
fn lived_in(repo: &ConfigRepo, dir: &Path) {
    let remote = repo.remote();
    let parent = dir.parent().unwrap();
    git(parent, &["clone", "--quiet", remote.to_str().unwrap(), dir.to_str().unwrap()]);
    fs::write(dir.join(".gitignore"), "secrets\n").unwrap();
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "--quiet", "-m", "not pushed"]);
    fs::create_dir(dir.join("secrets")).unwrap();
    fs::write(dir.join("secrets/key.age"), "ignored").unwrap();
    fs::write(dir.join("flake.nix"), "edited").unwrap();
    fs::write(dir.join("new.nix"), "new").unwrap();
}

#[test]
fn finding_1_a_directory_that_is_no_clone_is_left_as_it_is_and_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("configuration.nix"), "mine").unwrap();
    let before = tree(dir.path());
    let fixture = Fixture::with_repo_dir(ConfigRepo::new(), dir.path(), true);
    let (outcome, _) = fixture.run("pull");
    assert_eq!(outcome["status"], "blocked", "{outcome}");
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("has files in it and is no git clone"), "{message}");
    assert_eq!(tree(dir.path()), before);
    assert!(!dir.path().join(".git").exists());
}

#[test]
fn finding_1_a_worktree_is_a_clone_and_a_users_one_is_left_as_it_is() {
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let (main, worktree) = (dir.path().join("main"), dir.path().join("worktree"));
    git(dir.path(), &["clone", "--quiet", repo.remote().to_str().unwrap(), "main"]);
    git(&main, &["worktree", "add", "--quiet", "-b", "edits", worktree.to_str().unwrap()]);
    let head = git(&worktree, &["rev-parse", "HEAD"]);
    fs::write(worktree.join("flake.nix"), "edited").unwrap();
    let before = tree(&worktree);
    let fixture = Fixture::with_repo_dir(repo, &worktree, true);
    fixture.told("the worktree's commit is told", |p| p["checkout"] == head.as_str());
    fixture.told("it is told to be dirty", |p| p["dirty"] == true);
    let (outcome, _) = fixture.run("pull");
    assert_eq!(outcome["status"], "blocked", "{outcome}");
    assert_eq!(tree(&worktree), before);
    assert_eq!(git(&worktree, &["symbolic-ref", "--short", "HEAD"]), "edits");
}

#[test]
fn finding_1_a_clone_with_references_in_tables_is_a_clone() {
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let clone = dir.path().join("clone");
    let remote = repo.remote();
    let words = ["clone", "--quiet", "--ref-format=reftable", remote.to_str().unwrap(), "clone"];
    git(dir.path(), &words);
    let head = git(&clone, &["rev-parse", "HEAD"]);
    fs::write(clone.join("flake.nix"), "edited").unwrap();
    let before = tree(&clone);
    let fixture = Fixture::with_repo_dir(repo, &clone, true);
    fixture.told("its commit is told", |p| p["checkout"] == head.as_str());
    assert_eq!(fixture.run("pull").0["status"], "blocked");
    assert_eq!(tree(&clone), before);
}

#[test]
fn finding_2_a_pull_in_a_users_clone_destroys_nothing_and_says_what_is_in_the_way() {
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let clone = dir.path().join("clone");
    lived_in(&repo, &clone);
    let (before, head) = (tree(&clone), git(&clone, &["rev-parse", "HEAD"]));
    let fixture = Fixture::with_repo_dir(repo, &clone, false);
    let (outcome, _) = fixture.run("pull");
    assert_eq!(outcome["status"], "blocked", "{outcome}");
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("flake.nix") && message.contains("new.nix"), "{message}");
    assert_eq!(tree(&clone), before);
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), head);
    // Without the edits it is still ahead of its remote.
    git(&clone, &["stash", "--quiet", "--include-untracked"]);
    let message = fixture.run("pull").0["message"].as_str().unwrap().to_owned();
    assert!(message.contains("is ahead of origin/main by 1"), "{message}");
    fixture.repo.push_change("one more");
    let message = fixture.run("pull").0["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has diverged from origin/main by 1"), "{message}");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), head);
    assert!(clone.join("secrets/key.age").exists());
}

/// Git overwrites ignored files when it brings a clone forward, unless it is told not to.
#[test]
fn finding_2_an_ignored_file_that_the_remote_has_now_is_not_overwritten() {
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let clone = dir.path().join("clone");
    git(dir.path(), &["clone", "--quiet", repo.remote().to_str().unwrap(), "clone"]);
    fs::write(clone.join(".git/info/exclude"), "key.age\n").unwrap();
    fs::write(clone.join("key.age"), "mine").unwrap();
    repo.write("key.age", "theirs");
    repo.push("a file of the same name");
    let fixture = Fixture::with_repo_dir(repo, &clone, false);
    let (outcome, _) = fixture.run("pull");
    assert_eq!(outcome["status"], "error", "{outcome}");
    assert!(outcome["message"].as_str().is_some_and(|m| !m.is_empty()), "{outcome}");
    assert_eq!(fs::read_to_string(clone.join("key.age")).unwrap(), "mine");
}

#[test]
fn a_users_clone_that_is_clean_is_brought_forward() {
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let clone = dir.path().join("clone");
    git(dir.path(), &["clone", "--quiet", repo.remote().to_str().unwrap(), "clone"]);
    let head = repo.push_change("news");
    let fixture = Fixture::with_repo_dir(repo, &clone, false);
    let (outcome, lines) = fixture.run("pull");
    assert_eq!(outcome["status"], "ok", "{outcome} {lines:#?}");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), head);
    assert_eq!(outcome["checkout"], head.as_str());
    assert_eq!((&outcome["dirty"], &outcome["ahead"]), (&Value::from(false), &Value::from(0)));
}

#[test]
fn findings_9_and_12_git_in_a_users_clone_runs_as_its_owner() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("not shown: this needs root");
        return;
    }
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let clone = dir.path().join("clone");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let remote = dir.path().join("remote.git");
    let from = repo.remote();
    git(dir.path(), &["clone", "--quiet", "--bare", from.to_str().unwrap(), "remote.git"]);
    git(dir.path(), &["clone", "--quiet", remote.to_str().unwrap(), "clone"]);
    let head = repo.push_change("news");
    git(&remote, &["fetch", "--quiet", from.to_str().unwrap(), "+main:main"]);
    // A program that the owner of the clone has git run.
    let (mark, program) = (dir.path().join("mark"), dir.path().join("program"));
    fs::write(&program, format!("#!/bin/sh\nid -u >> {}\ncat\n", mark.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    git(&clone, &["config", "filter.who.smudge", program.to_str().unwrap()]);
    fs::write(clone.join(".git/info/attributes"), "* filter=who\n").unwrap();
    let nobody = Command::new("chown").args(["-R", "65534:65534"]).arg(dir.path()).status();
    assert!(nobody.unwrap().success());
    let fixture = Fixture::with_repo_dir(repo, &clone, false);
    let (outcome, lines) = fixture.run("pull");
    assert_eq!(outcome["status"], "ok", "{outcome} {lines:#?}");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), head);
    let ran_as = fs::read_to_string(&mark).unwrap();
    assert!(ran_as.lines().all(|uid| uid == "65534"), "{ran_as}");
    let roots = Command::new("find").arg(&clone).args(["-uid", "0"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&roots.stdout), "");
}

#[test]
fn what_was_changed_by_hand_in_the_agents_clone_is_kept_before_it_is_reset() {
    let fixture = Fixture::new();
    let clone = fixture.clone();
    fs::write(clone.join("flake.nix"), "by hand").unwrap();
    fs::write(clone.join("new.nix"), "new").unwrap();
    fixture.told("the checkout is told to be dirty", |p| p["dirty"] == true);
    let (outcome, lines) = fixture.run("pull");
    assert_eq!(outcome["status"], "ok", "{outcome} {lines:#?}");
    assert_eq!(outcome["dirty"], false);
    assert!(!clone.join("new.nix").exists());
    let saved = git(&clone, &["for-each-ref", "--format=%(refname)", "refs/nixfleet/saved"]);
    assert_eq!(saved.lines().count(), 1);
    assert!(lines.iter().any(|line| line.contains(&saved)), "{lines:#?}");
    assert_eq!(git(&clone, &["show", &format!("{saved}:flake.nix")]), "by hand");
    assert_eq!(git(&clone, &["show", &format!("{saved}:new.nix")]), "new");
}

#[test]
fn finding_21_a_lock_that_a_killed_git_left_stops_no_pull() {
    let fixture = Fixture::new();
    for lock in ["index.lock", "HEAD.lock", "config.lock", "refs/remotes/origin/main.lock"] {
        fs::write(fixture.clone().join(".git").join(lock), "").unwrap();
    }
    let head = fixture.repo.push_change("news");
    let (outcome, lines) = fixture.run("pull");
    assert_eq!(outcome["status"], "ok", "{outcome} {lines:#?}");
    assert_eq!(outcome["checkout"], head.as_str());
}

#[test]
fn finding_33_a_clone_that_is_gone_is_told() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.clone()).unwrap();
    fixture.standin.hears("heartbeat", |p| p.get("checkout") == Some(&Value::Null));
}

#[test]
fn finding_10_a_stop_ends_a_pull_that_waits_for_a_silent_server() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/r", listener.local_addr().unwrap());
    let standin = StandIn::new();
    let more = [("NIXFLEET_REPO_URL", url.as_str())];
    let agent = Agent::start_with(&standin.url, "web", Path::new("/"), &more);
    standin.hears("register", |_| true);
    // The first clone holds the repository, for nobody answers it.
    let _silent = listener.accept().unwrap();
    let id = standin.command("pull");
    standin.hears_line(&id, "waiting for another git command");
    standin.stop(&id);
    assert_eq!(standin.outcome(&id)["status"], "stopped");
    drop(agent);
}

#[test]
fn finding_22_a_job_that_cannot_be_read_is_set_aside_and_stops_nothing() {
    let mut fixture = Fixture::new();
    fixture.agent.kill_9();
    let jobs = fixture.agent.dir.path().join("state/jobs");
    for (id, order) in [
        ("01890000-0000-7000-8000-000000000001", r#"{"op":"garbage-collect"}"#),
        ("01890000-0000-7000-8000-000000000002", "not json"),
    ] {
        fs::create_dir(jobs.join(id)).unwrap();
        fs::write(jobs.join(id).join("job.json"), order).unwrap();
    }
    fixture.agent.start_again();
    wait_until("it registers again", || {
        let registered = fixture.standin.all("register").len();
        if registered >= 2 { Ok(()) } else { Err(registered) }
    });
    assert_eq!(fixture.run("pull").0["status"], "ok");
    assert_eq!(fs::read_dir(jobs.join("set-aside")).unwrap().count(), 2);
    // The dashboard hears of each, once.
    let told = [fixture.standin.all("register"), fixture.standin.all("heartbeat")].concat();
    let notices = told.iter().filter_map(|told| told["notices"].as_array()).flatten();
    let mut notices: Vec<_> = notices.map(|notice| notice.as_str().unwrap()).collect();
    notices.sort_unstable();
    assert_eq!(notices.len(), 2, "{notices:#?}");
    let of = |id: &str| format!("The job 01890000-0000-7000-8000-00000000000{id} is set aside:");
    assert!(notices[0].starts_with(&of("1")) && notices[1].starts_with(&of("2")), "{notices:#?}");
}

/// What a power cut leaves: a job that was accepted, in another boot of the machine.
#[test]
fn finding_9_a_job_of_another_boot_is_not_run_again() {
    let mut fixture = Fixture::new();
    fixture.agent.set("gate");
    let id = fixture.standin.command("switch");
    fixture.standin.hears_line(&id, "waiting at the gate");
    fixture.agent.kill_9();
    let job = fixture.agent.dir.path().join("state/jobs").join(&id);
    let pid = fs::read_to_string(job.join("pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    wait_until("nothing of the job runs", || {
        let left = processes_of(&job);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    // What was not synced is gone: who supervised it, and what it printed.
    fs::write(job.join("pid"), "").unwrap();
    for entry in fs::read_dir(&job).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("out-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let order = fs::read_to_string(job.join("job.json")).unwrap();
    let mut order: Value = serde_json::from_str(&order).unwrap();
    assert!(order["boot_id"].as_str().is_some_and(|boot| !boot.is_empty()), "{order}");
    order["boot_id"] = "of the boot before".into();
    fs::write(job.join("job.json"), order.to_string()).unwrap();
    fixture.agent.unset("gate");
    fixture.agent.start_again();
    let outcome = fixture.standin.outcome(&id);
    assert_eq!(outcome["status"], "interrupted", "{outcome}");
    assert!(!fixture.agent.dir.path().join("root/run/current-system").exists());
}

#[test]
fn finding_14_stopped_is_said_when_nothing_of_the_job_lives_any_more() {
    let fixture = Fixture::new();
    let mark = fixture.agent.dir.path().join("root/finished");
    fixture.agent.on_switch(&format!(
        "#!/bin/sh\nsetsid sh -c 'trap \"\" TERM; echo activating; sleep 20; touch {}'\n",
        mark.display()
    ));
    let id = fixture.standin.command("switch");
    fixture.standin.hears_line(&id, "activating");
    fixture.standin.stop(&id);
    assert_eq!(fixture.standin.outcome(&id)["status"], "stopped");
    let left = processes_of(&mark);
    assert!(left.is_empty() && !mark.exists(), "{left:?}");
}

/// Finding 1 of the systemd review. The unit in which nixos-rebuild activates is no process of the
/// job's; `systemctl` knows it.
#[test]
fn systemd_1_a_stop_lets_an_activation_in_a_unit_of_its_own_end_first() {
    let (repo, standin, host) = (ConfigRepo::new(), StandIn::new(), tempfile::tempdir().unwrap());
    let (unit, programs) = (host.path().join("unit"), host.path().join("bin"));
    fs::create_dir(&programs).unwrap();
    let systemctl = programs.join("systemctl");
    let name = "nixos-rebuild-switch-to-configuration-1234.service";
    let (file, asked) = (unit.display(), host.path().join("asked"));
    let script = format!(
        "#!/bin/sh\n[ $1 = list-units ] || exit 1\n\
         [ -e {file} ] && echo '{name} loaded active running x'\ntouch {}\n",
        asked.display()
    );
    fs::write(&systemctl, script).unwrap();
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let more = [("PATH", path.as_str())];
    let agent = Agent::start_with(&standin.url, "web", &repo.remote(), &more);
    standin.knows_the_checkout();
    fs::create_dir_all(agent.dir.path().join("root/run/systemd/system")).unwrap();
    agent.on_switch(&format!(
        "#!/bin/sh\ntouch {file}; echo activating; while [ -e {file} ]; do sleep 0.05; done\n"
    ));
    let id = standin.command("switch");
    standin.hears_line(&id, "activating");
    fs::remove_file(&asked).unwrap();
    standin.stop(&id);
    wait_until("the unit is looked for", || if asked.exists() { Ok(()) } else { Err(()) });
    assert!(standin.all("status").is_empty());
    fs::remove_file(&unit).unwrap();
    assert_eq!(standin.outcome(&id)["status"], "ok");
}

#[test]
fn systemd_3_a_job_that_the_service_manager_ends_was_interrupted() {
    let fixture = Fixture::new();
    fixture.agent.set("gate");
    let id = fixture.standin.command("switch");
    fixture.standin.hears_line(&id, "waiting at the gate");
    let job = fixture.agent.dir.path().join("state/jobs").join(&id);
    let pid = fs::read_to_string(job.join("pid")).unwrap();
    assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());
    let outcome = fixture.standin.outcome(&id);
    assert_eq!(outcome["status"], "interrupted", "{outcome}");
}

#[test]
fn security_8_nobody_reads_credentials_of_the_repository() {
    let standin = StandIn::new();
    let url = "http://ghp_token@127.0.0.1:1/r";
    let more = [("NIXFLEET_REPO_URL", url)];
    let agent = Agent::start_with(&standin.url, "web", Path::new("/"), &more);
    let register = standin.hears("register", |_| true);
    assert_eq!(register["repo_url"], "http://127.0.0.1:1/r");
    let id = standin.command("pull");
    let outcome = standin.outcome(&id);
    let said = format!("{outcome} {:?}", standin.lines(&id));
    assert!(said.contains("127.0.0.1") && !said.contains("ghp_token"), "{said}");
    drop(agent);
}

#[test]
fn security_13_a_flake_lock_that_is_a_link_is_not_followed() {
    let fixture = Fixture::new();
    let lock = fixture.clone().join("flake.lock");
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &lock).unwrap();
    fixture.standin.hears("heartbeat", |p| p["lock_hash"] == "");
}

#[test]
fn security_14_a_state_directory_that_others_may_write_is_refused() {
    let agent = Agent::prepare();
    let state = agent.dir.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = crate::support::nixfleet();
    command.args(["--agent", "--url", "http://127.0.0.1:1", "--repo-url", "/r"]);
    command.arg("--state-dir").arg(&state).env("NIXFLEET_TOKEN", "t");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("mode 0777"), "{said}");
}

#[test]
fn security_17_neither_git_nor_a_job_sees_the_agents_token() {
    let repo = ConfigRepo::new();
    repo.test("web", "T01-first.sh", "#!/bin/sh\nenv\n");
    repo.push("a test that shows its environment");
    let standin = StandIn::new();
    let more = [
        ("NIXFLEET_GITHUB_TOKEN", "another-secret"),
        ("https_proxy", "http://proxy.example.invalid"),
        ("NIX_PATH", "nixpkgs=/somewhere"),
    ];
    let agent = Agent::start_with(&standin.url, "web", &repo.remote(), &more);
    standin.knows_the_checkout();
    let id = standin.command("test");
    assert_eq!(standin.outcome(&id)["status"], "ok");
    let lines = standin.lines(&id);
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(!has("NIXFLEET_TOKEN") && !has("another-secret"), "{lines:#?}");
    assert!(has("NIX_PATH=nixpkgs=/somewhere") && has("https_proxy="), "{lines:#?}");
    drop(agent);
}

#[test]
fn a_message_of_the_dashboard_may_come_in_fragments() {
    use tungstenite::Message;
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    let fixture = Fixture::new();
    let id = uuid::Uuid::now_v7().to_string();
    let text = serde_json::json!({
        "type": "command", "payload": {"command": "pull", "command_id": id},
    });
    let text = text.to_string();
    let (first, last) = (text[..20].to_owned(), text[20..].to_owned());
    let frame = |text: String, code, is_last| {
        Message::Frame(Frame::message(text.into_bytes(), OpCode::Data(code), is_last))
    };
    fixture.standin.send_message(frame(first, Data::Text, false));
    fixture.standin.send_message(frame(last, Data::Continue, true));
    assert_eq!(fixture.standin.outcome(&id)["status"], "ok");
}

/// A small disk of its own; only root can make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            println!("not shown: this needs root");
            return None;
        }
        let disk = Self(tempfile::tempdir().unwrap());
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(disk.0.path()).status();
        assert!(done.unwrap().success());
        Some(disk)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// An agent whose state directory is a disk of 2 MiB, and whose clone is elsewhere.
fn on_a_small_disk(disk: &SmallDisk) -> (ConfigRepo, StandIn, Agent, tempfile::TempDir) {
    let (repo, standin) = (ConfigRepo::new(), StandIn::new());
    let elsewhere = tempfile::tempdir().unwrap();
    let clone = elsewhere.path().join("clone");
    let more =
        [("NIXFLEET_STATE_DIR", disk.path()), ("NIXFLEET_REPO_DIR", clone.to_str().unwrap())];
    let agent = Agent::start_with(&standin.url, "web", &repo.remote(), &more);
    standin.knows_the_checkout();
    (repo, standin, agent, elsewhere)
}

#[test]
fn finding_5_a_full_disk_loses_lines_and_neither_the_switch_nor_its_outcome_nor_the_link() {
    let Some(disk) = SmallDisk::new("2m") else { return };
    let (_repo, standin, mut agent, _elsewhere) = on_a_small_disk(&disk);
    let done = agent.dir.path().join("root/done");
    agent.on_switch(&format!(
        "#!/bin/sh\nhead -c 9000000 /dev/zero > {}/fill 2> /dev/null\n\
         n=0; while [ $n -lt 400 ]; do n=$((n + 1)); printf '%0500d\\n' $n; done\ntouch {}\n",
        disk.path(),
        done.display()
    ));
    let args = serde_json::json!({"regardless": ["space"]});
    let id = standin.command_with("switch", &args);
    let outcome = standin.outcome(&id);
    assert_eq!((&outcome["status"], &outcome["exit_code"]), (&"ok".into(), &0.into()), "{outcome}");
    assert!(
        outcome["message"].as_str().unwrap().contains("lines of output were lost"),
        "{outcome}"
    );
    assert!(done.exists());
    // The disk is as full as before for an agent that is started now.
    agent.kill_9();
    let _ = fs::write(Path::new(disk.path()).join("fill more"), vec![0_u8; 1_000_000]);
    let before = standin.all("register").len();
    agent.start_again();
    wait_until("it registers on a full disk", || {
        let registered = standin.all("register");
        if registered.len() > before { Ok(()) } else { Err(registered.len()) }
    });
    let disks = standin.all("register").last().unwrap()["disk"].clone();
    let disks = disks.as_array().unwrap();
    let full = disks.iter().find(|told| told["mount"] == disk.path()).unwrap();
    assert!(full["free"].as_u64().unwrap() < 8192, "{disks:?}");
}

#[test]
fn a_switch_without_room_is_blocked_with_what_is_missing_unless_the_user_goes_on_regardless() {
    let Some(disk) = SmallDisk::new("2m") else { return };
    let (_repo, standin, agent, _elsewhere) = on_a_small_disk(&disk);
    fs::write(Path::new(disk.path()).join("fill"), vec![0_u8; 1_850_000]).unwrap();
    let id = standin.command("switch");
    let outcome = standin.outcome(&id);
    assert_eq!(outcome["status"], "blocked", "{outcome}");
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("MiB free and needs") && message.contains("make room"), "{message}");
    let args = serde_json::json!({"regardless": ["space", "unknown"], "unknown": 1});
    let id = standin.command_with("switch", &args);
    assert_eq!(standin.outcome(&id)["status"], "ok");
    drop(agent);
}

/// The same with a real dashboard, as a user sees it.
#[test]
fn a_user_is_told_that_a_disk_is_full_and_goes_on_regardless() {
    let Some(disk) = SmallDisk::new("2m") else { return };
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let elsewhere = tempfile::tempdir().unwrap();
    let clone = elsewhere.path().join("clone");
    let more =
        [("NIXFLEET_STATE_DIR", disk.path()), ("NIXFLEET_REPO_DIR", clone.to_str().unwrap())];
    let agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &more);
    user.wait_for_online("web");
    wait_until("it has its clone", || {
        let host = user.host("web");
        if host["generation"].is_string() { Ok(()) } else { Err(host) }
    });
    let figures = || {
        let disks = user.host("web")["disk"].as_array().unwrap().clone();
        disks.into_iter().find(|told| told["mount"] == disk.path()).unwrap()
    };
    assert_eq!(figures()["low"], false, "{}", figures());
    fs::write(Path::new(disk.path()).join("fill"), vec![0_u8; 1_930_000]).unwrap();
    wait_until("the disk is told to be full", || {
        let now = figures();
        if now["low"] == true { Ok(()) } else { Err(now) }
    });
    let fleet = user.get("/").text;
    assert!(fleet.contains(&format!("{} nearly full", disk.path())), "{fleet}");
    let page = user.get("/hosts/web").text;
    assert!(page.contains(disk.path()) && page.contains(" free of 2 MiB"), "{page}");

    let blocked = user.run("web", "switch", "blocked");
    assert_eq!(blocked["blocked_by"], serde_json::json!(["space"]), "{blocked}");
    assert!(blocked["reason"].as_str().unwrap().ends_with("make room there."), "{blocked}");
    let way_on = format!(
        "/hosts/web/commands?again={}&regardless=space",
        blocked["command_id"].as_str().unwrap()
    );
    for page in ["/hosts/web", "/?log=web"] {
        let page = user.get(page).text;
        let shown = way_on.replace('&', "&amp;");
        assert!(page.contains(&format!("formaction=\"{shown}\"")), "{page}");
    }
    let wrong = user.post_form("/hosts/web/commands?regardless=everything", &[("op", "switch")]);
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let asked = user.post_form(&way_on, &[("op", "switch")]);
    assert!(asked.status < 400, "{asked:?}");
    let done = wait_until("the switch is over", || {
        let commands = user.get("/api/hosts/web/commands").json();
        let last = commands[0].clone();
        if last["state"] == "succeeded" { Ok(last) } else { Err(last) }
    });
    assert_eq!(done["args"]["regardless"], serde_json::json!(["space"]), "{done}");
    // There is nothing to go on from any more.
    assert!(!user.get("/hosts/web").text.contains("regardless=space"));
    drop(agent);
}

#[test]
fn a_switch_is_blocked_while_another_activation_holds_its_lock() {
    let fixture = Fixture::new();
    let run = fixture.agent.dir.path().join("root/run/nixos");
    fs::create_dir_all(&run).unwrap();
    let file = fs::File::create(run.join("switch-to-configuration.lock")).unwrap();
    let how = nix::fcntl::FlockArg::LockExclusiveNonblock;
    let lock = nix::fcntl::Flock::lock(file, how).map_err(|(_, error)| error).unwrap();
    let (outcome, _) = fixture.run("switch");
    assert_eq!(outcome["status"], "blocked", "{outcome}");
    drop(lock);
    assert_eq!(fixture.run("switch").0["status"], "ok");
}

fn agent_command(dir: &Path, more: &[&str]) -> (bool, String) {
    let mut command = crate::support::nixfleet();
    command.arg("--agent").args(more).arg("--state-dir").arg(dir.join("state"));
    command.env("NIXFLEET_TOKEN", "t").env("NIXFLEET_PLATFORM", "nixos");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_check_says_what_works_and_what_does_not() {
    let (repo, standin, dir) = (ConfigRepo::new(), StandIn::new(), tempfile::tempdir().unwrap());
    let remote = repo.remote();
    let remote = remote.to_str().unwrap();
    let good = ["--check", "--url", &standin.url, "--repo-url", remote, "--rebuild", "/bin/sh"];
    let (works, said) = agent_command(dir.path(), &good);
    assert!(works, "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 9, "{said}");
    let url = "http://127.0.0.1:1";
    let bad = ["--check", "--url", url, "--repo-url", "/nowhere", "--rebuild", "/nowhere"];
    let (works, said) = agent_command(dir.path(), &bad);
    assert!(!works, "{said}");
    for name in ["repository", "rebuild program", "dashboard"] {
        assert!(said.contains(&format!("wrong   {name}: ")), "{said}");
    }
    let (works, said) = agent_command(dir.path(), &["--check", "--url", "nonsense"]);
    assert!(!works && said.contains("wrong   settings: --url"), "{said}");
}

#[test]
fn a_clone_is_given_to_the_agent_by_a_command_and_only_then_reset() {
    let (repo, dir) = (ConfigRepo::new(), tempfile::tempdir().unwrap());
    let clone = dir.path().join("clone");
    lived_in(&repo, &clone);
    let words = ["--adopt-clone", "--repo-dir", clone.to_str().unwrap()];
    let (done, said) = agent_command(dir.path(), &words);
    assert!(done && said.contains("is the agent's now"), "{said}");
    let before = git(&clone, &["rev-parse", "HEAD"]);
    let fixture = Fixture::with_repo_dir(repo, &clone, true);
    let (outcome, lines) = fixture.run("pull");
    assert_eq!(outcome["status"], "ok", "{outcome} {lines:#?}");
    let saved = git(&clone, &["for-each-ref", "--format=%(refname)", "refs/nixfleet/saved"]);
    assert_eq!(git(&clone, &["rev-parse", &format!("{saved}^")]), before);
    assert_eq!(git(&clone, &["show", &format!("{saved}:new.nix")]), "new");
    assert!(clone.join("secrets/key.age").exists());
    let (done, said) = agent_command(dir.path(), &["--adopt-clone", "--repo-dir", "/nowhere"]);
    assert!(!done && said.contains("is no git clone"), "{said}");
}

/// Its start needs pages of the program that it then gives back; in a release build it is small.
#[test]
#[cfg(target_os = "linux")]
fn an_idle_agent_has_given_back_what_only_its_start_needed() {
    let fixture = Fixture::new();
    let path = format!("/proc/{}/status", fixture.agent.pid());
    let kib = |field: &str| -> u64 {
        let status = fs::read_to_string(&path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let highest = kib("VmHWM:");
    let idle = wait_until("it is small", || {
        let now = kib("VmRSS:");
        let is_small = now <= highest * 3 / 4 && (cfg!(debug_assertions) || now <= 8 * 1024);
        if is_small { Ok(now) } else { Err((now, highest)) }
    });
    println!("idle: {idle} KiB, at its start {highest} KiB");
    // It goes on as before.
    let (_, lines) = fixture.run("pull");
    assert!(!lines.is_empty());
}
