//! Finding a host, or something to do.

use super::{Page, show};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, Query, User};
use crate::dashboard::views::find;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

/// So many characters may be searched for.
const LONGEST: usize = 200;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.route("/find", web::get().to(page));
}

#[derive(Deserialize)]
struct FindQuery {
    #[serde(default)]
    q: String,
}

async fn page(request: HttpRequest, By(user, Query(query)): By<User, Query<FindQuery>>) -> Page {
    if query.q.chars().count() > LONGEST {
        let expected = format!("expected at most {LONGEST} characters");
        return Err(HttpError::bad("q", expected).into());
    }
    let view = user.fleet_view().await?;
    let page = if super::wants_fragment(&request) {
        find::found(&view, &query.q)
    } else {
        find::page(&view, &query.q, &user.csrf)
    };
    Ok(show(StatusCode::OK, page))
}
