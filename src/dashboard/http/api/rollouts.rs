//! Calls about rollouts.

use super::{ApiError, changer, host_id, reader};
use crate::dashboard::http::App;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::store;
use crate::domain::operation::Operation;
use crate::domain::refusal::RefusalCode;
use crate::domain::rollout::{Rollout, RolloutId, SWITCH_AT_ONCE, UPDATE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/rollouts", web::get().to(list))
        .route("/rollouts", web::post().to(start))
        .route("/rollouts/{id}", web::get().to(get))
        .route("/rollouts/{id}/{change}", web::post().to(change));
}

/// The steps behind a name: `update`, or one operation that needs no confirmation.
pub fn steps_of(name: &str) -> Result<Vec<Operation>, RequestError> {
    if name == "update" {
        return Ok(UPDATE.to_vec());
    }
    let op = Operation::parse(name).filter(|op| !op.rules().needs_confirmation);
    op.map(|op| vec![op]).ok_or_else(|| {
        let known = Operation::ALL.iter().filter(|op| !op.rules().needs_confirmation);
        let known: Vec<&str> = known.map(|op| op.name()).collect();
        let name: String = name.chars().take(60).collect();
        RequestError::Invalid {
            field: "op",
            expected: format!("got {name:?}; expected update, {}", known.join(", ")),
        }
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRollout {
    op: String,
    /// Which hosts; all of them if `all` is set.
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    all: bool,
    at_once: Option<u32>,
    stop_after: Option<u32>,
}

async fn start(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Json<NewRollout>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let NewRollout { op, hosts, all, at_once, stop_after } = body.into_inner();
    let steps = steps_of(&op)?;
    if all != hosts.is_empty() {
        return Err(ApiError::bad("hosts", "expected a list of hosts, or `all`: true"));
    }
    let hosts = hosts.iter().map(|name| host_id(name)).collect::<Result<Vec<_>, _>>()?;
    let asked = StartRollout {
        steps,
        hosts: (!all).then_some(hosts),
        at_once: at_once.unwrap_or(SWITCH_AT_ONCE),
        stop_after,
        by,
    };
    let rollout = app.rollouts.send(asked).await??;
    Ok(HttpResponse::Accepted().json(object(&rollout)))
}

async fn list(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let list = app.store.read(|conn| store::rollouts::list(conn, 50)).await?;
    Ok(HttpResponse::Ok().json(list.iter().map(object).collect::<Vec<_>>()))
}

fn rollout_id(text: &str) -> Result<RolloutId, ApiError> {
    RolloutId::parse(text).ok_or_else(|| no_such(text))
}

fn no_such(id: &str) -> ApiError {
    ApiError::new(RefusalCode::NoSuchRollout, format!("there is no rollout `{id}`"), 404)
}

async fn get(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    reader(&app, &request).await?;
    let rollout_id = rollout_id(&id)?;
    let found = app.store.read(move |conn| store::rollouts::get(conn, rollout_id)).await?;
    let rollout = found.ok_or_else(|| no_such(&id))?;
    Ok(HttpResponse::Ok().json(object(&rollout)))
}

async fn change(
    request: HttpRequest,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let by = changer(&app, &request).await?.author();
    let (id, what) = path.into_inner();
    let change = RolloutChange::parse(&what).ok_or_else(|| no_such(&format!("{id}/{what}")))?;
    let rollout = app.rollouts.send(ChangeRollout { id: rollout_id(&id)?, change, by }).await??;
    Ok(HttpResponse::Accepted().json(object(&rollout)))
}

fn object(rollout: &Rollout) -> Value {
    let mut object = json!(rollout);
    object["rollout_id"] = json!(rollout.id);
    object["title"] = json!(rollout.title());
    object["over"] = json!(rollout.is_over());
    object["counts"] = json!(rollout.counts());
    object
}
