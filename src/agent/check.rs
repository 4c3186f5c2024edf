//! `nixfleet --agent --check`: what the agent would work with, and whether each of it works.

use super::config::{AgentConfig, Platform};
use super::repository::signed::Signers;
use super::repository::{self, Whose};
use super::site::Site;
use super::{state_dir, tls};
use crate::base::checks::{Said, tell_all};
use crate::base::child::Bounds;
use crate::base::git;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long each check may take that asks somebody.
const WITHIN: Duration = Duration::from_secs(20);

/// Checks everything and says it, a line each. True if all of it works.
pub fn check(config: Result<AgentConfig, String>) -> bool {
    let config = match config {
        Ok(config) => config,
        Err(text) => return tell_all(&[("settings".to_owned(), Err(text))]),
    };
    let site = Site::of(&config);
    let checks: [(&str, Said); 9] = [
        ("settings", Ok(format!("{} ({})", config.hostname, config.platform.name()))),
        ("token", Ok("read".to_owned())),
        ("state directory", state_directory(&config.state_dir)),
        ("repository", repository(&site)),
        ("commits", Signers::check(&site)),
        ("rebuild program", rebuild_program(&config)),
        ("jobs", jobs()),
        ("guard", Ok(guard(&site))),
        ("dashboard", dashboard(&config)),
    ];
    tell_all(&checks.map(|(name, said)| (name.to_owned(), said)))
}

fn state_directory(dir: &Path) -> Said {
    let shown = dir.display();
    state_dir::prepare(dir).map_err(|error| format!("{shown} cannot be made: {error}"))?;
    if let Some(why) = state_dir::is_unsafe(dir) {
        return Err(why);
    }
    match tempfile::tempfile_in(dir) {
        Ok(_) => Ok(shown.to_string()),
        Err(error) => Err(format!("{shown} cannot be written: {error}")),
    }
}

fn repository(site: &Site) -> Said {
    let dir = site.repo_dir.display();
    let whose = match repository::whose(site) {
        Whose::Nobody => format!("{dir} will be cloned"),
        Whose::Agent => format!("{dir} is the agent's clone"),
        Whose::User => format!("{dir} is a user's clone"),
        Whose::Foreign(why) => return Err(why),
    };
    let git = repository::git(site)?;
    let mut command = match &site.repo_url {
        Some(_) => git.command(),
        None => git.at(&site.repo_dir),
    };
    let remote = site.repo_url.as_deref().unwrap_or("origin");
    let branch = format!("refs/heads/{}", site.branch);
    command.args(["ls-remote", "--", remote, &branch]);
    let bounds = Bounds { timeout: Some(WITHIN), ..Bounds::default() };
    let answer = git::run(&mut command, 10_000, &bounds)?;
    if answer.stdout.is_empty() {
        return Err(format!("{remote} has no branch {}", site.branch));
    }
    Ok(format!("{whose}; {remote} answers"))
}

fn rebuild_program(config: &AgentConfig) -> Said {
    let own = match config.platform {
        Platform::NixOs => "nixos-rebuild",
        Platform::Darwin => "darwin-rebuild",
        Platform::HomeManager => "home-manager",
    };
    let program = config.rebuild.clone().unwrap_or_else(|| PathBuf::from(own));
    found(&program).map(|path| path.display().to_string())
}

/// A program as the shell finds it.
fn found(program: &Path) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = if program.components().count() > 1 {
        vec![program.to_owned()]
    } else {
        std::env::split_paths(&path).map(|dir| dir.join(program)).collect()
    };
    let access = nix::unistd::AccessFlags::X_OK;
    let can_run = |path: &&PathBuf| path.is_file() && nix::unistd::access(*path, access).is_ok();
    let shown = program.display();
    let why = || format!("{shown} is not there, or cannot be run, on the PATH of this shell");
    candidates.iter().find(can_run).cloned().ok_or_else(why)
}

fn jobs() -> Said {
    if !Path::new("/run/systemd/system").exists() {
        return Ok("in sessions of their own".to_owned());
    }
    let path = found(Path::new("systemd-run"))?;
    let bounds = Bounds { timeout: Some(WITHIN), ..Bounds::default() };
    let mut command = Command::new(&path);
    let ran = crate::base::child::output(command.arg("--version"), 1000, &bounds);
    match ran {
        Ok(output) if output.ended.ok() => Ok(format!("in units, by {}", path.display())),
        Ok(output) => Err(format!("{} fails: {}", path.display(), output.stderr.trim())),
        Err(error) => Err(format!("{} cannot be run: {error}", path.display())),
    }
}

fn guard(site: &Site) -> String {
    let Site { guard, platform, .. } = site;
    match platform {
        Platform::Darwin | Platform::HomeManager => {
            format!("none: switches of {} are not guarded", platform.name())
        }
        Platform::NixOs if !site.is_guarded() => "off: switches are plain ones".to_owned(),
        Platform::NixOs => {
            let (activation, window) = (guard.activation.as_secs(), guard.window.as_secs());
            format!("on: {activation} s for an activation, {window} s to prove itself")
        }
    }
}

fn dashboard(config: &AgentConfig) -> Said {
    let asked = actix_rt::System::new().block_on(async {
        let token = format!("Bearer {}", config.token.expose());
        let request = tls::client(&config.url, config.ca.as_deref(), WITHIN)?.ws(&config.url);
        let request = request.header(awc::http::header::AUTHORIZATION, token);
        Ok::<_, String>(actix_rt::time::timeout(WITHIN, request.connect()).await)
    });
    let url = &config.url;
    match asked? {
        Ok(Ok(_)) => Ok(format!("{url} takes the token")),
        Ok(Err(awc::error::WsClientError::InvalidResponseStatus(status))) => {
            Err(match status.as_u16() {
                401 => format!("{url} refuses the token"),
                _ => format!("{url} answers {status}: is this the dashboard?"),
            })
        }
        Ok(Err(error)) => Err(format!("{url}: {}", tls::why(&error))),
        Err(_) => Err(format!("{url} does not answer within {} s", WITHIN.as_secs())),
    }
}
