//! Rollouts: several steps on several hosts.

use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
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
            user.wait_for_row(name, "ok ok ok unk unk");
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
fn a_host_that_is_busy_is_waited_for_and_one_that_is_away_is_left_out_by_name() {
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
    assert_eq!(rollout["hosts"]["away"], json!({ "state": "left_out", "why": "offline" }));
    fleet.agent("web").set("go");
    assert_eq!(fleet.wait_for_end(&id)["counts"]["done"], 1);
    assert_eq!(fleet.history("web"), ["switch succeeded", "pull succeeded"]);
}

#[test]
fn tests_that_follow_a_switch_by_themselves_count_as_the_step() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let auto = [("NIXFLEET_TESTS_AUTO_RUN", "true")];
    let agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &auto);
    user.wait_for_row("web", "ok ok ok unk unk");
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
        (json!({ "op": "reboot", "all": true }), 400, "`op`"),
        (json!({ "op": "pull" }), 400, "`hosts`"),
        (json!({ "op": "pull", "all": true, "hosts": ["web"] }), 400, "`hosts`"),
        (json!({ "op": "pull", "hosts": ["nobody"] }), 404, "nobody"),
        (json!({ "op": "pull", "hosts": ["<b>"] }), 404, "<b>"),
        (json!({ "op": "pull", "all": true, "at_once": 0 }), 400, "`at_once`"),
        (json!({ "op": "pull", "all": true, "stop_after": 0 }), 400, "`stop_after`"),
        (json!({ "op": "pull", "all": true, "at_once": "many" }), 400, "body"),
        (json!({ "op": "pull", "all": true, "fast": true }), 400, "fast"),
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
