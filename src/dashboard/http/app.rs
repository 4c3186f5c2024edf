//! Which rooms answer which addresses.

use super::{agent_socket, api, assets, browser_socket, hooks, pages};
use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::web;

/// Mounts everything that is served.
pub(crate) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/ws", web::get().to(agent_socket::connect))
        .route("/live", web::get().to(browser_socket::connect))
        .route("/assets/{name}", web::get().to(assets::serve))
        .configure(api::configure)
        .configure(hooks::configure)
        .configure(pages::configure);
}

/// Security headers of every answer.
pub(crate) fn headers() -> DefaultHeaders {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                  connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}
