//! Rollouts: the bar of a selection, what is about to happen, and the forms.

use super::{Page, dialog, done, show};
use crate::dashboard::http::actions::{self, ChangeBody, NewRollout, WaveField, steps_of, tag_of};
use crate::dashboard::http::error::{HttpError, said_back};
use crate::dashboard::http::extract::{
    By, HostPath, NoFields, Query, Reader, RolloutPath, Submitted, User, WhatPath, host_id,
};
use crate::dashboard::live::model::FleetView;
use crate::dashboard::rollouts::maintenance;
use crate::dashboard::store;
use crate::dashboard::views::rollouts::{self, Choice, OFFERED};
use crate::dashboard::views::{layout, list, plan_groups, retry as retries, rollouts_page};
use crate::domain::group::Group;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Plan, changes_what_runs, plan};
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

/// All that an update needs: pull, switch, test.
const UPDATE: &str = "update";
/// As many as may be.
const ALL_AT_ONCE: u32 = 1000;
/// So many of the last rollouts are on the page.
const LISTED: u32 = 50;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/selection", web::post().to(bar))
        .route("/rollouts", web::get().to(page))
        .route("/rollouts/new", web::get().to(confirm))
        .route("/rollouts/new", web::post().to(confirm_selection))
        .route("/hosts/{id}/update", web::post().to(update_one))
        .route("/rollouts", web::post().to(start))
        .route("/rollouts/{id}/plans", web::get().to(plans))
        .route("/rollouts/{id}/retry", web::get().to(confirm_retry))
        .route("/rollouts/{id}/retry", web::post().to(retry))
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

    /// Every value of a field.
    fn all(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).collect()
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

    /// As they are written in one field: "1, 10%, rest".
    fn waves(&self) -> Option<Vec<WaveField>> {
        let waves =
            self.get("waves").split(',').map(|wave| WaveField::Text(wave.trim().to_owned()));
        (self.get("how") == "waves").then(|| waves.collect())
    }

    /// In seconds; between waves alone.
    fn soak(&self) -> Result<u64, HttpError> {
        let minutes = self.number("soak_minutes")?.filter(|_| self.get("how") == "waves");
        Ok(u64::from(minutes.unwrap_or(0)) * 60)
    }

    fn rollout(&self) -> Result<NewRollout, HttpError> {
        // What the dialog asks, in one word.
        let (at_once, one_first) = match self.get("how") {
            "first" => (None, true),
            "few" | "waves" => (None, false),
            "all" => (Some(ALL_AT_ONCE), false),
            _ => (self.number("at_once")?, self.get("one_first") == "true"),
        };
        Ok(NewRollout {
            op: self.get("op").to_owned(),
            hosts: self.hosts().map(str::to_owned).collect(),
            tags: Vec::new(),
            all: self.get("all") == "true",
            at_once,
            one_first,
            waves: self.waves(),
            soak: self.soak()?,
            regardless: self.all("regardless"),
            stop_after: self.number("stop_after")?,
            on_failure: Some(self.get("on_failure").to_owned()).filter(|how| !how.is_empty()),
            reboot: self.get("reboot") == "true",
            totp: Some(self.get("totp").to_owned()).filter(|code| !code.is_empty()),
        })
    }
}

/// No boot has a way back: only hosts that are picked by hand may be rebooted, as by the API.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Picked {
    ByHand,
    Otherwise,
}

fn choice(
    reader: &Reader,
    name: &'static str,
    hosts: &[HostId],
    picked: Picked,
    view: &FleetView,
) -> Result<Choice, HttpError> {
    Ok(choice_of(reader, name, steps_of(name)?, (hosts, picked), view))
}

/// Who of these hosts, or of all where none is named, would do these steps now.
fn choice_of(
    reader: &Reader,
    name: &'static str,
    steps: Vec<Operation>,
    (hosts, picked): (&[HostId], Picked),
    view: &FleetView,
) -> Choice {
    let all = view.hosts.values().filter(|_| hosts.is_empty());
    let some = hosts.iter().filter_map(|id| view.hosts.get(id));
    let chosen = || all.clone().chain(some.clone()).map(|entry| &*entry.snapshot);
    let plan_without = plan(&steps, chosen());
    let may_reboot = picked == Picked::ByHand && steps.contains(&Operation::Switch);
    let only_reboot = may_reboot.then(|| {
        let with = [&steps[..], &[Operation::Reboot]].concat();
        let part = plan(&with, chosen()).hosts.into_iter();
        part.filter(|id| !plan_without.hosts.contains(id)).collect::<Vec<_>>()
    });
    let now = reader.moment().at;
    let (frozen, outside) = if changes_what_runs(&steps) {
        let part = plan_without.hosts.iter().chain(only_reboot.iter().flatten());
        let part = part.filter_map(|id| view.hosts.get(id)).map(|entry| &*entry.snapshot);
        let outside = maintenance::outside(&view.maintenance, part, now);
        (view.maintenance.freeze_at(now).cloned(), outside)
    } else {
        (None, Vec::new())
    };
    Choice { name, steps, plan: plan_without, only_reboot, frozen, outside }
}

/// What runs, what ended and needs somebody, and the ones before.
async fn page(request: HttpRequest, By(user, ()): By<User>) -> Page {
    // The version comes before what is read: what changes in between is read once more.
    let view = user.fleet_view().await?;
    let all = user.stored(|conn| store::rollouts::list(conn, LISTED)).await?;
    let page = if super::wants_fragment(&request) {
        let live = rollouts_page::live(&view, &all, &user.csrf);
        layout::with_going(&live, rollouts::going_on(&view.rollouts))
    } else {
        rollouts_page::page(&view, &all, &user.csrf)
    };
    Ok(show(StatusCode::OK, page))
}

/// Shows what a selection can do. It changes nothing, so any page of the user may ask.
async fn bar(By(user, body): By<User, Bytes>) -> Page {
    let fields = fields_of(&body)?;
    let view = user.fleet_view().await?;
    // A host that was removed meanwhile is simply not selected any more.
    let mut hosts = fields.host_ids()?;
    hosts.retain(|id| view.hosts.contains_key(id));
    let choices = if hosts.is_empty() {
        Vec::new()
    } else {
        let offered =
            OFFERED.into_iter().map(|name| choice(&user, name, &hosts, Picked::ByHand, &view));
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
    asked_for(&request, &user, &fields).await
}

/// The same for a selection, which may be longer than an address. It changes nothing, so any page
/// of the user may ask.
async fn confirm_selection(request: HttpRequest, By(user, body): By<User, Bytes>) -> Page {
    asked_for(&request, &user, &fields_of(&body)?).await
}

async fn asked_for(request: &HttpRequest, user: &User, fields: &Fields) -> Page {
    let name = offered(fields.get("op"))?;
    let view = user.fleet_view().await?;
    let mut hosts = fields.host_ids()?;
    let mut are_chosen = !hosts.is_empty();
    let mut picked = if are_chosen { Picked::ByHand } else { Picked::Otherwise };
    if let Some(group) = Group::parse(fields.get("group")) {
        (hosts, are_chosen) = (list::hosts_to_go_on(&view, group), true);
        picked = Picked::Otherwise;
    }
    let tag = Some(fields.get("tag")).filter(|tag| !tag.is_empty());
    if let Some(tag) = tag.map(|tag| tag_of("tag", tag)).transpose()? {
        (hosts, are_chosen) = (view.tagged(&tag).cloned().collect(), true);
        picked = Picked::Otherwise;
    }
    let choice = if are_chosen && hosts.is_empty() {
        // Nobody needs it any more: not everybody instead.
        Choice {
            name,
            steps: steps_of(name)?,
            plan: Plan::default(),
            only_reboot: None,
            frozen: None,
            outside: Vec::new(),
        }
    } else {
        choice(user, name, &hosts, picked, &view)?
    };
    let elsewhere = rollouts::elsewhere(&choice.plan.hosts, &view.rollouts);
    let shown = rollouts::confirm(&choice, &elsewhere, user.wants_totp(), &user.csrf);
    Ok(dialog(request, StatusCode::OK, &shown, &user.csrf))
}

fn fields_of(body: &Bytes) -> Result<Fields, HttpError> {
    serde_urlencoded::from_bytes(body).map_err(|error| HttpError::complaint("form", &error))
}

/// Pull, switch and test of one host: what its row offers needs no question, but in a freeze or outside
/// of its windows.
async fn update_one(
    request: HttpRequest,
    Submitted(acting, _, HostPath(host)): Submitted<NoFields, HostPath>,
) -> Page {
    let view = acting.fleet_view().await?;
    let chosen = choice(&acting, UPDATE, std::slice::from_ref(&host), Picked::ByHand, &view)?;
    if chosen.asks() && !chosen.part().is_empty() {
        let elsewhere = rollouts::elsewhere(&chosen.plan.hosts, &view.rollouts);
        let asks = rollouts::confirm(&chosen, &elsewhere, acting.wants_totp(), &acting.csrf);
        return Ok(dialog(&request, StatusCode::CONFLICT, &asks, &acting.csrf));
    }
    let asked = NewRollout {
        op: UPDATE.to_owned(),
        hosts: vec![host.to_string()],
        tags: Vec::new(),
        all: false,
        at_once: None,
        one_first: false,
        waves: None,
        soak: 0,
        regardless: Vec::new(),
        stop_after: None,
        on_failure: None,
        reboot: false,
        totp: None,
    };
    actions::start_rollout(&acting, asked).await?;
    Ok(done(&request, ""))
}

async fn start(request: HttpRequest, Submitted(acting, fields, ()): Submitted<Fields>) -> Page {
    actions::start_rollout(&acting, fields.rollout()?).await?;
    Ok(done(&request, ""))
}

/// What would be asked once more, and of whom.
async fn confirm_retry(
    request: HttpRequest,
    By(user, RolloutPath(id)): By<User, RolloutPath>,
) -> Page {
    let view = user.fleet_view().await?;
    let (before, failed) = actions::failed_of(&user, id).await?;
    let name = before.steps.first().map_or(UPDATE, |op| op.name());
    let choice = choice_of(&user, name, before.steps.clone(), (&failed, Picked::Otherwise), &view);
    let elsewhere = rollouts::elsewhere(&choice.plan.hosts, &view.rollouts);
    let shown = retries::confirm(&before, &choice, &elsewhere, user.wants_totp(), &user.csrf);
    Ok(dialog(&request, StatusCode::OK, &shown, &user.csrf))
}

/// What would change on its hosts, each change once.
async fn plans(request: HttpRequest, By(user, RolloutPath(id)): By<User, RolloutPath>) -> Page {
    let groups = actions::plans_of(&user, id).await?;
    Ok(dialog(&request, StatusCode::OK, &plan_groups::dialog(&groups), &user.csrf))
}

/// Asks for the same once more, of those that failed.
async fn retry(
    request: HttpRequest,
    Submitted(acting, fields, RolloutPath(id)): Submitted<Fields, RolloutPath>,
) -> Page {
    let totp = Some(fields.get("totp").to_owned()).filter(|code| !code.is_empty());
    let body = ChangeBody::of_retry(totp, fields.all("regardless"));
    actions::retry_rollout(&acting, id, body).await?;
    Ok(done(&request, ""))
}

async fn change(
    request: HttpRequest,
    Submitted(acting, body, (RolloutPath(id), WhatPath(what), Query(query))): Submitted<
        NoFields,
        (RolloutPath, WhatPath, Query<ChangeBody>),
    >,
) -> Page {
    let NoFields {} = body;
    actions::change_rollout(&acting, id, &what, query).await?;
    Ok(done(&request, ""))
}
