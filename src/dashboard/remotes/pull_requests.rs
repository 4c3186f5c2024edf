//! Merging an update from here and taking it back: done at the remote, recorded here.

use super::fetcher::VersionFetcher;
use super::requests::{Merge, Revert};
use super::source::{MergeError, Reverted};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::events::NewEvent;
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::{self, Asker, AuditCategory};
use crate::domain::desired::MergedPr;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::timestamp::Timestamp;
use actix::Addr;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Under what merges from here are remembered.
const MERGED: &str = "merged-pr/";

/// The remote that an order goes to.
pub(crate) struct Target {
    /// Its name.
    pub source: Arc<str>,
    /// Who reads it.
    pub fetcher: Addr<VersionFetcher>,
}

/// Who wants something of a pull request, and when.
pub(crate) struct Order {
    /// The pull request's number.
    pub number: u64,
    /// Who asks.
    pub by: Asker,
    /// When.
    pub at: Timestamp,
}

/// Merges a pull request whose head is still `head`, and remembers that. `title` is hostile text.
///
/// # Errors
///
/// Refused, with the reason; or the remote or SQLite did not answer.
pub(crate) async fn merge(
    store: &Store,
    target: &Target,
    order: Order,
    head: String,
    title: String,
) -> Result<MergedPr, RequestError> {
    let Order { number, by, at } = order;
    let source = &target.source;
    let merged = target.fetcher.send(Merge { number, head }).await.map_err(not_read)?;
    let message = match &merged {
        Ok(()) => format!("Pull request #{number} of {source} was merged."),
        Err(error) => format!("Pull request #{number} of {source} was not merged: {error}."),
    };
    let ours = MergedPr { number, title, at, reverted_by: None };
    let remembered = if merged.is_ok() { Some(ours.clone()) } else { None };
    let event = event(at, message, by, merged.is_ok());
    record(store, source, remembered, event).await?;
    match merged {
        Ok(()) => Ok(ours),
        Err(error) => Err(refused(number, &error)),
    }
}

/// Opens a pull request that takes back one that was merged from here, and remembers that.
///
/// # Errors
///
/// As [`merge`]; refused too if it was not merged from here.
pub(crate) async fn revert(
    store: &Store,
    target: &Target,
    order: Order,
) -> Result<(Reverted, MergedPr), RequestError> {
    let Order { number, by, at } = order;
    let source = &target.source;
    let Some(ours) = recall(store, source, number).await? else {
        let message = format!("Pull request #{number} was not merged from here.");
        return Err(RequestError::Refused(Refusal::new(RefusalCode::NotMerged, message)));
    };
    let reverted = target.fetcher.send(Revert { number }).await.map_err(not_read)?;
    let message = match &reverted {
        Ok(made) => format!("Pull request #{} takes #{number} of {source} back.", made.number),
        Err(error) => format!("Pull request #{number} of {source} was not reverted: {error}."),
    };
    let taken_back = match &reverted {
        Ok(made) => Some(MergedPr { reverted_by: Some(made.number), ..ours }),
        Err(_) => None,
    };
    let event = event(at, message, by, reverted.is_ok());
    record(store, source, taken_back.clone(), event).await?;
    match (reverted, taken_back) {
        (Ok(reverted), Some(ours)) => Ok((reverted, ours)),
        (Err(error), _) => Err(refused(number, &error)),
        (Ok(_), None) => Err(refused(number, &MergeError::NotMerged)),
    }
}

/// The refusal that a user sees.
pub(crate) fn refused(number: u64, error: &MergeError) -> RequestError {
    let code = match error {
        MergeError::Unsupported | MergeError::NeedsToken(_) => RefusalCode::NotSupported,
        MergeError::AlreadyMerged => RefusalCode::AlreadyMerged,
        MergeError::Closed => RefusalCode::Closed,
        MergeError::Changed => RefusalCode::Changed,
        MergeError::NotMergeable => RefusalCode::NotMergeable,
        MergeError::NotMerged => RefusalCode::NotMerged,
        MergeError::Source(_) => RefusalCode::RemoteUnavailable,
    };
    RequestError::Refused(Refusal::new(code, format!("Pull request #{number}: {error}.")))
}

/// The pull request that was last merged from here, by source.
///
/// # Errors
///
/// SQLite cannot be read.
pub(crate) fn last_merged(conn: &Connection) -> Result<BTreeMap<String, MergedPr>, StoreError> {
    let mut merged: BTreeMap<String, MergedPr> = BTreeMap::new();
    for (key, value) in store::settings::below(conn, MERGED)? {
        // The first version stored only the time, which says too little.
        let (Some((source, _)), Ok(pr)) =
            (key.rsplit_once('/'), serde_json::from_str::<MergedPr>(&value))
        else {
            continue;
        };
        if merged.get(source).is_none_or(|known| known.at < pr.at) {
            merged.insert(source.to_owned(), pr);
        }
    }
    Ok(merged)
}

fn key(source: &str, number: u64) -> String {
    format!("{MERGED}{source}/{number}")
}

/// What is remembered of a merge from here, if there was one.
async fn recall(
    store: &Store,
    source: &str,
    number: u64,
) -> Result<Option<MergedPr>, RequestError> {
    let key = key(source, number);
    let stored = store.read(move |conn| store::settings::get(conn, &key)).await;
    let Some(stored) = stored.map_err(not_stored)? else {
        return Ok(None);
    };
    // The first version stored only the time, which says too little.
    Ok(serde_json::from_str(&stored).ok())
}

async fn record(
    store: &Store,
    source: &str,
    remembered: Option<MergedPr>,
    event: NewEvent,
) -> Result<(), RequestError> {
    let entry = remembered.map(|ours| {
        // Strings and numbers only: this cannot fail.
        (key(source, ours.number), serde_json::to_string(&ours).unwrap_or_default())
    });
    let write = store.write(move |conn| {
        if let Some((key, value)) = &entry {
            store::settings::set(conn, key, value)?;
        }
        store::events::append(conn, &event)
    });
    write.await.map_err(not_stored)?;
    Ok(())
}

fn event(at: Timestamp, message: String, by: Asker, done: bool) -> NewEvent {
    NewEvent {
        at,
        host: None,
        category: AuditCategory::PullRequest,
        message,
        by: Some(by.author),
        from: by.from,
        result: Some(if done { audit::DONE } else { audit::REFUSED }),
        command: None,
    }
}

fn not_read(_: actix::MailboxError) -> RequestError {
    RequestError::Unavailable("The remote is not being read.")
}

fn not_stored(error: StoreError) -> RequestError {
    log::error!("not stored: {error}");
    error.into()
}
