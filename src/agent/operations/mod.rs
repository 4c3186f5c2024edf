//! What jobs do. These run in the job's supervisor, not in the agent.

mod preflight;
mod pull;
mod rebuild;
mod test;

use super::jobs::Order;
use super::jobs::work::{Failure, Work};
use crate::domain::command::WorkPhase;
use crate::domain::operation::Operation;
use std::process::Command;

/// Carries out an order.
pub(crate) fn run(order: &Order, work: &mut Work<'_>) -> Result<(), Failure> {
    let site = &order.site;
    preflight::check(site, order.op, &order.args.regardless)?;
    match order.op {
        Operation::Pull => pull::run(site, work),
        Operation::Switch => rebuild::switch(order, work),
        Operation::PullSwitch => {
            work.enters(WorkPhase::Pull);
            pull::run(site, work)?;
            rebuild::switch(order, work)
        }
        Operation::Test => test::run(site, work),
        Operation::Rollback => rebuild::rollback(order, work),
        Operation::DryRun => rebuild::dry_run(site, order.args.commit.as_ref(), work),
        Operation::Reboot => {
            work.say("rebooting");
            let mut command = Command::new("shutdown");
            work.run(command.args(["-r", "now"]))
        }
        // The agent does this itself: a job outlives agents, it is none.
        Operation::RestartAgent => Err(Failure::Refused(2, "this is no job".to_owned())),
    }
}
