//! Updates at a Gitea or Forgejo, and what an update brings, on both kinds of forges.

use crate::support::browser::Browser;
use crate::support::{Client, ConfigRepo, Dashboard, GitHub, Gitea, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;

/// A flake.lock with nixpkgs and home-manager at these revisions.
fn lock(nixpkgs: &str, home: &str, nested: &str) -> String {
    let node = |rev: &str| json!({ "locked": { "rev": rev.repeat(40), "narHash": format!("sha256-{rev}"), "lastModified": 1_768_000_000 } });
    let mut home = node(home);
    home["inputs"] = json!({ "nixpkgs": "nixpkgs_2" });
    let root = json!({ "inputs": { "nixpkgs": "nixpkgs", "home-manager": "home-manager" } });
    let nodes = json!({
        "root": root, "nixpkgs": node(nixpkgs), "home-manager": home, "nixpkgs_2": node(nested),
    });
    json!({ "nodes": nodes, "root": "root", "version": 7 }).to_string()
}

struct Forge {
    repo: Arc<ConfigRepo>,
    gitea: Gitea,
    user: Client,
    dashboard: Dashboard,
}

impl Forge {
    fn start(settings: &[(&str, &str)]) -> Self {
        let repo = Arc::new(ConfigRepo::new());
        repo.write("flake.lock", &lock("a", "c", "e"));
        repo.push("a real lock");
        let gitea = Gitea::serve(Arc::clone(&repo));
        let source = format!("gitea:{}/owner/nixcfg", gitea.url);
        let mut all = vec![("NIXFLEET_SOURCE", source.as_str()), ("NIXFLEET_FETCH_TTL", "1")];
        all.extend(settings);
        let dashboard = Dashboard::start(&all);
        let user = dashboard.login();
        Self { repo, gitea, user, dashboard }
    }

    fn update(&self, number: u64) -> Value {
        wait_for_update(&self.user, number, |_| true)
    }
}

/// A pull request that waits, once it is as wanted.
#[track_caller]
fn wait_for_update(user: &Client, number: u64, is_wanted: impl Fn(&Value) -> bool) -> Value {
    wait_until(&format!("#{number} is shown"), || {
        let list = user.get("/api/pull-requests").json();
        let found = list.as_array().unwrap().iter().find(|pr| pr["number"] == number).cloned();
        match found {
            Some(pr) if is_wanted(&pr) => Ok(pr),
            _ => Err(list),
        }
    })
}

const TOKEN: (&str, &str) = ("NIXFLEET_GITEA_TOKEN", "gitea-secret");

#[test]
fn an_update_at_a_gitea_is_shown_with_its_inputs_merged_and_taken_back() {
    let forge = Forge::start(&[TOKEN]);
    forge.gitea.require_token(TOKEN.1);
    forge.gitea.statuses(&[("build", "success"), ("eval", "failure")]);
    forge.repo.push_branch_with_lock("update_flake_lock_action", &lock("b", "c", "f"));
    forge.gitea.open(7, "update_flake_lock_action", "flake.lock: update");
    let waiting = forge.update(7);
    let input = &waiting["inputs"][0];
    assert_eq!(waiting["inputs"].as_array().unwrap().len(), 1, "{waiting}");
    assert_eq!((&input["name"], &input["from"]["version"]), (&json!("nixpkgs"), &json!("aaaaaaa")));
    assert_eq!(
        (&input["to"]["version"], &waiting["nested_inputs"]),
        (&json!("bbbbbbb"), &json!(1))
    );
    assert_eq!(waiting["checks"], json!({ "state": "failed", "failed": ["eval"] }));
    let page = forge.user.get("/").text;
    assert!(page.contains("nixpkgs changes") && page.contains("checks failed"), "{page}");

    let stale = json!({ "head": "0".repeat(40) });
    let changed = forge.user.post("/api/pull-requests/7/merge", &stale);
    assert_eq!((changed.status, changed.code().as_str()), (409, "changed"));
    forge.gitea.change(7, |request| request.mergeable = false);
    let shown = json!({ "head": waiting["head"] });
    let refused = forge.user.post("/api/pull-requests/7/merge", &shown);
    assert_eq!((refused.status, refused.code().as_str()), (409, "not_mergeable"));
    forge.gitea.change(7, |request| request.mergeable = true);
    let merged = forge.user.post("/api/pull-requests/7/merge", &shown);
    assert_eq!(merged.status, 200, "{merged:?}");
    wait_until("nothing waits any more", || {
        let list = forge.user.get("/api/pull-requests").json();
        if list == json!([]) { Ok(()) } else { Err(list) }
    });

    let reverted = forge.user.post("/api/pull-requests/7/revert", &json!({}));
    assert_eq!((reverted.status, &reverted.json()["number"]), (200, &json!(8)), "{reverted:?}");
    let (branch, title) = forge.gitea.opened(8).unwrap();
    assert_eq!(title, "Revert \"flake.lock: update\"");
    let back = forge.repo.remote_git(&["show", &format!("{branch}:flake.lock")]).unwrap();
    assert_eq!(back, lock("a", "c", "e"));
}

#[test]
fn a_commit_leads_to_the_page_that_the_forge_has_of_it_d17() {
    let forge = Forge::start(&[]);
    let head = forge.repo.remote_git(&["rev-parse", "main"]).unwrap();
    let page = format!("{}/owner/nixcfg/commit/{}", forge.gitea.url, head.trim());
    let link = format!("<a href=\"{page}\" rel=\"noreferrer noopener\">{}</a>", &head[..7]);
    wait_until("the head of the remote is a link", || {
        let shown = forge.user.get("/").text;
        if shown.contains(&link) { Ok(()) } else { Err(shown) }
    });
    forge.user.post("/api/hosts", &json!({ "hostname": "web" }));
    let browser = Browser::start();
    browser.login(&forge.dashboard.url, &forge.dashboard.password);
    let css = "#fleet-target code > a";
    for (width, dark) in [(1440, false), (1440, true), (390, false), (390, true)] {
        browser.screen(width, 900, dark);
        browser.wait_for_text(css, &head[..7]);
        assert_eq!(browser.axe_whole(), [""; 0], "{width} {dark}");
        browser.picture(&format!("commit-link-{width}-{dark}"));
    }
    assert_eq!(browser.run(&format!("return document.querySelector('{css}').href")), page.as_str());
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn what_cannot_be_taken_back_cleanly_is_refused_with_the_reason() {
    let forge = Forge::start(&[TOKEN]);
    forge.repo.push_branch_with_lock("update_flake_lock_action", &lock("b", "c", "e"));
    forge.gitea.open(7, "update_flake_lock_action", "flake.lock: update");
    let shown = forge.update(7);
    let body = json!({ "head": shown["head"] });
    assert_eq!(forge.user.post("/api/pull-requests/7/merge", &body).status, 200);
    forge.repo.write("flake.lock", &lock("z", "c", "e"));
    forge.repo.push("and another one");
    let refused = forge.user.post("/api/pull-requests/7/revert", &json!({}));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.message().contains("flake.lock was changed again since"), "{refused:?}");
}

#[test]
fn without_a_token_a_private_repository_says_which_one_it_needs_and_nothing_is_merged() {
    let forge = Forge::start(&[]);
    forge.repo.push_branch_with_lock("update_flake_lock_action", &lock("b", "c", "e"));
    forge.gitea.open(7, "update_flake_lock_action", "flake.lock: update");
    let shown = forge.update(7);
    let body = json!({ "head": shown["head"] });
    let merge = forge.user.post("/api/pull-requests/7/merge", &body);
    assert_eq!((merge.status, merge.code().as_str()), (409, "not_supported"));
    assert!(merge.message().contains("set NIXFLEET_GITEA_TOKEN"), "{merge:?}");
    forge.gitea.require_token("somebody's");
    wait_until("the remote is red and says why", || {
        let now = forge.user.get("/api/desired").json()[0].clone();
        let why = now["error"].as_str().unwrap_or_default().to_owned();
        if why.contains("needs NIXFLEET_GITEA_TOKEN") { Ok(()) } else { Err(now) }
    });
}

#[test]
fn an_update_at_github_is_shown_with_its_inputs_and_its_checks() {
    let repo = Arc::new(ConfigRepo::new());
    repo.write("flake.lock", &lock("a", "c", "e"));
    repo.push("a real lock");
    let github = GitHub::serve(Arc::clone(&repo));
    let dashboard = Dashboard::start(&[
        ("NIXFLEET_SOURCE", "github:owner/nixcfg"),
        ("NIXFLEET_GITHUB_API", &github.url),
        ("NIXFLEET_GITHUB_TOKEN", "ghp_anybody"),
        ("NIXFLEET_FETCH_TTL", "1"),
    ]);
    let user = dashboard.login();
    github.check(&[("build", Some("success")), ("eval", None)]);
    repo.push_branch_with_lock("update_flake_lock_action", &lock("b", "d", "e"));
    github.open_pull(42, "update_flake_lock_action", true);
    let waiting = wait_for_update(&user, 42, |pr| pr["checks"]["state"] == "pending");
    let names: Vec<&Value> =
        waiting["inputs"].as_array().unwrap().iter().map(|input| &input["name"]).collect();
    assert_eq!(names, ["home-manager", "nixpkgs"]);
    github.check(&[("build", Some("success")), ("eval", Some("skipped"))]);
    wait_for_update(&user, 42, |pr| pr["checks"]["state"] == "passed");
    // The repository moves on below it: only what the update itself brings is told.
    repo.write("flake.lock", &lock("a", "c", "y"));
    repo.push("something else");
    let moved = wait_for_update(&user, 42, |pr| pr["nested_inputs"] == 0);
    assert_eq!(moved["inputs"].as_array().unwrap().len(), 2, "{moved}");
}

#[test]
fn names_of_the_repository_are_offered_until_they_are_added() {
    let repo = ConfigRepo::new();
    for host in ["db", "web2", "default"] {
        repo.write(&format!("hosts/{host}.nix"), "{ }\n");
    }
    repo.push("hosts");
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let offered = |page: &str| -> Vec<String> {
        let boxes = page.split("type=\"checkbox\" name=\"hostname\" value=\"").skip(1);
        boxes.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    wait_until("the remote's names are offered", || {
        let names = offered(&user.get("/add-host").text);
        if names == ["db", "web", "web2"] { Ok(()) } else { Err(names) }
    });
    let added =
        user.post_form("/hosts", &[("hostname", "other"), ("hostname", "db"), ("hostname", "web")]);
    assert_eq!(added.status, 200, "{added:?}");
    let hosts = user.get("/api/hosts").json();
    let mut names: Vec<&str> =
        hosts.as_array().unwrap().iter().map(|host| host["host_id"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["db", "other", "web"]);
    assert_eq!(offered(&user.get("/add-host").text), ["web2"]);
}
