//! Those who prove something else than that they are logged in, or nothing at all.

use super::body::{self, Place};
use super::{App, Extracted, Noted, app_of, record};
use crate::base::hex;
use crate::dashboard::auth::{Credentials, LiveSession, LoggedIn, LoginError};
use crate::dashboard::config::DashboardConfig;
use crate::dashboard::fleet::requests::RefreshDesired;
use crate::dashboard::http::cookies;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::live::Broadcast;
use crate::domain::audit::{self, AuditCategory};
use crate::domain::bounds;
use crate::domain::refusal::RefusalCode;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use sha2::Sha256;
use std::future::{Ready, ready};

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

    /// Opens a session, or says why not. Both are in the audit log.
    pub(in crate::dashboard::http) async fn login(
        &self,
        sent: Credentials<'_>,
    ) -> Result<LoggedIn, LoginError> {
        let peer = sent.peer.clone();
        let rooms = &self.app.rooms;
        let done = rooms.auth.login(sent).await;
        let what = match &done {
            Ok(_) => format!("Logged in from {peer}."),
            // Anybody may try as often as he likes: the others of this minute are counted.
            Err(_) if !rooms.auth.refusals().count(&peer, rooms.clock.up()) => return done,
            Err(error) => format!("A login from {peer} failed: {}.", why(error)),
        };
        let result = Some(if done.is_ok() { audit::DONE } else { audit::REFUSED });
        let noted = Noted {
            category: AuditCategory::Login,
            message: what,
            by: None,
            from: Some(peer.to_string()),
            result,
        };
        record(&self.app, noted).await;
        done
    }

    /// Whether SQLite can be written.
    pub(in crate::dashboard::http) fn health(&self) -> Result<(), String> {
        self.app.rooms.store.health()
    }
}

/// Why somebody was not let in, for the audit log.
fn why(error: &LoginError) -> String {
    match error {
        LoginError::Wrong => "wrong password or code".to_owned(),
        LoginError::TooMany(wait) => format!("too many tries, wait {} s", wait.as_secs() + 1),
        LoginError::Csrf => "the form was too old or not ours".to_owned(),
        LoginError::Unavailable(text) => (*text).to_owned(),
    }
}

/// A form of somebody who proved nothing yet.
pub(in crate::dashboard::http) struct StrangersForm<T>(pub(in crate::dashboard::http) T);

impl<T: DeserializeOwned + 'static> FromRequest for StrangersForm<T> {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let form = strangers_form(&request, &mut payload).await;
            form.map(Self).map_err(|error| error.for_request(&request))
        })
    }
}

async fn strangers_form<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<T, HttpError> {
    let app = app_of(request)?;
    let _place = Place::take(&cookies::peer(&app.rooms.config, request))?;
    let body = body::whole(request, payload, bounds::LOGIN_FORM).await?;
    serde_urlencoded::from_bytes(&body).map_err(|error| HttpError::complaint("form", &error))
}

/// A browser with a session and a page of ours, which may watch the fleet.
pub(in crate::dashboard::http) struct Watcher {
    /// Sends live updates.
    pub(in crate::dashboard::http) broadcaster: Broadcast,
    /// With its end the watching ends.
    pub(in crate::dashboard::http) session: LiveSession,
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
    let config = &app.rooms.config;
    if cookies::page(config, request) != cookies::From::Us {
        return Err(HttpError::other_origin(config.base_url.as_deref()));
    }
    let cookie = cookies::session(request).ok_or_else(HttpError::log_in)?;
    let session = app.rooms.auth.live_session(&cookie).await?.ok_or_else(HttpError::log_in)?;
    Ok(Watcher { broadcaster: app.rooms.broadcaster.clone(), session })
}

/// A webhook with the right signature: somebody pushed. What its body says is not believed.
pub(in crate::dashboard::http) struct Pushed {
    app: web::Data<App>,
}

impl FromRequest for Pushed {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let checked = pushed(&request, &mut payload).await;
            checked.map_err(|error| error.for_request(&request))
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

/// Whether hooks are on, and whether there is a signature at all, is looked at before the body.
async fn pushed(request: &HttpRequest, payload: &mut Payload) -> Result<Pushed, HttpError> {
    let app = app_of(request)?;
    let Some(secret) = &app.rooms.config.hook_secret else {
        let text = "Webhooks are off: set NIXFLEET_HOOK_SECRET.";
        return Err(HttpError::new(RefusalCode::NotFound, text));
    };
    let refused =
        || HttpError::new(RefusalCode::Unauthorized, "The signature is missing or wrong.");
    let signature = signature(request).and_then(hex::decode).ok_or_else(refused)?;
    let _place = Place::take(&cookies::peer(&app.rooms.config, request))?;
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let mut mac = mac.map_err(|_| refused())?;
    body::read(request, payload, bounds::HOOK, |part| mac.update(part)).await?;
    mac.verify_slice(&signature).map_err(|_| refused())?;
    Ok(Pushed { app })
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
