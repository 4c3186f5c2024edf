//! docs/CLI.md says what `--help` says; completions and manual pages come from the same options.

use super::{Ran, plain};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Every command and its help, the first without a name.
const COMMANDS: [&str; 20] = [
    "status",
    "hosts",
    "pull",
    "switch",
    "test",
    "update",
    "rollout",
    "rollout list",
    "rollout show",
    "rollout start",
    "rollout cancel",
    "rollout pause",
    "rollout resume",
    "rollout promote",
    "rollout leave-out",
    "rollout retry",
    "hold",
    "release",
    "logs",
    "events",
];

const BEGINS: &str = "<!-- what --help says -->\n";

fn run(arguments: &str) -> Ran {
    Ran::of(plain(Path::new("/nowhere"), arguments)).ends_with_code(0)
}

/// `NIXFLEET_BLESS=1 cargo test --test blackbox cli::reference` writes it anew.
#[test]
fn the_reference_of_the_command_line_is_what_help_says() {
    let mut made = String::new();
    for command in COMMANDS {
        let help = run(&format!("{command} --help"));
        let help = help.out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        made += &format!("\n### `nixfleet {command}`\n\n```text\n{}\n```\n", help.trim_end());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLI.md");
    let page = fs::read_to_string(&path).unwrap();
    let (prose, told) = page.split_once(BEGINS).expect("where the help begins");
    if std::env::var_os("NIXFLEET_BLESS").is_some() {
        fs::write(&path, format!("{prose}{BEGINS}{made}")).unwrap();
        return;
    }
    assert!(told == made, "docs/CLI.md is not what --help says");
}

#[test]
fn every_command_against_a_dashboard_is_in_the_reference() {
    let help = run("--help").out;
    let commands = help.split_once("Commands:").unwrap().1.split_once("\n\n").unwrap().0;
    let names: Vec<&str> =
        commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let others =
        ["backup", "restore", "completions", "man", "help", "hash-password", "verify-audit"];
    let mut told: Vec<&str> = COMMANDS.iter().copied().filter(|name| !name.contains(' ')).collect();
    told.extend(others);
    let sorted = |mut list: Vec<&str>| {
        list.sort_unstable();
        list.join(" ")
    };
    assert_eq!(sorted(names), sorted(told));
}

#[test]
fn completions_name_every_command_and_a_shell_takes_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = run(&format!("completions {shell}")).out;
        for word in ["status", "rollout", "--wait", "--dashboard"] {
            assert!(text.contains(word.trim_start_matches('-')), "{shell}: no {word}");
        }
    }
    let mut bash = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).spawn().unwrap();
    let text = run("completions bash").out;
    bash.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    let script = format!(
        "{text}\nCOMP_WORDS=(nixfleet rollout st) COMP_CWORD=2\n_nixfleet nixfleet st rollout\n\
         echo ${{COMPREPLY[@]}}"
    );
    let answer = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "start", "{answer:?}");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = run("man").out;
    assert!(page.contains(".TH nixfleet 1") && page.contains("fetch\\-ttl"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    run(&format!("man --to {}", dir.path().join("new").display()));
    for command in COMMANDS {
        let name = format!("nixfleet-{}.1", command.replace(' ', "-"));
        let page = fs::read_to_string(dir.path().join("new").join(&name)).expect(&name);
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
}
