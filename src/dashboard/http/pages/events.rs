//! The audit log.

use super::{Page, show};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, Query, User, host_id};
use crate::dashboard::store;
use crate::dashboard::views::events::{self, Filter};
use crate::domain::timestamp::Timestamp;
use actix_web::http::StatusCode;
use actix_web::web;
use serde::Deserialize;
use std::time::Duration;

/// So many entries are on a page.
const ENTRIES: u32 = 100;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.route("/events", web::get().to(page));
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    host: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    before: Option<i64>,
}

/// Midnight UTC of a day; `None` for an empty field.
fn day(field: &str, text: &str) -> Result<Option<Timestamp>, HttpError> {
    if text.is_empty() {
        return Ok(None);
    }
    let midnight = Timestamp::parse(&format!("{text}T00:00:00Z"));
    let midnight = midnight.ok_or_else(|| HttpError::bad(field, "a day such as 2026-01-18"))?;
    Ok(Some(midnight))
}

async fn page(By(user, Query(query)): By<User, Query<EventsQuery>>) -> Page {
    let EventsQuery { host, category, from, to, before } = query;
    let (host, category) = (host.trim().to_owned(), category.trim().to_owned());
    let filter = store::events::EventFilter {
        host: if host.is_empty() { None } else { Some(host_id(&host)?) },
        category: Some(category.clone()).filter(|category| !category.is_empty()),
        from: day("from", &from)?,
        to: day("to", &to)?.map(|day| day + Duration::from_secs(24 * 3600)),
        before,
        limit: ENTRIES,
    };
    let read = user.stored(move |conn| {
        Ok((store::events::list(conn, &filter)?, store::events::categories(conn)?))
    });
    let (entries, categories) = read.await?;
    let last = entries.last().filter(|_| entries.len() >= ENTRIES as usize);
    let older = last.map(|last| {
        let before = last.id.to_string();
        let pairs = [
            ("host", host.as_str()),
            ("category", &category),
            ("from", &from),
            ("to", &to),
            ("before", &before),
        ];
        format!("/events?{}", crate::dashboard::views::query(&pairs))
    });
    let filter = Filter { host, category, from, to };
    let page = events::page(&entries, &filter, &categories, older.as_deref(), &user.csrf);
    Ok(show(StatusCode::OK, page))
}
