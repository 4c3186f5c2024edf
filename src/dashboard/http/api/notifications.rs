//! Calls about notifications.

use super::{Answer, object};
use crate::dashboard::http::actions;
use crate::dashboard::http::extract::{Admin, Body, By, NamePath, Reader};
use crate::dashboard::notify::{NewChannel, NewSettings};
use actix_web::{HttpResponse, web};

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/notifications", web::get().to(all))
        .route("/notifications/settings", web::put().to(settings))
        .route("/notifications/channels/{name}", web::put().to(put))
        .route("/notifications/channels/{name}", web::delete().to(remove))
        .route("/notifications/channels/{name}/test", web::post().to(test));
}

async fn all(By(reader, ()): By<Reader>) -> Answer {
    Ok(HttpResponse::Ok().json(object::notifications(&*reader.notifications().await?)))
}

async fn settings(By(admin, Body(wanted)): By<Admin, Body<NewSettings>>) -> Answer {
    actions::notification_settings(&admin, wanted).await?;
    Ok(HttpResponse::Ok().json(object::notifications(&*admin.notifications().await?)))
}

async fn put(
    By(admin, (NamePath(name), Body(wanted))): By<Admin, (NamePath, Body<NewChannel>)>,
) -> Answer {
    actions::put_channel(&admin, &name, wanted).await?;
    Ok(HttpResponse::Ok().json(object::notifications(&*admin.notifications().await?)))
}

async fn remove(By(admin, NamePath(name)): By<Admin, NamePath>) -> Answer {
    actions::remove_channel(&admin, &name).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn test(By(admin, NamePath(name)): By<Admin, NamePath>) -> Answer {
    actions::test_channel(&admin, &name).await?;
    Ok(HttpResponse::NoContent().finish())
}
