//! Pages: parse, ask an actor, answer. Forms here are what works without the script.

mod account;
mod dialogs;
mod events;
mod fleet;
mod forms;
mod output;
mod rollouts;

use crate::dashboard::auth::{Auth, Caller};
use crate::dashboard::http::App;
use crate::dashboard::http::cookies;
use crate::dashboard::live::model::HostEntry;
use crate::dashboard::live::news::ReadHost;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::dashboard::views::layout::{self, Dialog};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::ids::HostId;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use maud::Markup;
use serde::Deserialize;

/// Mounts the pages.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .configure(account::configure)
        .configure(events::configure)
        .configure(fleet::configure)
        .configure(output::configure)
        .configure(rollouts::configure)
        .configure(forms::configure)
        // Last: a dialog may have any name.
        .configure(dialogs::configure);
}

/// What a page answers when it cannot show what was asked for.
#[derive(Debug)]
enum PageError {
    LogIn,
    Csrf,
    NotFound,
    Request(RequestError),
    Store(StoreError),
}

impl std::fmt::Display for PageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogIn => f.write_str("Log in first."),
            Self::Csrf => f.write_str("This page is too old. Go back, reload it, and try again."),
            Self::NotFound => f.write_str("There is no such page."),
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
            Self::NotFound => StatusCode::NOT_FOUND,
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

type Page = Result<HttpResponse, PageError>;

fn show(status: StatusCode, page: &Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.0.clone())
}

/// A dialog: for the page's script only itself, for everybody else a page.
fn dialog(request: &HttpRequest, status: StatusCode, dialog: &Dialog, csrf: &str) -> HttpResponse {
    if wants_fragment(request) {
        show(status, &dialog.fragment())
    } else {
        show(status, &dialog.page(csrf))
    }
}

fn wants_fragment(request: &HttpRequest) -> bool {
    request.headers().contains_key("x-fragment")
}

fn go(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, to.to_owned())).finish()
}

/// What was asked for is under way: back to the fleet, or, for the page's script, what there
/// is to say about it.
fn done(request: &HttpRequest, note: &str) -> HttpResponse {
    if wants_fragment(request) { show(StatusCode::OK, &layout::note(note)) } else { go("/") }
}

struct User {
    token_hash: [u8; 32],
    csrf: String,
}

async fn user(app: &App, request: &HttpRequest) -> Result<User, PageError> {
    match cookies::caller(app, request).await? {
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

fn host_id(text: &str) -> Result<HostId, PageError> {
    HostId::parse(text).map_err(|_| RequestError::NoSuchHost(text.to_owned()).into())
}

async fn host_entry(app: &App, id: &HostId) -> Result<HostEntry, PageError> {
    let entry = app.broadcaster.send(ReadHost(id.clone())).await?;
    Ok(entry.ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?)
}

#[derive(Deserialize)]
struct CsrfForm {
    csrf_token: String,
}

/// Writes to the audit log. A failure is only logged: what it is about has happened.
async fn record(app: &App, category: AuditCategory, message: String, by: Option<Author>) {
    let event = store::events::NewEvent { at: app.clock.now(), host: None, category, message, by };
    if let Err(error) = app.store.write(move |conn| store::events::append(conn, &event)).await {
        log::error!("an event was not stored: {error}");
    }
}
