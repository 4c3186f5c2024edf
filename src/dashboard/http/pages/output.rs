//! Pieces of the log panel.

use super::{Page, show};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, CommandPath, HostPath, Query, Reader, User};
use crate::dashboard::live::model::HostEntry;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::log::{self, CHUNK, Shown};
use crate::domain::bounds;
use crate::domain::command::Command;
use crate::domain::ids::CommandId;
use crate::protocol::Line;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use rusqlite::Connection;
use serde::Deserialize;
use std::time::{Duration, Instant};

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
    in_time: bool,
    at: Option<u64>,
    later: bool,
}

impl Tail {
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown {
            command: &self.command,
            lines: &self.lines,
            earlier: self.earlier,
            search: self.search.as_deref(),
            in_time: self.in_time,
            at: self.at,
            later: self.later,
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
        let shown = fitting(&lines).min(CHUNK as usize);
        let earlier = lines.len() > shown;
        lines.drain(..lines.len() - shown);
        let last = lines.last().map_or(0, |(seq, _)| *seq);
        let later = before.is_some() && store::output::last_seq(conn, id)? > last;
        let tail = |command| Tail {
            command,
            lines,
            earlier,
            search: None,
            in_time: true,
            at: None,
            later,
        };
        Ok::<_, StoreError>(command.map(tail))
    });
    Ok(read.await?)
}

/// The lines around one of them; the last ones where none is asked for.
pub(super) async fn around(
    reader: &Reader,
    id: CommandId,
    at: Option<u64>,
) -> Result<Option<Tail>, HttpError> {
    let below = at.map(|at| at.saturating_add(u64::from(CHUNK / 2)));
    let tail = tail(reader, id, below).await?;
    Ok(tail.map(|tail| Tail { at, ..tail }))
}

/// How many of the last lines a page has room for; one at least.
fn fitting(lines: &[(u64, Line)]) -> usize {
    let mut bytes = 0;
    let fits = lines.iter().rev().take_while(|(_, line)| {
        bytes += line.text.len();
        bytes <= bounds::PAGE_OF_OUTPUT
    });
    fits.count().max(1).min(lines.len())
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

/// The log of a command, or what of it was searched for. A page where the script does not run.
async fn of_command(
    request: HttpRequest,
    By(user, (CommandPath(command), Query(query))): By<User, (CommandPath, Query<LogQuery>)>,
) -> Page {
    let found = tail(&user, command, None).await?;
    let mut found = found.ok_or_else(|| no_such_command(command))?;
    let wanted = query.q;
    if !wanted.is_empty() {
        let text = wanted.clone();
        let search = move |conn: &Connection| {
            let until = Instant::now() + Duration::from_secs(bounds::SEARCH_FOR_S);
            store::output::search(conn, command, &text, CHUNK as usize, until)
        };
        let (lines, in_time) = user.searched(search).await?;
        found.earlier = lines.len() >= CHUNK as usize || !in_time;
        found.in_time = in_time;
        found.lines = lines;
        found.search = Some(wanted);
    }
    let shown = found.shown();
    let page = if super::wants_fragment(&request) {
        log::one(Some(&shown))
    } else {
        log::page(&shown, &user.csrf)
    };
    Ok(show(StatusCode::OK, page))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Stream;

    /// Finding 9 of the security review.
    #[test]
    fn a_page_shows_a_bounded_text_of_a_log_and_one_line_however_long_9() {
        let lines = |length: usize, count: u64| -> Vec<(u64, Line)> {
            let text = "x".repeat(length);
            (1..=count)
                .map(|seq| (seq, Line { stream: Stream::Stdout, text: text.clone() }))
                .collect()
        };
        let eighth = bounds::PAGE_OF_OUTPUT / 8;
        assert_eq!(fitting(&lines(eighth, 20)), 8);
        assert_eq!(fitting(&lines(eighth + 1, 20)), 7);
        assert_eq!(fitting(&lines(2 * bounds::PAGE_OF_OUTPUT, 3)), 1);
        assert_eq!(fitting(&[]), 0);
    }
}
