//! What the buttons do where the script does not run: the same as the API, and back.

use super::{CsrfForm, Page, PageError, acting, done, go, host_entry, host_id, wants_fragment};
use crate::dashboard::fleet::requests::{
    AskHost, ConfigureHost, ExtendCommand, MergePullRequest, RefreshDesired, RemoveHost,
    RequestCommand, RevertPullRequest, StopCommand,
};
use crate::dashboard::http::App;
use crate::dashboard::http::api;
use crate::dashboard::request_error::RequestError;
use crate::domain::audit::Author;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Operation};
use crate::domain::refusal::{Refusal, RefusalCode};
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts/{id}/commands", web::post().to(command))
        .route("/hosts/{id}/refresh", web::post().to(refresh_host))
        .route("/hosts/{id}/settings", web::post().to(settings))
        .route("/hosts/{id}/remove", web::post().to(remove))
        .route("/commands/{id}/{what}", web::post().to(change_command))
        .route("/desired/refresh", web::post().to(refresh))
        .route("/pull-requests/{number}/merge", web::post().to(merge))
        .route("/pull-requests/{number}/revert", web::post().to(revert));
}

#[derive(Deserialize)]
struct CommandForm {
    csrf_token: String,
    op: String,
    #[serde(rename = "args.generation")]
    generation: Option<u64>,
    #[serde(rename = "args.reason")]
    reason: Option<String>,
    #[serde(rename = "args.confirmed")]
    confirmed: Option<bool>,
    totp: Option<String>,
}

#[derive(Deserialize)]
struct QueueQuery {
    #[serde(default)]
    queue: bool,
}

async fn command(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    query: web::Query<QueueQuery>,
    form: web::Form<CommandForm>,
) -> Page {
    let form = form.into_inner();
    acting(&app, &request, &form.csrf_token).await?;
    let op = Operation::parse(&form.op).ok_or_else(|| api::unknown_operation(&form.op))?;
    if op.rules().needs_confirmation {
        let right = app.auth.confirms(form.totp.as_deref()).await;
        if right != Ok(true) {
            let message = format!("{} needs the one-time code.", op.label());
            let refusal = Refusal::new(RefusalCode::ConfirmationRequired, message);
            return Err(RequestError::Refused(refusal).into());
        }
    }
    let reason = form.reason.filter(|reason| !reason.trim().is_empty());
    let args =
        Args { generation: form.generation, reason, confirmed: form.confirmed, ..Args::default() };
    let (host, by) = (host_id(&id)?, Author::Admin);
    app.fleet.send(RequestCommand { id: None, host, op, args, queue: query.queue, by }).await??;
    Ok(done(&request, ""))
}

async fn refresh_host(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    form: web::Form<CsrfForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    let id = host_id(&id)?;
    app.fleet.send(RefreshDesired(Some(id.clone()))).await??;
    app.fleet.send(AskHost(id)).await??;
    Ok(done(&request, ""))
}

async fn settings(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    form: web::Form<BTreeMap<String, String>>,
) -> Page {
    let mut fields = form.into_inner();
    let csrf = fields.remove("csrf_token").unwrap_or_default();
    acting(&app, &request, &csrf).await?;
    let host = host_id(&id)?;
    let change = api::change_of_form(&fields).map_err(|error| RequestError::Invalid {
        field: "settings",
        expected: error.to_string(),
    })?;
    app.fleet.send(ConfigureHost { host: host.clone(), change, by: Author::Admin }).await??;
    if wants_fragment(&request) {
        return Ok(done(&request, ""));
    }
    Ok(go(&format!("/hosts/{host}")))
}

async fn remove(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    form: web::Form<CsrfForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    let host = host_id(&id)?;
    api::check_idle(&host_entry(&app, &host).await?)?;
    app.fleet.send(RemoveHost { host, by: Author::Admin }).await??;
    Ok(done(&request, ""))
}

async fn change_command(
    request: HttpRequest,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    form: web::Form<CsrfForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    let (id, what) = path.into_inner();
    let id = CommandId::parse(&id).ok_or(RequestError::NoSuchCommand(id))?;
    let by = Author::Admin;
    match what.as_str() {
        "stop" => app.fleet.send(StopCommand { id, by }).await??,
        "extend" => app.fleet.send(ExtendCommand { id, by }).await??,
        _ => return Err(PageError::NotFound),
    };
    Ok(done(&request, ""))
}

#[derive(Deserialize)]
struct BackQuery {
    back: Option<String>,
}

async fn refresh(
    request: HttpRequest,
    app: web::Data<App>,
    query: web::Query<BackQuery>,
    form: web::Form<CsrfForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    api::refresh_all(&app).await?;
    if wants_fragment(&request) {
        return Ok(done(&request, ""));
    }
    // Only to a page of ours.
    let to = query.into_inner().back.filter(|to| to == "/settings");
    Ok(go(to.as_deref().unwrap_or("/")))
}

#[derive(Deserialize)]
struct MergeQuery {
    source: String,
    head: String,
}

async fn merge(
    request: HttpRequest,
    app: web::Data<App>,
    number: web::Path<u64>,
    query: web::Query<MergeQuery>,
    form: web::Form<CsrfForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    let MergeQuery { source, head } = query.into_inner();
    let number = number.into_inner();
    let merge = MergePullRequest { source: Some(source), number, head, by: Author::Admin };
    app.fleet.send(merge).await??;
    Ok(done(&request, api::AFTER_MERGE))
}

#[derive(Deserialize)]
struct RevertQuery {
    source: String,
}

async fn revert(
    request: HttpRequest,
    app: web::Data<App>,
    number: web::Path<u64>,
    query: web::Query<RevertQuery>,
    form: web::Form<CsrfForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    let (number, source) = (number.into_inner(), Some(query.into_inner().source));
    let revert = RevertPullRequest { source, number, by: Author::Admin };
    let made = app.fleet.send(revert).await??;
    let text = format!("Pull request #{} takes it back. {}", made.number, api::AFTER_REVERT);
    Ok(done(&request, &text))
}
