//! A stand-in for GitHub: the shapes, paging, ETags, rate limits and errors of its REST API,
//! over a real git repository. It also serves that repository over http, and any file. It is as
//! unkind as the real one: 60 requests an hour without a token, where even what did not change
//! counts; `mergeable` is null when it is asked for the first time.

use super::ConfigRepo;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Requests an hour without a token, and with one.
const LIMITS: [usize; 2] = [60, 5000];
/// Requests of one minute after which GitHub's secondary limit is reached.
const PER_MINUTE: usize = 900;

/// An answer that is given to everything, whatever was asked.
#[derive(Clone)]
pub struct Canned {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// A pull request.
#[derive(Clone)]
pub struct Pull {
    pub number: u64,
    pub branch: String,
    pub title: String,
    pub mergeable: bool,
    pub merged: bool,
    pub open: bool,
}

#[derive(Default)]
struct State {
    /// How often each path was asked for, and how often that cost rate limit.
    asked: BTreeMap<String, usize>,
    cost: usize,
    canned: Option<Canned>,
    token: Option<String>,
    pulls: Vec<Pull>,
    /// Whether a pull request can be merged is worked out after somebody asked: these were.
    checked: BTreeSet<(u64, String)>,
    /// It takes until this is false.
    is_slow_to_check: bool,
    /// What counts against the limits of an hour, without a token and with one.
    used: [usize; 2],
    /// The minute, and how many requests came in it.
    minute: (u64, usize),
    files: BTreeMap<String, String>,
    page: usize,
    check_runs: Vec<Value>,
}

#[derive(Clone)]
pub struct GitHub {
    pub url: String,
    repo: Arc<ConfigRepo>,
    state: Arc<Mutex<State>>,
}

impl GitHub {
    /// Serves `repo` as `owner/nixcfg`, a hundred entries a page.
    pub fn serve(repo: Arc<ConfigRepo>) -> Self {
        let (tell, told) = channel();
        let state = Arc::new(Mutex::new(State { page: 100, ..State::default() }));
        let mut github = Self { url: String::new(), repo, state };
        let serving = github.clone();
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
        github.url = format!("http://{}", told.recv().unwrap());
        github
    }

    /// Everything is answered with this from now on; `None`: with the truth.
    pub fn answer_with(&self, canned: Option<Canned>) {
        self.state.lock().unwrap().canned = canned;
    }

    pub fn require_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    pub fn page_size(&self, entries: usize) {
        self.state.lock().unwrap().page = entries;
    }

    /// Serves a text below `/files/`.
    pub fn file(&self, name: &str, text: &str) -> String {
        self.state.lock().unwrap().files.insert(name.to_owned(), text.to_owned());
        format!("{}/files/{name}", self.url)
    }

    /// Opens a pull request from a branch that is on the remote. Features are called so; the
    /// title of anything else says that it updates flake.lock.
    pub fn open_pull(&self, number: u64, branch: &str, mergeable: bool) {
        let title = match branch.strip_prefix("feature/") {
            Some(feature) => format!("Add feature {feature}"),
            None => format!("flake.lock: update from {branch}"),
        };
        let branch = branch.to_owned();
        let pull = Pull { number, branch, title, mergeable, merged: false, open: true };
        self.state.lock().unwrap().pulls.push(pull);
    }

    /// What the checks of every commit say from now on: name and conclusion, null while one runs.
    pub fn check(&self, runs: &[(&str, Option<&str>)]) {
        let runs = runs.iter().map(|(name, conclusion)| {
            let status = if conclusion.is_some() { "completed" } else { "in_progress" };
            json!({ "name": name, "status": status, "conclusion": conclusion })
        });
        self.state.lock().unwrap().check_runs = runs.collect();
    }

    pub fn change_pull(&self, number: u64, change: impl Fn(&mut Pull)) {
        let mut state = self.state.lock().unwrap();
        state.pulls.iter_mut().filter(|pull| pull.number == number).for_each(change);
    }

    /// How often paths that contain `part` were asked for.
    pub fn asked(&self, part: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|(path, _)| path.contains(part)).map(|(_, n)| n).sum()
    }

    /// How many requests counted against the rate limit.
    pub fn cost(&self) -> usize {
        self.state.lock().unwrap().cost
    }

    /// How many of the 60 requests that are allowed without a token were used.
    pub fn used_without_token(&self) -> usize {
        self.state.lock().unwrap().used[0]
    }

    /// Whether `mergeable` stays null.
    pub fn is_slow_to_check(&self, is_slow: bool) {
        self.state.lock().unwrap().is_slow_to_check = is_slow;
    }

    /// Counts a request; answers the refusal if a limit is reached.
    fn count(&self, has_token: bool) -> Option<HttpResponse> {
        let mut state = self.state.lock().unwrap();
        let now = seconds_now();
        if state.minute.0 != now / 60 {
            state.minute = (now / 60, 0);
        }
        state.minute.1 += 1;
        if state.minute.1 > PER_MINUTE {
            let message = "You have exceeded a secondary rate limit. Please wait a few minutes.";
            return Some(HttpResponse::Forbidden().json(json!({ "message": message })));
        }
        let who = usize::from(has_token);
        if state.used[who] >= LIMITS[who] {
            let message = "API rate limit exceeded for 127.0.0.1.";
            return Some(HttpResponse::Forbidden().json(json!({ "message": message })));
        }
        state.used[who] += 1;
        None
    }

    /// Says what is left. With a token, what did not change is given back.
    fn with_limits(&self, mut answer: HttpResponse, has_token: bool) -> HttpResponse {
        let mut state = self.state.lock().unwrap();
        let who = usize::from(has_token);
        let is_free = has_token && answer.status() == StatusCode::NOT_MODIFIED;
        if is_free {
            state.used[who] -= 1;
        }
        let reset = (seconds_now() / 3600 + 1) * 3600;
        let remaining = LIMITS[who] - state.used[who];
        for (name, value) in [
            ("x-ratelimit-limit", LIMITS[who].to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ] {
            let name = actix_web::http::header::HeaderName::from_static(name);
            let value = actix_web::http::header::HeaderValue::from_str(&value).unwrap();
            answer.headers_mut().insert(name, value);
        }
        answer
    }

    /// What GitHub says of `mergeable`: nothing at first.
    fn mergeable(&self, pull: &Pull, head: &str) -> Value {
        let mut state = self.state.lock().unwrap();
        let is_first = state.checked.insert((pull.number, head.to_owned()));
        if is_first || state.is_slow_to_check { Value::Null } else { json!(pull.mergeable) }
    }

    fn commit(&self, name: &str) -> Option<Value> {
        let text = self.repo.remote_git(&["show", "--no-patch", "--format=%H%n%cI%n%B", name])?;
        let (sha, rest) = text.split_once('\n')?;
        let (date, message) = rest.split_once('\n')?;
        Some(json!({
            "sha": sha, "node_id": "C_1",
            "commit": {
                "message": message.trim_end(), "committer": { "name": "t", "date": date },
                "author": { "name": "t", "date": date },
            },
        }))
    }

    fn commits(&self, arguments: &[&str]) -> Vec<Value> {
        let listed = self.repo.remote_git(&[&["rev-list"], arguments].concat()).unwrap_or_default();
        listed.lines().filter_map(|sha| self.commit(sha)).collect()
    }

    fn pull_json(&self, pull: &Pull, whole: bool) -> Value {
        let sha = self.repo.remote_git(&["rev-parse", &pull.branch]).unwrap_or_default();
        let mut object = json!({
            "number": pull.number, "title": pull.title,
            "html_url": format!("https://github.example/owner/nixcfg/pull/{}", pull.number),
            "state": if pull.open { "open" } else { "closed" }, "node_id": "PR_1",
            "head": { "ref": pull.branch, "sha": sha }, "labels": [], "user": { "login": "bot" },
        });
        if whole {
            object["merged"] = json!(pull.merged);
            object["mergeable"] = self.mergeable(pull, &sha);
        }
        object
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn not_found() -> (u16, Value) {
    (404, json!({ "message": "Not Found", "documentation_url": "https://docs.github.com/rest" }))
}

async fn answer(request: HttpRequest, body: web::Bytes, github: web::Data<GitHub>) -> HttpResponse {
    let path = request.path().to_owned();
    let query: BTreeMap<String, String> =
        web::Query::<BTreeMap<String, String>>::from_query(request.query_string())
            .unwrap()
            .into_inner();
    let (canned, token) = {
        let mut state = github.state.lock().unwrap();
        *state.asked.entry(path.clone()).or_default() += 1;
        (state.canned.clone(), state.token.clone())
    };
    if let Some(canned) = canned {
        let mut answer = HttpResponse::build(StatusCode::from_u16(canned.status).unwrap());
        canned.headers.iter().for_each(|header| {
            answer.insert_header((header.0, header.1.as_str()));
        });
        return answer.body(canned.body);
    }
    if let Some(rest) = path.strip_prefix("/git/") {
        return over_http(&github.repo, &request, rest, &body);
    }
    if let Some(name) = path.strip_prefix("/files/") {
        let text = github.state.lock().unwrap().files.get(name).cloned();
        return text.map_or_else(
            || HttpResponse::NotFound().finish(),
            |text| with_etag(&github, &request, "application/json", text.into_bytes()),
        );
    }
    let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if token.is_some_and(|token| sent != Some(&format!("Bearer {token}"))) {
        return HttpResponse::Unauthorized().json(json!({ "message": "Bad credentials" }));
    }
    if let Some(rest) = path.strip_prefix("/owner/nixcfg.git/") {
        return over_http(&github.repo, &request, &format!("remote.git/{rest}"), &body);
    }
    let has_token = sent.is_some();
    let limited = github.count(has_token);
    let answer = match limited {
        Some(refusal) => refusal,
        None => answer_of_api(&request, &body, &github, &path, &query),
    };
    github.with_limits(answer, has_token)
}

fn answer_of_api(
    request: &HttpRequest,
    body: &[u8],
    github: &GitHub,
    path: &str,
    query: &BTreeMap<String, String>,
) -> HttpResponse {
    if path == "/graphql" {
        let number = 43;
        let url = "https://github.example/owner/nixcfg/pull/43";
        let made = json!({ "revertPullRequest": { "number": number, "url": url } });
        return HttpResponse::Ok().json(json!({ "data": { "revertPullRequest": made } }));
    }
    let Some(rest) = path.strip_prefix("/repos/owner/nixcfg/") else {
        return HttpResponse::NotFound().json(not_found().1);
    };
    let parts: Vec<&str> = rest.splitn(2, '/').collect();
    let (status, value) = match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["commits"]) => {
            let path = query.get("path").map_or("", String::as_str);
            (200, Value::Array(github.commits(&[&query["sha"], "--", path])))
        }
        ("GET", ["contents", file]) => {
            let name = format!("{}:{file}", query["ref"]);
            match github.repo.remote_bytes(&["cat-file", "blob", &name]) {
                Some(bytes) => {
                    return with_etag(github, request, "application/vnd.github.raw+json", bytes);
                }
                None => match directory(&github.repo, &name) {
                    Some(entries) => (200, entries),
                    None => not_found(),
                },
            }
        }
        ("GET", ["commits", of_commit]) if of_commit.ends_with("/check-runs") => {
            let runs = github.state.lock().unwrap().check_runs.clone();
            (200, json!({ "total_count": runs.len(), "check_runs": runs }))
        }
        ("GET", ["commits", of_commit]) if of_commit.ends_with("/status") => {
            (200, json!({ "state": "pending", "total_count": 0, "statuses": [] }))
        }
        ("GET", ["commits", branch]) => match github.commit(&format!("refs/heads/{branch}")) {
            Some(commit) => (200, commit),
            None => (422, json!({ "message": format!("No commit found for SHA: {branch}") })),
        },
        ("GET", ["compare", range]) => return compare(github, request, range, query),
        ("GET", ["pulls"]) => {
            let pulls = github.state.lock().unwrap().pulls.clone();
            let open = pulls.iter().filter(|pull| pull.open);
            (200, open.map(|pull| github.pull_json(pull, false)).collect())
        }
        (method, ["pulls", rest]) => pull(github, method, rest, body),
        _ => not_found(),
    };
    if status == 200 && request.method() == "GET" {
        return with_etag(github, request, "application/json", value.to_string().into_bytes());
    }
    HttpResponse::build(StatusCode::from_u16(status).unwrap()).json(value)
}

fn pull(github: &GitHub, method: &str, rest: &str, body: &[u8]) -> (u16, Value) {
    let (number, merge) = match rest.split_once('/') {
        Some((number, "merge")) => (number, true),
        _ => (rest, false),
    };
    let pulls = github.state.lock().unwrap().pulls.clone();
    let Some(pull) = pulls.into_iter().find(|pull| pull.number.to_string() == number) else {
        return not_found();
    };
    let whole = github.pull_json(&pull, true);
    match (method, merge) {
        ("GET", false) => (200, whole),
        ("PUT", true) => {
            let asked: Value = serde_json::from_slice(body).unwrap();
            if !pull.mergeable || !pull.open {
                return (405, json!({ "message": "Pull Request is not mergeable" }));
            }
            if asked["sha"] != whole["head"]["sha"] {
                return (409, json!({ "message": "Head branch was modified." }));
            }
            github.repo.merge_on_remote(&pull.branch);
            github.change_pull(pull.number, |pull| (pull.open, pull.merged) = (false, true));
            (200, json!({ "merged": true, "message": "Pull Request successfully merged" }))
        }
        _ => not_found(),
    }
}

fn compare(
    github: &GitHub,
    request: &HttpRequest,
    range: &str,
    query: &BTreeMap<String, String>,
) -> HttpResponse {
    let (base, head) = range.split_once("...").unwrap();
    let known = |name: &str| github.commit(name).is_some();
    if !known(base) || !known(head) {
        return HttpResponse::NotFound().json(not_found().1);
    }
    let ahead = github.commits(&["--reverse", &format!("{base}..{head}")]);
    let behind = github.commits(&[&format!("{head}..{base}")]).len();
    let status = match (ahead.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let merge_base = github.repo.remote_git(&["merge-base", base, head]);
    let size = github.state.lock().unwrap().page;
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let commits: Vec<&Value> = ahead.iter().skip((page - 1) * size).take(size).collect();
    let value = json!({
        "status": status, "ahead_by": ahead.len(), "behind_by": behind,
        "total_commits": ahead.len(), "commits": commits, "merge_base_commit": { "sha": merge_base },
    });
    let mut answer = with_etag(github, request, "application/json", value.to_string().into_bytes());
    if page * size < ahead.len() {
        let host = request.connection_info().host().to_owned();
        let next = format!("<http://{host}{}?page={}>; rel=\"next\"", request.path(), page + 1);
        answer.headers_mut().insert(
            actix_web::http::header::LINK,
            actix_web::http::header::HeaderValue::from_str(&next).unwrap(),
        );
    }
    answer
}

/// A directory of a commit, as both kinds of forges list it.
pub fn directory(repo: &ConfigRepo, name: &str) -> Option<Value> {
    let listed = repo.remote_git(&["ls-tree", name])?;
    let entries = listed.lines().map(|line| {
        let (head, name) = line.split_once('\t').unwrap();
        let kind = if head.contains(" tree ") { "dir" } else { "file" };
        json!({ "name": name, "path": name, "type": kind })
    });
    Some(entries.collect())
}

/// The body, or 304 if that is what the asker has; only the former costs.
fn with_etag(github: &GitHub, request: &HttpRequest, kind: &str, body: Vec<u8>) -> HttpResponse {
    let hash: String = Sha256::digest(&body).iter().take(8).map(|b| format!("{b:02x}")).collect();
    let etag = format!("W/\"{hash}\"");
    let has = request.headers().get("if-none-match").is_some_and(|sent| sent == etag.as_str());
    if has {
        return HttpResponse::NotModified().insert_header(("ETag", etag)).finish();
    }
    github.state.lock().unwrap().cost += 1;
    HttpResponse::Ok().insert_header(("ETag", etag)).content_type(kind).body(body)
}

/// Git's own program serves the repository.
pub fn over_http(
    repo: &ConfigRepo,
    request: &HttpRequest,
    path: &str,
    body: &[u8],
) -> HttpResponse {
    let remote = repo.remote();
    let header = |name: &str| {
        request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", remote.parent().unwrap())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{path}"))
        .env("REQUEST_METHOD", request.method().as_str())
        .env("QUERY_STRING", request.query_string())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let end = output.stdout.windows(4).position(|w| w == b"\r\n\r\n").expect("CGI headers");
    let head = String::from_utf8(output.stdout[..end].to_vec()).unwrap();
    let mut answer = HttpResponse::Ok();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name {
            "Status" => {
                answer.status(StatusCode::from_u16(value[..3].parse().unwrap()).unwrap());
            }
            _ => {
                answer.insert_header((name, value));
            }
        }
    }
    answer.body(output.stdout[end + 4..].to_vec())
}
