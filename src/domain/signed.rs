//! Which heads a host takes that takes only signed ones (spec: guard, "Signed").

/// How much older than what a host has its next head may say it is, in seconds: clocks differ.
const SKEW: i64 = 24 * 60 * 60;
/// How much of a signer's name is shown, in characters.
const MAX_NAME: usize = 120;

/// What git says about the signature of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// There is none.
    Missing,
    /// There is one of a kind that this host was not told to verify.
    OtherKind,
    /// Good, by somebody who may sign.
    Good {
        /// Who, as the owner of the host calls them.
        signer: String,
        /// The key's fingerprint or number.
        key: String,
    },
    /// Of a key that nobody who may sign has, or had at the commit's date.
    Unknown {
        /// The key's fingerprint or number; empty where git does not tell it.
        key: String,
    },
    /// Good, but signature or key have ended.
    Ended {
        /// Who.
        signer: String,
        /// The key's fingerprint or number.
        key: String,
        /// "expired" or "was revoked".
        how: &'static str,
    },
    /// It is not one of this commit, or git cannot read it.
    Bad,
}

impl Signature {
    /// Reads what git prints for [`FORMAT`]. `verified`: git itself took it.
    pub fn parse(text: &str, verified: bool) -> Self {
        let mut lines = text.lines();
        let mut next = || shown(lines.next().unwrap_or_default());
        let (status, trust, signer, key) = (next(), next(), next(), next());
        let ended = |how| Self::Ended { signer: signer.clone(), key: key.clone(), how };
        let is_trusted = ["fully", "ultimate"].contains(&trust.as_str());
        match status.as_str() {
            "G" if verified && is_trusted => Self::Good { signer, key },
            "G" | "U" | "E" => Self::Unknown { key },
            "X" | "Y" => ended("expired"),
            "R" => ended("was revoked"),
            _ => Self::Bad,
        }
    }
}

/// The format in which git is asked: verdict, trust, signer, key.
pub const FORMAT: &str = "%G?%n%GT%n%GS%n%GK";

/// A text of the remote's, as it may be shown.
fn shown(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

/// What a commit says of itself, in its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When it was made, in seconds since 1970, by the clock of whoever made it.
    pub made: i64,
    /// The kind of its signature; `None`: it bears none.
    pub signed: Option<Kind>,
}

/// Kinds of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By a key of ssh.
    Ssh,
    /// By a key of gpg.
    Gpg,
    /// By anything else.
    Other,
}

impl Said {
    /// Reads the bytes of a commit; `None` if they are none.
    pub fn parse(commit: &[u8]) -> Option<Self> {
        let end = commit.windows(2).position(|two| two == b"\n\n").unwrap_or(commit.len());
        let head = String::from_utf8_lossy(&commit[..end]);
        // Lines of a signature are continued with a blank: none of them begins with a word.
        let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let mut words = line("committer ")?.rsplit(' ');
        let made = words.nth(1)?.parse().ok()?;
        let signature = head.lines().find(|line| line.starts_with("gpgsig"));
        let signed = signature.map(|line| match line.split_once(' ').map(|(_, begins)| begins) {
            Some("-----BEGIN SSH SIGNATURE-----") => Kind::Ssh,
            Some("-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----") => Kind::Gpg,
            Some(_) | None => Kind::Other,
        });
        Some(Self { made, signed })
    }
}

/// What a host has: the commit that it took or was told to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Has {
    /// The commit.
    pub commit: String,
    /// When it was made; `None` where the host's clone does not have it.
    pub made: Option<i64>,
    /// Whether the head is that commit or descends from it.
    pub is_ancestor: bool,
}

/// A head, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: String,
    /// When it was made.
    pub made: i64,
    /// What git says of its signature.
    pub signature: Signature,
    /// What the host has, if it has anything.
    pub has: Option<Has>,
}

/// Whether the host takes the head. Answers who signed it.
///
/// # Errors
///
/// In the user's words: why it does not, with the signer that was seen.
pub fn judge(head: &Head) -> Result<String, String> {
    let short = short(&head.commit);
    let refused = |why: &str| Err(format!("{short} {why}: it is not taken"));
    let signed_by = match &head.signature {
        Signature::Good { signer, key } => format!("{short} is signed by {signer} ({key})"),
        Signature::Missing => return refused("is not signed"),
        Signature::OtherKind => {
            return refused("bears a signature of a kind that this host was not told to verify");
        }
        Signature::Unknown { key } if key.is_empty() => {
            return refused("is signed by a key that nobody has who may sign");
        }
        Signature::Unknown { key } => {
            let why = "which nobody has who may sign, or had at its date";
            return refused(&format!("is signed by the key {key}, {why}"));
        }
        Signature::Ended { signer, key, how } => {
            return refused(&format!("is signed by {signer} with the key {key}, which {how}"));
        }
        Signature::Bad => return refused("bears a signature that is not its own"),
    };
    let Some(has) = &head.has else { return Ok(signed_by) };
    if !has.is_ancestor {
        return Err(format!(
            "{signed_by}, but does not descend from {}, which this host has: the branch goes back or \
             was rewritten, and it is not taken. If that is meant: `nixfleet --agent --trust {}` on \
             the host",
            self::short(&has.commit),
            head.commit
        ));
    }
    if has.made.is_some_and(|made| head.made < made - SKEW) {
        // The date decides whether a key was good: who has one that ended must not choose it.
        return Err(format!(
            "{signed_by}, but says that it was made before {}, from which it descends: it is not \
             taken",
            self::short(&has.commit)
        ));
    }
    Ok(signed_by)
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn good() -> Signature {
        Signature::Good { signer: "ada".to_owned(), key: "SHA256:k".to_owned() }
    }

    fn head(signature: Signature, has: Option<Has>) -> Head {
        Head { commit: "a".repeat(40), made: 1_000_000, signature, has }
    }

    fn has(made: i64, is_ancestor: bool) -> Option<Has> {
        Some(Has { commit: "b".repeat(40), made: Some(made), is_ancestor })
    }

    #[test]
    fn only_a_signed_descendant_is_taken_and_the_signer_is_said() {
        assert_eq!(judge(&head(good(), None)).unwrap(), "aaaaaaa is signed by ada (SHA256:k)");
        assert!(judge(&head(good(), has(999_999, true))).is_ok());
        // A clock that is an hour slow.
        assert!(judge(&head(good(), has(1_003_600, true))).is_ok());
        for (signature, had, says) in [
            (Signature::Missing, None, "not signed"),
            (Signature::OtherKind, None, "of a kind"),
            (Signature::Unknown { key: "SHA256:x".into() }, None, "SHA256:x"),
            (Signature::Unknown { key: String::new() }, None, "nobody has who may sign"),
            (Signature::Bad, has(1, true), "not its own"),
            (
                Signature::Ended { signer: "bob".into(), key: "K".into(), how: "expired" },
                None,
                "bob with the key K, which expired",
            ),
            (good(), has(1, false), "--trust aaaaaaaa"),
            (good(), has(1_000_000 + SKEW + 1, true), "made before bbbbbbb"),
        ] {
            let said = judge(&head(signature, had)).unwrap_err();
            assert!(said.contains(says) && said.contains("not taken"), "{said}");
        }
    }

    #[test]
    fn what_git_says_is_good_only_if_git_took_it_and_the_key_is_trusted() {
        let told = |status: &str, trust: &str| format!("{status}\n{trust}\nada\nSHA256:k\n");
        assert_eq!(Signature::parse(&told("G", "fully"), true), good());
        assert_eq!(Signature::parse(&told("G", "ultimate"), true), good());
        for (status, trust, verified) in [
            ("G", "fully", false),
            ("G", "undefined", true),
            ("G", "never", true),
            ("G", "marginal", true),
            ("U", "undefined", true),
            ("E", "undefined", false),
        ] {
            let seen = Signature::parse(&told(status, trust), verified);
            assert_eq!(seen, Signature::Unknown { key: "SHA256:k".into() }, "{status} {trust}");
        }
        for status in ["B", "N", "", "?"] {
            assert_eq!(Signature::parse(&told(status, ""), true), Signature::Bad, "{status}");
        }
        let ended = Signature::parse(&told("R", "fully"), false);
        assert!(matches!(ended, Signature::Ended { how: "was revoked", .. }), "{ended:?}");
    }

    #[test]
    fn a_commit_says_when_it_was_made_and_whether_it_is_signed() {
        let commit = "tree 1\nparent 2\nauthor a <a@b> 5 +0000\ncommitter c d <c@d> 17 -0130\n";
        let said = |text: String| Said::parse(text.as_bytes());
        let plain = said(format!("{commit}\ngpgsig in the message\ncommitter x 99 +0000\n"));
        assert_eq!(plain, Some(Said { made: 17, signed: None }));
        for (begins, kind) in [
            ("gpgsig -----BEGIN SSH SIGNATURE-----", Kind::Ssh),
            ("gpgsig -----BEGIN PGP SIGNATURE-----", Kind::Gpg),
            ("gpgsig-sha256 -----BEGIN PGP SIGNATURE-----", Kind::Gpg),
            ("gpgsig -----BEGIN SIGNED MESSAGE-----", Kind::Other),
            ("gpgsig", Kind::Other),
        ] {
            let signed = format!("{commit}{begins}\n committer y 3 +0\n\nm");
            assert_eq!(said(signed), Some(Said { made: 17, signed: Some(kind) }), "{begins}");
        }
        assert_eq!(said("tree 1\n\ncommitter c 17 +0000\n".to_owned()), None);
    }

    proptest! {
        #[test]
        fn no_text_of_a_remote_makes_a_signature_good_that_git_did_not_take(text in "\\PC{0,80}") {
            let seen = Signature::parse(&text, false);
            let is_good = matches!(seen, Signature::Good { .. });
            prop_assert!(!is_good);
            let _ = Said::parse(text.as_bytes());
        }
    }
}
