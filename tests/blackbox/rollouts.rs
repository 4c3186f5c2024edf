//! Rollouts: several steps on several hosts.

use crate::support::dashboard::TOKEN;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, OldAgent, wait_until};
use serde_json::{Value, json};

struct Fleet {
    repo: ConfigRepo,
    dashboard: Dashboard,
    user: Client,
    agents: Vec<(&'static str, Agent)>,
}

impl Fleet {
    /// Hosts that are current, and a commit that they do not have yet.
    fn behind(names: &[&'static str]) -> Self {
        let repo = ConfigRepo::new();
        let dashboard = Dashboard::with_source(&repo.remote());
        let user = dashboard.login();
        let start =
            |name: &&'static str| (*name, Agent::start(&dashboard.url, name, &repo.remote()));
        let agents: Vec<_> = names.iter().map(start).collect();
        for name in names {
            user.wait_for_row(name, "ok ok ok out unk");
        }
        repo.push_change("something new");
        for name in names {
            user.wait_for_row(name, "ok out ok out unk");
        }
        Self { repo, dashboard, user, agents }
    }

    fn agent(&self, name: &str) -> &Agent {
        &self.agents.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn start(&self, body: &Value) -> String {
        let answer = self.user.post("/api/rollouts", body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["rollout_id"].as_str().unwrap().to_owned()
    }

    fn rollout(&self, id: &str) -> Option<Value> {
        let answer = self.user.try_get(&format!("/api/rollouts/{id}"))?;
        Some(answer.json())
    }

    #[track_caller]
    fn wait_for(&self, id: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        wait_until(&format!("the rollout has {what}"), || {
            let now = self.rollout(id).unwrap_or_default();
            if so(&now) { Ok(now) } else { Err(now) }
        })
    }

    #[track_caller]
    fn wait_for_end(&self, id: &str) -> Value {
        self.wait_for(id, "ended", |rollout| rollout["over"] == true)
    }

    /// Waits until one host switches and all the others that were not seen before wait for
    /// their switch; answers who is who.
    #[track_caller]
    fn wait_for_a_switch(&self, id: &str, seen: &[String]) -> (String, Vec<String>) {
        let names = self.agents.iter().map(|(name, _)| (*name).to_owned());
        let left: Vec<String> = names.filter(|name| !seen.contains(name)).collect();
        let at_switch = |rollout: &Value, name: &str, state: &str| {
            rollout["hosts"][name]["state"] == state && rollout["hosts"][name]["step"] == 1
        };
        wait_until("one host switches and the rest waits", || {
            let rollout = self.rollout(id).unwrap_or_default();
            let is = |state| {
                let those = left.iter().filter(|name| at_switch(&rollout, name, state));
                those.cloned().collect::<Vec<_>>()
            };
            let (running, waiting) = (is("running"), is("waiting"));
            assert!(running.len() <= 1, "{rollout}");
            match running.first() {
                Some(one) if waiting.len() + 1 == left.len() => Ok((one.clone(), waiting)),
                _ => Err(rollout),
            }
        })
    }

    /// The operations that ran on a host, oldest first, with how they ended.
    fn history(&self, name: &str) -> Vec<String> {
        let list = self.user.get(&format!("/api/hosts/{name}/commands")).json();
        let told =
            |c: &Value| format!("{} {}", c["op"].as_str().unwrap(), c["state"].as_str().unwrap());
        list.as_array().unwrap().iter().rev().map(told).collect()
    }
}

#[test]
fn an_update_takes_every_host_through_its_steps_and_names_the_one_that_failed() {
    let fleet = Fleet::behind(&["bad", "db", "web"]);
    fleet.agent("bad").set("fail-build");
    let id = fleet.start(&json!({ "op": "update", "all": true }));
    let rollout = fleet.wait_for_end(&id);
    assert_eq!(rollout["counts"]["done"], 2, "{rollout}");
    assert_eq!(rollout["counts"]["failed"], 1, "{rollout}");
    let why = rollout["hosts"]["bad"]["why"].as_str().unwrap();
    assert!(why.contains("Switch failed"), "{why}");
    let note = rollout["hosts"]["db"]["note"].as_str().unwrap();
    assert!(note.contains("db has no tests"), "{note}");
    assert_eq!(fleet.history("web"), ["pull succeeded", "switch succeeded", "test succeeded"]);
    assert_eq!(fleet.history("bad"), ["pull succeeded", "switch failed"]);
    fleet.user.wait_for_row("web", "ok ok ok ok ok");
    let events = fleet.user.get("/api/events?category=rollout").text;
    assert!(events.contains("Update of 3 hosts ended: 2 done, 1 failed."), "{events}");
}

#[test]
fn no_more_hosts_switch_at_once_than_asked() {
    let fleet = Fleet::behind(&["a", "b", "c"]);
    for (_, agent) in &fleet.agents {
        agent.set("gate");
    }
    let id = fleet.start(&json!({ "op": "update", "all": true, "at_once": 1 }));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (switching, _) = fleet.wait_for_a_switch(&id, &seen);
        fleet.agent(&switching).set("go");
        seen.push(switching);
    }
    assert_eq!(fleet.wait_for_end(&id)["counts"]["done"], 3);
}

#[test]
fn a_rollout_goes_on_where_it_was_when_the_dashboard_was_killed_and_nothing_runs_twice() {
    let mut fleet = Fleet::behind(&["db", "web"]);
    for (_, agent) in &fleet.agents {
        agent.set("gate");
    }
    let id = fleet.start(&json!({ "op": "update", "all": true }));
    let restart = |fleet: &mut Fleet| {
        fleet.dashboard.kill_9();
        fleet.dashboard.start_again();
    };
    // Right after it began, while both switch, and after the switches have ended unseen.
    restart(&mut fleet);
    fleet.wait_for(&id, "both hosts at their switch", |rollout| {
        ["db", "web"].iter().all(|name| rollout["hosts"][name]["step"] == 1)
    });
    restart(&mut fleet);
    fleet.wait_for(&id, "not ended", |rollout| rollout["over"] == false);
    fleet.dashboard.kill_9();
    for (_, agent) in &fleet.agents {
        agent.set("go");
    }
    fleet.dashboard.start_again();
    assert_eq!(fleet.wait_for_end(&id)["counts"]["done"], 2);
    assert_eq!(fleet.history("web"), ["pull succeeded", "switch succeeded", "test succeeded"]);
    assert_eq!(fleet.history("db"), ["pull succeeded", "switch succeeded"]);
}

#[test]
fn cancelling_lets_what_runs_end_and_starts_no_more() {
    let fleet = Fleet::behind(&["db", "web"]);
    for (_, agent) in &fleet.agents {
        agent.set("gate");
    }
    let id = fleet.start(&json!({ "op": "update", "all": true, "at_once": 1 }));
    let (switching, waiting) = fleet.wait_for_a_switch(&id, &[]);
    let dismissed = fleet.user.post(&format!("/api/rollouts/{id}/dismiss"), &json!({}));
    assert_eq!((dismissed.status, dismissed.code()), (409, "running".to_owned()));
    let cancelled = fleet.user.post(&format!("/api/rollouts/{id}/cancel"), &json!({}));
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    fleet.agent(&switching).set("go");
    let rollout = fleet.wait_for_end(&id);
    assert_eq!(rollout["counts"]["skipped"], 2, "{rollout}");
    assert_eq!(rollout["halted"], "cancelled by admin");
    assert_eq!(fleet.history(&switching), ["pull succeeded", "switch succeeded"]);
    assert_eq!(fleet.history(&waiting[0]), ["pull succeeded"]);
    let again = fleet.user.post(&format!("/api/rollouts/{id}/cancel"), &json!({}));
    assert_eq!((again.status, again.code()), (409, "not_running".to_owned()));
}

#[test]
fn after_so_many_failures_the_rest_is_not_attempted() {
    let fleet = Fleet::behind(&["a", "b"]);
    for (_, agent) in &fleet.agents {
        agent.set("fail-build");
    }
    let id = fleet.start(&json!({ "op": "update", "all": true, "at_once": 1, "stop_after": 1 }));
    let rollout = fleet.wait_for_end(&id);
    assert_eq!(rollout["counts"]["failed"], 1, "{rollout}");
    assert_eq!(rollout["counts"]["skipped"], 1, "{rollout}");
    let skipped = if rollout["hosts"]["a"]["state"] == "skipped" { "a" } else { "b" };
    assert_eq!(fleet.history(skipped), ["pull succeeded"]);
}

#[test]
fn a_host_that_is_busy_or_away_at_the_start_is_waited_for_and_holds_nobody_up() {
    let mut fleet = Fleet::behind(&["away", "web"]);
    fleet.agents[0].1.kill_9();
    fleet.user.wait_for_offline("away");
    fleet.agent("web").set("gate");
    let switch = fleet.user.start("web", "switch");
    fleet.user.wait_for_line(&switch, "waiting at the gate");
    let id = fleet.start(&json!({ "op": "pull", "hosts": ["web", "away"] }));
    let rollout = fleet.wait_for(&id, "a host that waits", |rollout| {
        rollout["hosts"]["web"]["why"].as_str().is_some_and(|why| why.contains("web is busy"))
    });
    assert_eq!(rollout["hosts"]["away"]["state"], "waiting", "{rollout}");
    fleet.agent("web").set("go");
    let rollout = fleet.wait_for(&id, "one done", |rollout| rollout["counts"]["done"] == 1);
    let away = &rollout["hosts"]["away"];
    assert_eq!((&away["state"], &away["away"]), (&json!("waiting"), &json!(true)), "{rollout}");
    assert!(away["why"].as_str().unwrap().contains("away is offline"), "{rollout}");
    assert_eq!(fleet.history("web"), ["switch succeeded", "pull succeeded"]);
    // It is delivered when it comes back.
    fleet.agents[0].1.start_again();
    assert_eq!(fleet.wait_for_end(&id)["counts"]["done"], 2);
    assert_eq!(fleet.history("away"), ["pull succeeded"]);
}

#[test]
fn tests_that_follow_a_switch_by_themselves_count_as_the_step() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let auto = [("NIXFLEET_TESTS_AUTO_RUN", "true")];
    let agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &auto);
    user.wait_for_row("web", "ok ok ok out unk");
    repo.push_change("something new");
    user.wait_for_row("web", "ok out ok out unk");
    let fleet = Fleet { repo, dashboard, user, agents: vec![("web", agent)] };
    let id = fleet.start(&json!({ "op": "update", "hosts": ["web"] }));
    assert_eq!(fleet.wait_for_end(&id)["counts"]["done"], 1);
    assert_eq!(fleet.history("web"), ["pull succeeded", "switch succeeded", "test succeeded"]);
    let all = fleet.user.post("/api/rollouts", &json!({ "op": "update", "all": true }));
    assert_eq!((all.status, all.code()), (409, "nothing_to_do".to_owned()));
    assert!(all.message().contains("1 current already is left out: web."), "{all:?}");
    fleet.repo.push_change("more");
}

#[test]
fn bad_rollouts_are_refused_with_the_field_that_is_wrong() {
    let fleet = Fleet::behind(&["web"]);
    for (body, status, part) in [
        (json!({ "op": "fly", "all": true }), 400, "`op`"),
        (json!({ "op": "reboot", "all": true }), 400, "`op`: expected `hosts` by name"),
        (json!({ "op": "pull" }), 400, "`hosts`"),
        (json!({ "op": "pull", "all": true, "hosts": ["web"] }), 400, "`hosts`"),
        (json!({ "op": "pull", "hosts": ["nobody"] }), 404, "nobody"),
        (json!({ "op": "pull", "hosts": ["<b>"] }), 404, "<b>"),
        (json!({ "op": "pull", "all": true, "at_once": 0 }), 400, "`at_once`"),
        (json!({ "op": "pull", "all": true, "stop_after": 0 }), 400, "`stop_after`"),
        (json!({ "op": "pull", "all": true, "at_once": "many" }), 400, "body"),
        (json!({ "op": "pull", "all": true, "fast": true }), 400, "fast"),
        (json!({ "op": "pull", "all": true, "waves": [] }), 400, "`waves`"),
        (json!({ "op": "pull", "all": true, "waves": [0] }), 400, "`waves`"),
        (json!({ "op": "pull", "all": true, "waves": ["0%"] }), 400, "`waves`"),
        (json!({ "op": "pull", "all": true, "waves": ["rest", 1] }), 400, "`waves`"),
        (json!({ "op": "pull", "all": true, "waves": ["some"] }), 400, "`waves`"),
        (json!({ "op": "pull", "all": true, "waves": [1], "one_first": true }), 400, "`waves`"),
        (json!({ "op": "pull", "all": true, "waves": [1], "soak": 700_000 }), 400, "`soak`"),
        (json!({ "op": "pull", "all": true, "soak": 60 }), 400, "`soak`: expected with `waves`"),
    ] {
        let answer = fleet.user.post("/api/rollouts", &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.message().contains(part), "{body}: {answer:?}");
    }
    let unknown = fleet.user.get("/api/rollouts/0190a5c4-0000-7000-8000-000000000000");
    assert_eq!((unknown.status, unknown.code()), (404, "no_such_rollout".to_owned()));
    assert_eq!(fleet.user.get("/api/rollouts").json(), json!([]));
    let stranger = Client::visitor(&fleet.dashboard.url);
    assert_eq!(stranger.post("/api/rollouts", &json!({ "op": "pull", "all": true })).status, 401);
}

/// Asks something of a rollout.
fn change(fleet: &Fleet, id: &str, what: &str, body: &Value) -> (u16, String) {
    let answer = fleet.user.post(&format!("/api/rollouts/{id}/{what}"), body);
    (answer.status, if answer.status == 202 { String::new() } else { answer.code() })
}

#[test]
fn waves_begin_one_after_the_other_over_a_restart_and_are_paused_promoted_and_told() {
    let mut fleet = Fleet::behind(&["a", "b", "c"]);
    let body = json!({ "op": "update", "all": true, "waves": [1, "rest"], "soak": 3600 });
    let id = fleet.start(&body);
    let first = fleet
        .wait_for(&id, "soaked its first wave", |rollout| rollout["soaks"]["ends"].is_string());
    assert_eq!((&first["counts"]["done"], &first["wave"]), (&json!(1), &json!(1)), "{first}");
    assert_eq!((&first["waves"], &first["stop_after"]), (&json!([1, 2]), &json!(1)), "{first}");
    assert_eq!(first["hosts"]["b"]["why"], "wave 2 begins when wave 1 has soaked", "{first}");
    fleet.dashboard.kill_9();
    fleet.dashboard.start_again();
    let again = fleet.wait_for(&id, "been read again", |rollout| rollout["wave"] == 1);
    assert_eq!(again["counts"]["waiting"], 2, "{again}");
    for name in ["a", "b", "c"] {
        fleet.user.wait_for_online(name);
    }
    let ok = (202, String::new());
    let nothing = json!({});
    assert_eq!(change(&fleet, &id, "resume", &nothing), (409, "nothing_to_do".to_owned()));
    assert_eq!(change(&fleet, &id, "pause", &nothing), ok);
    let paused = fleet.rollout(&id).unwrap();
    assert_eq!(paused["hosts"]["b"]["why"], "paused by admin", "{paused}");
    let page = fleet.user.get("/rollouts").text;
    for part in ["Resume", "Next wave now", "Leave out", "paused by admin", "wave 1 of 2"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(change(&fleet, &id, "leave-out", &nothing), (400, "bad_input".to_owned()));
    let nobody = json!({ "host": "nobody" });
    assert_eq!(change(&fleet, &id, "leave-out", &nobody), (404, "no_such_host".to_owned()));
    let done = json!({ "host": "a" });
    assert_eq!(change(&fleet, &id, "leave-out", &done), (409, "nothing_to_do".to_owned()));
    assert_eq!(change(&fleet, &id, "leave-out", &json!({ "host": "c" })), ok);
    assert_eq!(change(&fleet, &id, "resume", &nothing), ok);
    assert_eq!(change(&fleet, &id, "promote", &nothing), ok);
    assert_eq!(change(&fleet, &id, "promote", &nothing), (409, "nothing_to_do".to_owned()));
    let ended = fleet.wait_for_end(&id);
    assert_eq!(ended["counts"]["done"], 2, "{ended}");
    let left_out = json!({ "state": "left_out", "why": "left out by admin" });
    assert_eq!(ended["hosts"]["c"], left_out, "{ended}");
    assert!(fleet.history("c").is_empty());
    assert_eq!(change(&fleet, &id, "retry", &nothing), (409, "nothing_to_do".to_owned()));
    let events = fleet.user.get("/api/events?category=rollout").text;
    for part in ["was paused.", "was resumed.", "went on to wave 2.", "leaves out c."] {
        assert!(events.contains(part), "{part}: {events}");
    }
}

#[test]
fn the_first_wave_that_fails_halts_the_rest_and_those_that_failed_are_tried_again() {
    let fleet = Fleet::behind(&["a", "b"]);
    fleet.agent("a").set("fail-build");
    let id = fleet.start(&json!({ "op": "update", "all": true, "waves": [1, "rest"] }));
    let ended = fleet.wait_for_end(&id);
    assert_eq!(ended["halted"], "1 failed", "{ended}");
    assert!(fleet.history("b").is_empty());
    fleet.agent("a").unset("fail-build");
    let answer = fleet.user.post(&format!("/api/rollouts/{id}/retry"), &json!({}));
    assert_eq!(answer.status, 202, "{answer:?}");
    let again = answer.json()["rollout_id"].as_str().unwrap().to_owned();
    assert_ne!(again, id);
    let ended = fleet.wait_for_end(&again);
    assert_eq!(ended["counts"]["done"], 1, "{ended}");
    assert!(ended["hosts"]["b"].is_null(), "{ended}");
}

#[test]
fn the_dialogs_form_asks_for_waves_that_soak_and_for_neither_where_another_way_is_chosen() {
    let fleet = Fleet::behind(&["a", "b"]);
    let start = |how: &str, waves: &str| {
        let fields = [
            ("op", "pull"),
            ("hosts[]", "a"),
            ("hosts[]", "b"),
            ("how", how),
            ("waves", waves),
            ("soak_minutes", "60"),
            ("stop_after", "1"),
        ];
        fleet.user.post_form("/rollouts", &fields)
    };
    let bad = start("waves", "1, some");
    assert_eq!(bad.status, 400, "{bad:?}");
    assert!(bad.text.contains("`waves`"), "{bad:?}");
    assert_eq!(start("first", "1, some").status, 303);
    let first = fleet.user.get("/api/rollouts").json()[0].clone();
    assert_eq!((&first["soak"], &first["waves"]), (&json!(0), &json!([])), "{first}");
    fleet.wait_for_end(first["id"].as_str().unwrap());
    assert_eq!(start("waves", "1, rest").status, 303);
    let id = fleet.user.get("/api/rollouts").json()[0]["id"].as_str().unwrap().to_owned();
    let soaks = fleet.wait_for(&id, "a wave that soaks", |rollout| rollout["soaks"].is_object());
    assert_eq!((&soaks["soak"], &soaks["waves"]), (&json!(3600), &json!([1, 1])), "{soaks}");
    for (what, paused) in [("pause", json!("admin")), ("resume", Value::Null)] {
        assert_eq!(fleet.user.post_form(&format!("/rollouts/{id}/{what}"), &[]).status, 303);
        assert_eq!(fleet.rollout(&id).unwrap()["paused"], paused, "{what}");
    }
    let left_out = fleet.user.post_form(&format!("/rollouts/{id}/leave-out?host=b"), &[]);
    assert_eq!(left_out.status, 303, "{left_out:?}");
    assert_eq!(fleet.wait_for_end(&id)["counts"]["left_out"], 1);
}

/// What many hosts' dry runs came to is told once for those on which it is the same.
#[test]
fn dry_runs_of_many_hosts_are_grouped_by_what_would_change() {
    let dashboard = Dashboard::start(&[]);
    let user = dashboard.login();
    let changes = |versions: &[&str]| {
        let begins = "# what changes: /nix/store/a-system to /nix/store/b-system".to_owned();
        let diff = versions.iter().map(|one| format!("{one}, +1.0 KiB"));
        let ends = "# end of what changes".to_owned();
        std::iter::once(begins).chain(diff).chain([ends]).collect::<Vec<_>>()
    };
    let (same, other) = (["nginx: 1.26 \u{2192} 1.27"], ["curl: 8.1 \u{2192} 8.2<b>"]);
    let hosts =
        [("a", changes(&same)), ("b", changes(&other)), ("c", changes(&same)), ("d", Vec::new())];
    let mut links = Vec::new();
    for (name, said) in hosts {
        let mut link = OldAgent::connect(&dashboard.url, TOKEN, name).expect("the token is right");
        link.send("register", &json!({ "hostname": name, "platform": "nixos", "protocol": 4 }));
        assert_eq!(link.receive()["type"], "registered");
        user.wait_for_online(name);
        links.push((link, said));
    }
    let body = json!({ "op": "dry-run", "all": true });
    let rollout = user.post("/api/rollouts", &body);
    assert_eq!(rollout.status, 202, "{rollout:?}");
    let id = rollout.json()["rollout_id"].as_str().unwrap().to_owned();
    for (link, said) in &mut links {
        let order = link.receive()["payload"].clone();
        assert_eq!(order["command"], "dry-run", "{order}");
        let command = &order["command_id"];
        link.send("command_accepted", &json!({ "command_id": command }));
        let lines: Vec<_> =
            said.iter().map(|text| json!({ "stream": "stdout", "text": text })).collect();
        let seq = lines.len() + 1;
        if !lines.is_empty() {
            link.send(
                "output_batch",
                &json!({ "command_id": command, "first_seq": 1, "lines": lines }),
            );
        }
        let status = json!({
            "command_id": command, "command": "dry-run", "status": "ok", "exit_code": 0, "seq": seq,
        });
        link.send("status", &status);
    }
    let path = format!("/api/rollouts/{id}");
    wait_until("the dry runs are done", || {
        let told = user.get(&path).json();
        if told["finished_at"].is_null() { Err(told) } else { Ok(()) }
    });
    let plans = user.get(&format!("{path}/plans")).json();
    let groups: Vec<_> =
        plans.as_array().unwrap().iter().map(|plan| plan["hosts"].clone()).collect();
    assert_eq!(groups, [json!(["a", "c"]), json!(["b"]), json!(["d"])], "{plans}");
    assert_eq!(plans[0]["changes"][0]["to"], "1.27", "{plans}");
    assert!(plans[2]["changes"].is_null(), "{plans}");
    let page = user.get("/rollouts").text;
    assert!(page.contains(&format!("href=\"/rollouts/{id}/plans\"")), "{page}");
    let dialog = user.get(&format!("/rollouts/{id}/plans")).text;
    for part in ["The same on 2 hosts", "On one host alone", "Not told by 1 host", "8.2&lt;b&gt;"] {
        assert!(dialog.contains(part), "{part}: {dialog}");
    }
    // Any other rollout has none.
    let pulls = user.post("/api/rollouts", &json!({ "op": "pull", "hosts": ["a"] }));
    let id = pulls.json()["rollout_id"].as_str().unwrap_or_default().to_owned();
    let none = user.get(&format!("/api/rollouts/{id}/plans"));
    assert_eq!((none.status, none.code().as_str()), (409, "nothing_to_do"), "{pulls:?} {none:?}");
}
