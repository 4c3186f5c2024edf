//! A user of the API.

use super::wait_until;
use serde_json::{Value, json};

/// A logged-in session, or a bare visitor.
#[derive(Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
    cookie: Option<String>,
    csrf: Option<String>,
    token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub cookies: Vec<String>,
    /// Where a redirect leads.
    pub location: Option<String>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// `error.code` of an error object.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// `error.message` of an error object.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

impl Client {
    pub fn visitor(base: &str) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build();
        Self { base: base.to_owned(), agent: config.into(), cookie: None, csrf: None, token: None }
    }

    /// A program with an API token.
    pub fn with_token(base: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::visitor(base) }
    }

    /// Goes through the login form as a browser does.
    pub fn login(base: &str, password: &str) -> Self {
        Self::visitor(base).logged_in(password)
    }

    /// The same over TLS, with an authority that is trusted, in PEM.
    pub fn login_trusting(base: &str, password: &str, ca: &str) -> Self {
        let ca = ureq::tls::Certificate::from_pem(ca.as_bytes()).unwrap();
        let roots = ureq::tls::RootCerts::new_with_certs(&[ca]);
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let config = ureq::Agent::config_builder().tls_config(tls);
        let config = config.http_status_as_error(false).max_redirects(0).build();
        Self { agent: config.into(), ..Self::visitor(base) }.logged_in(password)
    }

    fn logged_in(self, password: &str) -> Self {
        let mut client = self;
        let answer = client.try_login(password);
        assert_eq!(answer.status, 303, "{answer:?}");
        let session = answer.cookies.iter().find(|c| c.starts_with("nixfleet_session="));
        client.cookie = session.cloned();
        let page = client.get("/").text;
        let csrf = between(&page, "name=\"csrf-token\" content=\"", "\"");
        client.csrf = csrf.map(str::to_owned);
        client
    }

    /// The same where a second factor is set up.
    pub fn login_with_code(base: &str, password: &str, secret: &str) -> Self {
        let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
        let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let code = totp.generate(now.as_secs());
        Self::login(base, &format!("{password}&totp={code}"))
    }

    /// Posts the login form, which was shown for another page. Answers where it leads.
    pub fn login_for(&self, password: &str, next: &str) -> Option<String> {
        let next = serde_urlencoded::to_string([("next", next)]).unwrap();
        self.try_login(&format!("{password}&{next}")).location
    }

    /// Posts the login form.
    pub fn try_login(&self, password: &str) -> Answer {
        self.try_login_with(password, &[])
    }

    /// The session's cookie, as a browser sends it.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().expect("a session")
    }

    /// Logs in, or does not, with headers of one's own. Answers what the dashboard said.
    pub fn try_login_with(&self, password: &str, headers: &[(&str, &str)]) -> Answer {
        let form = self.get("/login");
        let mut cookies = form.cookies.first().expect("the form has a cookie").clone();
        let token = between(&form.text, "name=\"csrf_token\" value=\"", "\"").expect("a token");
        let mut request = self.agent.post(format!("{}/login", self.base));
        for (name, value) in headers {
            if *name == "Cookie" {
                cookies = format!("{cookies}; {value}");
            } else {
                request = request.header(*name, *value);
            }
        }
        let request = request.header("Cookie", cookies);
        let request = request.content_type("application/x-www-form-urlencoded");
        let body = format!("password={password}&csrf_token={token}");
        read(request.send(body).expect("the dashboard answers")).expect("the answer is text")
    }

    /// Posts a form of a page as a browser does that says from which page it is.
    pub fn post_form_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields = fields.to_vec();
        fields.push(("csrf_token", self.csrf.as_deref().unwrap_or_default()));
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("Cookie", self.cookie()).header("Origin", origin);
        read(request.send_form(fields).expect("the dashboard answers")).expect("the answer is text")
    }

    /// As [`Self::post_form_from`], a call of the API.
    pub fn post_from(&self, origin: &str, path: &str, body: &Value) -> Answer {
        let csrf = self.csrf.as_deref().unwrap_or_default();
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("Cookie", self.cookie()).header("Origin", origin);
        let request = request.header("X-CSRF-Token", csrf).content_type("application/json");
        let answer = request.send(body.to_string()).expect("the dashboard answers");
        read(answer).expect("the answer is text")
    }

    /// Forgets the page's token, as another site's form would.
    pub fn without_csrf(mut self) -> Self {
        self.csrf = None;
        self
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).expect("the dashboard answers")
    }

    /// `None` while the dashboard is away.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        read(request.call().ok()?).ok()
    }

    /// As [`Self::post`]; `None` while the dashboard is away.
    pub fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.try_post_text(path, &body.to_string())
    }

    /// As [`Self::row`]; `None` while the dashboard is away.
    pub fn try_row(&self, name: &str) -> Option<String> {
        let answer = self.try_get(&format!("/api/hosts/{name}"))?;
        Some(row_of(&answer.json()))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    pub fn post_text(&self, path: &str, body: &str) -> Answer {
        self.try_post_text(path, body).expect("the dashboard answers")
    }

    fn try_post_text(&self, path: &str, body: &str) -> Option<Answer> {
        self.send("POST", path, body)
    }

    /// Posts a form with the page's token, as a browser without a script does.
    pub fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf.clone().unwrap_or_default();
        let fields = fields.iter().copied().chain([("csrf_token", csrf.as_str())]);
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let request = request.content_type("application/x-www-form-urlencoded");
        read(request.send(body).expect("the dashboard answers")).expect("the answer is text")
    }

    /// How many bytes a page has on the wire.
    pub fn size_of(&self, path: &str, compressed: bool) -> usize {
        let encoding = if compressed { "gzip" } else { "identity" };
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("Accept-Encoding", encoding);
        let request = request.header("Cookie", self.cookie.as_deref().unwrap_or_default());
        let mut response = request.call().expect("the dashboard answers");
        let zipped = response.headers().get("content-encoding").is_some();
        assert_eq!(zipped, compressed);
        response.body_mut().read_to_vec().unwrap().len()
    }

    /// Asks as a program with an API token does.
    pub fn get_with_token(&self, path: &str, token: &str) -> Answer {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("Authorization", format!("Bearer {token}"));
        read(request.call().expect("the dashboard answers")).expect("the answer is text")
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &body.to_string()).expect("the dashboard answers")
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "").expect("the dashboard answers")
    }

    pub fn send(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Content-Type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("X-CSRF-Token", csrf);
        }
        read(self.agent.run(request.body(body.to_owned()).unwrap()).ok()?).ok()
    }

    pub fn host(&self, name: &str) -> Value {
        self.get(&format!("/api/hosts/{name}")).json()
    }

    /// The five statuses, as the acceptance table writes them.
    pub fn row(&self, name: &str) -> String {
        row_of(&self.host(name))
    }

    /// What a compartment says.
    pub fn says(&self, name: &str, compartment: &str) -> String {
        let host = self.host(name);
        host["update_status"][compartment]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a compartment says something.
    #[track_caller]
    pub fn wait_for_saying(&self, name: &str, compartment: &str, text: &str) {
        wait_until(&format!("{compartment} of {name} says {text:?}"), || {
            let now = self.says(name, compartment);
            if now.contains(text) { Ok(()) } else { Err(now) }
        });
    }

    /// Waits for a whole row.
    #[track_caller]
    pub fn wait_for_row(&self, name: &str, row: &str) {
        wait_until(&format!("the row of {name} is {row}"), || {
            let now = self.row(name);
            if now == row { Ok(()) } else { Err((now, self.host(name))) }
        });
    }

    #[track_caller]
    pub fn wait_for_online(&self, name: &str) {
        wait_until(&format!("{name} is online"), || {
            let answer = self.get(&format!("/api/hosts/{name}"));
            let online = answer.status == 200 && answer.json()["online"] == true;
            if online { Ok(()) } else { Err(answer) }
        });
    }

    #[track_caller]
    pub fn wait_for_offline(&self, name: &str) {
        wait_until(&format!("{name} is offline"), || {
            let host = self.host(name);
            if host["online"] == false { Ok(()) } else { Err(host) }
        });
    }

    /// Waits until a host runs nothing.
    #[track_caller]
    pub fn wait_for_idle(&self, name: &str) {
        wait_until(&format!("{name} is idle"), || {
            let host = self.host(name);
            if host["pending_command"].is_null() { Ok(()) } else { Err(host) }
        });
    }

    /// Starts an operation; answers the command's id.
    #[track_caller]
    pub fn start(&self, name: &str, op: &str) -> String {
        let answer = self.post(&format!("/api/hosts/{name}/commands"), &json!({ "op": op }));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["command_id"].as_str().expect("an id").to_owned()
    }

    pub fn command(&self, id: &str) -> Value {
        self.get(&format!("/api/commands/{id}")).json()
    }

    /// Waits until a command is in a state.
    #[track_caller]
    pub fn wait_for_state(&self, id: &str, state: &str) -> Value {
        wait_until(&format!("command {id} is {state}"), || {
            let command = self.command(id);
            if command["state"] == state { Ok(command) } else { Err(command) }
        })
    }

    /// Starts an operation and waits for its state.
    #[track_caller]
    pub fn run(&self, name: &str, op: &str, state: &str) -> Value {
        let id = self.start(name, op);
        self.wait_for_state(&id, state)
    }

    /// All lines of a command's output.
    /// Waits until a rollout is over.
    #[track_caller]
    pub fn wait_for_end_of(&self, rollout: &str) -> Value {
        wait_until("the rollout has ended", || {
            let rollout = self.get(&format!("/api/rollouts/{rollout}")).json();
            if rollout["over"] == true { Ok(rollout) } else { Err(rollout) }
        })
    }

    pub fn output(&self, id: &str) -> Vec<String> {
        let text = self.get(&format!("/api/commands/{id}/output")).text;
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a line of a command's output.
    #[track_caller]
    pub fn wait_for_line(&self, id: &str, line: &str) {
        wait_until(&format!("command {id} prints {line:?}"), || {
            let lines = self.output(id);
            if lines.iter().any(|l| l == line) { Ok(()) } else { Err(lines) }
        });
    }
}

/// The five statuses of a host object.
fn row_of(host: &Value) -> String {
    let short = |compartment: &str| {
        match host["update_status"][compartment]["status"].as_str().unwrap_or("none") {
            "outdated" => "out",
            "error" => "err",
            "working" => "wrk",
            "unknown" => "unk",
            other => other,
        }
        .to_owned()
    };
    ["agent", "git", "lock", "system", "tests"].map(short).join(" ")
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let cookies = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .filter_map(|cookie| Some(cookie.to_str().ok()?.split(';').next()?.to_owned()))
        .collect();
    let status = response.status().as_u16();
    let location = response.headers().get("location");
    let location = location.map(|to| to.to_str().expect("an address").to_owned());
    let text = response.body_mut().read_to_string()?;
    Ok(Answer { status, text, cookies, location })
}
