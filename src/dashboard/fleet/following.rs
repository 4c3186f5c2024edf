//! What concerns the remotes: who follows which, what is new, and pull requests.

use super::host::{FetchSoon, HostIsAt, News, WorkOutLineage};
use super::restore::merged_key;
use super::{Answer, FleetActor, not_stored};
use crate::dashboard::fleet::requests::{MergePullRequest, RefreshDesired, RevertPullRequest};
use crate::dashboard::live::news::DesiredChanged;
use crate::dashboard::remotes::Seats;
use crate::dashboard::remotes::fetcher::{Compare, Merge, Publish, Refresh, Revert};
use crate::dashboard::remotes::source::{MergeError, Reverted};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store;
use crate::domain::audit::AuditCategory;
use crate::domain::desired::MergedPr;
use crate::domain::generation;
use crate::domain::ids::{Commit, HostId};
use crate::domain::refusal::{Refusal, RefusalCode};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a host follows, and where it is.
pub(super) struct Following {
    /// Number of the source.
    pub(super) source: usize,
    /// Its checkout.
    commit: Option<Commit>,
    /// Its commit differs from the majority of those that follow the same source.
    pub(super) drifts: bool,
}

/// The sources, once their fetchers have started.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseSources(pub Seats);

impl Handler<UseSources> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: UseSources, _: &mut Self::Context) {
        self.seats = msg.0;
        self.tell_remotes();
        for (id, host) in &self.hosts {
            let source = self.following.get(id).map_or(0, |following| following.source);
            if let Some(seat) = self.seats.get(source) {
                host.do_send(News::Desired(Arc::clone(&seat.desired)));
            }
        }
    }
}

impl Handler<Publish> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: Publish, _: &mut Self::Context) {
        let Some(number) = self.seats.learn(&msg.source, Arc::clone(&msg.desired)) else {
            return;
        };
        self.tell_remotes();
        for (id, host) in &self.hosts {
            if self.following.get(id).map_or(0, |following| following.source) == number {
                host.do_send(News::Desired(Arc::clone(&msg.desired)));
            }
        }
    }
}

impl Handler<HostIsAt> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: HostIsAt, _: &mut Self::Context) {
        let source = self.seats.followed_by(&msg.repo_url, msg.branch.as_deref());
        let before = self.following.get(&msg.host);
        let drifts = before.is_some_and(|before| before.drifts);
        let followed = before.map_or(0, |before| before.source);
        if followed != source
            && let (Some(host), Some(seat)) = (self.hosts.get(&msg.host), self.seats.get(source))
        {
            host.do_send(News::Desired(Arc::clone(&seat.desired)));
        }
        self.following.insert(msg.host, Following { source, commit: msg.commit, drifts });
        self.tell_drift();
    }
}

impl FleetActor {
    /// Tells each host whose drift changed.
    pub(super) fn tell_drift(&mut self) {
        let mut by_source: BTreeMap<usize, BTreeMap<HostId, Commit>> = BTreeMap::new();
        for (id, following) in &self.following {
            if let Some(commit) = &following.commit {
                let same = by_source.entry(following.source).or_default();
                same.insert(id.clone(), commit.clone());
            }
        }
        let drifting: Vec<HostId> = by_source.values().flat_map(generation::drifting).collect();
        for (id, following) in &mut self.following {
            let now = drifting.contains(id);
            if now != std::mem::replace(&mut following.drifts, now)
                && let Some(host) = self.hosts.get(id)
            {
                host.do_send(News::Drift(now));
            }
        }
    }

    fn source_of(&self, host: &HostId) -> usize {
        self.following.get(host).map_or(0, |following| following.source)
    }
}

impl Handler<FetchSoon> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: FetchSoon, _: &mut Self::Context) {
        let seat = self.seats.get(self.source_of(&msg.0));
        if let Some(fetcher) = seat.and_then(|seat| seat.fetcher.as_ref()) {
            fetcher.do_send(Refresh);
        }
    }
}

impl Handler<WorkOutLineage> for FleetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, msg: WorkOutLineage, _: &mut Self::Context) -> Self::Result {
        let seat = self.seats.get(self.source_of(&msg.id));
        let Some(fetcher) = seat.and_then(|seat| seat.fetcher.clone()) else {
            return Box::pin(async {});
        };
        Box::pin(async move {
            let compare = Compare { host: msg.host.clone(), head: msg.head.clone() };
            let comparison = match fetcher.send(compare).await {
                Ok(Ok(comparison)) => Some(comparison),
                Ok(Err(reason)) => {
                    log::debug!("commits not compared: {reason}");
                    None
                }
                Err(_) => None,
            };
            msg.asked_by.do_send(News::Compared { host: msg.host, head: msg.head, comparison });
        })
    }
}

impl Handler<RefreshDesired> for FleetActor {
    type Result = Answer<crate::dashboard::live::model::Remotes>;

    fn handle(&mut self, msg: RefreshDesired, ctx: &mut Self::Context) -> Self::Result {
        let wanted = msg.0.as_ref().map(|host| self.source_of(host));
        let seats = self.seats.iter().enumerate();
        let seats = seats.filter(|(number, _)| wanted.is_none_or(|wanted| wanted == *number));
        let fetchers: Vec<_> = seats.filter_map(|(_, seat)| seat.fetcher.clone()).collect();
        let fleet = ctx.address();
        Box::pin(async move {
            let asked: Vec<_> = fetchers.iter().map(|fetcher| fetcher.send(Refresh)).collect();
            let unavailable = || RequestError::Unavailable("The remote is not being read.");
            for answer in asked {
                answer.await.map_err(|_| unavailable())?.map_err(|()| unavailable())?;
            }
            fleet.send(ReadRemotes).await.map_err(|_| unavailable())
        })
    }
}

#[derive(Message)]
#[rtype(result = "crate::dashboard::live::model::Remotes")]
struct ReadRemotes;

impl Handler<ReadRemotes> for FleetActor {
    type Result = crate::dashboard::live::model::Remotes;

    fn handle(&mut self, _: ReadRemotes, _: &mut Self::Context) -> Self::Result {
        self.seats.states(&self.merged)
    }
}

// ---- pull requests ----

fn refused(number: u64, error: &MergeError) -> RequestError {
    let code = match error {
        MergeError::Unsupported => RefusalCode::NotSupported,
        MergeError::AlreadyMerged => RefusalCode::AlreadyMerged,
        MergeError::Closed => RefusalCode::Closed,
        MergeError::Changed => RefusalCode::Changed,
        MergeError::NotMergeable => RefusalCode::NotMergeable,
        MergeError::NotMerged => RefusalCode::NotMerged,
        MergeError::Source(_) => RefusalCode::RemoteUnavailable,
    };
    RequestError::Refused(Refusal::new(code, format!("Pull request #{number}: {error}.")))
}

impl FleetActor {
    /// Tells everybody who reads what is known of the remotes.
    pub(super) fn tell_remotes(&self) {
        self.broadcaster.tell(DesiredChanged(self.seats.states(&self.merged)));
    }

    fn fetcher_named(
        &self,
        source: Option<&str>,
    ) -> Result<(Arc<str>, Addr<crate::dashboard::remotes::fetcher::VersionFetcher>), RequestError>
    {
        let seat = self.seats.named(source).ok_or_else(|| RequestError::Invalid {
            field: "source",
            expected: format!(
                "one of {}",
                self.seats.iter().map(|s| &*s.name).collect::<Vec<_>>().join(", ")
            ),
        })?;
        let fetcher = seat.fetcher.clone();
        let fetcher = fetcher.ok_or_else(|| refused(0, &MergeError::Unsupported))?;
        Ok((Arc::clone(&seat.name), fetcher))
    }
}

impl Handler<MergePullRequest> for FleetActor {
    type Result = Answer<()>;

    fn handle(&mut self, msg: MergePullRequest, ctx: &mut Self::Context) -> Self::Result {
        let found = self.fetcher_named(msg.source.as_deref());
        let (store, at, fleet) = (self.store.clone(), self.clock.now(), ctx.address());
        let pending = self.seats.named(msg.source.as_deref());
        let pending = pending.and_then(|seat| seat.desired.known()?.pending_pr.clone());
        Box::pin(async move {
            let (source, fetcher) = found?;
            let number = msg.number;
            let gone = |_| RequestError::Unavailable("The remote is not being read.");
            let title = pending.filter(|pr| pr.number == number).map(|pr| pr.title);
            let ours = MergedPr { number, title: title.unwrap_or_default(), at, reverted_by: None };
            let merge = Merge { number, head: msg.head };
            let merged = fetcher.send(merge).await.map_err(gone)?;
            let message = match &merged {
                Ok(()) => format!("Pull request #{number} of {source} was merged."),
                Err(error) => {
                    format!("Pull request #{number} of {source} was not merged: {error}.")
                }
            };
            let remembered = remember(&source, &ours);
            let done = merged.is_ok();
            let event = store::events::NewEvent {
                at,
                host: None,
                category: AuditCategory::PullRequest,
                message,
                by: Some(msg.by),
            };
            store
                .write(move |conn| {
                    if done {
                        store::settings::set(conn, &remembered.0, &remembered.1)?;
                    }
                    store::events::append(conn, &event)
                })
                .await
                .map_err(not_stored)?;
            merged.map_err(|error| refused(number, &error))?;
            fleet.do_send(WasMerged(source.to_string(), ours));
            // Lock turns yellow everywhere, at once.
            let _ = fetcher.send(Refresh).await;
            Ok(())
        })
    }
}

impl Handler<RevertPullRequest> for FleetActor {
    type Result = Answer<Reverted>;

    fn handle(&mut self, msg: RevertPullRequest, ctx: &mut Self::Context) -> Self::Result {
        let found = self.fetcher_named(msg.source.as_deref());
        let (store, at, fleet) = (self.store.clone(), self.clock.now(), ctx.address());
        Box::pin(async move {
            let (source, fetcher) = found?;
            let number = msg.number;
            let key = merged_key(&source, number);
            let ours = store.read(move |conn| store::settings::get(conn, &key)).await;
            let Some(ours) = ours.map_err(not_stored)? else {
                let message = format!("Pull request #{number} was not merged from here.");
                return Err(RequestError::Refused(Refusal::new(RefusalCode::NotMerged, message)));
            };
            let gone = |_| RequestError::Unavailable("The remote is not being read.");
            let reverted = fetcher.send(Revert { number }).await.map_err(gone)?;
            let message = match &reverted {
                Ok(made) => {
                    format!("Pull request #{} takes #{number} of {source} back.", made.number)
                }
                Err(error) => {
                    format!("Pull request #{number} of {source} was not reverted: {error}.")
                }
            };
            let event = store::events::NewEvent {
                at,
                host: None,
                category: AuditCategory::PullRequest,
                message,
                by: Some(msg.by),
            };
            let ours = serde_json::from_str::<MergedPr>(&ours).ok();
            let made = reverted.as_ref().ok().map(|made| made.number);
            let ours = ours.filter(|_| made.is_some());
            let ours = ours.map(|ours| MergedPr { reverted_by: made, ..ours });
            let remembered = ours.as_ref().map(|ours| remember(&source, ours));
            let write = store.write(move |conn| {
                if let Some((key, value)) = &remembered {
                    store::settings::set(conn, key, value)?;
                }
                store::events::append(conn, &event)
            });
            write.await.map_err(not_stored)?;
            if let Some(ours) = ours {
                fleet.do_send(WasMerged(source.to_string(), ours));
            }
            reverted.map_err(|error| refused(number, &error))
        })
    }
}

/// The entry that a merge from here is remembered by.
fn remember(source: &str, ours: &MergedPr) -> (String, String) {
    // Strings and numbers only: this cannot fail.
    (merged_key(source, ours.number), serde_json::to_string(ours).unwrap_or_default())
}

/// A pull request was merged from here, or one that was is being taken back.
#[derive(Message)]
#[rtype(result = "()")]
struct WasMerged(String, MergedPr);

impl Handler<WasMerged> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: WasMerged, _: &mut Self::Context) {
        if self.merged.get(&msg.0).is_none_or(|known| known.at <= msg.1.at) {
            self.merged.insert(msg.0, msg.1);
        }
        self.tell_remotes();
    }
}
