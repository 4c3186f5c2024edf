//! Webhooks: they have a signature instead of a login.

use super::extract::Pushed;
use actix_web::{HttpResponse, web};

/// Mounts the webhooks.
pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.service(
        web::scope("/hooks")
            .route("/github", web::post().to(pushed))
            .route("/gitea", web::post().to(pushed)),
    );
}

async fn pushed(push: Pushed) -> HttpResponse {
    push.read_remotes();
    HttpResponse::NoContent().finish()
}
