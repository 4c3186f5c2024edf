//! A stand-in for a Gitea or Forgejo: the answers of its API that count here, over a real git
//! repository, which it serves over http too. As the real one it wants a token for what is private,
//! refuses a merge whose head moved (409) or that conflicts (405), and knows no revert.

use super::ConfigRepo;
use super::github::{directory, over_http};
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

/// A pull request.
#[derive(Clone)]
pub struct Request {
    pub number: u64,
    pub title: String,
    pub branch: String,
    pub mergeable: bool,
    pub merged: bool,
    /// Where it left main: the forge remembers that.
    base: String,
}

#[derive(Default)]
struct State {
    token: Option<String>,
    requests: Vec<Request>,
    /// Name and state of each status.
    statuses: Vec<(String, String)>,
}

#[derive(Clone)]
pub struct Gitea {
    pub url: String,
    repo: Arc<ConfigRepo>,
    state: Arc<Mutex<State>>,
}

impl Gitea {
    /// Serves `repo` as `owner/nixcfg`.
    pub fn serve(repo: Arc<ConfigRepo>) -> Self {
        let (tell, told) = channel();
        let mut gitea = Self { url: String::new(), repo, state: Arc::default() };
        let serving = gitea.clone();
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(web::Data::new(serving.clone()))
                        .app_data(web::PayloadConfig::new(64 * 1024 * 1024))
                        .default_service(web::to(answer))
                })
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
                tell.send(server.addrs()[0]).unwrap();
                server.run().await.unwrap();
            });
        });
        gitea.url = format!("http://{}", told.recv().unwrap());
        gitea
    }

    /// Only who sends this is answered: the repository is private.
    pub fn require_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    /// Opens a pull request from a branch that is on the remote.
    pub fn open(&self, number: u64, branch: &str, title: &str) {
        let base = self.repo.remote_git(&["merge-base", "main", branch]).unwrap();
        let (branch, title) = (branch.to_owned(), title.to_owned());
        let request = Request { number, title, branch, mergeable: true, merged: false, base };
        self.state.lock().unwrap().requests.push(request);
    }

    pub fn change(&self, number: u64, change: impl Fn(&mut Request)) {
        let mut state = self.state.lock().unwrap();
        state.requests.iter_mut().filter(|request| request.number == number).for_each(change);
    }

    /// The statuses of every commit.
    pub fn statuses(&self, list: &[(&str, &str)]) {
        let list = list.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned()));
        self.state.lock().unwrap().statuses = list.collect();
    }

    /// Branch and title of a pull request.
    pub fn opened(&self, number: u64) -> Option<(String, String)> {
        let state = self.state.lock().unwrap();
        let found = state.requests.iter().find(|request| request.number == number)?;
        Some((found.branch.clone(), found.title.clone()))
    }

    fn json(&self, request: &Request) -> Value {
        let sha = self.repo.remote_git(&["rev-parse", &request.branch]).unwrap_or_default();
        json!({
            "number": request.number, "title": request.title,
            "html_url": format!("https://forge.example/owner/nixcfg/pulls/{}", request.number),
            "state": if request.merged { "closed" } else { "open" }, "merged": request.merged,
            "mergeable": request.mergeable, "merge_base": request.base, "labels": [],
            "head": { "ref": request.branch, "sha": sha, "label": request.branch },
            "base": { "ref": "main", "label": "main" }, "user": { "login": "bot" },
        })
    }
}

fn failed(status: u16, message: &str) -> (u16, Value) {
    (status, json!({ "message": message, "url": "https://forge.example/api/swagger" }))
}

async fn answer(request: HttpRequest, body: web::Bytes, gitea: web::Data<Gitea>) -> HttpResponse {
    let path = request.path().to_owned();
    let query: BTreeMap<String, String> =
        web::Query::<BTreeMap<String, String>>::from_query(request.query_string())
            .unwrap()
            .into_inner();
    let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = gitea.state.lock().unwrap().token.clone();
    let is_known = token.is_none_or(|token| {
        sent.is_some_and(|sent| {
            [format!("Bearer {token}"), format!("token {token}")].contains(&sent.to_owned())
        })
    });
    if let Some(rest) = path.strip_prefix("/owner/nixcfg.git/") {
        if !is_known {
            return HttpResponse::Unauthorized()
                .insert_header(("WWW-Authenticate", "Basic realm=\"Gitea\""))
                .finish();
        }
        return over_http(&gitea.repo, &request, &format!("remote.git/{rest}"), &body);
    }
    // What is private is not there for who may not see it.
    let Some(rest) = path.strip_prefix("/api/v1/repos/owner/nixcfg").filter(|_| is_known) else {
        let (status, value) = failed(404, "The target couldn't be found.");
        return HttpResponse::build(StatusCode::from_u16(status).unwrap()).json(value);
    };
    if let Some(file) = rest.strip_prefix("/raw/") {
        let name = format!("{}:{file}", query["ref"]);
        return match gitea.repo.remote_bytes(&["cat-file", "blob", &name]) {
            Some(bytes) => HttpResponse::Ok().body(bytes),
            None => HttpResponse::NotFound().finish(),
        };
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let parts: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
    let has_token = sent.is_some();
    let (status, value) =
        of_api(&gitea, request.method().as_str(), &parts, &query, &body, has_token);
    HttpResponse::build(StatusCode::from_u16(status).unwrap()).json(value)
}

fn of_api(
    gitea: &Gitea,
    method: &str,
    parts: &[&str],
    query: &BTreeMap<String, String>,
    body: &Value,
    has_token: bool,
) -> (u16, Value) {
    if method != "GET" && !has_token {
        return failed(401, "token is required");
    }
    let requests = gitea.state.lock().unwrap().requests.clone();
    let of = |number: &str| requests.iter().find(|r| r.number.to_string() == number);
    match (method, parts) {
        ("GET", ["pulls"]) => {
            let open = requests.iter().filter(|request| !request.merged);
            (200, open.map(|request| gitea.json(request)).collect())
        }
        ("GET", ["pulls", number]) => match of(number) {
            Some(request) => (200, gitea.json(request)),
            None => failed(404, "pull request does not exist"),
        },
        ("GET", ["pulls", number, "files"]) => {
            let request = of(number).unwrap();
            let range = format!("{}..{}", request.base, request.branch);
            let names = gitea.repo.remote_git(&["diff", "--name-only", &range]).unwrap();
            (200, names.lines().map(|name| json!({ "filename": name })).collect())
        }
        ("POST", ["pulls", number, "merge"]) => merge(gitea, of(number).unwrap(), body),
        ("POST", ["pulls"]) => {
            let (branch, title) = (body["head"].as_str().unwrap(), body["title"].as_str().unwrap());
            let number = requests.iter().map(|request| request.number).max().unwrap_or(0) + 1;
            gitea.open(number, branch, title);
            let made = gitea.state.lock().unwrap().requests.last().unwrap().clone();
            (201, gitea.json(&made))
        }
        ("GET", ["commits", _, "status"]) => {
            let list = gitea.state.lock().unwrap().statuses.clone();
            let list: Vec<Value> = list
                .iter()
                .map(|(name, state)| json!({ "context": name, "status": state }))
                .collect();
            (200, json!({ "state": "pending", "statuses": list, "total_count": list.len() }))
        }
        ("GET", ["contents", file]) => {
            let name = format!("{}:{file}", query["ref"]);
            if let Some(entries) = directory(&gitea.repo, &name) {
                return (200, entries);
            }
            match gitea.repo.remote_git(&["rev-parse", &name]) {
                Some(sha) => (200, json!({ "name": file, "sha": sha, "type": "file" })),
                None => failed(404, "object does not exist"),
            }
        }
        ("PUT", ["contents", file]) => put(gitea, file, body),
        _ => failed(404, "The target couldn't be found."),
    }
}

fn merge(gitea: &Gitea, request: &Request, body: &Value) -> (u16, Value) {
    if request.merged || !request.mergeable {
        return failed(405, "Please try again later");
    }
    if body["Do"] != "merge" {
        return failed(422, "[Do]: Required");
    }
    if body["head_commit_id"] != gitea.json(request)["head"]["sha"] {
        return failed(409, "head out of date");
    }
    gitea.repo.merge_on_remote(&request.branch);
    gitea.change(request.number, |request| request.merged = true);
    (200, Value::Null)
}

/// Writes a file on a new branch, as the forge does: only over the file that was seen.
fn put(gitea: &Gitea, file: &str, body: &Value) -> (u16, Value) {
    let (from, to) = (body["branch"].as_str().unwrap(), body["new_branch"].as_str().unwrap());
    if gitea.repo.remote_git(&["rev-parse", "--verify", "--quiet", to]).is_some() {
        return failed(422, "branch already exists");
    }
    let seen = gitea.repo.remote_git(&["rev-parse", &format!("{from}:{file}")]);
    if seen.as_deref() != body["sha"].as_str() {
        return failed(422, "sha does not match");
    }
    use base64::Engine;
    let content = base64::engine::general_purpose::STANDARD
        .decode(body["content"].as_str().unwrap())
        .unwrap();
    gitea.repo.push_branch_with_lock(to, &String::from_utf8(content).unwrap());
    (201, json!({ "branch": to }))
}
