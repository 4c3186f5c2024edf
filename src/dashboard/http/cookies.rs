//! What a request says about who makes it: cookies, bearer tokens, addresses.

use crate::dashboard::auth::SESSION_COOKIE;
use crate::dashboard::config::DashboardConfig;
use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite, time::Duration as CookieDuration};
use actix_web::http::header::AUTHORIZATION;
use std::net::IpAddr;

/// The API token that a request carries.
pub(super) fn bearer(request: &HttpRequest) -> Option<String> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(|token| token.trim().to_owned())
}

/// The value of the session's cookie.
pub(super) fn session(request: &HttpRequest) -> Option<String> {
    request.cookie(SESSION_COOKIE).map(|cookie| cookie.value().to_owned())
}

/// A cookie that scripts cannot read and other sites cannot send.
pub(super) fn cookie(
    config: &DashboardConfig,
    name: &'static str,
    value: String,
    max_age: CookieDuration,
) -> Cookie<'static> {
    let secure = config.base_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .max_age(max_age)
        .finish()
}

/// The cookie of a session.
pub(super) fn session_cookie(config: &DashboardConfig, token: String) -> Cookie<'static> {
    cookie(config, SESSION_COOKIE, token, CookieDuration::days(30))
}

/// A cookie's removal.
pub(super) fn no_cookie(config: &DashboardConfig, name: &'static str) -> Cookie<'static> {
    cookie(config, name, String::new(), CookieDuration::ZERO)
}

/// The address a request comes from; behind a trusted proxy, the one that it names.
pub(super) fn peer(config: &DashboardConfig, request: &HttpRequest) -> IpAddr {
    let direct = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    if !config.trusted_proxies.contains(&direct) {
        return direct;
    }
    let forwarded = request.headers().get("x-forwarded-for").and_then(|v| v.to_str().ok());
    // The last hop that is no proxy of ours: earlier entries can be made up.
    forwarded
        .into_iter()
        .flat_map(|list| list.rsplit(','))
        .filter_map(|hop| hop.trim().parse().ok())
        .find(|hop| !config.trusted_proxies.contains(hop))
        .unwrap_or(direct)
}
