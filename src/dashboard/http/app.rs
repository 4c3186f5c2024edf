//! Which rooms answer which addresses.

use super::error::HttpError;
use super::{agent_socket, api, assets, browser_socket, hooks, pages};
use crate::dashboard::config::DashboardConfig;
use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, web};

/// Mounts everything that is served.
pub(crate) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/ws", web::get().to(agent_socket::connect))
        .route("/live", web::get().to(browser_socket::connect))
        .route("/assets/{name}", web::get().to(assets::serve))
        .configure(api::configure)
        .configure(hooks::configure)
        .configure(pages::configure)
        .default_service(web::to(nowhere));
}

/// What has no handler, in the skin that its address asks for.
async fn nowhere(request: HttpRequest) -> actix_web::Result<HttpResponse> {
    Err(HttpError::not_found().for_request(&request))
}

/// Security headers of every answer. With an https address browsers shall use no other one.
pub(crate) fn headers(config: &DashboardConfig) -> DefaultHeaders {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                  connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let mut headers = DefaultHeaders::new();
    if config.base_url.as_ref().is_some_and(|url| url.starts_with("https://")) {
        headers = headers.add((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
    }
    headers
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}
