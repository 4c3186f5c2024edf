//! Dialogs: what they show is read when they open.

use super::fleet::told;
use super::{Page, dialog};
use crate::dashboard::http::actions::{self, NewHost};
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, HostPath, NoFields, Submitted, User, WhatPath};
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::add_host::{self, Added};
use crate::dashboard::views::layout::Dialog;
use crate::dashboard::views::{compartment, dialogs, held, keys, menu};
use crate::domain::compartment::Compartment;
use crate::domain::generation;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::snapshot::HostSnapshot;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

/// So many of the last lines of a dry run are looked through.
const LOOKED_AT: u32 = 400;
/// So many hosts are added at once.
const HOSTS_AT_ONCE: usize = 500;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/add-host", web::get().to(new_host))
        .route("/keys", web::get().to(keys))
        .route("/hosts", web::post().to(added))
        .route("/hosts/{id}/token", web::post().to(renewed))
        .route("/hosts/{id}/{what}", web::get().to(about_host));
}

async fn keys(request: HttpRequest, By(user, ()): By<User>) -> Page {
    Ok(dialog(&request, StatusCode::OK, &keys::dialog(), &user.csrf))
}

async fn new_host(request: HttpRequest, By(user, ()): By<User>) -> Page {
    let offered = actions::new_names(&user).await?;
    let asked = add_host::Asked { offered: &offered, ..add_host::Asked::default() };
    Ok(dialog(&request, StatusCode::OK, &add_host::form(&user.csrf, &asked), &user.csrf))
}

/// What was typed and what was ticked: a field for each.
#[derive(Deserialize)]
#[serde(transparent)]
struct HostForm(Vec<(String, String)>);

impl HostForm {
    fn typed(&self) -> String {
        let named = self.0.iter().filter(|(name, _)| name == "hostname");
        named
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

async fn added(request: HttpRequest, Submitted(acting, form, ()): Submitted<HostForm>) -> Page {
    let (mut hosts, mut failed, mut status) = (Vec::new(), Vec::new(), StatusCode::OK);
    let typed = form.typed();
    for name in names(&typed) {
        match actions::add_host(&acting, NewHost::named(name)).await {
            Ok(made) => hosts.push(Added { hostname: name.to_owned(), token: made.token }),
            Err(error) if error.status().is_client_error() => {
                status = error.status();
                failed.push((name.to_owned(), error.to_string()));
            }
            // What was added is still told: its token is shown this once.
            Err(error) if !hosts.is_empty() => failed.push((name.to_owned(), error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    let csrf = &acting.csrf;
    if hosts.is_empty() {
        let why: Vec<String> = failed.into_iter().map(|(_, why)| why).collect();
        let why = if why.is_empty() { "Type a name.".to_owned() } else { why.join(" ") };
        let status = if status == StatusCode::OK { StatusCode::BAD_REQUEST } else { status };
        let offered = actions::new_names(&acting).await?;
        let asked = add_host::Asked { offered: &offered, typed: &typed, problem: Some(&why) };
        let again = add_host::form(csrf, &asked);
        return Ok(dialog(&request, status, &again, csrf));
    }
    let own = {
        let info = request.connection_info();
        let scheme = if acting.config().tls.is_some() { "https" } else { info.scheme() };
        format!("{scheme}://{}", info.host())
    };
    let url = acting.config().base_url.clone().unwrap_or(own);
    let source = acting.config().sources.first();
    let repository = source.and_then(|source| source.setting.clone_address());
    let shown = add_host::added(&hosts, &failed, &url, repository.as_deref());
    Ok(dialog(&request, StatusCode::OK, &shown, csrf))
}

/// The names that were typed, each once.
fn names(typed: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in typed.split([' ', ',', ';', '\n', '\r', '\t']).filter(|name| !name.is_empty()) {
        if names.len() < HOSTS_AT_ONCE && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

async fn renewed(
    request: HttpRequest,
    Submitted(acting, _, HostPath(id)): Submitted<NoFields, HostPath>,
) -> Page {
    let made = actions::renew_host_token(&acting, id.clone()).await?;
    let entry = acting.host(&id).await?;
    let shown = dialogs::renewed(&entry.snapshot, &made.token, made.old_until);
    Ok(dialog(&request, StatusCode::OK, &shown, &acting.csrf))
}

async fn about_host(
    request: HttpRequest,
    By(user, (HostPath(id), WhatPath(what))): By<User, (HostPath, WhatPath)>,
) -> Page {
    let csrf = user.csrf.as_str();
    let entry = user.host(&id).await?;
    let host = &*entry.snapshot;
    let made = match what.as_str() {
        "menu" => menu::dialog(host),
        "reboot" => dialogs::reboot(host, user.wants_totp(), csrf),
        "remove" => dialogs::remove(host, csrf),
        "token" => dialogs::token(host, csrf),
        "settings" => dialogs::settings(host, csrf),
        "tests" => tests(&user, id, host).await?,
        "hold" => held::hold(host, csrf),
        "release" => held::release(host, csrf),
        "rollback" => rollback(&user, id, host).await?,
        "dry-run" => dry_run(&user, id, host).await?,
        other => {
            let which = Compartment::ALL.into_iter().find(|one| one.name() == other);
            let which = which.ok_or_else(HttpError::not_found)?;
            let view = user.fleet_view().await?;
            let named = |name: &str| view.remotes.iter().find(|state| *state.name == *name);
            let source = host.source.as_deref().and_then(named).or(view.remotes.first());
            compartment::dialog(&entry, which, source, csrf)
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
        let Some(last) = last else {
            return Ok(None);
        };
        let lines = store::output::tail(conn, last.id, LOOKED_AT, None)?;
        let lines = lines.into_iter().map(|(_, line)| line.text).collect::<Vec<_>>();
        Ok::<_, StoreError>(Some((told(conn, last)?, lines)))
    });
    let last = read.await?;
    let last = last.as_ref().map(|(told, lines)| (told, lines.as_slice()));
    Ok(dialogs::dry_run(host, last, &user.csrf))
}
