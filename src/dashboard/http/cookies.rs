//! What a request says about who makes it: cookies, bearer tokens, addresses.

use super::App;
use crate::dashboard::auth::{Caller, SESSION_COOKIE};
use crate::dashboard::store::StoreError;
use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite, time::Duration as CookieDuration};
use actix_web::http::header::AUTHORIZATION;
use std::net::IpAddr;

/// Who makes this request; `None` if it proves nothing.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Option<Caller>, StoreError> {
    if let Some(token) = bearer(request) {
        return app.auth.token_caller(token).await;
    }
    match request.cookie(SESSION_COOKIE) {
        Some(cookie) => app.auth.session_caller(cookie.value()).await,
        None => Ok(None),
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// A cookie that scripts cannot read and other sites cannot send.
pub fn cookie(
    app: &App,
    name: &'static str,
    value: String,
    max_age: CookieDuration,
) -> Cookie<'static> {
    let secure = app.config.base_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .max_age(max_age)
        .finish()
}

/// The cookie of a session.
pub fn session_cookie(app: &App, token: String) -> Cookie<'static> {
    cookie(app, SESSION_COOKIE, token, CookieDuration::days(30))
}

/// A cookie's removal.
pub fn no_cookie(app: &App, name: &'static str) -> Cookie<'static> {
    cookie(app, name, String::new(), CookieDuration::ZERO)
}

/// The address a request comes from; behind a trusted proxy, the one that it names.
pub fn peer(app: &App, request: &HttpRequest) -> IpAddr {
    let direct = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    if !app.config.trusted_proxies.contains(&direct) {
        return direct;
    }
    let forwarded = request.headers().get("x-forwarded-for").and_then(|v| v.to_str().ok());
    // The last hop that is no proxy of ours: earlier entries can be made up.
    forwarded
        .into_iter()
        .flat_map(|list| list.rsplit(','))
        .filter_map(|hop| hop.trim().parse().ok())
        .find(|hop| !app.config.trusted_proxies.contains(hop))
        .unwrap_or(direct)
}
