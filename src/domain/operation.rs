//! The table of operations, used by API, page, pipelines and validation alike.

use super::ids::{SystemPath, WholeCommit};
use super::maintenance::Restraint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What can be asked of a host. The names are those of the API and the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Fetch, hard reset and clean the host's config clone.
    Pull,
    /// Build and activate the checkout.
    Switch,
    /// Both.
    PullSwitch,
    /// Run the host's tests.
    Test,
    /// Activate an earlier generation.
    Rollback,
    /// Build and compare, activate nothing.
    DryRun,
    /// Restart the agent.
    RestartAgent,
    /// Reboot the host.
    Reboot,
}

/// Everything the dashboard needs to know about one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Only one exclusive operation runs at a time.
    pub exclusive: bool,
    /// Must be confirmed by the user first.
    pub needs_confirmation: bool,
    /// Not while Git is `error`: the host would be moved away from an unknown target.
    pub needs_git: bool,
    /// Needs tests to be enabled.
    pub needs_tests: bool,
    /// It changes what runs.
    pub deploys: bool,
    /// It changes the checkout.
    pub pulls: bool,
    /// When to point at it as slow.
    pub warn_after: Duration,
    /// When it becomes `overdue`.
    pub deadline: Duration,
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

impl Operation {
    /// All operations, in the order of the specification's table.
    pub const ALL: [Self; 8] = [
        Self::Pull,
        Self::Switch,
        Self::PullSwitch,
        Self::Test,
        Self::Rollback,
        Self::DryRun,
        Self::RestartAgent,
        Self::Reboot,
    ];

    /// The name in the API, on the page and on the wire of protocol 4.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Switch => "switch",
            Self::PullSwitch => "pull-switch",
            Self::Test => "test",
            Self::Rollback => "rollback",
            Self::DryRun => "dry-run",
            Self::RestartAgent => "restart-agent",
            Self::Reboot => "reboot",
        }
    }

    /// The name for people, at the start of a sentence.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pull => "Pull",
            Self::Switch => "Switch",
            Self::PullSwitch => "Pull and switch",
            Self::Test => "Test",
            Self::Rollback => "Rollback",
            Self::DryRun => "Dry run",
            Self::RestartAgent => "Restart of the agent",
            Self::Reboot => "Reboot",
        }
    }

    /// The command of protocol 3; `None` if a 3.x agent cannot do it.
    pub const fn v3_name(self) -> Option<&'static str> {
        match self {
            Self::Pull => Some("pull"),
            Self::Switch => Some("switch"),
            Self::PullSwitch => Some("pull-switch"),
            Self::Test => Some("test"),
            Self::Rollback => Some("rollback"),
            Self::RestartAgent => Some("restart"),
            Self::Reboot => Some("reboot"),
            Self::DryRun => None,
        }
    }

    /// Reads either protocol's name; `None` if there is no such operation.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name || op.v3_name() == Some(name))
    }

    /// The operation's row in the table (spec: lifecycle, "Operations").
    pub const fn rules(self) -> Rules {
        let base = Rules {
            exclusive: true,
            needs_confirmation: false,
            needs_git: false,
            needs_tests: false,
            deploys: false,
            pulls: false,
            warn_after: minutes(20),
            deadline: minutes(60),
        };
        match self {
            Self::Pull => {
                Rules { pulls: true, warn_after: minutes(1), deadline: minutes(5), ..base }
            }
            Self::Switch => Rules { deploys: true, needs_git: true, ..base },
            Self::PullSwitch => Rules { deploys: true, pulls: true, ..base },
            // Where it is not known how many tests there are, and how long each may take.
            Self::Test => Rules { needs_tests: true, deadline: minutes(30), ..base },
            Self::Rollback => {
                Rules { deploys: true, warn_after: minutes(5), deadline: minutes(15), ..base }
            }
            Self::DryRun => base,
            Self::RestartAgent => Rules {
                exclusive: false,
                warn_after: Duration::from_secs(30),
                deadline: minutes(2),
                ..base
            },
            Self::Reboot => Rules {
                exclusive: false,
                needs_confirmation: true,
                warn_after: minutes(3),
                deadline: minutes(15),
                ..base
            },
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long operations may take: the table's deadlines, and those that a user has set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimeLimits(BTreeMap<Operation, Duration>);

impl TimeLimits {
    /// Reads `switch=90m,pull=120s`; `None` if it is not that. Units are s, m and h; a limit
    /// is from one second to a week.
    pub fn parse(text: &str) -> Option<Self> {
        let week = Duration::from_secs(7 * 24 * 3600);
        let pairs = text.split(',').map(|pair| {
            let (name, limit) = pair.trim().split_once('=')?;
            let op = Operation::parse(name.trim())?;
            let (number, unit) =
                limit.trim().split_at_checked(limit.trim().len().checked_sub(1)?)?;
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            let limit = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
            (limit >= Duration::from_secs(1) && limit <= week).then_some((op, limit))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// When `op` becomes overdue, counted from its start; `None` where no user has set that.
    pub fn set(&self, op: Operation) -> Option<Duration> {
        self.0.get(&op).copied()
    }
}

/// What an operation is asked with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Args {
    /// `rollback`: the generation to activate; the previous one if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Why, for the audit log; not for the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `reboot`: the user was asked and said yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// What the agent would be blocked by and the user goes on regardless of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regardless: Vec<Regardless>,
    /// `dry-run`: the commit to build, such as an update's head; the checkout if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<WholeCommit>,
    /// `rollback`: whether what is left is held; it is if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
    /// `switch`, `pull-switch`: what a dry run came to and somebody read. A build that comes to anything
    /// else is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<SystemPath>,
    /// `switch`, `pull-switch`, `rollback`: activate nothing; the system starts at the next boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<bool>,
    /// The same: whether it is carried out under the guard. As the host's settings say if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<bool>,
}

impl Args {
    /// The names of all of them.
    pub const NAMES: [&str; 9] = [
        "generation",
        "reason",
        "confirmed",
        "regardless",
        "commit",
        "hold",
        "plan",
        "boot",
        "guard",
    ];

    /// Whether `op` would leave the same behind with these: the same target, and after a rollback the
    /// same hold on what is left.
    pub fn come_to_the_same(&self, op: Operation, other: &Self) -> bool {
        let target = |args: &Self| (args.generation, args.commit.clone(), args.plan.clone());
        let holds = |args: &Self| op == Operation::Rollback && args.hold.unwrap_or(true);
        let how = |args: &Self| (args.boots(), args.guard);
        target(self) == target(other) && holds(self) == holds(other) && how(self) == how(other)
    }

    /// Whether nothing is to be activated before the next boot.
    pub fn boots(&self) -> bool {
        self.boot == Some(true)
    }

    /// What of a freeze and windows is gone on regardless of.
    pub fn restraints(&self) -> impl Iterator<Item = Restraint> {
        self.regardless.iter().filter_map(|one| one.restraint())
    }

    /// What the agent is told of them: what the dashboard alone looks at is nothing for it.
    #[must_use]
    pub fn for_agent(mut self) -> Self {
        self.reason = None;
        self.regardless.retain(|one| one.restraint().is_none());
        self
    }
}

/// What an agent looks at before it begins, and what a user may go on regardless of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regardless {
    /// Too little room on a disk.
    Space,
    /// A battery that is nearly empty.
    Power,
    /// What must stay as it is in the system that runs would change.
    Inhibitors,
    /// The commit is held.
    Held,
    /// The new system contains no agent that could confirm a guarded switch.
    Guard,
    /// The fleet is frozen. The dashboard looks at that itself.
    Freeze,
    /// None of the host's maintenance windows is open. The dashboard looks at that itself.
    Windows,
}

impl Regardless {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Space,
        Self::Power,
        Self::Inhibitors,
        Self::Held,
        Self::Guard,
        Self::Freeze,
        Self::Windows,
    ];

    /// The name in the API and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Power => "power",
            Self::Inhibitors => "inhibitors",
            Self::Held => "held",
            Self::Guard => "guard",
            Self::Freeze => "freeze",
            Self::Windows => "windows",
        }
    }

    /// What is in the way, for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Space => "too little room",
            Self::Power => "a battery that is nearly empty",
            Self::Inhibitors => "what cannot change while it runs",
            Self::Held => "the hold",
            Self::Guard => "a new system that nobody could confirm",
            Self::Freeze => "the freeze",
            Self::Windows => "maintenance windows",
        }
    }

    /// Reads a name; `None` if there is no such thing.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// To go on regardless of this.
    pub const fn of(restraint: Restraint) -> Self {
        match restraint {
            Restraint::Freeze => Self::Freeze,
            Restraint::Windows => Self::Windows,
        }
    }

    /// What the dashboard looks at itself; `None` for what the agent looks at.
    pub const fn restraint(self) -> Option<Restraint> {
        match self {
            Self::Freeze => Some(Restraint::Freeze),
            Self::Windows => Some(Restraint::Windows),
            Self::Space | Self::Power | Self::Inhibitors | Self::Held | Self::Guard => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent reads no argument that has no name in the list.
    #[test]
    fn each_argument_is_in_the_list_of_their_names() {
        // Whole, so that a new one is not forgotten.
        let args = Args {
            generation: Some(1),
            reason: Some(String::new()),
            confirmed: Some(true),
            regardless: vec![Regardless::Held],
            commit: WholeCommit::parse(&"b".repeat(40)),
            hold: Some(true),
            plan: SystemPath::parse("/nix/store/b-system"),
            boot: Some(true),
            guard: Some(true),
        };
        let written = serde_json::to_value(args).unwrap();
        let mut names: Vec<&str> =
            written.as_object().unwrap().keys().map(String::as_str).collect();
        let mut listed = Args::NAMES.to_vec();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(names, listed);
    }

    #[test]
    fn every_name_of_either_protocol_is_read_back() {
        for op in Operation::ALL {
            assert_eq!(Operation::parse(op.name()), Some(op));
            if let Some(old) = op.v3_name() {
                assert_eq!(Operation::parse(old), Some(op));
            }
        }
        assert_eq!(Operation::parse("rm -rf /"), None);
    }

    #[test]
    fn what_a_user_may_go_on_regardless_of_has_one_name_everywhere() {
        for one in Regardless::ALL {
            assert_eq!(Regardless::parse(one.name()), Some(one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.name());
        }
        assert_eq!(Regardless::parse("everything"), None);
    }

    #[test]
    fn time_limits_are_read_and_the_table_holds_for_the_rest() {
        let limits = TimeLimits::parse("switch=90m, pull=20s").unwrap();
        assert_eq!(limits.set(Operation::Switch), Some(Duration::from_secs(5400)));
        assert_eq!(limits.set(Operation::Pull), Some(Duration::from_secs(20)));
        assert_eq!(limits.set(Operation::Test), None);
        for bad in [
            "",
            "switch",
            "switch=",
            "switch=m",
            "switch=5",
            "fly=5m",
            "pull=0s",
            "pull=9999h",
            "pull=5é",
        ] {
            assert_eq!(TimeLimits::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_operation_warns_before_its_deadline() {
        for op in Operation::ALL {
            let rules = op.rules();
            assert!(rules.warn_after < rules.deadline, "{op}");
        }
    }
}
