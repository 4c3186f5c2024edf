//! Those who prove something else than that they are logged in, or nothing at all.

use super::{App, Extracted, app_of, caller, record};
use crate::base::hex;
use crate::dashboard::auth::{Caller, LoginError};
use crate::dashboard::config::DashboardConfig;
use crate::dashboard::fleet::requests::RefreshDesired;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::live::Broadcast;
use crate::dashboard::store::{self, StoreError};
use crate::domain::audit::AuditCategory;
use crate::domain::refusal::RefusalCode;
use actix_web::dev::Payload;
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, web};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::future::{Ready, ready};
use std::net::IpAddr;

/// Somebody who proved nothing: may log in, and ask whether the dashboard is well.
pub(in crate::dashboard::http) struct Visitor {
    app: web::Data<App>,
}

impl FromRequest for Visitor {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = app_of(request).map_err(|error| error.for_request(request));
        ready(app.map(|app| Self { app }))
    }
}

/// What somebody who logs in sends.
pub(in crate::dashboard::http) struct Credentials<'a> {
    /// Where it comes from.
    pub(in crate::dashboard::http) peer: IpAddr,
    /// The cookie of the login form.
    pub(in crate::dashboard::http) guard: Option<&'a str>,
    /// Its hidden field.
    pub(in crate::dashboard::http) field: &'a str,
    /// The password.
    pub(in crate::dashboard::http) password: String,
    /// The one-time code; empty where none is asked for.
    pub(in crate::dashboard::http) code: &'a str,
}

impl Visitor {
    /// The settings.
    pub(in crate::dashboard::http) fn config(&self) -> &DashboardConfig {
        &self.app.rooms.config
    }

    /// A guard for the login form: the cookie's value and the hidden field's.
    pub(in crate::dashboard::http) fn login_form(&self) -> Result<(String, String), LoginError> {
        self.app.rooms.auth.login_form()
    }

    /// Whether a one-time code is asked for.
    pub(in crate::dashboard::http) fn wants_totp(&self) -> bool {
        self.app.rooms.auth.wants_totp()
    }

    /// Opens a session, or says why not. Both are in the audit log. Answers the cookie's value.
    pub(in crate::dashboard::http) async fn login(
        &self,
        sent: Credentials<'_>,
    ) -> Result<String, LoginError> {
        let Credentials { peer, guard, field, password, code } = sent;
        let done = self.app.rooms.auth.login(peer, guard, field, password, code).await;
        let what = match &done {
            Ok(_) => format!("Logged in from {peer}."),
            Err(error) => format!("A login from {peer} failed: {error:?}."),
        };
        record(&self.app, AuditCategory::Login, what, None).await;
        done
    }

    /// Whether SQLite can be written.
    pub(in crate::dashboard::http) async fn health(&self) -> Result<(), StoreError> {
        let rooms = &self.app.rooms;
        let now = rooms.clock.now().to_string();
        rooms.store.write(move |conn| store::settings::set(conn, "health", &now)).await
    }
}

/// A browser with a session and a page of ours, which may watch the fleet.
pub(in crate::dashboard::http) struct Watcher {
    /// Sends live updates.
    pub(in crate::dashboard::http) broadcaster: Broadcast,
}

impl FromRequest for Watcher {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(
            async move { watcher(&request).await.map_err(|error| error.for_request(&request)) },
        )
    }
}

async fn watcher(request: &HttpRequest) -> Result<Watcher, HttpError> {
    let app = app_of(request)?;
    if !same_origin(request, &app.rooms.config) {
        let text = "Only a page of this dashboard may watch it: the origin is another one.";
        return Err(HttpError::new(RefusalCode::Forbidden, text));
    }
    match caller(&app, request).await? {
        Caller::Session { .. } => Ok(Watcher { broadcaster: app.rooms.broadcaster.clone() }),
        Caller::ApiToken { .. } => Err(HttpError::log_in()),
    }
}

/// Whether the page that opens the connection is ours.
fn same_origin(request: &HttpRequest, config: &DashboardConfig) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = header(ORIGIN) else {
        return false;
    };
    if config.base_url.as_deref() == Some(origin) {
        return true;
    }
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == header(HOST)
}

/// A webhook with the right signature: somebody pushed. What its body says is not believed.
pub(in crate::dashboard::http) struct Pushed {
    app: web::Data<App>,
}

impl FromRequest for Pushed {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = Bytes::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let app = app_of(&request).map_err(|error| error.for_request(&request))?;
            let body = read.await?;
            let checked = check_signature(&request, &app.rooms.config, &body);
            checked.map_err(|error| error.for_request(&request))?;
            Ok(Self { app })
        })
    }
}

impl Pushed {
    /// The remotes are read now.
    pub(in crate::dashboard::http) fn read_remotes(&self) {
        // Where the fleet is too busy, the remotes are read when they would have been anyway.
        if self.app.rooms.fleet.try_send(RefreshDesired(None)).is_err() {
            log::debug!("the fleet is too busy to read the remotes at once");
        }
    }
}

fn check_signature(
    request: &HttpRequest,
    config: &DashboardConfig,
    body: &[u8],
) -> Result<(), HttpError> {
    let Some(secret) = &config.hook_secret else {
        let text = "Webhooks are off: set NIXFLEET_HOOK_SECRET.";
        return Err(HttpError::new(RefusalCode::NotFound, text));
    };
    let refused =
        || HttpError::new(RefusalCode::Unauthorized, "The signature is missing or wrong.");
    let signature = signature(request).and_then(hex::decode).ok_or_else(refused)?;
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let mut mac = mac.map_err(|_| refused())?;
    mac.update(body);
    mac.verify_slice(&signature).map_err(|_| refused())
}

/// The signature, which each forge sends in a header of its own.
fn signature(request: &HttpRequest) -> Option<&str> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    if request.path().ends_with("/github") {
        header("x-hub-signature-256")?.strip_prefix("sha256=")
    } else {
        header("x-gitea-signature")
    }
}
