//! Reads one remote: one answer, one fetch in flight, however many ask.
//!
//! The source blocks, so it lives on a thread of its own, and has one job at a time: what users
//! ask first, then a fetch, then comparisons. This actor asks it again when the answer is older
//! than the TTL, and publishes what is new: a change, an error, a recovery. What only was read
//! again is not news. A source that does not answer in its time is not available, whatever its
//! thread is doing; the thread is replaced.

use super::comparisons::{Comparisons, Pair};
use super::requests::{Compare, Merge, Publish, Refresh, Revert};
use super::source::{Allowance, Fetched, MergeError, Reverted, SourceError};
use super::worker::{Job, Opener, Tell, Threads, Worker};
use crate::dashboard::clock::Clock;
use crate::dashboard::live::Attention;
use crate::dashboard::live::news::WasRead;
use crate::dashboard::metrics;
use crate::domain::desired::{self, Desired, Remote};
use crate::domain::facts::Comparison;
use crate::domain::forge::Forge;
use actix::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often a remote is read when nobody looks and nothing runs.
const IDLE: Duration = Duration::from_secs(60);
/// How often it is looked whether something is due, if the TTL is not shorter.
const TICK: Duration = Duration::from_secs(1);
/// So many merges and reverts may wait. More are refused.
const ORDERS: usize = 16;

/// How long a source may take for a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a fetch while it is not known what the remote says: nothing can be stale then, and the
    /// first one may bring a whole history.
    pub first: Duration,
    /// For any other job.
    pub later: Duration,
}

/// What a fetcher works with.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The source's name.
    pub name: Arc<str>,
    /// The branch that it reads.
    pub branch: String,
    /// Where its forge has pages of it.
    pub forge: Option<Forge>,
    /// Opens the source.
    pub open: Opener,
    /// How long it may take.
    pub limits: Limits,
    /// How long a host waits after it named a commit that the remote does not know.
    pub unknown_pause: Duration,
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

/// What users ask of a remote; `tell` learns how it went.
enum Order {
    Merge(Merge, oneshot::Sender<Result<(), MergeError>>),
    Revert(Revert, oneshot::Sender<Result<Reverted, MergeError>>),
}

/// The actor.
pub(crate) struct VersionFetcher {
    settings: Settings,
    desired: Arc<Desired>,
    worker: Option<Worker>,
    threads: Threads,
    /// A job is with the worker.
    is_busy: bool,
    /// That job is a fetch.
    is_fetching: bool,
    // What is to be done.
    orders: VecDeque<Order>,
    fetch_wanted: bool,
    comparisons: Comparisons,
    /// When the last answer came.
    answered: Instant,
    /// Until when the remote wants to be left alone.
    not_before: Option<Instant>,
    /// Until when nothing is to be compared.
    no_comparing_before: Option<Instant>,
    /// What its rate limit allows.
    allowance: Option<Allowance>,
    /// How many fetches failed in a row.
    failures: u32,
    /// Who waits for the fetch in flight, and who for the one after it.
    waiting: Vec<oneshot::Sender<Arc<Desired>>>,
    next: Vec<oneshot::Sender<Arc<Desired>>>,
}

impl VersionFetcher {
    /// A fetcher; it begins when it is started. `desired` is what is known so far.
    pub(crate) fn new(settings: Settings, desired: Arc<Desired>) -> Self {
        let comparisons = Comparisons::new(settings.unknown_pause);
        Self {
            settings,
            desired,
            worker: None,
            threads: Threads::default(),
            is_busy: false,
            is_fetching: false,
            orders: VecDeque::new(),
            fetch_wanted: false,
            comparisons,
            answered: Instant::now(),
            not_before: None,
            no_comparing_before: None,
            allowance: None,
            failures: 0,
            waiting: Vec::new(),
            next: Vec::new(),
        }
    }

    fn publish(&self) {
        let source = Arc::clone(&self.settings.name);
        let desired = Arc::clone(&self.desired);
        // Past the queue's bound: a fetch ends before the next begins, and only news is told.
        self.settings.subscriber.do_send(Publish { source, desired });
    }

    /// How old an answer may become now. A remote that fails is asked less often, except
    /// while somebody waits for it to recover.
    fn pace(&self) -> Duration {
        let pause = self.allowance.map_or(Duration::ZERO, |known| known.pause(Instant::now()));
        let ttl = self.settings.ttl.max(pause);
        if self.settings.attention.is_paid() {
            return ttl;
        }
        let backed_off = ttl.saturating_mul(1 << self.failures.min(6));
        if self.failures > 0 { backed_off.min(IDLE).max(ttl) } else { IDLE.max(ttl) }
    }

    /// The remote wants to be left alone: that counts for everybody.
    fn is_left_alone(&self) -> bool {
        self.not_before.is_some_and(|until| Instant::now() < until)
    }

    fn look_at_age(&mut self, ctx: &mut Context<Self>) {
        // Looked at a little before its time, an answer would become twice as old.
        let slack = Duration::from_millis(100);
        let is_old = self.answered.elapsed() + slack >= self.pace();
        if is_old && !self.is_left_alone() && !self.is_fetching {
            self.fetch_wanted = true;
        }
        self.go_on(ctx);
    }

    /// Begins what is to be done next, if nothing is being done.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.is_busy {
            return;
        }
        if let Some(order) = self.orders.pop_front() {
            self.begin_order(order, ctx);
            return;
        }
        if self.fetch_wanted {
            self.begin_fetch(ctx);
            return;
        }
        let now = Instant::now();
        if !self.may_compare(now) {
            return;
        }
        if let Some(pair) = self.comparisons.next(now) {
            self.begin_comparison(pair, ctx);
        }
    }

    fn may_compare(&self, now: Instant) -> bool {
        let is_refused = self.no_comparing_before.is_some_and(|until| now < until);
        let is_scarce = self.allowance.is_some_and(|known| !known.allows_comparing(now));
        !self.is_left_alone() && !is_refused && !is_scarce
    }

    /// Hands a job to the worker and waits for the answer, but not for ever. `then` gets it, or
    /// why there is none.
    fn begin<T: 'static>(
        &mut self,
        limit: Duration,
        job: impl FnOnce(Tell<T>) -> Job,
        then: impl FnOnce(&mut Self, Result<T, SourceError>) + 'static,
        ctx: &mut Context<Self>,
    ) {
        let (tell, told) = oneshot::channel();
        let handed_over = self.worker().map(|worker| worker.ask(job(tell), limit));
        let answer = async move {
            handed_over?;
            match actix_rt::time::timeout(limit, told).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => Err(SourceError::new(PANICKED.to_owned())),
                Err(_) => Err(no_answer_within(limit)),
            }
        };
        self.is_busy = true;
        ctx.spawn(answer.into_actor(self).map(move |answer, act, ctx| {
            act.is_busy = false;
            if let Err(error) = &answer {
                log::error!("{}: its thread is replaced: {error}", act.settings.name);
                act.worker = None;
            }
            let answer = answer.map(|told| {
                act.allowance = told.allowance;
                told.answer
            });
            then(act, answer);
            act.go_on(ctx);
        }));
    }

    fn worker(&mut self) -> Result<&Worker, SourceError> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(Arc::clone(&self.settings.open), &self.threads)
                .map_err(|error| SourceError::new(format!("no thread to read it: {error}")))?,
        };
        Ok(self.worker.insert(worker))
    }

    fn begin_fetch(&mut self, ctx: &mut Context<Self>) {
        self.fetch_wanted = false;
        self.is_fetching = true;
        let is_known = self.desired.known().is_some();
        let limits = self.settings.limits;
        let limit = if is_known { limits.later } else { limits.first };
        let began = Instant::now();
        let ended = move |act: &mut Self, answer: Result<_, SourceError>| {
            let fetched = answer.and_then(|fetched| fetched);
            metrics::fetched(&act.settings.name, fetched.is_ok(), began.elapsed());
            act.learn(fetched);
        };
        self.begin(limit, Job::Fetch, ended, ctx);
    }

    fn begin_comparison(&mut self, pair: Pair, ctx: &mut Context<Self>) {
        let (host, head) = (pair.host.clone(), pair.head.clone());
        let job = |tell| Job::Compare { host, head, tell };
        let ended = move |act: &mut Self, answer: Result<_, SourceError>| {
            match answer.and_then(|comparison| comparison) {
                Ok(comparison) => act.comparisons.compared(&pair, comparison, Instant::now()),
                // Asked again when the remote lets us: nobody has to ask for it anew. Whether it
                // can be read at all is for the next fetch to say, so that no row stays green.
                Err(SourceError { retry_after: Some(wait), .. }) => {
                    act.no_comparing_before = Some(Instant::now() + wait);
                    act.fetch_wanted = true;
                }
                Err(error) => {
                    log::debug!("commits not compared: {error}");
                    act.comparisons.failed(&pair, &error.reason);
                }
            }
        };
        self.begin(self.settings.limits.later, job, ended, ctx);
    }

    fn begin_order(&mut self, order: Order, ctx: &mut Context<Self>) {
        let limit = self.settings.limits.later;
        match order {
            Order::Merge(Merge { number, head }, asker) => {
                let job = |tell| Job::Merge { number, head, tell };
                self.begin(limit, job, |_, answer| tell_asker(asker, answer), ctx);
            }
            Order::Revert(Revert { number }, asker) => {
                let job = |tell| Job::Revert { number, tell };
                self.begin(limit, job, |_, answer| tell_asker(asker, answer), ctx);
            }
        }
    }

    /// Takes over what a fetch brought, and tells everybody who waits for it.
    fn learn(&mut self, fetched: Result<Fetched, SourceError>) {
        let now = self.settings.clock.now();
        self.is_fetching = false;
        self.answered = Instant::now();
        self.not_before = None;
        let answer = fetched.map(|fetched| Remote {
            source: self.settings.name.to_string(),
            branch: self.settings.branch.clone(),
            commit: fetched.commit,
            lock: fetched.lock,
            subject: fetched.subject,
            committed_at: fetched.committed_at,
            fetched_at: now,
            pending_pr: fetched.pending_pr,
            pending_details: fetched.pending_details,
            hosts: fetched.hosts,
            forge: self.settings.forge.clone(),
        });
        match &answer {
            Ok(_) => {
                self.failures = 0;
                let source = Arc::clone(&self.settings.name);
                if self.settings.readings.try_send(WasRead { source, at: now }).is_err() {
                    log::debug!("nobody has room for when a remote was read");
                }
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
            // Whoever waited may be gone in between.
            let _ = waiting.send(Arc::clone(&self.desired));
        }
        if !self.next.is_empty() {
            self.waiting = std::mem::take(&mut self.next);
            self.fetch_wanted = true;
        }
    }

    fn take_order<T: 'static>(
        &mut self,
        order: impl FnOnce(oneshot::Sender<Result<T, MergeError>>) -> Order,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<Result<T, MergeError>> {
        let (tell, told) = oneshot::channel();
        if self.orders.len() < ORDERS {
            self.orders.push_back(order(tell));
            self.go_on(ctx);
        } else {
            let full = SourceError::new("too many requests wait for it already".to_owned());
            return Box::pin(async { Err(MergeError::Source(full)) });
        }
        Box::pin(async move {
            match told.await {
                Ok(answer) => answer,
                Err(_) => Err(MergeError::Source(SourceError::new(NOT_READ.to_owned()))),
            }
        })
    }
}

/// What users are told of a thread that panicked.
const PANICKED: &str = "reading it failed inside the dashboard: that is a bug, its log says where";
/// What users are told when nobody reads the remote.
const NOT_READ: &str = "the remote is not being read";

fn no_answer_within(limit: Duration) -> SourceError {
    SourceError::new(format!("no answer within {} s", limit.as_secs()))
}

fn tell_asker<T>(
    asker: oneshot::Sender<Result<T, MergeError>>,
    answer: Result<Result<T, MergeError>, SourceError>,
) {
    let answer = match answer {
        Ok(answer) => answer,
        // The remote may have been faster than its answer.
        Err(error) => Err(MergeError::Source(SourceError::new(format!(
            "{error}; look there whether it was done all the same"
        )))),
    };
    // Whoever asked may be gone in between.
    let _ = asker.send(answer);
}

impl Actor for VersionFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish();
        self.fetch_wanted = true;
        self.go_on(ctx);
        let tick = self.settings.ttl.min(TICK);
        ctx.run_interval(tick, |act, ctx| act.look_at_age(ctx));
    }
}

impl Handler<Refresh> for VersionFetcher {
    type Result = ResponseFuture<Result<Arc<Desired>, ()>>;

    fn handle(&mut self, _: Refresh, ctx: &mut Self::Context) -> Self::Result {
        if self.is_left_alone() {
            let desired = Arc::clone(&self.desired);
            return Box::pin(async { Ok(desired) });
        }
        let (tell, told) = oneshot::channel();
        if self.is_fetching {
            // That one may have read the remote before whatever is waited for.
            self.next.push(tell);
        } else {
            self.waiting.push(tell);
            self.fetch_wanted = true;
            self.go_on(ctx);
        }
        Box::pin(async move { told.await.map_err(|_| ()) })
    }
}

impl Handler<Compare> for VersionFetcher {
    type Result = ResponseFuture<Result<Comparison, String>>;

    fn handle(&mut self, msg: Compare, ctx: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        let pair = Pair { host: msg.host, head: msg.head };
        self.comparisons.ask(msg.by, pair, tell, Instant::now());
        self.go_on(ctx);
        Box::pin(async move {
            match told.await {
                Ok(answer) => answer,
                Err(_) => Err("nobody waits for it any more".to_owned()),
            }
        })
    }
}

impl Handler<Merge> for VersionFetcher {
    type Result = ResponseFuture<Result<(), MergeError>>;

    fn handle(&mut self, msg: Merge, ctx: &mut Self::Context) -> Self::Result {
        self.take_order(|tell| Order::Merge(msg, tell), ctx)
    }
}

impl Handler<Revert> for VersionFetcher {
    type Result = ResponseFuture<Result<Reverted, MergeError>>;

    fn handle(&mut self, msg: Revert, ctx: &mut Self::Context) -> Self::Result {
        self.take_order(|tell| Order::Revert(msg, tell), ctx)
    }
}

/// Makes the actor fail, to see that it is started again.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Panic;

#[cfg(test)]
impl Handler<Panic> for VersionFetcher {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test wants the fetcher to fail");
    }
}
