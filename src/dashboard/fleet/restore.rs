//! What the fleet is restored from.

use crate::dashboard::remotes::pull_requests;
use crate::dashboard::store::{self, StoreError};
use crate::domain::command::Command;
use crate::domain::desired::MergedPr;
use crate::domain::host::Restored;
use crate::domain::ids::HostId;
use std::collections::BTreeMap;

/// What the fleet is restored from.
pub struct StoredFleet {
    pub(super) hosts: Vec<Restored>,
    /// The pull request that was last merged from here, by source.
    pub(super) merged: BTreeMap<String, MergedPr>,
}

impl StoredFleet {
    /// Reads every host with its commands.
    pub fn load(conn: &rusqlite::Connection) -> Result<Self, StoreError> {
        let mut live: BTreeMap<HostId, Vec<Command>> = BTreeMap::new();
        for mut command in store::commands::live(conn)? {
            command.output_lines = store::output::last_seq(conn, command.id)?;
            live.entry(command.host.clone()).or_default().push(command);
        }
        let mut last: BTreeMap<HostId, Command> = store::commands::latest_per_host(conn)?
            .into_iter()
            .filter(|command| command.state.is_terminal())
            .map(|command| (command.host.clone(), command))
            .collect();
        let hosts = store::hosts::load_all(conn)?
            .into_iter()
            .map(|record| {
                let live = live.remove(&record.id).unwrap_or_default();
                let results = match live.iter().find(|c| c.state.is_active()) {
                    Some(command) => store::test_results::list(conn, command.id)?,
                    None => Vec::new(),
                };
                Ok(Restored {
                    last: last.remove(&record.id),
                    id: record.id,
                    profile: record.profile,
                    facts: record.facts,
                    last_seen: record.last_seen,
                    live,
                    results,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self { hosts, merged: pull_requests::last_merged(conn)? })
    }

    /// Reads one host.
    pub(super) fn load_one(
        conn: &rusqlite::Connection,
        id: &HostId,
    ) -> Result<Option<Restored>, StoreError> {
        let fleet = Self::load(conn)?;
        Ok(fleet.hosts.into_iter().find(|host| host.id == *id))
    }
}
