//! The audit log.

use super::{Page, show};
use crate::dashboard::http::actions::Wanted;
use crate::dashboard::http::extract::{By, Query, User};
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::events::{self, Filter};
use actix_web::http::StatusCode;
use actix_web::web;

/// So many entries are on a page.
const ENTRIES: u32 = 100;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.route("/events", web::get().to(page));
}

async fn page(By(user, Query(wanted)): By<User, Query<Wanted>>) -> Page {
    let filter = wanted.read(ENTRIES)?;
    let read = user.stored(move |conn| {
        let mut all = store::events::list(conn, &filter)?;
        for event in &mut all {
            event.command = match event.command {
                // A command that retention removed has no log either.
                Some(id) => store::commands::get(conn, id)?.map(|command| command.id),
                None => store::events::command_of(conn, event)?,
            };
        }
        Ok::<_, StoreError>((all, store::events::categories(conn)?))
    });
    let (entries, categories) = read.await?;
    let Wanted { host, category, q, outcome, from, to, .. } = wanted;
    let pairs = |last: &'static str, value: &str| {
        let pairs = [
            ("host", host.trim()),
            ("category", category.trim()),
            ("q", &q),
            ("outcome", &outcome),
            ("from", &from),
            ("to", &to),
            (last, value),
        ];
        crate::dashboard::views::query(&pairs)
    };
    let last = entries.last().filter(|_| entries.len() >= ENTRIES as usize);
    let older = last.map(|last| format!("/events?{}", pairs("before", &last.id.to_string())));
    let export = ["jsonl", "csv"].map(|format| format!("/api/events?{}", pairs("format", format)));
    let (host, category) = (host.trim().to_owned(), category.trim().to_owned());
    let (from, to, failed) = (from.clone(), to.clone(), !outcome.is_empty());
    let filter = Filter { host, words: q.clone(), category, failed, from, to, export };
    let page = events::page(&entries, &filter, &categories, older.as_deref(), &user.csrf);
    Ok(show(StatusCode::OK, page))
}
