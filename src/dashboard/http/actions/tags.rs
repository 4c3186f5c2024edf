//! Tags that users give hosts, beside those of their configurations.

use super::super::error::{HttpError, said_back};
use super::super::extract::{Admin, host_id};
use super::configure_host;
use crate::dashboard::request_error::RequestError;
use crate::domain::bounds;
use crate::domain::host::{Change, SetTags};
use crate::domain::ids::HostId;
use crate::domain::maintenance::Window;
use crate::domain::refusal::RefusalCode;
use crate::domain::tag::{EXPECTED, Tag};

/// A tag that was sent in this field.
pub(in crate::dashboard::http) fn tag_of(field: &str, text: &str) -> Result<Tag, HttpError> {
    let bad = || HttpError::bad(field, format!("got {:?}; expected {EXPECTED}", said_back(text)));
    Tag::parse(text).ok_or_else(bad)
}

/// Gives hosts a tag. Nobody gets it where one of them cannot.
pub(in crate::dashboard::http) async fn add_tag(
    admin: &Admin,
    tag: &str,
    hosts: &[String],
) -> Result<(), HttpError> {
    let tag = tag_of("tag", tag)?;
    if hosts.is_empty() {
        return Err(HttpError::bad("hosts", "expected the hosts that get it"));
    }
    let view = admin.fleet_view().await?;
    let mut wanted: Vec<HostId> = Vec::new();
    for name in hosts {
        let id = host_id(name)?;
        let entry = view.hosts.get(&id);
        let entry = entry.ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?;
        let mut added = entry.snapshot.profile.overrides.tags.clone();
        if !added.add(tag.clone()) {
            let expected = format!("{id} has {} tags already, as many as may be", bounds::TAGS);
            return Err(HttpError::bad("hosts", expected));
        }
        wanted.push(id);
    }
    for host in wanted {
        change(admin, host, SetTags::Add(tag.clone())).await?;
    }
    Ok(())
}

/// Takes a tag from all hosts that users gave it. What a configuration gives is changed there.
pub(in crate::dashboard::http) async fn remove_tag(
    admin: &Admin,
    name: &str,
) -> Result<(), HttpError> {
    let view = admin.fleet_view().await?;
    let tag = Tag::parse(name);
    let added = |tag: &Tag| {
        let hosts = view.hosts.values().map(|entry| &entry.snapshot);
        let hosts = hosts.filter(|host| host.profile.overrides.tags.contains(tag));
        hosts.map(|host| host.id.clone()).collect::<Vec<HostId>>()
    };
    let hosts = tag.as_ref().map(added).unwrap_or_default();
    let (Some(tag), false) = (tag, hosts.is_empty()) else {
        let text = format!("No user gave a host the tag `{}`.", said_back(name));
        return Err(HttpError::new(RefusalCode::NotFound, text));
    };
    if let Some(window) = view.maintenance.windows_for(&tag).next() {
        return Err(in_use(&tag, window, "no host would have it by a user any more"));
    }
    for host in hosts {
        change(admin, host, SetTags::Remove(tag.clone())).await?;
    }
    Ok(())
}

/// Who waits for a window would wait for nothing, and begin.
fn in_use(tag: &Tag, window: &Window, why: &str) -> HttpError {
    let told = window.told();
    let text =
        format!("The window {told} is for hosts with the tag `{tag}`, and {why}. Remove it first.");
    HttpError::new(RefusalCode::InUse, text)
}

/// Refuses to take a tag from the last host that has it, where a window is for that.
pub(super) async fn keeps_windows(
    admin: &Admin,
    host: &HostId,
    change: &SetTags,
) -> Result<(), HttpError> {
    let (SetTags::To(_) | SetTags::Remove(_)) = change else {
        return Ok(());
    };
    let view = admin.fleet_view().await?;
    let Some(entry) = view.hosts.get(host) else {
        return Ok(());
    };
    let goes = |tag: &&Tag| match change {
        SetTags::To(tags) => !tags.contains(tag),
        SetTags::Remove(one) => one == *tag,
        SetTags::Keep | SetTags::Add(_) => false,
    };
    for tag in entry.snapshot.profile.overrides.tags.iter().filter(goes) {
        let is_last = view.tagged(tag).all(|other| other == host);
        if let Some(window) = view.maintenance.windows_for(tag).next().filter(|_| is_last) {
            return Err(in_use(tag, window, &format!("{host} is the last one")));
        }
    }
    Ok(())
}

async fn change(admin: &Admin, host: HostId, tags: SetTags) -> Result<(), HttpError> {
    configure_host(admin, host, Change { tags, ..Change::default() }).await
}
