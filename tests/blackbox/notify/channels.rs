//! The ways to tell, as the other side sees them.

use super::{Fleet, taking, told};
use crate::support::Web;
use crate::support::web::Reply;
use serde_json::{Value, json};

fn body(web: &Web, text: &str) -> Value {
    serde_json::from_str(&told(web, text).body).unwrap()
}

#[test]
fn ntfy_slack_discord_and_matrix_are_told_in_their_own_ways() {
    let fleet = Fleet::with(&[("NIXFLEET_BASE_URL", "https://fleet.example")]);
    let (ntfy, slack, discord, matrix) = (taking(), taking(), taking(), taking());
    fleet.channel(
        "ntfy",
        &json!({ "kind": "ntfy", "url": format!("{}/my-fleet", ntfy.url), "secret": "tk" }),
    );
    fleet.channel("slack", &json!({ "kind": "slack", "url": format!("{}/s/1", slack.url) }));
    fleet.channel("discord", &json!({ "kind": "discord", "url": format!("{}/d/1", discord.url) }));
    let room = json!({
        "kind": "matrix", "url": format!("{}/", matrix.url), "room": "!r:x", "secret": "mt",
    });
    fleet.channel("matrix", &room);
    fleet.fail_a_switch();
    let message = body(&ntfy, "web: switch failed");
    assert_eq!(message["topic"], "my-fleet", "{message}");
    assert_eq!(message["title"], "web: switch failed");
    assert_eq!(
        (&message["priority"], &message["click"]),
        (&json!(4), &json!("https://fleet.example"))
    );
    let [asked] = &ntfy.heard()[..] else { panic!("{:?}", ntfy.heard()) };
    assert_eq!((asked.path.as_str(), asked.headers["authorization"].as_str()), ("/", "Bearer tk"));
    let message = body(&slack, "switch failed");
    assert!(message["text"].as_str().unwrap().starts_with("*web: switch failed*\n"), "{message}");
    assert_eq!(slack.heard()[0].path, "/s/1");
    let message = body(&discord, "switch failed");
    assert!(message["content"].as_str().unwrap().contains("**web: switch failed**"), "{message}");
    assert_eq!(message["allowed_mentions"], json!({ "parse": [] }));
    let message = told(&matrix, "switch failed");
    assert_eq!(message.method, "PUT");
    let path = "/_matrix/client/v3/rooms/%21r%3Ax/send/m.room.message/nixfleet-";
    assert!(message.path.starts_with(path), "{message:?}");
    assert_eq!(message.headers["authorization"], "Bearer mt");
}

#[test]
fn rules_say_which_events_and_hosts_a_channel_hears_of() {
    let fleet = Fleet::new();
    let (logins, others, all) = (taking(), taking(), taking());
    let channel = |web: &Web, more: Value| {
        let mut body = super::webhook(web);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    fleet.channel("logins", &channel(&logins, json!({ "events": ["login"] })));
    fleet.channel("others", &channel(&others, json!({ "hosts": ["db*"] })));
    fleet.channel("all", &channel(&all, json!({})));
    fleet.fail_a_switch();
    fleet.dashboard.login();
    told(&all, "web: switch failed");
    told(&logins, "Logged in");
    told(&others, "Logged in");
    assert_eq!(super::count(&logins, "switch failed"), 0);
    assert_eq!(super::count(&others, "switch failed"), 0);
}

#[test]
fn the_test_button_says_whether_it_was_delivered_and_every_change_is_in_the_audit_log() {
    let fleet = Fleet::new();
    let (good, bad) = (taking(), Web::new(|_| Reply::status(404)));
    fleet.channel("good", &super::webhook(&good));
    fleet.channel("bad", &super::webhook(&bad));
    let test = |name: &str| {
        fleet.user.post(&format!("/api/notifications/channels/{name}/test"), &json!({}))
    };
    assert_eq!(test("good").status, 204);
    let message = told(&good, "test");
    assert!(message.body.contains("\"event\":\"test\""), "{message:?}");
    let failed = test("bad");
    assert_eq!((failed.status, failed.code()), (409, "not_delivered".to_owned()));
    assert!(failed.message().contains("404"), "{failed:?}");
    let unknown = test("nobody");
    assert_eq!((unknown.status, unknown.code()), (404, "no_such_channel".to_owned()));
    assert_eq!(fleet.user.delete("/api/notifications/channels/bad").status, 204);
    assert_eq!(fleet.user.delete("/api/notifications/channels/bad").status, 404);
    let events = fleet.user.get("/api/events?category=settings").text;
    for text in
        ["channel good was set up", "good was sent a test message", "channel bad was removed"]
    {
        assert!(events.contains(text), "{text}: {events}");
    }
}

#[test]
fn no_secret_is_ever_shown_again() {
    let fleet = Fleet::new();
    let secrets = ["sesame-1", "sesame-2", "sesame-3", "sesame-4", "sesame-5"];
    fleet.channel(
        "a",
        &json!({ "kind": "webhook", "url": "http://127.0.0.1:1/x", "secret": "sesame-1" }),
    );
    fleet.channel("b", &json!({ "kind": "slack", "url": "http://127.0.0.1:1/sesame-2" }));
    fleet.channel("c", &json!({ "kind": "discord", "url": "http://127.0.0.1:1/sesame-3" }));
    fleet.channel(
        "d",
        &json!({ "kind": "ntfy", "url": "http://127.0.0.1:1/t", "secret": "sesame-4" }),
    );
    let mail = json!({
        "kind": "mail", "server": "127.0.0.1", "port": 1, "security": "none", "user": "u",
        "secret": "sesame-5", "from": "a@b.example", "to": ["c@d.example"],
    });
    fleet.channel("e", &mail);
    for name in ["a", "b", "c", "d", "e"] {
        let test = format!("/api/notifications/channels/{name}/test");
        assert_eq!(fleet.user.post(&test, &json!({})).status, 409);
    }
    let mut shown = vec![
        fleet.user.get("/api/notifications").text,
        fleet.user.get("/settings/notifications").text,
        fleet.user.get("/settings").text,
        fleet.user.get("/api/events?limit=1000").text,
        fleet.user.get("/metrics").text,
    ];
    for name in ["a", "b", "c", "d", "e"] {
        shown.push(fleet.user.get(&format!("/settings/notifications?edit={name}")).text);
    }
    for text in shown {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
    // A channel that is changed without its secret keeps it, unless it leads elsewhere then.
    let same = json!({ "kind": "webhook", "url": "http://127.0.0.1:1/x", "events": ["login"] });
    assert_eq!(fleet.put("channels/a", &same).status, 200);
    assert_eq!(fleet.status("a")["has_secret"], true);
    let moved = json!({ "kind": "webhook", "url": "http://127.0.0.1:2/x" });
    let refused = fleet.put("channels/a", &moved);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.message().contains("`secret`"), "{refused:?}");
}

#[test]
fn what_is_not_as_expected_is_refused_by_the_field() {
    let fleet = Fleet::new();
    for (path, body, part) in [
        ("channels/a", json!({ "kind": "pigeon" }), "`kind`"),
        ("channels/a", json!({ "kind": "ntfy", "url": "nonsense" }), "`url`"),
        ("channels/a%20b", json!({ "kind": "slack", "url": "http://h/x" }), "`name`"),
        ("channels/a", json!({ "kind": "slack", "colour": 1 }), "colour"),
        ("settings", json!({ "offline_after": 0 }), "`offline_after`"),
        ("settings", json!({ "heartbeat_url": "x" }), "`heartbeat_url`"),
    ] {
        let answer = fleet.put(path, &body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.message().contains(part), "{body}: {answer:?}");
    }
    let all = fleet.user.get("/api/notifications").json();
    assert_eq!(all["channels"], json!([]));
    let stranger = crate::support::Client::visitor(&fleet.dashboard.url);
    assert_eq!(stranger.get("/api/notifications").status, 401);
}
