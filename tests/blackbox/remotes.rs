//! Desired state from real remotes: GitHub's API, git over http, and a version.json.

use crate::support::github::Canned;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, GitHub, OldAgent, wait_until};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

struct Forge {
    repo: Arc<ConfigRepo>,
    github: GitHub,
    dashboard: Dashboard,
    user: Client,
}

impl Forge {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[(&str, &str)]) -> Self {
        let repo = Arc::new(ConfigRepo::new());
        let github = GitHub::serve(Arc::clone(&repo));
        let mut settings = vec![
            ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
            ("NIXFLEET_GITHUB_API", &github.url),
            ("NIXFLEET_GITHUB_TOKEN", "ghp_anybody"),
        ];
        settings.extend(more);
        let dashboard = Dashboard::start(&settings);
        let user = dashboard.login();
        Self { repo, github, dashboard, user }
    }

    fn head(&self) -> String {
        self.repo.head()
    }

    /// A 3.x agent whose checkout is a commit with its flake.lock.
    fn host_at(&self, name: &str, commit: &str) -> OldAgent {
        let mut agent = OldAgent::join_added(&self.user, &self.dashboard.url, name, commit);
        agent.lock_hash = Some(lock_hash(&self.repo, commit));
        agent.heartbeat();
        agent
    }
}

fn lock_hash(repo: &ConfigRepo, commit: &str) -> String {
    let bytes = repo.remote_bytes(&["cat-file", "blob", &format!("{commit}:flake.lock")]).unwrap();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn desired(user: &Client) -> Value {
    user.get("/api/desired").json()[0].clone()
}

#[track_caller]
fn wait_for_error(user: &Client, text: &str) {
    wait_until(&format!("the remote's error says {text:?}"), || {
        let now = desired(user);
        let said = now["error"].as_str().unwrap_or_default();
        if now["state"] == "unavailable" && said.contains(text) { Ok(()) } else { Err(now) }
    });
}

#[test]
fn github_is_read_and_commits_between_are_counted_and_named() {
    let forge = Forge::start();
    let old = forge.head();
    let _agent = forge.host_at("web", &old);
    forge.user.wait_for_row("web", "out ok ok out unk");
    forge.repo.push_change("one");
    forge.repo.write("flake.lock", "{ \"version\": 8 }\n");
    forge.repo.push("flake.lock: update");
    forge.repo.push_change("three <b>bold</b>");
    forge.user.wait_for_row("web", "out out out out unk");
    forge.user.wait_for_saying("web", "git", "3 commits behind origin/main");
    forge.user.wait_for_saying("web", "lock", "outdated by 1 commit");
    let missing = forge.user.host("web")["missing_commits"].clone();
    let subjects: Vec<&str> =
        missing.as_array().unwrap().iter().map(|m| m["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["three <b>bold</b>", "flake.lock: update", "one"]);
    let page = forge.user.get("/hosts/web").text;
    assert!(page.contains("three &lt;b&gt;bold&lt;/b&gt;"), "{page}");
}

#[test]
fn a_long_way_behind_is_counted_over_several_pages() {
    let forge = Forge::start();
    let old = forge.head();
    forge.github.page_size(4);
    for n in 0..10 {
        forge.repo.push_change(&n.to_string());
    }
    let _agent = forge.host_at("web", &old);
    forge.user.wait_for_saying("web", "git", "10 commits behind");
    assert_eq!(forge.user.host("web")["missing_commits"].as_array().unwrap().len(), 10);
}

#[test]
fn a_commit_that_github_does_not_know_is_said_to_be_not_on_the_branch() {
    let forge = Forge::start();
    let _agent = OldAgent::join(&forge.dashboard.url, "web", &"9".repeat(40));
    forge.user.wait_for_saying("web", "git", "Not on origin/main");
}

#[test]
fn what_did_not_change_costs_no_rate_limit() {
    let forge = Forge::start();
    let _agent = forge.host_at("web", &forge.head());
    forge.user.wait_for_row("web", "out ok ok out unk");
    let (cost, fetches) = (forge.github.cost(), forge.github.asked("/commits/main"));
    wait_until("it was read five times more", || {
        forge.user.row("web");
        let now = forge.github.asked("/commits/main");
        if now >= fetches + 5 { Ok(()) } else { Err(now) }
    });
    assert_eq!(forge.github.cost(), cost);
}

#[test]
fn hundreds_of_hosts_cost_the_remote_no_more_than_one() {
    let requests = |hosts: usize| {
        let forge = Forge::start();
        let old = forge.head();
        forge.repo.push_change("ahead");
        let agents: Vec<OldAgent> =
            (0..hosts).map(|n| forge.host_at(&format!("h{n}"), &old)).collect();
        forge.user.wait_for_saying(&format!("h{}", hosts - 1), "git", "1 commit behind");
        wait_until("it was read ten times", || {
            forge.user.row("h0");
            let now = forge.github.asked("/commits/main");
            if now >= 10 { Ok(()) } else { Err(now) }
        });
        drop(agents);
        (forge.github.asked("/compare/"), forge.github.asked("/contents/"), forge.github.cost())
    };
    let one = requests(1);
    let many = requests(500);
    println!("one host: {one:?}, 500 hosts: {many:?}");
    assert!(many.0 <= one.0 + 1 && many.1 <= one.1 + 1 && many.2 <= one.2 + 4, "{one:?} {many:?}");
}

#[test]
fn every_way_to_fail_is_said_at_once_and_recovery_follows_within_a_ttl() {
    let forge = Forge::start();
    let _agent = forge.host_at("web", &forge.head());
    forge.user.wait_for_row("web", "out ok ok out unk");
    let canned =
        |status: u16, body: &[u8]| Canned { status, headers: Vec::new(), body: body.to_vec() };
    let message = |text: &str| json!({ "message": text }).to_string().into_bytes();
    let page = b"<!DOCTYPE html><title>Sign in</title>".to_vec();
    let bad_commit = json!({
        "sha": "../../etc/passwd",
        "commit": { "message": "m", "committer": { "date": "2026-01-18T10:30:00Z" } },
    });
    for (answer, says) in [
        (canned(401, &message("Bad credentials")), "token is not accepted (401)"),
        (canned(403, &message("Resource not accessible")), "denied (403)"),
        (canned(404, &message("Not Found")), "(404)"),
        (canned(500, b"oops"), "failed (500)"),
        (canned(200, &page), "not what was expected"),
        (canned(200, b"{\"sha\": \"abc"), "not what was expected"),
        (canned(200, bad_commit.to_string().as_bytes()), "is not a commit"),
        (canned(200, &vec![b' '; 9 * 1024 * 1024]), "larger than 8192 KiB"),
    ] {
        forge.github.answer_with(Some(answer));
        wait_for_error(&forge.user, says);
        assert_eq!(forge.user.row("web"), "out err err out out", "{says}");
        forge.github.answer_with(None);
        forge.user.wait_for_row("web", "out ok ok out unk");
    }
    let circle = format!("{}/round", forge.github.url);
    let headers = vec![("Location", circle)];
    forge.github.answer_with(Some(Canned { status: 302, headers, body: Vec::new() }));
    wait_for_error(&forge.user, "redirects in circles");
}

#[test]
fn a_rate_limit_is_respected_until_it_is_lifted() {
    let forge = Forge::start();
    let _agent = forge.host_at("web", &forge.head());
    forge.user.wait_for_row("web", "out ok ok out unk");
    let headers = vec![("Retry-After", "3600".to_owned())];
    forge.github.answer_with(Some(Canned { status: 429, headers, body: Vec::new() }));
    wait_for_error(&forge.user, "rate limit is used up (429), free again in 3600 s");
    let asked = forge.github.asked("");
    // Whoever asks for a fetch now gets what is known.
    for _ in 0..5 {
        assert_eq!(forge.user.post("/api/desired/refresh", &json!({})).status, 200);
    }
    assert_eq!(forge.github.asked(""), asked);
}

#[test]
fn a_branch_or_a_flake_lock_that_is_not_there_is_named() {
    let forge = Forge::start_with(&[("NIXFLEET_BRANCH", "nosuch")]);
    wait_for_error(&forge.user, "no branch `nosuch`");

    let forge = Forge::start();
    let _agent = forge.host_at("web", &forge.head());
    forge.repo.git(&["rm", "--quiet", "flake.lock"]);
    forge.repo.push("no lock");
    forge.user.wait_for_saying("web", "lock", "no flake.lock on origin/main");
}

#[test]
fn the_token_is_sent_and_a_missing_one_is_said() {
    let forge = Forge::start();
    forge.github.require_token("right");
    wait_for_error(&forge.user, "token is not accepted (401)");
    let settings = [
        ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
        ("NIXFLEET_GITHUB_API", forge.github.url.as_str()),
        ("NIXFLEET_GITHUB_TOKEN", "right"),
    ];
    let dashboard = Dashboard::start(&settings);
    let user = dashboard.login();
    wait_until("the remote is read", || {
        let now = desired(&user);
        if now["state"] == "known" { Ok(()) } else { Err(now) }
    });
}

#[test]
fn a_name_without_address_and_a_port_without_server_are_said_as_such() {
    for (api, says) in [
        ("http://nosuchhost.invalid", "cannot be resolved (DNS)"),
        ("http://127.0.0.1:1", "refused"),
    ] {
        let settings = [
            ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
            ("NIXFLEET_GITHUB_API", api),
            ("NIXFLEET_GITHUB_TOKEN", "ghp_anybody"),
        ];
        let dashboard = Dashboard::start(&settings);
        wait_for_error(&dashboard.login(), says);
    }
}

// ---- pull requests ----

#[test]
fn an_update_is_shown_merged_from_here_and_taken_back() {
    let forge = Forge::start();
    let _agent = forge.host_at("web", &forge.head());
    forge.repo.push_branch("update_flake_lock_action");
    forge.github.open_pull(42, "update_flake_lock_action", true);
    let user = &forge.user;
    user.wait_for_saying("web", "lock", "Merge PR #42 to update.");
    assert_eq!(user.row("web"), "out ok ok out unk");
    let waiting = wait_until("GitHub knows whether it can be merged", || {
        let waiting = user.get("/api/pull-requests").json()[0].clone();
        if waiting["mergeable"] == true { Ok(waiting) } else { Err(waiting) }
    });
    assert_eq!(waiting["number"], 42);

    let changed = user.post("/api/pull-requests/42/merge", &json!({ "head": "0".repeat(40) }));
    assert_eq!((changed.status, changed.code().as_str()), (409, "changed"));
    let merged = user.post("/api/pull-requests/42/merge", &json!({ "head": waiting["head"] }));
    assert_eq!(merged.status, 200, "{merged:?}");
    assert!(merged.json()["next"].as_str().unwrap().contains("Nothing was deployed"));
    user.wait_for_row("web", "out out out out unk");
    assert!(user.host("web")["pending_pr"].is_null());
    let again = user.post("/api/pull-requests/42/merge", &json!({ "head": waiting["head"] }));
    assert_eq!((again.status, again.code().as_str()), (409, "already_merged"));

    let reverted = user.post("/api/pull-requests/42/revert", &json!({}));
    assert_eq!((reverted.status, &reverted.json()["number"]), (200, &json!(43)));
    let strange = user.post("/api/pull-requests/41/revert", &json!({}));
    assert_eq!((strange.status, strange.code().as_str()), (409, "not_merged"));
    let log = user.get("/api/events?category=pull-request").text;
    for text in ["#42 of default was merged", "#43 takes #42 of default back", "changed since"] {
        assert!(log.contains(text), "{text} is not in {log}");
    }
}

#[test]
fn a_merge_without_a_head_merges_what_the_dashboard_shows() {
    // Finding 61: a body without `head` was 400.
    let forge = Forge::start();
    forge.repo.push_branch("update_flake_lock_action");
    forge.github.open_pull(42, "update_flake_lock_action", true);
    let user = &forge.user;
    wait_until("the update is shown", || {
        let list = user.get("/api/pull-requests").json();
        if list[0]["number"] == 42 { Ok(()) } else { Err(list) }
    });
    forge.repo.push_branch("feature/login");
    forge.github.open_pull(5, "feature/login", true);
    let nobodys = user.post_text("/api/pull-requests/5/merge", "");
    assert_eq!((nobodys.status, nobodys.code().as_str()), (400, "bad_input"));
    assert!(nobodys.message().starts_with("`head`"), "{nobodys:?}");
    let merged = user.post_text("/api/pull-requests/42/merge", "");
    assert_eq!(merged.status, 200, "{merged:?}");
    let again = user.post_text("/api/pull-requests/42/merge", "");
    assert_eq!((again.status, again.code().as_str()), (409, "already_merged"));
}

#[test]
fn pull_requests_that_cannot_be_merged_say_why() {
    let forge = Forge::start();
    forge.repo.push_branch("renovate/lock-file-maintenance");
    forge.github.open_pull(7, "renovate/lock-file-maintenance", false);
    let user = &forge.user;
    let waiting = wait_until("the update is shown", || {
        let list = user.get("/api/pull-requests").json();
        let is_known = list[0]["number"] == 7 && !list[0]["mergeable"].is_null();
        if is_known { Ok(list[0].clone()) } else { Err(list) }
    });
    assert_eq!(waiting["mergeable"], false);
    let body = json!({ "head": waiting["head"] });
    let merge = || user.post("/api/pull-requests/7/merge", &body);
    assert_eq!(merge().code(), "not_mergeable");
    forge.github.change_pull(7, |pull| pull.open = false);
    assert_eq!(merge().code(), "closed");
    let nobody = user.post("/api/pull-requests/99/merge", &body);
    assert_eq!((nobody.status, nobody.code().as_str()), (409, "remote_unavailable"));
}

#[test]
fn other_pull_requests_and_other_sources_show_nothing() {
    let forge = Forge::start();
    forge.repo.push_branch("feature/login");
    forge.github.open_pull(5, "feature/login", true);
    let fetches = forge.github.asked("/pulls");
    wait_until("it was read twice more", || {
        assert_eq!(forge.user.get("/api/pull-requests").json(), json!([]));
        let now = forge.github.asked("/pulls");
        if now >= fetches + 2 { Ok(()) } else { Err(now) }
    });

    let git = Dashboard::with_source(&forge.repo.remote());
    let user = git.login();
    assert!(!user.get("/").text.contains("Merge"));
    let merge = user.post("/api/pull-requests/5/merge", &json!({ "head": "x" }));
    assert_eq!((merge.status, merge.code().as_str()), (409, "not_supported"));
}

// ---- push instead of polling ----

fn sign(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_signed_webhook_is_a_fetch_and_another_is_refused() {
    let ttl = ("NIXFLEET_FETCH_TTL", "3600");
    let forge = Forge::start_with(&[("NIXFLEET_HOOK_SECRET", "s3cret"), ttl]);
    wait_until("the remote is read", || {
        let now = desired(&forge.user);
        if now["state"] == "known" { Ok(()) } else { Err(now) }
    });
    let body = "{\"ref\":\"refs/heads/main\"}";
    let hook = |path: &str, header: &str, signature: &str| {
        let url = format!("{}{path}", forge.dashboard.url);
        let answer = ureq::post(url).config().http_status_as_error(false).build();
        answer.header(header, signature).send(body).unwrap().status().as_u16()
    };
    let github = format!("sha256={}", sign("s3cret", body));
    for (path, header, prefix) in [
        ("/hooks/github", "X-Hub-Signature-256", "sha256="),
        ("/hooks/gitea", "X-Gitea-Signature", ""),
    ] {
        for wrong in [sign("other", body), sign("s3cret", "else"), String::new(), "zz".into()] {
            assert_eq!(hook(path, header, &format!("{prefix}{wrong}")), 401, "{path} {wrong}");
        }
        let pushed = forge.repo.push_change(path);
        assert_eq!(hook(path, header, &format!("{prefix}{}", sign("s3cret", body))), 204);
        wait_until("the push is known", || {
            let now = desired(&forge.user);
            if now["remote"]["commit"] == pushed.as_str() { Ok(()) } else { Err(now) }
        });
    }
    let off = Dashboard::start(&[]);
    let url = format!("{}/hooks/github", off.url);
    let answer = ureq::post(url).config().http_status_as_error(false).build();
    let answer = answer.header("X-Hub-Signature-256", &github).send(body).unwrap();
    assert_eq!(answer.status().as_u16(), 404);
}

// ---- other sources ----

#[test]
fn git_over_http_is_read_by_dashboard_and_agent() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    let url = format!("{}/git/remote.git", github.url);
    let dashboard = Dashboard::start(&[("NIXFLEET_SOURCE", &url)]);
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", std::path::Path::new(&url));
    user.wait_for_row("web", "ok ok ok out unk");
    repo.push_change("over http");
    user.wait_for_saying("web", "git", "1 commit behind");
    user.run("web", "pull", "succeeded");
    user.wait_for_row("web", "ok ok ok out unk");
}

#[test]
fn a_version_json_is_read_and_its_faults_are_named() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    let head = repo.head();
    let good = json!({
        "gitCommit": head, "lockHash": lock_hash(&repo, "HEAD"), "message": "first\nmore",
        "branch": "main", "timestamp": "2026-01-18T10:30:00Z",
    });
    let url = github.file("version.json", &good.to_string());
    let dashboard = Dashboard::start(&[("NIXFLEET_SOURCE", &url)]);
    let user = dashboard.login();
    let _agent = Agent::start(&dashboard.url, "web", &repo.remote());
    user.wait_for_row("web", "ok ok ok out unk");
    assert_eq!(desired(&user)["remote"]["subject"], "first");

    let mut ahead = good.clone();
    ahead["gitCommit"] = json!("1".repeat(40));
    github.file("version.json", &ahead.to_string());
    user.wait_for_saying("web", "git", "Not the head of origin/main");
    for (field, value, says) in [
        ("gitCommit", "soon", "`gitCommit`: expected 7 to 64 hexadecimal digits"),
        ("lockHash", "abc", "`lockHash`: expected 64 hexadecimal digits"),
        ("branch", "dev", "about branch \"dev\", not main"),
    ] {
        let mut bad = good.clone();
        bad[field] = json!(value);
        github.file("version.json", &bad.to_string());
        wait_for_error(&user, says);
    }
    github.file("version.json", "<html>");
    wait_for_error(&user, "not what was expected");
    assert_eq!(user.row("web"), "ok err err out out");
}

#[test]
fn a_host_follows_the_source_with_its_repository_else_the_default() {
    let (main, lab) = (ConfigRepo::new(), ConfigRepo::new());
    let (main_path, lab_path) = (main.remote(), lab.remote());
    let source = format!("{}; lab={}", main_path.display(), lab_path.display());
    let dashboard = Dashboard::start(&[("NIXFLEET_SOURCE", &source)]);
    let user = dashboard.login();
    let _a = Agent::start(&dashboard.url, "a", &main_path);
    let _b = Agent::start(&dashboard.url, "b", &lab_path);
    user.wait_for_row("a", "ok ok ok out unk");
    user.wait_for_row("b", "ok ok ok out unk");
    lab.push_change("only in the lab");
    user.wait_for_saying("b", "git", "1 commit behind");
    assert_eq!(user.row("a"), "ok ok ok out unk");
    let names: Vec<Value> = user
        .get("/api/desired")
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["source"].clone())
        .collect();
    assert_eq!(json!(names), json!(["default", "lab"]));
}

#[test]
fn a_refresh_of_a_host_reads_its_remote_and_asks_its_agent_at_once() {
    let ttl = [("NIXFLEET_FETCH_TTL", "3600")];
    let repo = ConfigRepo::new();
    let source = [("NIXFLEET_SOURCE", repo.remote().to_str().unwrap().to_owned())];
    let settings: Vec<(&str, &str)> =
        source.iter().map(|(k, v)| (*k, v.as_str())).chain(ttl).collect();
    let dashboard = Dashboard::start(&settings);
    let user = dashboard.login();
    let slow = [("NIXFLEET_INTERVAL", "3600")];
    let agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &slow);
    user.wait_for_online("web");
    wait_until("the agent has its clone", || {
        user.post("/api/hosts/web/refresh", &json!({}));
        let row = user.row("web");
        if row == "ok ok ok out unk" { Ok(()) } else { Err((row, agent.pid())) }
    });
    repo.push_change("unseen");
    let answer = user.post("/api/hosts/web/refresh", &json!({}));
    assert_eq!(answer.status, 200, "{answer:?}");
    user.wait_for_row("web", "ok out ok out unk");
}
