//! The page about what rollouts go by: the freeze, windows, tags.

use super::{Page, go, show};
use crate::dashboard::http::actions::{self, NewFreeze, NewWindow};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{
    Acting, By, NamePath, NoFields, Reader, Submitted, User, WhatPath,
};
use crate::dashboard::views::maintenance::{self, Said};
use actix_web::http::StatusCode;
use actix_web::web;
use serde::Deserialize;

const HOME: &str = "/settings/maintenance";

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/settings/maintenance", web::get().to(page))
        .route("/settings/maintenance/freeze", web::post().to(freeze))
        .route("/settings/maintenance/thaw", web::post().to(thaw))
        .route("/settings/maintenance/windows", web::post().to(add_window))
        .route("/settings/maintenance/windows/{what}/remove", web::post().to(remove_window))
        .route("/settings/maintenance/tags", web::post().to(add_tag))
        .route("/settings/maintenance/tags/{name}/remove", web::post().to(remove_tag));
}

async fn page(By(user, ()): By<User>) -> Page {
    shown(&user, &user.csrf, StatusCode::OK, None).await
}

async fn shown(reader: &Reader, csrf: &str, status: StatusCode, said: Option<Said>) -> Page {
    let view = reader.fleet_view().await?;
    Ok(show(status, maintenance::page(&view, said.as_ref(), csrf)))
}

/// The page again, or why it was not done.
async fn told(acting: &Acting, done: Result<(), HttpError>) -> Page {
    let Err(error) = done else {
        return Ok(go(HOME));
    };
    let status = match error.status() {
        StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        other => other,
    };
    let said = Said { text: error.to_string(), failed: true };
    shown(acting, &acting.csrf, status, Some(said)).await
}

#[derive(Deserialize)]
struct FreezeForm {
    reason: String,
    /// As a browser writes a time without a zone: `2026-12-31T18:00`.
    until: String,
}

async fn freeze(Submitted(acting, form, ()): Submitted<FreezeForm>) -> Page {
    let FreezeForm { reason, until } = form;
    // It is said to be UTC. Seconds are written only where there are some.
    let seconds = if until.len() == "2026-12-31T18:00".len() { ":00" } else { "" };
    let asked = NewFreeze { reason, until: format!("{until}{seconds}Z") };
    let done = actions::freeze(&acting, asked).await;
    told(&acting, done.map(|_| ())).await
}

async fn thaw(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    let done = actions::thaw(&acting).await;
    told(&acting, done).await
}

/// A form whose fields may come more than once.
#[derive(Deserialize)]
#[serde(transparent)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        let found = self.0.iter().filter(move |(known, _)| known == name);
        found.map(|(_, value)| value.trim().to_owned())
    }

    fn one(&self, name: &str) -> Option<String> {
        self.all(name).find(|value| !value.is_empty())
    }
}

async fn add_window(Submitted(acting, form, ()): Submitted<Fields>) -> Page {
    let asked = NewWindow {
        tag: form.one("tag"),
        days: form.all("days").collect(),
        from: form.one("from").unwrap_or_default(),
        to: form.one("to").unwrap_or_default(),
        time_zone: form.one("time_zone"),
    };
    let done = actions::add_window(&acting, asked).await;
    told(&acting, done.map(|_| ())).await
}

async fn remove_window(Submitted(acting, _, WhatPath(id)): Submitted<NoFields, WhatPath>) -> Page {
    let done = actions::remove_window(&acting, &id).await;
    told(&acting, done).await
}

#[derive(Deserialize)]
struct TagForm {
    tag: String,
    hosts: String,
}

async fn add_tag(Submitted(acting, form, ()): Submitted<TagForm>) -> Page {
    let hosts: Vec<String> = words(&form.hosts);
    let done = actions::add_tag(&acting, form.tag.trim(), &hosts).await;
    told(&acting, done).await
}

/// Words with spaces or commas between them.
fn words(text: &str) -> Vec<String> {
    let between = |c: char| c.is_whitespace() || c == ',';
    text.split(between).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

async fn remove_tag(Submitted(acting, _, NamePath(name)): Submitted<NoFields, NamePath>) -> Page {
    let done = actions::remove_tag(&acting, &name).await;
    told(&acting, done).await
}
