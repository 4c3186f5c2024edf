//! The files of a guarded switch, in its job's directory.

use super::units::UnitStates;
use crate::base::atomic_file;
use crate::domain::guard::{self, Claim, Evidence};
use crate::domain::ids::CommandId;
use crate::protocol::{Built, OutcomeStatus};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The activation may have begun.
const ACTIVATING: &str = "activating";
/// Nothing is activated: the new system is to start at the next boot.
const BOOTS: &str = "boots";
/// How it ended: [`End`].
const DONE: &str = "guard.done";
/// What the return says it was begun for.
const WHY: &str = "guard.why";
/// How often the old system was activated.
const TRIES: &str = "guard.tries";

/// What is to be switched to, and back to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// [`guard::FORMAT`] of who wrote it.
    pub format: u32,
    /// The command.
    pub id: CommandId,
    /// The boot of the machine.
    pub boot_id: String,
    /// What ran.
    pub old: PathBuf,
    /// What shall run.
    pub new: PathBuf,
    /// The program that all phases run.
    pub exe: PathBuf,
    /// The profile's generation at arm; `None`: it cannot be told.
    pub old_generation: Option<u64>,
    /// Of a rollback: the generation that gets its number back.
    pub generation: Option<u64>,
    /// What the host could tell of itself at arm.
    pub evidence: Evidence,
    /// The dashboard's address at arm, where its name was resolved.
    pub dashboard_at: Option<std::net::SocketAddr>,
    /// Units at arm.
    pub units: UnitStates,
    /// What the job built.
    #[serde(default)]
    pub built: Option<Built>,
}

/// How a guarded switch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// For the command.
    pub status: OutcomeStatus,
    /// In the user's words.
    pub message: Option<String>,
    /// For the audit log.
    #[serde(default)]
    pub notice: Option<String>,
    /// The system of before came back without anybody's wish: what was activated is held.
    #[serde(default)]
    pub returned: bool,
}

impl End {
    /// It was kept.
    pub(crate) fn kept(notice: Option<String>) -> Self {
        Self { status: OutcomeStatus::Ok, message: None, notice, returned: false }
    }

    /// It was not activated, and starts at the next boot.
    pub(crate) fn boots(intent: &Intent) -> Self {
        let what = intent.new.display();
        Self::kept(Some(format!("{what} starts at the next boot, which has no guard")))
    }

    /// Anything else.
    pub(crate) fn with(status: OutcomeStatus, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()), notice: None, returned: false }
    }

    /// The system of before came back, because of `why`; `more` is said of how.
    pub(crate) fn rolled_back(why: &str, more: &str) -> Self {
        let text = format!("Rolled back by itself: {why}.{more}");
        Self { returned: true, ..Self::with(OutcomeStatus::Error, text) }
    }

    /// It was stopped.
    pub(crate) fn stopped() -> Self {
        let status = OutcomeStatus::Stopped;
        Self { status, message: None, notice: None, returned: false }
    }
}

/// Reads a whole JSON file; `None` where there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that is there whole or not at all, synced.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    atomic_file::write(path, &serde_json::to_vec(value)?, 0o600)
}

/// What was decided about the switch of the job in `dir`; `None`: it has no intent.
pub(crate) fn claim(dir: &Path) -> Option<Claim> {
    Claim::ALL.into_iter().find(|claim| dir.join(claim.file()).exists())
}

/// The intent, whatever it is called now.
pub(crate) fn intent(dir: &Path) -> io::Result<Option<Intent>> {
    for claim in Claim::ALL {
        if let Some(intent) = read(&dir.join(claim.file()))? {
            return Ok(Some(intent));
        }
    }
    Ok(None)
}

/// Writes the intent: from here on the switch is guarded.
pub(crate) fn arm(dir: &Path, intent: &Intent) -> io::Result<()> {
    write(&dir.join(Claim::Armed.file()), intent)
}

/// Takes it back: nothing has changed.
pub(crate) fn disarm(dir: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(Claim::Armed.file()))?;
    File::open(dir)?.sync_all()
}

/// Tries to decide. True for the one who did.
pub(crate) fn rename(dir: &Path, from: Claim, to: Claim) -> io::Result<bool> {
    match fs::rename(dir.join(from.file()), dir.join(to.file())) {
        Ok(()) => File::open(dir)?.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says, durably, that the activation may begin now.
pub(crate) fn mark_activating(dir: &Path) -> io::Result<()> {
    atomic_file::write(&dir.join(ACTIVATING), b"", 0o600)
}

/// Whether it may have begun.
pub(crate) fn is_activating(dir: &Path) -> bool {
    dir.join(ACTIVATING).exists()
}

/// Says, durably, that the new system is not activated, and starts at the next boot.
pub(crate) fn mark_boots(dir: &Path) -> io::Result<()> {
    atomic_file::write(&dir.join(BOOTS), b"", 0o600)
}

/// Whether it is to start at the next boot.
pub(crate) fn boots(dir: &Path) -> bool {
    dir.join(BOOTS).exists()
}

/// Says, durably, that it is over, and how.
pub(crate) fn mark_done(dir: &Path, end: &End) -> io::Result<()> {
    write(&dir.join(DONE), end)
}

/// How it ended, if it has.
pub(crate) fn end(dir: &Path) -> Option<End> {
    read(&dir.join(DONE)).ok().flatten()
}

/// Whether it is over.
pub(crate) fn is_done(dir: &Path) -> bool {
    dir.join(DONE).exists()
}

/// Whether a guarded switch is under way, whoever acts for it.
pub(crate) fn is_open(dir: &Path) -> bool {
    claim(dir).is_some() && !is_done(dir)
}

/// Says why the old system is to come back. The first reason counts.
pub(crate) fn give_reason(dir: &Path, why: &str) {
    let path = dir.join(WHY);
    if !path.exists()
        && let Err(error) = atomic_file::write(&path, why.as_bytes(), 0o600)
    {
        log::warn!("why the old system comes back cannot be written: {error}");
    }
}

/// Why the old system is to come back, where somebody said so.
pub(crate) fn reason(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(WHY)).ok()
}

/// Counts one more try of the return; answers its number, from 1.
pub(crate) fn count_a_try(dir: &Path) -> io::Result<u32> {
    let path = dir.join(TRIES);
    let before = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let now = before.unwrap_or(0_u32).saturating_add(1);
    atomic_file::write(&path, now.to_string().as_bytes(), 0o600)?;
    Ok(now)
}

/// How many tries of the return there were.
pub(crate) fn tries(dir: &Path) -> u32 {
    let text = fs::read_to_string(dir.join(TRIES)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The systems that are compared for what runs.
pub(crate) fn runs(intent: &Intent, running: Option<&Path>) -> guard::Runs {
    guard::Runs::of(running, &intent.old, &intent.new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    fn intent_in(dir: &Path) -> Intent {
        let intent = Intent {
            format: guard::FORMAT,
            id: CommandId(uuid::Uuid::nil()),
            boot_id: "b".into(),
            old: "/old".into(),
            new: "/new".into(),
            exe: "/exe".into(),
            old_generation: Some(1),
            generation: None,
            evidence: Evidence::default(),
            dashboard_at: None,
            units: UnitStates::default(),
            built: None,
        };
        arm(dir, &intent).unwrap();
        intent
    }

    #[test]
    fn of_two_who_claim_at_the_same_moment_exactly_one_decides() {
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let armed = intent_in(dir.path());
            let barrier = Arc::new(Barrier::new(2));
            let claims = [Claim::Keep, Claim::Return].map(|to| {
                let (dir, barrier) = (dir.path().to_owned(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    rename(&dir, Claim::Armed, to).unwrap()
                })
            });
            let won = claims.map(|claim| claim.join().unwrap());
            assert_eq!(won.iter().filter(|won| **won).count(), 1);
            let expected = if won[0] { Claim::Keep } else { Claim::Return };
            assert_eq!(claim(dir.path()), Some(expected));
            assert_eq!(intent(dir.path()).unwrap(), Some(armed));
        }
    }

    #[test]
    fn tries_are_counted_over_processes_and_the_first_reason_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tries(dir.path()), 0);
        assert_eq!([1, 2].map(|_| count_a_try(dir.path()).unwrap()), [1, 2]);
        assert_eq!(tries(dir.path()), 2);
        give_reason(dir.path(), "one");
        give_reason(dir.path(), "two");
        assert_eq!(reason(dir.path()).as_deref(), Some("one"));
    }
}
