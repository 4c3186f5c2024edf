//! The audit log: who did what, from where, with what result, and that nobody changed it.

use crate::support::{Client, Dashboard, OldAgent, nixfleet, wait_until};
use serde_json::{Value, json};
use std::path::Path;

/// Runs `nixfleet verify-audit`; answers whether it is content, and what it says.
fn verify(dir: &Path) -> (bool, String) {
    let told = nixfleet().args(["verify-audit", "--data-dir"]).arg(dir).output().unwrap();
    (told.status.success(), String::from_utf8(told.stdout).unwrap())
}

fn events(user: &Client) -> Vec<Value> {
    user.get("/api/events?limit=1000").json().as_array().unwrap().clone()
}

#[track_caller]
fn wait_for_event(user: &Client, fits: impl Fn(&Value) -> bool) -> Value {
    wait_until("it is in the audit log", || {
        let all = events(user);
        all.iter().find(|event| fits(event)).cloned().ok_or(all)
    })
}

#[test]
fn outcomes_are_recorded_as_starts_are_with_address_and_result() {
    let dashboard = Dashboard::start(&[("NIXFLEET_TRUSTED_PROXIES", "127.0.0.1")]);
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", "abc1234");
    user.wait_for_online("web");
    let id = user.start("web", "pull");
    agent.expect_command("pull");
    let started = wait_for_event(&user, |event| event["message"] == "Pull was started.");
    assert_eq!(started["by"], "admin");
    assert_eq!(started["from"], "127.0.0.1");
    assert_eq!(started["result"], "accepted");
    let refused = user.post("/api/hosts/web/commands", &json!({ "op": "test" }));
    assert_eq!(refused.status, 409);
    wait_for_event(&user, |event| event["result"] == "refused" && event["host_id"] == "web");
    agent.end("pull", 3);
    user.wait_for_state(&id, "failed");
    let ended = wait_for_event(&user, |event| event["result"] == "failed");
    assert!(ended["message"].as_str().unwrap().starts_with("Pull ended: failed, exit code 3"));
    assert_eq!((&ended["host_id"], &ended["by"]), (&json!("web"), &json!("admin")));
    // Both name the command, and so do the links to its log.
    assert_eq!((&started["command_id"], &ended["command_id"]), (&json!(id), &json!(id)));
    let page = user.get("/events?category=command").text;
    assert_eq!(page.matches(&format!("/hosts/web?command={id}")).count(), 2, "{page}");
    assert_eq!(page.matches("?command=").count(), 2, "what was refused has no log");
    let login = wait_for_event(&user, |event| event["category"] == "login");
    assert_eq!((&login["from"], &login["result"]), (&json!("127.0.0.1"), &json!("done")));
}

#[test]
fn what_somebody_changed_in_the_log_is_found_where_it_was_changed() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    for name in ["a", "b", "c"] {
        assert_eq!(user.post("/api/hosts", &json!({ "hostname": name })).status, 201);
    }
    // The dashboard runs meanwhile.
    let (whole, told) = verify(dashboard.dir.path());
    assert!(whole, "{told}");
    let database = rusqlite::Connection::open(dashboard.dir.path().join("nixfleet.db")).unwrap();
    let refused = database.execute("UPDATE events SET message = ''", []).unwrap_err().to_string();
    assert!(refused.contains("append-only"), "{refused}");
    let added = events(&user).into_iter().find(|event| event["host_id"] == "b").unwrap();
    let id = added["id"].as_i64().unwrap();
    database.execute_batch("DROP TRIGGER events_are_not_changed").unwrap();
    database.execute("UPDATE events SET by_whom = 'nobody' WHERE id = ?1", [id]).unwrap();
    let (whole, told) = verify(dashboard.dir.path());
    assert!(!whole && told.contains(&format!("breaks at entry {id} ")), "{told}");
}

#[test]
fn the_log_is_exported_as_json_lines_and_as_a_table_without_formulas() {
    let dashboard = Dashboard::start(&[("NIXFLEET_TRUSTED_PROXIES", "127.0.0.1")]);
    let user = dashboard.login();
    // A whole cell that a stranger chooses: a proxy says that he is called so.
    let stranger = [("X-Forwarded-For", "=SUM(A1)")];
    assert_eq!(Client::visitor(&dashboard.url).try_login_with("x", &stranger).status, 401);
    let name = "=HYPERLINK(\"http://evil.example\")";
    assert_eq!(user.post("/api/tokens", &json!({ "name": name })).status, 201);
    assert_eq!(user.post("/api/hosts", &json!({ "hostname": "web" })).status, 201);
    let all = wait_until("all is recorded", || {
        let all = events(&user);
        if all.len() >= 4 { Ok(all) } else { Err(all) }
    });
    let lines = user.get("/api/events?format=jsonl").text;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all);
    let table = user.get("/api/events?format=csv").text;
    assert!(
        table.starts_with("id,at,host_id,category,message,by,from,result,hash,command_id\r\n"),
        "{table}"
    );
    assert_eq!(table.matches("\r\n").count(), all.len() + 1);
    for cell in table.split([',', '\n']) {
        let inside = cell.trim_start_matches('"').trim_start();
        assert!(!inside.starts_with(['=', '+', '-', '@']), "{cell}");
    }
    assert!(table.contains(",'=SUM(A1),"), "{table}");
    let of_host = user.get("/api/events?format=csv&host=web").text;
    assert_eq!(of_host.matches("\r\n").count(), 2, "{of_host}");
    let page = user.get("/events?host=web").text;
    assert!(page.contains(
        "/api/events?host=web&amp;category=&amp;q=&amp;outcome=&amp;from=&amp;to=&amp;format=csv"
    ));
    for wrong in ["format=xml", "from=yesterday", "host=-x"] {
        let answer = user.get(&format!("/api/events?{wrong}"));
        assert!([400, 404].contains(&answer.status), "{wrong}: {answer:?}");
    }
}
