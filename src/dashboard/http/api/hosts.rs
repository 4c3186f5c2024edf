//! Calls about hosts.

use super::{ApiError, changer, host_id, object, reader};
use crate::dashboard::fleet::requests::{
    AddHost, AskHost, ConfigureHost, RefreshDesired, RemoveHost,
};
use crate::dashboard::http::App;
use crate::dashboard::live::model::HostEntry;
use crate::dashboard::live::news::{ReadFleet, ReadHost};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store;
use crate::domain::generation;
use crate::domain::host::{Change, Set};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::looks::{DeviceType, Place};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::timestamp::Timestamp;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts", web::get().to(list))
        .route("/hosts", web::post().to(add))
        .route("/hosts/{id}", web::get().to(get))
        .route("/hosts/{id}", web::delete().to(remove))
        .route("/hosts/{id}", web::patch().to(configure_one))
        .route("/hosts/{id}/generations", web::get().to(generations))
        .route("/hosts/{id}/deployments", web::get().to(deployments))
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
    let by = changer(&app, &request).await?.author();
    let added = app.fleet.send(AddHost { hostname: body.into_inner().hostname, by }).await??;
    Ok(HttpResponse::Created().json(json!({ "host_id": added.id, "token": added.token })))
}

async fn remove(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let host = host_id(&id)?;
    check_idle(&entry(&app, &host).await?)?;
    app.fleet.send(RemoveHost { host, by }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// A host that runs something is not removed.
pub fn check_idle(entry: &HostEntry) -> Result<(), RequestError> {
    let Some(command) = &entry.snapshot.command else {
        return Ok(());
    };
    let message = format!("{} is busy with {}: stop it first.", command.host, command.op);
    Err(RequestError::Refused(Refusal::new(RefusalCode::HostBusy, message)))
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

/// What users change about a host. A field that is missing stays as it is; `null` gives it
/// back to the agent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    #[serde(default)]
    theme_color: Set<String>,
    #[serde(default)]
    location: Set<String>,
    #[serde(default)]
    device_type: Set<String>,
    #[serde(default)]
    tests_enabled: Set<bool>,
    #[serde(default)]
    tests_auto_run: Set<bool>,
    auto_rollback: Option<bool>,
}

impl ChangeBody {
    fn read(self) -> Result<Change, ApiError> {
        let one_of = |field: &str, known: &[&str]| {
            ApiError::bad(field, format!("expected one of {}", known.join(", ")))
        };
        let places = Place::ALL.map(Place::name);
        let devices = DeviceType::ALL.map(DeviceType::name);
        let no_colour = || ApiError::bad("theme_color", "expected a colour such as #7aa2f7");
        Ok(Change {
            location: self.location.read().map_err(|_| one_of("location", &places))?,
            device_type: self.device_type.read().map_err(|_| one_of("device_type", &devices))?,
            theme_color: self.theme_color.read().map_err(|_| no_colour())?,
            tests_enabled: self.tests_enabled,
            tests_auto_run: self.tests_auto_run,
            auto_rollback: self.auto_rollback,
        })
    }
}

/// Reads the fields of the page's form: an empty one gives the field back to the agent.
pub fn change_of_form(fields: &BTreeMap<String, String>) -> Result<Change, ApiError> {
    let value = |(name, text): (&String, &String)| {
        let value = match text.as_str() {
            "" => serde_json::Value::Null,
            "true" => true.into(),
            "false" => false.into(),
            text => text.into(),
        };
        (name.clone(), value)
    };
    let object = fields.iter().map(value).collect();
    let body: ChangeBody = serde_json::from_value(serde_json::Value::Object(object))
        .map_err(|error| ApiError::bad("settings", error))?;
    body.read()
}

async fn configure_one(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    body: web::Json<ChangeBody>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let host = host_id(&id)?;
    let change = body.into_inner().read()?;
    app.fleet.send(ConfigureHost { host: host.clone(), change, by }).await??;
    Ok(HttpResponse::Ok().json(object::host(&entry(&app, &host).await?)))
}

async fn generations(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let id = host_id(&id)?;
    let known = entry(&app, &id).await?.snapshot.generations.clone();
    let runs = app.store.read(move |conn| store::test_results::runs(conn, &id, 200, None)).await?;
    let list: Vec<_> =
        generation::with_tests(&known, &runs).iter().map(object::generation).collect();
    Ok(HttpResponse::Ok().json(list))
}

async fn deployments(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    page: web::Query<Page>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let (id, limit) = (host_id(&id)?, page.limit());
    entry(&app, &id).await?;
    let list = app.store.read(move |conn| store::deployments::list(conn, &id, limit)).await?;
    Ok(HttpResponse::Ok().json(list))
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
