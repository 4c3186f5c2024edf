//! Remotes that are not generous: GitHub without a token, with limits, and slow to say whether a
//! pull request can be merged; a version.json that leaves something out.

use crate::support::github::Canned;
use crate::support::{Client, ConfigRepo, Dashboard, GitHub, OldAgent, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;

struct Forge {
    repo: Arc<ConfigRepo>,
    github: GitHub,
    dashboard: Dashboard,
    user: Client,
}

const TOKEN: (&str, &str) = ("NIXFLEET_GITHUB_TOKEN", "ghp_anybody");

impl Forge {
    fn start(settings: &[(&str, &str)]) -> Self {
        let repo = Arc::new(ConfigRepo::new());
        let github = GitHub::serve(Arc::clone(&repo));
        let mut all =
            vec![("NIXFLEET_SOURCE", "github:owner/nixcfg"), ("NIXFLEET_GITHUB_API", &github.url)];
        all.extend(settings);
        let dashboard = Dashboard::start(&all);
        let user = dashboard.login();
        Self { repo, github, dashboard, user }
    }

    fn wait_for_pull(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_until(what, || {
            let first = self.user.get("/api/pull-requests").json()[0].clone();
            if is_so(&first) { Ok(first) } else { Err(first) }
        })
    }
}

fn desired(user: &Client) -> Value {
    user.get("/api/desired").json()[0].clone()
}

/// Finding 23 of the rows' review: 145 s after a start everything was red for 56 minutes.
#[test]
fn a_public_repository_is_read_without_using_up_what_is_allowed_without_a_token() {
    let forge = Forge::start(&[]);
    forge.repo.push_branch("update_flake_lock_action");
    forge.github.open_pull(42, "update_flake_lock_action", true);
    let _agent = OldAgent::join(&forge.dashboard.url, "web", &forge.repo.head());
    for n in 1..=20 {
        let pushed = forge.repo.push_change(&format!("change {n}"));
        wait_until("the push is known", || {
            let now = desired(&forge.user);
            if now["remote"]["commit"] == pushed.as_str() { Ok(()) } else { Err(now) }
        });
        forge.user.wait_for_saying("web", "git", &format!("{n} commit"));
    }
    // One look at the pull requests: 2 requests, 3 if one was open.
    let used = forge.github.used_without_token();
    assert!(used <= 4, "{used} requests of 60");
}

#[test]
fn without_a_token_updates_are_shown_and_merging_says_what_it_needs() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    repo.push_branch("update_flake_lock_action");
    github.open_pull(42, "update_flake_lock_action", true);
    let dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
        ("NIXFLEET_GITHUB_API", &github.url),
    ]);
    let user = dashboard.login();
    let waiting = wait_until("the update is shown", || {
        let list = user.get("/api/pull-requests").json();
        if list[0]["number"] == 42 { Ok(list[0].clone()) } else { Err(list) }
    });
    let merge = user.post("/api/pull-requests/42/merge", &json!({ "head": waiting["head"] }));
    assert_eq!((merge.status, merge.code().as_str()), (409, "not_supported"));
    assert!(merge.text.contains("set NIXFLEET_GITHUB_TOKEN"), "{merge:?}");
}

#[test]
fn a_private_repository_without_a_token_says_that_it_needs_one() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    github.require_token("right");
    let dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
        ("NIXFLEET_GITHUB_API", &github.url),
    ]);
    let user = dashboard.login();
    wait_until("it is said", || {
        let now = desired(&user);
        let said = now["error"].as_str().unwrap_or_default();
        if said.contains("needs NIXFLEET_GITHUB_TOKEN") { Ok(()) } else { Err(now) }
    });
}

/// Finding 60.
#[test]
fn a_pull_request_that_github_still_checks_is_shown_so_and_asked_again() {
    let forge = Forge::start(&[TOKEN]);
    forge.github.is_slow_to_check(true);
    forge.repo.push_branch("update_flake_lock_action");
    forge.github.open_pull(42, "update_flake_lock_action", true);
    let checking = forge.wait_for_pull("the update is shown", |pull| pull["number"] == 42);
    assert_eq!(checking["mergeable"], Value::Null);
    let page = forge.user.get("/").text;
    assert!(page.contains("checking") && !page.contains("conflicts"), "{page}");
    forge.github.is_slow_to_check(false);
    forge.wait_for_pull("it can be merged", |pull| pull["mergeable"] == true);
}

/// Finding 59.
#[test]
fn updates_are_recognised_by_their_title_and_titles_can_be_set() {
    // The stand-in's titles begin with "flake.lock: update from".
    let forge = Forge::start(&[TOKEN]);
    forge.repo.push_branch("somebodys-own-name");
    forge.github.open_pull(8, "somebodys-own-name", true);
    forge.wait_for_pull("the update is shown", |pull| pull["number"] == 8);

    let forge = Forge::start(&[TOKEN, ("NIXFLEET_PR_TITLES", "inputs: bump, ADD Feature")]);
    for (number, branch) in [(8, "somebodys-own-name"), (5, "feature/login")] {
        forge.repo.push_branch(branch);
        forge.github.open_pull(number, branch, true);
    }
    forge.wait_for_pull("only what was set is shown", |pull| pull["number"] == 5);
}

/// Finding 11 of the security review: 216 requests in 10 s.
#[test]
fn made_up_commits_of_one_host_do_not_use_up_the_forges_limit() {
    let forge = Forge::start(&[TOKEN]);
    let old = forge.repo.head();
    forge.repo.push_change("ahead");
    let mut liar = OldAgent::join(&forge.dashboard.url, "liar", &"1".repeat(40));
    forge.user.wait_for_saying("liar", "git", "Not on origin/main");
    for n in 0..200 {
        liar.generation = format!("abc{n:04x}{}", "0".repeat(33));
        liar.heartbeat();
    }
    forge.user.wait_for_saying("liar", "git", "abc00c7");
    // Another host's question is answered all the same, and at once.
    let _honest = OldAgent::join(&forge.dashboard.url, "honest", &old);
    forge.user.wait_for_saying("honest", "git", "1 commit behind");
    let asked = forge.github.asked("/compare/");
    assert!(asked <= 3, "{asked} comparisons");
}

#[test]
fn a_limit_that_is_only_named_in_words_is_respected() {
    let forge = Forge::start(&[TOKEN]);
    wait_until("it is read", || {
        let now = desired(&forge.user);
        if now["state"] == "known" { Ok(()) } else { Err(now) }
    });
    let body = json!({ "message": "You have exceeded a secondary rate limit." });
    let body = body.to_string().into_bytes();
    forge.github.answer_with(Some(Canned { status: 403, headers: Vec::new(), body }));
    wait_until("it is said", || {
        let now = desired(&forge.user);
        let said = now["error"].as_str().unwrap_or_default();
        if said.contains("free again in 60 s") { Ok(()) } else { Err(now) }
    });
    let asked = forge.github.asked("");
    assert_eq!(forge.user.post("/api/desired/refresh", &json!({})).status, 200);
    assert_eq!(forge.github.asked(""), asked);
}

/// Finding 55.
#[test]
fn a_version_json_without_a_lock_hash_is_not_one_without_a_flake_lock() {
    let repo = Arc::new(ConfigRepo::new());
    let github = GitHub::serve(Arc::clone(&repo));
    let head = repo.head();
    let file = json!({ "gitCommit": head, "branch": "main" });
    let url = github.file("version.json", &file.to_string());
    let dashboard = Dashboard::start(&[("NIXFLEET_SOURCE", &url)]);
    let user = dashboard.login();
    let mut agent = OldAgent::join(&dashboard.url, "web", &head);
    agent.lock_hash = Some("a".repeat(64));
    agent.heartbeat();
    user.wait_for_saying("web", "lock", "Cannot verify: version.json names no lockHash");
    user.wait_for_row("web", "out ok out out out");
    assert!(user.get("/settings").text.contains("not told"));
}
