//! The pages that a forge has of a repository: one for each commit, one for each pull request.
//!
//! What is not plainly the address of a repository on a forge that is known has none: a link that
//! leads to somebody else is worse than no link.

use super::ids::Commit;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which program a forge runs. It decides how the addresses of its pages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForgeKind {
    /// GitHub, also in a company.
    GitHub,
    /// Gitea or Forgejo.
    Gitea,
    /// GitLab.
    GitLab,
}

/// A repository on the site of its forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forge {
    kind: ForgeKind,
    /// The address of its page, without a slash at the end.
    page: Arc<str>,
}

/// Sites that are known by their name, also where git reads them over ssh.
const SITES: [(&str, ForgeKind); 4] = [
    ("github.com", ForgeKind::GitHub),
    ("codeberg.org", ForgeKind::Gitea),
    ("gitea.com", ForgeKind::Gitea),
    ("gitlab.com", ForgeKind::GitLab),
];

/// How people call the machine of a forge of their own: `git` over the web is told by that.
const NAMES: [(&str, ForgeKind); 4] = [
    ("github.", ForgeKind::GitHub),
    ("gitea.", ForgeKind::Gitea),
    ("forgejo.", ForgeKind::Gitea),
    ("gitlab.", ForgeKind::GitLab),
];

/// An address of a repository, in its parts.
struct Parts<'a> {
    scheme: &'a str,
    /// With its port, without a user.
    authority: &'a str,
    path: &'a str,
}

impl Forge {
    /// The repository that git reads there; `None` unless the address says which forge it is.
    pub fn of(address: &str) -> Option<Self> {
        let parts = parts(address)?;
        let host = parts.authority.split(':').next()?;
        let over_web = matches!(parts.scheme, "https" | "http");
        let site = SITES.iter().find(|(site, _)| *site == host);
        let (_, kind) = match site {
            Some(site) => site,
            None => NAMES.iter().find(|(name, _)| over_web && host.starts_with(name))?,
        };
        if over_web {
            return Self::new(*kind, &parts);
        }
        // Whatever port ssh has: the pages of the known sites are where browsers look for them.
        Self::new(*kind, &Parts { scheme: "https", authority: host, ..parts })
    }

    /// The repository at that address of the web, which is known to be of such a forge; `None` if
    /// that is not the address of a repository.
    pub fn at(kind: ForgeKind, address: &str) -> Option<Self> {
        let parts = parts(address)?;
        matches!(parts.scheme, "https" | "http").then(|| Self::new(kind, &parts))?
    }

    fn new(kind: ForgeKind, parts: &Parts<'_>) -> Option<Self> {
        let Parts { scheme, authority, path } = *parts;
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = |part: &str| {
            !part.is_empty() && part.chars().all(word) && !matches!(part, "." | ".." | "-")
        };
        let is_repository = path.contains('/') && path.split('/').all(is_name);
        let is_host = {
            let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
            let is_label = |label: &str| {
                !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            };
            host.split('.').all(is_label) && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        (is_repository && is_host)
            .then(|| Self { kind, page: format!("{scheme}://{authority}/{path}").into() })
    }

    /// The page of a commit.
    pub fn commit(&self, commit: &Commit) -> String {
        match self.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => format!("{}/commit/{commit}", self.page),
            ForgeKind::GitLab => format!("{}/-/commit/{commit}", self.page),
        }
    }

    /// The page of a pull request.
    pub fn pull_request(&self, number: u64) -> String {
        match self.kind {
            ForgeKind::GitHub => format!("{}/pull/{number}", self.page),
            ForgeKind::Gitea => format!("{}/pulls/{number}", self.page),
            ForgeKind::GitLab => format!("{}/-/merge_requests/{number}", self.page),
        }
    }
}

/// An address with a scheme, or `user@host:path` as ssh knows it. A user before the host is left
/// out, and so is the password: neither belongs into a link.
fn parts(address: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => {
            let (user, rest) = address.split_once('@')?;
            let (authority, path) = rest.split_once(':')?;
            let is_user = user.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            return is_user.then_some(Parts { scheme: "ssh", authority, path });
        }
    };
    let (authority, path) = rest.split_once('/')?;
    // What stands before the last @ is the user, whatever is in it.
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    matches!(scheme, "https" | "http" | "ssh" | "git+ssh" | "git").then_some(Parts {
        scheme,
        authority,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::{Forge, ForgeKind};
    use crate::domain::ids::Commit;
    use proptest::prelude::*;

    fn commit() -> Commit {
        Commit::parse("0123456789abcdef0123456789abcdef01234567").unwrap()
    }

    #[test]
    fn a_commit_has_a_page_where_the_forge_is_known_d17() {
        let github = "https://github.com/markus/nixcfg/commit/";
        let gitlab = "https://gitlab.com/a/b/c/-/commit/";
        for (address, page) in [
            ("https://github.com/markus/nixcfg", github),
            ("https://github.com/markus/nixcfg/", github),
            ("https://github.com/markus/nixcfg.git", github),
            ("https://user:secret@github.com/markus/nixcfg.git", github),
            ("git@github.com:markus/nixcfg.git", github),
            ("ssh://git@github.com/markus/nixcfg.git", github),
            ("ssh://git@github.com:22/markus/nixcfg", github),
            ("git://github.com/markus/nixcfg", github),
            ("https://codeberg.org/o/r.git", "https://codeberg.org/o/r/commit/"),
            ("git@codeberg.org:o/r.git", "https://codeberg.org/o/r/commit/"),
            ("http://gitea.lan:3000/o/r.git", "http://gitea.lan:3000/o/r/commit/"),
            ("https://forgejo.example.org/git/o/r", "https://forgejo.example.org/git/o/r/commit/"),
            ("https://gitlab.com/a/b/c.git", gitlab),
            ("git@gitlab.com:a/b/c.git", gitlab),
            ("https://gitlab.example.org/a/b", "https://gitlab.example.org/a/b/-/commit/"),
        ] {
            let found = Forge::of(address).map(|forge| forge.commit(&commit()));
            assert_eq!(found, Some(format!("{page}{}", commit())), "{address}");
        }
    }

    #[test]
    fn what_is_not_plainly_a_repository_of_a_known_forge_has_no_page() {
        for address in [
            "",
            "/srv/git/nixcfg",
            "../nixcfg",
            "file:///srv/git/nixcfg",
            "nixcfg",
            "github.com/markus/nixcfg",
            "github:markus/nixcfg",
            // Nobody knows what serves these over the web.
            "git@git.example.org:o/r.git",
            "ssh://git@gitlab.example.org/o/r.git",
            "git@github.com-work:o/r.git",
            "https://git.example.org/o/r.git",
            // Not a repository.
            "https://github.com",
            "https://github.com/",
            "https://github.com/markus",
            "https://github.com//nixcfg",
            "https://github.com/../nixcfg",
            "https://github.com/o/r/..",
            "https://github.com/o/.git",
            // Another one than it looks like, or more than an address.
            "https://github.com@evil.example/o/r",
            "https://github.com:x@evil.example/o/r",
            "https://github.com.evil.example@evil.example/o/r",
            "https://evil.example/github.com/o/r",
            "https://github.com\\@evil.example/o/r",
            "https://github.com%2eevil.example/o/r",
            "https://github.com:0/o/r",
            "https://github.com:99999/o/r",
            "https://github.com:/o/r",
            "https://github.com:443:1/o/r",
            "https://github.com./o/r",
            "https://gitlab..example/o/r",
            "https://gitlab.\u{430}.example/o/r",
            "https://github.com/o/r?x=1",
            "https://github.com/o/r#x",
            "https://github.com/o/%2e%2e",
            "https://github.com/o/r\"onclick=x",
            "https://github.com/o/r\n",
            "https://github.com/o/r <b>",
            "HTTPS://GITHUB.COM/o/r",
            "javascript://github.com/o/r",
            "javascript:alert(1)//@github.com:o/r",
            "data:text/html,@github.com:o/../r",
            "ext::sh -c x@github.com:o r",
        ] {
            assert_eq!(Forge::of(address), None, "{address}");
        }
    }

    #[test]
    fn a_forge_that_was_named_as_such_needs_no_name_of_its_own() {
        let pages = |kind, address: &str| {
            let forge = Forge::at(kind, address)?;
            Some((forge.commit(&Commit::parse("abcdef0").unwrap()), forge.pull_request(7)))
        };
        let page = |end: &str| format!("http://127.0.0.1:3000/o/r/{end}");
        for (kind, of_commit, of_pull) in [
            (ForgeKind::GitHub, "commit/abcdef0", "pull/7"),
            (ForgeKind::Gitea, "commit/abcdef0", "pulls/7"),
            (ForgeKind::GitLab, "-/commit/abcdef0", "-/merge_requests/7"),
        ] {
            let expected = Some((page(of_commit), page(of_pull)));
            assert_eq!(pages(kind, "http://127.0.0.1:3000/o/r.git"), expected, "{kind:?}");
            for wrong in ["ssh://git@host/o/r", "git@host:o/r", "/srv/o/r", "http://host/o r/x"] {
                assert_eq!(pages(kind, wrong), None, "{wrong}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_an_address_is_a_link_goes_to_the_web_and_holds_nothing_strange(
            start in "(https?|ssh|git|javascript|data)?(://|:|)",
            rest in "(git@|[a-z:@\\\\]{0,6})(github\\.com|gitlab\\.x|x)[:/@.\\\\?]{0,2}\\PC{0,20}",
        ) {
            let address = start + &rest;
            if let Some(forge) = Forge::of(&address) {
                let page = forge.commit(&commit());
                let (scheme, rest) = page.split_once("://").unwrap();
                prop_assert!(matches!(scheme, "https" | "http"), "{page}");
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
                prop_assert!(rest.chars().all(plain), "{page}");
                prop_assert!(!page.contains("/../") && rest.starts_with("git"), "{page}");
            }
        }
    }
}
