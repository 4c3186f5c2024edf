//! What the buttons do where the script does not run: the same as the API, and back.

use super::{Page, done, go, wants_fragment};
use crate::dashboard::http::actions::{
    self, AFTER_MERGE, AFTER_REVERT, Asked, CommandChange, Merge, Order, SettingsForm,
};
use crate::dashboard::http::extract::{
    CommandPath, HostPath, NoFields, PullRequestPath, Query, Submitted, WhatPath,
};
use crate::domain::operation::Args;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts/{id}/commands", web::post().to(command))
        .route("/hosts/{id}/refresh", web::post().to(refresh_host))
        .route("/hosts/{id}/settings", web::post().to(settings))
        .route("/hosts/{id}/remove", web::post().to(remove))
        .route("/commands/{id}/{what}", web::post().to(change_command))
        .route("/desired/refresh", web::post().to(refresh))
        .route("/pull-requests/{number}/merge", web::post().to(merge))
        .route("/pull-requests/{number}/revert", web::post().to(revert));
}

#[derive(Deserialize)]
struct CommandForm {
    op: String,
    #[serde(rename = "args.generation")]
    generation: Option<u64>,
    #[serde(rename = "args.reason")]
    reason: Option<String>,
    #[serde(rename = "args.confirmed")]
    confirmed: Option<bool>,
    totp: Option<String>,
}

#[derive(Deserialize)]
struct QueueQuery {
    #[serde(default)]
    queue: bool,
}

async fn command(
    request: HttpRequest,
    Submitted(acting, form, (HostPath(host), Query(query))): Submitted<
        CommandForm,
        (HostPath, Query<QueueQuery>),
    >,
) -> Page {
    let reason = form.reason.filter(|reason| !reason.trim().is_empty());
    let args =
        Args { generation: form.generation, reason, confirmed: form.confirmed, ..Args::default() };
    let asked = Asked { op: &form.op, args, queue: query.queue, totp: form.totp.as_deref() };
    let order = Order::check(&acting, asked).await?;
    actions::run(&acting, host, &order).await?;
    Ok(done(&request, ""))
}

async fn refresh_host(
    request: HttpRequest,
    Submitted(acting, _, HostPath(host)): Submitted<NoFields, HostPath>,
) -> Page {
    actions::refresh_host(&acting, host).await?;
    Ok(done(&request, ""))
}

async fn settings(
    request: HttpRequest,
    Submitted(acting, form, HostPath(host)): Submitted<SettingsForm, HostPath>,
) -> Page {
    actions::configure_host(&acting, host.clone(), form.read()?).await?;
    if wants_fragment(&request) {
        return Ok(done(&request, ""));
    }
    Ok(go(&format!("/hosts/{host}")))
}

async fn remove(
    request: HttpRequest,
    Submitted(acting, _, HostPath(host)): Submitted<NoFields, HostPath>,
) -> Page {
    actions::remove_host(&acting, host).await?;
    Ok(done(&request, ""))
}

async fn change_command(
    request: HttpRequest,
    Submitted(acting, _, (CommandPath(id), WhatPath(what))): Submitted<
        NoFields,
        (CommandPath, WhatPath),
    >,
) -> Page {
    actions::change_command(&acting, id, CommandChange::parse(&what)?).await?;
    Ok(done(&request, ""))
}

#[derive(Deserialize)]
struct BackQuery {
    back: Option<String>,
}

async fn refresh(
    request: HttpRequest,
    Submitted(acting, _, Query(query)): Submitted<NoFields, Query<BackQuery>>,
) -> Page {
    actions::refresh_all(&acting).await?;
    if wants_fragment(&request) {
        return Ok(done(&request, ""));
    }
    // Only to a page of ours.
    match query.back.as_deref() {
        Some("/settings") => Ok(go("/settings")),
        Some(_) | None => Ok(go("/")),
    }
}

#[derive(Deserialize)]
struct MergeQuery {
    source: Option<String>,
    head: Option<String>,
}

async fn merge(
    request: HttpRequest,
    Submitted(acting, _, (PullRequestPath(number), Query(query))): Submitted<
        NoFields,
        (PullRequestPath, Query<MergeQuery>),
    >,
) -> Page {
    let MergeQuery { source, head } = query;
    actions::merge(&acting, Merge { source, number, head }).await?;
    Ok(done(&request, AFTER_MERGE))
}

#[derive(Deserialize)]
struct RevertQuery {
    source: Option<String>,
}

async fn revert(
    request: HttpRequest,
    Submitted(acting, _, (PullRequestPath(number), Query(query))): Submitted<
        NoFields,
        (PullRequestPath, Query<RevertQuery>),
    >,
) -> Page {
    let made = actions::revert(&acting, query.source, number).await?;
    let text = format!("Pull request #{} takes it back. {AFTER_REVERT}", made.number);
    Ok(done(&request, &text))
}
