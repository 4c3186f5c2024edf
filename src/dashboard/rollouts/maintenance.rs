//! The freeze of the fleet and the windows of hosts: what is stored of them, asked of them, and kept to.

use crate::dashboard::maintenance::zone;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::Asker;
use crate::domain::ids::HostId;
use crate::domain::maintenance::{
    Freeze, HeldBack, Maintenance, Regardless, Restraint, Window, WindowId,
};
use crate::domain::rollout::Rollout;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::tag::Tag;
use crate::domain::timestamp::Timestamp;
use actix::Message;
use std::collections::BTreeMap;

/// Where it is stored.
pub(super) const KEY: &str = "maintenance";

/// What was stored.
pub(crate) fn load(store: &Store) -> Result<Maintenance, StoreError> {
    store.read_blocking(|conn| {
        let text = store::settings::get(conn, KEY)?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
    })
}

/// Which hosts of a rollout are held back now, and why.
pub(super) fn held_back<'a>(
    maintenance: &Maintenance,
    rollout: &Rollout,
    hosts: impl Iterator<Item = &'a HostSnapshot>,
    now: Timestamp,
) -> BTreeMap<HostId, String> {
    if !rollout.changes_what_runs() {
        return BTreeMap::new();
    }
    let regardless = rollout.regardless_in(maintenance.freeze_at(now));
    let why = |host: &HostSnapshot| {
        let tags = &host.profile.tags;
        let back = maintenance.holds_back(tags, &regardless, now, &zone)?;
        Some((host.id.clone(), back.why))
    };
    hosts.filter_map(why).collect()
}

/// Why a host may not be changed now, regardless of some of it.
pub(super) fn keeps(
    maintenance: &Maintenance,
    host: &HostSnapshot,
    regardless: &Regardless,
    now: Timestamp,
) -> Option<HeldBack> {
    maintenance.holds_back(&host.profile.tags, regardless, now, &zone)
}

/// All that holds a host back now.
pub(crate) fn all_of(
    maintenance: &Maintenance,
    host: &HostSnapshot,
    now: Timestamp,
) -> Vec<HeldBack> {
    maintenance.restraints(&host.profile.tags, now, &zone).back
}

/// Who would wait for its window now, by why.
pub(crate) fn outside<'a>(
    maintenance: &Maintenance,
    hosts: impl Iterator<Item = &'a HostSnapshot>,
    now: Timestamp,
) -> Vec<(String, Vec<HostId>)> {
    let but_windows = [Restraint::Freeze].into();
    let mut waiting: BTreeMap<String, Vec<HostId>> = BTreeMap::new();
    for host in hosts {
        let tags = &host.profile.tags;
        if let Some(back) = maintenance.holds_back(tags, &but_windows, now, &zone) {
            waiting.entry(back.why).or_default().push(host.id.clone());
        }
    }
    waiting.into_iter().collect()
}

/// Freezes the fleet, instead of a freeze that there is.
#[derive(Message)]
#[rtype(result = "Result<Freeze, RequestError>")]
pub(crate) struct FreezeFleet {
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
    /// Who asks.
    pub by: Asker,
}

/// Ends the freeze, if there is one.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct Thaw(pub Asker);

/// Adds a window.
#[derive(Message)]
#[rtype(result = "Result<Window, RequestError>")]
pub(crate) struct AddWindow {
    /// For the hosts with this tag; `None`: for all.
    pub tag: Option<Tag>,
    /// The names of the days on which it opens.
    pub days: Vec<String>,
    /// When it opens, such as `22:00`.
    pub from: String,
    /// When it closes, such as `24:00`.
    pub to: String,
    /// Whose clock that is.
    pub time_zone: String,
    /// Who asks.
    pub by: Asker,
}

/// Removes a window.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct RemoveWindow {
    /// Which.
    pub id: WindowId,
    /// Who asks.
    pub by: Asker,
}
