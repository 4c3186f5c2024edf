//! Calls about rollouts.

use super::{Answer, object};
use crate::dashboard::http::actions::{self, ChangeBody, NewRollout};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{Body, By, Changer, Reader, RolloutPath, WhatPath};
use crate::dashboard::store;
use actix_web::{HttpResponse, web};

/// So many rollouts are listed.
const LISTED: u32 = 50;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/rollouts", web::get().to(list))
        .route("/rollouts", web::post().to(start))
        .route("/rollouts/{id}", web::get().to(get))
        .route("/rollouts/{id}/plans", web::get().to(plans))
        .route("/rollouts/{id}/{what}", web::post().to(change));
}

async fn start(By(changer, Body(asked)): By<Changer, Body<NewRollout>>) -> Answer {
    let rollout = actions::start_rollout(&changer, asked).await?;
    Ok(HttpResponse::Accepted().json(object::rollout(&rollout)))
}

async fn list(By(reader, ()): By<Reader>) -> Answer {
    let list = reader.stored(|conn| store::rollouts::list(conn, LISTED)).await?;
    Ok(HttpResponse::Ok().json(list.iter().map(object::rollout).collect::<Vec<_>>()))
}

async fn get(By(reader, RolloutPath(id)): By<Reader, RolloutPath>) -> Answer {
    let found = reader.stored(move |conn| store::rollouts::get(conn, id)).await?;
    let rollout = found.ok_or_else(|| HttpError::no_such_rollout(&id.to_string()))?;
    Ok(HttpResponse::Ok().json(object::rollout(&rollout)))
}

async fn plans(By(reader, RolloutPath(id)): By<Reader, RolloutPath>) -> Answer {
    let groups = actions::plans_of(&reader, id).await?;
    Ok(HttpResponse::Ok().json(groups.iter().map(object::plan).collect::<Vec<_>>()))
}

async fn change(
    By(changer, (RolloutPath(id), WhatPath(what), Body(body))): By<
        Changer,
        (RolloutPath, WhatPath, Body<ChangeBody>),
    >,
) -> Answer {
    let rollout = if what == "retry" {
        actions::retry_rollout(&changer, id, body).await?
    } else {
        actions::change_rollout(&changer, id, &what, body).await?
    };
    Ok(HttpResponse::Accepted().json(object::rollout(&rollout)))
}
