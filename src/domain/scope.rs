//! What a program may do with its API token.

use std::fmt;

/// What a program may do with its API token. Each may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// See everything but tokens and sessions; the metrics too.
    Read,
    /// Start, stop and roll out operations, read remotes anew, merge updates.
    Operate,
    /// Add, change and remove hosts; see and end sessions and tokens.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// The name in SQLite, in the API and on the page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Whether whoever has this may do what needs `needed`.
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_and_what_is_less() {
        for (has, read, operate, admin) in [
            (Scope::Read, true, false, false),
            (Scope::Operate, true, true, false),
            (Scope::Admin, true, true, true),
        ] {
            assert_eq!(Scope::ALL.map(|needed| has.allows(needed)), [read, operate, admin]);
            assert_eq!(Scope::parse(has.name()), Some(has));
        }
        assert_eq!(Scope::parse("Admin"), None);
    }
}
