//! Pages: parse, ask an actor, answer. Forms here are what works without the script.

use crate::dashboard::App;
use crate::dashboard::auth::{self, Auth, Caller, LoginError};
use crate::dashboard::messages::{
    AddHost, ExtendCommand, FleetView, ReadFleet, ReadHost, RefreshDesired, RequestCommand,
    RequestError, StopCommand,
};
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::{self, fleet, host_page, layout};
use crate::domain::generation;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::operation::{Args, Operation};
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use maud::Markup;
use serde::Deserialize;

/// Mounts the pages.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/", web::get().to(fleet_page))
        .route("/login", web::get().to(login_page))
        .route("/login", web::post().to(login))
        .route("/logout", web::post().to(logout))
        .route("/events", web::get().to(events))
        .route("/hosts", web::post().to(add_host))
        .route("/hosts/{id}", web::get().to(host))
        .route("/hosts/{id}/log", web::get().to(host_log))
        .route("/hosts/{id}/commands", web::post().to(command))
        .route("/commands/{id}/{what}", web::post().to(change_command))
        .route("/desired/refresh", web::post().to(refresh));
}

/// What a page answers when it cannot show what was asked for.
#[derive(Debug)]
enum PageError {
    LogIn,
    Csrf,
    Request(RequestError),
    Store(StoreError),
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogIn => f.write_str("Log in first."),
            Self::Csrf => f.write_str("This page is too old. Go back, reload it, and try again."),
            Self::Request(error) => error.fmt(f),
            Self::Store(error) => write!(f, "The database cannot be used: {error}"),
        }
    }
}

impl From<RequestError> for PageError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<actix::MailboxError> for PageError {
    fn from(_: actix::MailboxError) -> Self {
        Self::Request(RequestError::Unavailable("The dashboard is shutting down.".to_owned()))
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::LogIn => StatusCode::SEE_OTHER,
            Self::Csrf => StatusCode::FORBIDDEN,
            Self::Request(error) => super::api::status_of(error),
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if matches!(self, Self::LogIn) {
            return HttpResponse::SeeOther().insert_header((LOCATION, "/login")).finish();
        }
        let text = self.to_string();
        show(self.status_code(), &layout::problem("That did not work", &text, None))
    }
}

fn show(status: StatusCode, page: &Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.0.clone())
}

fn back() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish()
}

struct User {
    token_hash: [u8; 32],
    csrf: String,
}

async fn user(app: &App, request: &HttpRequest) -> Result<User, PageError> {
    match app.auth.caller(request).await? {
        Some(Caller::Session { token_hash, csrf }) => Ok(User { token_hash, csrf }),
        Some(Caller::ApiToken { .. }) | None => Err(PageError::LogIn),
    }
}

/// A user whose form was made by us.
async fn acting(app: &App, request: &HttpRequest, csrf: &str) -> Result<User, PageError> {
    let user = user(app, request).await?;
    let caller = Caller::Session { token_hash: user.token_hash, csrf: user.csrf.clone() };
    if Auth::may_change(&caller, Some(csrf)) { Ok(user) } else { Err(PageError::Csrf) }
}

#[derive(Deserialize)]
struct FleetQuery {
    log: Option<String>,
}

async fn fleet_page(
    request: HttpRequest,
    app: web::Data<App>,
    query: web::Query<FleetQuery>,
) -> Result<HttpResponse, PageError> {
    let user = user(&app, &request).await?;
    let view = app.broadcaster.send(ReadFleet).await?;
    let log = log_of(&app, &view, query.log.as_deref()).await?;
    Ok(show(StatusCode::OK, &fleet::page(&view, &log, &user.csrf, None)))
}

/// The log of the host that was asked for, else of one that is busy, else none.
async fn log_of(app: &App, view: &FleetView, asked: Option<&str>) -> Result<Markup, PageError> {
    let asked = asked.and_then(|name| HostId::parse(name).ok());
    let busy = view.hosts.values().filter(|e| e.snapshot.command.is_some());
    let busy = busy.max_by_key(|e| e.snapshot.command.as_ref().map(|c| c.created_at));
    let id = asked.or_else(|| busy.map(|e| e.snapshot.id.clone()));
    match id.and_then(|id| view.hosts.get(&id)) {
        Some(entry) => {
            let id = entry.snapshot.command.as_ref().map(|c| c.id);
            log_panel(app, id.or(entry.snapshot.last_command.map(|(id, _)| id))).await
        }
        None => Ok(fleet::no_log()),
    }
}

async fn log_panel(app: &App, id: Option<CommandId>) -> Result<Markup, PageError> {
    let Some(id) = id else {
        return Ok(fleet::no_log());
    };
    let read = app.store.read(move |conn| {
        let command = store::commands::get(conn, id)?;
        Ok((command, store::output::tail(conn, id, views::log::TAIL)?))
    });
    let (command, tail) = read.await?;
    let cut =
        tail.first().is_some_and(|(seq, _)| *seq > 1) && tail.len() >= views::log::TAIL as usize;
    Ok(views::log::panel(command.as_ref(), &tail, cut))
}

fn host_id(text: &str) -> Result<HostId, PageError> {
    HostId::parse(text).map_err(|_| RequestError::NoSuchHost(text.to_owned()).into())
}

async fn host_log(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    user(&app, &request).await?;
    let id = host_id(&id)?;
    let entry = app.broadcaster.send(ReadHost(id.clone())).await?;
    let entry = entry.ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?;
    let live = entry.snapshot.command.as_ref().map(|c| c.id);
    let panel = log_panel(&app, live.or(entry.snapshot.last_command.map(|(id, _)| id))).await?;
    Ok(show(StatusCode::OK, &panel))
}

async fn host(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let user = user(&app, &request).await?;
    let id = host_id(&id)?;
    // The version comes before what is read: what changes in between is read once more.
    let view = app.broadcaster.send(ReadFleet).await?;
    let entry = view.hosts.get(&id).cloned();
    let entry = entry.ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?;
    let version = view.version;
    let known = entry.snapshot.generations.clone();
    let read = app.store.read(move |conn| {
        let commands = store::commands::history(conn, &id, 30, None)?;
        let commands = commands
            .into_iter()
            .map(|mut command| {
                let transitions = store::transitions::list(conn, command.id)?;
                command.output_lines = store::output::last_seq(conn, command.id)?;
                let changes = if command.tells_changes() {
                    store::output::changes(conn, command.id)?
                } else {
                    None
                };
                Ok(host_page::Told { command, transitions, changes })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let all = store::test_results::runs(conn, &id, 200, None)?;
        let generations = generation::with_tests(&known, &all);
        let runs = all.into_iter().take(20).map(|run| {
            let results = store::test_results::list(conn, run.command_id)?;
            Ok((run, results))
        });
        let runs = runs.collect::<Result<Vec<_>, StoreError>>()?;
        let deploys = store::deployments::list(conn, &id, 20)?;
        Ok(host_page::Story { commands, runs, generations, deploys })
    });
    let story = read.await?;
    Ok(show(
        StatusCode::OK,
        &host_page::page(&entry, &story, &user.csrf, version, app.auth.wants_totp()),
    ))
}

#[derive(Deserialize)]
struct EventsQuery {
    before: Option<i64>,
}

async fn events(
    request: HttpRequest,
    app: web::Data<App>,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, PageError> {
    let user = user(&app, &request).await?;
    let filter =
        store::events::EventFilter { before: query.before, limit: 100, ..Default::default() };
    let events = app.store.read(move |conn| store::events::list(conn, &filter)).await?;
    Ok(show(StatusCode::OK, &host_page::events(&events, &user.csrf)))
}

#[derive(Deserialize)]
struct HostForm {
    csrf_token: String,
    hostname: String,
}

async fn add_host(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<HostForm>,
) -> Result<HttpResponse, PageError> {
    let user = acting(&app, &request, &form.csrf_token).await?;
    let add = AddHost { hostname: form.hostname.trim().to_owned(), by: "admin".to_owned() };
    let added = app.fleet.send(add).await??;
    let view = app.broadcaster.send(ReadFleet).await?;
    let own = {
        let info = request.connection_info();
        format!("{}://{}", info.scheme(), info.host())
    };
    let url = app.config.base_url.clone().unwrap_or(own);
    let shown = fleet::Added { hostname: form.hostname.trim(), token: &added.token, url: &url };
    Ok(show(StatusCode::OK, &fleet::page(&view, &fleet::no_log(), &user.csrf, Some(&shown))))
}

#[derive(Deserialize)]
struct CommandForm {
    csrf_token: String,
    op: String,
}

#[derive(Deserialize)]
struct QueueQuery {
    #[serde(default)]
    queue: bool,
}

async fn command(
    request: HttpRequest,
    app: web::Data<App>,
    id: web::Path<String>,
    query: web::Query<QueueQuery>,
    form: web::Form<CommandForm>,
) -> Result<HttpResponse, PageError> {
    acting(&app, &request, &form.csrf_token).await?;
    let op = Operation::parse(&form.op).ok_or_else(|| super::api::unknown_operation(&form.op))?;
    let (host, by) = (host_id(&id)?, "admin".to_owned());
    app.fleet
        .send(RequestCommand { host, op, args: Args::default(), queue: query.queue, by })
        .await??;
    Ok(back())
}

#[derive(Deserialize)]
struct CsrfForm {
    csrf_token: String,
}

async fn change_command(
    request: HttpRequest,
    app: web::Data<App>,
    path: web::Path<(String, String)>,
    form: web::Form<CsrfForm>,
) -> Result<HttpResponse, PageError> {
    acting(&app, &request, &form.csrf_token).await?;
    let (id, what) = path.into_inner();
    let id = CommandId::parse(&id).ok_or(RequestError::NoSuchCommand(id))?;
    let by = "admin".to_owned();
    match what.as_str() {
        "stop" => app.fleet.send(StopCommand { id, by }).await??,
        "extend" => app.fleet.send(ExtendCommand { id, by }).await??,
        _ => return Err(RequestError::NoSuchCommand(format!("{id}/{what}")).into()),
    };
    Ok(back())
}

async fn refresh(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<CsrfForm>,
) -> Result<HttpResponse, PageError> {
    acting(&app, &request, &form.csrf_token).await?;
    app.fleet.send(RefreshDesired(None)).await??;
    Ok(back())
}

async fn login_page(app: web::Data<App>) -> HttpResponse {
    login_form(&app, StatusCode::OK, None)
}

fn login_form(app: &App, status: StatusCode, error: Option<&str>) -> HttpResponse {
    match app.auth.login_form() {
        Ok((token, field)) => {
            let age = actix_web::cookie::time::Duration::hours(1);
            let mut response = show(status, &layout::login(&field, app.auth.wants_totp(), error));
            let cookie = auth::cookie(app, auth::LOGIN_COOKIE, token, age);
            if let Err(error) = response.add_cookie(&cookie) {
                log::error!("the login cookie was not set: {error}");
            }
            response
        }
        Err(error) => {
            log::error!("no login form: {error:?}");
            HttpResponse::ServiceUnavailable().body("no random numbers\n")
        }
    }
}

#[derive(Deserialize)]
struct LoginForm {
    password: String,
    #[serde(default)]
    totp: String,
    #[serde(default)]
    csrf_token: String,
}

async fn login(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<LoginForm>,
) -> HttpResponse {
    let peer = auth::peer(&app, &request);
    let form = form.into_inner();
    let guard = request.cookie(auth::LOGIN_COOKIE);
    let guard = guard.as_ref().map(|cookie| cookie.value());
    let done = app.auth.login(peer, guard, &form.csrf_token, form.password, &form.totp).await;
    let again = |status, text: &str| login_form(&app, status, Some(text));
    let what = match &done {
        Ok(_) => format!("Logged in from {peer}."),
        Err(error) => format!("A login from {peer} failed: {error:?}."),
    };
    record(&app, what).await;
    match done {
        Ok(token) => HttpResponse::SeeOther()
            .insert_header((LOCATION, "/"))
            .cookie(auth::session_cookie(&app, token))
            .cookie(auth::no_cookie(&app, auth::LOGIN_COOKIE))
            .finish(),
        Err(LoginError::Wrong) => again(StatusCode::UNAUTHORIZED, "Wrong password or code."),
        Err(LoginError::Csrf) => {
            again(StatusCode::FORBIDDEN, "The form was too old. Please try again.")
        }
        Err(LoginError::TooMany(wait)) => {
            let seconds = wait.as_secs().max(1);
            let text = format!("Too many tries. Wait {seconds} seconds.");
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, &text);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            response
        }
        Err(LoginError::Unavailable(why)) => again(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

async fn record(app: &App, message: String) {
    let event = store::events::EventRecord {
        id: 0,
        at: app.clock.now(),
        host: None,
        category: "login".to_owned(),
        message,
        by: None,
    };
    if let Err(error) = app.store.write(move |conn| store::events::append(conn, &event)).await {
        log::error!("an event was not stored: {error}");
    }
}

async fn logout(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<CsrfForm>,
) -> Result<HttpResponse, PageError> {
    let user = acting(&app, &request, &form.csrf_token).await?;
    app.auth.logout(user.token_hash).await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, "/login"))
        .cookie(auth::no_cookie(&app, auth::SESSION_COOKIE))
        .finish())
}
