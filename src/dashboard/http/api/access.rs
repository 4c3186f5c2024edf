//! Calls about who may call: tokens of programs, and sessions.

use super::{Answer, object};
use crate::dashboard::http::actions;
use crate::dashboard::http::extract::{Admin, Body, By, Person, WhatPath};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/tokens", web::get().to(tokens))
        .route("/tokens", web::post().to(new_token))
        .route("/tokens/{what}", web::delete().to(remove_token))
        .route("/sessions", web::get().to(sessions))
        .route("/sessions/{what}", web::delete().to(end_session));
}

async fn tokens(By(admin, ()): By<Admin>) -> Answer {
    let list = admin.account().await?.tokens;
    Ok(HttpResponse::Ok().json(list.iter().map(object::api_token).collect::<Vec<_>>()))
}

/// A token that a program sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    scope: Option<String>,
    expires_in_days: Option<u32>,
}

async fn new_token(By(person, Body(asked)): By<Person, Body<NewToken>>) -> Answer {
    let NewToken { name, scope, expires_in_days } = asked;
    let made = actions::new_api_token(&person, &name, scope.as_deref(), expires_in_days).await?;
    let actions::MadeToken { name, token, scope, expires_at } = made;
    let told = json!({
        "name": name,
        "token": token,
        "scope": scope.name(),
        "expires_at": expires_at,
    });
    Ok(HttpResponse::Created().json(told))
}

async fn remove_token(By(admin, WhatPath(id)): By<Admin, WhatPath>) -> Answer {
    actions::remove_api_token(&admin, &id).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn sessions(By(admin, ()): By<Admin>) -> Answer {
    let list = admin.account().await?.sessions;
    Ok(HttpResponse::Ok().json(list.iter().map(object::session).collect::<Vec<_>>()))
}

async fn end_session(By(admin, WhatPath(id)): By<Admin, WhatPath>) -> Answer {
    actions::end_session(&admin, &id).await?;
    Ok(HttpResponse::NoContent().finish())
}
