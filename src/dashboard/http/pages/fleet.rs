//! The fleet, and one host.

use super::{Page, show};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, HostPath, Query, User};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::events::{EventFilter, EventRecord};
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::list::{self, Look};
use crate::dashboard::views::story::{Only, Story, Told};
use crate::dashboard::views::{fleet, host_page, layout, rollouts};
use crate::domain::audit::AuditCategory;
use crate::domain::command::Command;
use crate::domain::generation::{self, Generation};
use crate::domain::ids::{CommandId, HostId};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use rusqlite::Connection;
use serde::Deserialize;

/// So many commands of a host are told at once.
const COMMANDS: u32 = 30;
/// So many are looked through where only some of them are wanted.
const LOOKED_AT: u32 = 300;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.route("/", web::get().to(page)).route("/hosts/{id}", web::get().to(host));
}

/// What the address of the fleet page says.
#[derive(Deserialize)]
#[serde(transparent)]
struct FleetQuery(Vec<(String, String)>);

impl FleetQuery {
    fn get(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }
}

async fn page(By(user, Query(query)): By<User, Query<FleetQuery>>) -> Page {
    let view = user.fleet_view().await?;
    let look = Look::read(|name| query.get(name));
    // A log is open where somebody opened it: that of a command, or the newest of a host.
    let asked = query.get("log").unwrap_or_default();
    let entry = HostId::parse(&asked).ok().and_then(|id| view.hosts.get(&id));
    let of_host = entry.and_then(super::output::command_of);
    let tail = match of_host.or_else(|| CommandId::parse(&asked)) {
        Some(id) => super::output::tail(&user, id, None).await?,
        None => None,
    };
    let shown = tail.as_ref().map(super::output::Tail::shown);
    Ok(show(StatusCode::OK, fleet::page(&view, &look, shown.as_ref(), &user.csrf)))
}

#[derive(Deserialize)]
struct HostQuery {
    command: Option<String>,
    before: Option<String>,
    /// Which part of the timeline.
    #[serde(default)]
    only: String,
    /// The log is to be open.
    log: Option<String>,
    /// At this line.
    line: Option<String>,
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
    let beside = list::beside(&view, &id);
    let only = Only::parse(&query.only);
    let story = user.stored(move |conn| story(conn, &id, &known, (before, only))).await?;
    let asked = query.command.as_deref().and_then(CommandId::parse);
    let line = query.line.map(|line| line.parse().map_err(|_| not_a_line())).transpose()?;
    let tail = match asked.or_else(|| super::output::command_of(&entry)) {
        Some(command) => super::output::around(&user, command, line).await?,
        None => None,
    };
    let tail = tail.filter(|tail| tail.command.host == entry.snapshot.id);
    let shown = tail.as_ref().map(super::output::Tail::shown);
    let page = host_page::HostPage {
        entry: &entry,
        beside,
        story: &story,
        shown: shown.as_ref(),
        open: shown.is_some() && (asked.is_some() || query.log.is_some()),
        going: rollouts::going_on(&view.rollouts),
        version: view.version,
    };
    if super::wants_fragment(&request) {
        let live = host_page::live(&page, &user.csrf);
        return Ok(show(StatusCode::OK, layout::with_going(&live, page.going)));
    }
    Ok(show(StatusCode::OK, host_page::page(&page, &user.csrf)))
}

fn not_a_line() -> HttpError {
    HttpError::bad("line", "expected the number of a line of the log")
}

/// What happened on a host.
fn story(
    conn: &Connection,
    id: &HostId,
    known: &[Generation],
    (before, only): (Option<CommandId>, Only),
) -> Result<Story, StoreError> {
    let looked_at = if only == Only::All { COMMANDS + 1 } else { LOOKED_AT };
    let mut commands = store::commands::history(conn, id, looked_at, before)?;
    commands.retain(|command| only.shows(command.op));
    let more = commands.len() > COMMANDS as usize;
    commands.truncate(COMMANDS as usize);
    let events = events_of(conn, id, only, before.is_some(), commands.last().filter(|_| more))?;
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
    Ok(Story { commands, more, runs, generations, deploys, events, only })
}

/// What the audit log says of the host itself, as far back as the commands go that are shown.
fn events_of(
    conn: &Connection,
    id: &HostId,
    only: Only,
    is_earlier: bool,
    last: Option<&Command>,
) -> Result<Vec<EventRecord>, StoreError> {
    if !only.shows_the_host() || is_earlier {
        return Ok(Vec::new());
    }
    let filter = EventFilter {
        host: Some(id.clone()),
        category: Some(AuditCategory::Host.name().to_owned()),
        from: last.map(|command| command.created_at),
        limit: COMMANDS,
        ..EventFilter::default()
    };
    store::events::list(conn, &filter)
}

/// A command with the states it went through and what it changed.
pub(super) fn told(conn: &Connection, mut command: Command) -> Result<Told, StoreError> {
    let transitions = store::transitions::list(conn, command.id)?;
    command.output_lines = store::output::last_seq(conn, command.id)?;
    let changes =
        if command.tells_changes() { store::output::changes(conn, command.id)? } else { None };
    Ok(Told { command, transitions, changes })
}
