//! Calls about hosts.

use super::{Answer, object};
use crate::dashboard::http::actions::{self, NewHost, Settings};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{Admin, Body, By, Changer, HostPath, Query, Reader};
use crate::dashboard::live::model::FleetView;
use crate::dashboard::store;
use crate::domain::generation;
use crate::domain::ids::CommandId;
use crate::domain::timestamp::Timestamp;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

/// So many test runs are looked through for those of generations.
const RUNS: u32 = 200;

/// Bytes of a host object, more or less.
const USUAL_OBJECT: usize = 2048;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts", web::get().to(list))
        .route("/hosts", web::post().to(add))
        .route("/hosts/{id}", web::get().to(get))
        .route("/hosts/{id}", web::delete().to(remove))
        .route("/hosts/{id}", web::patch().to(configure_one))
        .route("/hosts/{id}/generations", web::get().to(generations))
        .route("/hosts/{id}/deployments", web::get().to(deployments))
        .route("/hosts/{id}/token", web::post().to(renew_token))
        .route("/hosts/{id}/refresh", web::post().to(refresh))
        .route("/hosts/{id}/hold", web::post().to(hold))
        .route("/hosts/{id}/release", web::post().to(release))
        .route("/hosts/{id}/commands", web::get().to(commands))
        .route("/hosts/{id}/tests", web::get().to(tests));
}

async fn list(By(reader, ()): By<Reader>) -> Answer {
    let view = reader.fleet_view().await?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(list_text(&view)))
}

/// The list of all host objects.
pub(crate) fn list_text(view: &FleetView) -> Vec<u8> {
    let hosts: Vec<_> = view.hosts.values().map(object::host).collect();
    let mut text = Vec::with_capacity(hosts.len() * USUAL_OBJECT);
    if let Err(error) = serde_json::to_writer(&mut text, &hosts) {
        // Strings and numbers only: this cannot happen.
        log::error!("the list of hosts could not be written: {error}");
    }
    text
}

async fn get(By(reader, HostPath(host)): By<Reader, HostPath>) -> Answer {
    Ok(HttpResponse::Ok().json(object::host(&reader.host(&host).await?)))
}

async fn add(By(admin, Body(asked)): By<Admin, Body<NewHost>>) -> Answer {
    let added = actions::add_host(&admin, asked).await?;
    Ok(HttpResponse::Created().json(json!({ "host_id": added.id, "token": added.token })))
}

async fn remove(By(admin, HostPath(host)): By<Admin, HostPath>) -> Answer {
    actions::remove_host(&admin, host).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn renew_token(By(admin, HostPath(host)): By<Admin, HostPath>) -> Answer {
    let made = actions::renew_host_token(&admin, host.clone()).await?;
    let told = json!({ "host_id": host, "token": made.token, "old_until": made.old_until });
    Ok(HttpResponse::Created().json(told))
}

async fn refresh(By(changer, HostPath(host)): By<Changer, HostPath>) -> Answer {
    actions::refresh_host(&changer, host.clone()).await?;
    Ok(HttpResponse::Ok().json(object::host(&changer.host(&host).await?)))
}

/// Why a host is held.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldBody {
    #[serde(default)]
    reason: String,
}

async fn hold(
    By(changer, (HostPath(host), Body(asked))): By<Changer, (HostPath, Body<HoldBody>)>,
) -> Answer {
    actions::hold_host(&changer, host.clone(), asked.reason).await?;
    Ok(HttpResponse::Ok().json(object::host(&changer.host(&host).await?)))
}

async fn release(By(changer, HostPath(host)): By<Changer, HostPath>) -> Answer {
    actions::release_host(&changer, host.clone()).await?;
    Ok(HttpResponse::Ok().json(object::host(&changer.host(&host).await?)))
}

async fn configure_one(
    By(admin, (HostPath(host), Body(settings))): By<Admin, (HostPath, Body<Settings>)>,
) -> Answer {
    actions::configure_host(&admin, host.clone(), settings.read()?).await?;
    Ok(HttpResponse::Ok().json(object::host(&admin.host(&host).await?)))
}

async fn generations(By(reader, HostPath(host)): By<Reader, HostPath>) -> Answer {
    let known = reader.host(&host).await?.snapshot.generations.clone();
    let read = reader.stored(move |conn| store::test_results::runs(conn, &host, RUNS, None));
    let tested = generation::with_tests(&known, &read.await?);
    let list: Vec<_> = tested.iter().map(object::generation).collect();
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

    /// Reads where the page begins; `expected` says what that is.
    fn before<T>(
        &self,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, HttpError> {
        let Some(text) = &self.before else {
            return Ok(None);
        };
        let known = parse(text).ok_or_else(|| HttpError::bad("before", expected))?;
        Ok(Some(known))
    }
}

async fn deployments(
    By(reader, (HostPath(host), Query(page))): By<Reader, (HostPath, Query<Page>)>,
) -> Answer {
    reader.host(&host).await?;
    let limit = page.limit();
    let list = reader.stored(move |conn| store::deployments::list(conn, &host, limit)).await?;
    Ok(HttpResponse::Ok().json(list))
}

async fn commands(
    By(reader, (HostPath(host), Query(page))): By<Reader, (HostPath, Query<Page>)>,
) -> Answer {
    reader.host(&host).await?;
    let limit = page.limit();
    let before = page.before(CommandId::parse, "expected a command's id")?;
    let read = reader.stored(move |conn| store::commands::history(conn, &host, limit, before));
    let now = reader.moment();
    let list: Vec<_> = read.await?.iter().map(|command| object::command(command, now)).collect();
    Ok(HttpResponse::Ok().json(list))
}

async fn tests(
    By(reader, (HostPath(host), Query(page))): By<Reader, (HostPath, Query<Page>)>,
) -> Answer {
    reader.host(&host).await?;
    let limit = page.limit();
    let before = page.before(Timestamp::parse, "expected an RFC 3339 time")?;
    let read = reader.stored(move |conn| store::test_results::runs(conn, &host, limit, before));
    let list: Vec<_> = read.await?.iter().map(object::test_run).collect();
    Ok(HttpResponse::Ok().json(list))
}
