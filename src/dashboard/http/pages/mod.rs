//! Pages: a skin of `actions`, and what can be looked at. Forms here are what works without
//! the script.

mod account;
mod dialogs;
mod events;
mod find;
mod fleet;
mod forms;
mod maintenance;
mod notifications;
mod output;
mod rollouts;

use super::error::PageError;
use super::wanted::wants_fragment;
use crate::dashboard::views::layout::{self, Dialog};
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::Markup;

/// Mounts the pages.
pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        // Before the account, which answers all that is below /settings.
        .configure(notifications::configure)
        .configure(maintenance::configure)
        .configure(account::configure)
        .configure(events::configure)
        .configure(find::configure)
        .configure(fleet::configure)
        .configure(output::configure)
        .configure(rollouts::configure)
        .configure(forms::configure)
        // Last: a dialog may have any name.
        .configure(dialogs::configure);
}

type Page = Result<HttpResponse, PageError>;

fn show(status: StatusCode, page: Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.into_string())
}

/// A dialog: for the page's script only itself, for everybody else a page.
fn dialog(request: &HttpRequest, status: StatusCode, dialog: &Dialog, csrf: &str) -> HttpResponse {
    if wants_fragment(request) {
        show(status, dialog.fragment())
    } else {
        show(status, dialog.page(csrf))
    }
}

fn go(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, to.to_owned())).finish()
}

/// What was asked for is under way: back to the fleet, or, for the page's script, what there
/// is to say about it.
fn done(request: &HttpRequest, note: &str) -> HttpResponse {
    if wants_fragment(request) { show(StatusCode::OK, layout::note(note)) } else { go("/") }
}
