//! What a host's effects mean for SQLite.

use crate::dashboard::store::events::NewEvent;
use crate::dashboard::store::{self, StoreError};
use crate::domain::audit::{self, AuditCategory};
use crate::domain::bounds;
use crate::domain::command::Command;
use crate::domain::facts::{Deploy, HostFacts, TestRun};
use crate::domain::host::{HostEffect, HostState};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::moment::Moment;
use crate::domain::profile::HostProfile;
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use crate::protocol::Line;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an event came with.
pub(super) struct Circumstances<'a> {
    /// When it happened.
    pub(super) now: Moment,
    /// Lines of output.
    pub(super) lines: Option<&'a Arc<[Line]>>,
    /// From where a user asked.
    pub(super) from: Option<&'a str>,
}

/// What became of what was asked, in a word.
fn answered(effects: &[HostEffect]) -> Option<&'static str> {
    let answers = effects.iter().find_map(|effect| match effect {
        HostEffect::Answer(answer) => Some(answer.is_ok()),
        _ => None,
    });
    Some(match answers {
        Some(true) => audit::ACCEPTED,
        Some(false) => audit::REFUSED,
        None => audit::DONE,
    })
}

/// How a command ended, for the audit log.
fn outcome(state: &HostState, command: &Command, at: Timestamp) -> NewEvent {
    NewEvent {
        at,
        host: Some(state.id().clone()),
        category: AuditCategory::Command,
        message: command.told_end(),
        by: Some(command.requested_by.clone()),
        from: None,
        result: Some(command.state.name()),
        command: Some(command.id),
    }
}

/// One thing to write.
enum Entry {
    Host { profile: Box<HostProfile>, facts: Box<HostFacts>, last_seen: Option<Timestamp> },
    Command { command: Box<Command>, journal: bool },
    TestResult(CommandId, Box<TestResult>),
    TestRun(Box<TestRun>),
    Deploy(Box<Deploy>),
    Lines { id: CommandId, first_seq: u64, lines: Arc<[Line]>, known: Option<u64> },
    Line { command: CommandId, seq: u64, text: String },
    Event(Box<NewEvent>),
}

/// What one event of a host leaves in SQLite, in order. Written as one.
pub(super) struct Journal {
    host: HostId,
    now: Moment,
    entries: Vec<Entry>,
}

/// What was written, as far as it matters to those who read and to the agent.
#[derive(Default)]
pub(super) struct Written {
    /// The lines of output, if there were any.
    pub(super) lines: Option<StoredLines>,
}

/// Lines of output that are stored.
#[derive(Clone, Copy)]
pub(super) struct StoredLines {
    /// Whose they are.
    pub(super) id: CommandId,
    /// The number of the first that came.
    pub(super) first_seq: u64,
    /// The last number that was stored before.
    pub(super) before: u64,
    /// The last number that is stored now.
    pub(super) after: u64,
    /// How much room its output takes now.
    pub(super) size: u64,
}

impl Journal {
    /// Takes the effects that concern SQLite out of `effects`.
    /// The lines that came along are those that [`HostEffect::StoreOutput`] speaks of. How a command
    /// ended stands in the audit log with it.
    pub(super) fn take(
        state: &HostState,
        effects: &mut Vec<HostEffect>,
        around: &Circumstances<'_>,
    ) -> Self {
        let (now, lines) = (around.now, around.lines);
        let at = now.at;
        let told = answered(effects);
        let mut journal = Self { host: state.id().clone(), now, entries: Vec::new() };
        effects.retain(|effect| {
            // Most effects are over when they are stored; a line is shown then.
            let is_shown = matches!(effect, HostEffect::SayInLog { .. });
            let entry = match effect {
                HostEffect::SaveHost => Entry::Host {
                    profile: Box::new(state.profile().clone()),
                    facts: Box::new(state.facts().clone()),
                    last_seen: state.last_seen(),
                },
                HostEffect::SaveCommand { command, journal } => {
                    Entry::Command { command: command.clone(), journal: *journal }
                }
                HostEffect::SaveTestResult(id, result) => Entry::TestResult(*id, result.clone()),
                HostEffect::SaveTestRun(run) => Entry::TestRun(run.clone()),
                HostEffect::SaveDeploy(deploy) => Entry::Deploy(deploy.clone()),
                HostEffect::SayInLog { id, first_seq, text } => {
                    Entry::Line { command: *id, seq: *first_seq, text: text.clone() }
                }
                HostEffect::Record { category, message, by, command } => {
                    Entry::Event(Box::new(NewEvent {
                        at,
                        host: Some(state.id().clone()),
                        category: *category,
                        message: message.clone(),
                        by: by.clone(),
                        from: by.as_ref().and(around.from).map(str::to_owned),
                        result: by.as_ref().and(told),
                        command: *command,
                    }))
                }
                HostEffect::Complete(command) => {
                    journal.entries.push(Entry::Event(Box::new(outcome(state, command, at))));
                    return true;
                }
                HostEffect::StoreOutput { id, first_seq } => match lines {
                    Some(lines) => {
                        let lines = Arc::clone(lines);
                        Entry::Lines { id: *id, first_seq: *first_seq, lines, known: None }
                    }
                    None => return false,
                },
                HostEffect::Run { .. }
                | HostEffect::Stop(_)
                | HostEffect::AskToReport
                | HostEffect::LetGo(_)
                | HostEffect::Announce(_)
                | HostEffect::Refetch
                | HostEffect::Compare { .. }
                | HostEffect::Answer(_) => return true,
            };
            journal.entries.push(entry);
            is_shown
        });
        journal
    }

    /// What is known of how much room the output of commands takes, by their ids.
    pub(super) fn with_sizes(mut self, sizes: &BTreeMap<CommandId, u64>) -> Self {
        for entry in &mut self.entries {
            if let Entry::Lines { id, known, .. } = entry {
                *known = sizes.get(id).copied();
            }
        }
        self
    }

    /// Stores lines; of too many, the middle goes.
    fn write_lines(
        &self,
        conn: &Connection,
        (id, first_seq): (CommandId, u64),
        lines: &[Line],
        known: Option<u64>,
    ) -> Result<StoredLines, StoreError> {
        let mut size = match known {
            Some(known) => known,
            None => store::output::size(conn, id)?,
        };
        let before = store::output::last_seq(conn, id)?;
        let after = store::output::append(conn, id, first_seq, lines)?;
        if after > before {
            size += store::output::size_of(lines);
        }
        if size > bounds::OUTPUT {
            let (left, is_first) = store::output::leave_out_the_middle(conn, id, bounds::OUTPUT)?;
            size = left;
            if is_first {
                let record = store::events::NewEvent {
                    at: self.now.at,
                    host: Some(self.host.clone()),
                    category: AuditCategory::Protocol,
                    message: format!("Beyond a bound. {}. Command {id}.", bounds::rows::OUTPUT),
                    by: None,
                    from: None,
                    result: None,
                    command: Some(id),
                };
                store::events::append(conn, &record)?;
            }
        }
        Ok(StoredLines { id, first_seq, before, after, size })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes all of it, or, on an error, the caller's transaction undoes all of it.
    pub(super) fn write(&self, conn: &Connection) -> Result<Written, StoreError> {
        let mut written = Written::default();
        for entry in &self.entries {
            match entry {
                Entry::Host { profile, facts, last_seen } => {
                    let record = store::hosts::HostRecord {
                        id: self.host.clone(),
                        profile: (**profile).clone(),
                        facts: (**facts).clone(),
                        last_seen: *last_seen,
                        created_at: self.now.at,
                    };
                    store::hosts::update(conn, &record)?;
                }
                Entry::Command { command, journal } => {
                    store::commands::save(conn, command)?;
                    store::uptime::set(conn, self.now.up)?;
                    if *journal {
                        let record = store::transitions::TransitionRecord {
                            at: self.now.at,
                            state: command.state,
                            reason: command.reason.clone(),
                        };
                        store::transitions::append(conn, command.id, &record)?;
                    }
                }
                Entry::Lines { id, first_seq, lines, known } => {
                    let stored = self.write_lines(conn, (*id, *first_seq), lines, *known)?;
                    written.lines = Some(stored);
                }
                Entry::TestResult(id, result) => store::test_results::save(conn, *id, result)?,
                Entry::Line { command, seq, text } => {
                    let line = super::own_line(text.clone());
                    store::output::append(conn, *command, *seq, &[line])?;
                }
                Entry::Deploy(deploy) => store::deployments::save(conn, &self.host, deploy)?,
                Entry::TestRun(run) => store::test_results::save_run(conn, &self.host, run)?,
                Entry::Event(event) => {
                    store::events::append(conn, event)?;
                }
            }
        }
        Ok(written)
    }
}
