//! Whoever is asked whether to go on regardless, and says yes, gets what was asked for, all of it; and what
//! nobody was asked about waits (findings 1 to 4 of the review of freezes and windows).

use crate::support::new_host::{NEW, NewHost as Host, OLD};
use crate::support::{Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};

/// Host `a` with an agent that says what the test wants; it is current, and the remote does not change.
fn house() -> (ConfigRepo, Dashboard, Client, Host) {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let a = Host::joins(&dashboard, "a", &repo.head());
    user.wait_for_online("a");
    // A switch is measured by what the remote says.
    wait_until("the remote was read", || {
        let git = user.host("a")["update_status"]["git"]["status"].clone();
        if git == "ok" { Ok(()) } else { Err(git) }
    });
    (repo, dashboard, user, a)
}

fn freeze(user: &Client) {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72);
    let body = json!({ "reason": "holidays", "until": until.to_string() });
    let answer = user.send("PUT", "/api/freeze", &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A window of all hosts that opens two days from now, for an hour.
fn closed_window(user: &Client) -> String {
    let day = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48)).to_string();
    let day = day[..10].parse::<jiff::civil::Date>().unwrap().weekday();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = days[usize::try_from(day.to_monday_zero_offset()).unwrap()];
    let body = json!({ "days": [day], "from": "02:00", "to": "03:00" });
    let answer = user.post("/api/windows", &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The one form of a page that asks for a command: where it goes, and what it sends.
fn form_of(page: &str) -> (String, Vec<(String, String)>) {
    let plain = |text: &str| text.replace("&amp;", "&").replace("&quot;", "\"");
    let value_of = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(plain(rest.split_once('"')?.0))
    };
    let forms = page.split("<form ").skip(1).filter(|form| form.contains("/commands?"));
    let form = forms.last().unwrap_or_else(|| panic!("a form asks: {page}"));
    let form = form.split("</form>").next().unwrap();
    let tags =
        form.split('<').filter(|tag| tag.starts_with("input") || tag.contains("name=\"op\""));
    let fields = tags.filter_map(|tag| Some((value_of(tag, "name")?, value_of(tag, "value")?)));
    let fields = fields.filter(|(name, _)| name != "csrf_token").collect();
    (value_of(&format!(" {form}"), "action").unwrap(), fields)
}

/// Posts what the page would post.
fn says_yes(user: &Client, page: &str) -> (String, Vec<(String, String)>) {
    let (action, fields) = form_of(page);
    let sent: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let answer = user.post_form(&action, &sent);
    assert!(answer.status < 400, "{answer:?}");
    (action, fields)
}

fn newest(user: &Client) -> Value {
    user.get("/api/hosts/a/commands").json()[0].clone()
}

fn events_of_a(user: &Client) -> Vec<Value> {
    user.get("/api/events?host=a&category=command").json().as_array().unwrap().clone()
}

/// Finding 2: in a freeze "Switch this plan" became a switch to whatever the build comes to.
#[test]
fn a_plan_that_is_switched_to_regardless_of_a_freeze_and_a_window_is_that_plan_and_stands_in_the_log()
 {
    let (_repo, _dashboard, user, mut a) = house();
    freeze(&user);
    closed_window(&user);
    let plan = [("op", "switch"), ("args.plan", NEW)];
    let asks = user.post_form("/hosts/a/commands", &plan);
    assert_eq!(asks.status, 409, "{asks:?}");
    // All of it is told, and only what is told is sent (finding 3).
    for told in ["The fleet is frozen until", "a is outside of its maintenance window"] {
        assert!(asks.text.contains(told), "{told}: {asks:?}");
    }
    let (action, _) = says_yes(&user, &asks.text);
    assert!(action.ends_with("regardless=freeze%2Cwindows"), "{action}");
    let order = a.takes("switch");
    assert_eq!(
        order["args"],
        json!({ "plan": NEW }),
        "the agent is told of the plan alone: {order}"
    );
    let switch = newest(&user);
    assert_eq!(switch["args"], json!({ "plan": NEW, "regardless": ["freeze", "windows"] }));
    // With its host and its command, in the entry of its start.
    let told = format!(
        "Switch was started regardless of the freeze and maintenance windows, to {NEW} alone."
    );
    let events = events_of_a(&user);
    let entry = events.iter().find(|event| event["message"] == told.as_str());
    let entry = entry.unwrap_or_else(|| panic!("{told}: {events:?}"));
    assert_eq!(
        (&entry["by"], &entry["command_id"]),
        (&json!("admin"), &switch["command_id"]),
        "{entry}"
    );
    a.runs_what_it_built(&order);
    user.wait_for_state(switch["command_id"].as_str().unwrap(), "succeeded");
}

/// Finding 3: the one that is in the way is told, and nothing else is gone on regardless of.
#[test]
fn a_dialog_sends_only_what_it_told_and_asks_again_where_more_came_meanwhile() {
    let (_repo, _dashboard, user, mut a) = house();
    freeze(&user);
    let asks = user.post_form("/hosts/a/commands?regardless=held", &[("op", "switch")]);
    let (action, fields) = form_of(&asks.text);
    assert!(action.ends_with("regardless=held%2Cfreeze"), "{action}");
    assert!(!asks.text.contains("maintenance window"), "{asks:?}");
    closed_window(&user);
    let sent: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let more = user.post_form(&action, &sent);
    assert_eq!(more.status, 409, "{more:?}");
    assert!(more.text.contains("a is outside of its maintenance window"), "{more:?}");
    assert!(!more.text.contains("The fleet is frozen"), "that was asked: {more:?}");
    let (action, _) = says_yes(&user, &more.text);
    assert!(action.ends_with("regardless=held%2Cfreeze%2Cwindows"), "{action}");
    let order = a.takes("switch");
    assert_eq!(order["args"], json!({ "regardless": ["held"] }), "{order}");
}

/// Finding 2: a rollback to generation 1 that was blocked went to the one before instead.
#[test]
fn what_was_blocked_is_asked_for_once_more_with_all_that_it_was_asked_with() {
    let (_repo, _dashboard, user, mut a) = house();
    let fields = [
        ("op", "rollback"),
        ("args.generation", "3"),
        ("args.reason", "too slow"),
        ("asks_hold", "true"),
    ];
    assert!(user.post_form("/hosts/a/commands", &fields).status < 400);
    let blocked = a.takes("rollback");
    assert_eq!(blocked["args"], json!({ "generation": 3, "hold": false }), "{blocked}");
    let why = "cannot be activated while this one runs";
    a.ends(&blocked, &json!({ "status": "blocked", "message": why, "blocked_by": ["inhibitors"] }));
    let id = blocked["command_id"].as_str().unwrap();
    user.wait_for_state(id, "blocked");
    let way_on = format!("/hosts/a/commands?again={id}&regardless=inhibitors");
    let page = user.get("/?log=a").text;
    assert!(page.contains(&format!("formaction=\"{}\"", way_on.replace('&', "&amp;"))), "{page}");
    assert!(user.post_form(&way_on, &[("op", "rollback")]).status < 400);
    let again = a.takes("rollback");
    let expected = json!({ "generation": 3, "hold": false, "regardless": ["inhibitors"] });
    assert_eq!(again["args"], expected, "{again}");
    let events = user.get("/api/events?host=a").text;
    let told =
        "to generation 3, because \\\"too slow\\\", was started regardless of what cannot change";
    assert!(events.contains(told), "{events}");
    // Only of its own host, and only what there is.
    for id in ["0190a5c4-0000-7000-8000-000000000000", "no-id"] {
        let wrong = user.post_form(&format!("/hosts/a/commands?again={id}"), &[("op", "switch")]);
        assert_eq!(wrong.status, 404, "{wrong:?}");
    }
}

/// The same seam: a row's Retry of a plan that failed.
#[test]
fn a_plan_that_failed_is_retried_as_that_plan() {
    let (_repo, _dashboard, user, mut a) = house();
    let plan = json!({ "op": "switch", "args": { "plan": NEW } });
    assert_eq!(user.post("/api/hosts/a/commands", &plan).status, 202);
    let failed = a.takes("switch");
    a.ends(&failed, &json!({ "status": "error", "message": "a unit failed", "built": a.built() }));
    let id = failed["command_id"].as_str().unwrap();
    user.wait_for_state(id, "failed");
    let way_on = format!("/hosts/a/commands?again={id}");
    wait_until("the row offers a retry", || {
        let page = user.get("/").text;
        if page.contains(&format!("formaction=\"{way_on}\"")) { Ok(()) } else { Err(page) }
    });
    assert!(user.post_form(&way_on, &[("op", "switch")]).status < 400);
    assert_eq!(a.takes("switch")["args"], json!({ "plan": NEW }));
}

/// Finding 1: a switch that waited for a laptop went through the freeze, unasked.
#[test]
fn what_waits_for_a_laptop_waits_on_in_a_freeze_also_over_a_restart_and_goes_when_it_ends() {
    let (_repo, mut dashboard, mut user, mut a) = house();
    a.link.hang_up();
    user.wait_for_offline("a");
    let body = json!({ "op": "switch", "queue": true });
    let queued = user.post("/api/hosts/a/commands", &body).json();
    assert_eq!(queued["state"], "queued", "{queued}");
    let id = queued["command_id"].as_str().unwrap().to_owned();
    freeze(&user);
    closed_window(&user);
    dashboard.kill_9();
    dashboard.start_again();
    user = dashboard.login();
    a.comes_back(&dashboard);
    user.wait_for_online("a");
    let waits = |user: &Client, why: &str| {
        wait_until(why, || {
            let now = user.command(&id);
            let reason = now["reason"].as_str().unwrap_or_default();
            assert_eq!(now["state"], "queued", "it did not wait: {now}");
            if reason.starts_with(why) { Ok(reason.to_owned()) } else { Err(now) }
        })
    };
    let reason = waits(&user, "Waits: frozen until");
    assert!(reason.contains("outside of its maintenance window, which opens "), "{reason}");
    let page = user.get("/").text;
    assert!(page.contains("Switch waits: frozen until "), "{page}");
    // One of the two is over, and the other one is not.
    assert_eq!(user.delete("/api/freeze").status, 204);
    waits(&user, "Waits: outside of its maintenance window");
    let window = user.get("/api/windows").json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(user.delete(&format!("/api/windows/{window}")).status, 204);
    let switch = a.takes("switch");
    assert_eq!(switch["command_id"], id.as_str(), "{switch}");
    a.runs_what_it_built(&switch);
    user.wait_for_state(&id, "succeeded");
}

/// Finding 4: a reboot into what a boot was chosen for brings a system, and went through.
#[test]
fn a_reboot_that_would_bring_another_system_keeps_to_a_freeze_and_any_other_does_not() {
    let (repo, dashboard, user, mut a) = house();
    let mut b = Host::joins(&dashboard, "b", &repo.head());
    user.wait_for_online("b");
    let switch = user.start("a", "switch");
    a.sets_the_next_boot();
    user.wait_for_state(&switch, "succeeded");
    freeze(&user);
    let reboot = json!({ "op": "reboot", "args": { "confirmed": true } });
    let refused = user.post("/api/hosts/a/commands", &reboot);
    assert_eq!((refused.status, refused.code().as_str()), (409, "frozen"), "{refused:?}");
    let other = user.post("/api/hosts/b/commands", &reboot);
    assert_eq!(other.status, 202, "it boots what runs: {other:?}");
    b.takes("reboot");
    // A way back is always possible.
    let fields = [("op", "reboot"), ("args.confirmed", "true")];
    let asks = user.post_form("/hosts/a/commands", &fields);
    assert_eq!(asks.status, 409, "{asks:?}");
    let (_, sent) = says_yes(&user, &asks.text);
    assert!(sent.contains(&("args.confirmed".to_owned(), "true".to_owned())), "{sent:?}");
    a.takes("reboot");
    let rollback = user.post("/api/hosts/b/commands", &json!({ "op": "rollback" }));
    assert!(rollback.status == 202 || rollback.code() != "frozen", "{rollback:?}");
    assert_ne!(OLD, NEW);
}
