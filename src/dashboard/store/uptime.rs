//! How long dashboards have run on this database: what deadlines are counted by.
//!
//! It is stored with each transition of a command, and once a minute.

use super::{StoreError, settings};
use crate::domain::moment::Uptime;
use rusqlite::Connection;

const KEY: &str = "uptime";

/// How long dashboards had run when it was stored last; zero in a new database.
pub(crate) fn get(conn: &Connection) -> Result<Uptime, StoreError> {
    let stored = settings::get(conn, KEY)?;
    let millis = stored.and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Uptime::from_millis(millis))
}

/// Stores how long dashboards have run.
pub(crate) fn set(conn: &Connection, up: Uptime) -> Result<(), StoreError> {
    settings::set(conn, KEY, &up.as_millis().to_string())
}
