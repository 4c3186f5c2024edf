//! Adding hosts: what to paste on each, many at once, and whether they have come.

use crate::support::browser::Browser;
use crate::support::{ConfigRepo, Dashboard, OldAgent};

/// Names and tokens, as the page shows them for many hosts.
fn tokens(page: &str) -> Vec<(String, String)> {
    let (_, rest) = page.split_once("id=\"new-tokens\"").expect("the tokens");
    let text = rest.split_once("<code>").unwrap().1.split_once("</code>").unwrap().0;
    let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn many_hosts_are_added_at_once_without_a_script_and_each_token_opens_its_own() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let added = user.post_form("/hosts", &[("hostname", "db, Web\r\ndb  mail")]);
    assert_eq!(added.status, 200, "{added:?}");
    let tokens = tokens(&added.text);
    let names: Vec<&str> = tokens.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["db", "Web", "mail"]);
    for (name, token) in &tokens {
        OldAgent::connect(&dashboard.url, token, name).expect("its token lets it in").register();
    }
    // What is there is said, and the rest is added.
    let more = user.post_form("/hosts", &[("hostname", "db new a/b")]);
    assert_eq!(more.status, 200, "{more:?}");
    assert!(more.text.contains("new is added"), "{more:?}");
    for problem in ["<b>db</b>: ", "<b>a/b</b>: "] {
        assert!(more.text.contains(problem), "no {problem}: {}", more.text);
    }
    let none = user.post_form("/hosts", &[("hostname", "db")]);
    assert!(none.status == 409 && none.text.contains("name=\"hostname\""), "{none:?}");
    assert_eq!(user.post_form("/hosts", &[("hostname", " ,\n")]).status, 400);
}

#[test]
fn the_snippets_have_the_real_repository_and_address_and_a_copy_button_each() {
    for (source, repository) in [
        ("github:you/nixcfg", "https://github.com/you/nixcfg.git"),
        ("https://me:secret@example.org/c.git", "https://example.org/c.git"),
        ("https://example.org/version.json", "&lt;your config repository&gt;"),
    ] {
        let dashboard = Dashboard::start(&[
            ("NIXFLEET_SOURCE", source),
            ("NIXFLEET_GITHUB_API", "http://127.0.0.1:1"),
            ("NIXFLEET_BASE_URL", "https://fleet.example.org"),
        ]);
        // The address is another one than this: the form comes from there.
        let user = dashboard.login();
        let page = user.post_form("/hosts", &[("hostname", "web")]).text;
        assert!(!page.contains("me:secret"), "{page}");
        for id in ["new-token", "snippet-hand", "snippet-nixos", "snippet-darwin", "snippet-home"] {
            assert!(page.contains(&format!("data-copy=\"{id}\"")), "{id}: {page}");
            let text = page.split_once(&format!("id=\"{id}\"")).expect(id).1;
            let text = text.split_once("</pre>").unwrap().0;
            if id != "new-token" {
                assert!(text.contains(repository), "{id}: {text}");
                assert!(text.contains("https://fleet.example.org"), "{id}: {text}");
            }
        }
        for module in ["nixosModules", "darwinModules", "homeManagerModules"] {
            assert!(page.contains(&format!("inputs.nixfleet.{module}.default")), "{module}");
        }
    }
}

#[test]
fn the_dialog_says_when_the_host_has_come() {
    let dashboard = Dashboard::start(&[]);
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.click(".first a");
    browser.type_in("#hostname", "new-one");
    browser.click("#add-host button[type=submit]");
    browser.wait_for_text("#awaited", "has not connected yet");
    assert_eq!(browser.axe(), [""; 0]);
    let token = browser.text("#new-token");
    let mut agent = OldAgent::connect(&dashboard.url, token.trim(), "new-one").expect("a link");
    agent.register();
    browser.wait_for_text("#awaited", "is connected.");
    assert_eq!(browser.complaints(), [""; 0]);
}
