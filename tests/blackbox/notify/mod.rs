//! Notifications: a real dashboard and real agents, and stand-ins that keep what they were told.

mod channels;
mod delivery;
mod mail;
mod page;

use crate::support::web::{Reply, Request};
use crate::support::{Agent, Client, ConfigRepo, Dashboard, Web, wait_until};
use serde_json::{Value, json};

/// A dashboard with one host, `web`.
pub struct Fleet {
    pub repo: ConfigRepo,
    pub dashboard: Dashboard,
    pub user: Client,
    pub agent: Agent,
}

impl Fleet {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Self {
        let repo = ConfigRepo::new();
        let remote = repo.remote();
        let mut all = vec![("NIXFLEET_SOURCE", remote.to_str().unwrap())];
        all.extend(settings);
        let dashboard = Dashboard::start(&all);
        let user = dashboard.login();
        let agent = Agent::start(&dashboard.url, "web", &remote);
        user.wait_for_row("web", "ok ok ok out unk");
        Self { repo, dashboard, user, agent }
    }

    /// Adds a channel.
    #[track_caller]
    pub fn channel(&self, name: &str, body: &Value) {
        let answer = self.put(&format!("channels/{name}"), body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub fn put(&self, path: &str, body: &Value) -> crate::support::client::Answer {
        let path = format!("/api/notifications/{path}");
        self.user.send("PUT", &path, &body.to_string()).expect("the dashboard answers")
    }

    /// How a channel does.
    pub fn status(&self, name: &str) -> Value {
        let all = self.user.get("/api/notifications").json();
        let channels = all["channels"].as_array().unwrap().clone();
        channels.into_iter().find(|channel| channel["name"] == name).expect("the channel")
    }

    /// Lets a switch of `web` fail.
    pub fn fail_a_switch(&self) {
        self.agent.set("fail-build");
        self.user.run("web", "switch", "failed");
        self.agent.unset("fail-build");
    }
}

/// A stand-in for a webhook that takes everything.
pub fn taking() -> Web {
    Web::new(|_| Reply::ok("{}"))
}

/// Waits for a request whose body contains a text.
#[track_caller]
pub fn told(web: &Web, text: &str) -> Request {
    wait_until(&format!("{text:?} is told"), || {
        let heard = web.heard();
        heard.iter().find(|request| request.body.contains(text)).cloned().ok_or(heard)
    })
}

/// How many requests contain a text.
pub fn count(web: &Web, text: &str) -> usize {
    web.heard().iter().filter(|request| request.body.contains(text)).count()
}

/// A channel of the generic kind.
pub fn webhook(web: &Web) -> Value {
    json!({ "kind": "webhook", "url": format!("{}/hook", web.url), "secret": "sesame" })
}
