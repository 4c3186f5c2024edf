//! Dialogs: what they show is read when they open.

use super::fleet::told;
use super::{Page, dialog};
use crate::dashboard::http::actions::{self, NewHost};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, HostPath, Submitted, User, WhatPath};
use crate::dashboard::store;
use crate::dashboard::views::dialogs;
use crate::dashboard::views::layout::Dialog;
use crate::domain::compartment::Compartment;
use crate::domain::generation;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::snapshot::HostSnapshot;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/add-host", web::get().to(add_host))
        .route("/keys", web::get().to(keys))
        .route("/hosts", web::post().to(added))
        .route("/hosts/{id}/{what}", web::get().to(about_host));
}

async fn keys(request: HttpRequest, By(user, ()): By<User>) -> Page {
    Ok(dialog(&request, StatusCode::OK, &dialogs::keys(), &user.csrf))
}

async fn add_host(request: HttpRequest, By(user, ()): By<User>) -> Page {
    Ok(dialog(&request, StatusCode::OK, &dialogs::add_host(&user.csrf, "", None), &user.csrf))
}

#[derive(Deserialize)]
struct HostForm {
    hostname: String,
}

async fn added(request: HttpRequest, Submitted(acting, form, ()): Submitted<HostForm>) -> Page {
    let hostname = form.hostname.trim();
    let added = match actions::add_host(&acting, NewHost::named(hostname)).await {
        Ok(added) => added,
        Err(error) if error.status().is_client_error() => {
            let again = dialogs::add_host(&acting.csrf, hostname, Some(&error.to_string()));
            return Ok(dialog(&request, error.status(), &again, &acting.csrf));
        }
        Err(error) => return Err(error.into()),
    };
    let own = {
        let info = request.connection_info();
        format!("{}://{}", info.scheme(), info.host())
    };
    let url = acting.config().base_url.clone().unwrap_or(own);
    let shown = dialogs::Added { hostname, token: &added.token, url: &url };
    Ok(dialog(&request, StatusCode::OK, &dialogs::added(&shown), &acting.csrf))
}

async fn about_host(
    request: HttpRequest,
    By(user, (HostPath(id), WhatPath(what))): By<User, (HostPath, WhatPath)>,
) -> Page {
    let csrf = user.csrf.as_str();
    let entry = user.host(&id).await?;
    let host = &*entry.snapshot;
    let made = match what.as_str() {
        "menu" => dialogs::menu(host, csrf),
        "reboot" => dialogs::reboot(host, user.wants_totp(), csrf),
        "remove" => dialogs::remove(host, csrf),
        "settings" => dialogs::settings(host, csrf),
        "tests" => tests(&user, id, host).await?,
        "rollback" => rollback(&user, id, host).await?,
        "dry-run" => dry_run(&user, id, host).await?,
        other => {
            let which = Compartment::ALL.into_iter().find(|one| one.name() == other);
            let which = which.ok_or_else(HttpError::not_found)?;
            let view = user.fleet_view().await?;
            let named = |name: &str| view.remotes.iter().find(|state| *state.name == *name);
            let source = host.source.as_deref().and_then(named).or(view.remotes.first());
            dialogs::compartment(&entry, which, source, csrf)
        }
    };
    Ok(dialog(&request, StatusCode::OK, &made, csrf))
}

async fn tests(user: &User, id: HostId, host: &HostSnapshot) -> Result<Dialog, HttpError> {
    let live = host.command.as_ref();
    let running = live.filter(|command| command.op == Operation::Test).map(|command| command.id);
    let read = user.stored(move |conn| {
        let run = store::test_results::runs(conn, &id, 1, None)?.into_iter().next();
        let results = match running.or(run.as_ref().map(|run| run.command_id)) {
            Some(command) => store::test_results::list(conn, command)?,
            None => Vec::new(),
        };
        Ok((run, results))
    });
    let (run, results) = read.await?;
    Ok(dialogs::tests(host, run.as_ref(), &results, &user.csrf))
}

async fn rollback(user: &User, id: HostId, host: &HostSnapshot) -> Result<Dialog, HttpError> {
    let read = user.stored(move |conn| {
        let runs = store::test_results::runs(conn, &id, 200, None)?;
        Ok((runs, store::deployments::list(conn, &id, 100)?))
    });
    let (runs, deploys) = read.await?;
    let generations = generation::with_tests(&host.generations, &runs);
    Ok(dialogs::rollback(host, &generations, &deploys, &user.csrf))
}

async fn dry_run(user: &User, id: HostId, host: &HostSnapshot) -> Result<Dialog, HttpError> {
    let read = user.stored(move |conn| {
        let history = store::commands::history(conn, &id, 100, None)?;
        let mut dry_runs = history.into_iter().filter(|command| command.op == Operation::DryRun);
        let last = dry_runs.find(|command| command.state.is_terminal());
        last.map(|last| told(conn, last)).transpose()
    });
    let last = read.await?;
    Ok(dialogs::dry_run(host, last.as_ref(), &user.csrf))
}
