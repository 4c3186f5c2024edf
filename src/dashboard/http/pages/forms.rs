//! What the buttons do where the script does not run: the same as the API, and back.

use super::{Page, dialog, done, go, show, wants_fragment};
use crate::dashboard::http::actions::{
    self, AFTER_MERGE, AFTER_REVERT, Asked, CommandChange, Merge, Order, SettingsForm,
};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{
    Acting, CommandPath, HostPath, NoFields, PullRequestPath, Query, Submitted, WhatPath,
    command_id,
};
use crate::dashboard::views::layout::Dialog;
use crate::dashboard::views::{layout, maintenance};
use crate::domain::command::State;
use crate::domain::ids::{HostId, SystemPath, WholeCommit};
use crate::domain::operation::{Args, Regardless};
use crate::domain::refusal::RefusalCode;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/hosts/{id}/commands", web::post().to(command))
        .route("/hosts/{id}/refresh", web::post().to(refresh_host))
        .route("/hosts/{id}/hold", web::post().to(hold))
        .route("/hosts/{id}/release", web::post().to(release))
        .route("/hosts/{id}/settings", web::post().to(settings))
        .route("/hosts/{id}/remove", web::post().to(remove))
        .route("/commands/{id}/{what}", web::post().to(change_command))
        .route("/desired/refresh", web::post().to(refresh))
        .route("/pull-requests/{number}/merge", web::post().to(merge))
        .route("/pull-requests/{number}/revert", web::post().to(revert));
}

#[derive(Deserialize)]
struct CommandForm {
    op: String,
    #[serde(rename = "args.generation")]
    generation: Option<u64>,
    #[serde(rename = "args.commit")]
    commit: Option<WholeCommit>,
    #[serde(rename = "args.plan")]
    plan: Option<SystemPath>,
    #[serde(rename = "args.reason")]
    reason: Option<String>,
    #[serde(rename = "args.confirmed")]
    confirmed: Option<bool>,
    /// A box was there that says whether what is left is held; it is not sent where it is clear.
    #[serde(default)]
    asks_hold: bool,
    #[serde(rename = "args.hold")]
    hold: Option<bool>,
    #[serde(rename = "args.boot")]
    boot: Option<bool>,
    #[serde(rename = "args.guard")]
    guard: Option<bool>,
    totp: Option<String>,
}

impl CommandForm {
    /// All but what it goes on regardless of.
    fn args(self) -> Args {
        let reason = self.reason.filter(|reason| !reason.trim().is_empty());
        let hold = self.hold.or(self.asks_hold.then_some(false));
        let Self { generation, confirmed, commit, plan, boot, guard, .. } = self;
        Args { generation, reason, confirmed, commit, hold, plan, boot, guard, ..Args::default() }
    }
}

#[derive(Deserialize)]
struct CommandQuery {
    #[serde(default)]
    queue: bool,
    /// Keys, separated by commas: a button has only one value.
    regardless: Option<String>,
    /// With what this command was asked for: a button carries no fields of its own.
    again: Option<String>,
    /// Nothing is activated before the next boot.
    #[serde(default)]
    boot: bool,
}

/// What the user goes on regardless of.
fn regardless(keys: Option<&str>) -> Result<Vec<Regardless>, HttpError> {
    let keys = keys.unwrap_or_default().split(',').filter(|key| !key.is_empty());
    let read = keys.map(|key| {
        let known = Regardless::ALL.map(Regardless::name).join(", ");
        let expected = || HttpError::bad("regardless", format!("expected some of {known}"));
        Regardless::parse(key).ok_or_else(expected)
    });
    read.collect()
}

/// What is asked about: whoever says yes goes on regardless.
const HELD_BACK: [RefusalCode; 2] = [RefusalCode::Frozen, RefusalCode::OutsideWindow];

async fn command(
    request: HttpRequest,
    Submitted(acting, form, (HostPath(host), Query(query))): Submitted<
        CommandForm,
        (HostPath, Query<CommandQuery>),
    >,
) -> Page {
    let CommandForm { op, totp, .. } = &form;
    let (op, totp) = (op.clone(), totp.clone());
    let regardless = regardless(query.regardless.as_deref())?;
    let args = match &query.again {
        Some(id) => actions::args_of(&acting, &host, command_id(id)?).await?,
        None => form.args(),
    };
    let boot = if query.boot { Some(true) } else { args.boot };
    let args = Args { regardless, boot, ..args };
    let asked = Asked { op: &op, args, queue: query.queue, totp: totp.as_deref() };
    let order = Order::check(&acting, asked).await?;
    let command = match actions::run(&acting, host.clone(), &order).await {
        Err(error) if HELD_BACK.contains(&error.code()) => {
            let asks = held_back(&acting, &host, &order).await?;
            return Ok(dialog(&request, error.status(), &asks, &acting.csrf));
        }
        ran => ran?,
    };
    if command.state == State::Queued && wants_fragment(&request) {
        let text = format!("{} waits for {}.", command.op.label(), command.host);
        let undo = layout::undo(&text, &format!("/commands/{}/stop", command.id));
        return Ok(show(StatusCode::OK, undo));
    }
    Ok(done(&request, ""))
}

/// Asks whether it is done regardless of all that holds it back, with all that it was asked with.
async fn held_back(acting: &Acting, host: &HostId, order: &Order) -> Result<Dialog, HttpError> {
    let back = actions::restraints_of(acting, host).await?;
    let asks = maintenance::Asks {
        host,
        op: order.op(),
        args: order.args(),
        queue: order.queue(),
        back: &back,
        totp: order.op().rules().needs_confirmation && acting.wants_totp(),
    };
    Ok(maintenance::held_back(&asks, &acting.csrf))
}

async fn refresh_host(
    request: HttpRequest,
    Submitted(acting, _, HostPath(host)): Submitted<NoFields, HostPath>,
) -> Page {
    actions::refresh_host(&acting, host.clone()).await?;
    Ok(done(&request, &format!("{host} is asked again.")))
}

#[derive(Deserialize)]
struct HoldForm {
    #[serde(default)]
    reason: String,
}

async fn hold(
    request: HttpRequest,
    Submitted(acting, form, HostPath(host)): Submitted<HoldForm, HostPath>,
) -> Page {
    actions::hold_host(&acting, host.clone(), form.reason).await?;
    if wants_fragment(&request) {
        let undo = layout::undo(&format!("{host} is held."), &format!("/hosts/{host}/release"));
        return Ok(show(StatusCode::OK, undo));
    }
    Ok(done(&request, ""))
}

async fn release(
    request: HttpRequest,
    Submitted(acting, _, HostPath(host)): Submitted<NoFields, HostPath>,
) -> Page {
    actions::release_host(&acting, host).await?;
    Ok(done(&request, ""))
}

async fn settings(
    request: HttpRequest,
    Submitted(acting, form, HostPath(host)): Submitted<SettingsForm, HostPath>,
) -> Page {
    actions::configure_host(&acting, host.clone(), form.read()?).await?;
    if wants_fragment(&request) {
        return Ok(done(&request, ""));
    }
    Ok(go(&format!("/hosts/{host}")))
}

#[derive(Deserialize)]
struct RemoveForm {
    /// The host's name, typed by whoever removes it.
    #[serde(default)]
    name: String,
}

async fn remove(
    request: HttpRequest,
    Submitted(acting, form, HostPath(host)): Submitted<RemoveForm, HostPath>,
) -> Page {
    let typed = form.name.trim();
    if !typed.eq_ignore_ascii_case(host.as_str()) {
        return Err(HttpError::bad("name", format!("expected {host}: type it to remove it")).into());
    }
    actions::remove_host(&acting, host).await?;
    Ok(done(&request, ""))
}

async fn change_command(
    request: HttpRequest,
    Submitted(acting, _, (CommandPath(id), WhatPath(what))): Submitted<
        NoFields,
        (CommandPath, WhatPath),
    >,
) -> Page {
    actions::change_command(&acting, id, CommandChange::parse(&what)?).await?;
    Ok(done(&request, ""))
}

#[derive(Deserialize)]
struct BackQuery {
    back: Option<String>,
}

async fn refresh(
    request: HttpRequest,
    Submitted(acting, _, Query(query)): Submitted<NoFields, Query<BackQuery>>,
) -> Page {
    actions::refresh_all(&acting).await?;
    if wants_fragment(&request) {
        return Ok(done(&request, "The remotes are read again."));
    }
    // Only to a page of ours.
    match query.back.as_deref() {
        Some("/settings") => Ok(go("/settings")),
        Some(_) | None => Ok(go("/")),
    }
}

#[derive(Deserialize)]
struct MergeQuery {
    source: Option<String>,
    head: Option<String>,
}

async fn merge(
    request: HttpRequest,
    Submitted(acting, _, (PullRequestPath(number), Query(query))): Submitted<
        NoFields,
        (PullRequestPath, Query<MergeQuery>),
    >,
) -> Page {
    let MergeQuery { source, head } = query;
    actions::merge(&acting, Merge { source, number, head }).await?;
    Ok(done(&request, AFTER_MERGE))
}

#[derive(Deserialize)]
struct RevertQuery {
    source: Option<String>,
}

async fn revert(
    request: HttpRequest,
    Submitted(acting, _, (PullRequestPath(number), Query(query))): Submitted<
        NoFields,
        (PullRequestPath, Query<RevertQuery>),
    >,
) -> Page {
    let made = actions::revert(&acting, query.source, number).await?;
    let text = format!("Pull request #{} takes it back. {AFTER_REVERT}", made.number);
    Ok(done(&request, &text))
}
