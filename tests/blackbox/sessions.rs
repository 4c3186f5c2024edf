//! Who is let in, for how long, and how often somebody may try.

use crate::support::browser::Browser;
use crate::support::{Client, Dashboard, Live, Stopwatch, wait_until, within_a_minute};
use serde_json::json;
use std::time::Duration;

/// How soon a connection must be over after its session.
const SOON: Duration = Duration::from_secs(1);
/// What a machine may be late that does many things at once.
const LATE: Duration = Duration::from_secs(1);

/// The connection ends, and soon.
#[track_caller]
fn assert_ends(live: &mut Live, since: &Stopwatch, later: Duration) {
    live.wait_for_the_end();
    let after = since.elapsed();
    assert!(after < later + SOON + LATE, "the connection went on for {after:?}");
}

#[test]
fn a_live_connection_ends_with_its_session_at_logout_5() {
    let dashboard = Dashboard::start(&[]);
    let (user, other) = (dashboard.login(), dashboard.login());
    let mut live = Live::open(&dashboard.url, user.cookie());
    let mut others = Live::open(&dashboard.url, other.cookie());
    assert_eq!(live.next().unwrap()["type"], "init");
    assert_eq!(others.next().unwrap()["type"], "init");
    let since = Stopwatch::start();
    assert_eq!(user.post_form("/logout", &[]).status, 303);
    assert_ends(&mut live, &since, Duration::ZERO);
    // Another session goes on.
    assert_eq!(other.post("/api/hosts", &json!({ "hostname": "web" })).status, 201);
    assert!(others.next().is_some());
}

#[test]
fn a_live_connection_ends_with_its_session_at_a_change_of_password_5() {
    let dashboard = Dashboard::start(&[]);
    let (user, other) = (dashboard.login(), dashboard.login());
    let mut live = Live::open(&dashboard.url, user.cookie());
    let mut others = Live::open(&dashboard.url, other.cookie());
    let since = Stopwatch::start();
    let new = "correct horse battery";
    let form = [("current", dashboard.password.as_str()), ("new", new), ("again", new)];
    assert_eq!(user.post_form("/settings/password", &form).status, 200);
    assert_ends(&mut others, &since, Duration::ZERO);
    assert_eq!(live.next().unwrap()["type"], "init");
    assert_eq!(user.post("/api/hosts", &json!({ "hostname": "web" })).status, 201);
    assert!(live.next().is_some());
}

#[test]
fn a_live_connection_ends_with_its_session_when_that_expires_5() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let database = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    let in_two_seconds =
        "UPDATE sessions SET expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + 2000";
    // They may be over before the page is there.
    let (mut live, since) = wait_until("a page watches", || {
        database.execute(in_two_seconds, []).unwrap();
        let since = Stopwatch::start();
        let live = Live::open_from(&dashboard.url, &dashboard.url, user.cookie());
        live.map(|live| (live, since))
    });
    assert_ends(&mut live, &since, Duration::from_secs(2));
    assert_eq!(user.get("/api/hosts").status, 401);
}

#[test]
fn a_page_whose_session_ended_elsewhere_leads_to_the_login_form_b7() {
    let dashboard = Dashboard::start(&[]);
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.wait_for("#link[data-state=live]");
    let user = dashboard.login();
    let new = "correct horse battery";
    let form = [("current", dashboard.password.as_str()), ("new", new), ("again", new)];
    assert_eq!(user.post_form("/settings/password", &form).status, 200);
    browser.wait_for(".login form #password");
}

#[test]
fn after_the_login_one_is_where_one_wanted_to_go() {
    let dashboard = Dashboard::start(&[]);
    let browser = Browser::start();
    let wanted = "/?show=failed&q=web&group=platform";
    browser.login(&format!("{}{wanted}", dashboard.url), &dashboard.password);
    let here = || browser.run("return location.pathname + location.search");
    assert_eq!(here(), wanted);
    // Also where the session ends while a page is open.
    browser.wait_for("#link[data-state=live]");
    let user = dashboard.login();
    let new = "correct horse battery";
    let form = [("current", dashboard.password.as_str()), ("new", new), ("again", new)];
    assert_eq!(user.post_form("/settings/password", &form).status, 200);
    browser.wait_for(".login form #password");
    browser.type_in("#password", new);
    browser.click("button[type=submit]");
    browser.wait_for("#hosts");
    assert_eq!(here(), wanted);
}

#[test]
fn a_login_leads_to_pages_of_our_own_and_to_nobody_elses() {
    let dashboard = Dashboard::start(&[]);
    let visitor = Client::visitor(&dashboard.url);
    for (path, form) in [
        ("/", "/login"),
        ("/rollouts", "/login?next=%2Frollouts"),
        ("/?q=a+b&show=ok", "/login?next=%2F%3Fq%3Da%2Bb%26show%3Dok"),
        ("/hosts/web/%2e%2e", "/login"),
    ] {
        let answer = visitor.get(path);
        assert_eq!((answer.status, answer.location.as_deref()), (303, Some(form)), "{path}");
    }
    // What was sent is not sent again.
    let sent = visitor.post_form("/settings/password", &[("new", "x")]);
    assert_eq!((sent.status, sent.location.as_deref()), (303, Some("/login")));
    let password = &dashboard.password;
    assert_eq!(visitor.login_for(password, "/rollouts?x=1").as_deref(), Some("/rollouts?x=1"));
    for other in ["//evil", "\\\\evil", "/\\evil", "/\t/evil", "/%2f/evil", "https://evil", "x", ""]
    {
        assert_eq!(visitor.login_for(password, other).as_deref(), Some("/"), "{other:?}");
        let query = serde_urlencoded::to_string([("next", other)]).unwrap();
        let form = visitor.get(&format!("/login?{query}"));
        assert!(!form.text.contains("evil") && form.status == 200, "{form:?}");
    }
    // A wrong password forgets nothing.
    let again = visitor.try_login("wrong&next=/rollouts");
    assert!(again.text.contains("name=\"next\" value=\"/rollouts\""), "{again:?}");
}

#[test]
fn with_a_base_url_only_its_own_pages_may_watch_and_act_21() {
    let dashboard = Dashboard::start(&[("NIXFLEET_BASE_URL", "http://fleet.example")]);
    let user = dashboard.login();
    let watch = |origin: &str| Live::open_from(&dashboard.url, origin, user.cookie()).err();
    let own = dashboard.url.as_str();
    for origin in ["http://evil.example", own, "https://fleet.example", "null", ""] {
        assert_eq!(watch(origin), Some(403), "{origin:?}");
        let answer = user.post_form_from(origin, "/hosts", &[("hostname", "web")]);
        assert_eq!(answer.status, 403, "{origin:?}: {answer:?}");
        assert!(answer.text.contains("http://fleet.example"), "{answer:?}");
        let call = user.post_from(origin, "/api/hosts", &json!({ "hostname": "db" }));
        assert_eq!(call.status, 403, "{origin:?}: {call:?}");
        let visitor = Client::visitor(&dashboard.url);
        let login = visitor.try_login_with(&dashboard.password, &[("Origin", origin)]);
        assert_eq!(login.status, 403, "{origin:?}");
    }
    assert_eq!(watch("http://fleet.example"), None);
    let answer = user.post_form_from("http://fleet.example", "/hosts", &[("hostname", "web")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let call = user.post_from("http://fleet.example", "/api/hosts", &json!({ "hostname": "db" }));
    assert_eq!(call.status, 201, "{call:?}");
    let visitor = Client::visitor(&dashboard.url);
    let ours = [("Origin", "http://fleet.example")];
    assert_eq!(visitor.try_login_with(&dashboard.password, &ours).status, 303);
}

#[test]
fn without_a_base_url_the_page_must_be_of_the_address_that_is_asked_21() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    for origin in ["http://evil.example", "null"] {
        let watch = Live::open_from(&dashboard.url, origin, user.cookie()).err();
        assert_eq!(watch, Some(403), "{origin}");
        let answer = user.post_form_from(origin, "/hosts", &[("hostname", "web")]);
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        let call = user.post_from(origin, "/api/hosts", &json!({ "hostname": "db" }));
        assert_eq!(call.status, 403, "{origin}: {call:?}");
    }
    let answer = user.post_form_from(&dashboard.url, "/hosts", &[("hostname", "web")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let call = user.post_from(&dashboard.url, "/api/hosts", &json!({ "hostname": "db" }));
    assert_eq!(call.status, 201, "{call:?}");
}

/// Tries wrong passwords until one is not looked at any more. Answers how many were.
fn tries(visitor: &Client, forwarded: impl Fn(usize) -> Vec<(&'static str, String)>) -> usize {
    for n in 0..100 {
        let headers = forwarded(n);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        if visitor.try_login_with("wrong", &headers).status == 429 {
            return n;
        }
    }
    100
}

const FORWARDED: &str = "X-Forwarded-For";

#[test]
fn behind_a_proxy_tries_are_counted_for_who_it_says_however_it_says_it_6() {
    for hops in [
        |n: usize| {
            vec![(FORWARDED, format!("192.0.2.{n}")), (FORWARDED, "198.51.100.1".to_owned())]
        },
        |n: usize| vec![(FORWARDED, format!("192.0.2.{n}, 198.51.100.1:{}", 5000 + n))],
        |n: usize| vec![(FORWARDED, format!("192.0.2.{n}, [2001:db8::1]:{}", 5000 + n))],
        |n: usize| vec![(FORWARDED, format!("192.0.2.{n}, [2001:db8::{n:x}]"))],
        |n: usize| vec![(FORWARDED, format!("192.0.2.{n}, unknown"))],
    ] {
        let tried = within_a_minute(|| {
            let dashboard = Dashboard::start(&[("NIXFLEET_TRUSTED_PROXIES", "127.0.0.1")]);
            tries(&Client::visitor(&dashboard.url), hops)
        });
        assert!(tried <= 10, "{:?}", hops(1));
    }
}

#[test]
fn who_logged_in_before_is_not_kept_out_by_others_who_try_15() {
    let (attackers, neighbours, answers) = within_a_minute(|| {
        let dashboard = Dashboard::start(&[("NIXFLEET_TRUSTED_PROXIES", "127.0.0.1")]);
        let visitor = Client::visitor(&dashboard.url);
        let log_in = |headers: &[_]| visitor.try_login_with(&dashboard.password, headers);
        let at_home = [(FORWARDED, "203.0.113.7")];
        let first = log_in(&at_home);
        let browser = first.cookies.iter().find(|cookie| cookie.starts_with("nixfleet_browser="));
        let browser = browser.expect("the browser is known from now on").clone();
        // Others use up all tries, and some from the same address.
        let attackers = tries(&visitor, |n| vec![(FORWARDED, format!("192.0.2.{n}"))]);
        let stranger = log_in(&[(FORWARDED, "203.0.113.8")]);
        let at_home_still = log_in(&at_home);
        let neighbours = tries(&visitor, |_| vec![(FORWARDED, "203.0.113.7".to_owned())]);
        let at_home_no_more = log_in(&at_home);
        let known = log_in(&[(FORWARDED, "203.0.113.8"), ("Cookie", browser.as_str())]);
        // A cookie that somebody made up is nobody's.
        let (id, signed) = browser.rsplit_once('.').unwrap();
        let made_up = format!("{id}.{}", "0".repeat(signed.len()));
        let made_up = log_in(&[(FORWARDED, "203.0.113.9"), ("Cookie", made_up.as_str())]);
        let answers = [first, stranger, at_home_still, at_home_no_more, known, made_up];
        (attackers, neighbours, answers.map(|answer| answer.status))
    });
    assert!(attackers <= 60, "{attackers}");
    assert!(neighbours <= 10, "{neighbours}");
    assert_eq!(answers, [303, 429, 303, 429, 303, 429]);
}
