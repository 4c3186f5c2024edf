//! What the dashboard asks for.

use super::follower::Follower;
use super::jobs::{Order, Rejection};
use super::session::{Ended, Event, Session};
use crate::domain::ids::CommandId;
use crate::domain::operation::Operation;
use crate::protocol::{AgentMessage, CommandAccepted, CommandMessage, CommandRejected};
use std::sync::Arc;

impl Session<'_> {
    /// Carries out a `command`, or says why not.
    pub(super) async fn command(&mut self, command: &CommandMessage) -> Result<(), Ended> {
        let name = command.command.as_str();
        if name == "stop" {
            return self.stop(command.command_id).await;
        }
        if matches!(name, "refresh-all" | "refresh-lock" | "refresh-system") {
            return self.beat_is_due().await;
        }
        let Some(op) = Operation::parse(name) else {
            let reason = format!("This agent does not know `{name}`.");
            return self
                .reject(name, command.command_id, Rejection { reason, current: None })
                .await;
        };
        let Some(command_id) = command.command_id else {
            let reason = "A command needs a command_id.".to_owned();
            return self.reject(name, None, Rejection { reason, current: None }).await;
        };
        log::info!("{op} {command_id}");
        if op == Operation::RestartAgent {
            self.agent.restart = true;
            let accepted = CommandAccepted { command_id, pid: None };
            return self.send(&AgentMessage::CommandAccepted(accepted)).await;
        }
        let order = Order {
            command_id,
            op,
            args: command.args.clone().unwrap_or_default(),
            held: command.held.clone(),
            site: self.agent.site.clone(),
            boot_id: String::new(),
        };
        self.start(order, name.to_owned());
        Ok(())
    }

    /// Starts a job on a thread: a supervisor takes its time to begin.
    fn start(&self, order: Order, name: String) {
        let (jobs, events) = (Arc::clone(&self.agent.jobs), self.events.clone());
        actix_rt::task::spawn_blocking(move || {
            let result = jobs.start(&order);
            // Without a link nobody waits for the answer: the next `register` names the job.
            let _ = events.send(Event::Started(order.command_id, name, result));
        });
    }

    /// Tells what came of starting a job.
    pub(super) async fn was_started(
        &mut self,
        command_id: CommandId,
        name: &str,
        result: Result<i64, Rejection>,
    ) -> Result<(), Ended> {
        let pid = match result {
            Ok(pid) => pid,
            Err(rejection) => return self.reject(name, Some(command_id), rejection).await,
        };
        if !self.followers.contains_key(&command_id) {
            let jobs = self.agent.jobs.list();
            let job = jobs.into_iter().find(|job| job.id == command_id);
            if let Some(job) = job
                && let Ok(Some(order)) = job.order()
            {
                self.followers.insert(command_id, Follower::new(job, order.op, 0));
            }
        }
        let accepted = CommandAccepted { command_id, pid: Some(pid) };
        self.send(&AgentMessage::CommandAccepted(accepted)).await
    }

    async fn reject(
        &mut self,
        name: &str,
        command_id: Option<CommandId>,
        rejection: Rejection,
    ) -> Result<(), Ended> {
        log::warn!("{name} refused: {}", rejection.reason);
        let rejected = CommandRejected {
            reason: rejection.reason,
            current_command: rejection.current.map(|(_, op)| op.name().to_owned()),
            current_pid: None,
            command_id,
            current_command_id: rejection.current.map(|(id, _)| id),
        };
        self.send(&AgentMessage::CommandRejected(rejected)).await
    }

    async fn stop(&mut self, id: Option<CommandId>) -> Result<(), Ended> {
        let mut stopped = false;
        let mut refused: Option<Rejection> = None;
        for job in self.agent.jobs.list() {
            if id.is_none_or(|id| job.id == id) {
                match self.agent.jobs.stop(&job) {
                    Ok(runs) => stopped |= runs,
                    Err(error) => {
                        log::error!("the job {} cannot be stopped: {error}", job.id);
                        // It runs on: the dashboard must not take it for refused.
                        let op = job.order().ok().flatten().map(|order| (job.id, order.op));
                        refused = Some(Rejection { reason: error.to_string(), current: op });
                    }
                }
            }
        }
        if let Some(rejection) = refused {
            return self.reject("stop", id, rejection).await;
        }
        if stopped || self.followers.values().any(Follower::is_open) {
            return Ok(());
        }
        let reason = "Nothing runs that could be stopped.".to_owned();
        self.reject("stop", id, Rejection { reason, current: None }).await
    }
}
