//! Calls about commands.

use super::{Answer, object};
use crate::dashboard::http::actions::{self, Asked, CommandChange, Order};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{
    Body, By, Changer, CommandPath, HostPath, Query, Reader, host_id,
};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::domain::command::Command;
use crate::domain::operation::Args;
use crate::domain::terminal::as_text;
use crate::protocol::{Line, Stream};
use actix_web::http::header::ACCEPT;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;

/// How many lines are read from SQLite at once.
const PAGE: u32 = 2000;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts/{id}/commands", web::post().to(request_one))
        .route("/commands", web::post().to(request_many))
        .route("/commands/{id}", web::get().to(get))
        .route("/commands/{id}/output", web::get().to(output))
        .route("/commands/{id}/stop", web::post().to(stop))
        .route("/commands/{id}/extend", web::post().to(extend));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCommand {
    op: String,
    #[serde(default)]
    args: Args,
    #[serde(default)]
    queue: bool,
    /// The one-time code, for what needs to be confirmed.
    totp: Option<String>,
}

fn accepted(command: &Command) -> HttpResponse {
    let told = json!({ "command_id": command.id, "state": command.state });
    HttpResponse::Accepted().json(told)
}

async fn request_one(
    By(changer, (HostPath(host), Body(asked))): By<Changer, (HostPath, Body<NewCommand>)>,
) -> Answer {
    let NewCommand { op, args, queue, totp } = asked;
    let asked = Asked { op: &op, args, queue, totp: totp.as_deref() };
    let order = Order::check(&changer, asked).await?;
    Ok(accepted(&actions::run(&changer, host, &order).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCommands {
    op: String,
    hosts: Vec<String>,
    #[serde(default)]
    args: Args,
    #[serde(default)]
    queue: bool,
    /// The one-time code, for what needs to be confirmed.
    totp: Option<String>,
}

async fn request_many(By(changer, Body(asked)): By<Changer, Body<NewCommands>>) -> Answer {
    let NewCommands { op, hosts, args, queue, totp } = asked;
    let asked = Asked { op: &op, args, queue, totp: totp.as_deref() };
    let order = Order::check(&changer, asked).await?;
    let mut results = Vec::new();
    for name in hosts {
        let done = request_of_one(&changer, &name, &order).await;
        results.push(match done {
            Ok(command) => {
                json!({ "host_id": name, "command_id": command.id, "state": command.state })
            }
            Err(error) => json!({ "host_id": name, "error": error.object() }),
        });
    }
    Ok(HttpResponse::Accepted().json(results))
}

async fn request_of_one(
    changer: &Changer,
    name: &str,
    order: &Order,
) -> Result<Command, HttpError> {
    actions::run(changer, host_id(name)?, order).await
}

async fn get(By(reader, CommandPath(id)): By<Reader, CommandPath>) -> Answer {
    let now = reader.moment();
    let read = reader.stored(move |conn| {
        let Some(mut command) = store::commands::get(conn, id)? else {
            return Ok(None);
        };
        command.output_lines = store::output::last_seq(conn, id)?;
        let transitions = store::transitions::list(conn, id)?;
        let results = store::test_results::list(conn, id)?;
        let changes =
            if command.tells_changes() { store::output::changes(conn, id)? } else { None };
        Ok(Some(object::command_story(&command, now, &transitions, &results, changes)))
    });
    let story = read.await?.ok_or_else(|| no_such_command(id))?;
    Ok(HttpResponse::Ok().json(story))
}

fn no_such_command(id: crate::domain::ids::CommandId) -> HttpError {
    RequestError::NoSuchCommand(id.to_string()).into()
}

#[derive(Deserialize)]
struct OutputQuery {
    after: Option<u64>,
    format: Option<String>,
    /// `1`: with the escapes of terminals, as the host sent them.
    ansi: Option<String>,
}

async fn output(
    request: HttpRequest,
    By(reader, (CommandPath(command), Query(query))): By<Reader, (CommandPath, Query<OutputQuery>)>,
) -> Answer {
    let read = reader.stored(move |conn| {
        let known = store::commands::get(conn, command)?.is_some();
        Ok((known, store::output::last_seq(conn, command)?))
    });
    let (known, last) = read.await?;
    if !known {
        return Err(no_such_command(command).into());
    }
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let wants_json = accept.is_some_and(|accept| accept.contains("application/x-ndjson"));
    let json_lines = query.format.as_deref() == Some("jsonl") || wants_json;
    let escapes = query.ansi.as_deref() == Some("1");
    let kind = if json_lines { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    let start = (query.after.unwrap_or(0), reader);
    // A page at a time: a log of millions of lines is never whole in memory.
    let pages = stream::try_unfold(start, move |(after, reader)| async move {
        let page = reader.stored(move |conn| store::output::read(conn, command, after, PAGE));
        let lines: Vec<_> = page.await?.into_iter().filter(|(seq, _)| *seq <= last).collect();
        let Some((end, _)) = lines.last() else {
            return Ok(None);
        };
        let next = (*end, reader);
        Ok::<_, StoreError>(Some((written(&lines, json_lines, escapes), next)))
    });
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header(("X-Last-Seq", last.to_string()))
        .streaming(Box::pin(pages)))
}

fn written(lines: &[(u64, Line)], json_lines: bool, escapes: bool) -> Bytes {
    let mut text = String::new();
    for (seq, line) in lines {
        let told = if escapes { Cow::Borrowed(line.text.as_str()) } else { as_text(&line.text) };
        if json_lines {
            let stream = match line.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            text += &json!({ "seq": seq, "stream": stream, "text": told }).to_string();
        } else {
            text += &told;
        }
        text.push('\n');
    }
    text.into()
}

async fn stop(By(changer, CommandPath(id)): By<Changer, CommandPath>) -> Answer {
    Ok(accepted(&actions::change_command(&changer, id, CommandChange::Stop).await?))
}

async fn extend(By(changer, CommandPath(id)): By<Changer, CommandPath>) -> Answer {
    Ok(accepted(&actions::change_command(&changer, id, CommandChange::Extend).await?))
}
