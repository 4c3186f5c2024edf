//! Keys of gpg, in a keyring of their own.

use super::{Host, agent_command, push, run};
use crate::support::ConfigRepo;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A home of gpg with somebody's key in it.
struct Person {
    dir: tempfile::TempDir,
    key: String,
    /// The time in which this gpg lives, where it is not now.
    time: Option<&'static str>,
}

impl Drop for Person {
    fn drop(&mut self) {
        let mut gpgconf = Command::new("gpgconf");
        gpgconf.args(["--homedir", self.home().to_str().unwrap(), "--kill", "all"]);
        let _ = gpgconf.stderr(Stdio::null()).status();
    }
}

impl Person {
    fn new(name: &str, expires: &str, time: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::DirBuilder::new().mode(0o700).create(dir.path().join(".gnupg")).unwrap();
        let mut person = Self { dir, key: String::new(), time };
        let program = format!("#!/bin/sh\nexec gpg {} \"$@\"\n", person.options().join(" "));
        fs::write(person.program(), program).unwrap();
        fs::set_permissions(person.program(), fs::Permissions::from_mode(0o755)).unwrap();
        let who = format!("{name} <{name}@example.org>");
        person.gpg(&["--passphrase", "", "--quick-gen-key", &who, "ed25519", "sign", expires]);
        let list = person.gpg(&["--with-colons", "--list-keys"]);
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        person.key = line.split(':').nth(9).unwrap().to_owned();
        person
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join(".gnupg")
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("gpg")
    }

    fn options(&self) -> Vec<String> {
        let home = self.home().to_str().unwrap().to_owned();
        let mut options = vec!["--batch".to_owned(), "--quiet".to_owned()];
        options.extend(["--homedir".to_owned(), home]);
        options.extend(self.time.map(|time| format!("--faked-system-time={time}")));
        options
    }

    #[track_caller]
    fn gpg(&self, arguments: &[&str]) -> String {
        let options = self.options();
        let mut all: Vec<&str> = options.iter().map(String::as_str).collect();
        all.extend(arguments);
        run("gpg", &all)
    }

    fn sign(&self) -> Vec<String> {
        let program = format!("gpg.program={}", self.program().display());
        let key = format!("user.signingkey={}", self.key);
        ["-c", "gpg.format=openpgp", "-c", &program, "-c", &key].map(str::to_owned).to_vec()
    }

    fn export_to(&self, file: &std::path::Path, more: &[&str]) {
        let _ = fs::remove_file(file);
        let words = [more, &["--output", file.to_str().unwrap(), "--export", &self.key]].concat();
        self.gpg(&words);
    }

    /// Takes the key back, as its owner does.
    fn revoke(&self) {
        let made = self.home().join("openpgp-revocs.d").join(format!("{}.rev", self.key));
        let text = fs::read_to_string(made).unwrap().replace(":-----BEGIN", "-----BEGIN");
        let file = self.dir.path().join("revocation");
        fs::write(&file, text).unwrap();
        self.gpg(&["--import", file.to_str().unwrap()]);
    }
}

#[test]
fn a_pull_takes_only_a_head_that_a_key_of_the_keyring_signed() {
    let repo = ConfigRepo::new();
    let (ada, eve, rob) = (
        Person::new("ada", "never", None),
        Person::new("eve", "never", None),
        Person::new("rob", "never", None),
    );
    let olga = Person::new("olga", "1y", Some("20200101T000000"));
    let dir = tempfile::tempdir().unwrap();
    let keyring = dir.path().join("signers.gpg");
    let first = push(&repo, &ada.sign(), &[], "one");
    let of_rob = push(&repo, &rob.sign(), &[], "of a key that is revoked now");
    rob.revoke();
    let people = [&ada, &rob, &olga];
    let mut all = Vec::new();
    for person in people {
        person.export_to(&keyring, &[]);
        all.extend(fs::read(&keyring).unwrap());
    }
    fs::write(&keyring, all).unwrap();
    repo.git(&["reset", "--quiet", "--hard", &first]);
    super::force(&repo);
    // The agent's user has a keyring too, in which Eve's key is the most trusted.
    let host = Host::start(
        &repo,
        &[
            ("NIXFLEET_SIGNERS_KEYRING", keyring.to_str().unwrap()),
            ("HOME", eve.dir.path().to_str().unwrap()),
            ("GNUPGHOME", eve.home().to_str().unwrap()),
        ],
    );
    let said = host.takes(&first).join("\n");
    assert!(said.contains("is signed by ada <ada@example.org> ("), "{said}");
    push(&repo, &eve.sign(), &[], "of a key of the user's keyring");
    host.refuses("error", &eve.key[24..]);
    repo.git(&["reset", "--quiet", "--hard", &of_rob]);
    super::force(&repo);
    host.refuses("error", "which was revoked");
    repo.git(&["reset", "--quiet", "--hard", &first]);
    push(&repo, &olga.sign(), &[], "of a key that has expired");
    host.refuses("error", "which expired");
    repo.git(&["reset", "--quiet", "--hard", &first]);
    let key = dir.path().join("ssh");
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
    let key = format!("user.signingkey={}", key.display());
    let ssh = ["-c", "gpg.format=ssh", "-c", &key].map(str::to_owned);
    push(&repo, &ssh, &[], "of a key of ssh");
    host.refuses("error", "of a kind that this host was not told to verify");
    repo.git(&["reset", "--quiet", "--hard", &first]);
    let next = push(&repo, &ada.sign(), &[], "two");
    host.takes(&next);
}

#[test]
fn keys_are_taken_as_gpg_exports_them_and_as_it_keeps_them() {
    let (repo, ada) = (ConfigRepo::new(), Person::new("ada", "never", None));
    let dir = tempfile::tempdir().unwrap();
    let keyring = dir.path().join("signers");
    ada.export_to(&keyring, &["--armor"]);
    let file = keyring.to_str().unwrap();
    let head = push(&repo, &ada.sign(), &[], "one");
    let host = Host::start(&repo, &[("NIXFLEET_SIGNERS_KEYRING", file)]);
    host.takes(&head);
    fs::copy(ada.home().join("pubring.kbx"), &keyring).unwrap();
    let head = push(&repo, &ada.sign(), &[], "two");
    host.takes(&head);
    let remote = repo.remote();
    let arguments = ["--check", "--repo-url", remote.to_str().unwrap(), "--signers-keyring", file];
    let (_, said) = agent_command(&host, &arguments);
    assert!(said.contains("only signed ones (keys of gpg: 1)"), "{said}");
    push(&repo, &ada.sign(), &[], "three");
    fs::write(&keyring, "").unwrap();
    host.refuses("blocked", "is empty");
    fs::write(&keyring, "no keys").unwrap();
    host.refuses("error", "NIXFLEET_SIGNERS_KEYRING");
}
