//! API tokens and what they may do, tokens of hosts, sessions.

use crate::support::browser::Browser;
use crate::support::{Client, Dashboard, Live, OldAgent, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const NOBODY: &str = "0190a5c4-0000-7000-8000-000000000000";

/// Makes a token; answers it.
#[track_caller]
fn token(user: &Client, name: &str, scope: &str) -> String {
    let made = user.post("/api/tokens", &json!({ "name": name, "scope": scope }));
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["token"].as_str().unwrap().to_owned()
}

/// The calls of the reference and the scope that each needs.
fn calls() -> Vec<(String, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    let page = std::fs::read_to_string(path).unwrap();
    let table = page.split_once("## Calls").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")).map(|line| {
        let (call, rest) = line.split_once("` | ").unwrap();
        let (method, path) = call.split_once(' ').unwrap();
        (method.to_owned(), path.to_owned(), rest.split_once(" |").unwrap().0.to_owned())
    });
    rows.collect()
}

#[test]
fn a_token_may_do_on_every_route_what_its_scope_says_and_no_more_20() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let scopes = ["read", "operate", "admin"];
    let tokens: BTreeMap<&str, String> =
        scopes.iter().map(|scope| (*scope, token(&user, scope, scope))).collect();
    let rank = |scope: &str| scopes.iter().position(|known| *known == scope);
    let mut refused = 0;
    for (method, path, needed) in calls() {
        if ["anybody", "signature"].contains(&needed.as_str()) {
            continue;
        }
        let path = path.replace("{number}", "7").replace("{what}", "nothing");
        let id = if path.contains("hosts") { "nobody" } else { NOBODY };
        let path = path.replace("{id}", id);
        for (scope, token) in &tokens {
            let answer =
                Client::with_token(&dashboard.url, token).send(&method, &path, "{ no json");
            let answer = answer.expect("an answer");
            let place = format!("{method} {path} with a token that may {scope}: {answer:?}");
            if needed == "login" || rank(scope) < rank(&needed) {
                refused += 1;
                assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{place}");
                let clear = needed == "login" || answer.message().contains(&needed);
                assert!(clear && answer.message().contains("oken"), "{place}");
            } else {
                assert!(![401, 403].contains(&answer.status), "{place}");
            }
        }
    }
    assert!(refused > 25, "only {refused} refusals: the reference is not read");
}

#[test]
fn no_token_opens_a_page() {
    let dashboard = Dashboard::start(&[]);
    let admin = token(&dashboard.login(), "a", "admin");
    let program = Client::with_token(&dashboard.url, &admin);
    for page in ["/", "/settings", "/events"] {
        assert_eq!(program.get(page).status, 303, "{page}");
    }
}

#[test]
fn the_metrics_are_read_with_a_token_that_may_read_20() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let made = user.post("/api/tokens", &json!({ "name": "prometheus" })).json();
    assert_eq!(made["scope"], "read", "the least, where nothing is said");
    let program = Client::with_token(&dashboard.url, made["token"].as_str().unwrap());
    assert_eq!(program.get("/metrics").status, 200);
    assert_eq!(program.post("/api/desired/refresh", &json!({})).status, 403);
}

#[test]
fn a_token_ends_by_itself_and_its_last_use_is_told_20() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let asked = json!({ "name": "ci", "scope": "operate", "expires_in_days": 1 });
    let made = user.post("/api/tokens", &asked).json();
    let program = Client::with_token(&dashboard.url, made["token"].as_str().unwrap());
    let listed = || user.get("/api/tokens").json()[0].clone();
    assert_eq!(listed()["last_used_at"], Value::Null);
    assert_eq!(listed()["expires_at"], made["expires_at"]);
    assert_eq!(program.get("/api/hosts").status, 200);
    wait_until("its use is told", || {
        let used = listed()["last_used_at"].clone();
        if used.is_string() { Ok(()) } else { Err(used) }
    });
    let database = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    database.execute("UPDATE api_tokens SET expires_at = 1", []).unwrap();
    assert_eq!(program.get("/api/hosts").status, 401);
    for wrong in
        [json!({ "name": "x", "scope": "root" }), json!({ "name": "x", "expires_in_days": 0 })]
    {
        let answer = user.post("/api/tokens", &wrong);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_input"), "{wrong}");
    }
    let id = listed()["id"].as_str().unwrap().to_owned();
    assert_eq!(user.delete(&format!("/api/tokens/{id}")).status, 204);
    assert_eq!(user.delete(&format!("/api/tokens/{id}")).status, 404);
}

#[test]
fn sessions_are_listed_and_ended_one_by_one() {
    let dashboard = Dashboard::start(&[]);
    let (user, other, third) = (dashboard.login(), dashboard.login(), dashboard.login());
    let list = user.get("/api/sessions").json();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 3, "{list:?}");
    assert!(list.iter().all(|session| session["address"] == "127.0.0.1"), "{list:?}");
    assert!(list.iter().all(|session| session["browser"].as_str().unwrap().contains("ureq")));
    let mut live = Live::open(&dashboard.url, other.cookie());
    // Which one is whose is not told; end all but one's own by the page, which marks that.
    let page = user.get("/settings").text;
    let (own, _) = page.split_once(">this one<").expect("one's own is marked");
    assert!(own.contains("session-settings"));
    let mut ended = 0;
    for session in list {
        let id = session["id"].as_str().unwrap();
        let marked = page.split("<tr>").find(|item| item.contains(">this one<")).unwrap();
        if !marked.contains(id) {
            assert_eq!(user.post_form("/settings/sessions/end", &[("id", id)]).status, 200);
            ended += 1;
        }
    }
    assert_eq!(ended, 2);
    live.wait_for_the_end();
    assert_eq!(user.get("/api/hosts").status, 200);
    assert_eq!((other.get("/api/hosts").status, third.get("/api/hosts").status), (401, 401));
    let own = user.get("/api/sessions").json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(user.delete(&format!("/api/sessions/{own}")).status, 204);
    assert_eq!(user.get("/api/hosts").status, 401);
}

/// Whether a token opens a link for `web`; the link.
fn joins(url: &str, token: &str) -> Option<OldAgent> {
    let mut agent = OldAgent::connect(url, token, "web").ok()?;
    agent.generation = "abc1234".to_owned();
    agent.try_register().then_some(agent)
}

#[test]
fn a_hosts_token_is_renewed_and_the_one_before_works_for_an_hour() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let added = user.post("/api/hosts", &json!({ "hostname": "web" })).json();
    let old = added["token"].as_str().unwrap().to_owned();
    assert!(joins(&dashboard.url, &old).is_some());
    // The one-time display is lost: it is repeated by renewing once more.
    let renew = || {
        let made = user.post("/api/hosts/web/token", &json!({}));
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (lost, new) = (renew(), renew());
    let page = user.post_form("/hosts/web/token", &[]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("shown only now"), "{page:?}");
    for token in [&old, &lost, &new] {
        assert!(joins(&dashboard.url, token).is_some());
    }
    let mut link = joins(&dashboard.url, &old).expect("the hour is not over");
    let database = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    database
        .execute("UPDATE host_tokens SET expires_at = 1 WHERE expires_at IS NOT NULL", [])
        .unwrap();
    // A link that was opened with it ends too.
    assert_eq!(link.expect_close().0, 1008);
    for token in [&old, &lost, &new] {
        assert!(joins(&dashboard.url, token).is_none());
    }
    assert_eq!(user.post("/api/hosts/nobody/token", &json!({})).status, 404);
}

#[test]
fn a_host_of_the_shared_token_gets_one_of_its_own_without_being_lost() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let shared = crate::support::dashboard::TOKEN;
    let _link = OldAgent::join(&dashboard.url, "web", "abc1234");
    let made = user.post("/api/hosts/web/token", &json!({})).json();
    let own = made["token"].as_str().unwrap();
    for token in [shared, own] {
        assert!(joins(&dashboard.url, token).is_some());
    }
    let mut link = joins(&dashboard.url, shared).unwrap();
    let database = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    database.execute("UPDATE host_tokens SET shared_until = 1", []).unwrap();
    assert_eq!(link.expect_close().0, 1008);
    assert!(joins(&dashboard.url, shared).is_none());
    assert!(joins(&dashboard.url, own).is_some());
}

#[test]
fn links_of_a_shared_token_that_was_taken_back_end_16() {
    let dashboard = Dashboard::start(&[("NIXFLEET_AGENT_TOKEN", "")]);
    let user = dashboard.login();
    let page = user.post_form("/settings/enrolment/new", &[]).text;
    let (_, rest) = page.split_once("id=\"new-secret\"").unwrap();
    let token = rest.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0;
    let mut link = joins(&dashboard.url, token).expect("the shared token opens any host");
    assert_eq!(user.post_form("/settings/enrolment/off", &[]).status, 200);
    assert_eq!(link.expect_close().0, 1008);
}

#[test]
fn tokens_and_sessions_are_managed_on_the_page() {
    let dashboard = Dashboard::start(&[]);
    let other = dashboard.login();
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.go(&format!("{}/settings", dashboard.url));
    browser.wait_for("#session-settings");
    browser.pictures("settings-tokens");
    assert_eq!(browser.axe(), [""; 0]);
    browser.type_in("#token-name", "monitoring");
    browser.click("#token-settings .fields button");
    browser.wait_for_text(".news", "read, until ");
    browser.wait_for_text("#token-settings", "never used");
    browser.click("#session-settings tr:last-child button");
    browser.wait_for_text(".news", "The session was ended.");
    assert_eq!(other.get("/api/hosts").status, 401);
    assert_eq!(browser.complaints(), [""; 0]);
}
