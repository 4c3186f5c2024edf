//! Dialogs: what they show is read when they open.

use super::fleet::told;
use super::{Page, PageError, acting, dialog, host_entry, host_id, user};
use crate::dashboard::fleet::requests::AddHost;
use crate::dashboard::http::App;
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store;
use crate::dashboard::views::dialogs;
use crate::domain::audit::Author;
use crate::domain::compartment::Compartment;
use crate::domain::generation;
use crate::domain::operation::Operation;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/add-host", web::get().to(add_host))
        .route("/keys", web::get().to(keys))
        .route("/hosts", web::post().to(added))
        .route("/hosts/{id}/{dialog}", web::get().to(about_host));
}

async fn keys(request: HttpRequest, app: web::Data<App>) -> Page {
    let user = user(&app, &request).await?;
    Ok(dialog(&request, StatusCode::OK, &dialogs::keys(), &user.csrf))
}

async fn add_host(request: HttpRequest, app: web::Data<App>) -> Page {
    let user = user(&app, &request).await?;
    Ok(dialog(&request, StatusCode::OK, &dialogs::add_host(&user.csrf, "", None), &user.csrf))
}

#[derive(Deserialize)]
struct HostForm {
    csrf_token: String,
    hostname: String,
}

async fn added(request: HttpRequest, app: web::Data<App>, form: web::Form<HostForm>) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    let hostname = form.hostname.trim().to_owned();
    let add = AddHost { hostname: hostname.clone(), by: Author::Admin };
    let added = match app.fleet.send(add).await? {
        Ok(added) => added,
        Err(error @ (RequestError::Invalid { .. } | RequestError::Refused(_))) => {
            let again = dialogs::add_host(&user.csrf, &hostname, Some(&error.to_string()));
            let status = crate::dashboard::http::api::status_of(&error);
            return Ok(dialog(&request, status, &again, &user.csrf));
        }
        Err(error) => return Err(error.into()),
    };
    let own = {
        let info = request.connection_info();
        format!("{}://{}", info.scheme(), info.host())
    };
    let url = app.config.base_url.clone().unwrap_or(own);
    let shown = dialogs::Added { hostname: &hostname, token: &added.token, url: &url };
    Ok(dialog(&request, StatusCode::OK, &dialogs::added(&shown), &user.csrf))
}

async fn about_host(
    request: HttpRequest,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
) -> Page {
    let user = user(&app, &request).await?;
    let csrf = user.csrf.as_str();
    let (id, what) = path.into_inner();
    let id = host_id(&id)?;
    let entry = host_entry(&app, &id).await?;
    let host = &*entry.snapshot;
    let made = match what.as_str() {
        "menu" => dialogs::menu(host, csrf),
        "reboot" => dialogs::reboot(host, app.auth.wants_totp(), csrf),
        "remove" => dialogs::remove(host, csrf),
        "settings" => dialogs::settings(host, csrf),
        "tests" => {
            let running = host.command.as_ref().filter(|c| c.op == Operation::Test).map(|c| c.id);
            let read = app.store.read(move |conn| {
                let run = store::test_results::runs(conn, &id, 1, None)?.into_iter().next();
                let results = match running.or(run.as_ref().map(|run| run.command_id)) {
                    Some(command) => store::test_results::list(conn, command)?,
                    None => Vec::new(),
                };
                Ok((run, results))
            });
            let (run, results) = read.await?;
            dialogs::tests(host, run.as_ref(), &results, csrf)
        }
        "rollback" => {
            let read = app.store.read(move |conn| {
                let runs = store::test_results::runs(conn, &id, 200, None)?;
                Ok((runs, store::deployments::list(conn, &id, 100)?))
            });
            let (runs, deploys) = read.await?;
            let generations = generation::with_tests(&host.generations, &runs);
            dialogs::rollback(host, &generations, &deploys, csrf)
        }
        "dry-run" => {
            let read = app.store.read(move |conn| {
                let history = store::commands::history(conn, &id, 100, None)?;
                let last = history
                    .into_iter()
                    .find(|command| command.op == Operation::DryRun && command.state.is_terminal());
                last.map(|last| told(conn, last)).transpose()
            });
            let last = read.await?;
            dialogs::dry_run(host, last.as_ref(), csrf)
        }
        other => {
            let which = Compartment::ALL.into_iter().find(|one| one.name() == other);
            let Some(which) = which else {
                return Err(PageError::NotFound);
            };
            let view = app.broadcaster.send(ReadFleet).await?;
            let named = |name: &str| view.remotes.iter().find(|state| *state.name == *name);
            let source = host.source.as_deref().and_then(named).or(view.remotes.first());
            dialogs::compartment(&entry, which, source, csrf)
        }
    };
    Ok(dialog(&request, StatusCode::OK, &made, csrf))
}
