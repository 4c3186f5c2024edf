//! Why something that was asked for is not done.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Writes the codes once: the variant, its name in the API, whether it may pass by itself.
macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal, passes: $passes:literal;)+) => {
        /// Why something that was asked for is not done, as the API's `code` says it. The names
        /// are fixed: programs of users decide by them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum RefusalCode {
            $($(#[$doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl RefusalCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Whether it may pass by itself: a rollout waits then, and does not give the host up.
            pub const fn passes(self) -> bool {
                match self {
                    $(Self::$variant => $passes,)+
                }
            }
        }
    };
}

codes! {
    // A host, and what runs on it.
    /// No agent is connected.
    HostOffline = "host_offline", passes: true;
    /// Something runs there that must end first.
    HostBusy = "host_busy", passes: true;
    /// What runs there is being changed: a reboot now would leave it between two systems.
    HostActivating = "host_activating", passes: true;
    /// There is such a host already.
    HostExists = "host_exists", passes: false;
    /// The agent is too old for it, or the source cannot do it.
    NotSupported = "not_supported", passes: false;
    /// The user was not asked, or did not give the one-time code.
    ConfirmationRequired = "confirmation_required", passes: false;
    /// Tests are off for this host.
    TestsDisabled = "tests_disabled", passes: false;
    /// The host has no tests.
    NoTests = "no_tests", passes: false;
    /// The remote cannot be read, so there is nothing to verify against.
    RemoteUnavailable = "remote_unavailable", passes: true;
    /// The generation is not there, or runs already.
    NoSuchGeneration = "no_such_generation", passes: false;
    /// What it would bring is held on that host, or the host is.
    Held = "held", passes: false;
    /// The fleet is frozen.
    Frozen = "frozen", passes: false;
    /// None of the host's maintenance windows is open.
    OutsideWindow = "outside_window", passes: false;
    /// What should be stopped or extended does not run.
    NotRunning = "not_running", passes: false;
    /// It is not over yet.
    Running = "running", passes: false;
    /// No host has a need of it.
    NothingToDo = "nothing_to_do", passes: false;
    // A pull request.
    /// It was merged before.
    AlreadyMerged = "already_merged", passes: false;
    /// It was closed.
    Closed = "closed", passes: false;
    /// Its head is not the one that the user looked at.
    Changed = "changed", passes: false;
    /// It conflicts, or a rule of the repository forbids it.
    NotMergeable = "not_mergeable", passes: false;
    /// It was not merged, or not from here.
    NotMerged = "not_merged", passes: false;
    // A tag.
    /// Something else goes by it.
    InUse = "in_use", passes: false;
    // A notification.
    /// It was not delivered.
    NotDelivered = "not_delivered", passes: false;
    // What is not there.
    /// There is no such host.
    NoSuchHost = "no_such_host", passes: false;
    /// There is no such command.
    NoSuchCommand = "no_such_command", passes: false;
    /// There is no such rollout.
    NoSuchRollout = "no_such_rollout", passes: false;
    /// There is no such way to tell somebody.
    NoSuchChannel = "no_such_channel", passes: false;
    /// There is no such call or page.
    NotFound = "not_found", passes: false;
    // The request itself.
    /// A field is not as expected.
    BadInput = "bad_input", passes: false;
    /// The body is too long.
    TooLarge = "too_large", passes: false;
    /// Nobody is logged in, and no token was sent.
    Unauthorized = "unauthorized", passes: false;
    /// The page's token was not sent along.
    Csrf = "csrf", passes: false;
    /// This caller may not do that.
    Forbidden = "forbidden", passes: false;
    /// Too many wrong codes: wait.
    TooManyTries = "too_many_tries", passes: false;
    /// The database or an actor did not answer.
    Unavailable = "unavailable", passes: true;
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something that was asked for is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is decided by.
    pub code: RefusalCode,
    /// In the user's words. Nothing is decided by it.
    pub message: String,
}

impl Refusal {
    /// A refusal with its words.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_written_and_read_by_its_own_name() {
        let names: BTreeSet<&str> = RefusalCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), RefusalCode::ALL.len(), "two codes share a name");
        for code in RefusalCode::ALL {
            let written = serde_json::to_value(code).unwrap();
            assert_eq!(written, code.name());
            assert_eq!(serde_json::from_value::<RefusalCode>(written).unwrap(), *code);
        }
    }

    #[test]
    fn only_what_ends_without_a_user_may_pass_by_itself() {
        let passing: Vec<&str> =
            RefusalCode::ALL.iter().filter(|code| code.passes()).map(|code| code.name()).collect();
        let expected =
            ["host_offline", "host_busy", "host_activating", "remote_unavailable", "unavailable"];
        assert_eq!(passing, expected);
    }
}
