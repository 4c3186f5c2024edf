//! Calls about tags: words by which hosts are found and chosen.

use super::{Answer, object};
use crate::dashboard::http::actions;
use crate::dashboard::http::extract::{Admin, Body, By, NamePath, Reader};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/tags", web::get().to(list))
        .route("/tags", web::post().to(add))
        .route("/tags/{name}", web::delete().to(remove));
}

async fn list(By(reader, ()): By<Reader>) -> Answer {
    Ok(HttpResponse::Ok().json(object::tags(&*reader.fleet_view().await?)))
}

/// A tag, and the hosts that shall have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTag {
    tag: String,
    hosts: Vec<String>,
}

async fn add(By(admin, Body(asked)): By<Admin, Body<NewTag>>) -> Answer {
    let NewTag { tag, hosts } = asked;
    actions::add_tag(&admin, &tag, &hosts).await?;
    Ok(HttpResponse::Ok().json(object::tags(&*admin.fleet_view().await?)))
}

async fn remove(By(admin, NamePath(name)): By<Admin, NamePath>) -> Answer {
    actions::remove_tag(&admin, &name).await?;
    Ok(HttpResponse::NoContent().finish())
}
