//! Keys of ssh, in git's format of allowed signers.

use super::{Host, agent_command, force, git, push, run};
use crate::support::ConfigRepo;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Keys, and the file that says which of them may sign.
struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    /// Ada may sign; what is signed by Olga had to be made before 2020.
    fn new() -> Self {
        let keys = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["ada", "olga", "eve"] {
            let file = keys.file(name);
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()]);
        }
        let allowed = format!(
            "# who may sign\nada@example.org namespaces=\"git\" {}\n\
             olga@example.org valid-before=\"20200101\" {}\n",
            keys.public("ada"),
            keys.public("olga")
        );
        fs::write(keys.allowed(), allowed).unwrap();
        keys
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn allowed(&self) -> PathBuf {
        self.file("allowed-signers")
    }

    fn public(&self, name: &str) -> String {
        let text = fs::read_to_string(self.file(name).with_extension("pub")).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    fn fingerprint(&self, name: &str) -> String {
        let told = run("ssh-keygen", &["-l", "-f", self.file(name).to_str().unwrap()]);
        told.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// What makes git sign with a key.
    fn sign(&self, name: &str) -> Vec<String> {
        let key = format!("user.signingkey={}", self.file(name).display());
        ["-c", "gpg.format=ssh", "-c", &key].map(str::to_owned).to_vec()
    }

    fn host(&self, repo: &ConfigRepo, more: &[(&str, &str)]) -> Host {
        let allowed = self.allowed();
        let mut settings = vec![("NIXFLEET_ALLOWED_SIGNERS", allowed.to_str().unwrap())];
        settings.extend(more);
        Host::start(repo, &settings)
    }
}

const YEARS_AGO: [(&str, &str); 2] =
    [("GIT_COMMITTER_DATE", "2019-06-01T00:00:00Z"), ("GIT_AUTHOR_DATE", "2019-06-01T00:00:00Z")];

#[test]
fn a_pull_takes_only_a_head_that_an_allowed_key_signed_and_that_goes_forward() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let first = push(&repo, &keys.sign("ada"), &[], "one");
    let host = keys.host(&repo, &[]);
    host.takes(&first);
    push(&repo, &[], &[], "not signed, on a signed parent");
    host.refuses("error", "is not signed");
    // The head is what counts: its signature covers the whole tree.
    let second = push(&repo, &keys.sign("ada"), &[], "signed, on an unsigned parent");
    let lines = host.takes(&second).join("\n");
    let who = format!("is signed by ada@example.org ({})", keys.fingerprint("ada"));
    assert!(lines.contains(&who), "{lines}");
    let back_to = |commit: &str| repo.git(&["reset", "--quiet", "--hard", commit]);

    push(&repo, &keys.sign("eve"), &[("GIT_COMMITTER_NAME", "ada")], "of an unknown key");
    host.refuses("error", &keys.fingerprint("eve"));
    back_to(&second);
    push(&repo, &keys.sign("olga"), &[], "of a key that was good until 2020");
    host.refuses("error", &keys.fingerprint("olga"));
    back_to(&second);
    push(&repo, &keys.sign("olga"), &YEARS_AGO, "the same, with a date of then");
    host.refuses("error", "made before");
    back_to(&second);
    repo.git(&[words(&keys.sign("ada")).as_slice(), &AMEND].concat());
    force(&repo);
    host.refuses("error", "does not descend from");
    back_to(&first);
    force(&repo);
    host.refuses("error", "goes back");
    back_to(&second);
    let third = push(&repo, &keys.sign("ada"), &[], "forward");
    host.takes(&third);
    assert!(!host.state_dir().join("verify").exists(), "what it verified with is left");
}

const AMEND: [&str; 6] = ["commit", "--quiet", "--amend", "-S", "-m", "rewritten"];

fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

#[test]
fn a_tag_or_a_signature_of_another_commit_makes_no_head_good() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let first = push(&repo, &keys.sign("ada"), &[], "one");
    let host = keys.host(&repo, &[]);
    host.takes(&first);
    // A signed tag of an unsigned commit, in the place of the branch's head.
    let unsigned = push(&repo, &[], &[], "not signed");
    let sign = keys.sign("ada");
    repo.git(&[words(&sign).as_slice(), &["tag", "-s", "-m", "good", "v1", &unsigned]].concat());
    repo.git(&["push", "--quiet", "origin", "v1"]);
    let tag = repo.git(&["rev-parse", "refs/tags/v1"]);
    assert_ne!(tag, unsigned);
    fs::write(repo.remote().join("refs/heads/main"), format!("{tag}\n")).unwrap();
    host.refuses("error", "is not the commit of that name");
    // Ada's signature, on a commit with another tree.
    fs::write(repo.remote().join("refs/heads/main"), format!("{unsigned}\n")).unwrap();
    let good = repo.git(&["cat-file", "commit", &first]);
    let (head, message) = good.split_once("\n\n").unwrap();
    let tree = repo.git(&["rev-parse", &format!("{unsigned}^{{tree}}")]);
    let (_, rest) = head.split_once('\n').unwrap();
    let rest = rest.split_once('\n').unwrap().1;
    let forged = format!("tree {tree}\nparent {first}\n{rest}\n\n{message}\n");
    let file = keys.file("forged");
    fs::write(&file, forged).unwrap();
    let forged = repo.git(&["hash-object", "-w", "-t", "commit", file.to_str().unwrap()]);
    repo.git(&["reset", "--quiet", "--hard", &forged]);
    force(&repo);
    host.refuses("error", "bears a signature that is not its own");
}

/// What users, the machine and the clone say about git has no say in who may sign.
#[test]
fn no_configuration_of_git_lets_another_key_sign() {
    let (repo, keys, home) = (ConfigRepo::new(), Keys::new(), tempfile::tempdir().unwrap());
    let first = push(&repo, &keys.sign("ada"), &[], "one");
    let (asked, yes) = (home.path().join("asked"), home.path().join("yes"));
    fs::write(&yes, format!("#!/bin/sh\ntouch '{}'\nexit 0\n", asked.display())).unwrap();
    fs::set_permissions(&yes, fs::Permissions::from_mode(0o755)).unwrap();
    let others = home.path().join("others");
    fs::write(&others, format!("* {}\n", keys.public("eve"))).unwrap();
    let settings = format!(
        "[gpg]\n\tformat = ssh\n\tprogram = {yes}\n\tminTrustLevel = undefined\n\
         [gpg \"openpgp\"]\n\tprogram = {yes}\n\
         [gpg \"ssh\"]\n\tprogram = {yes}\n\tallowedSignersFile = {others}\n",
        yes = yes.display(),
        others = others.display()
    );
    let config = home.path().join(".gitconfig");
    fs::write(&config, &settings).unwrap();
    let config = config.to_str().unwrap();
    let count = ("GIT_CONFIG_COUNT", "1");
    let key = ("GIT_CONFIG_KEY_0", "gpg.ssh.allowedSignersFile");
    let host = keys.host(
        &repo,
        &[
            ("HOME", home.path().to_str().unwrap()),
            ("GIT_CONFIG_SYSTEM", config),
            ("GIT_CONFIG_GLOBAL", config),
            count,
            key,
            ("GIT_CONFIG_VALUE_0", others.to_str().unwrap()),
        ],
    );
    host.takes(&first);
    let of_the_clone = host.clone.join(".git/config");
    let known = fs::read_to_string(&of_the_clone).unwrap();
    fs::write(&of_the_clone, format!("{known}\n{settings}")).unwrap();
    let bad = push(&repo, &keys.sign("eve"), &[], "of an unknown key");
    host.refuses("error", &keys.fingerprint("eve"));
    // An object that stands in for another, in the clone.
    git(&host.clone, &["replace", &bad, &first]).unwrap();
    host.refuses("error", &keys.fingerprint("eve"));
    assert!(!asked.exists(), "a program of the user's was asked");
}

#[test]
fn a_file_of_signers_that_is_empty_or_cannot_be_read_stops_every_pull_before_it_begins() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let first = push(&repo, &keys.sign("ada"), &[], "one");
    let host = keys.host(&repo, &[]);
    host.takes(&first);
    let next = push(&repo, &keys.sign("ada"), &[], "two");
    let (file, good) = (keys.allowed(), fs::read(keys.allowed()).unwrap());
    fs::remove_file(&file).unwrap();
    host.refuses("blocked", "cannot be read");
    fs::write(&file, "").unwrap();
    host.refuses("blocked", "is empty: nobody may sign");
    fs::write(&file, "# nobody\n\n").unwrap();
    host.refuses("blocked", "has no entry");
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    host.refuses("blocked", "everybody may write");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    host.refuses("blocked", "is no file");
    assert_eq!(git(&host.clone, &["cat-file", "-t", &next]), None, "it was fetched");
    fs::remove_dir(&file).unwrap();
    // Entries that are none let nobody sign.
    fs::write(&file, "ada@example.org ssh-ed25519 nonsense\n").unwrap();
    host.refuses("error", "signed by");
    fs::write(&file, &good).unwrap();
    host.takes(&next);
}

#[test]
fn a_branch_that_was_rewritten_is_taken_once_the_owner_said_so_on_the_host() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let first = push(&repo, &keys.sign("ada"), &[], "one");
    let host = keys.host(&repo, &[]);
    host.takes(&first);
    repo.git(&["checkout", "--quiet", "--orphan", "other"]);
    let rewritten = push(&repo, &keys.sign("ada"), &[], "all anew");
    host.refuses("error", &format!("nixfleet --agent --trust {rewritten}"));
    let (done, said) = agent_command(&host, &["--trust", "abc1234"]);
    assert!(!done && said.contains("--trust") && said.contains("a commit in full"), "{said}");
    let (done, said) = agent_command(&host, &["--trust", &rewritten]);
    assert!(done && said.contains(&rewritten), "{said}");
    // Who may sign is asked all the same.
    push(&repo, &keys.sign("eve"), &[], "of an unknown key");
    host.refuses("error", &keys.fingerprint("eve"));
    repo.git(&["reset", "--quiet", "--hard", &rewritten]);
    let next = push(&repo, &keys.sign("ada"), &[], "and on");
    host.takes(&next);
}

#[test]
fn a_host_makes_no_first_clone_of_a_head_that_is_not_signed() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let host = keys.host(&repo, &[]);
    host.refuses("error", "is not signed");
    assert_eq!(host.head(), None);
    let (outcome, _) = host.run_with("switch", &json!({}));
    assert_eq!(outcome["status"], "error", "{outcome}");
    let signed = push(&repo, &keys.sign("ada"), &[], "signed");
    host.takes(&signed);
}

#[test]
fn a_users_clone_is_brought_forward_to_signed_heads_only() {
    let (repo, keys, dir) = (ConfigRepo::new(), Keys::new(), tempfile::tempdir().unwrap());
    push(&repo, &keys.sign("ada"), &[], "one");
    let (remote, clone) = (repo.remote(), dir.path().join("clone"));
    run("git", &["clone", "--quiet", remote.to_str().unwrap(), clone.to_str().unwrap()]);
    let settings = [("NIXFLEET_REPO_DIR", clone.to_str().unwrap()), ("NIXFLEET_REPO_URL", "")];
    let host = keys.host(&repo, &settings);
    push(&repo, &[], &[], "not signed");
    host.refuses("error", "is not signed");
    let signed = push(&repo, &keys.sign("ada"), &[], "signed");
    host.takes(&signed);
}

/// To say what it would do, a system runs a program of its own: as root.
#[test]
fn nothing_of_a_commit_that_nobody_signed_is_built_to_see_what_it_would_do() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let first = push(&repo, &keys.sign("ada"), &[], "one");
    let host = keys.host(&repo, &[]);
    host.takes(&first);
    let unsigned = push(&repo, &[], &[], "not signed");
    let (outcome, lines) = host.run_with("dry-run", &json!({ "commit": unsigned }));
    assert_eq!(outcome["status"], "error", "{outcome} {lines:#?}");
    assert!(outcome["message"].as_str().unwrap().contains("is not signed"), "{outcome}");
    assert!(!lines.iter().any(|line| line.starts_with("$ ")), "something ran: {lines:#?}");
    let signed = push(&repo, &keys.sign("ada"), &[], "signed");
    let (outcome, lines) = host.run_with("dry-run", &json!({ "commit": signed }));
    // The stand-in builds nothing. It is asked to.
    let asked = lines.iter().any(|line| line.starts_with("$ ") && line.contains(" build "));
    assert!(asked && lines[0].contains("is signed by ada@example.org"), "{outcome} {lines:#?}");
    assert_eq!(host.head(), Some(first), "a dry run moved the checkout");
}

#[test]
fn a_check_says_who_may_sign_or_why_nobody_may() {
    let (repo, keys) = (ConfigRepo::new(), Keys::new());
    let host = keys.host(&repo, &[]);
    let check = |file: &Path| {
        let remote = repo.remote();
        let arguments = ["--check", "--repo-url", remote.to_str().unwrap(), "--allowed-signers"];
        agent_command(&host, &[arguments.as_slice(), &[file.to_str().unwrap()]].concat()).1
    };
    let said = check(&keys.allowed());
    assert!(said.contains("only signed ones (entries of ssh: 2)"), "{said}");
    let said = check(Path::new("/nowhere"));
    assert!(said.contains("wrong   commits: NIXFLEET_ALLOWED_SIGNERS: /nowhere"), "{said}");
}
