//! The one thing that a row offers: what to do next about its host (design: "Next step").

use super::command::State;
use super::compartment::{Action, Compartment, Status};
use super::ids::CommandId;
use super::operation::Operation;
use super::snapshot::HostSnapshot;

/// What a row offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Take back what waits for the host.
    Cancel(CommandId),
    /// End what runs.
    Stop(CommandId),
    /// Pull, switch, test.
    Update,
    /// One operation, at once.
    Run(Operation),
    /// Switch once more what did not switch.
    Retry,
    /// Let go what somebody holds.
    Release,
    /// Choose a generation to go back to.
    Rollback,
    /// Confirm a reboot.
    Reboot,
}

impl NextStep {
    /// The operation that is asked for first; `None` if none is.
    const fn begins_with(self) -> Option<Operation> {
        match self {
            Self::Update => Some(Operation::Pull),
            Self::Run(op) => Some(op),
            Self::Retry => Some(Operation::Switch),
            Self::Rollback => Some(Operation::Rollback),
            Self::Reboot => Some(Operation::Reboot),
            Self::Cancel(_) | Self::Stop(_) | Self::Release => None,
        }
    }
}

/// The compartments in the order in which they are put right.
const ORDER: [Compartment; 5] = [
    Compartment::Git,
    Compartment::Lock,
    Compartment::Agent,
    Compartment::System,
    Compartment::Tests,
];

impl HostSnapshot {
    /// What the row offers; `None` if there is nothing to do, or nothing that can be done now.
    pub fn next_step(&self) -> Option<NextStep> {
        if let Some(step) = self.step_about_commands() {
            return step;
        }
        if !self.online {
            return None;
        }
        let steps = [self.step_after_a_failure(), self.step_that_is_due()];
        // What would be refused is not offered: the row says why.
        steps
            .into_iter()
            .flatten()
            .find(|step| step.begins_with().is_none_or(|op| self.refusal(op).is_none()))
    }

    /// What can be done about what runs or waits; `None` if nothing does.
    fn step_about_commands(&self) -> Option<Option<NextStep>> {
        let mut live = self.command.iter().chain(&self.waiting);
        if let Some(queued) = live.find(|command| command.state == State::Queued) {
            return Some(Some(NextStep::Cancel(queued.id)));
        }
        let Some(command) = &self.command else {
            let busy = self.busy_with.is_some() || !self.waiting.is_empty();
            return busy.then_some(None);
        };
        let stoppable = matches!(command.state, State::Sent | State::Running | State::Overdue);
        Some(stoppable.then_some(NextStep::Stop(command.id)))
    }

    fn step_after_a_failure(&self) -> Option<NextStep> {
        let failed = |compartment| self.row[compartment].status == Status::Error;
        let agent = &self.row[Compartment::Agent];
        if failed(Compartment::Agent) && agent.action == Some(Action::RestartAgent) {
            return Some(NextStep::Run(Operation::RestartAgent));
        }
        if failed(Compartment::Tests) {
            return Some(NextStep::Rollback);
        }
        // Before a retry: what is held would be refused.
        if self.held {
            return Some(NextStep::Release);
        }
        if !failed(Compartment::System) {
            return None;
        }
        match self.row[Compartment::Git].status {
            Status::Outdated => Some(NextStep::Update),
            _ => Some(NextStep::Retry),
        }
    }

    /// The action of the first compartment that needs one and follows nothing.
    fn step_that_is_due(&self) -> Option<NextStep> {
        let verdicts = ORDER.map(|compartment| &self.row[compartment]);
        let first = verdicts
            .into_iter()
            .find(|verdict| verdict.status == Status::Outdated && verdict.follows.is_none())?;
        match first.action? {
            Action::Pull | Action::PullSwitch => Some(NextStep::Update),
            Action::Switch | Action::RetrySwitch => Some(NextStep::Run(Operation::Switch)),
            Action::RunTests => Some(NextStep::Run(Operation::Test)),
            Action::Rollback => Some(NextStep::Rollback),
            Action::RestartAgent => Some(NextStep::Run(Operation::RestartAgent)),
            Action::Reboot => Some(NextStep::Reboot),
            Action::Stop | Action::RetryFetch => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::tests::rows::situations;

    fn step(situation: &str) -> Option<NextStep> {
        let all = situations();
        let (_, state) = all.iter().find(|(name, _)| *name == situation).expect(situation);
        state.snapshot().next_step()
    }

    #[test]
    fn a_row_offers_its_next_step_and_only_one() {
        for (situation, expected) in [
            ("everything current, tests passed (3.x too)", None),
            ("remote got a commit that left flake.lock alone", Some(NextStep::Update)),
            ("after a pull that changed the inputs", Some(NextStep::Run(Operation::Switch))),
            ("switch succeeded, tests not run", Some(NextStep::Run(Operation::Test))),
            ("tests failed", Some(NextStep::Rollback)),
            ("host offline, was all green", None),
            ("dashboard started, nothing fetched yet, was green", None),
        ] {
            assert_eq!(step(situation), expected, "{situation}");
        }
        assert!(matches!(step("tests running"), Some(NextStep::Stop(_))));
    }

    #[test]
    fn nothing_is_offered_that_would_be_refused() {
        for (situation, state) in situations() {
            let snapshot = state.snapshot();
            if let Some(NextStep::Run(op)) = snapshot.next_step() {
                assert_eq!(snapshot.refusal(op), None, "{situation}");
            }
        }
    }

    #[test]
    fn a_row_whose_compartments_are_all_green_offers_nothing() {
        for (situation, state) in situations() {
            let snapshot = state.snapshot();
            if snapshot.row.is_current() && snapshot.command.is_none() {
                assert_eq!(snapshot.next_step(), None, "{situation}");
            }
        }
    }
}
