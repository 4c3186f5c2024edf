//! A host that is held: nothing is rolled out to it, and what was left does not come back unless
//! somebody confirms it (spec: guard, "Held").

use super::audit::Author;
use super::bounds;
use super::ids::{CommandId, Commit};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// So many commits and paths that were left are kept, the newest of them.
pub const LEFT: usize = bounds::HELD;

/// Why, since when and by whom a host is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Why. Hostile text.
    pub reason: String,
    /// Who; the dashboard itself where the host went back by itself.
    pub by: Author,
    /// Since when.
    pub since: Timestamp,
    /// A user holds it, whatever the remote's head is.
    #[serde(default)]
    pub pin: bool,
    /// What the host went back from, oldest first; empty where only a user holds it.
    #[serde(default)]
    pub left: Vec<Left>,
    /// What ran since it went back; `None` until that is known.
    #[serde(default)]
    pub runs: Option<String>,
    /// What the next boot starts, where it went back by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boots: Option<String>,
}

/// A system that a host went back from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Left {
    /// What it was built from; `None` where nobody knows.
    pub commit: Option<Commit>,
    /// Its path; `None` where nobody told it.
    pub path: Option<String>,
    /// The command that it was left by, or that brought it and was taken back; `None` where nobody
    /// told that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<CommandId>,
}

impl Left {
    /// Whether it was left by the same command. Where one of them does not tell that, whether
    /// both are one commit and one path.
    pub fn is(&self, other: &Self) -> bool {
        if self.of.is_some() && other.of.is_some() {
            return self.of == other.of;
        }
        (&self.commit, &self.path) == (&other.commit, &other.path)
    }

    /// Whether what holds the one holds the other.
    pub fn is_held_with(&self, other: &Self) -> bool {
        self.is(other) || self.path.is_some() && self.path == other.path
    }

    fn has_path(&self, path: &str) -> bool {
        self.path.as_deref() == Some(path)
    }
}

impl Hold {
    /// By a user: whatever the head is.
    pub fn pinned(reason: String, by: Author, since: Timestamp) -> Self {
        Self { reason, by, since, pin: true, left: Vec::new(), runs: None, boots: None }
    }

    /// Whether rollouts leave the host out while this is the remote's head. Where a commit is not
    /// known they do.
    pub fn applies(&self, head: Option<&Commit>) -> bool {
        let is_head = |left: &Left| match (&left.commit, head) {
            (Some(commit), Some(head)) => commit == head,
            (None, _) | (_, None) => true,
        };
        self.pin || self.left.iter().any(is_head)
    }

    /// Whether what this commit builds is held. What is built from no commit is known by its path
    /// alone, once it is built.
    pub fn is_about(&self, commit: Option<&Commit>) -> bool {
        let same = |left: &Left| commit.is_some() && left.commit.as_ref() == commit;
        self.pin || self.left.iter().any(same)
    }

    /// The paths that may not come back.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.left.iter().filter_map(|left| left.path.as_deref())
    }

    /// The host went back from `left`; `runs` is what runs since then, where that is known, and
    /// `boots` what a boot that it waits for starts. Users keep their reason.
    pub fn went_back(&mut self, left: Left, runs: Option<String>, boots: Option<String>) {
        self.left.retain(|known| {
            let comes = [&runs, &boots];
            let runs_again = comes.iter().any(|path| path.is_some() && known.path == **path);
            let same = (&known.commit, &known.path) == (&left.commit, &left.path);
            !known.is(&left) && !same && !runs_again
        });
        self.was_left(left);
        (self.runs, self.boots) = (runs, boots);
    }

    /// This was left too.
    pub fn was_left(&mut self, left: Left) {
        self.left.push(left);
        if self.left.len() > LEFT {
            self.left.remove(0);
        }
    }

    /// What it waited for a boot for runs now: nothing else is waited for.
    pub fn booted(&mut self, runs: &str) {
        if self.boots.as_deref() == Some(runs) {
            self.runs = self.boots.take();
        }
    }

    /// Whether `runs` is neither what was left nor what ran since: the host moved on.
    pub fn is_past(&self, runs: &str) -> bool {
        let known = self.runs.as_deref().is_some_and(|known| known != runs);
        !self.left.is_empty() && known && !self.left.iter().any(|left| left.has_path(runs))
    }

    /// What of it stays once another system was brought: what a user holds.
    #[must_use]
    pub fn without_what_was_left(self) -> Option<Self> {
        let pin = self.pin;
        pin.then_some(Self { left: Vec::new(), runs: None, boots: None, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(n: usize) -> Commit {
        Commit::parse(&format!("{n:x}").repeat(40)).unwrap()
    }

    fn left(n: usize) -> Left {
        let path = Some(format!("/nix/store/{n}-system"));
        Left { commit: Some(commit(n)), path, of: None }
    }

    fn went_back(left: Left) -> Hold {
        let mut hold = Hold::pinned("no link".into(), Author::Auto, Timestamp::from_secs(0));
        hold.pin = false;
        hold.went_back(left, Some("/nix/store/1-system".into()), None);
        hold
    }

    #[test]
    fn a_pin_holds_at_any_head_and_what_was_left_while_it_is_the_head() {
        let pin = Hold::pinned("holidays".into(), Author::Admin, Timestamp::from_secs(0));
        let unknown = went_back(Left::default());
        for (hold, head, applies, is_about) in [
            (&pin, Some(commit(2)), true, true),
            (&pin, None, true, true),
            (&went_back(left(2)), Some(commit(2)), true, true),
            (&went_back(left(2)), Some(commit(3)), false, false),
            // The safer side: nobody knows.
            (&went_back(left(2)), None, true, false),
            (&unknown, Some(commit(2)), true, false),
        ] {
            assert_eq!(hold.applies(head.as_ref()), applies, "{hold:?} {head:?}");
            assert_eq!(hold.is_about(head.as_ref()), is_about, "{hold:?} {head:?}");
        }
    }

    #[test]
    fn another_system_ends_what_was_left_and_a_pin_stays() {
        let mut hold = went_back(left(2));
        for (runs, past) in [(1, false), (2, false), (3, true)] {
            assert_eq!(hold.is_past(&format!("/nix/store/{runs}-system")), past, "{runs}");
        }
        assert_eq!(hold.clone().without_what_was_left(), None);
        hold.pin = true;
        let pin = hold.without_what_was_left().unwrap();
        assert!(pin.pin && pin.left.is_empty(), "{pin:?}");
        assert!(!pin.is_past("/nix/store/3-system"));
    }

    proptest! {
        #[test]
        fn whatever_a_host_goes_back_from_it_is_held_and_what_runs_is_not(
            steps in prop::collection::vec((1..12_usize, 1..12_usize), 1..30),
        ) {
            let mut hold = went_back(left(12));
            for (from, to) in steps {
                let to = format!("/nix/store/{to}-system");
                hold.went_back(left(from), Some(to.clone()), None);
                prop_assert!(hold.left.len() <= LEFT);
                prop_assert_eq!(hold.left.last(), Some(&left(from)));
                prop_assert!(hold.applies(Some(&commit(from))));
                let others: Vec<&str> = hold.paths().filter(|path| *path == to).collect();
                prop_assert!(others.is_empty() || left(from).has_path(&to), "{:?}", hold);
            }
        }
    }
}
