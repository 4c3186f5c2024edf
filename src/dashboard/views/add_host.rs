//! Adding hosts: the form, and what to paste on each of them.

use super::csrf_field;
use super::layout::{Dialog, Kind};
use maud::{Markup, html};

/// What stands where the repository is not known.
const UNKNOWN: &str = "<your config repository>";

/// What the form for new hosts says.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    /// Names that the repository has and the fleet has not.
    pub offered: &'a [String],
    /// What was typed or ticked before.
    pub typed: &'a str,
    /// Why that was not taken.
    pub problem: Option<&'a str>,
}

/// Asks for the names of new hosts. What was typed before is not lost.
pub(crate) fn form(csrf: &str, asked: &Asked<'_>) -> Dialog {
    let Asked { offered, typed, problem } = *asked;
    // What is ticked is sent under the same name as what is typed.
    let ticked: Vec<&str> =
        typed.lines().filter(|line| offered.iter().any(|o| o == line)).collect();
    let rest: Vec<&str> = typed.lines().filter(|line| !ticked.contains(line)).collect();
    let body = html! {
        form #add-host method="post" action="/hosts" {
            (csrf_field(csrf))
            @if let Some(problem) = problem { p.alert role="alert" { (problem) } }
            label for="hostname" { "Name of the machine, or several names" }
            textarea #hostname name="hostname" required[offered.is_empty()] rows="2" maxlength="20000" placeholder="hsb1"
                autocomplete="off" autocapitalize="none" spellcheck="false" { (rest.join("\n")) }
            p.quiet { "As its hostname is: letters, digits, “.”, “_” and “-”. Several: with spaces, commas or line feeds between them." }
            @if !offered.is_empty() {
                fieldset.offered {
                    legend { "In the repository, and not here yet" }
                    @for name in offered {
                        label.check {
                            input type="checkbox" name="hostname" value=(name) checked[ticked.contains(&name.as_str())];
                            " " (name)
                        }
                    }
                }
            }
            div.buttons {
                button.main type="submit" { "Add" }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    Dialog { name: "add-host", title: "Add a host".to_owned(), host: None, body, kind: Kind::Plain }
}

/// A host that was just added.
pub(crate) struct Added {
    /// Its name.
    pub hostname: String,
    /// Its token, shown this once.
    pub token: String,
}

/// What was added, what was not and why, and what to paste.
pub(crate) fn added(
    hosts: &[Added],
    failed: &[(String, String)],
    url: &str,
    repository: Option<&str>,
) -> Dialog {
    let repository = repository.unwrap_or(UNKNOWN);
    let body = html! {
        @for (name, why) in failed { p.alert { b { (name) } ": " (why) } }
        @match hosts {
            [one] => (one_host(one, url, repository)),
            all => (many_hosts(all, url, repository)),
        }
        (snippets(hosts.first().map_or("", |host| &host.hostname), url, repository))
        ul.plain #awaited {
            @for host in hosts {
                li {
                    b { (host.hostname) } " "
                    span.quiet data-at={ "[id='host-" (host.hostname.to_lowercase()) "'][data-online=true]" } {
                        "has not connected yet" span.says { "; this says so when it does" } "."
                    }
                    span.came { "is connected." }
                    " " a href={ "/hosts/" (host.hostname) } { "Look" }
                }
            }
        }
    };
    let title = match hosts {
        [one] => format!("{} is added", one.hostname),
        all => format!("{} hosts are added", all.len()),
    };
    Dialog {
        name: "token",
        title,
        host: None,
        body,
        kind: if hosts.is_empty() { Kind::Plain } else { Kind::Secret },
    }
}

fn one_host(host: &Added, url: &str, repository: &str) -> Markup {
    html! {
        p { "The token of " b { (host.hostname) } " is shown only now. Keep it in a file on that machine that only root can read." }
        (secret("new-token", &host.token, "Copy the token"))
        details open { summary { "By hand, to try it first" }
            (secret("snippet-hand", &by_hand(host, url, repository), "Copy the command"))
        }
    }
}

fn many_hosts(hosts: &[Added], url: &str, repository: &str) -> Markup {
    let all: Vec<String> =
        hosts.iter().map(|host| format!("{} {}", host.hostname, host.token)).collect();
    html! {
        p { "The tokens are shown only now. Keep each in a file on its machine that only root can read." }
        (secret("new-tokens", &all.join("\n"), "Copy all names and tokens"))
        @for (number, host) in hosts.iter().enumerate() {
            details { summary { (host.hostname) }
                (text(&format!("new-token-{number}"), &host.token, "Copy the token"))
                (text(&format!("snippet-hand-{number}"), &by_hand(host, url, repository), "Copy the command"))
            }
        }
    }
}

/// A command that starts the agent, for a shell.
fn by_hand(host: &Added, url: &str, repository: &str) -> String {
    format!(
        "NIXFLEET_URL={} NIXFLEET_HOSTNAME={} \\\nNIXFLEET_TOKEN={} \\\nNIXFLEET_REPO_URL={} nixfleet --agent",
        quoted(url),
        host.hostname,
        host.token,
        quoted(repository)
    )
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if word == UNKNOWN || (!word.is_empty() && word.chars().all(plain)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A text as Nix reads it.
fn nix(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}

fn snippets(hostname: &str, url: &str, repository: &str) -> Markup {
    let module = |file: &str, token: &str, more: &str| {
        format!(
            "# flake.nix: wherever you keep nixfleet\n\
             inputs.nixfleet.url = \"github:you/nixfleet\";\n\n\
             # among the modules\n\
             inputs.nixfleet.{file}.default\n\n\
             services.nixfleet.agent = {{\n  enable = true;\n  url = {};\n{more}  tokenFile = {};\n  repoUrl = {};\n}};",
            nix(url),
            nix(token),
            nix(repository)
        )
    };
    let name = format!("  hostname = {};   # as in homeConfigurations\n", nix(hostname));
    let home = "/home/you/.config/nixfleet-token";
    html! {
        details { summary { "NixOS" }
            (text("snippet-nixos", &module("nixosModules", "/run/secrets/nixfleet-token", ""), "Copy"))
        }
        details { summary { "macOS with nix-darwin" }
            (text("snippet-darwin", &module("darwinModules", "/etc/nixfleet-token", ""), "Copy"))
        }
        details { summary { "home-manager alone" }
            (text("snippet-home", &module("homeManagerModules", home, &name), "Copy"))
        }
    }
}

/// All that is shown only once, to copy: who has it can go on.
fn secret(id: &str, text: &str, label: &str) -> Markup {
    html! {
        pre id=(id) data-secret tabindex="0" { code { (text) } }
        div.buttons { button type="button" data-copy=(id) { (label) } }
    }
}

/// A text to copy.
fn text(id: &str, text: &str, label: &str) -> Markup {
    html! {
        pre id=(id) tabindex="0" { code { (text) } }
        div.buttons { button type="button" data-copy=(id) { (label) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_word_for_a_shell_and_one_text_for_nix() {
        assert_eq!(quoted("https://h/x"), "https://h/x");
        assert_eq!(quoted("/a b; rm 'c'"), r"'/a b; rm '\''c'\'''");
        assert_eq!(nix("a\"${b}\\"), "\"a\\\"\\${b}\\\\\"");
    }
}
