//! What the fleet is restored from.

use crate::dashboard::remotes::pull_requests;
use crate::dashboard::store::hosts::HostRecord;
use crate::dashboard::store::{self, StoreError};
use crate::domain::command::Command;
use crate::domain::desired::MergedPr;
use crate::domain::facts::MissingCommit;
use crate::domain::host::Restored;
use crate::domain::ids::HostId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the fleet is restored from.
pub(crate) struct StoredFleet {
    pub(super) hosts: Vec<Restored>,
    /// The pull request that was last merged from here, by source.
    pub(super) merged: BTreeMap<String, MergedPr>,
    /// Names that were removed and not added again.
    pub(super) gone: BTreeSet<HostId>,
}

impl StoredFleet {
    /// Reads every host with its commands.
    pub(crate) fn load(conn: &rusqlite::Connection) -> Result<Self, StoreError> {
        let mut live: BTreeMap<HostId, Vec<Command>> = BTreeMap::new();
        for command in store::commands::live(conn)? {
            live.entry(command.host.clone()).or_default().push(command);
        }
        let mut last: BTreeMap<HostId, Command> = store::commands::latest_per_host(conn)?
            .into_iter()
            .filter(|command| command.state.is_terminal())
            .map(|command| (command.host.clone(), command))
            .collect();
        let mut hosts = store::hosts::load_all(conn)?
            .into_iter()
            .map(|record| {
                let live = live.remove(&record.id).unwrap_or_default();
                let last = last.remove(&record.id);
                restored(conn, record, live, last)
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        share_lineages(&mut hosts);
        Ok(Self {
            hosts,
            merged: pull_requests::last_merged(conn)?,
            gone: store::hosts::removed(conn)?,
        })
    }

    /// Reads one host.
    pub(super) fn load_one(
        conn: &rusqlite::Connection,
        id: &HostId,
    ) -> Result<Option<Restored>, StoreError> {
        let Some(record) = store::hosts::get(conn, id)? else {
            return Ok(None);
        };
        let live = store::commands::live_of(conn, id)?;
        let newest = store::commands::history(conn, id, 1, None)?.pop();
        let last = newest.filter(|command| command.state.is_terminal());
        restored(conn, record, live, last).map(Some)
    }
}

/// Hosts that miss the same commits share one list of them, as they do when it is worked out: it is
/// the largest thing that is known of a host.
fn share_lineages(hosts: &mut [Restored]) {
    let mut lists: BTreeMap<[String; 2], Arc<[MissingCommit]>> = BTreeMap::new();
    for lineage in hosts.iter_mut().filter_map(|host| host.facts.lineage.as_mut()) {
        let pair = [lineage.host.to_string(), lineage.head.to_string()];
        let list = lists.entry(pair).or_insert_with(|| Arc::clone(&lineage.missing));
        if *list == lineage.missing {
            lineage.missing = Arc::clone(list);
        }
    }
}

/// A host with its commands. `live` are those that are not over, `last` the newest if that is over.
fn restored(
    conn: &rusqlite::Connection,
    record: HostRecord,
    mut live: Vec<Command>,
    last: Option<Command>,
) -> Result<Restored, StoreError> {
    for command in &mut live {
        command.output_lines = store::output::last_seq(conn, command.id)?;
    }
    let results = match live.iter().find(|command| command.state.is_active()) {
        Some(command) => store::test_results::list(conn, command.id)?,
        None => Vec::new(),
    };
    Ok(Restored {
        id: record.id,
        profile: record.profile,
        facts: record.facts,
        last_seen: record.last_seen,
        live,
        last,
        results,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::store::Store;
    use crate::dashboard::store::tests::{command, host_record};
    use crate::domain::command::State;
    use crate::domain::facts::{Lineage, Relation};
    use crate::domain::ids::Commit;

    #[test]
    fn hosts_that_miss_the_same_commits_share_one_list_of_them() {
        let commit = |digit: &str| Commit::parse(&digit.repeat(40)).unwrap();
        let lineage = move |subject: &str| Lineage {
            host: commit("a"),
            head: commit("b"),
            relation: Relation::Behind { commits: 1, lock_commits: 0 },
            missing: [MissingCommit { commit: commit("b"), subject: subject.to_owned() }].into(),
        };
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let write = store.write(move |conn| {
            for (name, subject) in [("db", "fix"), ("web", "fix"), ("odd", "another text")] {
                let mut host = host_record(name);
                host.facts.lineage = Some(lineage(subject));
                store::hosts::insert(conn, &host)?;
            }
            Ok(())
        });
        actix_rt::System::new().block_on(write).unwrap();
        let fleet = store.read_blocking(StoredFleet::load).unwrap();
        let list = |name: &str| {
            let host = fleet.hosts.iter().find(|host| host.id == id(name)).unwrap();
            Arc::clone(&host.facts.lineage.as_ref().unwrap().missing)
        };
        assert!(Arc::ptr_eq(&list("db"), &list("web")));
        assert_eq!(list("odd")[0].subject, "another text");
    }

    fn id(name: &str) -> HostId {
        HostId::parse(name).unwrap()
    }

    fn store_with_two_hosts(dir: &std::path::Path) -> Store {
        let store = Store::open(dir).unwrap();
        let write = store.write(|conn| {
            for name in ["db", "web"] {
                store::hosts::insert(conn, &host_record(name))?;
                for state in [State::Failed, State::Succeeded, State::Running] {
                    store::commands::save(conn, &command(name, state))?;
                }
            }
            store::commands::save(conn, &command("db", State::Failed))
        });
        actix_rt::System::new().block_on(write).unwrap();
        store
    }

    #[test]
    fn one_host_is_read_as_it_is_read_with_all_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_with_two_hosts(dir.path());
        let fleet = store.read_blocking(StoredFleet::load).unwrap();
        assert_eq!(fleet.hosts.len(), 2);
        for host in fleet.hosts {
            let alone = store.read_blocking(|conn| StoredFleet::load_one(conn, &host.id)).unwrap();
            assert_eq!(format!("{alone:?}"), format!("{:?}", Some(host)));
        }
        let nobody = store.read_blocking(|conn| StoredFleet::load_one(conn, &id("nobody")));
        assert!(nobody.unwrap().is_none());
    }
}
