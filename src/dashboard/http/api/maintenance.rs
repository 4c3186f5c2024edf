//! Calls about the freeze of the fleet, and the windows of hosts.

use super::{Answer, object};
use crate::dashboard::http::actions::{self, NewFreeze, NewWindow};
use crate::dashboard::http::extract::{Admin, Body, By, Changer, Reader, WhatPath};
use actix_web::{HttpResponse, web};

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/freeze", web::get().to(frozen))
        .route("/freeze", web::put().to(freeze))
        .route("/freeze", web::delete().to(thaw))
        .route("/windows", web::get().to(windows))
        .route("/windows", web::post().to(add))
        .route("/windows/{what}", web::delete().to(remove));
}

async fn frozen(By(reader, ()): By<Reader>) -> Answer {
    let view = reader.fleet_view().await?;
    Ok(HttpResponse::Ok().json(view.maintenance.freeze.as_ref().map(object::freeze)))
}

async fn freeze(By(changer, Body(asked)): By<Changer, Body<NewFreeze>>) -> Answer {
    Ok(HttpResponse::Ok().json(object::freeze(&actions::freeze(&changer, asked).await?)))
}

async fn thaw(By(changer, ()): By<Changer>) -> Answer {
    actions::thaw(&changer).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn windows(By(reader, ()): By<Reader>) -> Answer {
    let view = reader.fleet_view().await?;
    let all: Vec<_> = view.maintenance.windows.iter().map(object::window).collect();
    Ok(HttpResponse::Ok().json(all))
}

async fn add(By(admin, Body(asked)): By<Admin, Body<NewWindow>>) -> Answer {
    Ok(HttpResponse::Created().json(object::window(&actions::add_window(&admin, asked).await?)))
}

async fn remove(By(admin, WhatPath(id)): By<Admin, WhatPath>) -> Answer {
    actions::remove_window(&admin, &id).await?;
    Ok(HttpResponse::NoContent().finish())
}
