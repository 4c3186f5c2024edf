//! A config repository: a bare remote and a clone to commit in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct ConfigRepo {
    dir: tempfile::TempDir,
}

impl ConfigRepo {
    /// A remote with one commit: a flake, its lock, and a test that passes for `web`.
    pub fn new() -> Self {
        let repo = Self::empty();
        repo.write("flake.nix", "{ outputs = { self }: { }; }\n");
        repo.write("flake.lock", "{ \"version\": 7 }\n");
        repo.test("web", "T01-first.sh", "#!/bin/sh\n# Name: First\necho fine\n");
        repo.push("first");
        repo
    }

    /// A remote without a commit.
    pub fn empty() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        repo.git_in(repo.dir.path(), &["init", "--quiet", "--bare", "-b", "main", "remote.git"]);
        repo.git_in(repo.dir.path(), &["clone", "--quiet", "remote.git", "work"]);
        repo.git(&["checkout", "--quiet", "-B", "main"]);
        repo
    }

    /// What git says about the remote; `None` if it fails.
    pub fn remote_git(&self, arguments: &[&str]) -> Option<String> {
        let bytes = self.remote_bytes(arguments)?;
        Some(String::from_utf8(bytes).unwrap().trim().to_owned())
    }

    /// As [`Self::remote_git`], byte by byte.
    pub fn remote_bytes(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.remote()).args(arguments);
        let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        output.status.success().then_some(output.stdout)
    }

    /// Pushes a branch with one commit that changes flake.lock, without going there.
    pub fn push_branch(&self, branch: &str) {
        self.push_branch_with_lock(
            branch,
            &format!("{{ \"version\": 7, \"from\": \"{branch}\" }}\n"),
        );
    }

    /// Pushes a branch on which flake.lock is this text, without going there.
    pub fn push_branch_with_lock(&self, branch: &str, lock: &str) {
        self.git(&["checkout", "--quiet", "-B", branch, "main"]);
        self.write("flake.lock", lock);
        self.git(&["commit", "--quiet", "-a", "-m", "flake.lock: update"]);
        self.git(&["push", "--quiet", "--force", "origin", branch]);
        self.git(&["checkout", "--quiet", "main"]);
    }

    /// Merges a branch into main, as a forge does.
    pub fn merge_on_remote(&self, branch: &str) {
        self.git(&["checkout", "--quiet", "main"]);
        self.git(&["merge", "--quiet", "--no-edit", branch]);
        self.git(&["push", "--quiet", "origin", "main"]);
    }

    /// The remote, as a path that git takes.
    pub fn remote(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join("work").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds an executable test of a host.
    pub fn test(&self, host: &str, name: &str, script: &str) {
        let file = format!("hosts/{host}/tests/{name}");
        self.write(&file, script);
        self.mode(&file, 0o755);
    }

    pub fn mode(&self, file: &str, mode: u32) {
        let path = self.dir.path().join("work").join(file);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Commits everything and pushes it; answers the commit.
    pub fn push(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["push", "--quiet", "origin", "main"]);
        self.head()
    }

    /// A commit that changes one file.
    pub fn push_change(&self, text: &str) -> String {
        self.write("hosts/web/configuration.nix", text);
        self.push(text)
    }

    /// The commit that is checked out, in full.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(&[], arguments)
    }

    /// As [`Self::git`], with more variables.
    pub fn git_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> String {
        self.git_in_with(&self.dir.path().join("work"), variables, arguments)
    }

    fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        self.git_in_with(dir, &[], arguments)
    }

    fn git_in_with(&self, dir: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
            .args(arguments)
            .current_dir(dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
