//! What a request says about who makes it: cookies, bearer tokens, addresses.

use crate::dashboard::auth::{BROWSER_COOKIE, KNOWN_FOR, Peer, SESSION_COOKIE};
use crate::dashboard::config::DashboardConfig;
use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite, time::Duration as CookieDuration};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, USER_AGENT};
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
    let secure = config.is_https();
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

/// The cookie of a browser in which somebody logged in.
pub(super) fn browser_cookie(config: &DashboardConfig, value: String) -> Cookie<'static> {
    let age = i64::try_from(KNOWN_FOR.as_secs()).unwrap_or(0);
    cookie(config, BROWSER_COOKIE, value, CookieDuration::seconds(age))
}

/// A cookie's removal.
pub(super) fn no_cookie(config: &DashboardConfig, name: &'static str) -> Cookie<'static> {
    cookie(config, name, String::new(), CookieDuration::ZERO)
}

/// Where a request comes from; behind a trusted proxy, as that says.
pub(super) fn peer(config: &DashboardConfig, request: &HttpRequest) -> Peer {
    let direct = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    // In the order in which they came.
    let lines: Vec<&[u8]> =
        request.headers().get_all("x-forwarded-for").map(HeaderValue::as_bytes).collect();
    Peer::of(direct, lines.into_iter(), &config.trusted_proxies)
}

/// Whether a request crossed a network without encryption, as far as that can be known: who comes
/// from this machine may be a proxy that says nothing.
pub(super) fn is_plain(config: &DashboardConfig, request: &HttpRequest) -> bool {
    if config.tls.is_some() {
        return false;
    }
    let is_local = |peer: &Peer| match peer {
        Peer::Address(address) => address.is_loopback(),
        Peer::Named(_) => false,
    };
    let direct = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let by_proxy = direct.is_some_and(|direct| config.trusted_proxies.contains(&direct));
    let proto = request.headers().get("x-forwarded-proto").map(HeaderValue::as_bytes);
    let encrypted = match proto {
        _ if !by_proxy => false,
        Some(proto) => proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss"),
        None => true,
    };
    !encrypted && !is_local(&peer(config, request))
}

/// What the browser calls itself. Hostile text.
pub(super) fn agent(request: &HttpRequest) -> String {
    let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    String::from_utf8_lossy(agent).into_owned()
}

/// Where the page is from that makes a request, as browsers say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A page of this dashboard.
    Us,
    /// Another page, or one that does not say.
    Others,
    /// No page: a program, or a browser that says nothing about it.
    Nobody,
}

/// Where the page is from. With a base URL that alone counts, with its scheme; without one, the
/// address that the request was sent to.
pub(super) fn page(config: &DashboardConfig, request: &HttpRequest) -> From {
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    let Some(origin) = header(ORIGIN) else {
        return From::Nobody;
    };
    let origin = std::str::from_utf8(origin).unwrap_or_default();
    let ours = match &config.base_url {
        Some(base) => is_origin_of(origin, base),
        None => {
            let authority = origin.split_once("://").map(|(_, authority)| authority.as_bytes());
            authority.is_some() && authority == header(HOST)
        }
    };
    if ours { From::Us } else { From::Others }
}

/// For fuzzing: reads a text as a cookie and as an origin.
pub(super) fn read_anything(text: &str) {
    let cookies: Vec<_> = text.split(';').flat_map(Cookie::parse_encoded).collect();
    log::trace!("{} {}", cookies.len(), is_origin_of(text, "https://fleet.example"));
}

/// Whether an address begins with this origin: scheme, name and port are the same.
fn is_origin_of(origin: &str, base: &str) -> bool {
    let parts = |address: &str| {
        let (scheme, rest) = address.split_once("://")?;
        let (scheme, authority) = (scheme.to_lowercase(), rest.split('/').next()?.to_lowercase());
        let usual = match scheme.as_str() {
            "https" => ":443",
            _ => ":80",
        };
        let authority = authority.strip_suffix(usual).unwrap_or(&authority).to_owned();
        Some((scheme, authority))
    };
    let base = parts(base);
    base.is_some() && parts(origin) == base
}

#[cfg(test)]
mod tests {
    use super::is_origin_of;

    #[test]
    fn an_origin_is_compared_with_scheme_name_and_port_21() {
        for (origin, base, same) in [
            ("https://fleet.example", "https://fleet.example", true),
            ("https://fleet.example", "https://Fleet.Example:443", true),
            ("https://fleet.example", "https://fleet.example/below", true),
            ("http://fleet.example:8000", "http://fleet.example:8000", true),
            ("http://fleet.example", "https://fleet.example", false),
            ("https://fleet.example:8443", "https://fleet.example", false),
            ("https://fleet.example.evil", "https://fleet.example", false),
            ("https://evil.example", "https://fleet.example", false),
            ("null", "https://fleet.example", false),
            ("", "https://fleet.example", false),
        ] {
            assert_eq!(is_origin_of(origin, base), same, "{origin:?} {base}");
        }
    }
}
