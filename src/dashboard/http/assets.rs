//! What is compiled into the binary.

use crate::dashboard::assets;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};

/// `GET /assets/{name}`
pub(crate) async fn serve(name: web::Path<String>) -> HttpResponse {
    match assets::served(&format!("/assets/{name}")) {
        Some((kind, bytes)) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, kind))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(web::Bytes::from_static(bytes)),
        None => HttpResponse::NotFound().body("no such asset\n"),
    }
}
