//! What speaks for an activated system, and what against it.

use serde::{Deserialize, Serialize};

/// What the host can tell of its place in the network without its dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// There is a default route.
    pub default_route: bool,
    /// The kernel knows a way to the dashboard's address.
    pub route: bool,
    /// The dashboard's name is resolved; where it is a plain address, there is nothing to resolve.
    pub names: bool,
    /// The config repository's remote answers.
    pub remote: bool,
}

impl Evidence {
    /// What was there `before` and is missing now, in the user's words.
    pub fn missing_since(self, before: Self) -> Option<&'static str> {
        let was_and_is = [
            (before.default_route, self.default_route, "the default route"),
            (before.route, self.route, "a route to the dashboard"),
            (before.names, self.names, "name resolution"),
            (before.remote, self.remote, "an answer of the config remote"),
        ];
        was_and_is.into_iter().find(|(was, is, _)| *was && !*is).map(|(_, _, what)| what)
    }
}

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterActivation {
    /// It ended; whether it is good is to be found out.
    Confirm,
    /// Nothing was activated: it needs a boot.
    NeedsBoot,
    /// Nothing was activated: somebody else activates.
    SomebodyElse,
    /// It stopped half-way, or nobody knows.
    Return,
}

/// What the exit code of switch-to-configuration means; `None`: it left none, or took too long.
/// 4: a unit failed, which is judged afterwards.
pub const fn after_activation(code: Option<i32>) -> AfterActivation {
    match code {
        Some(0 | 4) => AfterActivation::Confirm,
        Some(100) => AfterActivation::NeedsBoot,
        Some(11) => AfterActivation::SomebodyElse,
        Some(_) | None => AfterActivation::Return,
    }
}

/// What is known of an activated system at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The agent has confirmed with the dashboard's word.
    pub confirmed: bool,
    /// The time for that is over. What follows is asked only then.
    pub window_over: bool,
    /// The agent's unit is active.
    pub agent_active: bool,
    /// An agent that runs now has tried to confirm.
    pub agent_tries: bool,
    /// What was there when the guard was armed and is missing.
    pub missing: Option<&'static str>,
    /// The dashboard answers the supervisor, at the address of before.
    pub dashboard_answers: bool,
}

/// What a system's witness says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is too early to say.
    Waits,
    /// The dashboard's word is there.
    Confirmed,
    /// The dashboard is away, and all that can be known without it is as before.
    ConfirmedWithoutWord,
    /// What is missing.
    No(String),
}

/// What is to be thought of an activated system. Its units and probes are asked besides.
pub fn verdict(witness: &Witness) -> Verdict {
    if witness.confirmed {
        return Verdict::Confirmed;
    }
    if !witness.window_over {
        return Verdict::Waits;
    }
    let no = |what: &str| Verdict::No(what.to_owned());
    if !witness.agent_active {
        return no("the agent's unit is not active");
    }
    if let Some(what) = witness.missing {
        return no(what);
    }
    if witness.dashboard_answers {
        return no("the agent's connection to the dashboard");
    }
    if !witness.agent_tries {
        return no("a sign that the agent tries to connect");
    }
    Verdict::ConfirmedWithoutWord
}
