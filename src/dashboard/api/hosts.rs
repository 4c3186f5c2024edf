//! Calls about hosts.

use super::{ApiError, changer, host_id, object, reader};
use crate::dashboard::App;
use crate::dashboard::messages::{
    AddHost, AskHost, HostEntry, ReadFleet, ReadHost, RefreshDesired, RemoveHost, RequestError,
};
use crate::dashboard::store;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::timestamp::Timestamp;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts", web::get().to(list))
        .route("/hosts", web::post().to(add))
        .route("/hosts/{id}", web::get().to(get))
        .route("/hosts/{id}", web::delete().to(remove))
        .route("/hosts/{id}/refresh", web::post().to(refresh))
        .route("/hosts/{id}/commands", web::get().to(commands))
        .route("/hosts/{id}/tests", web::get().to(tests));
}

async fn entry(app: &App, id: &HostId) -> Result<HostEntry, ApiError> {
    let entry = app.broadcaster.send(ReadHost(id.clone())).await?;
    Ok(entry.ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?)
}

async fn list(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let view = app.broadcaster.send(ReadFleet).await?;
    let hosts: Vec<_> = view.hosts.values().map(object::host).collect();
    Ok(HttpResponse::Ok().json(hosts))
}

async fn get(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let entry = entry(&app, &host_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(object::host(&entry)))
}

#[derive(Deserialize)]
struct NewHost {
    hostname: String,
}

async fn add(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Json<NewHost>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.name();
    let added = app.fleet.send(AddHost { hostname: body.into_inner().hostname, by }).await??;
    Ok(HttpResponse::Created().json(json!({ "host_id": added.id, "token": added.token })))
}

async fn remove(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.name();
    let host = host_id(&id)?;
    let busy = entry(&app, &host).await?.snapshot.command.clone();
    if let Some(command) = busy {
        let message = format!("{host} is busy with {}: stop it first.", command.op);
        return Err(ApiError::new("host_busy", message, 409));
    }
    app.fleet.send(RemoveHost { host, by }).await??;
    Ok(HttpResponse::NoContent().finish())
}

async fn refresh(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    changer(&app, &request).await?;
    let id = host_id(&id)?;
    entry(&app, &id).await?;
    app.fleet.send(RefreshDesired(Some(id.clone()))).await??;
    app.fleet.send(AskHost(id.clone())).await??;
    Ok(HttpResponse::Ok().json(object::host(&entry(&app, &id).await?)))
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u32>,
    before: Option<String>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(50).min(500)
    }
}

async fn commands(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    page: web::Query<Page>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let (id, limit) = (host_id(&id)?, page.limit());
    entry(&app, &id).await?;
    let parse = |text: &String| {
        CommandId::parse(text).ok_or_else(|| ApiError::bad("before", "expected a command's id"))
    };
    let before = page.before.as_ref().map(parse).transpose()?;
    let read = app.store.read(move |conn| store::commands::history(conn, &id, limit, before));
    let list: Vec<_> = read.await?.iter().map(object::command).collect();
    Ok(HttpResponse::Ok().json(list))
}

async fn tests(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    page: web::Query<Page>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let (id, limit) = (host_id(&id)?, page.limit());
    entry(&app, &id).await?;
    let parse = |text: &String| {
        Timestamp::parse(text).ok_or_else(|| ApiError::bad("before", "expected an RFC 3339 time"))
    };
    let before = page.before.as_ref().map(parse).transpose()?;
    let read = app.store.read(move |conn| store::test_results::runs(conn, &id, limit, before));
    let list: Vec<_> = read.await?.iter().map(object::test_run).collect();
    Ok(HttpResponse::Ok().json(list))
}
