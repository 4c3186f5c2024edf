//! The page and the API are two skins of the same actions: same refusals, same words, and who
//! may call comes first.

use crate::support::client::Answer;
use crate::support::{Client, Dashboard, OldAgent, wait_until};
use serde_json::{Value, json};
use std::sync::Barrier;
use std::thread;

const NOBODY: &str = "0190a5c4-0000-7000-8000-000000000000";
const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

fn with_old_agent(settings: &[(&str, &str)]) -> (Dashboard, Client, OldAgent) {
    let dashboard = Dashboard::start(settings);
    let user = dashboard.login();
    let agent = OldAgent::join(&dashboard.url, "web", "abc1234");
    user.wait_for_online("web");
    (dashboard, user, agent)
}

/// What the page of a refusal says.
fn text_of(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("<h1>That did not work</h1><p>").expect("a problem");
    let (text, _) = rest.split_once("</p>").expect("its end");
    let pairs = [("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Both refuse with this status and code, in the same words.
#[track_caller]
fn assert_same(api: &Answer, page: &Answer, status: u16, code: &str) {
    assert_eq!((api.status, api.code().as_str()), (status, code), "{api:?}");
    assert_eq!(page.status, status, "{page:?}");
    assert_eq!(text_of(page), api.message());
}

#[test]
fn the_page_and_the_api_refuse_in_the_same_words() {
    let (_dashboard, user, mut agent) = with_old_agent(&[]);
    user.start("web", "pull");
    agent.expect_command("pull");
    let command = format!("/commands/{NOBODY}/stop");
    let rollout = format!("/rollouts/{NOBODY}/cancel");
    let retry = format!("/rollouts/{NOBODY}/retry");
    for (path, form, body, status, code) in [
        ("/hosts/web/commands", vec![("op", "fly")], json!({ "op": "fly" }), 400, "bad_input"),
        ("/hosts/web/commands", vec![("op", "test")], json!({ "op": "test" }), 409, "host_busy"),
        (
            "/hosts/web/commands",
            vec![("op", "reboot")],
            json!({ "op": "reboot" }),
            409,
            "confirmation_required",
        ),
        (
            "/hosts/nobody/commands",
            vec![("op", "pull")],
            json!({ "op": "pull" }),
            404,
            "no_such_host",
        ),
        ("/hosts/nobody/refresh", vec![], json!({}), 404, "no_such_host"),
        (command.as_str(), vec![], json!({}), 404, "no_such_command"),
        (rollout.as_str(), vec![], json!({}), 404, "no_such_rollout"),
        (retry.as_str(), vec![], json!({}), 404, "no_such_rollout"),
        (
            retry.as_str(),
            vec![("regardless", "rain")],
            json!({ "regardless": ["rain"] }),
            400,
            "bad_input",
        ),
        ("/rollouts", vec![("op", "fly")], json!({ "op": "fly" }), 400, "bad_input"),
        ("/rollouts", vec![("op", "pull")], json!({ "op": "pull" }), 400, "bad_input"),
        (
            "/rollouts",
            vec![("op", "pull"), ("hosts[]", "web"), ("at_once", "0")],
            json!({ "op": "pull", "hosts": ["web"], "at_once": 0 }),
            400,
            "bad_input",
        ),
        (
            "/rollouts",
            vec![("op", "pull"), ("hosts[]", "nobody")],
            json!({ "op": "pull", "hosts": ["nobody"] }),
            404,
            "no_such_host",
        ),
        (
            "/pull-requests/7/merge?source=default",
            vec![],
            json!({ "source": "default" }),
            409,
            "not_supported",
        ),
        (
            "/pull-requests/7/revert?source=default",
            vec![],
            json!({ "source": "default" }),
            409,
            "not_supported",
        ),
        ("/pull-requests/seven/merge", vec![], json!({}), 404, "not_found"),
    ] {
        let address = path.split('?').next().unwrap();
        let api = user.post(&format!("/api{address}"), &body);
        assert_same(&api, &user.post_form(path, &form), status, code);
    }
    let other_site = user.clone().without_csrf();
    let body = json!({ "op": "pull" });
    let api = other_site.post("/api/hosts/web/commands", &body);
    assert_same(&api, &other_site.post_form("/hosts/web/commands", &[("op", "pull")]), 403, "csrf");
    for (field, wrong) in [("location", "moon"), ("theme_color", "red"), ("device_type", "car")] {
        let api = user.patch("/api/hosts/web", &json!({ field: wrong }));
        let page = user.post_form("/hosts/web/settings", &[(field, wrong)]);
        assert_same(&api, &page, 400, "bad_input");
    }
    // B9: what a busy host is asked for.
    let removal = user.post_form("/hosts/web/remove", &[("name", "web")]);
    assert_same(&user.delete("/api/hosts/web"), &removal, 409, "host_busy");
}

#[test]
fn too_many_wrong_codes_are_429_in_the_same_words_on_the_page() {
    // B4: the page said "needs the one-time code", also for the right one.
    let dashboard = Dashboard::start(&[("NIXFLEET_TOTP_SECRET", SECRET)]);
    let user = Client::login_with_code(&dashboard.url, &dashboard.password, SECRET);
    let _agent = OldAgent::join(&dashboard.url, "web", "abc1234");
    user.wait_for_online("web");
    let guess = json!({ "op": "reboot", "args": { "confirmed": true }, "totp": "000001" });
    let form = [("op", "reboot"), ("args.confirmed", "true"), ("totp", "000001")];
    let api = || user.post("/api/hosts/web/commands", &guess);
    let page = || user.post_form("/hosts/web/commands", &form);
    assert_same(&api(), &page(), 403, "confirmation_required");
    wait_until("the guesses are limited", || {
        let answer = api();
        if answer.status == 429 { Ok(()) } else { Err(answer) }
    });
    let (api, page) = (api(), page());
    assert_eq!((api.status, page.status), (429, 429), "{page:?}");
    // The seconds differ while time goes by.
    let words = |text: String| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(words(text_of(&page)), words(api.message()));
    assert_eq!(api.code(), "too_many_tries");
}

#[test]
fn a_rollout_that_the_page_does_not_offer_is_400() {
    // B5: it opened an update.
    let (_dashboard, user, _agent) = with_old_agent(&[]);
    for op in ["rollback", "reboot", "fly"] {
        let answer = user.get(&format!("/rollouts/new?op={op}"));
        assert_eq!(answer.status, 400, "{op}: {answer:?}");
        let text = text_of(&answer);
        assert!(text.contains("`op`") && text.contains(op) && text.contains("update"), "{text}");
    }
    assert_eq!(user.get("/rollouts/new?op=pull").status, 200);
}

#[test]
fn who_may_call_is_asked_before_anything_that_was_sent_is_looked_at() {
    let dashboard = Dashboard::start(&[]);
    let visitor = Client::visitor(&dashboard.url);
    let get = |path: &str| visitor.get(path);
    let post = |path: &str| visitor.post_text(path, "{ no json");
    for path in [
        "/api/hosts/-no-host",
        "/api/hosts/-no-host/commands?limit=x",
        "/api/hosts/-no-host/tests?before=x",
        "/api/hosts/-no-host/generations",
        "/api/hosts/-no-host/deployments?limit=x",
        "/api/commands/no-id",
        "/api/commands/no-id/output?after=x",
        "/api/rollouts/no-id",
        "/api/events?limit=x",
    ] {
        let answer = get(path);
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{path}");
    }
    for path in [
        "/api/hosts",
        "/api/hosts/-no-host/commands",
        "/api/hosts/-no-host/refresh",
        "/api/commands",
        "/api/commands/no-id/stop",
        "/api/commands/no-id/extend",
        "/api/desired/refresh",
        "/api/pull-requests/x/merge",
        "/api/pull-requests/x/revert",
        "/api/rollouts",
        "/api/rollouts/no-id/no-change",
        "/api/tokens",
    ] {
        let answer = post(path);
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{path}");
    }
    let large = visitor.post_text("/api/hosts", &"x".repeat(70_000));
    assert_eq!(large.status, 401);
    assert_eq!(visitor.patch("/api/hosts/-no-host", &json!({ "x": 1 })).status, 401);
    assert_eq!(visitor.delete("/api/hosts/-no-host").status, 401);
    for path in
        ["/hosts/-no-host", "/hosts/-no-host/menu", "/commands/no-id/log", "/rollouts/new?op=x"]
    {
        assert_eq!(visitor.get(path).status, 303, "{path}");
    }
    for path in ["/hosts/-no-host/commands", "/rollouts", "/settings/password", "/selection"] {
        assert_eq!(visitor.post_form(path, &[]).status, 303, "{path}");
    }
}

#[test]
fn a_field_that_is_not_known_is_400_with_its_name() {
    let (_dashboard, user, _agent) = with_old_agent(&[]);
    let odd = |mut body: Value| {
        body["sauce"] = json!(1);
        body
    };
    for (path, body) in [
        ("/api/hosts", json!({ "hostname": "db" })),
        ("/api/hosts/web/commands", json!({ "op": "pull" })),
        ("/api/commands", json!({ "op": "pull", "hosts": ["web"] })),
        ("/api/rollouts", json!({ "op": "pull", "all": true })),
        ("/api/pull-requests/7/merge", json!({})),
        ("/api/pull-requests/7/revert", json!({})),
        ("/api/tokens", json!({ "name": "ci" })),
    ] {
        let answer = user.post(path, &odd(body));
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_input"), "{path}");
        assert!(answer.message().contains("`sauce`"), "{path}: {answer:?}");
    }
    let answer = user.patch("/api/hosts/web", &odd(json!({})));
    assert_eq!(answer.status, 400);
    assert!(answer.message().contains("`sauce`"), "{answer:?}");
    assert_eq!(user.get("/api/hosts/db").status, 404, "nothing was added");
    assert!(user.host("web")["pending_command"].is_null(), "nothing was started");
}

#[test]
fn a_body_may_be_empty_where_all_fields_are_optional() {
    let (_dashboard, user, _agent) = with_old_agent(&[]);
    let refused = user.post_text("/api/pull-requests/7/revert", "");
    assert_eq!((refused.status, refused.code().as_str()), (409, "not_supported"));
    // 61: what was seen last is merged where no head is named.
    let refused = user.post_text("/api/pull-requests/7/merge", "");
    assert_eq!((refused.status, refused.code().as_str()), (409, "not_supported"));
    assert_eq!(user.send("PATCH", "/api/hosts/web", "").unwrap().status, 200);
    let missing = user.post_text("/api/hosts/web/commands", "");
    assert!(missing.message().contains("missing field `op`"), "{missing:?}");
}

#[test]
fn a_host_is_added_with_its_place_kind_and_colour() {
    // 58: they were ignored.
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let looks = json!({ "location": "cloud", "device_type": "server", "theme_color": "#7aa2f7" });
    let mut body = looks.clone();
    body["hostname"] = json!("db");
    let added = user.post("/api/hosts", &body);
    assert_eq!(added.status, 201, "{added:?}");
    let host = user.host("db");
    for field in ["location", "device_type", "theme_color"] {
        assert_eq!(host[field], looks[field], "{field}");
    }
    let refused = user.post("/api/hosts", &json!({ "hostname": "db2", "location": "moon" }));
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("`location`: expected one of home"), "{refused:?}");
    assert_eq!(user.get("/api/hosts/db2").status, 404);
}

#[test]
fn two_users_who_change_two_settings_at_one_moment_both_get_what_they_asked_for() {
    // B2: 40 of 60 pairs lost one.
    let (_dashboard, user, _agent) = with_old_agent(&[]);
    let meet = Barrier::new(2);
    for round in 0..60 {
        let place = ["home", "work", "cloud"][round % 3];
        let kind = ["server", "desktop", "laptop", "gaming"][round % 4];
        thread::scope(|scope| {
            for change in [json!({ "location": place }), json!({ "device_type": kind })] {
                let (meet, user) = (&meet, user.clone());
                scope.spawn(move || {
                    meet.wait();
                    assert_eq!(user.patch("/api/hosts/web", &change).status, 200);
                });
            }
        });
        let host = user.host("web");
        assert_eq!((&host["location"], &host["device_type"]), (&json!(place), &json!(kind)));
    }
}

#[test]
fn a_form_that_was_opened_before_somebody_elses_change_keeps_that_change() {
    let (_dashboard, user, _agent) = with_old_agent(&[]);
    let dialog = user.get("/hosts/web/settings").text;
    assert!(dialog.contains(r#"name="was.location" value="""#), "{dialog}");
    user.patch("/api/hosts/web", &json!({ "location": "work" }));
    let form = [
        ("location", ""),
        ("was.location", ""),
        ("device_type", "laptop"),
        ("was.device_type", ""),
        ("auto_rollback", "false"),
        ("was.auto_rollback", "false"),
    ];
    assert_eq!(user.post_form("/hosts/web/settings", &form).status, 303);
    let host = user.host("web");
    assert_eq!((&host["location"], &host["device_type"]), (&json!("work"), &json!("laptop")));
}

#[test]
fn while_sqlite_is_locked_a_change_is_503_in_the_same_words_and_without_sqlites_own() {
    let (dashboard, user, _agent) = with_old_agent(&[]);
    let database = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (api, page, token) = thread::scope(|scope| {
        let api = scope.spawn(|| user.post("/api/hosts", &json!({ "hostname": "db" })));
        let page = scope.spawn(|| user.post_form("/hosts", &[("hostname", "db2")]));
        let token = scope.spawn(|| user.post("/api/tokens", &json!({ "name": "ci" })));
        (api.join().unwrap(), page.join().unwrap(), token.join().unwrap())
    });
    assert_same(&api, &page, 503, "unavailable");
    assert_eq!((token.status, token.code().as_str()), (503, "unavailable"));
    let health = user.get("/health");
    assert_eq!(health.status, 503);
    // Not the page's source: the hash in an asset's name may spell anything.
    for text in [api.text, text_of(&page), token.text, health.text] {
        let text = text.to_lowercase();
        for inner in ["sqlite", "locked", "nixfleet.db", "transaction"] {
            assert!(!text.contains(inner), "{inner} in {text}");
        }
    }
    database.execute_batch("ROLLBACK").unwrap();
    assert_eq!(user.get("/api/hosts/db").status, 404);
}
