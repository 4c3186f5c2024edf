//! SQLite. The only room with SQL in it: one file per table.
//!
//! One thread owns the connection that writes; it commits what has queued up in one
//! transaction. Readers take a connection from a pool, on actix's blocking threads.

use rusqlite::Connection;

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
    /// The store is shutting down.
    #[error("the database is closed")]
    Closed,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    _private: (),
}

impl Store {
    /// Runs `work` in a transaction on the writing thread, after everything that was
    /// asked before. Answers when it is committed.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let _ = work;
        Err(StoreError::Closed)
    }

    /// Runs `work` on a pooled connection, on a blocking thread.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let _ = work;
        Err(StoreError::Closed)
    }
}
