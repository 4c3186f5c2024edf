//! Programs below the dashboard that do not do as they should: git that hangs, or leaves something
//! behind, and ssh that looks around (B3 of the house's review, finding 4 of the systemd review,
//! finding 17 of the security review).

use crate::support::dashboard::TOKEN;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A directory of programs that are found before the real ones.
struct Programs {
    dir: tempfile::TempDir,
}

impl Programs {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn add(&self, name: &str, script: &str) {
        let path = self.file(name);
        let real_path = std::env::var("PATH").unwrap();
        fs::write(&path, format!("#!/bin/sh\nPATH='{real_path}'\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A git that does as a file says, and then what git does.
    fn add_git(&self) {
        let script = format!(
            "case \"$(cat '{0}/mode' 2>/dev/null)\" in\n\
             hang) echo $$ >'{0}/pid'; trap '' TERM; while :; do sleep 1; done ;;\n\
             child) sleep 600 >/dev/null & ;;\n\
             esac\nexec git \"$@\"",
            self.dir.path().display()
        );
        self.add("git", &script);
    }

    fn set_mode(&self, mode: &str) {
        fs::write(self.file("mode"), mode).unwrap();
    }

    fn dashboard(&self, source: &Path, more: &[(&str, &str)]) -> Dashboard {
        let path = format!("{}:{}", self.dir.path().display(), std::env::var("PATH").unwrap());
        let mut settings =
            vec![("NIXFLEET_SOURCE", source.to_str().unwrap()), ("PATH", path.as_str())];
        settings.extend(more);
        Dashboard::start(&settings)
    }
}

#[track_caller]
fn wait_for_error(user: &Client, text: &str) {
    wait_until(&format!("the remote's error says {text:?}"), || {
        let now = user.get("/api/desired").json()[0].clone();
        let said = now["error"].as_str().unwrap_or_default();
        if now["state"] == "unavailable" && said.contains(text) { Ok(()) } else { Err(now) }
    });
}

/// B3: today a push is not seen for as long as the child lives.
#[test]
fn a_child_of_git_that_holds_its_stderr_does_not_hold_the_dashboard() {
    let (repo, programs) = (ConfigRepo::new(), Programs::new());
    programs.add_git();
    let dashboard = programs.dashboard(&repo.remote(), &[]);
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    programs.set_mode("child");
    repo.push_change("pushed while a child holds on");
    user.wait_for_saying("web", "git", "1 commit behind");
}

#[test]
fn a_git_that_hangs_turns_rows_red_and_they_come_back_with_it() {
    let (repo, programs) = (ConfigRepo::new(), Programs::new());
    programs.add_git();
    let dashboard = programs.dashboard(&repo.remote(), &[]);
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    programs.set_mode("hang");
    wait_for_error(&user, "did not answer within");
    user.wait_for_row("web", "ok err err out out");
    programs.set_mode("");
    user.wait_for_row("web", "ok ok ok out unk");
}

/// Gray is for the time of one fetch.
#[test]
fn a_git_that_hangs_from_the_beginning_is_said_in_its_time() {
    let (repo, programs) = (ConfigRepo::new(), Programs::new());
    programs.add_git();
    programs.set_mode("hang");
    let dashboard = programs.dashboard(&repo.remote(), &[]);
    wait_for_error(&dashboard.login(), "did not answer within");
}

#[test]
#[cfg(target_os = "linux")]
fn a_git_below_a_dashboard_that_is_killed_dies_with_it() {
    let (repo, programs) = (ConfigRepo::new(), Programs::new());
    programs.add_git();
    programs.set_mode("hang");
    let mut dashboard = programs.dashboard(&repo.remote(), &[]);
    let git = wait_until("git hangs", || {
        let told = fs::read_to_string(programs.file("pid")).unwrap_or_default();
        told.strip_suffix('\n').map(|pid| Path::new("/proc").join(pid)).ok_or(told)
    });
    assert!(git.exists());
    dashboard.kill_9();
    wait_until("git is gone", || if git.exists() { Err("it lives") } else { Ok(()) });
}

#[test]
fn a_git_that_is_not_there_is_said() {
    let (repo, programs) = (ConfigRepo::new(), Programs::new());
    let nowhere = programs.dir.path().to_str().unwrap();
    let dashboard = programs.dashboard(&repo.remote(), &[("PATH", nowhere)]);
    wait_for_error(&dashboard.login(), "the git program could not be started: No such file");
}

#[test]
fn ssh_below_the_dashboards_git_sees_no_secret_and_its_words_are_shown() {
    let programs = Programs::new();
    let seen = programs.file("seen");
    let script = format!(
        "env > '{0}.new'; mv '{0}.new' '{0}'\n\
         echo 'git@example.invalid: Permission denied (publickey).' >&2; exit 255",
        seen.display()
    );
    programs.add("ssh", &script);
    let secrets = [
        ("NIXFLEET_GITHUB_TOKEN", "ghp_0123456789"),
        ("NIXFLEET_SESSION_SECRET", "0123456789abcdef0123456789abcdef"),
        ("NIXFLEET_HOOK_SECRET", "hook-0123456789"),
    ];
    let url = Path::new("ssh://git@example.invalid/nixcfg");
    let dashboard = programs.dashboard(url, &secrets);
    wait_for_error(&dashboard.login(), "Permission denied (publickey)");
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("GIT_TERMINAL_PROMPT=0"), "{seen}");
    for (name, secret) in [secrets.as_slice(), &[("NIXFLEET_AGENT_TOKEN", TOKEN)]].concat() {
        assert!(!seen.contains(secret), "{name} is in {seen}");
    }
}

#[test]
fn a_user_and_password_in_the_address_are_not_in_what_is_said() {
    for address in ["http://me:s3cret@127.0.0.1:1/r", "http://ghp_s3cret@127.0.0.1:1/r"] {
        let dashboard = Dashboard::start(&[("NIXFLEET_SOURCE", address)]);
        let user = dashboard.login();
        wait_for_error(&user, "127.0.0.1");
        assert!(!user.get("/api/desired").text.contains("s3cret"));
        assert!(!user.get("/").text.contains("s3cret"));
    }
}
