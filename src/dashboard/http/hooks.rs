//! Webhooks: they have a signature instead of a login.

use super::extract::Pushed;
use actix_web::{HttpResponse, web};

/// The largest webhook that is read, in bytes.
const MAX_HOOK: usize = 5 * 1024 * 1024;

/// Mounts the webhooks.
pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.service(
        web::scope("/hooks")
            .app_data(web::PayloadConfig::new(MAX_HOOK))
            .route("/github", web::post().to(pushed))
            .route("/gitea", web::post().to(pushed)),
    );
}

async fn pushed(push: Pushed) -> HttpResponse {
    push.read_remotes();
    HttpResponse::NoContent().finish()
}
