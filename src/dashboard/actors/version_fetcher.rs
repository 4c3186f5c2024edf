//! Reads the remote: one answer, one fetch in flight, however many ask.
//!
//! The source blocks, so it lives on a thread of its own. This actor asks it again when
//! the answer is older than the TTL, and publishes what is new: a change, an error, a
//! recovery. What only was read again is not news.

use crate::cli::SourceSetting;
use crate::dashboard::clock::Clock;
use crate::dashboard::sources::{self, Fetched, Source, SourceError};
use crate::domain::desired::{self, Desired, Remote};
use crate::domain::facts::Relation;
use crate::domain::ids::Commit;
use actix::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// The remote says something new.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Publish(pub Arc<Desired>);

/// Fetch anew; answers what the remote says then. At most one fetch is in flight and one
/// waits, however many ask.
#[derive(Message)]
#[rtype(result = "Result<Arc<Desired>, ()>")]
pub struct Refresh;

/// What the remote said last, with the time of the last reading.
#[derive(Message)]
#[rtype(result = "Arc<Desired>")]
pub struct Current;

/// How do these commits relate? Answers why not, if that cannot be told.
#[derive(Message)]
#[rtype(result = "Result<Relation, String>")]
pub struct Compare {
    /// The host's commit.
    pub host: Commit,
    /// The remote's head.
    pub head: Commit,
}

#[derive(Message)]
#[rtype(result = "()")]
struct FetchEnded(Result<Fetched, SourceError>);

enum Job {
    Fetch,
    Compare(Compare, oneshot::Sender<Result<Relation, String>>),
}

/// What the fetcher works with.
pub struct Settings {
    /// Where desired state comes from.
    pub source: Option<SourceSetting>,
    /// The branch.
    pub branch: String,
    /// How long an answer is used.
    pub ttl: Duration,
    /// Caches live below it.
    pub data_dir: PathBuf,
    /// Who is told.
    pub subscriber: Recipient<Publish>,
    /// The time.
    pub clock: Clock,
}

/// The actor.
pub struct VersionFetcher {
    settings: Settings,
    desired: Arc<Desired>,
    jobs: Option<Sender<Job>>,
    in_flight: bool,
    /// Who waits for the fetch in flight, and who for the one after it.
    waiting: Vec<oneshot::Sender<Arc<Desired>>>,
    next: Vec<oneshot::Sender<Arc<Desired>>>,
    timer: Option<SpawnHandle>,
}

impl VersionFetcher {
    /// A fetcher; it begins when it is started.
    pub fn new(settings: Settings) -> Self {
        let desired = match settings.source {
            Some(_) => Desired::NotYetFetched,
            None => Desired::NotConfigured { setting: "NIXFLEET_SOURCE".to_owned() },
        };
        Self {
            settings,
            desired: Arc::new(desired),
            jobs: None,
            in_flight: false,
            waiting: Vec::new(),
            next: Vec::new(),
            timer: None,
        }
    }

    fn fetch(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if !self.in_flight
            && let Some(jobs) = &self.jobs
        {
            self.in_flight = jobs.send(Job::Fetch).is_ok();
        }
    }

    fn publish(&self) {
        self.settings.subscriber.do_send(Publish(Arc::clone(&self.desired)));
    }
}

/// The thread that owns the source. It ends when the actor is gone.
fn work(
    mut source: Box<dyn Source>,
    jobs: &std::sync::mpsc::Receiver<Job>,
    to: &Addr<VersionFetcher>,
) {
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Fetch => to.do_send(FetchEnded(source.fetch())),
            Job::Compare(Compare { host, head }, answer) => {
                let relation = source.relation(&host, &head).map_err(|e| e.to_string());
                // The host may have been removed in between.
                let _ = answer.send(relation);
            }
        }
    }
}

impl Actor for VersionFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish();
        let Some(setting) = &self.settings.source else {
            return;
        };
        let source = sources::open(setting, &self.settings.branch, &self.settings.data_dir);
        let (jobs, todo) = channel();
        let to = ctx.address();
        let thread = thread::Builder::new().name("source".to_owned());
        match thread.spawn(move || work(source, &todo, &to)) {
            Ok(_) => self.jobs = Some(jobs),
            Err(error) => log::error!("no thread to read the remote: {error}"),
        }
        self.fetch(ctx);
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.jobs = None;
        Running::Stop
    }
}

impl Handler<FetchEnded> for VersionFetcher {
    type Result = ();

    fn handle(&mut self, msg: FetchEnded, ctx: &mut Self::Context) {
        let now = self.settings.clock.now();
        let answer = msg.0.map(|fetched| Remote {
            branch: self.settings.branch.clone(),
            commit: fetched.commit,
            lock: fetched.lock,
            subject: fetched.subject,
            committed_at: fetched.committed_at,
            fetched_at: now,
            pending_pr: None,
        });
        if let Err(error) = &answer
            && self.desired.failure() != Some(error.0.as_str())
        {
            log::warn!("the remote could not be read: {error}");
        }
        let (desired, news) = desired::learn(&self.desired, answer.map_err(|e| e.0), now);
        self.desired = Arc::new(desired);
        if news {
            self.publish();
        }
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(Arc::clone(&self.desired));
        }
        self.in_flight = false;
        if self.next.is_empty() {
            self.timer = Some(ctx.run_later(self.settings.ttl, |act, ctx| {
                act.timer = None;
                act.fetch(ctx);
            }));
        } else {
            self.waiting = std::mem::take(&mut self.next);
            self.fetch(ctx);
        }
    }
}

impl Handler<Refresh> for VersionFetcher {
    type Result = ResponseFuture<Result<Arc<Desired>, ()>>;

    fn handle(&mut self, _: Refresh, ctx: &mut Self::Context) -> Self::Result {
        if self.jobs.is_none() {
            let desired = Arc::clone(&self.desired);
            return Box::pin(async { Ok(desired) });
        }
        let (tell, told) = oneshot::channel();
        if self.in_flight {
            // That one may have read the remote before whatever is waited for.
            self.next.push(tell);
        } else {
            self.waiting.push(tell);
            self.fetch(ctx);
        }
        Box::pin(async move { told.await.map_err(|_| ()) })
    }
}

impl Handler<Current> for VersionFetcher {
    type Result = Arc<Desired>;

    fn handle(&mut self, _: Current, _: &mut Self::Context) -> Self::Result {
        Arc::clone(&self.desired)
    }
}

impl Handler<Compare> for VersionFetcher {
    type Result = ResponseFuture<Result<Relation, String>>;

    fn handle(&mut self, msg: Compare, _: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        let sent =
            self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job::Compare(msg, tell)).is_ok());
        Box::pin(async move {
            let gone = || "the remote is not being read".to_owned();
            if !sent {
                return Err(gone());
            }
            told.await.map_err(|_| gone())?
        })
    }
}
