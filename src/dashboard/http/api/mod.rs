//! The JSON API: a skin of `actions`, and what can be read.

mod commands;
mod hosts;
mod object;
mod remotes;
mod rollouts;

pub(crate) use hosts::list_text as host_list;

use super::actions;
use super::error::{ApiError, HttpError};
use super::exposition;
use super::extract::{Body, By, Changer, Query, Reader, Visitor, host_id};
use crate::dashboard::store::{self, events::EventFilter};
use crate::domain::refusal::RefusalCode;
use crate::protocol;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

/// Bodies may have so many bytes.
const MAX_BODY: usize = 64 * 1024;

type Answer = Result<HttpResponse, ApiError>;

/// Mounts the API, `/health` and `/metrics`.
pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/health", web::get().to(health))
        .route("/metrics", web::get().to(metrics_text))
        .service(
            web::scope("/api")
                .app_data(web::PayloadConfig::new(MAX_BODY))
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

async fn no_such_call() -> Answer {
    Err(HttpError::not_found().into())
}

async fn health(visitor: Visitor) -> HttpResponse {
    match visitor.health().await {
        Ok(()) => {
            HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        }
        Err(error) => {
            log::error!("not healthy: {error}");
            let reason = "The database cannot be written. The dashboard's log says why.";
            let told = json!({ "status": "error", "reason": reason });
            HttpResponse::ServiceUnavailable().json(told)
        }
    }
}

async fn metrics_text(By(reader, ()): By<Reader>) -> Answer {
    let view = reader.fleet_view().await?;
    let text = exposition::text(&view).map_err(|why| {
        log::error!("the metrics were not written: {why}");
        HttpError::new(RefusalCode::Unavailable, "The metrics cannot be written.")
    });
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text?))
}

async fn version(By(_, ()): By<Reader>) -> Answer {
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

async fn events(By(reader, Query(query)): By<Reader, Query<EventsQuery>>) -> Answer {
    let filter = EventFilter {
        host: query.host.as_deref().map(host_id).transpose()?,
        category: query.category,
        before: query.before,
        from: None,
        to: None,
        limit: query.limit.unwrap_or(100).min(1000),
    };
    let events = reader.stored(move |conn| store::events::list(conn, &filter)).await?;
    let list: Vec<_> = events.iter().map(object::event).collect();
    Ok(HttpResponse::Ok().json(list))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
}

async fn new_token(By(changer, Body(asked)): By<Changer, Body<NewToken>>) -> Answer {
    let (name, token) = actions::new_api_token(&changer, &asked.name).await?;
    Ok(HttpResponse::Created().json(json!({ "name": name, "token": token })))
}

#[cfg(test)]
mod tests;
