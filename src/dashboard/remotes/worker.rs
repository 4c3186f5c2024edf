//! The thread that a source lives on.
//!
//! A source blocks, and nobody can end a thread from outside. So the one who asks has a time limit
//! of his own: a thread that does not answer in time, or panics, is given up and another one takes
//! its place. Whatever it says later goes to nobody.

use super::source::{Allowance, Fetched, MergeError, Patience, Reverted, Source, SourceError};
use crate::domain::facts::Comparison;
use crate::domain::ids::Commit;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// So many threads of one source may be there. More are given up only when something hangs that
/// no time limit reaches, such as a file system.
const THREADS: usize = 4;

/// Opens a source; asks it nothing yet.
pub(crate) type Opener = Arc<dyn Fn() -> Box<dyn Source> + Send + Sync>;

/// An answer, and what the rate limit allows after it.
pub(super) struct Told<T> {
    pub(super) answer: T,
    pub(super) allowance: Option<Allowance>,
}

/// Who is told.
pub(super) type Tell<T> = oneshot::Sender<Told<T>>;

/// What a source is asked, and who is told.
pub(super) enum Job {
    Fetch(Tell<Result<Fetched, SourceError>>),
    Compare { host: Commit, head: Commit, tell: Tell<Result<Option<Comparison>, SourceError>> },
    Merge { number: u64, head: String, tell: Tell<Result<(), MergeError>> },
    Revert { number: u64, tell: Tell<Result<Reverted, MergeError>> },
}

/// How many threads of a source there are, those that were given up among them.
#[derive(Clone, Default)]
pub(super) struct Threads(Arc<AtomicUsize>);

/// One thread more, for as long as it lives.
struct Counted(Threads);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Threads {
    fn one_more(&self) -> Option<Counted> {
        let others = self.0.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(self.clone());
        if others < THREADS { Some(counted) } else { None }
    }
}

/// A source on its thread. Dropped, it is given up: what it still does ends as soon as it can.
pub(super) struct Worker {
    jobs: Sender<(Job, Patience)>,
    is_given_up: Arc<AtomicBool>,
}

impl Worker {
    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// The system has no thread for it, or too many of this source hang.
    pub(super) fn start(open: Opener, threads: &Threads) -> io::Result<Self> {
        let hanging = || io::Error::other(format!("{THREADS} earlier reads of it still hang"));
        let counted = threads.one_more().ok_or_else(hanging)?;
        let (jobs, todo) = channel();
        let is_given_up = Arc::new(AtomicBool::new(false));
        thread::Builder::new().name("source".to_owned()).spawn(move || {
            let _counted = counted;
            work(&open, &todo);
        })?;
        Ok(Self { jobs, is_given_up })
    }

    /// Hands a job over. If the thread is gone, whoever waits for the answer learns it.
    pub(super) fn ask(&self, job: Job, limit: Duration) {
        let patience = Patience::new(limit, Arc::clone(&self.is_given_up));
        // The job comes back as an error and is dropped: that tells the one who waits.
        let _ = self.jobs.send((job, patience));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }
}

fn work(open: &Opener, jobs: &Receiver<(Job, Patience)>) {
    let mut source = open();
    while let Ok((job, patience)) = jobs.recv() {
        source.begin(patience);
        let source = &mut *source;
        match job {
            Job::Fetch(tell) => answer(source, tell, |source| source.fetch()),
            Job::Compare { host, head, tell } => {
                answer(source, tell, |source| source.compare(&host, &head));
            }
            Job::Merge { number, head, tell } => {
                answer(source, tell, |source| source.merge(number, &head));
            }
            Job::Revert { number, tell } => answer(source, tell, |source| source.revert(number)),
        }
    }
}

fn answer<T>(source: &mut dyn Source, tell: Tell<T>, ask: impl FnOnce(&mut dyn Source) -> T) {
    let answer = ask(source);
    // Whoever asked may have given up in between.
    drop(tell.send(Told { answer, allowance: source.allowance() }));
}
