//! The fleet, and one host.

use super::{Page, show};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, HostPath, Query, User};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::story::{Story, Told};
use crate::dashboard::views::{fleet, host_page};
use crate::domain::command::Command;
use crate::domain::generation::{self, Generation};
use crate::domain::ids::{CommandId, HostId};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use rusqlite::Connection;
use serde::Deserialize;

/// So many commands of a host are told at once.
const COMMANDS: u32 = 30;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.route("/", web::get().to(page)).route("/hosts/{id}", web::get().to(host));
}

#[derive(Deserialize)]
struct FleetQuery {
    log: Option<String>,
}

async fn page(By(user, Query(query)): By<User, Query<FleetQuery>>) -> Page {
    let view = user.fleet_view().await?;
    // The log of the host that was asked for, else of the one that was asked last.
    let asked = query.log.as_deref().and_then(|name| HostId::parse(name).ok());
    let busy = view.hosts.values().filter(|e| e.snapshot.command.is_some());
    let busy = busy.max_by_key(|e| e.snapshot.command.as_ref().map(|c| c.created_at));
    let entry = match asked {
        Some(id) => view.hosts.get(&id),
        None => busy,
    };
    let tail = match entry.and_then(super::output::command_of) {
        Some(id) => super::output::tail(&user, id, None).await?,
        None => None,
    };
    let shown = tail.as_ref().map(super::output::Tail::shown);
    Ok(show(StatusCode::OK, fleet::page(&view, shown.as_ref(), &user.csrf)))
}

#[derive(Deserialize)]
struct HostQuery {
    command: Option<String>,
    before: Option<String>,
}

async fn host(
    request: HttpRequest,
    By(user, (HostPath(id), Query(query))): By<User, (HostPath, Query<HostQuery>)>,
) -> Page {
    // The version comes before what is read: what changes in between is read once more.
    let view = user.fleet_view().await?;
    let entry = view.hosts.get(&id).cloned();
    let no_such_host = || HttpError::from(RequestError::NoSuchHost(id.to_string()));
    let entry = entry.ok_or_else(no_such_host)?;
    let before = query.before.as_deref().and_then(CommandId::parse);
    let known = entry.snapshot.generations.clone();
    let story = user.stored(move |conn| story(conn, &id, &known, before)).await?;
    let asked = query.command.as_deref().and_then(CommandId::parse);
    let tail = match asked.or_else(|| super::output::command_of(&entry)) {
        Some(command) => super::output::tail(&user, command, None).await?,
        None => None,
    };
    let tail = tail.filter(|tail| tail.command.host == entry.snapshot.id);
    let shown = tail.as_ref().map(super::output::Tail::shown);
    let page = host_page::HostPage {
        entry: &entry,
        story: &story,
        shown: shown.as_ref(),
        version: view.version,
    };
    if super::wants_fragment(&request) {
        return Ok(show(StatusCode::OK, host_page::live(&page, &user.csrf)));
    }
    Ok(show(StatusCode::OK, host_page::page(&page, &user.csrf)))
}

/// What happened on a host.
fn story(
    conn: &Connection,
    id: &HostId,
    known: &[Generation],
    before: Option<CommandId>,
) -> Result<Story, StoreError> {
    let mut commands = store::commands::history(conn, id, COMMANDS + 1, before)?;
    let more = commands.len() > COMMANDS as usize;
    commands.truncate(COMMANDS as usize);
    let commands =
        commands.into_iter().map(|one| told(conn, one)).collect::<Result<Vec<_>, StoreError>>()?;
    let all = store::test_results::runs(conn, id, 200, None)?;
    let generations = generation::with_tests(known, &all);
    let runs = all.into_iter().take(20).map(|run| {
        let results = store::test_results::list(conn, run.command_id)?;
        Ok((run, results))
    });
    let runs = runs.collect::<Result<Vec<_>, StoreError>>()?;
    let deploys = store::deployments::list(conn, id, 20)?;
    Ok(Story { commands, more, runs, generations, deploys })
}

/// A command with the states it went through and what it changed.
pub(super) fn told(conn: &Connection, mut command: Command) -> Result<Told, StoreError> {
    let transitions = store::transitions::list(conn, command.id)?;
    command.output_lines = store::output::last_seq(conn, command.id)?;
    let changes =
        if command.tells_changes() { store::output::changes(conn, command.id)? } else { None };
    Ok(Told { command, transitions, changes })
}
