//! The page about notifications, without a script.

use super::{Fleet, taking, told};

#[test]
fn a_channel_is_set_up_tested_changed_and_removed_on_the_page_without_a_script() {
    let fleet = Fleet::new();
    let web = taking();
    let page = |query: &str| fleet.user.get(&format!("/settings/notifications{query}")).text;
    assert!(fleet.user.get("/settings").text.contains("/settings/notifications"));
    assert!(page("").contains("Nobody is told anything yet"));
    assert!(page("?kind=webhook").contains("Secret to sign with"));
    let url = format!("{}/hook", web.url);
    let fields = [
        ("kind", "webhook"),
        ("name", "ops"),
        ("url", url.as_str()),
        ("secret", "sesame"),
        ("event.login", "on"),
        ("hosts", "web, db*"),
        ("quiet_from", "22:00"),
        ("quiet_to", "07:00"),
        ("time_zone", "Europe/Vienna"),
    ];
    let saved = fleet.user.post_form("/settings/notifications/channel", &fields);
    assert!(saved.status == 200 && saved.text.contains("Channel ops is set up."), "{saved:?}");
    let status = fleet.status("ops");
    assert_eq!(status["events"], serde_json::json!(["login"]), "{status}");
    assert_eq!(status["hosts"], serde_json::json!(["web", "db*"]), "{status}");
    assert_eq!(status["quiet_from"], "22:00", "{status}");
    let tested = fleet.user.post_form("/settings/notifications/ops/test", &[]);
    assert!(tested.text.contains("took a test message"), "{tested:?}");
    told(&web, "test");
    let edit = page("?edit=ops");
    assert!(edit.contains(&url) && edit.contains("stays as it is"), "{edit}");
    let bad = fleet.user.post_form(
        "/settings/notifications/channel",
        &[("kind", "webhook"), ("name", "ops"), ("url", "nonsense")],
    );
    assert!(bad.status == 422 && bad.text.contains("`url`"), "{bad:?}");
    let after = [
        ("offline_after", "60"),
        ("reboot_after", "60"),
        ("remote_after", "60"),
        ("heartbeat_every", "60"),
    ];
    let saved = fleet.user.post_form("/settings/notifications/settings", &after);
    assert!(saved.text.contains("The settings are changed."), "{saved:?}");
    let removed = fleet.user.post_form("/settings/notifications/ops/remove", &[]);
    assert_eq!(removed.status, 303, "{removed:?}");
    assert!(page("").contains("Nobody is told anything yet"));
}
