use super::*;
use std::process::Command;
use std::sync::atomic::AtomicBool;

struct Remote {
    dir: tempfile::TempDir,
}

impl Remote {
    fn new() -> Self {
        let remote = Self { dir: tempfile::tempdir().unwrap() };
        remote.git(&["init", "--quiet", "-b", "main", "work"]);
        remote.commit("flake.nix", "{}");
        remote
    }

    fn git(&self, arguments: &[&str]) -> String {
        let work = self.dir.path().join("work");
        let dir = if work.exists() { work } else { self.dir.path().to_owned() };
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
            .args(arguments)
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, file: &str, content: &str) -> Commit {
        fs::write(self.dir.path().join("work").join(file), content).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", &format!("change {file}")]);
        Commit::parse(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    fn source(&self, branch: &str) -> GitSource {
        let url = self.dir.path().join("work");
        GitSource::new(url.to_str().unwrap(), branch, &self.dir.path().join("data"))
    }
}

#[test]
fn the_head_is_read_with_its_lock() {
    let remote = Remote::new();
    let mut source = remote.source("main");
    assert_eq!(source.fetch().unwrap().lock, Some(LockState::Absent));
    let head = remote.commit("flake.lock", "hello\n");
    let fetched = source.fetch().unwrap();
    assert_eq!(fetched.commit, head);
    assert_eq!(fetched.subject, "change flake.lock");
    // printf 'hello\n' | sha256sum
    let hash = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    assert_eq!(fetched.lock, Some(LockState::Hash(LockHash::parse(hash).unwrap())));
}

#[test]
fn commits_between_are_counted_and_lock_changes_apart() {
    let remote = Remote::new();
    let old = remote.commit("a", "1");
    remote.commit("flake.lock", "1");
    remote.commit("a", "2");
    let head = remote.commit("flake.lock", "2");
    let mut source = remote.source("main");
    source.fetch().unwrap();
    let compared = source.compare(&old, &head).unwrap().unwrap();
    assert_eq!(compared.relation, Relation::Behind { commits: 3, lock_commits: 2 });
    let subjects: Vec<&str> = compared.missing.iter().map(|m| m.subject.as_str()).collect();
    assert_eq!(subjects, ["change flake.lock", "change a", "change flake.lock"]);
    let short = Commit::parse(old.short()).unwrap();
    assert_eq!(source.compare(&short, &head).unwrap(), Some(compared));
    assert_eq!(source.compare(&head, &old).unwrap().unwrap().relation, Relation::Ahead);
}

#[test]
fn a_commit_that_was_pushed_away_is_not_on_the_branch() {
    let remote = Remote::new();
    let gone = remote.commit("a", "1");
    let mut source = remote.source("main");
    source.fetch().unwrap();
    remote.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let head = remote.commit("b", "1");
    assert_eq!(source.fetch().unwrap().commit, head);
    assert_eq!(source.compare(&gone, &head).unwrap().unwrap().relation, Relation::NotOnBranch);
    let stranger = Commit::parse("0123456789012345678901234567890123456789").unwrap();
    assert_eq!(source.compare(&stranger, &head).unwrap(), None);
}

#[test]
fn what_is_wrong_with_a_remote_is_said() {
    let remote = Remote::new();
    let error = remote.source("nosuch").fetch().unwrap_err();
    assert_eq!(error.to_string(), "no branch `nosuch` on the remote");
    let error = remote.source("--upload-pack=touch x").fetch().unwrap_err();
    assert!(error.to_string().contains("no branch"), "{error}");
    let nowhere = remote.dir.path().join("nowhere");
    let mut source = GitSource::new(nowhere.to_str().unwrap(), "main", remote.dir.path());
    let error = source.fetch().unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("not"), "{error}");
}

#[test]
fn a_huge_flake_lock_is_an_error_and_not_read_whole() {
    let remote = Remote::new();
    remote.commit("flake.lock", &"x".repeat(MAX_LOCK_BYTES + 1));
    let error = remote.source("main").fetch().unwrap_err();
    assert_eq!(error.to_string(), "flake.lock is larger than 8 MiB");
}

#[test]
fn a_broken_clone_is_made_anew() {
    let remote = Remote::new();
    let mut source = remote.source("main");
    source.fetch().unwrap();
    fs::write(source.clone.join("HEAD"), "rubbish").unwrap();
    fs::remove_dir_all(source.clone.join("refs")).unwrap();
    let head = remote.commit("a", "1");
    assert_eq!(source.fetch().unwrap().commit, head);
}

#[test]
fn a_job_that_nobody_waits_for_any_more_ends() {
    let remote = Remote::new();
    let mut source = remote.source("main");
    let is_given_up = Arc::new(AtomicBool::new(true));
    source.begin(Patience::new(Duration::from_secs(600), is_given_up));
    assert!(source.fetch().is_err());
    source.begin(Patience::new(Duration::ZERO, Arc::default()));
    assert!(source.fetch().is_err());
    source.begin(Patience::new(Duration::from_secs(600), Arc::default()));
    source.fetch().unwrap();
}

/// Finding 5 of the systemd review. Only root can give a directory to somebody else.
#[test]
fn a_remote_that_belongs_to_another_user_of_this_machine_is_read() {
    let remote = Remote::new();
    let work = remote.dir.path().join("work");
    let given = Command::new("chown").args(["-R", "65534:65534"]).arg(&work).status().unwrap();
    if !given.success() {
        println!("not shown: this needs root");
        return;
    }
    remote.source("main").fetch().unwrap();
}

/// Finding 8 of the security review.
#[test]
fn the_password_of_a_remote_is_not_in_what_is_said_about_it() {
    let dir = tempfile::tempdir().unwrap();
    for url in ["http://me:s3cret@127.0.0.1:1/r", "http://s3cret@127.0.0.1:1/r"] {
        let error = GitSource::new(url, "main", dir.path()).fetch().unwrap_err();
        assert!(!error.reason.contains("s3cret"), "{error}");
        assert!(error.reason.contains("127.0.0.1"), "{error}");
    }
}
