use super::super::pulls::{Branch, Label, Sign, User, sign};
use super::*;

fn pull(number: u64, title: &str, branch: &str, labels: &[&str], author: &str) -> Pull {
    Pull {
        number,
        title: title.to_owned(),
        html_url: String::new(),
        state: "open".to_owned(),
        merged: false,
        mergeable: None,
        head: Branch { name: branch.to_owned(), sha: String::new() },
        labels: labels.iter().map(|name| Label { name: (*name).to_owned() }).collect(),
        user: Some(User { login: author.to_owned() }),
        node_id: None,
    }
}

/// Finding 59 of the rows' review: what NixFleet 3 knew as an update is one.
#[test]
fn updates_are_known_by_branch_label_and_title_as_nixfleet_3_knew_them() {
    let rules = PullRequestRules::default();
    for (title, branch, labels, expected) in [
        ("x", "update_flake_lock_action", &[][..], Some(Sign::Name)),
        ("x", "update-flake-lock", &[], Some(Sign::Name)),
        ("x", "renovate/lock-file-maintenance", &[], Some(Sign::Name)),
        ("chore: flake.lock: Update", "x", &[], Some(Sign::Name)),
        ("Update flake inputs", "x", &[], Some(Sign::Name)),
        ("chore: bump flake to 26.05", "x", &[], Some(Sign::Name)),
        ("x", "x", &["flake-update"], Some(Sign::Label)),
        ("x", "x", &["bug", "automated"], Some(Sign::Label)),
        ("x", "x", &["dependencies"], Some(Sign::Label)),
        ("Add a login", "feature/login", &["enhancement"], None),
        ("Flakes are great", "flake", &["Dependencies?"], None),
    ] {
        let pull = pull(1, title, branch, labels, "somebody");
        assert_eq!(sign(&rules, &pull), expected, "{title} {branch} {labels:?}");
    }
}

#[test]
fn the_newest_of_the_surest_is_shown() {
    let rules = PullRequestRules::default();
    let lock = |number| pull(number, "flake.lock: update", "x", &[], "bot");
    let action = pull(50, "Bump actions/checkout", "x", &["dependencies"], "bot");
    assert_eq!(newest_update(&rules, &[lock(41), action, lock(42)]), Some(42));
    let other = pull(7, "Add a login", "feature/login", &[], "somebody");
    assert_eq!(newest_update(&rules, &[other]), None);
    let by_author = PullRequestRules {
        branches: Vec::new(),
        labels: Vec::new(),
        titles: Vec::new(),
        authors: vec!["bot".to_owned()],
    };
    assert_eq!(newest_update(&by_author, &[lock(41)]), Some(41));
}

#[test]
fn names_of_branches_are_safe_in_addresses() {
    for (name, encoded) in
        [("main", "main"), ("a/b-c_d.e", "a/b-c_d.e"), ("a b?c#d&é", "a%20b%3Fc%23d%26%C3%A9")]
    {
        assert_eq!(encode(name), encoded);
    }
}

#[test]
fn only_web_addresses_become_links() {
    for (url, is_link) in [
        ("https://github.com/o/r/pull/1", true),
        ("http://github.example.org/o/r/pull/1", true),
        ("javascript:alert(1)", false),
        ("//github.com", false),
    ] {
        assert_eq!(is_web(url), is_link, "{url}");
    }
}

#[test]
fn texts_of_the_forge_are_bounded_and_without_control_characters() {
    assert_eq!(cut("a\u{1b}[31mb\n"), "a[31mb");
    assert_eq!(cut(&"x".repeat(1000)).len(), 200);
}

/// What GitHub sends: fields that we do not know, and null where it does not know.
#[test]
fn answers_of_github_are_read() {
    let pull: Pull = serde_json::from_str(
        r#"{"number": 42, "title": "t", "html_url": "u", "state": "open", "draft": false,
            "mergeable": null, "mergeable_state": "unknown", "user": null,
            "head": {"ref": "b", "sha": "s", "repo": null}}"#,
    )
    .unwrap();
    assert_eq!((pull.number, pull.mergeable, pull.merged), (42, None, false));
    let compared: CompareAnswer = serde_json::from_str(
        r#"{"status": "ahead", "ahead_by": 1, "total_commits": 1, "commits": [
            {"sha": "s", "author": null,
             "commit": {"message": "m", "committer": {"name": "n", "date": "d"}}}]}"#,
    )
    .unwrap();
    assert_eq!((compared.ahead_by, compared.commits.len()), (1, 1));
}
