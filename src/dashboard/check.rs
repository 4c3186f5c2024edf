//! `nixfleet --dashboard --check`: what the dashboard would work with, and whether each of it works.
//! Nothing is changed: a dashboard may run with the same directory meanwhile.

use super::auth::Secrets;
use super::config::{DashboardConfig, NamedSource};
use super::remotes::source::{self, Patience};
use super::{remotes, startup, store};
use crate::base::checks::{Said, tell_all};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a remote may take: a git remote brings its whole history here.
const WITHIN: Duration = Duration::from_secs(120);

/// Checks everything and says it, a line each. True if all of it works.
pub fn check(config: Result<DashboardConfig, String>) -> bool {
    let config = match config {
        Ok(config) => config,
        Err(text) => return tell_all(&[("settings".to_owned(), Err(text))]),
    };
    let runs = startup::is_locked(&config.data_dir);
    let mut checks = vec![
        ("settings".to_owned(), Ok("read".to_owned())),
        ("secrets".to_owned(), Secrets::check(&config)),
        ("data directory".to_owned(), directory(&config.data_dir, runs)),
        ("database".to_owned(), database(&config.data_dir, runs)),
        ("address".to_owned(), address(&config, runs)),
        ("base URL".to_owned(), Ok(base_url(&config))),
    ];
    if config.sources.is_empty() {
        let none = "none yet: set NIXFLEET_SOURCE to your config repository";
        checks.push(("source".to_owned(), Ok(none.to_owned())));
    }
    checks.extend(config.sources.iter().map(|one| of_source(&config, one)));
    tell_all(&checks)
}

fn directory(dir: &Path, runs: bool) -> Said {
    let shown = dir.display();
    // What is not there yet is made, below the first directory that is there.
    let Some(there) = dir.ancestors().find(|dir| dir.exists()) else {
        return Err(format!("{shown} cannot be made"));
    };
    if !there.is_dir() {
        return Err(format!("{} is no directory", there.display()));
    }
    let access = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    nix::unistd::access(there, access)
        .map_err(|error| format!("{} cannot be written: {error}", there.display()))?;
    Ok(match (runs, there == dir) {
        (true, _) => format!("{shown}, which a dashboard uses now"),
        (false, true) => shown.to_string(),
        (false, false) => format!("{shown} will be made"),
    })
}

fn database(data_dir: &Path, runs: bool) -> Said {
    if runs {
        return Ok("is in use by a dashboard that runs".to_owned());
    }
    store::check(data_dir).map_err(|error| error.to_string())
}

fn address(config: &DashboardConfig, runs: bool) -> Said {
    let listen = config.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Ok(format!("{listen} is free")),
        Err(error) if runs && error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{listen} is in use, and so is the data directory: a dashboard runs"))
        }
        Err(error) => Err(format!("{listen} cannot be listened on: {error}")),
    }
}

fn base_url(config: &DashboardConfig) -> String {
    let unset = || "not set: pages name the address that they were asked at".to_owned();
    config.base_url.clone().unwrap_or_else(unset)
}

/// Reads a remote as the dashboard does, into a directory that is thrown away.
fn of_source(config: &DashboardConfig, of: &NamedSource) -> (String, Said) {
    let read = || {
        let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut opening = remotes::opening(config, of);
        opening.data_dir = scratch.path().to_owned();
        let mut source = source::open(&opening);
        source.begin(Patience::new(WITHIN, Arc::default()));
        let head = source.fetch().map_err(|error| error.reason)?;
        Ok(format!("{} is at {} \"{}\"", of.branch, head.commit.short(), head.subject))
    };
    (format!("source {}", of.name), read())
}
