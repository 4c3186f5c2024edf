//! What a user does over HTTP: log in, add hosts, load pages.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::net::SocketAddr;

/// A login. It outlives a restart of the dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The cookie, as `name=value`.
    pub(crate) cookie: String,
    csrf: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    cookies: Vec<String>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A user of one dashboard. It waits for answers: not for the thread that simulates agents.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    agent: ureq::Agent,
    session: Option<Session>,
}

impl Api {
    pub(crate) fn new(address: SocketAddr, session: Option<Session>) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build();
        Self { base: format!("http://{address}"), agent: config.into(), session }
    }

    /// Goes through the login form as a browser does.
    pub(crate) fn login(&mut self, password: &str) -> anyhow::Result<Session> {
        let form = self.get("/login", false)?;
        let guard = form.cookies.first().context("the login form has no cookie")?.clone();
        let text = form.text();
        let token = between(&text, "name=\"csrf_token\" value=\"", "\"");
        let token = token.context("the login form has no token")?;
        let request = self.agent.post(format!("{}/login", self.base)).header("Cookie", guard);
        let request = request.content_type("application/x-www-form-urlencoded");
        let answer = read(request.send(format!("password={password}&csrf_token={token}"))?)?;
        ensure!(answer.status == 303, "the login answered {}: {}", answer.status, answer.text());
        let cookie = answer.cookies.into_iter().find(|cookie| cookie.contains("session="));
        let cookie = cookie.context("the login gave no session")?;
        self.session = Some(Session { cookie: cookie.clone(), csrf: String::new() });
        let page = self.get("/", false)?.text();
        let csrf = between(&page, "name=\"csrf-token\" content=\"", "\"");
        let csrf = csrf.context("the page has no csrf-token")?.to_owned();
        let session = Session { cookie, csrf };
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Loads something; compressed as browsers ask for it, or plain.
    pub(crate) fn get(&self, path: &str, compressed: bool) -> anyhow::Result<Answer> {
        let encoding = if compressed { "gzip" } else { "identity" };
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut request = request.header("Accept-Encoding", encoding);
        if let Some(session) = &self.session {
            request = request.header("Cookie", &session.cookie);
        }
        read(request.call()?)
    }

    pub(crate) fn get_json(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.get(path, false)?;
        ensure!(answer.status == 200, "{path} answered {}: {}", answer.status, answer.text());
        Ok(serde_json::from_slice(&answer.body)?)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let mut request = request.content_type("application/json");
        if let Some(session) = &self.session {
            request = request.header("Cookie", &session.cookie);
            request = request.header("X-CSRF-Token", &session.csrf);
        }
        let answer = read(request.send(body.to_string())?)?;
        let good = (200..300).contains(&answer.status);
        ensure!(good, "{path} answered {}: {}", answer.status, answer.text());
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Adds a host; answers its token.
    pub(crate) fn add_host(&self, hostname: &str) -> anyhow::Result<String> {
        let added = self.post("/api/hosts", &serde_json::json!({ "hostname": hostname }))?;
        let token = added["token"].as_str().context("a host was added without a token")?;
        Ok(token.to_owned())
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Answer> {
    let mut cookies = Vec::new();
    for header in response.headers().get_all("set-cookie") {
        let cookie = header.to_str().unwrap_or_default();
        let (value, _) = cookie.split_once(';').unwrap_or((cookie, ""));
        cookies.push(value.to_owned());
    }
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(256 * 1024 * 1024).read_to_vec()?;
    Ok(Answer { status, body, cookies })
}
