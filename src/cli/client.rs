//! From a command line to what a command against a dashboard works with.

use super::commands::{ClientAction, Hosts, OneRollout, Reach, RolloutAction, Run, Steps};
use super::environment::Environment;
use super::error::CliError;
use super::settings::{Settings, all_may_read};
use super::values::{Parsed, is_local, web_url};
use crate::base::env_file;
use crate::client::config::{Ask, ClientConfig, RolloutAsk, Which};
use crate::domain::operation::Operation;
use std::path::{Path, PathBuf};

/// What a file of settings may say.
const IN_THE_FILE: [&str; 3] = ["NIXFLEET_URL", "NIXFLEET_API_TOKEN", "NIXFLEET_API_TOKEN_FILE"];

/// What a command against a dashboard works with.
pub(super) fn config(
    action: &ClientAction,
    environment: &Environment,
) -> Result<ClientConfig, CliError> {
    let (ask, reach) = asked(action);
    let merged = with_file(reach, environment)?;
    let settings = Settings { environment: &merged };
    let url = settings.get(reach.url.as_ref(), "url", dashboard_url)?;
    let missing = |what: &str| {
        let file = default_file(environment).map(|file| format!(", or in {}", file.display()));
        CliError::Setting(format!("{what}, got nothing{}", file.unwrap_or_default()))
    };
    let url =
        url.ok_or_else(|| missing("--url / NIXFLEET_URL: expected the dashboard's address"))?;
    let token = settings.secret("NIXFLEET_API_TOKEN")?;
    let token = token.ok_or_else(|| {
        missing(
            "NIXFLEET_API_TOKEN or NIXFLEET_API_TOKEN_FILE: expected an API token of the \
             dashboard's settings page",
        )
    })?;
    if token.expose().chars().any(|c| c.is_control() || c.is_whitespace()) {
        let text = "NIXFLEET_API_TOKEN: expected one word, got several";
        return Err(CliError::Setting(text.to_owned()));
    }
    if url.starts_with("http://") && !is_local(&url) {
        log::warn!("NIXFLEET_URL: the token goes over the network in clear; use https");
    }
    let colours = !environment.contains_key("NO_COLOR");
    Ok(ClientConfig { url, token, json: reach.json, colours, ask })
}

/// The dashboard's address; also as agents have it, with the name of their socket.
fn dashboard_url(text: &str) -> Parsed<String> {
    let web = match text.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(_) | None => text.to_owned(),
    };
    let web = web_url(&web)?;
    Ok(web.strip_suffix("/ws").unwrap_or(&web).to_owned())
}

/// The environment, and what it does not say from the file.
fn with_file(reach: &Reach, environment: &Environment) -> Result<Environment, CliError> {
    let mut merged = environment.clone();
    let named = Settings { environment }.path(reach.config.as_ref(), "config")?;
    let Some(file) = named.clone().or_else(|| default_file(environment)) else {
        return Ok(merged);
    };
    let bad = |why: String| {
        CliError::Setting(format!("--config / NIXFLEET_CONFIG: {}: {why}", file.display()))
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(_) if named.is_none() && !file.exists() => return Ok(merged),
        Err(error) => return Err(bad(format!("expected a file that can be read: {error}"))),
    };
    let has_token = ["NIXFLEET_API_TOKEN", "NIXFLEET_API_TOKEN_FILE"];
    let has_token = has_token.iter().any(|name| environment.contains_key(*name));
    for (name, value) in env_file::parse(&text).map_err(bad)? {
        if !IN_THE_FILE.contains(&name.as_str()) {
            return Err(bad(format!("expected {}, got {name}", IN_THE_FILE.join(", "))));
        }
        if !(has_token && name.starts_with("NIXFLEET_API_TOKEN")) {
            merged.entry(name).or_insert(value);
        }
    }
    warn_of_readers(&file, &text);
    Ok(merged)
}

fn warn_of_readers(file: &Path, text: &str) {
    if env_file::value_of(text, "NIXFLEET_API_TOKEN").is_some() && all_may_read(file) {
        log::warn!("everybody on this machine can read the token in {}", file.display());
    }
}

/// `nixfleet/client.env` where a user's settings are.
fn default_file(environment: &Environment) -> Option<PathBuf> {
    let settings = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let settings =
        settings.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")));
    Some(settings?.join("nixfleet/client.env"))
}

fn asked(action: &ClientAction) -> (Ask, &Reach) {
    match action {
        ClientAction::Status { check, reach } => (Ask::Status { check: *check }, reach),
        ClientAction::Hosts { hosts, reach } => (Ask::Hosts { names: hosts.clone() }, reach),
        ClientAction::Pull(run) => operation(Operation::Pull, run, false),
        ClientAction::Switch { run, boot } => operation(Operation::Switch, run, *boot),
        ClientAction::Test(run) => operation(Operation::Test, run, false),
        ClientAction::Update(steps) => start("update", steps),
        ClientAction::Rollout { action } => rollout(action),
        ClientAction::Hold { hosts, reason, reach } => {
            (Ask::Hold { hosts: hosts.clone(), reason: reason.clone() }, reach)
        }
        ClientAction::Release { hosts, reach } => (Ask::Release { hosts: hosts.clone() }, reach),
        ClientAction::Logs { of, follow, last, reach } => {
            (Ask::Logs { of: of.clone(), follow: *follow, last: *last }, reach)
        }
        ClientAction::Events { host, category, last, follow, reach } => {
            let (host, category) = (host.clone(), category.clone());
            (Ask::Events { host, category, last: *last, follow: *follow }, reach)
        }
    }
}

fn which(hosts: &Hosts) -> Which {
    if hosts.all { Which::All } else { Which::Named(hosts.hosts.clone()) }
}

fn operation(op: Operation, run: &Run, boot: bool) -> (Ask, &Reach) {
    let (hosts, regardless) = (which(&run.hosts), run.regardless.clone());
    let ask = Ask::Run { op, hosts, queue: run.queue, boot, regardless, wait: run.wait };
    (ask, &run.reach)
}

fn start<'a>(op: &str, steps: &'a Steps) -> (Ask, &'a Reach) {
    let ask = RolloutAsk::Start {
        op: op.to_owned(),
        hosts: which(&steps.hosts),
        at_once: steps.at_once,
        stop_after: steps.stop_after,
        one_first: steps.one_first,
        waves: steps.waves.clone(),
        soak: steps.soak,
        roll_back: steps.roll_back,
        reboot: steps.reboot,
        totp: steps.totp.clone(),
        regardless: steps.regardless.clone(),
        wait: steps.wait,
    };
    (Ask::Rollout(ask), &steps.reach)
}

fn rollout(action: &RolloutAction) -> (Ask, &Reach) {
    match action {
        RolloutAction::List { reach } => (Ask::Rollout(RolloutAsk::List), reach),
        RolloutAction::Show { id, wait, reach } => {
            (Ask::Rollout(RolloutAsk::Show { id: id.clone(), wait: *wait }), reach)
        }
        RolloutAction::Start { op, steps } => start(op, steps),
        RolloutAction::Cancel(of) => change(of, "cancel", None),
        RolloutAction::Pause(of) => change(of, "pause", None),
        RolloutAction::Resume(of) => change(of, "resume", None),
        RolloutAction::Promote(of) => change(of, "promote", None),
        RolloutAction::LeaveOut { of, host } => change(of, "leave-out", Some(("host", host))),
        RolloutAction::Retry { of, totp, regardless } => {
            let ask = RolloutAsk::Retry {
                id: of.id.clone(),
                totp: totp.clone(),
                regardless: regardless.clone(),
            };
            (Ask::Rollout(ask), &of.reach)
        }
    }
}

/// A change of a rollout, with the field that it needs.
fn change<'a>(
    of: &'a OneRollout,
    what: &'static str,
    field: Option<(&'static str, &String)>,
) -> (Ask, &'a Reach) {
    let field = field.map(|(name, value)| (name, value.clone()));
    (Ask::Rollout(RolloutAsk::Change { id: of.id.clone(), what, field }), &of.reach)
}
