//! What holds rollouts back: a freeze of the fleet, and the windows of hosts.

use crate::support::browser::Browser;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};

/// Hosts that are current, and a commit that they do not have yet. The configuration of `db` gives it
/// a tag of its name.
struct Fleet {
    dashboard: Dashboard,
    user: Client,
    _repo: ConfigRepo,
    _agents: [Agent; 2],
}

impl Fleet {
    fn behind() -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let tags = [("NIXFLEET_TAGS", "db")];
        let agents = [
            Agent::start_with(&dashboard.url, "db", &repo.remote(), &tags),
            Agent::start(&dashboard.url, "web", &repo.remote()),
        ];
        for name in ["db", "web"] {
            user.wait_for_row(name, "ok ok ok out unk");
        }
        repo.push_change("something new");
        for name in ["db", "web"] {
            user.wait_for_row(name, "ok out ok out unk");
        }
        Self { dashboard, user, _repo: repo, _agents: agents }
    }

    #[track_caller]
    fn start(&self, body: &Value) -> String {
        let answer = self.user.post("/api/rollouts", body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["rollout_id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn wait_for(&self, id: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        wait_until(&format!("the rollout has {what}"), || {
            let now = self.user.get(&format!("/api/rollouts/{id}")).json();
            if so(&now) { Ok(now) } else { Err(now) }
        })
    }

    fn freeze(&self) -> Value {
        self.freeze_for("end of the year")
    }

    fn freeze_for(&self, reason: &str) -> Value {
        let body = json!({ "reason": reason, "until": in_days(3) });
        let answer = self.user.send("PUT", "/api/freeze", &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A window of `db` that is open on no day before the one after tomorrow.
    fn closed_window(&self) -> Value {
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        // 1970-01-01 was a Thursday.
        let today = (seconds() / 86_400 + 3) % 7;
        let open = days[usize::try_from((today + 3) % 7).unwrap()];
        let body = json!({ "tag": "db", "days": [open], "from": "02:00", "to": "03:00" });
        let answer = self.user.post("/api/windows", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    fn history(&self, name: &str) -> Vec<String> {
        let list = self.user.get(&format!("/api/hosts/{name}/commands")).json();
        list.as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|c| c["op"].as_str().unwrap().to_owned())
            .collect()
    }

    fn recorded(&self, category: &str) -> String {
        self.user.get(&format!("/api/events?category={category}")).text
    }
}

fn seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn in_days(days: u64) -> String {
    let at = jiff::Timestamp::from_second(i64::try_from(seconds() + days * 86_400).unwrap());
    at.unwrap().to_string()
}

#[test]
fn in_a_freeze_nothing_is_deployed_but_by_who_was_asked_and_what_waits_goes_on_after_it() {
    let mut fleet = Fleet::behind();
    assert_eq!(fleet.user.get("/api/freeze").json(), Value::Null);
    let frozen = fleet.freeze();
    assert_eq!((&frozen["reason"], &frozen["by"]), (&json!("end of the year"), &json!("admin")));
    assert_eq!(fleet.user.get("/api/freeze").json(), frozen);
    // It outlives a restart.
    fleet.dashboard.kill_9();
    fleet.dashboard.start_again();
    fleet.user = fleet.dashboard.login();
    let user = fleet.user.clone();
    for name in ["db", "web"] {
        user.wait_for_online(name);
        user.wait_for_row(name, "ok out ok out unk");
    }
    assert_eq!(user.get("/api/freeze").json(), frozen);
    let update = json!({ "op": "update", "hosts": ["web"] });
    for refused in [
        user.post("/api/rollouts", &update),
        user.post("/api/hosts/web/commands", &json!({ "op": "switch" })),
        user.post("/api/hosts/web/commands", &json!({ "op": "pull-switch" })),
    ] {
        assert_eq!((refused.status, refused.code()), (409, "frozen".to_owned()), "{refused:?}");
        assert!(refused.message().contains("end of the year"), "{refused:?}");
    }
    let many = user.post("/api/commands", &json!({ "op": "switch", "hosts": ["db", "web"] }));
    assert_eq!(many.json()[0]["error"]["code"], "frozen", "{many:?}");
    // What changes nothing that runs is possible.
    let pull = fleet.start(&json!({ "op": "pull", "hosts": ["web"] }));
    fleet.wait_for(&pull, "ended", |now| now["over"] == true);
    // Whoever says so goes on.
    let mut body = update.clone();
    body["regardless"] = json!(["freeze"]);
    let id = fleet.start(&body);
    let ended = fleet.wait_for(&id, "ended", |now| now["over"] == true);
    assert_eq!((&ended["counts"]["done"], &ended["regardless"]), (&json!(1), &json!(["freeze"])));
    let args = json!({ "regardless": ["freeze"] });
    let switched = user.post("/api/hosts/db/commands", &json!({ "op": "switch", "args": args }));
    assert_eq!(switched.status, 202, "{switched:?}");
    let command = switched.json()["command_id"].as_str().unwrap().to_owned();
    user.wait_for_state(&command, "succeeded");
    assert_eq!(user.command(&command)["args"], args, "it stands with the command");
    let events = fleet.recorded("rollout") + &fleet.recorded("command");
    for said in [
        "The fleet was frozen until",
        "Update of 1 host was started, regardless of the freeze.",
        "Switch was started regardless of the freeze.",
    ] {
        assert!(events.contains(said), "{said}: {events}");
    }
    // A rollout that goes on when it is frozen waits, and says why; then it goes on.
    assert_eq!(user.delete("/api/freeze").status, 204);
    assert_eq!(user.get("/api/freeze").json(), Value::Null);
    fleet.closed_window();
    let id = fleet.start(&json!({ "op": "update", "hosts": ["db"] }));
    fleet.freeze();
    let why = |now: &Value| now["hosts"]["db"]["why"].as_str().unwrap_or_default().to_owned();
    fleet.wait_for(&id, "been frozen", |now| {
        why(now).starts_with("frozen until ") && why(now).ends_with(": end of the year")
    });
    let window = user.get("/api/windows").json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(user.delete(&format!("/api/windows/{window}")).status, 204);
    // The freeze alone keeps it back: it was looked at again after the window was gone.
    fleet.freeze_for("no time");
    fleet.wait_for(&id, "been looked at again", |now| why(now).ends_with(": no time"));
    assert_eq!(fleet.history("db"), ["switch"]);
    assert_eq!(user.delete("/api/freeze").status, 204);
    assert_eq!(user.delete("/api/freeze").status, 204, "also where there is none");
    let ended = fleet.wait_for(&id, "ended", |now| now["over"] == true);
    assert_eq!(ended["counts"]["done"], 1, "{ended}");
}

#[test]
fn a_host_waits_for_its_window_says_until_when_and_holds_nobody_up() {
    let fleet = Fleet::behind();
    let user = &fleet.user;
    let window = fleet.closed_window();
    assert_eq!(user.get("/api/windows").json(), json!([window]));
    let id = fleet.start(&json!({ "op": "update", "all": true }));
    let now = fleet.wait_for(&id, "one that is through", |now| now["counts"]["done"] == 1);
    assert_eq!(now["hosts"]["web"]["state"], "done", "{now}");
    let why = now["hosts"]["db"]["why"].as_str().unwrap();
    assert!(why.starts_with("outside of its maintenance window, which opens "), "{why}");
    assert!(why.ends_with(" 02:00 (UTC)"), "{why}");
    assert_eq!(fleet.history("db"), [""; 0]);
    let refused = user.post("/api/hosts/db/commands", &json!({ "op": "switch" }));
    assert_eq!((refused.status, refused.code()), (409, "outside_window".to_owned()), "{refused:?}");
    assert!(
        refused.message().starts_with("db is outside of its maintenance window"),
        "{refused:?}"
    );
    // One more that is open now.
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let open = json!({ "tag": "db", "days": days, "from": "00:00", "to": "24:00", "time_zone": "Europe/Vienna" });
    let added = user.post("/api/windows", &open);
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!(added.json()["told"], "every day 00:00 to 24:00 (Europe/Vienna)");
    let ended = fleet.wait_for(&id, "ended", |now| now["over"] == true);
    assert_eq!(ended["counts"]["done"], 2, "{ended}");
    let events = fleet.recorded("rollout");
    assert!(events.contains("A window was added: tag db, every day 00:00 to 24:00"), "{events}");
}

/// The review of rollouts, 9.
#[test]
fn a_later_freeze_holds_who_went_on_regardless_of_an_earlier_one() {
    let fleet = Fleet::behind();
    fleet.closed_window();
    let body = json!({ "op": "update", "hosts": ["db"], "regardless": ["freeze"] });
    // There is none to go on regardless of.
    let none = fleet.start(&body);
    let now = fleet.user.get(&format!("/api/rollouts/{none}")).json();
    assert_eq!(now["regardless"], json!([]), "{now}");
    assert!(!fleet.recorded("rollout").contains("regardless"));
    fleet.freeze();
    let id = fleet.start(&body);
    let why = |now: &Value| now["hosts"]["db"]["why"].as_str().unwrap_or_default().to_owned();
    fleet.wait_for(&none, "been frozen", |now| why(now).starts_with("frozen until "));
    fleet.wait_for(&id, "to wait for its window", |now| why(now).starts_with("outside of "));
    fleet.freeze();
    let now = fleet.wait_for(&id, "been frozen", |now| why(now).starts_with("frozen until "));
    assert_eq!(now["regardless"], json!(["freeze"]), "{now}");
}

#[test]
fn what_never_opens_or_never_ends_is_refused_with_the_fields_name() {
    let fleet = Fleet::behind();
    let user = &fleet.user;
    let whole =
        json!({ "tag": "db", "days": ["sat"], "from": "02:00", "to": "04:00", "time_zone": "UTC" });
    for (field, wrong) in [
        ("days", json!([])),
        ("days", json!(["caturday"])),
        ("from", json!("24:00")),
        ("from", json!("noon")),
        ("to", json!("02:00")),
        ("to", json!("25:00")),
        ("time_zone", json!("Europe/Atlantis")),
        ("time_zone", json!("")),
        ("tag", json!("nobody")),
        ("tag", json!("no tag")),
    ] {
        let mut body = whole.clone();
        body[field] = wrong.clone();
        let answer = user.post("/api/windows", &body);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad_input".to_owned()),
            "{wrong}: {answer:?}"
        );
        assert!(answer.message().starts_with(&format!("`{field}`: ")), "{wrong}: {answer:?}");
    }
    for (field, wrong) in [
        ("reason", json!(" ")),
        ("reason", json!("x".repeat(201))),
        ("until", json!("tomorrow")),
        ("until", json!("2020-01-01T00:00:00Z")),
        ("until", json!("9999-01-01T00:00:00Z")),
    ] {
        let mut body = json!({ "reason": "holidays", "until": in_days(1) });
        body[field] = wrong.clone();
        let answer = user.send("PUT", "/api/freeze", &body.to_string()).unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad_input".to_owned()),
            "{wrong}: {answer:?}"
        );
        assert!(answer.message().starts_with(&format!("`{field}`: ")), "{wrong}: {answer:?}");
    }
    let answer =
        user.post("/api/rollouts", &json!({ "op": "update", "all": true, "regardless": ["rain"] }));
    assert!(answer.message().starts_with("`regardless`: "), "{answer:?}");
    let id = "0190a5c4-0000-7000-8000-000000000000";
    for unknown in [id, "no-id"] {
        let answer = user.delete(&format!("/api/windows/{unknown}"));
        assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()), "{answer:?}");
    }
    assert_eq!(user.get("/api/windows").json(), json!([]));
    assert_eq!(user.get("/api/freeze").json(), Value::Null);
    // Who may only read changes nothing.
    let made = user.post("/api/tokens", &json!({ "name": "look", "scope": "operate" })).json();
    let program = Client::with_token(&fleet.dashboard.url, made["token"].as_str().unwrap());
    assert_eq!(program.post("/api/windows", &whole).status, 403);
}

#[test]
fn a_freeze_is_on_every_page_that_matters_and_whoever_goes_on_is_asked() {
    let fleet = Fleet::behind();
    let browser = Browser::start();
    browser.login(&fleet.dashboard.url, &fleet.dashboard.password);
    browser.wait_for_text("#link", "live");
    let at = |path: &str| browser.go(&format!("{}{path}", fleet.dashboard.url));
    // Live, on a page that is open.
    fleet.freeze();
    browser.wait_for_text("#rollouts .frozen", "end of the year");
    for dark in [true, false] {
        browser.screen(1280, 900, dark);
        assert_eq!(browser.axe(), [""; 0], "frozen, dark: {dark}");
    }
    browser.assert_true();
    // A row's button asks.
    browser.click("#host-web .do [data-op=update]");
    browser.wait_for_text("dialog[data-dialog=rollout]", "Go on regardless of the freeze");
    assert_eq!(browser.axe(), [""; 0], "asked");
    browser.click("dialog header button");
    browser.wait_for("#dialogs:empty");
    browser.click("#host-web [data-op=menu]");
    browser.click("#dialogs [data-op=switch]");
    browser.wait_for_text("dialog[data-dialog=held-back]", "end of the year");
    assert_eq!(browser.axe(), [""; 0], "held back");
    browser.click("dialog [data-op=regardless]");
    browser.wait_for("#dialogs:empty");
    wait_until("it was switched", || {
        let history = fleet.history("web");
        if history == ["switch"] { Ok(()) } else { Err(history) }
    });
    fleet.user.wait_for_idle("web");
    // So does a rollout of several.
    browser.click("[data-op=update-all]");
    browser.wait_for("dialog [name=regardless][value=freeze]:required");
    browser.click("dialog [name=regardless][value=freeze]");
    browser.click("dialog [data-op=start]");
    wait_until("it goes on", || {
        let all = fleet.user.get("/api/rollouts").json();
        if all[0]["regardless"] == json!(["freeze"]) { Ok(()) } else { Err(all) }
    });
    // The settings: it ends, a window comes and goes.
    at("/settings/maintenance");
    browser.wait_for_text("#freeze", "end of the year");
    browser.click("#freeze [data-op=thaw]");
    browser.wait_for("#freeze [data-op=freeze]");
    browser.choose("#window-tag", "db");
    browser.click("#windows [value=sat]");
    browser.type_in("#window-from", "22:00");
    browser.type_in("#window-to", "22:00");
    browser.click("#windows [data-op=add-window]");
    browser.wait_for_text("section.news", "it would never open");
    browser.choose("#window-tag", "db");
    browser.click("#windows [value=sat]");
    browser.type_in("#window-from", "22:00");
    browser.type_in("#window-to", "04:00");
    browser.type_in("#window-zone", "Europe/Vienna");
    browser.click("#windows [data-op=add-window]");
    browser.wait_for_text("[data-window]", "db Sat 22:00 to 04:00 (Europe/Vienna)");
    for (width, dark) in [(1280, false), (320, true)] {
        browser.screen(width, 900, dark);
        assert_eq!(browser.axe_whole(), [""; 0], "maintenance at {width}");
    }
    browser.screen(1280, 900, false);
    browser.click("[data-window] button");
    browser.wait_for("#windows:not(:has([data-window]))");
    let until = in_days(2);
    let form = [("reason", "holidays"), ("until", &until[..16])];
    assert_eq!(fleet.user.post_form("/settings/maintenance/freeze", &form).status, 303);
    assert_eq!(fleet.user.get("/api/freeze").json()["until"], format!("{}:00Z", &until[..16]));
    at("/rollouts");
    browser.wait_for_text(".frozen", "holidays");
}
