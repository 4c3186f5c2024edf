//! What an administrator does on the machine itself: hash a password, make a new one, look whether
//! the audit log is whole.

use super::auth::{self, Secrets};
use super::clock::Clock;
use super::config::DashboardConfig;
use super::startup::{self, DashboardError};
use super::store::events::chain::Verdict;
use super::store::{self, Store};
use crate::base::{process, prompt};
use crate::domain::audit::{self, AuditCategory};
use crate::domain::moment::Uptime;
use crate::domain::timestamp::Timestamp;
use std::path::Path;

/// Reads a password from standard input and prints its hash, for `NIXFLEET_PASSWORD_HASH`. On a
/// terminal it is asked for twice and not shown.
///
/// # Errors
///
/// In words: it cannot be read, or is too short.
pub fn hash_password() -> Result<(), String> {
    let chosen = prompt::secret("Password", "The same again")?;
    process::say(&auth::hash_chosen(&chosen)?);
    Ok(())
}

/// Makes a new admin password, prints it once and ends every session. The dashboard must be
/// stopped. One-time codes stay as they are.
///
/// # Errors
///
/// The password is set by a variable, a dashboard runs, or the directory cannot be written.
pub fn reset_password(config: &DashboardConfig) -> Result<(), DashboardError> {
    if config.password_hash.is_some() {
        let text = "the password is set by NIXFLEET_PASSWORD_HASH: change it there \
                    (nixfleet hash-password makes a hash)";
        return Err(DashboardError::Setting(text.to_owned()));
    }
    let _lock = startup::lock(&config.data_dir)?;
    let store = Store::open(&config.data_dir)?;
    let password = Secrets::reset_password(&config.data_dir).map_err(DashboardError::Setting)?;
    let at = Clock::after(Uptime::default()).now();
    let written = store.write(move |conn| {
        store::sessions::delete_all(conn)?;
        let event = store::events::NewEvent {
            at,
            host: None,
            category: AuditCategory::Login,
            message: "The password was reset on the machine itself; every session has ended."
                .to_owned(),
            by: None,
            from: None,
            result: Some(audit::DONE),
            command: None,
        };
        store::events::append(conn, &event)
    });
    actix_rt::System::new().block_on(written)?;
    process::say(&format!(
        "admin password: {password}\n  It is shown only now. Every session has ended."
    ));
    Ok(())
}

/// Looks whether the audit log is whole. Answers whether it is.
///
/// # Errors
///
/// There is no database, or it is of another version.
pub fn verify_audit(data_dir: &Path) -> Result<bool, DashboardError> {
    let (text, whole) = match store::verify_audit(data_dir)? {
        Verdict::Whole(count) => (format!("the audit log is whole: {count} entries"), true),
        Verdict::Broken { id, at, why } => {
            let at = at.map_or(String::new(), |at: Timestamp| format!(" of {at}"));
            (format!("the audit log breaks at entry {id}{at}: {why}"), false)
        }
    };
    process::say(&text);
    Ok(whole)
}
