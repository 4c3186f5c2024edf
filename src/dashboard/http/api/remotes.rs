//! Calls about the remotes: desired state and pull requests.

use super::{Answer, object};
use crate::dashboard::http::actions::{self, AFTER_MERGE, AFTER_REVERT, Merge};
use crate::dashboard::http::extract::{Body, By, Changer, PullRequestPath, Reader};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/desired", web::get().to(desired))
        .route("/desired/refresh", web::post().to(refresh))
        .route("/pull-requests", web::get().to(pull_requests))
        .route("/pull-requests/{number}/merge", web::post().to(merge))
        .route("/pull-requests/{number}/revert", web::post().to(revert));
}

async fn desired(By(reader, ()): By<Reader>) -> Answer {
    let view = reader.fleet_view().await?;
    Ok(HttpResponse::Ok().json(object::desired(&view.remotes)))
}

async fn refresh(By(changer, ()): By<Changer>) -> Answer {
    let remotes = actions::refresh_all(&changer).await?;
    Ok(HttpResponse::Ok().json(object::desired(&remotes)))
}

async fn pull_requests(By(reader, ()): By<Reader>) -> Answer {
    let view = reader.fleet_view().await?;
    Ok(HttpResponse::Ok().json(object::pull_requests(&view.remotes)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MergeBody {
    source: Option<String>,
    head: Option<String>,
}

async fn merge(
    By(changer, (PullRequestPath(number), Body(asked))): By<
        Changer,
        (PullRequestPath, Body<MergeBody>),
    >,
) -> Answer {
    let MergeBody { source, head } = asked;
    actions::merge(&changer, Merge { source, number, head }).await?;
    Ok(HttpResponse::Ok().json(json!({ "merged": number, "next": AFTER_MERGE })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevertBody {
    source: Option<String>,
}

async fn revert(
    By(changer, (PullRequestPath(number), Body(asked))): By<
        Changer,
        (PullRequestPath, Body<RevertBody>),
    >,
) -> Answer {
    let made = actions::revert(&changer, asked.source, number).await?;
    let told = json!({ "number": made.number, "url": made.url, "next": AFTER_REVERT });
    Ok(HttpResponse::Ok().json(told))
}
