//! Rollouts: the bar of a selection, what is about to happen, and the forms.

use super::{Page, dialog, done, show};
use crate::dashboard::http::actions::{self, NewRollout, steps_of};
use crate::dashboard::http::error::{HttpError, said_back};
use crate::dashboard::http::extract::{
    By, NoFields, Query, RolloutPath, Submitted, User, WhatPath, host_id,
};
use crate::dashboard::live::model::FleetView;
use crate::dashboard::views::rollouts::{self, Choice};
use crate::domain::ids::HostId;
use crate::domain::rollout::plan;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

/// All that an update needs: pull, switch, test.
const UPDATE: &str = "update";
/// What the bar of a selection offers.
const OFFERED: [&str; 5] = [UPDATE, "pull", "switch", "test", "dry-run"];

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/selection", web::post().to(bar))
        .route("/rollouts/new", web::get().to(confirm))
        .route("/rollouts", web::post().to(start))
        .route("/rollouts/{id}/{what}", web::post().to(change));
}

/// A form or query whose fields may come more than once.
#[derive(Deserialize)]
#[serde(transparent)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The names of hosts.
    fn hosts(&self) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(|(name, _)| name == "hosts" || name == "hosts[]");
        named.map(|(_, value)| value.as_str())
    }

    /// The hosts. Each name is checked.
    fn host_ids(&self) -> Result<Vec<HostId>, HttpError> {
        self.hosts().map(host_id).collect()
    }

    fn number(&self, field: &str) -> Result<Option<u32>, HttpError> {
        let text = self.get(field);
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse().map_err(|_| HttpError::bad(field, "expected a number"))?;
        Ok(Some(number))
    }

    fn rollout(&self) -> Result<NewRollout, HttpError> {
        Ok(NewRollout {
            op: self.get("op").to_owned(),
            hosts: self.hosts().map(str::to_owned).collect(),
            all: self.get("all") == "true",
            at_once: self.number("at_once")?,
            stop_after: self.number("stop_after")?,
        })
    }
}

fn choice(name: &'static str, hosts: &[HostId], view: &FleetView) -> Result<Choice, HttpError> {
    let steps = steps_of(name)?;
    let all = view.hosts.values().filter(|_| hosts.is_empty());
    let some = hosts.iter().filter_map(|id| view.hosts.get(id));
    let plan = plan(&steps, all.chain(some).map(|entry| &*entry.snapshot));
    Ok(Choice { name, steps, plan })
}

/// Shows what a selection can do. It changes nothing, so any page of the user may ask.
async fn bar(By(user, body): By<User, Bytes>) -> Page {
    let fields = serde_urlencoded::from_bytes::<Fields>(&body);
    let fields = fields.map_err(|error| HttpError::complaint("form", &error))?;
    let view = user.fleet_view().await?;
    // A host that was removed meanwhile is simply not selected any more.
    let mut hosts = fields.host_ids()?;
    hosts.retain(|id| view.hosts.contains_key(id));
    let choices = if hosts.is_empty() {
        Vec::new()
    } else {
        let offered = OFFERED.into_iter().map(|name| choice(name, &hosts, &view));
        offered.collect::<Result<Vec<_>, _>>()?
    };
    Ok(show(StatusCode::OK, rollouts::bar(&hosts, &choices, &user.csrf)))
}

/// What the page offers under this name. An update where none is given: the selection's form
/// without the script has no buttons.
fn offered(asked: &str) -> Result<&'static str, HttpError> {
    let asked = if asked.is_empty() { UPDATE } else { asked };
    OFFERED.into_iter().find(|name| *name == asked).ok_or_else(|| {
        let (asked, offered) = (said_back(asked), OFFERED.join(", "));
        HttpError::bad("op", format!("got {asked:?}; expected {offered}"))
    })
}

async fn confirm(request: HttpRequest, By(user, Query(fields)): By<User, Query<Fields>>) -> Page {
    let name = offered(fields.get("op"))?;
    let hosts = fields.host_ids()?;
    let view = user.fleet_view().await?;
    let choice = choice(name, &hosts, &view)?;
    let shown = rollouts::confirm(&choice, &hosts, &user.csrf);
    Ok(dialog(&request, StatusCode::OK, &shown, &user.csrf))
}

async fn start(request: HttpRequest, Submitted(acting, fields, ()): Submitted<Fields>) -> Page {
    actions::start_rollout(&acting, fields.rollout()?).await?;
    Ok(done(&request, ""))
}

async fn change(
    request: HttpRequest,
    Submitted(acting, _, (RolloutPath(id), WhatPath(what))): Submitted<
        NoFields,
        (RolloutPath, WhatPath),
    >,
) -> Page {
    actions::change_rollout(&acting, id, &what).await?;
    Ok(done(&request, ""))
}
