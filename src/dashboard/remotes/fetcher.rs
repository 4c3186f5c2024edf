//! Reads one remote: one answer, one fetch in flight, however many ask.
//!
//! The source blocks, so it lives on a thread of its own. This actor asks it again when
//! the answer is older than the TTL, and publishes what is new: a change, an error, a
//! recovery. What only was read again is not news.

use super::source::{self, Fetched, MergeError, Opening, Reverted, Source, SourceError};
use crate::dashboard::clock::Clock;
use crate::dashboard::live::Attention;
use crate::dashboard::live::news::WasRead;
use crate::dashboard::metrics;
use crate::domain::desired::{self, Desired, Remote};
use crate::domain::facts::Comparison;
use crate::domain::ids::Commit;
use actix::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often a remote is read when nobody looks and nothing runs.
const IDLE: Duration = Duration::from_secs(60);
/// How many comparisons of commits are kept. They never change.
const COMPARISONS: usize = 4096;

/// A remote says something new.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// The source's name.
    pub source: Arc<str>,
    /// What it says.
    pub desired: Arc<Desired>,
}

/// Fetch anew; answers what the remote says then. At most one fetch is in flight and one
/// waits, however many ask.
#[derive(Message)]
#[rtype(result = "Result<Arc<Desired>, ()>")]
pub struct Refresh;

/// How do these commits relate? Answers why not, if that cannot be told.
#[derive(Message)]
#[rtype(result = "Result<Comparison, String>")]
pub struct Compare {
    /// The host's commit.
    pub host: Commit,
    /// The remote's head.
    pub head: Commit,
}

/// Merge a pull request whose head is still the one that was looked at.
#[derive(Message)]
#[rtype(result = "Result<(), MergeError>")]
pub struct Merge {
    /// Its number.
    pub number: u64,
    /// The head that was looked at.
    pub head: String,
}

/// Open a pull request that takes a merged one back.
#[derive(Message)]
#[rtype(result = "Result<Reverted, MergeError>")]
pub struct Revert {
    /// The number of the merged one.
    pub number: u64,
}

#[derive(Message)]
#[rtype(result = "()")]
struct FetchEnded(Result<Fetched, SourceError>);

enum Job {
    Fetch,
    Compare(Compare, oneshot::Sender<Result<Comparison, String>>),
    Merge(Merge, oneshot::Sender<Result<(), MergeError>>),
    Revert(Revert, oneshot::Sender<Result<Reverted, MergeError>>),
}

/// What a fetcher works with.
pub struct Settings {
    /// The source's name.
    pub name: Arc<str>,
    /// The source.
    pub opening: Opening,
    /// How long an answer is used while somebody looks.
    pub ttl: Duration,
    /// Whether somebody does.
    pub attention: Attention,
    /// Who is told what is new.
    pub subscriber: Recipient<Publish>,
    /// Who is told when it was read.
    pub readings: Recipient<WasRead>,
    /// The time.
    pub clock: Clock,
}

/// The actor.
pub struct VersionFetcher {
    settings: Settings,
    desired: Arc<Desired>,
    jobs: Option<Sender<Job>>,
    in_flight: bool,
    /// When the last answer came.
    answered: Instant,
    /// Until when the remote wants to be left alone.
    not_before: Option<Instant>,
    /// How many fetches failed in a row.
    failures: u32,
    /// Who waits for the fetch in flight, and who for the one after it.
    waiting: Vec<oneshot::Sender<Arc<Desired>>>,
    next: Vec<oneshot::Sender<Arc<Desired>>>,
}

impl VersionFetcher {
    /// A fetcher; it begins when it is started.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            desired: Arc::new(Desired::NotYetFetched),
            jobs: None,
            in_flight: false,
            answered: Instant::now(),
            not_before: None,
            failures: 0,
            waiting: Vec::new(),
            next: Vec::new(),
        }
    }

    fn fetch(&mut self) {
        if !self.in_flight
            && let Some(jobs) = &self.jobs
        {
            self.in_flight = jobs.send(Job::Fetch).is_ok();
        }
    }

    fn publish(&self) {
        let source = Arc::clone(&self.settings.name);
        let desired = Arc::clone(&self.desired);
        self.settings.subscriber.do_send(Publish { source, desired });
    }

    /// How old an answer may become now. A remote that fails is asked less often, except
    /// while somebody waits for it to recover.
    fn pace(&self) -> Duration {
        let ttl = self.settings.ttl;
        if self.settings.attention.is_paid() {
            return ttl;
        }
        let backed_off = ttl.saturating_mul(1 << self.failures.min(6));
        if self.failures > 0 { backed_off.min(IDLE).max(ttl) } else { IDLE.max(ttl) }
    }

    fn look_at_age(&mut self) {
        let alone = self.not_before.is_some_and(|until| Instant::now() < until);
        // Looked at a little before its time, an answer would become twice as old.
        let slack = Duration::from_millis(100);
        if !alone && self.answered.elapsed() + slack >= self.pace() {
            self.fetch();
        }
    }

    fn ask<T: 'static>(
        &self,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
        gone: impl FnOnce() -> T + 'static,
    ) -> ResponseFuture<T> {
        let (tell, told) = oneshot::channel();
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job(tell)).is_ok());
        Box::pin(async move {
            match (sent, told.await) {
                (true, Ok(answer)) => answer,
                _ => gone(),
            }
        })
    }
}

/// The thread that owns the source. It ends when the actor is gone.
fn work(name: &str, mut source: Box<dyn Source>, jobs: &Receiver<Job>, to: &Addr<VersionFetcher>) {
    // However many hosts ask, a pair of commits is compared once.
    let mut compared: HashMap<(String, String), Comparison> = HashMap::new();
    while let Ok(job) = jobs.recv() {
        // Whoever asked may be gone in between.
        match job {
            Job::Fetch => {
                let began = Instant::now();
                let fetched = source.fetch();
                metrics::fetched(name, fetched.is_ok(), began.elapsed());
                to.do_send(FetchEnded(fetched));
            }
            Job::Compare(Compare { host, head }, answer) => {
                let pair = (host.as_str().to_owned(), head.as_str().to_owned());
                let known = compared.get(&pair).cloned().map(Ok);
                let comparison = known.unwrap_or_else(|| source.compare(&host, &head));
                if let Ok(comparison) = &comparison {
                    if compared.len() >= COMPARISONS {
                        compared.clear();
                    }
                    compared.insert(pair, comparison.clone());
                }
                let _ = answer.send(comparison.map_err(|e| e.to_string()));
            }
            Job::Merge(Merge { number, head }, answer) => {
                let _ = answer.send(source.merge(number, &head));
            }
            Job::Revert(Revert { number }, answer) => {
                let _ = answer.send(source.revert(number));
            }
        }
    }
}

impl Actor for VersionFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish();
        let source = source::open(&self.settings.opening);
        let (jobs, todo) = channel();
        let (to, name) = (ctx.address(), Arc::clone(&self.settings.name));
        let thread = thread::Builder::new().name("source".to_owned());
        match thread.spawn(move || work(&name, source, &todo, &to)) {
            Ok(_) => self.jobs = Some(jobs),
            Err(error) => log::error!("no thread to read the remote: {error}"),
        }
        self.fetch();
        ctx.run_interval(self.settings.ttl, |act, _| act.look_at_age());
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.jobs = None;
        Running::Stop
    }
}

impl Handler<FetchEnded> for VersionFetcher {
    type Result = ();

    fn handle(&mut self, msg: FetchEnded, _: &mut Self::Context) {
        let now = self.settings.clock.now();
        self.answered = Instant::now();
        self.not_before = None;
        let answer = msg.0.map(|fetched| Remote {
            source: self.settings.name.to_string(),
            branch: self.settings.opening.branch.clone(),
            commit: fetched.commit,
            lock: fetched.lock,
            subject: fetched.subject,
            committed_at: fetched.committed_at,
            fetched_at: now,
            pending_pr: fetched.pending_pr,
        });
        match &answer {
            Ok(_) => {
                self.failures = 0;
                let source = Arc::clone(&self.settings.name);
                self.settings.readings.do_send(WasRead { source, at: now });
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = error.retry_after.map(|wait| Instant::now() + wait);
                if self.desired.failure() != Some(error.reason.as_str()) {
                    log::warn!("{}: the remote could not be read: {error}", self.settings.name);
                }
            }
        }
        let (desired, news) = desired::learn(&self.desired, answer.map_err(|e| e.reason), now);
        self.desired = Arc::new(desired);
        if news {
            self.publish();
        }
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(Arc::clone(&self.desired));
        }
        self.in_flight = false;
        if !self.next.is_empty() {
            self.waiting = std::mem::take(&mut self.next);
            self.fetch();
        }
    }
}

impl Handler<Refresh> for VersionFetcher {
    type Result = ResponseFuture<Result<Arc<Desired>, ()>>;

    fn handle(&mut self, _: Refresh, _: &mut Self::Context) -> Self::Result {
        let alone = self.not_before.is_some_and(|until| Instant::now() < until);
        if self.jobs.is_none() || alone {
            // A remote that wants to be left alone is left alone, whoever asks.
            let desired = Arc::clone(&self.desired);
            return Box::pin(async { Ok(desired) });
        }
        let (tell, told) = oneshot::channel();
        if self.in_flight {
            // That one may have read the remote before whatever is waited for.
            self.next.push(tell);
        } else {
            self.waiting.push(tell);
            self.fetch();
        }
        Box::pin(async move { told.await.map_err(|_| ()) })
    }
}

fn not_read() -> String {
    "the remote is not being read".to_owned()
}

impl Handler<Compare> for VersionFetcher {
    type Result = ResponseFuture<Result<Comparison, String>>;

    fn handle(&mut self, msg: Compare, _: &mut Self::Context) -> Self::Result {
        self.ask(|tell| Job::Compare(msg, tell), || Err(not_read()))
    }
}

fn not_merged<T>() -> Result<T, MergeError> {
    Err(MergeError::Source(SourceError { reason: not_read(), retry_after: None }))
}

impl Handler<Merge> for VersionFetcher {
    type Result = ResponseFuture<Result<(), MergeError>>;

    fn handle(&mut self, msg: Merge, _: &mut Self::Context) -> Self::Result {
        self.ask(|tell| Job::Merge(msg, tell), not_merged)
    }
}

impl Handler<Revert> for VersionFetcher {
    type Result = ResponseFuture<Result<Reverted, MergeError>>;

    fn handle(&mut self, msg: Revert, _: &mut Self::Context) -> Self::Result {
        self.ask(|tell| Job::Revert(msg, tell), not_merged)
    }
}
