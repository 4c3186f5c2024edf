//! Which host follows which remote. It is known here because only the fleet can reach hosts; which
//! remote a repository means is `Seats`' to say, and what is done to a pull request is in
//! `remotes/pull_requests.rs`.

use super::host::{FetchSoon, HostIsAt, News, WorkOutLineage};
use super::{Answer, FleetActor};
use crate::dashboard::fleet::requests::{MergePullRequest, RefreshDesired, RevertPullRequest};
use crate::dashboard::live::news::DesiredChanged;
use crate::dashboard::remotes::Seats;
use crate::dashboard::remotes::pull_requests::{self, Target};
use crate::dashboard::remotes::requests::{Compare, Publish, Refresh};
use crate::dashboard::remotes::source::{MergeError, Reverted};
use crate::dashboard::request_error::RequestError;
use crate::domain::desired::MergedPr;
use crate::domain::generation;
use crate::domain::ids::{Commit, HostId};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often the readers of the remotes are looked after.
const LOOK_AFTER_EVERY: Duration = Duration::from_secs(1);
/// How long hosts may gather that are somewhere else now, until drift is worked out anew.
const DRIFT_AFTER: Duration = Duration::from_millis(200);

/// What a host follows, and where it is.
pub(super) struct Following {
    /// Number of the source.
    pub(super) source: usize,
    /// The commit that runs, where that is known.
    commit: Option<Commit>,
    /// It runs another commit than most of those that follow the same source.
    pub(super) drifts: bool,
}

/// The sources, once their fetchers have started.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct UseSources(pub Seats);

impl Handler<UseSources> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: UseSources, ctx: &mut Self::Context) {
        self.seats = msg.0;
        ctx.run_interval(LOOK_AFTER_EVERY, |act, _| act.seats.look_after());
        self.tell_remotes();
        self.untold.extend(self.hosts.keys().cloned());
        self.tell_again();
    }
}

impl Handler<Publish> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: Publish, _: &mut Self::Context) {
        let Some(number) = self.seats.learn(&msg.source, Arc::clone(&msg.desired)) else {
            return;
        };
        self.tell_remotes();
        let ids = self.hosts.keys().filter(|id| self.source_of(id) == number);
        let follow: Vec<HostId> = ids.cloned().collect();
        for id in follow {
            self.tell_host(&id, News::Desired(Arc::clone(&msg.desired)));
        }
        // Where several commits are as frequent, the head decides who drifts.
        self.tell_drift();
    }
}

impl Handler<HostIsAt> for FleetActor {
    type Result = ();

    fn handle(&mut self, msg: HostIsAt, ctx: &mut Self::Context) {
        let source = self.seats.followed_by(&msg.repo_url, msg.branch.as_deref());
        let before = self.following.get(&msg.host);
        let drifts = before.is_some_and(|before| before.drifts);
        let followed = before.map_or(0, |before| before.source);
        if followed != source
            && let Some(seat) = self.seats.get(source)
        {
            let desired = Arc::clone(&seat.desired);
            self.tell_host(&msg.host, News::Desired(desired));
        }
        self.following.insert(msg.host, Following { source, commit: msg.commit, drifts });
        self.tell_drift_soon(ctx);
    }
}

impl FleetActor {
    /// Tells each host whose drift changed, in a moment: a fleet that comes back after a restart
    /// moves one host at a time, and the majority is worked out from all of them.
    fn tell_drift_soon(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.drift_is_due, true) {
            return;
        }
        ctx.run_later(DRIFT_AFTER, |act, _| {
            act.drift_is_due = false;
            act.tell_drift();
        });
    }

    /// Tells each host whose drift changed.
    pub(super) fn tell_drift(&mut self) {
        let mut by_source: BTreeMap<usize, BTreeMap<HostId, Commit>> = BTreeMap::new();
        for (id, following) in &self.following {
            if let Some(commit) = &following.commit {
                let same = by_source.entry(following.source).or_default();
                same.insert(id.clone(), commit.clone());
            }
        }
        let desired = |source: usize| Some(self.seats.get(source)?.desired.known()?.commit.clone());
        let drifting: BTreeSet<HostId> = by_source
            .iter()
            .flat_map(|(source, deployed)| {
                generation::drifting(deployed, desired(*source).as_ref())
            })
            .collect();
        let mut news = Vec::new();
        for (id, following) in &mut self.following {
            let now = drifting.contains(id);
            if now != std::mem::replace(&mut following.drifts, now) {
                news.push((id.clone(), now));
            }
        }
        for (id, drifts) in news {
            self.tell_host(&id, News::Drift(drifts));
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
            // A fetcher whose queue is full reads the remote in a moment anyway.
            if fetcher.try_send(Refresh).is_err() {
                log::debug!("a remote is asked for already");
            }
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
            let (by, host, head) = (msg.id, msg.host.clone(), msg.head.clone());
            let compare = Compare { by, host, head };
            let comparison = match fetcher.send(compare).await {
                Ok(Ok(comparison)) => Some(comparison),
                Ok(Err(reason)) => {
                    log::debug!("commits not compared: {reason}");
                    None
                }
                Err(_) => None,
            };
            // Past the queue's bound: a host waits for one comparison at a time.
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

impl FleetActor {
    /// Tells everybody who reads what is known of the remotes.
    pub(super) fn tell_remotes(&self) {
        self.broadcaster.tell(DesiredChanged(self.seats.states(&self.merged)));
    }

    /// The remote that an order about a pull request goes to; without a name the default.
    fn target(&self, source: Option<&str>, number: u64) -> Result<Target, RequestError> {
        let Some(seat) = self.seats.named(source) else {
            let names: Vec<&str> = self.seats.iter().map(|seat| &*seat.name).collect();
            let expected = format!("one of {}", names.join(", "));
            return Err(RequestError::Invalid { field: "source", expected });
        };
        let Some(fetcher) = seat.fetcher.clone() else {
            return Err(pull_requests::refused(number, &MergeError::Unsupported));
        };
        Ok(Target { source: Arc::clone(&seat.name), fetcher })
    }

    /// The title of a pull request that waits to be merged.
    fn title_of(&self, source: Option<&str>, number: u64) -> Option<String> {
        let pending = self.seats.named(source)?.desired.known()?.pending_pr.as_ref()?;
        if pending.number == number { Some(pending.title.clone()) } else { None }
    }
}

impl Handler<MergePullRequest> for FleetActor {
    type Result = Answer<()>;

    fn handle(&mut self, msg: MergePullRequest, ctx: &mut Self::Context) -> Self::Result {
        let MergePullRequest { source, number, head, by } = msg;
        let target = self.target(source.as_deref(), number);
        let title = self.title_of(source.as_deref(), number).unwrap_or_default();
        let order = pull_requests::Order { number, by, at: self.clock.now() };
        let (store, fleet) = (self.store.clone(), ctx.address());
        Box::pin(async move {
            let target = target?;
            let ours = pull_requests::merge(&store, &target, order, head, title).await?;
            // Past the queue's bound: one for each click that merged or reverted.
            fleet.do_send(WasMerged(target.source.to_string(), ours));
            // Lock turns yellow everywhere, at once.
            let _ = target.fetcher.send(Refresh).await;
            Ok(())
        })
    }
}

impl Handler<RevertPullRequest> for FleetActor {
    type Result = Answer<Reverted>;

    fn handle(&mut self, msg: RevertPullRequest, ctx: &mut Self::Context) -> Self::Result {
        let RevertPullRequest { source, number, by } = msg;
        let target = self.target(source.as_deref(), number);
        let order = pull_requests::Order { number, by, at: self.clock.now() };
        let (store, fleet) = (self.store.clone(), ctx.address());
        Box::pin(async move {
            let target = target?;
            let (reverted, ours) = pull_requests::revert(&store, &target, order).await?;
            // Past the queue's bound: one for each click that merged or reverted.
            fleet.do_send(WasMerged(target.source.to_string(), ours));
            Ok(reverted)
        })
    }
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
