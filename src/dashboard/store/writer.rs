//! The writing thread: what has queued up is committed together.

use super::StoreError;
use crate::dashboard::metrics;
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How many writes may wait. Each host has at most one waiting, so this is reached by thousands
/// of hosts at once; whoever asks for one more is told that the database is busy.
const QUEUE: usize = 65_536;
/// A writer that was idle for so long tries whether it could.
const IDLE: Duration = Duration::from_secs(10);
/// How many writes share a transaction at most.
const GROUP: usize = 512;

/// One piece of work on its way through the writer: it runs inside the transaction, and whoever
/// asked for it is answered after the commit.
trait Job: Send {
    /// Runs inside a savepoint of the transaction. Says whether what it wrote shall be kept.
    fn run(&mut self, conn: &Connection) -> bool;

    /// What it wrote is not kept, for this reason.
    fn fail(&mut self, error: StoreError);

    /// Whether somebody waits for it.
    fn waits(&self) -> bool {
        true
    }

    /// The transaction ended: answers whoever asked.
    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>);
}

/// A closure that somebody waits for.
struct Asked<T, F> {
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    tell: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        let done = work(conn);
        let keep = done.is_ok();
        self.done = Some(done);
        keep
    }

    fn fail(&mut self, error: StoreError) {
        self.done = Some(Err(error));
    }

    fn answer(self: Box<Self>, committed: Result<(), &rusqlite::Error>) {
        let done = self.done.unwrap_or(Err(StoreError::Closed));
        let answer = match committed {
            Ok(()) => done,
            Err(error) => done.and(Err(StoreError::NotCommitted(error.to_string()))),
        };
        // Nobody may be waiting any more.
        let _ = self.tell.send(answer);
    }
}

/// Whether SQLite could be written the last time; else why not.
type Health = Arc<Mutex<Result<(), String>>>;

/// Writes something when nobody else does, to know whether that can be done.
struct Trial;

impl Job for Trial {
    fn run(&mut self, conn: &Connection) -> bool {
        super::settings::set(conn, "health", "tried").is_ok()
    }

    fn fail(&mut self, error: StoreError) {
        log::debug!("nothing can be written: {error}");
    }

    fn waits(&self) -> bool {
        false
    }

    fn answer(self: Box<Self>, _: Result<(), &rusqlite::Error>) {}
}

pub(super) struct Writer {
    health: Health,
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(conn: Connection) -> Self {
        let (queue, work) = sync_channel(QUEUE);
        let health = Health::new(Mutex::new(Ok(())));
        let told = Arc::clone(&health);
        let thread = thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(conn, &work, &told))
            .inspect_err(|error| log::error!("no thread for SQLite: {error}"))
            .ok();
        Self { health, queue: Some(queue), thread }
    }

    /// What came of the last transaction. Asking costs none (finding 22 of the security review).
    pub(super) fn health(&self) -> Result<(), String> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Queues the work at once; what it returns waits for the commit. A full queue blocks nobody:
    /// it is [`StoreError::Busy`].
    pub(super) fn submit<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job = Box::new(Asked { work: Some(work), done: None, tell });
        let queued = match &self.queue {
            Some(queue) => queue.try_send(job as Box<dyn Job>).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            }),
            None => Err(StoreError::Closed),
        };
        if queued.is_ok() {
            metrics::writes_waiting(1);
        }
        async move {
            queued?;
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

fn run(mut conn: Connection, work: &Receiver<Box<dyn Job>>, health: &Health) {
    loop {
        let mut group = match work.recv_timeout(IDLE) {
            Ok(first) => vec![first],
            Err(RecvTimeoutError::Timeout) => vec![Box::new(Trial) as Box<dyn Job>],
            Err(RecvTimeoutError::Disconnected) => return,
        };
        group.extend(work.try_iter().take(GROUP - 1));
        metrics::writes_waiting(
            -i64::try_from(group.iter().filter(|job| job.waits()).count()).unwrap_or(0),
        );
        let began = Instant::now();
        let committed = commit(&mut conn, group);
        let result = committed.as_ref().copied().map_err(ToString::to_string);
        *health.lock().unwrap_or_else(PoisonError::into_inner) = result;
        metrics::transaction(began.elapsed());
        if let Err(error) = committed {
            log::error!("SQLite: {error}");
        }
    }
}

/// Runs each job in a savepoint of its own, so that one that fails undoes only itself.
fn commit(conn: &mut Connection, mut group: Vec<Box<dyn Job>>) -> Result<(), rusqlite::Error> {
    let begun = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => {
            for mut job in group {
                job.fail(StoreError::NotCommitted(error.to_string()));
                job.answer(Ok(()));
            }
            return Err(error);
        }
    };
    for job in &mut group {
        run_one(&mut transaction, &mut **job);
    }
    let committed = transaction.commit();
    for job in group {
        job.answer(committed.as_ref().copied());
    }
    committed
}

/// What cannot be kept is not reported as kept: neither a savepoint that cannot be opened nor one
/// that cannot be released (finding B10).
fn run_one(transaction: &mut rusqlite::Transaction<'_>, job: &mut dyn Job) {
    let savepoint = match transaction.savepoint() {
        Ok(savepoint) => savepoint,
        Err(error) => return job.fail(error.into()),
    };
    let keep = job.run(&savepoint);
    // A savepoint that is dropped is rolled back.
    if keep && let Err(error) = savepoint.commit() {
        job.fail(error.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Option<Result<(), StoreError>>, std::sync::mpsc::Sender<Result<(), StoreError>>);

    impl Job for Told {
        /// Ends the savepoint behind the writer's back: releasing it fails afterwards.
        fn run(&mut self, conn: &Connection) -> bool {
            conn.execute_batch("INSERT INTO t VALUES (1); ROLLBACK; BEGIN IMMEDIATE").unwrap();
            self.0 = Some(Ok(()));
            true
        }

        fn fail(&mut self, error: StoreError) {
            self.0 = Some(Err(error));
        }

        fn answer(mut self: Box<Self>, _: Result<(), &rusqlite::Error>) {
            self.1.send(self.0.take().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_savepoint_that_cannot_be_released_is_no_success_b10() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let _ = commit(&mut conn, vec![Box::new(Told(None, tell))]);
        assert!(told.recv().unwrap().is_err());
    }

    #[test]
    fn a_full_queue_is_busy_and_blocks_nobody_b7() {
        let (queue, _work) = sync_channel(1);
        let health = Health::new(Mutex::new(Ok(())));
        let writer = Writer { health, queue: Some(queue), thread: None };
        let first = writer.submit(|_| Ok(1));
        let second = futures_util::FutureExt::now_or_never(writer.submit(|_| Ok(2)));
        assert!(matches!(second, Some(Err(StoreError::Busy))), "{second:?}");
        drop(first);
    }
}
