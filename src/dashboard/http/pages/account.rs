//! Logging in and out, and the settings.

use super::{Page, go, show};
use crate::dashboard::auth::{self, Credentials, LoginError, NotChanged};
use crate::dashboard::http::actions;
use crate::dashboard::http::cookies;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{
    Account, Acting, By, NoFields, Reader, StrangersForm, Submitted, User, Visitor,
};
use crate::dashboard::http::wanted;
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
        .route("/settings/totp/recovery", web::post().to(recovery))
        .route("/settings/tokens/new", web::post().to(new_token))
        .route("/settings/tokens/remove", web::post().to(remove_token))
        .route("/settings/sessions/end", web::post().to(end_session))
        .route("/settings/enrolment/new", web::post().to(new_enrolment))
        .route("/settings/enrolment/off", web::post().to(no_enrolment))
        .route("/settings/{what:.*}", web::get().to(no_such_settings));
}

/// Whoever opens again the address that a form led to.
async fn no_such_settings() -> HttpResponse {
    go("/settings")
}

async fn login_page(request: HttpRequest, visitor: Visitor) -> HttpResponse {
    login_form(&visitor, StatusCode::OK, wanted::named(&request).as_deref(), None)
}

/// The form, which leads on to `next`.
fn login_form(
    visitor: &Visitor,
    status: StatusCode,
    next: Option<&str>,
    error: Option<&str>,
) -> HttpResponse {
    match visitor.login_form() {
        Ok((token, field)) => {
            let age = actix_web::cookie::time::Duration::hours(1);
            let page = layout::login(&field, visitor.wants_totp(), next, error);
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
    #[serde(default)]
    next: String,
}

async fn login(
    request: HttpRequest,
    visitor: Visitor,
    StrangersForm(form): StrangersForm<LoginForm>,
) -> HttpResponse {
    let LoginForm { password, totp, csrf_token, next } = form;
    let next = wanted::own_page(&next);
    let config = visitor.config();
    let again = |status, text: &str| login_form(&visitor, status, next, Some(text));
    if cookies::page(config, &request) == cookies::From::Others {
        let error = HttpError::other_origin(config.base_url.as_deref());
        return again(error.status(), &error.to_string());
    }
    let value = |name| request.cookie(name).map(|cookie| cookie.value().to_owned());
    let (peer, browser) = (cookies::peer(config, &request), value(auth::BROWSER_COOKIE));
    let guard = value(auth::LOGIN_COOKIE);
    let agent = cookies::agent(&request);
    let sent = Credentials {
        peer: &peer,
        browser: browser.as_deref(),
        guard: guard.as_deref(),
        field: &csrf_token,
        password,
        code: &totp,
        agent: &agent,
    };
    match visitor.login(sent).await {
        Ok(made) => HttpResponse::SeeOther()
            .insert_header((LOCATION, next.unwrap_or("/")))
            .cookie(cookies::session_cookie(config, made.session))
            .cookie(cookies::browser_cookie(config, made.browser))
            .cookie(cookies::no_cookie(config, auth::LOGIN_COOKIE))
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
    let known = user.account().await?;
    Ok(show(
        StatusCode::OK,
        page(&user, Shown { known, own: user.token_hash }, &user.csrf, None, None).await?,
    ))
}

/// How people and hosts get in, and which session looks at it.
struct Shown {
    known: Account,
    own: [u8; 32],
}

/// The page after something was done.
async fn after(
    acting: &Acting,
    news: Option<News>,
    offered: Option<Totp>,
) -> Result<maud::Markup, HttpError> {
    let shown = Shown { known: acting.account().await?, own: acting.token_hash };
    page(acting, shown, &acting.csrf, news, offered).await
}

async fn page(
    reader: &Reader,
    shown: Shown,
    csrf: &str,
    news: Option<News>,
    offered: Option<Totp>,
) -> Result<maud::Markup, HttpError> {
    let view = reader.fleet_view().await?;
    let Shown { known, own } = shown;
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
        sessions: &known.sessions,
        own_session: own,
        id_of: actions::id_of,
        recovery_codes: known.recovery_codes,
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
            say(acting, text.to_owned()).await
        }
        Err(error) => not_changed(acting, error, None).await,
    }
}

/// What was done, for the page.
async fn say(acting: &Acting, text: String) -> Page {
    let news = News { text, ..News::default() };
    Ok(show(StatusCode::OK, after(acting, Some(news), None).await?))
}

/// Why it was not done, on the same page: the form is there to be filled in again.
async fn not_changed(acting: &Acting, error: impl Into<HttpError>, offered: Option<Totp>) -> Page {
    let error = error.into();
    let status = match error.status() {
        StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        other => other,
    };
    let news = News { text: error.to_string(), failed: true, secret: None };
    Ok(show(status, after(acting, Some(news), offered).await?))
}

/// A secret that was made: shown now, and never again.
async fn shown_once(acting: &Acting, text: String, secret: String) -> Page {
    let news = News { text, failed: false, secret: Some(secret) };
    Ok(show(StatusCode::OK, after(acting, Some(news), None).await?))
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
            Ok(show(StatusCode::OK, after(&acting, None, offered).await?))
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
    match acting.auth().turn_totp_on(acting.token_hash, &secret, &code).await {
        Ok(codes) => {
            let text = "One-time codes were turned on. Keep these recovery codes: each works once instead of one.";
            acting
                .record(AuditCategory::Settings, "One-time codes were turned on.".to_owned())
                .await;
            shown_once(&acting, text.to_owned(), codes).await
        }
        Err(error) if acting.wants_totp() => not_changed(&acting, error, None).await,
        Err(error) => {
            // The phone has the secret already: only the code is asked for again.
            let url = auth::totp_url(&secret);
            not_changed(&acting, error, Some(Totp::Offered { secret, url })).await
        }
    }
}

async fn recovery(Submitted(acting, form, ()): Submitted<TotpForm>) -> Page {
    match acting.auth().new_recovery_codes(acting.token_hash, &form.code).await {
        Ok(codes) => {
            let text = "New recovery codes were made; those of before work no more.".to_owned();
            acting.record(AuditCategory::Settings, text.clone()).await;
            shown_once(&acting, text, codes).await
        }
        Err(error) => not_changed(&acting, error, None).await,
    }
}

async fn totp_off(Submitted(acting, form, ()): Submitted<TotpForm>) -> Page {
    let off = acting.auth().turn_totp_off(acting.token_hash, &form.code).await;
    told(&acting, off.map(|()| "One-time codes were turned off.")).await
}

#[derive(Deserialize)]
struct TokenForm {
    name: String,
    scope: String,
    /// A number of days; empty: for good.
    days: String,
}

async fn new_token(Submitted(acting, form, ()): Submitted<TokenForm>) -> Page {
    let days = match form.days.as_str() {
        "" => None,
        // What is no number is out of bounds.
        text => Some(text.parse().unwrap_or(0)),
    };
    match actions::new_api_token(&acting, &form.name, Some(&form.scope), days).await {
        Ok(made) => shown_once(&acting, actions::told_of(&made), made.token).await,
        Err(error) => not_changed(&acting, error, None).await,
    }
}

#[derive(Deserialize)]
struct IdForm {
    id: String,
}

async fn remove_token(Submitted(acting, form, ()): Submitted<IdForm>) -> Page {
    match actions::remove_api_token(&acting, &form.id).await {
        Ok(name) => say(&acting, format!("API token {name:?} was removed.")).await,
        Err(error) => not_changed(&acting, error, None).await,
    }
}

async fn end_session(Submitted(acting, form, ()): Submitted<IdForm>) -> Page {
    let own = actions::id_of(&acting.token_hash) == form.id;
    match actions::end_session(&acting, &form.id).await {
        Ok(()) if own => Ok(go("/login")),
        Ok(()) => say(&acting, "The session was ended.".to_owned()).await,
        Err(error) => not_changed(&acting, error, None).await,
    }
}

async fn new_enrolment(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    match acting.auth().new_enrolment_token().await {
        Ok(token) => {
            let text = "A shared token was made.".to_owned();
            acting.record(AuditCategory::Settings, text.clone()).await;
            shown_once(&acting, text, token).await
        }
        Err(error) => told(&acting, Err(error)).await,
    }
}

async fn no_enrolment(Submitted(acting, _, ()): Submitted<NoFields>) -> Page {
    acting.auth().no_enrolment_token().await?;
    told(&acting, Ok("The shared token was taken back.")).await
}
