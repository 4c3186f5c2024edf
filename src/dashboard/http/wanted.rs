//! Where somebody wanted to go who had to log in first.
//!
//! The address comes back from a form, so anybody may have written it: only pages of our own are
//! gone to, in the one way that they are written.

use actix_web::HttpRequest;
use actix_web::http::Method;
use serde::Deserialize;

/// Longer addresses are forgotten.
const LONGEST: usize = 1000;

/// Where to go after the login, as a form or an address says it.
#[derive(Deserialize)]
struct Next {
    next: String,
}

/// Whether the page's script asks, which wants only a part of a page.
pub(super) fn wants_fragment(request: &HttpRequest) -> bool {
    request.headers().contains_key("x-fragment")
}

/// A page of our own, as every page of ours is written: a path of plain words, perhaps with a query.
/// `None` for everything else, above all for what a browser might take for another host.
pub(super) fn own_page(text: &str) -> Option<&str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let is_word = |part: &str| {
        !part.is_empty()
            && !matches!(part, "." | "..")
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let below = path.strip_prefix('/')?;
    let is_page = below.is_empty() || below.split('/').all(is_word);
    let is_plain = query.chars().all(|c| c.is_ascii_graphic() && !"\\#\"<>".contains(c));
    let is_login = below.starts_with("login") || below.starts_with("logout");
    (text.len() <= LONGEST && is_page && is_plain && !is_login).then_some(text)
}

/// The page that a browser asked for; `None` if it sent something, or asked for a part of a page.
pub(super) fn asked(request: &HttpRequest) -> Option<String> {
    let is_page = request.method() == Method::GET && !wants_fragment(request);
    let asked = request.uri().path_and_query().filter(|_| is_page)?;
    own_page(asked.as_str()).filter(|page| *page != "/").map(str::to_owned)
}

/// The page that the address of the login form names.
pub(super) fn named(request: &HttpRequest) -> Option<String> {
    let next: Next = serde_urlencoded::from_str(request.query_string()).ok()?;
    own_page(&next.next).map(str::to_owned)
}

/// The address of the login form, which leads on to that page.
pub(super) fn login(next: Option<&str>) -> String {
    let query = |next| serde_urlencoded::to_string([("next", next)]).ok();
    match next.and_then(query) {
        Some(query) => format!("/login?{query}"),
        None => "/login".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{login, own_page};
    use proptest::prelude::*;
    use url::Url;

    #[test]
    fn only_pages_of_our_own_are_gone_to_after_the_login() {
        for page in [
            "/",
            "/rollouts",
            "/?show=failed&q=web-%C3%A4+x&fold=",
            "/hosts/web-01?command=0192f0c1-0000-7000-8000-000000000000&line=7",
            "/hosts/web-01/system",
            "/settings",
            "/events?from=2026-01-01&words=//evil",
        ] {
            assert_eq!(own_page(page), Some(page), "{page}");
        }
        for other in [
            "",
            "?x=1",
            "rollouts",
            "//evil",
            "///evil",
            "/\\evil",
            "\\\\evil",
            "\\/evil",
            "/\t/evil",
            "/\n/evil",
            " //evil",
            "/%2fevil",
            "/%2F%2Fevil",
            "/%5cevil",
            "%2f%2fevil",
            "/.//evil",
            "/..//evil",
            "/hosts/../../evil",
            "/x//evil",
            "/@evil",
            "/:80",
            "https://evil",
            "https:evil",
            "javascript:alert(1)",
            "/javascript:alert(1)",
            "/?x=\r\nSet-Cookie: a=b",
            "/?x=\\",
            "/?x=\"><script>",
            "/?x=y#z",
            "/\u{ff0f}evil",
            "/login",
            "/login?next=/login",
            "/logout",
        ] {
            assert_eq!(own_page(other), None, "{other:?}");
        }
        assert_eq!(own_page(&format!("/?q={}", "x".repeat(1000))), None);
    }

    #[test]
    fn the_address_of_the_login_form_holds_the_whole_address() {
        assert_eq!(login(None), "/login");
        assert_eq!(login(Some("/?show=failed&q=a b")), "/login?next=%2F%3Fshow%3Dfailed%26q%3Da+b");
    }

    proptest! {
        #[test]
        fn whatever_is_gone_to_is_on_the_same_site(
            text in "[/\\\\@:.%?#a-z25fFcC\\t\\n \u{ff0f}]{0,12}",
        ) {
            let own = Url::parse("https://fleet.example/login").unwrap();
            if let Some(page) = own_page(&text) {
                let there = own.join(page).unwrap();
                prop_assert_eq!(there.origin(), own.origin());
                let written = there[url::Position::BeforePath..].to_owned();
                prop_assert_eq!(written.trim_end_matches('?'), page.trim_end_matches('?'));
            }
        }
    }
}
