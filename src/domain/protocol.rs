//! The versions of the protocol between agent and dashboard, and what each can do.

use super::operation::Operation;

/// A version of the protocol between agent and dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// What NixFleet 3.x agents speak.
    V3,
    /// Ours: commands have ids, jobs outlive links.
    V4,
}

impl Protocol {
    /// The versions that the dashboard speaks, oldest first.
    pub const ALL: [Self; 2] = [Self::V3, Self::V4];
    /// The oldest version that the dashboard speaks.
    pub const OLDEST: Self = Self::V3;
    /// The version that this program speaks.
    pub const OURS: Self = Self::V4;

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// How to speak with an agent that announced this number; protocol 3 announces none.
    /// Agents of versions that the dashboard does not know get the nearest that it does;
    /// their row says that they need another agent.
    pub const fn of(announced: Option<u32>) -> Self {
        match announced {
            None | Some(..=3) => Self::V3,
            Some(4..) => Self::V4,
        }
    }

    /// Whether the dashboard speaks the version of this number.
    pub fn is_known(number: u32) -> bool {
        Self::ALL.iter().any(|known| known.number() == number)
    }

    /// Commands are named by their ids, have arguments, and are sent twice without harm.
    pub const fn names_commands_by_id(self) -> bool {
        match self {
            Self::V3 => false,
            Self::V4 => true,
        }
    }

    /// A job outlives its link: the agent says on `register` which jobs it has.
    pub const fn resumes_jobs(self) -> bool {
        match self {
            Self::V3 => false,
            Self::V4 => true,
        }
    }

    /// The agent says what runs on its host, and reports every test's result. One that does
    /// not proves a switch by the link that it opens afterwards.
    pub const fn reports_what_runs(self) -> bool {
        match self {
            Self::V3 => false,
            Self::V4 => true,
        }
    }

    /// An empty hash means that there is no flake.lock. From a 3.x agent it means that the
    /// agent could not read one.
    pub const fn can_say_there_is_no_lock(self) -> bool {
        match self {
            Self::V3 => false,
            Self::V4 => true,
        }
    }

    /// A rollback may name its generation.
    pub const fn chooses_generations(self) -> bool {
        match self {
            Self::V3 => false,
            Self::V4 => true,
        }
    }

    /// The operation's name on the wire; `None` if such an agent cannot do it.
    pub const fn name_of(self, op: Operation) -> Option<&'static str> {
        match self {
            Self::V3 => op.v3_name(),
            Self::V4 => Some(op.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_spoken_to_in_the_nearest_version_that_the_dashboard_knows() {
        for (announced, expected) in [
            (None, Protocol::V3),
            (Some(0), Protocol::V3),
            (Some(3), Protocol::V3),
            (Some(4), Protocol::V4),
            (Some(5), Protocol::V4),
            (Some(u32::MAX), Protocol::V4),
        ] {
            assert_eq!(Protocol::of(announced), expected, "{announced:?}");
        }
        let known: Vec<u32> = (0..10).filter(|number| Protocol::is_known(*number)).collect();
        assert_eq!(known, [3, 4]);
        for version in Protocol::ALL {
            assert_eq!(Protocol::of(Some(version.number())), version);
        }
    }
}
