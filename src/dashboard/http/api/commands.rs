//! Calls about commands.

use super::{ApiError, changer, host_id, object, reader, unknown_operation};
use crate::dashboard::auth::LoginError;
use crate::dashboard::fleet::requests::{ExtendCommand, RequestCommand, StopCommand};
use crate::dashboard::http::App;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store;
use crate::domain::command::Command;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::RefusalCode;
use crate::protocol::{Line, Stream};
use actix_web::http::header::ACCEPT;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;

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
struct NewCommand {
    op: String,
    #[serde(default)]
    args: Args,
    #[serde(default)]
    queue: bool,
    /// The one-time code, for what needs to be confirmed.
    totp: Option<String>,
}

/// What needs a confirmation needs the one-time code too, where that is set up.
async fn confirmed(app: &App, op: Operation, code: Option<&str>) -> Result<(), ApiError> {
    if !op.rules().needs_confirmation {
        return Ok(());
    }
    match app.auth.confirms(code).await {
        Ok(true) => Ok(()),
        Err(LoginError::TooMany(wait)) => {
            let text = format!("Too many wrong codes. Try again in {} s.", wait.as_secs() + 1);
            Err(ApiError::new(RefusalCode::TooManyTries, text, 429))
        }
        Err(LoginError::Unavailable(text)) => {
            Err(ApiError::new(RefusalCode::Unavailable, text, 503))
        }
        Ok(false) | Err(LoginError::Wrong | LoginError::Csrf) => {
            let text = format!("`totp`: {} needs the one-time code.", op.label());
            Err(ApiError::new(RefusalCode::ConfirmationRequired, text, 403))
        }
    }
}

fn operation(name: &str) -> Result<Operation, ApiError> {
    Ok(Operation::parse(name).ok_or_else(|| unknown_operation(name))?)
}

fn accepted(command: &Command) -> serde_json::Value {
    json!({ "command_id": command.id, "state": command.state })
}

async fn request_one(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    body: web::Json<NewCommand>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let host = host_id(&id)?;
    let NewCommand { op, args, queue, totp } = body.into_inner();
    let op = operation(&op)?;
    confirmed(&app, op, totp.as_deref()).await?;
    let command = app.fleet.send(RequestCommand { id: None, host, op, args, queue, by }).await??;
    Ok(HttpResponse::Accepted().json(accepted(&command)))
}

#[derive(Deserialize)]
struct NewCommands {
    op: String,
    hosts: Vec<String>,
    #[serde(default)]
    args: Args,
    #[serde(default)]
    queue: bool,
    totp: Option<String>,
}

async fn request_many(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Json<NewCommands>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let body = body.into_inner();
    let op = operation(&body.op)?;
    confirmed(&app, op, body.totp.as_deref()).await?;
    let mut results = Vec::new();
    for name in body.hosts {
        let done = match host_id(&name) {
            Ok(host) => {
                let (args, by) = (body.args.clone(), by.clone());
                let asked = RequestCommand { id: None, host, op, args, queue: body.queue, by };
                app.fleet.send(asked).await?.map_err(ApiError::from)
            }
            Err(error) => Err(error),
        };
        results.push(match done {
            Ok(command) => {
                json!({ "host_id": name, "command_id": command.id, "state": command.state })
            }
            Err(error) => json!({ "host_id": name, "error": error.body() }),
        });
    }
    Ok(HttpResponse::Accepted().json(results))
}

fn command_id(text: &str) -> Result<CommandId, ApiError> {
    let unknown = || RequestError::NoSuchCommand(text.to_owned());
    Ok(CommandId::parse(text).ok_or_else(unknown)?)
}

async fn get(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let command_id = command_id(&id)?;
    let read = app.store.read(move |conn| {
        let Some(mut command) = store::commands::get(conn, command_id)? else {
            return Ok(None);
        };
        command.output_lines = store::output::last_seq(conn, command_id)?;
        let transitions = store::transitions::list(conn, command_id)?;
        let results = store::test_results::list(conn, command_id)?;
        let changes =
            if command.tells_changes() { store::output::changes(conn, command_id)? } else { None };
        Ok(Some(object::command_story(&command, &transitions, &results, changes)))
    });
    let story = read.await?.ok_or_else(|| RequestError::NoSuchCommand(id.into_inner()))?;
    Ok(HttpResponse::Ok().json(story))
}

#[derive(Deserialize)]
struct OutputQuery {
    after: Option<u64>,
    format: Option<String>,
}

async fn output(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    query: web::Query<OutputQuery>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let command = command_id(&id)?;
    let read = app.store.read(move |conn| {
        let known = store::commands::get(conn, command)?.is_some();
        Ok((known, store::output::last_seq(conn, command)?))
    });
    let (known, last) = read.await?;
    if !known {
        return Err(RequestError::NoSuchCommand(id.into_inner()).into());
    }
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let wants_json = accept.is_some_and(|accept| accept.contains("application/x-ndjson"));
    let json_lines = query.format.as_deref() == Some("jsonl") || wants_json;
    let kind = if json_lines { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    // A page at a time: a log of millions of lines is never whole in memory.
    let pages =
        stream::try_unfold((query.after.unwrap_or(0), app), move |(after, app)| async move {
            let page = app.store.read(move |conn| store::output::read(conn, command, after, PAGE));
            let lines: Vec<_> = page.await?.into_iter().filter(|(seq, _)| *seq <= last).collect();
            let Some((end, _)) = lines.last() else {
                return Ok(None);
            };
            let next = (*end, app);
            Ok::<_, crate::dashboard::store::StoreError>(Some((written(&lines, json_lines), next)))
        });
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header(("X-Last-Seq", last.to_string()))
        .streaming(Box::pin(pages)))
}

fn written(lines: &[(u64, Line)], json_lines: bool) -> Bytes {
    let mut text = String::new();
    for (seq, line) in lines {
        if json_lines {
            let stream = match line.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            text += &json!({ "seq": seq, "stream": stream, "text": line.text }).to_string();
        } else {
            text += &line.text;
        }
        text.push('\n');
    }
    text.into()
}

async fn stop(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let command = app.fleet.send(StopCommand { id: command_id(&id)?, by }).await??;
    Ok(HttpResponse::Accepted().json(accepted(&command)))
}

async fn extend(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let command = app.fleet.send(ExtendCommand { id: command_id(&id)?, by }).await??;
    Ok(HttpResponse::Accepted().json(accepted(&command)))
}
