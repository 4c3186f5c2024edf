//! The JSON API: parse, ask an actor, answer.

mod commands;
mod error;
mod hosts;
mod object;
mod remotes;
mod rollouts;

pub use error::{ApiError, status_of, unknown_operation};
pub use hosts::{change_of_form, check_idle};
pub use remotes::{AFTER_MERGE, AFTER_REVERT, configure_hooks, refresh_all};
pub use rollouts::steps_of;

use crate::dashboard::auth::{Auth, Caller};
use crate::dashboard::http::App;
use crate::dashboard::http::cookies;
use crate::dashboard::http::exposition;
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store;
use crate::domain::ids::HostId;
use crate::domain::refusal::RefusalCode;
use crate::protocol;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

/// Bodies may have so many bytes.
const MAX_BODY: usize = 64 * 1024;

/// Mounts the API and `/health`.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/health", web::get().to(health))
        .route("/metrics", web::get().to(metrics_text))
        .service(
            web::scope("/api")
                .app_data(web::PayloadConfig::new(MAX_BODY))
                .app_data(
                    web::JsonConfig::default()
                        .limit(MAX_BODY)
                        .content_type_required(false)
                        .error_handler(|error, _| error::bad_json(&error).into()),
                )
                .app_data(
                    web::QueryConfig::default()
                        .error_handler(|error, _| ApiError::bad("query", error.to_string()).into()),
                )
                .configure(hosts::configure)
                .configure(commands::configure)
                .configure(remotes::configure)
                .configure(rollouts::configure)
                .route("/events", web::get().to(events))
                .route("/tokens", web::post().to(new_token))
                .route("/version", web::get().to(version))
                .default_service(web::to(no_such_call)),
        );
}

async fn no_such_call() -> ApiError {
    ApiError::new(RefusalCode::NotFound, "There is no such call.", 404)
}

/// Who asks; any caller may read.
async fn reader(app: &App, request: &HttpRequest) -> Result<Caller, ApiError> {
    cookies::caller(app, request).await?.ok_or_else(ApiError::log_in)
}

/// Who asks for a change: a browser must send the page's token along.
async fn changer(app: &App, request: &HttpRequest) -> Result<Caller, ApiError> {
    let caller = reader(app, request).await?;
    let sent = request.headers().get("x-csrf-token").and_then(|v| v.to_str().ok());
    if Auth::may_change(&caller, sent) {
        return Ok(caller);
    }
    let text = "Send the token of the page's csrf-token meta element as X-CSRF-Token.";
    Err(ApiError::new(RefusalCode::Csrf, text, 403))
}

fn host_id(text: &str) -> Result<HostId, ApiError> {
    HostId::parse(text).map_err(|_| RequestError::NoSuchHost(text.to_owned()).into())
}

async fn health(app: web::Data<App>) -> HttpResponse {
    let now = app.clock.now().to_string();
    let written = app.store.write(move |conn| store::settings::set(conn, "health", &now)).await;
    match written {
        Ok(()) => {
            HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        }
        Err(error) => HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "error", "reason": error.to_string() })),
    }
}

async fn metrics_text(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let view = app.broadcaster.send(ReadFleet).await?;
    let text =
        exposition::text(&view).map_err(|why| ApiError::new(RefusalCode::Unavailable, why, 503))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

async fn version(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    Ok(HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": protocol::VERSION,
        "commit": option_env!("NIXFLEET_COMMIT"),
    })))
}

#[derive(Deserialize)]
struct EventsQuery {
    host: Option<String>,
    category: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

async fn events(
    request: HttpRequest,
    app: web::Data<App>,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let query = query.into_inner();
    let filter = store::events::EventFilter {
        host: query.host.as_deref().map(host_id).transpose()?,
        category: query.category,
        before: query.before,
        from: None,
        to: None,
        limit: query.limit.unwrap_or(100).min(1000),
    };
    let events = app.store.read(move |conn| store::events::list(conn, &filter)).await?;
    let list: Vec<_> = events
        .into_iter()
        .map(|event| {
            json!({
                "id": event.id, "at": event.at, "host_id": event.host,
                "category": event.category, "message": event.message, "by": event.by,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(list))
}

#[derive(Deserialize)]
struct NewToken {
    name: String,
}

async fn new_token(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Json<NewToken>,
) -> Result<HttpResponse, ApiError> {
    if let Caller::ApiToken { .. } = changer(&app, &request).await? {
        return Err(ApiError::new(
            RefusalCode::Forbidden,
            "A token cannot make tokens: log in.",
            403,
        ));
    }
    let made = app.auth.new_api_token(&body.name).await;
    let (name, token) =
        made.map_err(|error| ApiError::new(RefusalCode::BadInput, error.to_string(), 400))?;
    Ok(HttpResponse::Created().json(json!({ "name": name, "token": token })))
}
