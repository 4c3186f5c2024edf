//! The demo as a user of its own dashboard: it logs in as people do, makes a token, and works with
//! the documented JSON API from then on.

use serde_json::{Value, json};
use std::time::Duration;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A caller of the API.
pub(super) struct User {
    agent: ureq::Agent,
    base: String,
    token: String,
}

type Response = ureq::http::Response<ureq::Body>;

impl User {
    /// Logs in and makes a token for the rest.
    pub(super) fn log_in(base: &str, password: &str) -> Result<Self, String> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(ANSWER))
            .build();
        let agent: ureq::Agent = config.into();
        let form = agent.get(format!("{base}/login")).call();
        let mut form = form.map_err(|error| error.to_string())?;
        let cookie = cookie(&form, "")?;
        let csrf = between(&text(&mut form)?, "name=\"csrf_token\" value=\"")?;
        let answer = agent
            .post(format!("{base}/login"))
            .header("Cookie", cookie)
            .send_form([("password", password), ("csrf_token", &csrf)]);
        let session = cookie_of_a_session(&answer.map_err(|error| error.to_string())?)?;
        let page = agent.get(base).header("Cookie", &session).call();
        let page = text(&mut page.map_err(|error| error.to_string())?)?;
        let csrf = between(&page, "name=\"csrf-token\" content=\"")?;
        let made = agent
            .post(format!("{base}/api/tokens"))
            .header("Cookie", &session)
            .header("X-CSRF-Token", csrf)
            .content_type("application/json")
            .send(json!({ "name": "demo", "scope": "admin" }).to_string());
        let made = read(made.map_err(|error| error.to_string())?)?;
        let token = made["token"].as_str().ok_or("no token was made")?.to_owned();
        Ok(Self { agent, base: base.to_owned(), token })
    }

    /// Reads something.
    pub(super) fn get(&self, path: &str) -> Result<Value, String> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("Authorization", format!("Bearer {}", self.token)).call();
        read(answer.map_err(|error| error.to_string())?)
    }

    /// Changes something.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let answer = request.content_type("application/json").send(body.to_string());
        read(answer.map_err(|error| error.to_string())?)
    }
}

fn text(response: &mut Response) -> Result<String, String> {
    response.body_mut().read_to_string().map_err(|error| error.to_string())
}

fn read(mut response: Response) -> Result<Value, String> {
    let text = text(&mut response)?;
    if !response.status().is_success() {
        return Err(format!("the dashboard answered {}: {text}", response.status()));
    }
    serde_json::from_str(&text)
        .map_err(|error| format!("what it answers is not understood: {error}"))
}

fn cookie_of_a_session(response: &Response) -> Result<String, String> {
    cookie(response, "nixfleet_session=")
}

/// The first cookie that begins so.
fn cookie(response: &Response, begins: &str) -> Result<String, String> {
    let all = response.headers().get_all("set-cookie").iter();
    let mut all = all.filter_map(|value| value.to_str().ok()).filter(|it| it.starts_with(begins));
    let found = all.next().and_then(|cookie| cookie.split(';').next());
    found.map(str::to_owned).ok_or_else(|| format!("no cookie came with {}", response.status()))
}

/// What stands between this and the next quotation mark.
fn between(text: &str, before: &str) -> Result<String, String> {
    let rest = text.split_once(before).and_then(|(_, rest)| rest.split_once('"'));
    rest.map(|(found, _)| found.to_owned()).ok_or_else(|| format!("a page has no {before}"))
}
