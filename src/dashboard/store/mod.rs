//! SQLite. The only room with SQL in it: one file per table.
//!
//! One thread owns the connection that writes; it commits what has queued up in one
//! transaction. Readers take a connection from a pool, on actix's blocking threads. All
//! functions of the tables take a connection first and can be combined in one closure.

pub(crate) mod api_tokens;
pub(crate) mod backup;
pub(crate) mod commands;
pub(crate) mod deployments;
pub(crate) mod events;
pub(crate) mod host_tokens;
pub(crate) mod hosts;
mod migrations;
pub(crate) mod notices;
pub(crate) mod output;
pub(crate) mod retention;
pub(crate) mod rollouts;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod test_results;
pub(crate) mod transitions;
pub(crate) mod uptime;
mod writer;

use crate::dashboard::metrics;
use crate::domain::timestamp::Timestamp;
use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Name of the database file in the data directory.
pub(crate) const FILE_NAME: &str = "nixfleet.db";
/// How long SQLite waits for a lock of another process (a backup, say).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How many readers there are at most.
const READERS: u32 = 4;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// No connection was free in time.
    #[error("no database connection was free: {0}")]
    Pool(#[from] r2d2::Error),
    /// What is stored cannot be read.
    #[error("the database holds a value that cannot be read: {0}")]
    Corrupt(String),
    /// The file was made by a newer program.
    #[error(
        "{path} was written by a newer nixfleet (schema {found}, this one knows {known}); nothing was changed. Start the newer version, or restore a backup"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The file is no database of ours.
    #[error(
        "{path} is not a usable database ({reason}); nothing was changed. Restore a backup, or move the file away"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The data directory cannot be used.
    #[error("cannot use {path}: {source}")]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The transaction did not come about: a full disk, or a lock held by another program.
    #[error("SQLite could not commit: {0}")]
    NotCommitted(String),
    /// More writes wait than can be kept waiting.
    #[error("the database has too much to write")]
    Busy,
    /// The store is shutting down.
    #[error("the database is closed")]
    Closed,
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// The database. Cheap to clone; the last one closes it.
#[derive(Clone)]
pub(crate) struct Store {
    readers: Pool<SqliteConnectionManager>,
    /// Whoever searches logs waits for others who do, and for nobody else.
    searchers: Pool<SqliteConnectionManager>,
    writer: Arc<writer::Writer>,
    #[cfg(test)]
    refuses: Arc<AtomicBool>,
}

/// For as long as this lives, nothing is written: tests ask who says so, and who shows it.
#[cfg(test)]
pub(crate) struct WritesFail(Arc<AtomicBool>);

#[cfg(test)]
impl Drop for WritesFail {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// SQLite makes files beside a database, even to read it, unless it is told that nobody writes.
fn open_unchanged(path: &Path) -> Result<Connection, StoreError> {
    let path = path.to_string_lossy();
    let address = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(format!("file:{address}?immutable=1"), flags)?)
}

/// Looks whether the database in `data_dir` could be used, and changes nothing of it. Not while a
/// dashboard uses it.
pub(crate) fn check(data_dir: &Path) -> Result<String, StoreError> {
    let path = data_dir.join(FILE_NAME);
    let directory = |source| StoreError::Directory { path: path.clone(), source };
    match fs::metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok("will be made at the first start".to_owned());
        }
        Err(error) => return Err(directory(error)),
    }
    let log = format!("{FILE_NAME}-wal");
    let (found, known) = if data_dir.join(&log).exists() {
        // It was not closed. SQLite would put the log in its place, so it gets a copy.
        let scratch = tempfile::tempdir().map_err(directory)?;
        let copy = scratch.path().join(FILE_NAME);
        fs::copy(&path, &copy).map_err(directory)?;
        fs::copy(data_dir.join(&log), scratch.path().join(&log)).map_err(directory)?;
        migrations::look(&Connection::open(copy)?, &path)?
    } else {
        migrations::look(&open_unchanged(&path)?, &path)?
    };
    Ok(match found {
        0 => format!("{} is empty", path.display()),
        _ if found == known => format!("{} can be used", path.display()),
        _ => format!("{} will be brought from schema {found} to {known}", path.display()),
    })
}

impl Store {
    /// Opens or makes the database in `data_dir`. A database of a newer version, or a file
    /// that is none, is refused and left as it is.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        let directory = |source| StoreError::Directory { path: path.clone(), source };
        fs::create_dir_all(data_dir).map_err(directory)?;
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700)).map_err(directory)?;
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(directory)?;
        tighten(&path)?;
        let mut conn = Connection::open(&path)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        migrations::bring_up_to_date(&mut conn, &path)?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let pool = |readers| {
            let manager =
                SqliteConnectionManager::file(&path).with_flags(flags).with_init(|conn| {
                    conn.busy_timeout(BUSY_TIMEOUT)?;
                    conn.pragma_update(None, "query_only", true)
                });
            Pool::builder()
                .max_size(readers)
                .min_idle(Some(0))
                .connection_timeout(Duration::from_secs(10))
                .build_unchecked(manager)
        };
        Ok(Self {
            readers: pool(READERS),
            searchers: pool(1),
            writer: Arc::new(writer::Writer::start(conn)),
            #[cfg(test)]
            refuses: Arc::default(),
        })
    }

    /// Runs `work` in a transaction on the writing thread, after everything that was
    /// asked before. Answers when it is committed; on an error of its own it is undone.
    pub(crate) fn write<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        #[cfg(test)]
        let work = self.unless_refused(work);
        // Queued here and not when first polled: writes keep the order they were asked in.
        self.writer.submit(work)
    }

    /// Whether SQLite can be written, by what came of the last transaction; else why not.
    pub(crate) fn health(&self) -> Result<(), String> {
        self.writer.health()
    }

    /// Lets every write fail after its work was done, as a full disk does, until the guard is gone.
    #[cfg(test)]
    pub(crate) fn fail_writes(&self) -> WritesFail {
        self.refuses.store(true, Ordering::SeqCst);
        WritesFail(Arc::clone(&self.refuses))
    }

    #[cfg(test)]
    fn unless_refused<T, F>(
        &self,
        work: F,
    ) -> impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let refuses = Arc::clone(&self.refuses);
        move |conn| {
            let done = work(conn)?;
            if refuses.load(Ordering::SeqCst) {
                return Err(StoreError::NotCommitted("a test wants this to fail".to_owned()));
            }
            Ok(done)
        }
    }

    /// Runs `work` on a pooled connection, on a blocking thread.
    pub(crate) fn read<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + 'static + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        async move {
            let done = actix_web::web::block(move || store.read_blocking(work)).await;
            done.map_err(|_| StoreError::Closed)?
        }
    }

    /// As [`Self::read`], for what may take long: on a connection of its own, so that others are not
    /// kept waiting (finding 4 of the security review).
    pub(crate) async fn search<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let searchers = self.searchers.clone();
        let done = actix_web::web::block(move || work(&*searchers.get()?)).await;
        done.map_err(|_| StoreError::Closed)?
    }

    /// As [`Self::read`], on this thread: for the start.
    pub(crate) fn read_blocking<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let done = self.readers.get().map_err(StoreError::from).and_then(|conn| work(&conn));
        metrics::read(began.elapsed());
        done
    }
}

/// Looks whether the audit log in `data_dir` is whole. The dashboard may go on meanwhile.
///
/// # Errors
///
/// There is no database, or it is of another version.
pub(crate) fn verify_audit(data_dir: &Path) -> Result<events::chain::Verdict, StoreError> {
    let path = data_dir.join(FILE_NAME);
    let mut conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    migrations::is_current(&conn, &path)?;
    // One moment of it.
    events::chain::verify(&*conn.transaction()?)
}

/// Nobody else may read the database, nor what SQLite keeps beside it, whatever mode it has had
/// (finding 22 of the security review).
fn tighten(path: &Path) -> Result<(), StoreError> {
    for beside in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{beside}", path.display()));
        if path.exists() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .map_err(|source| StoreError::Directory { path, source })?;
        }
    }
    Ok(())
}

/// Reads an instant from a column.
fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[cfg(test)]
pub(in crate::dashboard) mod tests;
