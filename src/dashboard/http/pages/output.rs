//! Pieces of the log panel.

use super::{Page, show};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, CommandPath, HostPath, Query, Reader, User};
use crate::dashboard::live::model::HostEntry;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::log::{self, CHUNK, Shown};
use crate::domain::command::Command;
use crate::domain::ids::CommandId;
use crate::protocol::Line;
use actix_web::http::StatusCode;
use actix_web::web;
use rusqlite::Connection;
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts/{id}/log", web::get().to(of_host))
        .route("/commands/{id}/log", web::get().to(of_command))
        .route("/commands/{id}/lines", web::get().to(earlier));
}

/// Lines of a command.
pub(super) struct Tail {
    pub(super) command: Command,
    lines: Vec<(u64, Line)>,
    earlier: bool,
    search: Option<String>,
}

impl Tail {
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown {
            command: &self.command,
            lines: &self.lines,
            earlier: self.earlier,
            search: self.search.as_deref(),
        }
    }
}

/// The command whose log a host's is: the one that runs, else the last.
pub(super) fn command_of(entry: &HostEntry) -> Option<CommandId> {
    let live = entry.snapshot.command.as_ref().map(|command| command.id);
    live.or(entry.snapshot.last_command.map(|last| last.id))
}

/// The last lines of a command, of those below `before`; `None` if there is no such command.
pub(super) async fn tail(
    reader: &Reader,
    id: CommandId,
    before: Option<u64>,
) -> Result<Option<Tail>, HttpError> {
    let read = reader.stored(move |conn| {
        let command = store::commands::get(conn, id)?;
        let mut lines = store::output::tail(conn, id, CHUNK + 1, before)?;
        let earlier = lines.len() > CHUNK as usize;
        lines.drain(..usize::from(earlier));
        Ok::<_, StoreError>(command.map(|command| Tail { command, lines, earlier, search: None }))
    });
    Ok(read.await?)
}

async fn of_host(By(user, HostPath(host)): By<User, HostPath>) -> Page {
    let entry = user.host(&host).await?;
    let tail = match command_of(&entry) {
        Some(id) => tail(&user, id, None).await?,
        None => None,
    };
    Ok(show(StatusCode::OK, log::one(tail.as_ref().map(Tail::shown).as_ref())))
}

fn no_such_command(id: CommandId) -> HttpError {
    RequestError::NoSuchCommand(id.to_string()).into()
}

#[derive(Deserialize)]
struct LogQuery {
    #[serde(default)]
    q: String,
}

async fn of_command(
    By(user, (CommandPath(command), Query(query))): By<User, (CommandPath, Query<LogQuery>)>,
) -> Page {
    let found = tail(&user, command, None).await?;
    let mut found = found.ok_or_else(|| no_such_command(command))?;
    let wanted = query.q;
    if !wanted.is_empty() {
        let text = wanted.clone();
        let search =
            move |conn: &Connection| store::output::search(conn, command, &text, CHUNK as usize);
        found.lines = user.stored(search).await?;
        found.earlier = found.lines.len() >= CHUNK as usize;
        found.search = Some(wanted);
    }
    Ok(show(StatusCode::OK, log::one(Some(&found.shown()))))
}

#[derive(Deserialize)]
struct LinesQuery {
    before: u64,
}

async fn earlier(
    By(user, (CommandPath(command), Query(query))): By<User, (CommandPath, Query<LinesQuery>)>,
) -> Page {
    let tail = tail(&user, command, Some(query.before)).await?;
    let tail = tail.ok_or_else(|| no_such_command(command))?;
    Ok(show(StatusCode::OK, log::chunk(&tail.shown())))
}
