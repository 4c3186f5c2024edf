//! What a host's effects mean for SQLite.

use crate::dashboard::store::{self, StoreError};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::command::Command;
use crate::domain::facts::{Deploy, HostFacts, TestRun};
use crate::domain::host::{HostEffect, HostState};
use crate::domain::ids::{CommandId, HostId};
use crate::domain::profile::HostProfile;
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use crate::protocol::Line;
use rusqlite::Connection;
use std::sync::Arc;

/// One thing to write.
enum Entry {
    Host { profile: Box<HostProfile>, facts: Box<HostFacts>, last_seen: Option<Timestamp> },
    Command { command: Box<Command>, journal: bool },
    TestResult(CommandId, Box<TestResult>),
    TestRun(Box<TestRun>),
    Deploy(Box<Deploy>),
    Lines { id: CommandId, first_seq: u64, lines: Arc<[Line]> },
    Line { command: CommandId, seq: u64, text: String },
    Event { category: AuditCategory, message: String, by: Option<Author> },
}

/// What one event of a host leaves in SQLite, in order. Written as one.
pub(super) struct Journal {
    host: HostId,
    at: Timestamp,
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
}

impl Journal {
    /// Takes the effects that concern SQLite out of `effects`.
    /// `lines` are those that [`HostEffect::StoreOutput`] speaks of.
    pub(super) fn take(
        state: &HostState,
        effects: &mut Vec<HostEffect>,
        at: Timestamp,
        lines: Option<&Arc<[Line]>>,
    ) -> Self {
        let mut journal = Self { host: state.id().clone(), at, entries: Vec::new() };
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
                HostEffect::Record { category, message, by } => {
                    Entry::Event { category: *category, message: message.clone(), by: by.clone() }
                }
                HostEffect::StoreOutput { id, first_seq } => match lines {
                    Some(lines) => {
                        Entry::Lines { id: *id, first_seq: *first_seq, lines: Arc::clone(lines) }
                    }
                    None => return false,
                },
                HostEffect::Run { .. }
                | HostEffect::Stop(_)
                | HostEffect::AskToReport
                | HostEffect::Announce(_)
                | HostEffect::Complete(_)
                | HostEffect::Refetch
                | HostEffect::Compare { .. }
                | HostEffect::Answer(_) => return true,
            };
            journal.entries.push(entry);
            is_shown
        });
        journal
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
                        created_at: self.at,
                    };
                    store::hosts::update(conn, &record)?;
                }
                Entry::Command { command, journal } => {
                    store::commands::save(conn, command)?;
                    if *journal {
                        let record = store::transitions::TransitionRecord {
                            at: self.at,
                            state: command.state,
                            reason: command.reason.clone(),
                        };
                        store::transitions::append(conn, command.id, &record)?;
                    }
                }
                Entry::Lines { id, first_seq, lines } => {
                    let before = store::output::last_seq(conn, *id)?;
                    let after = store::output::append(conn, *id, *first_seq, lines)?;
                    let first_seq = *first_seq;
                    written.lines = Some(StoredLines { id: *id, first_seq, before, after });
                }
                Entry::TestResult(id, result) => store::test_results::save(conn, *id, result)?,
                Entry::Line { command, seq, text } => {
                    let line = super::own_line(text.clone());
                    store::output::append(conn, *command, *seq, &[line])?;
                }
                Entry::Deploy(deploy) => store::deployments::save(conn, &self.host, deploy)?,
                Entry::TestRun(run) => store::test_results::save_run(conn, &self.host, run)?,
                Entry::Event { category, message, by } => {
                    let record = store::events::NewEvent {
                        at: self.at,
                        host: Some(self.host.clone()),
                        category: *category,
                        message: message.clone(),
                        by: by.clone(),
                    };
                    store::events::append(conn, &record)?;
                }
            }
        }
        Ok(written)
    }
}
