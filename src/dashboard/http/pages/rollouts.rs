//! Rollouts: the bar of a selection, what is about to happen, and the forms.

use super::{Page, PageError, acting, dialog, done, host_id, show, user};
use crate::dashboard::http::App;
use crate::dashboard::http::api::steps_of;
use crate::dashboard::live::model::FleetView;
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::rollouts::requests::{ChangeRollout, RolloutChange, StartRollout};
use crate::dashboard::views::rollouts::{self, Choice};
use crate::domain::audit::Author;
use crate::domain::ids::HostId;
use crate::domain::rollout::{RolloutId, SWITCH_AT_ONCE, plan};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

/// What the bar of a selection offers.
const OFFERED: [&str; 5] = ["update", "pull", "switch", "test", "dry-run"];

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/selection", web::post().to(bar))
        .route("/rollouts/new", web::get().to(confirm))
        .route("/rollouts", web::post().to(start))
        .route("/rollouts/{id}/{change}", web::post().to(change));
}

/// A form whose fields may come more than once.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &[u8]) -> Result<Self, PageError> {
        let fields = serde_urlencoded::from_bytes(text);
        let expected = |error: serde_urlencoded::de::Error| {
            PageError::from(RequestError::Invalid { field: "form", expected: error.to_string() })
        };
        fields.map(Self).map_err(expected)
    }

    fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The hosts that it names. Each is checked.
    fn hosts(&self) -> Result<Vec<HostId>, PageError> {
        let named = self.0.iter().filter(|(name, _)| name == "hosts" || name == "hosts[]");
        named.map(|(_, value)| host_id(value)).collect()
    }

    fn number(&self, field: &'static str) -> Result<Option<u32>, PageError> {
        let text = self.get(field);
        if text.is_empty() {
            return Ok(None);
        }
        let expected = || RequestError::Invalid { field, expected: "expected a number".into() };
        Ok(Some(text.parse().map_err(|_| expected())?))
    }
}

fn choice(name: &'static str, hosts: &[HostId], view: &FleetView) -> Result<Choice, PageError> {
    let steps = steps_of(name)?;
    let all = view.hosts.values().filter(|_| hosts.is_empty());
    let some = hosts.iter().filter_map(|id| view.hosts.get(id));
    let plan = plan(&steps, all.chain(some).map(|entry| &*entry.snapshot));
    Ok(Choice { name, steps, plan })
}

async fn bar(request: HttpRequest, app: web::Data<App>, body: web::Bytes) -> Page {
    let user = user(&app, &request).await?;
    let view = app.broadcaster.send(ReadFleet).await?;
    // A host that was removed meanwhile is simply not selected any more.
    let mut hosts = Fields::parse(&body)?.hosts()?;
    hosts.retain(|id| view.hosts.contains_key(id));
    let choices = if hosts.is_empty() {
        Vec::new()
    } else {
        let offered = OFFERED.into_iter().map(|name| choice(name, &hosts, &view));
        offered.collect::<Result<Vec<_>, _>>()?
    };
    Ok(show(StatusCode::OK, &rollouts::bar(&hosts, &choices, &user.csrf)))
}

async fn confirm(request: HttpRequest, app: web::Data<App>) -> Page {
    let user = user(&app, &request).await?;
    let fields = Fields::parse(request.query_string().as_bytes())?;
    let view = app.broadcaster.send(ReadFleet).await?;
    let asked = fields.get("op");
    let name = OFFERED.into_iter().find(|name| *name == asked).unwrap_or(OFFERED[0]);
    let hosts = fields.hosts()?;
    let choice = choice(name, &hosts, &view)?;
    let shown = rollouts::confirm(&choice, &hosts, &user.csrf);
    Ok(dialog(&request, StatusCode::OK, &shown, &user.csrf))
}

async fn start(request: HttpRequest, app: web::Data<App>, body: web::Bytes) -> Page {
    let fields = Fields::parse(&body)?;
    acting(&app, &request, fields.get("csrf_token")).await?;
    let hosts = fields.hosts()?;
    let asked = StartRollout {
        steps: steps_of(fields.get("op"))?,
        hosts: (fields.get("all") != "true").then_some(hosts),
        at_once: fields.number("at_once")?.unwrap_or(SWITCH_AT_ONCE),
        stop_after: fields.number("stop_after")?,
        by: Author::Admin,
    };
    app.rollouts.send(asked).await??;
    Ok(done(&request, ""))
}

#[derive(Deserialize)]
struct ChangeForm {
    csrf_token: String,
}

async fn change(
    request: HttpRequest,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    form: web::Form<ChangeForm>,
) -> Page {
    acting(&app, &request, &form.csrf_token).await?;
    let (id, what) = path.into_inner();
    let (Some(id), Some(change)) = (RolloutId::parse(&id), RolloutChange::parse(&what)) else {
        return Err(PageError::NotFound);
    };
    app.rollouts.send(ChangeRollout { id, change, by: Author::Admin }).await??;
    Ok(done(&request, ""))
}
