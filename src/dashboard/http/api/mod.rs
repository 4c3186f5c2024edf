//! The JSON API: a skin of `actions`, and what can be read.

mod access;
mod audit;
mod commands;
mod hosts;
mod maintenance;
mod notifications;
mod object;
mod remotes;
mod rollouts;
mod tags;

pub(crate) use hosts::list_text as host_list;

use super::error::{ApiError, HttpError};
use super::exposition;
use super::extract::{By, Reader, Visitor, try_both};
use crate::domain::refusal::RefusalCode;
use crate::protocol;
use actix_web::{HttpResponse, web};
use serde_json::json;

type Answer = Result<HttpResponse, ApiError>;

/// Mounts the API, `/health` and `/metrics`.
pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/health", web::get().to(health))
        .route("/metrics", web::get().to(metrics_text))
        .service(
            web::scope("/api")
                .configure(access::configure)
                .configure(audit::configure)
                .configure(hosts::configure)
                .configure(commands::configure)
                .configure(maintenance::configure)
                .configure(notifications::configure)
                .configure(remotes::configure)
                .configure(rollouts::configure)
                .configure(tags::configure)
                .route("/version", web::get().to(version))
                .default_service(web::to(no_such_call)),
        );
}

/// For fuzzing: reads bytes as every body and every query.
pub(super) fn read_anything(bytes: &[u8]) {
    try_both::<commands::NewCommand>(bytes);
    try_both::<commands::NewCommands>(bytes);
    try_both::<remotes::MergeBody>(bytes);
    try_both::<remotes::RevertBody>(bytes);
    try_both::<access::NewToken>(bytes);
    try_both::<tags::NewTag>(bytes);
    try_both::<super::actions::Wanted>(bytes);
    try_both::<super::actions::Settings>(bytes);
    try_both::<super::actions::NewHost>(bytes);
    try_both::<super::actions::NewFreeze>(bytes);
    try_both::<super::actions::NewWindow>(bytes);
    try_both::<Vec<(String, String)>>(bytes);
}

async fn no_such_call() -> Answer {
    Err(HttpError::not_found().into())
}

async fn health(visitor: Visitor) -> HttpResponse {
    match visitor.health() {
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

#[cfg(test)]
mod tests;
