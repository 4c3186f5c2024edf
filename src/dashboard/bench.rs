//! What benchmarks and the cost guard reach of the dashboard. No other code may use it: it is
//! one door for them, so that every room stays private and may be moved.

use super::http;
use super::link::translate;
use super::live::model::{FleetView, HostEntry, SourceState};
use super::store::hosts::HostRecord;
use super::store::{self, Store};
use super::views;
use crate::domain::compartment::{self, Status};
use crate::domain::desired::{Desired, Remote};
use crate::domain::facts::{HostFacts, LockState};
use crate::domain::host::{HostEvent, HostState};
use crate::domain::ids::{CommandId, Commit, HostId};
use crate::domain::moment::{Moment, Uptime};
use crate::domain::profile::HostProfile;
use crate::domain::protocol::Protocol;
use crate::domain::timestamp::Timestamp;
use crate::protocol::AgentMessage;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// When everything happens.
fn now() -> Timestamp {
    Timestamp::from_secs(1_768_732_200)
}

/// One host, as its actor holds it.
#[derive(Clone)]
pub struct Host(HostState);

/// What a frame means.
#[derive(Clone)]
pub struct Event(HostEvent);

/// Reads a frame of an agent; answers what happens to its host. `None` for what is none.
pub fn event(frame: &str) -> Option<Event> {
    match AgentMessage::parse(frame).ok()?? {
        AgentMessage::Register(register) => {
            let registration = Box::new(translate::registration(&register));
            Some(Event(HostEvent::Connected { registration, known: Vec::new() }))
        }
        AgentMessage::Heartbeat(beat) => {
            Some(Event(translate::heartbeat(&beat, Protocol::of(None))))
        }
        _ => None,
    }
}

impl Host {
    /// One that was added and never seen. `None` if its name is none.
    pub fn new(name: &str) -> Option<Self> {
        let id = HostId::parse(name).ok()?;
        Some(Self(HostState::new(id, name, Arc::new(remote()))))
    }

    /// Lets something happen; answers how many things must be done then.
    pub fn apply(&mut self, event: Event) -> usize {
        self.0
            .apply(event.0, Moment { at: now(), up: Uptime::default() }, &mut || {
                CommandId(uuid::Uuid::nil())
            })
            .len()
    }

    /// Works its row out; answers how many compartments are as they should be.
    pub fn evaluate(&self) -> usize {
        let live: Vec<_> = self.0.live().collect();
        let row = compartment::evaluate(self.0.facts(), &live, self.0.desired());
        row.iter().filter(|(_, verdict)| verdict.status == Status::Ok).count()
    }

    /// Makes what everybody reads of it; answers whether it is online.
    pub fn snapshot(&self) -> bool {
        self.0.snapshot().online
    }

    fn entry(&self) -> HostEntry {
        HostEntry::new(Arc::new(self.0.snapshot()), self.0.pulse())
    }
}

/// A fleet, as pages and the API read it.
pub struct Fleet(FleetView);

impl Fleet {
    /// These hosts.
    pub fn of(hosts: &[Host]) -> Self {
        let source =
            SourceState { name: "default".into(), desired: Arc::new(remote()), merged: None };
        let entries = hosts.iter().map(|host| (host.0.id().clone(), host.entry()));
        Self(FleetView {
            version: 1,
            hosts: entries.collect(),
            remotes: Arc::new(vec![source]),
            rollouts: Arc::default(),
            maintenance: Arc::default(),
            read_at: BTreeMap::new(),
        })
    }

    /// The page.
    pub fn page(&self) -> String {
        views::fleet::page(&self.0, &views::list::Look::default(), None, "token").into_string()
    }

    /// The row of the first host, rendered anew.
    pub fn row(&self) -> String {
        let Some(entry) = self.0.hosts.values().next() else {
            return String::new();
        };
        let changed = HostEntry::new(Arc::clone(&entry.snapshot), entry.pulse);
        views::host::row(&changed).into_string()
    }

    /// What `GET /api/hosts` answers.
    pub fn list(&self) -> Vec<u8> {
        http::host_list(&self.0)
    }
}

/// A database of its own.
pub struct Database {
    runtime: actix_rt::Runtime,
    store: Store,
}

impl Database {
    /// Opens or makes one in a directory; `None` where that cannot be.
    pub fn open(dir: &Path) -> Option<Self> {
        let runtime = actix_rt::Runtime::new().ok()?;
        Some(Self { runtime, store: Store::open(dir).ok()? })
    }

    /// Stores a host and waits until that is committed; says whether it was.
    pub fn store_host(&self, name: &str) -> bool {
        let Ok(id) = HostId::parse(name) else {
            return false;
        };
        let profile = HostProfile { hostname: name.to_owned(), ..HostProfile::default() };
        let facts = HostFacts::default();
        let record = HostRecord { id, profile, facts, last_seen: Some(now()), created_at: now() };
        let write = self.store.write(move |conn| match store::hosts::get(conn, &record.id)? {
            Some(_) => store::hosts::update(conn, &record),
            None => store::hosts::insert(conn, &record),
        });
        self.runtime.block_on(write).is_ok()
    }
}

fn remote() -> Desired {
    let Some(commit) = Commit::parse("3f1c2b7a9d8e6f504132aabbccddeeff00112233") else {
        return Desired::NotYetFetched;
    };
    Desired::Known(Remote {
        source: "default".to_owned(),
        branch: "main".to_owned(),
        commit,
        lock: Some(LockState::Absent),
        subject: "A commit".to_owned(),
        committed_at: now(),
        fetched_at: now(),
        pending_pr: None,
        pending_details: None,
        hosts: Vec::new(),
        forge: None,
    })
}
