//! Logging in and out, and the settings.

use super::{Page, go, show};
use crate::dashboard::auth::{self, LoginError, NotChanged};
use crate::dashboard::http::actions;
use crate::dashboard::http::cookies;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{
    Acting, By, Credentials, NoFields, Reader, Submitted, User, Visitor,
};
use crate::dashboard::views::account::{self, Enrolment, News, Settings, Totp};
use crate::dashboard::views::layout;
use crate::domain::audit::AuditCategory;
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

async fn login_page(visitor: Visitor) -> HttpResponse {
    login_form(&visitor, StatusCode::OK, None)
}

fn login_form(visitor: &Visitor, status: StatusCode, error: Option<&str>) -> HttpResponse {
    match visitor.login_form() {
        Ok((token, field)) => {
            let age = actix_web::cookie::time::Duration::hours(1);
            let page = layout::login(&field, visitor.wants_totp(), error);
            let mut response = show(status, page);
            let cookie = cookies::cookie(visitor.config(), auth::LOGIN_COOKIE, token, age);
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

async fn login(request: HttpRequest, visitor: Visitor, form: web::Form<LoginForm>) -> HttpResponse {
    let LoginForm { password, totp, csrf_token } = form.into_inner();
    let peer = cookies::peer(visitor.config(), &request);
    let cookie = request.cookie(auth::LOGIN_COOKIE);
    let guard = cookie.as_ref().map(|cookie| cookie.value());
    let sent = Credentials { peer, guard, field: &csrf_token, password, code: &totp };
    let again = |status, text: &str| login_form(&visitor, status, Some(text));
    match visitor.login(sent).await {
        Ok(token) => HttpResponse::SeeOther()
            .insert_header((LOCATION, "/"))
            .cookie(cookies::session_cookie(visitor.config(), token))
            .cookie(cookies::no_cookie(visitor.config(), auth::LOGIN_COOKIE))
            .finish(),
        Err(LoginError::Csrf) => {
            again(StatusCode::FORBIDDEN, "The form was too old. Please try again.")
        }
        Err(LoginError::TooMany(wait)) => {
            let error = HttpError::too_many_tries(wait);
            let mut response = again(error.status(), &error.to_string());
            response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
            response
        }
        Err(error @ (LoginError::Wrong | LoginError::Unavailable(_))) => {
            let error = HttpError::from(error);
            again(error.status(), &error.to_string())
        }
    }
}

async fn logout(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    acting.auth().logout(acting.token_hash).await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, "/login"))
        .cookie(cookies::no_cookie(acting.config(), auth::SESSION_COOKIE))
        .finish())
}

async fn settings(By(user, ()): By<User>) -> Page {
    Ok(show(StatusCode::OK, page(&user, &user.csrf, None, None).await?))
}

async fn page(
    reader: &Reader,
    csrf: &str,
    news: Option<News>,
    offered: Option<Totp>,
) -> Result<maud::Markup, HttpError> {
    let view = reader.fleet_view().await?;
    let known = reader.account().await?;
    let enrolment = match (&reader.config().agent_token, known.has_enrolment_token) {
        (Some(_), _) => Enrolment::Fixed,
        (None, true) => Enrolment::On,
        (None, false) => Enrolment::Off,
    };
    let totp = match (reader.totp_is_fixed(), reader.wants_totp()) {
        (true, _) => Totp::Fixed,
        (false, true) => Totp::On,
        (false, false) => Totp::Off,
    };
    let settings = Settings {
        view: &view,
        tokens: &known.tokens,
        fixed_password: reader.password_is_fixed(),
        totp: offered.unwrap_or(totp),
        enrolment,
        news,
    };
    Ok(account::page(&settings, csrf))
}

/// What was done, for the page and the audit log, or why not.
async fn told(acting: &Acting, done: Result<&str, NotChanged>) -> Page {
    match done {
        Ok(text) => {
            acting.record(AuditCategory::Settings, text.to_owned()).await;
            let news = News { text: text.to_owned(), ..News::default() };
            Ok(show(StatusCode::OK, page(acting, &acting.csrf, Some(news), None).await?))
        }
        Err(error) => not_changed(acting, error, None).await,
    }
}

/// Why it was not done, on the same page: the form is there to be filled in again.
async fn not_changed(acting: &Acting, error: impl Into<HttpError>, offered: Option<Totp>) -> Page {
    let error = error.into();
    let status = match error.status() {
        StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        other => other,
    };
    let news = News { text: error.to_string(), failed: true, secret: None };
    Ok(show(status, page(acting, &acting.csrf, Some(news), offered).await?))
}

/// A secret that was made: shown now, and never again.
async fn made(acting: &Acting, text: String, secret: String) -> Page {
    acting.record(AuditCategory::Settings, text.clone()).await;
    let news = News { text, failed: false, secret: Some(secret) };
    Ok(show(StatusCode::OK, page(acting, &acting.csrf, Some(news), None).await?))
}

#[derive(Deserialize)]
struct PasswordForm {
    current: String,
    new: String,
    again: String,
}

async fn password(Submitted(acting, form, ()): Submitted<PasswordForm>) -> Page {
    let PasswordForm { current, new, again } = form;
    let keep = acting.token_hash;
    let changed = acting.auth().change_password(keep, current, new, &again).await;
    let text = "The password was changed; every other session has ended.";
    told(&acting, changed.map(|()| text)).await
}

async fn offer_totp(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    match acting.auth().offer_totp() {
        Ok((secret, url)) => {
            let offered = Some(Totp::Offered { secret, url });
            Ok(show(StatusCode::OK, page(&acting, &acting.csrf, None, offered).await?))
        }
        Err(error) => told(&acting, Err(error)).await,
    }
}

#[derive(Deserialize)]
struct TotpForm {
    #[serde(default)]
    secret: String,
    code: String,
}

async fn totp_on(Submitted(acting, form, ()): Submitted<TotpForm>) -> Page {
    let TotpForm { secret, code } = form;
    match acting.auth().turn_totp_on(&secret, &code).await {
        Ok(()) => told(&acting, Ok("One-time codes were turned on.")).await,
        Err(error) if acting.wants_totp() => not_changed(&acting, error, None).await,
        Err(error) => {
            // The phone has the secret already: only the code is asked for again.
            let url = auth::totp_url(&secret);
            not_changed(&acting, error, Some(Totp::Offered { secret, url })).await
        }
    }
}

async fn totp_off(Submitted(acting, form, ()): Submitted<TotpForm>) -> Page {
    let off = acting.auth().turn_totp_off(&form.code).await;
    told(&acting, off.map(|()| "One-time codes were turned off.")).await
}

#[derive(Deserialize)]
struct TokenForm {
    name: String,
}

async fn new_token(Submitted(acting, form, ()): Submitted<TokenForm>) -> Page {
    match actions::new_api_token(&acting, &form.name).await {
        Ok((name, token)) => made(&acting, format!("API token {name:?} was made."), token).await,
        Err(error) => not_changed(&acting, error, None).await,
    }
}

#[derive(Deserialize)]
struct HashForm {
    hash: String,
}

async fn remove_token(Submitted(acting, form, ()): Submitted<HashForm>) -> Page {
    let tokens = acting.account().await?.tokens;
    let known =
        tokens.into_iter().find(|token| crate::base::hex::encode(&token.token_hash) == form.hash);
    let Some(token) = known else {
        return Ok(go("/settings"));
    };
    acting.auth().remove_api_token(token.token_hash).await?;
    told(&acting, Ok(&format!("API token {:?} was removed.", token.name))).await
}

async fn new_enrolment(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    match acting.auth().new_enrolment_token().await {
        Ok(token) => made(&acting, "A shared token was made.".to_owned(), token).await,
        Err(error) => told(&acting, Err(error)).await,
    }
}

async fn no_enrolment(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    acting.auth().no_enrolment_token().await?;
    told(&acting, Ok("The shared token was taken back.")).await
}
