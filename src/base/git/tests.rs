use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn git(dir: &Path, arguments: &[&str]) -> String {
    let git = Git::new();
    let mut command = git.at(dir);
    command.args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]).args(arguments);
    let output = run(&mut command, 10_000, &Bounds::default()).unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn repository(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    git(dir, &["init", "--quiet", "-b", "main"]);
    git(dir, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
}

fn ended(code: i32) -> Ended {
    Ended { code, stopped: false, timed_out: false, alive: false }
}

fn value_of(command: &Command, name: &str) -> Option<String> {
    let set = command.get_envs().find(|(known, _)| *known == name);
    set.and_then(|(_, value)| Some(value?.to_str().unwrap().to_owned()))
}

#[test]
fn a_command_works_in_its_directory_and_never_in_one_above_it() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    let below = dir.path().join("below");
    fs::create_dir(&below).unwrap();
    assert_eq!(git(dir.path(), &["rev-parse", "--is-inside-work-tree"]), "true");
    let mut command = Git::new().at(&below);
    let error = run(command.args(["rev-parse", "HEAD"]), 100, &Bounds::default()).unwrap_err();
    assert!(error.starts_with("not a git repository"), "{error}");
}

#[test]
fn a_transport_that_is_a_program_is_not_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let url = format!("ext::sh -c touch% {}", mark.display());
    let mut command = Git::new().command();
    let result = run(command.args(["ls-remote", "--", &url]), 100, &Bounds::default());
    assert!(result.unwrap_err().contains("not allowed") && !mark.exists());
}

#[test]
fn a_hook_or_a_watcher_in_a_clone_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    repository(dir.path());
    let mark = dir.path().join("mark");
    let program = dir.path().join("program");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(&program, dir.path().join(".git/hooks/post-checkout")).unwrap();
    git(dir.path(), &["config", "core.fsmonitor", program.to_str().unwrap()]);
    git(dir.path(), &["checkout", "--quiet", "-b", "other"]);
    git(dir.path(), &["status", "--porcelain"]);
    assert!(!mark.exists());
}

#[test]
fn git_that_takes_too_long_is_ended_and_that_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/r", listener.local_addr().unwrap());
    let mut command = Git::new().command();
    let bounds = Bounds { timeout: Some(Duration::from_secs(1)), ..Bounds::default() };
    let error = run(command.args(["ls-remote", "--", &url]), 100, &bounds).unwrap_err();
    assert_eq!(error, "git did not come to an end within 1 s");
}

/// Finding 4 of the systemd review: what ssh says stands above what git says.
#[test]
fn the_reason_has_the_words_of_ssh_too() {
    let stderr = "Cloning into 'x'...\ngit@h: Permission denied (publickey).\n\
        fatal: Could not read from remote repository.\n\n\
        Please make sure you have the correct access rights\nand the repository exists.\n";
    let expected = "git@h: Permission denied (publickey). / Could not read from remote repository.";
    assert_eq!(reason(stderr, ended(128)), expected);
    assert_eq!(reason("", ended(3)), "git failed without a word, exit code 3");
    let stopped = Ended { stopped: true, ..ended(143) };
    assert_eq!(reason("", stopped), "git was stopped");
    assert_eq!(
        reason("fatal: unable to access 'https://u:p@h/': x", ended(128)),
        "unable to access 'https://…@h/': x"
    );
}

#[test]
fn a_key_and_the_file_of_known_hosts_reach_ssh_in_quotes() {
    let git =
        Git::new().with_ssh_key(Some(Path::new("/k/it's"))).with_known_hosts(Path::new("/a b"));
    let ssh = value_of(&git.command(), "GIT_SSH_COMMAND").unwrap();
    assert!(ssh.contains(r"-o IdentitiesOnly=yes -i '/k/it'\''s'"), "{ssh}");
    assert!(ssh.contains("-o 'UserKnownHostsFile=/a b'"), "{ssh}");
}

#[test]
fn an_address_on_this_machine_is_told_from_others() {
    for (address, directory) in [
        ("/srv/r", Some("/srv/r")),
        ("../r", Some("../r")),
        ("./a:b/r", Some("./a:b/r")),
        ("file:///srv/r", Some("/srv/r")),
        ("git@h:r", None),
        ("https://h/r", None),
    ] {
        assert_eq!(local_directory(address), directory.map(PathBuf::from), "{address}");
    }
}

/// Finding 5 of the systemd review. Only root can give a directory to somebody else.
#[test]
fn a_repository_of_another_user_is_read_where_it_is_trusted_and_only_there() {
    if !Uid::effective().is_root() {
        println!("not shown: this needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, make_bare) in [("plain", false), ("bare.git", true)] {
        let path = dir.path().join(name);
        repository(&path);
        if make_bare {
            git(&path, &["config", "core.bare", "true"]);
        }
        let nobody = "65534:65534";
        let chown = Command::new("chown").args(["-R", nobody]).arg(&path).status().unwrap();
        assert!(chown.success());
        let url = path.to_str().unwrap();
        let ask = |git: &Git, config: Option<&str>| {
            let mut command = git.command();
            // The configuration of the machine may trust everything.
            command.env("GIT_CONFIG_NOSYSTEM", "1");
            command.envs(config.map(|config| ("GIT_CONFIG_GLOBAL", config)));
            run(command.args(["ls-remote", "--", url]), 1000, &Bounds::default())
        };
        let error = ask(&Git::new(), Some("/dev/null")).unwrap_err();
        assert!(error.contains("dubious ownership"), "{name}: {error}");
        let config = dir.path().join("gitconfig");
        let trusting = Git::new().trusting(&config, &[&path]).unwrap();
        ask(&trusting, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_users_own_configuration_still_counts() {
    let text = trusting_config(&[Path::new("/srv/a \"b\"")]);
    assert!(text.contains("directory = \"/srv/a \\\"b\\\"\""), "{text}");
    if std::env::var_os("HOME").is_some() || std::env::var_os("GIT_CONFIG_GLOBAL").is_some() {
        assert!(text.contains("[include]"), "{text}");
    }
}

#[test]
fn git_as_an_owner_has_the_owners_home() {
    let me = Uid::effective().as_raw();
    let owner = Owner::of_uid(me).unwrap();
    let command = Git::new().as_owner(owner.clone()).command();
    assert_eq!(value_of(&command, "HOME").as_deref(), owner.home.to_str());
    assert!(Owner::of_uid(4_000_000_000).is_err());
}
