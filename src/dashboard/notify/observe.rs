//! What the fleet looks like and what has happened, in the words of the core. Pure.

use super::core::{Kind, Level, News, Observed};
use crate::dashboard::live::model::{FleetView, HostEntry};
use crate::dashboard::store::notices::Notice;
use crate::domain::command::{Command, State};
use crate::domain::compartment::{Compartment, Status};
use crate::domain::desired::Desired;
use crate::domain::operation::Operation;
use crate::domain::rollout::Rollout;
use crate::domain::timestamp::Timestamp;
use serde::Deserialize;

/// An entry of the audit log, as its trigger writes it.
#[derive(Deserialize)]
struct Login {
    at: i64,
    message: String,
}

/// What is seen now. `started` is when the dashboard did: before that nobody looked.
pub(super) fn observed(view: &FleetView, notices: &[Notice], started: Timestamp) -> Observed {
    let mut observed = Observed::default();
    for (id, host) in &view.hosts {
        let name = id.as_str().to_owned();
        for (kind, level) in [
            (Kind::Offline, offline(host, started)),
            (Kind::TestsRed, tests(host)),
            (Kind::RebootNeeded, reboot(host)),
        ] {
            observed.levels.push((kind, name.clone(), level));
        }
        observed.subjects.insert(name);
    }
    for source in view.remotes.iter() {
        let level = remote(&source.desired);
        observed.levels.push((Kind::RemoteUnreadable, source.name.to_string(), level));
        observed.subjects.insert(source.name.to_string());
    }
    observed.news = notices.iter().flat_map(news).collect();
    observed
}

fn offline(host: &HostEntry, started: Timestamp) -> Level {
    match host.pulse.last_seen {
        // It never came: it is being set up.
        None => Level::Gone,
        Some(_) if host.snapshot.online => Level::Gone,
        Some(seen) => {
            Level::Holds { text: "No agent is connected.".into(), since: Some(seen.max(started)) }
        }
    }
}

fn tests(host: &HostEntry) -> Level {
    let verdict = &host.snapshot.row[Compartment::Tests];
    match verdict.status {
        Status::Error => Level::Holds { text: verdict.message.to_string(), since: None },
        Status::Ok | Status::Outdated => Level::Gone,
        Status::Working | Status::Unknown => Level::Unsure,
    }
}

fn reboot(host: &HostEntry) -> Level {
    let system = &host.snapshot.facts.system;
    if let Some(why) = system.needs_a_reboot() {
        return Level::Holds { text: format!("A reboot is needed: {why}."), since: None };
    }
    match system.reboot_needed {
        Some(true | false) => Level::Gone,
        None => Level::Unsure,
    }
}

fn remote(desired: &Desired) -> Level {
    match desired {
        Desired::Unavailable { since, reason, .. } => {
            Level::Holds { text: reason.clone(), since: Some(*since) }
        }
        Desired::Known(_) | Desired::NotConfigured { .. } => Level::Gone,
        Desired::NotYetFetched => Level::Unsure,
    }
}

/// What a notice says. One that another version wrote and that is not understood says nothing.
fn news(notice: &Notice) -> Vec<News> {
    let read = match notice.kind.as_str() {
        "command" => serde_json::from_str(&notice.json).map(|command| of_command(&command)),
        "rollout" => serde_json::from_str(&notice.json).map(|rollout| vec![of_rollout(&rollout)]),
        "login" => serde_json::from_str(&notice.json).map(|login| vec![of_login(login)]),
        _ => Ok(Vec::new()),
    };
    read.unwrap_or_else(|error| {
        log::warn!("notice {} is not understood: {error}", notice.id);
        Vec::new()
    })
}

fn of_command(command: &Command) -> Vec<News> {
    let subject = command.host.as_str().to_owned();
    let at = command.finished_at.unwrap_or(command.created_at);
    let kind = Kind::SwitchFailed;
    match command.state {
        State::Succeeded => {
            let mut news = vec![News::Mended { kind, subject: subject.clone(), at }];
            if command.op == Operation::Rollback {
                let text = format!("Rolled back, asked for by {}.", command.requested_by);
                news.push(News::Point { kind: Kind::RolledBack, subject, text, at });
            }
            news
        }
        State::Failed | State::Unverified | State::TimedOut | State::Lost => {
            let why = command.reason.as_deref().unwrap_or("no reason is known");
            let state = command.state.name().replace('_', " ");
            let text = format!("{} {state}: {why}", command.op.label());
            vec![News::Fails { kind, subject, text, at }]
        }
        // It was not begun, or somebody stopped it.
        State::Rejected
        | State::Blocked
        | State::Stopped
        | State::Expired
        | State::Cancelled
        | State::Queued
        | State::Sent
        | State::Running
        | State::Overdue
        | State::Stopping
        | State::Verifying => Vec::new(),
    }
}

fn of_rollout(rollout: &Rollout) -> News {
    let halted = rollout.halted.as_ref().map(|why| format!(" It was halted: {why}."));
    let text = format!("{}: {}.{}", rollout.title(), rollout.told(), halted.unwrap_or_default());
    let at = rollout.finished_at.unwrap_or(rollout.created_at);
    News::Point { kind: Kind::RolloutEnded, subject: rollout.title(), text, at }
}

fn of_login(login: Login) -> News {
    let at = Timestamp::from_millis(login.at);
    News::Point { kind: Kind::Login, subject: "dashboard".into(), text: login.message, at }
}
