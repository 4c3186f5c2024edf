//! Logging in and out, and the settings.

use super::{CsrfForm, Page, User, acting, go, record, show, user};
use crate::dashboard::auth::{self, LoginError, NotChanged};
use crate::dashboard::http::{App, cookies};
use crate::dashboard::live::news::ReadFleet;
use crate::dashboard::views::account::{self, Enrolment, News, Settings, Totp};
use crate::dashboard::views::layout;
use crate::domain::audit::{AuditCategory, Author};
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/login", web::get().to(login_page))
        .route("/login", web::post().to(login))
        .route("/logout", web::post().to(logout))
        .route("/settings", web::get().to(settings))
        .route("/settings/password", web::post().to(password))
        .route("/settings/totp/new", web::post().to(offer_totp))
        .route("/settings/totp/on", web::post().to(totp_on))
        .route("/settings/totp/off", web::post().to(totp_off))
        .route("/settings/tokens/new", web::post().to(new_token))
        .route("/settings/tokens/remove", web::post().to(remove_token))
        .route("/settings/enrolment/new", web::post().to(new_enrolment))
        .route("/settings/enrolment/off", web::post().to(no_enrolment))
        .route("/settings/{what:.*}", web::get().to(no_such_settings));
}

/// Whoever opens again the address that a form led to.
async fn no_such_settings() -> HttpResponse {
    go("/settings")
}

async fn login_page(app: web::Data<App>) -> HttpResponse {
    login_form(&app, StatusCode::OK, None)
}

fn login_form(app: &App, status: StatusCode, error: Option<&str>) -> HttpResponse {
    match app.auth.login_form() {
        Ok((token, field)) => {
            let age = actix_web::cookie::time::Duration::hours(1);
            let mut response = show(status, &layout::login(&field, app.auth.wants_totp(), error));
            let cookie = cookies::cookie(app, auth::LOGIN_COOKIE, token, age);
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
    let peer = cookies::peer(&app, &request);
    let form = form.into_inner();
    let guard = request.cookie(auth::LOGIN_COOKIE);
    let guard = guard.as_ref().map(|cookie| cookie.value());
    let done = app.auth.login(peer, guard, &form.csrf_token, form.password, &form.totp).await;
    let again = |status, text: &str| login_form(&app, status, Some(text));
    let what = match &done {
        Ok(_) => format!("Logged in from {peer}."),
        Err(error) => format!("A login from {peer} failed: {error:?}."),
    };
    record(&app, AuditCategory::Login, what, None).await;
    match done {
        Ok(token) => HttpResponse::SeeOther()
            .insert_header((LOCATION, "/"))
            .cookie(cookies::session_cookie(&app, token))
            .cookie(cookies::no_cookie(&app, auth::LOGIN_COOKIE))
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

async fn logout(request: HttpRequest, app: web::Data<App>, form: web::Form<CsrfForm>) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    app.auth.logout(user.token_hash).await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, "/login"))
        .cookie(cookies::no_cookie(&app, auth::SESSION_COOKIE))
        .finish())
}

async fn settings(request: HttpRequest, app: web::Data<App>) -> Page {
    let user = user(&app, &request).await?;
    page(&app, &user, None, None).await
}

async fn page(app: &App, user: &User, news: Option<News>, offered: Option<Totp>) -> Page {
    let view = app.broadcaster.send(ReadFleet).await?;
    let tokens = app.auth.api_tokens().await?;
    let enrolment = match (&app.config.agent_token, app.auth.has_enrolment_token().await?) {
        (Some(_), _) => Enrolment::Fixed,
        (None, true) => Enrolment::On,
        (None, false) => Enrolment::Off,
    };
    let totp = match (app.auth.totp_is_fixed(), app.auth.wants_totp()) {
        (true, _) => Totp::Fixed,
        (false, true) => Totp::On,
        (false, false) => Totp::Off,
    };
    let failed = news.as_ref().is_some_and(|news| news.failed);
    let settings = Settings {
        view: &view,
        tokens: &tokens,
        fixed_password: app.auth.password_is_fixed(),
        totp: offered.unwrap_or(totp),
        enrolment,
        news,
    };
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(show(status, &account::page(&settings, &user.csrf)))
}

/// What was done, for the page and the audit log, or why not.
async fn told(app: &App, user: &User, done: Result<&str, NotChanged>) -> Page {
    match done {
        Ok(text) => {
            record(app, AuditCategory::Settings, text.to_owned(), Some(Author::Admin)).await;
            let news = News { text: text.to_owned(), ..News::default() };
            page(app, user, Some(news), None).await
        }
        Err(error) => page(app, user, Some(failure(&error)), None).await,
    }
}

fn failure(error: &NotChanged) -> News {
    News { text: error.to_string(), failed: true, secret: None }
}

/// A secret that was made: shown now, and never again.
async fn made(app: &App, user: &User, text: String, secret: String) -> Page {
    record(app, AuditCategory::Settings, text.clone(), Some(Author::Admin)).await;
    page(app, user, Some(News { text, failed: false, secret: Some(secret) }), None).await
}

#[derive(Deserialize)]
struct PasswordForm {
    csrf_token: String,
    current: String,
    new: String,
    again: String,
}

async fn password(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<PasswordForm>,
) -> Page {
    let form = form.into_inner();
    let user = acting(&app, &request, &form.csrf_token).await?;
    let changed =
        app.auth.change_password(user.token_hash, form.current, form.new, &form.again).await;
    told(&app, &user, changed.map(|()| "The password was changed; every other session has ended."))
        .await
}

async fn offer_totp(request: HttpRequest, app: web::Data<App>, form: web::Form<CsrfForm>) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    match app.auth.offer_totp() {
        Ok((secret, url)) => page(&app, &user, None, Some(Totp::Offered { secret, url })).await,
        Err(error) => told(&app, &user, Err(error)).await,
    }
}

#[derive(Deserialize)]
struct TotpForm {
    csrf_token: String,
    #[serde(default)]
    secret: String,
    code: String,
}

async fn totp_on(request: HttpRequest, app: web::Data<App>, form: web::Form<TotpForm>) -> Page {
    let TotpForm { csrf_token, secret, code } = form.into_inner();
    let user = acting(&app, &request, &csrf_token).await?;
    match app.auth.turn_totp_on(&secret, &code).await {
        Ok(()) => told(&app, &user, Ok("One-time codes were turned on.")).await,
        Err(error) => {
            // The phone has the secret already: only the code is asked for again.
            let url = auth::totp_url(&secret);
            let offered = (!app.auth.wants_totp()).then_some(Totp::Offered { secret, url });
            page(&app, &user, Some(failure(&error)), offered).await
        }
    }
}

async fn totp_off(request: HttpRequest, app: web::Data<App>, form: web::Form<TotpForm>) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    let off = app.auth.turn_totp_off(&form.code).await;
    told(&app, &user, off.map(|()| "One-time codes were turned off.")).await
}

#[derive(Deserialize)]
struct TokenForm {
    csrf_token: String,
    name: String,
}

async fn new_token(request: HttpRequest, app: web::Data<App>, form: web::Form<TokenForm>) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    match app.auth.new_api_token(&form.name).await {
        Ok((name, token)) => {
            made(&app, &user, format!("API token {name:?} was made."), token).await
        }
        Err(error) => told(&app, &user, Err(error)).await,
    }
}

#[derive(Deserialize)]
struct HashForm {
    csrf_token: String,
    hash: String,
}

async fn remove_token(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<HashForm>,
) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    let tokens = app.auth.api_tokens().await?;
    let Some(token) =
        tokens.into_iter().find(|token| crate::base::hex::encode(&token.token_hash) == form.hash)
    else {
        return Ok(go("/settings"));
    };
    app.auth.remove_api_token(token.token_hash).await?;
    told(&app, &user, Ok(&format!("API token {:?} was removed.", token.name))).await
}

async fn new_enrolment(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<CsrfForm>,
) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    match app.auth.new_enrolment_token().await {
        Ok(token) => made(&app, &user, "A shared token was made.".to_owned(), token).await,
        Err(error) => told(&app, &user, Err(error)).await,
    }
}

async fn no_enrolment(
    request: HttpRequest,
    app: web::Data<App>,
    form: web::Form<CsrfForm>,
) -> Page {
    let user = acting(&app, &request, &form.csrf_token).await?;
    app.auth.no_enrolment_token().await?;
    told(&app, &user, Ok("The shared token was taken back.")).await
}
