//! The writing thread: what has queued up is committed together.

use super::StoreError;
use crate::dashboard::metrics;
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;
use tokio::sync::oneshot;

/// How many writes may wait; then whoever asks for one more waits on its thread. Each
/// host has at most one write waiting, so this is reached by thousands of hosts at once.
const QUEUE: usize = 65_536;
/// How many writes share a transaction at most.
const GROUP: usize = 512;

/// Runs inside the transaction. Says whether to keep what it wrote; what it returns
/// besides runs after the commit.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>)>;

pub(super) struct Writer {
    queue: Option<SyncSender<Work>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(conn: Connection) -> Self {
        let (queue, work) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(conn, &work))
            .inspect_err(|error| log::error!("no thread for SQLite: {error}"))
            .ok();
        Self { queue: Some(queue), thread }
    }

    pub(super) fn submit<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Work = Box::new(move |conn| {
            let done = conn.and_then(work);
            let keep = done.is_ok();
            let answer: Answer = Box::new(move |committed| {
                let answer = match committed {
                    Ok(()) => done,
                    Err(error) => done.and(Err(StoreError::NotCommitted(error.to_string()))),
                };
                // Nobody may be waiting any more.
                let _ = tell.send(answer);
            });
            (keep, answer)
        });
        metrics::writes_waiting(1);
        let queued = self.queue.as_ref().is_some_and(|queue| queue.send(job).is_ok());
        async move {
            if !queued {
                return Err(StoreError::Closed);
            }
            told.await.map_err(|_| StoreError::Closed)?
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends after the last write.
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn run(mut conn: Connection, work: &Receiver<Work>) {
    while let Ok(first) = work.recv() {
        let mut group = vec![first];
        group.extend(work.try_iter().take(GROUP - 1));
        metrics::writes_waiting(-i64::try_from(group.len()).unwrap_or(0));
        let began = Instant::now();
        let committed = commit(&mut conn, group);
        metrics::transaction(began.elapsed());
        if let Err(error) = committed {
            log::error!("SQLite: {error}");
        }
    }
}

/// Runs each write in a savepoint of its own, so that one that fails undoes only itself.
fn commit(conn: &mut Connection, group: Vec<Work>) -> Result<(), rusqlite::Error> {
    let mut transaction =
        match conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                for work in group {
                    let (_, answer) = work(Err(StoreError::NotCommitted(error.to_string())));
                    answer(Ok(()));
                }
                return Err(error);
            }
        };
    let mut answers = Vec::with_capacity(group.len());
    for work in group {
        answers.push(run_one(&mut transaction, work));
    }
    let committed = transaction.commit();
    for answer in answers {
        answer(committed.as_ref().copied());
    }
    committed
}

fn run_one(transaction: &mut rusqlite::Transaction<'_>, work: Work) -> Answer {
    let savepoint = match transaction.savepoint() {
        Ok(savepoint) => savepoint,
        Err(error) => return work(Err(error.into())).1,
    };
    let (keep, answer) = work(Ok(&savepoint));
    // A savepoint that is dropped is rolled back.
    if keep && let Err(error) = savepoint.commit() {
        log::error!("SQLite: a savepoint was not released: {error}");
    }
    answer
}
