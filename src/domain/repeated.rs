//! What a host itself keeps of what it left, for a dashboard that does not know (spec: guard,
//! "Held"). The dashboard's own word is [`super::hold`]; this is the agent's copy of it.

use super::hold::{LEFT, Left};
use super::ids::CommandId;
use serde::{Deserialize, Serialize};

/// A system that a host left, as its agent repeats it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeated {
    /// What was left.
    #[serde(flatten)]
    pub left: Left,
    /// Why. Hostile text.
    pub reason: String,
}

/// A guarded switch or rollback that is over, as far as it holds something.
#[derive(Debug, Clone, PartialEq)]
pub struct Went {
    /// What is held since; `None`: somebody wanted it not to be.
    pub left: Option<Repeated>,
    /// The path that runs since.
    pub runs: String,
}

/// All that a host left and nobody has let go, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// What is held.
    pub left: Vec<Repeated>,
    /// What ran since.
    pub runs: Option<String>,
}

impl Kept {
    /// The host went back. What it went back to is held no more.
    pub fn went(&mut self, went: Went) {
        let back_to = Some(&went.runs);
        self.left.retain(|known| {
            let again = went.left.as_ref().is_some_and(|new| new.left.is_held_with(&known.left));
            known.left.path.as_ref() != back_to && !again
        });
        self.left.extend(went.left);
        let surplus = self.left.len().saturating_sub(LEFT);
        self.left.drain(..surplus);
        self.runs = Some(went.runs);
    }

    /// Forgets everything where `runs` is neither what was left nor what ran since: the host moved
    /// on. Answers whether it did.
    pub fn moves_on(&mut self, runs: &str) -> bool {
        let is_left = |known: &Repeated| known.left.path.as_deref() == Some(runs);
        let is_past = self.runs.as_deref().is_some_and(|known| known != runs)
            && !self.left.iter().any(is_left);
        if is_past {
            *self = Self::default();
        }
        is_past
    }

    /// The dashboard has let these go. Answers whether one of them was kept.
    pub fn forget(&mut self, gone: &[CommandId]) -> bool {
        let before = self.left.len();
        self.left.retain(|known| known.left.of.is_none_or(|of| !gone.contains(&of)));
        before != self.left.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(n: u32) -> String {
        format!("/nix/store/{n}-system")
    }

    fn id(n: u32) -> CommandId {
        CommandId(uuid::Uuid::from_u128(u128::from(n)))
    }

    fn left(n: u32, of: u32) -> Repeated {
        let left = Left { commit: None, path: Some(path(n)), of: Some(id(of)) };
        Repeated { left, reason: "no link".to_owned() }
    }

    fn paths(kept: &Kept) -> Vec<&str> {
        kept.left.iter().filter_map(|known| known.left.path.as_deref()).collect()
    }

    #[test]
    fn what_a_host_left_is_kept_until_it_runs_it_goes_back_to_it_or_it_is_let_go() {
        let mut kept = Kept::default();
        kept.went(Went { left: Some(left(2, 1)), runs: path(1) });
        assert_eq!(paths(&kept), [path(2)]);
        // Again, by another command: one of them is kept.
        kept.went(Went { left: Some(left(2, 2)), runs: path(1) });
        assert_eq!(kept.left, [left(2, 2)]);
        // A rollback that holds nothing leaves it as it is.
        kept.went(Went { left: None, runs: path(9) });
        for runs in [2, 9] {
            assert!(!kept.moves_on(&path(runs)), "{runs}");
        }
        kept.went(Went { left: Some(left(9, 3)), runs: path(8) });
        assert_eq!(paths(&kept), [path(2), path(9)]);
        // Going forward to what was left first.
        kept.went(Went { left: Some(left(8, 4)), runs: path(2) });
        assert_eq!(paths(&kept), [path(9), path(8)]);
        assert!(!kept.forget(&[id(1), id(2)]) && kept.forget(&[id(3)]));
        assert_eq!(paths(&kept), [path(8)]);
        assert!(kept.moves_on(&path(3)));
        assert_eq!(kept, Kept::default());
        assert!(!kept.moves_on(&path(3)));
    }

    #[test]
    fn what_is_kept_survives_its_file() {
        let mut kept = Kept::default();
        kept.went(Went { left: Some(left(2, 1)), runs: path(1) });
        let file = serde_json::to_vec(&kept).unwrap();
        assert_eq!(serde_json::from_slice::<Kept>(&file).unwrap(), kept);
    }

    proptest! {
        #[test]
        fn what_was_left_last_is_kept_what_runs_is_not_and_there_is_a_bound(
            steps in prop::collection::vec((1..12_u32, 1..12_u32), 1..40),
        ) {
            let mut kept = Kept::default();
            for (of, (from, to)) in (0_u32..).zip(steps) {
                kept.went(Went { left: Some(left(from, of)), runs: path(to) });
                prop_assert!(kept.left.len() <= LEFT);
                prop_assert_eq!(kept.left.last(), Some(&left(from, of)));
                let again = paths(&kept).iter().filter(|known| **known == path(to)).count();
                prop_assert!(again == usize::from(from == to), "{:?}", kept);
                prop_assert!(!kept.moves_on(&path(from)) && !kept.moves_on(&path(to)));
            }
        }
    }
}
