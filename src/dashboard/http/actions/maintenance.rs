//! The freeze of the fleet, and the windows of hosts.

use super::super::error::HttpError;
use super::super::extract::{Admin, Changer, Reader};
use super::tags::tag_of;
use crate::dashboard::rollouts::maintenance::{AddWindow, FreezeFleet, RemoveWindow, Thaw, all_of};
use crate::domain::ids::HostId;
use crate::domain::maintenance::{Freeze, HeldBack, Regardless, Restraint, Window, WindowId};
use crate::domain::refusal::RefusalCode;
use crate::domain::timestamp::Timestamp;
use serde::Deserialize;
use std::sync::Arc;

/// A freeze that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dashboard::http) struct NewFreeze {
    /// Why.
    pub(in crate::dashboard::http) reason: String,
    /// Until when, as RFC 3339 writes it.
    pub(in crate::dashboard::http) until: String,
}

/// A window that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dashboard::http) struct NewWindow {
    /// For the hosts with this tag; for all if missing.
    pub(in crate::dashboard::http) tag: Option<String>,
    /// The days on which it opens.
    #[serde(default)]
    pub(in crate::dashboard::http) days: Vec<String>,
    /// When it opens.
    pub(in crate::dashboard::http) from: String,
    /// When it closes.
    pub(in crate::dashboard::http) to: String,
    /// Whose clock that is; UTC if missing.
    pub(in crate::dashboard::http) time_zone: Option<String>,
}

/// What of several is gone on regardless of, by the names that were sent.
pub(super) fn regardless_of(names: &[String]) -> Result<Regardless, HttpError> {
    let read = |name: &String| {
        let known = Restraint::ALL.map(Restraint::name).join(", ");
        let bad = || HttpError::bad("regardless", format!("expected some of {known}"));
        Restraint::parse(name).ok_or_else(bad)
    };
    names.iter().map(read).collect()
}

/// All that holds a host back now, for whoever is asked about it.
pub(in crate::dashboard::http) async fn restraints_of(
    reader: &Reader,
    host: &HostId,
) -> Result<Vec<HeldBack>, HttpError> {
    let kept_to = Arc::clone(&reader.fleet_view().await?.maintenance);
    let entry = reader.host(host).await?;
    Ok(all_of(&kept_to, &entry.snapshot, reader.moment().at))
}

/// Freezes the fleet until a time to come.
pub(in crate::dashboard::http) async fn freeze(
    changer: &Changer,
    asked: NewFreeze,
) -> Result<Freeze, HttpError> {
    let NewFreeze { reason, until } = asked;
    let until = Timestamp::parse(&until);
    let until = until.ok_or_else(|| {
        HttpError::bad("until", "expected an RFC 3339 time such as 2026-12-31T18:00:00Z")
    })?;
    let by = changer.asker();
    Ok(changer.rollouts().send(FreezeFleet { reason, until, by }).await??)
}

/// Ends the freeze, also where there is none.
pub(in crate::dashboard::http) async fn thaw(changer: &Changer) -> Result<(), HttpError> {
    Ok(changer.rollouts().send(Thaw(changer.asker())).await??)
}

/// Adds a window, for a tag that a host has.
pub(in crate::dashboard::http) async fn add_window(
    admin: &Admin,
    asked: NewWindow,
) -> Result<Window, HttpError> {
    let NewWindow { tag, days, from, to, time_zone } = asked;
    let tag = tag.map(|tag| tag_of("tag", &tag)).transpose()?;
    if let Some(tag) = &tag
        && admin.fleet_view().await?.tagged(tag).next().is_none()
    {
        let expected = format!("expected a tag that hosts have; none has `{tag}`");
        return Err(HttpError::bad("tag", expected));
    }
    let time_zone = time_zone.unwrap_or_else(|| "UTC".to_owned());
    let by = admin.asker();
    Ok(admin.rollouts().send(AddWindow { tag, days, from, to, time_zone, by }).await??)
}

/// Removes a window.
pub(in crate::dashboard::http) async fn remove_window(
    admin: &Admin,
    id: &str,
) -> Result<(), HttpError> {
    let none = || HttpError::new(RefusalCode::NotFound, "There is no such window.");
    let id = WindowId::parse(id).ok_or_else(none)?;
    Ok(admin.rollouts().send(RemoveWindow { id, by: admin.asker() }).await??)
}
