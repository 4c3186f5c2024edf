//! Calls about the remotes: desired state, pull requests, and webhooks.

use super::{ApiError, changer, object, reader};
use crate::dashboard::fleet::requests::{
    AskHost, MergePullRequest, RefreshDesired, RevertPullRequest,
};
use crate::dashboard::http::App;
use crate::dashboard::live::model::Remotes;
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::request_error::RequestError;
use crate::domain::desired::{Desired, PendingPr};
use crate::domain::refusal::RefusalCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

/// What to do after a merge.
pub const AFTER_MERGE: &str =
    "Nothing was deployed. Every host's Lock is behind now: pull, then switch.";
/// What to do after a revert.
pub const AFTER_REVERT: &str =
    "Merge that pull request, then pull and switch the hosts. Until then nothing changes.";
/// The largest webhook that is read, in bytes.
const MAX_HOOK: usize = 5 * 1024 * 1024;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/desired", web::get().to(desired))
        .route("/desired/refresh", web::post().to(refresh))
        .route("/pull-requests", web::get().to(pull_requests))
        .route("/pull-requests/{number}/merge", web::post().to(merge))
        .route("/pull-requests/{number}/revert", web::post().to(revert));
}

/// Mounts the webhooks, which have a signature instead of a login.
pub fn configure_hooks(service: &mut web::ServiceConfig) {
    service.service(
        web::scope("/hooks")
            .app_data(web::PayloadConfig::new(MAX_HOOK))
            .route("/github", web::post().to(github_hook))
            .route("/gitea", web::post().to(gitea_hook)),
    );
}

async fn desired(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let view = app.broadcaster.send(ReadFleet).await?;
    Ok(HttpResponse::Ok().json(object::desired(&view.remotes)))
}

async fn refresh(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    changer(&app, &request).await?;
    let remotes = refresh_all(&app).await?;
    Ok(HttpResponse::Ok().json(object::desired(&remotes)))
}

/// Reads all remotes anew, and asks every host that is there how it is.
pub async fn refresh_all(app: &App) -> Result<Remotes, RequestError> {
    let gone = |_| RequestError::Unavailable("The dashboard is shutting down.".to_owned());
    let remotes = app.fleet.send(RefreshDesired(None)).await.map_err(gone)??;
    let view = app.broadcaster.send(ReadFleet).await.map_err(gone)?;
    for host in view.hosts.keys() {
        app.fleet.do_send(AskHost(host.clone()));
    }
    Ok(remotes)
}

async fn pull_requests(
    request: HttpRequest,
    app: web::Data<App>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let view = app.broadcaster.send(ReadFleet).await?;
    let pending = |desired: &Desired| desired.known().and_then(|r| r.pending_pr.clone());
    let list: Vec<_> = view
        .remotes
        .iter()
        .filter_map(|state| {
            let PendingPr { number, title, url, mergeable, head } = pending(&state.desired)?;
            Some(json!({
                "source": *state.name, "number": number, "title": title, "url": url,
                "mergeable": mergeable, "head": head,
            }))
        })
        .collect();
    Ok(HttpResponse::Ok().json(list))
}

#[derive(Deserialize)]
struct MergeBody {
    source: Option<String>,
    head: String,
}

async fn merge(
    request: HttpRequest,
    app: web::Data<App>,
    number: web::Path<u64>,
    body: web::Json<MergeBody>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let MergeBody { source, head } = body.into_inner();
    let number = number.into_inner();
    app.fleet.send(MergePullRequest { source, number, head, by }).await??;
    Ok(HttpResponse::Ok().json(json!({
        "merged": number,
        "next": AFTER_MERGE,
    })))
}

#[derive(Deserialize)]
struct RevertBody {
    source: Option<String>,
}

async fn revert(
    request: HttpRequest,
    app: web::Data<App>,
    number: web::Path<u64>,
    body: web::Json<RevertBody>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let (number, source) = (number.into_inner(), body.into_inner().source);
    let made = app.fleet.send(RevertPullRequest { source, number, by }).await??;
    Ok(HttpResponse::Ok().json(json!({
        "number": made.number, "url": made.url,
        "next": AFTER_REVERT,
    })))
}

async fn github_hook(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Bytes,
) -> Result<HttpResponse, ApiError> {
    let sent = header(&request, "x-hub-signature-256");
    hook(&app, sent.and_then(|text| text.strip_prefix("sha256=")), &body).await
}

async fn gitea_hook(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Bytes,
) -> Result<HttpResponse, ApiError> {
    hook(&app, header(&request, "x-gitea-signature"), &body).await
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// Somebody pushed: the remotes are read now. What the body says is not believed.
async fn hook(app: &App, signature: Option<&str>, body: &[u8]) -> Result<HttpResponse, ApiError> {
    let Some(secret) = &app.config.hook_secret else {
        let text = "Webhooks are off: set NIXFLEET_HOOK_SECRET.";
        return Err(ApiError::new(RefusalCode::NotFound, text, 404));
    };
    let refused =
        || ApiError::new(RefusalCode::Unauthorized, "The signature is missing or wrong.", 401);
    let signature = signature.and_then(unhex).ok_or_else(refused)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(|_| refused())?;
    mac.update(body);
    mac.verify_slice(&signature).map_err(|_| refused())?;
    app.fleet.do_send(RefreshDesired(None));
    Ok(HttpResponse::NoContent().finish())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    if whole { digits.chunks(2).map(pair).collect() } else { None }
}
