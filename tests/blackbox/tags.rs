//! Tags: hosts get them from their configuration and from users, and are found and chosen by them.

use crate::support::browser::Browser;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};

/// Two hosts; the configuration of `web` gives it the tags `edge` and `eu`.
struct Fleet {
    dashboard: Dashboard,
    user: Client,
    repo: ConfigRepo,
    _agents: [Agent; 2],
}

impl Fleet {
    fn start() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let tags = [("NIXFLEET_TAGS", "eu edge")];
        let agents = [
            Agent::start_with(&dashboard.url, "web", &repo.remote(), &tags),
            Agent::start(&dashboard.url, "db", &repo.remote()),
        ];
        for name in ["web", "db"] {
            user.wait_for_row(name, "ok ok ok out unk");
        }
        Self { dashboard, user, repo, _agents: agents }
    }

    fn tags(&self, host: &str) -> (Value, Value) {
        let host = self.user.host(host);
        (host["tags"].clone(), host["tags_added"].clone())
    }
}

#[test]
fn tags_of_configurations_and_of_users_stand_together_and_choose_hosts_for_a_rollout() {
    let mut fleet = Fleet::start();
    let user = fleet.user.clone();
    assert_eq!(fleet.tags("web"), (json!(["edge", "eu"]), json!([])));
    assert_eq!(fleet.tags("db"), (json!([]), json!([])));
    let answer = user.post("/api/tags", &json!({ "tag": "canary", "hosts": ["web", "db"] }));
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = json!([
        { "tag": "canary", "hosts": ["db", "web"], "added": 2 },
        { "tag": "edge", "hosts": ["web"], "added": 0 },
        { "tag": "eu", "hosts": ["web"], "added": 0 },
    ]);
    assert_eq!(answer.json(), all);
    fleet.dashboard.kill_9();
    fleet.dashboard.start_again();
    let user = fleet.dashboard.login();
    fleet.user = user.clone();
    user.wait_for_online("web");
    user.wait_for_online("db");
    assert_eq!(user.get("/api/tags").json(), all, "they were stored");
    // Who has one of the tags takes part, and who is named.
    let who = |body: &Value| {
        let answer = user.post("/api/rollouts", body);
        assert_eq!(answer.status, 202, "{answer:?}");
        let rollout = answer.json();
        let id = rollout["rollout_id"].as_str().unwrap().to_owned();
        wait_until("the rollout has ended", || {
            let now = user.get(&format!("/api/rollouts/{id}")).json();
            if now["over"] == true { Ok(()) } else { Err(now) }
        });
        let hosts = rollout["hosts"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        hosts.join(" ")
    };
    assert_eq!(who(&json!({ "op": "pull", "tags": ["edge"] })), "web");
    assert_eq!(who(&json!({ "op": "pull", "tags": ["edge", "canary"] })), "db web");
    assert_eq!(who(&json!({ "op": "pull", "tags": ["edge"], "hosts": ["db"] })), "db web");
    // What users added goes; what a configuration gives stays.
    let answer = user.patch("/api/hosts/web", &json!({ "tags": ["front", "eu"] }));
    assert_eq!(answer.json()["tags"], json!(["edge", "eu", "front"]), "{answer:?}");
    assert_eq!(answer.json()["tags_added"], json!(["eu", "front"]));
    assert_eq!(user.delete("/api/tags/eu").status, 204);
    assert_eq!(fleet.tags("web"), (json!(["edge", "eu", "front"]), json!(["front"])));
    let refused = user.delete("/api/tags/eu");
    assert_eq!((refused.status, refused.code()), (404, "not_found".to_owned()), "{refused:?}");
    let answer = user.patch("/api/hosts/web", &json!({ "tags": null }));
    assert_eq!(answer.json()["tags"], json!(["edge", "eu"]));
    let added = user.post("/api/hosts", &json!({ "hostname": "new", "tags": ["spare"] }));
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!(fleet.tags("new"), (json!(["spare"]), json!(["spare"])));
    let events = user.get("/api/events?host=web&category=host").text;
    assert!(events.contains("Settings were changed."), "{events}");
}

#[test]
fn what_is_no_tag_or_of_no_host_is_refused_with_the_fields_name() {
    let fleet = Fleet::start();
    let user = &fleet.user;
    let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
    for (path, body, part) in [
        (
            "/api/rollouts",
            json!({ "op": "pull", "tags": ["nobody"] }),
            "`tags`: expected tags that hosts have; none has `nobody`",
        ),
        (
            "/api/rollouts",
            json!({ "op": "pull", "tags": ["edge", "no tag"] }),
            "`tags`: got \"no tag\"",
        ),
        ("/api/rollouts", json!({ "op": "pull", "tags": ["edge"], "all": true }), "`hosts`"),
        ("/api/rollouts", json!({ "op": "pull", "tags": [] }), "`hosts`"),
        ("/api/tags", json!({ "tag": "<script>", "hosts": ["web"] }), "`tag`"),
        ("/api/tags", json!({ "tag": "x", "hosts": [] }), "`hosts`"),
        ("/api/hosts", json!({ "hostname": "two", "tags": ["UP"] }), "`tags`: got \"UP\""),
    ] {
        let answer = user.post(path, &body);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad_input".to_owned()),
            "{body}: {answer:?}"
        );
        assert!(answer.message().contains(part), "{body}: {answer:?}");
    }
    for tags in [json!(["a b"]), json!(many)] {
        let answer = user.patch("/api/hosts/web", &json!({ "tags": tags }));
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.message().starts_with("`tags`: "), "{answer:?}");
        let page = user.post_form("/hosts/web/settings", &[("tags", "a<b")]);
        assert_eq!(page.status, 400, "{page:?}");
    }
    assert_eq!(user.post("/api/tags", &json!({ "tag": "x", "hosts": ["nobody"] })).status, 404);
    assert_eq!(fleet.tags("web"), (json!(["edge", "eu"]), json!([])), "nothing was changed");
    // One host that has no room for it: nobody gets it.
    let full = user.patch("/api/hosts/web", &json!({ "tags": many[..16] }));
    assert_eq!(full.status, 200, "{full:?}");
    let refused = user.post("/api/tags", &json!({ "tag": "x", "hosts": ["db", "web"] }));
    assert!(refused.message().starts_with("`hosts`: web has 16 tags already"), "{refused:?}");
    assert_eq!(fleet.tags("db"), (json!([]), json!([])));
}

#[test]
fn hosts_are_found_grouped_and_updated_by_their_tags_on_the_page() {
    let fleet = Fleet::start();
    let browser = Browser::start();
    browser.login(&fleet.dashboard.url, &fleet.dashboard.password);
    browser.wait_for_text("#link", "live");
    let visible = |expected: &str| {
        let script = "return [...document.querySelectorAll('#hosts article:not([hidden])')]\
                      .map(row => row.dataset.host).join(' ')";
        wait_until("these hosts are shown", || {
            let now = browser.run(script);
            if now == expected { Ok(()) } else { Err(now) }
        });
    };
    // The settings of a host.
    browser.click("#host-db [data-op=menu]");
    browser.click("#dialogs [data-op=open-settings]");
    browser.wait_for("dialog[data-dialog=settings]");
    assert_eq!(browser.axe(), [""; 0], "settings");
    // One that begins as the tag of another host.
    browser.type_in("#tags", "canary edge-2 eu");
    browser.click("dialog [data-op=save]");
    browser.wait_for("#host-db[data-tags='canary edge-2 eu']");
    // The filter, before and after a reload.
    browser.type_in("#filter", "tag:edge");
    // A tag is meant whole (finding 5), by the script and without it; any other word is not.
    visible("web");
    let plain = fleet.user.get("/?q=tag:edge").text;
    assert!(plain.contains("<article hidden id=\"host-db\""), "{plain}");
    assert!(plain.contains("<article id=\"host-web\""), "{plain}");
    browser.go(&format!("{}/?q=edge", fleet.dashboard.url));
    visible("db web");
    browser.go(&format!("{}/?q=tag:canary", fleet.dashboard.url));
    visible("db");
    browser.go(&format!("{}/?group=tag", fleet.dashboard.url));
    browser.wait_for_text("#link", "live");
    visible("db web");
    let heads =
        "return [...document.querySelectorAll('.grp')].map(at => at.innerText.trim()).join('; ')";
    assert_eq!(browser.run(heads), "canary, edge-2, eu; edge, eu");
    assert_eq!(browser.axe(), [""; 0], "groups");
    browser.click("[data-group='tag:edge:eu']");
    visible("db");
    // Its own page, and the list of all tags, by which a rollout is started.
    browser.go(&format!("{}/hosts/web", fleet.dashboard.url));
    browser.wait_for("#facts a[href='/?q=tag:edge']");
    fleet.repo.push_change("new");
    fleet.user.wait_for_row("db", "ok out ok out unk");
    fleet.user.wait_for_row("web", "ok out ok out unk");
    browser.go(&format!("{}/settings", fleet.dashboard.url));
    browser.click("#maintenance-link a");
    browser.wait_for_text("[data-tag=eu]", "2 hosts");
    for (width, dark) in [(1280, false), (320, true)] {
        browser.screen(width, 900, dark);
        assert_eq!(browser.axe_whole(), [""; 0], "maintenance at {width}");
    }
    browser.screen(1280, 900, false);
    assert_eq!(browser.complaints(), [""; 0]);
    browser.type_in("#new-tag", "front");
    browser.type_in("#tag-hosts", "web, nobody");
    browser.click("#tag-list form.fields button");
    browser.wait_for_text("section.news", "nobody");
    browser.type_in("#new-tag", "front");
    browser.type_in("#tag-hosts", "web");
    browser.click("#tag-list form.fields button");
    browser.wait_for("[data-tag=front]");
    browser.click("[data-tag=front] form button");
    browser.wait_for("#tag-list:not(:has([data-tag=front]))");
    browser.click("[data-tag=edge] a[href*='tag=edge']");
    browser.wait_for_text("[data-dialog=rollout]", "1 take part");
    let part = browser.text("[data-dialog=rollout] .names");
    assert_eq!(part, "web");
    // The form that was refused, and nothing else.
    let complaints = browser.complaints();
    assert!(matches!(&complaints[..], [one] if one.ends_with("404 (Not Found)")), "{complaints:?}");
}

/// Finding 7: who waits for a window begins when that is suddenly for nobody.
#[test]
fn a_tag_that_a_window_goes_by_is_not_taken_away_before_the_window() {
    let fleet = Fleet::start();
    let user = &fleet.user;
    assert_eq!(user.post("/api/tags", &json!({ "tag": "canary", "hosts": ["db"] })).status, 200);
    let window = json!({ "tag": "canary", "days": ["sat"], "from": "02:00", "to": "04:00" });
    let window = user.post("/api/windows", &window).json()["id"].as_str().unwrap().to_owned();
    let settings = [("tags", ""), ("was.tags", "canary")];
    let in_use = "is for hosts with the tag `canary`, and";
    for refused in [
        user.delete("/api/tags/canary"),
        user.patch("/api/hosts/db", &json!({ "tags": null })),
        user.patch("/api/hosts/db", &json!({ "tags": ["other"] })),
    ] {
        assert_eq!((refused.status, refused.code().as_str()), (409, "in_use"), "{refused:?}");
        assert!(refused.message().contains("The window Sat 02:00 to 04:00 (UTC)"), "{refused:?}");
        assert!(refused.message().contains(in_use), "{refused:?}");
    }
    for page in [
        user.post_form("/hosts/db/settings", &settings),
        user.post_form("/settings/maintenance/tags/canary/remove", &[]),
    ] {
        assert_eq!(page.status, 409, "{page:?}");
        assert!(page.text.contains(in_use), "{page:?}");
    }
    assert_eq!(fleet.tags("db").1, json!(["canary"]), "nothing was changed");
    // Where another host has it, the window is for that one.
    let both = user.patch("/api/hosts/web", &json!({ "tags": ["canary"] }));
    assert_eq!(both.status, 200, "{both:?}");
    assert_eq!(user.patch("/api/hosts/db", &json!({ "tags": null })).status, 200);
    let page = user.get("/settings/maintenance").text;
    assert!(!page.contains("for no host"), "{page}");
    // A host that is removed takes its tags with it: the window says so.
    user.wait_for_idle("web");
    assert_eq!(user.delete("/api/hosts/web").status, 204);
    wait_until("the window says that it is for nobody", || {
        let page = user.get("/settings/maintenance").text;
        if page.contains("for no host") { Ok(()) } else { Err(page) }
    });
    assert_eq!(user.delete(&format!("/api/windows/{window}")).status, 204);
}

#[test]
fn a_tag_is_removed_once_no_window_goes_by_it_and_more_windows_than_may_be_are_refused() {
    let fleet = Fleet::start();
    let user = &fleet.user;
    assert_eq!(user.post("/api/tags", &json!({ "tag": "canary", "hosts": ["db"] })).status, 200);
    let body = json!({ "tag": "canary", "days": ["sat"], "from": "02:00", "to": "04:00" });
    for n in 0..100 {
        let added = user.post("/api/windows", &body);
        assert_eq!(added.status, 201, "{n}: {added:?}");
    }
    let full = user.post("/api/windows", &body);
    assert_eq!((full.status, full.code().as_str()), (409, "in_use"), "{full:?}");
    assert!(full.message().contains("100 windows already"), "{full:?}");
    for window in user.get("/api/windows").json().as_array().unwrap() {
        let id = window["id"].as_str().unwrap();
        assert_eq!(user.delete(&format!("/api/windows/{id}")).status, 204);
    }
    assert_eq!(user.delete("/api/tags/canary").status, 204);
}
