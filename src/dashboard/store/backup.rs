//! A copy of the database while it is in use, and the way back.

use super::{FILE_NAME, StoreError, migrations};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Files beside the database that SQLite keeps.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Writes a copy of the database in `data_dir` to `to`, which must not exist. The dashboard may
/// go on meanwhile. The copy is whole, or it is not there.
pub(crate) fn backup(data_dir: &Path, to: &Path) -> Result<(), StoreError> {
    let from = data_dir.join(FILE_NAME);
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Directory { path, source }
    };
    if to.exists() {
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(file(to)(source));
    }
    let conn = Connection::open_with_flags(&from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(super::BUSY_TIMEOUT)?;
    let partial = PathBuf::from(format!("{}.partial", to.display()));
    let _ = fs::remove_file(&partial);
    // It holds hashes of tokens: nobody else may read it, from the first byte on.
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(file(&partial))?;
    conn.execute("VACUUM INTO ?1", [partial.to_string_lossy()])?;
    check(&partial)?;
    fs::File::open(&partial).and_then(|copy| copy.sync_all()).map_err(file(&partial))?;
    fs::rename(&partial, to).map_err(file(to))
}

/// Puts a backup in the place of the database. The one before is kept beside it, under the name
/// that is answered, if there was one. No dashboard may be running.
pub(crate) fn restore(data_dir: &Path, from: &Path) -> Result<Option<PathBuf>, StoreError> {
    check(from)?;
    let path = data_dir.join(FILE_NAME);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Directory { path, source }
    };
    let new = data_dir.join(format!("{FILE_NAME}.new"));
    fs::copy(from, &new).map_err(failed(&new))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed(&new))?;
    fs::File::open(&new).and_then(|copy| copy.sync_all()).map_err(failed(&new))?;
    let kept = if path.exists() {
        // What is in the write-ahead log belongs to the old one.
        Connection::open(&path)?.pragma_update(None, "journal_mode", "DELETE")?;
        let kept = data_dir.join(format!("{FILE_NAME}.before-restore"));
        fs::rename(&path, &kept).map_err(failed(&kept))?;
        Some(kept)
    } else {
        None
    };
    for ending in BESIDE {
        let _ = fs::remove_file(data_dir.join(format!("{FILE_NAME}{ending}")));
    }
    fs::rename(&new, &path).map_err(failed(&path))?;
    Ok(kept)
}

/// Whether a file is a whole database of ours that this program can read.
fn check(path: &Path) -> Result<(), StoreError> {
    let unusable = |reason: String| StoreError::Unusable { path: path.to_owned(), reason };
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| unusable(error.to_string()))?;
    let found: i64 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| unusable(error.to_string()))?;
    let known = migrations::current_version();
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let hosts = "SELECT count(*) FROM sqlite_schema WHERE name = 'hosts'";
    let ours: i64 =
        conn.query_row(hosts, [], |row| row.get(0)).map_err(|e| unusable(e.to_string()))?;
    if found == 0 || ours == 0 {
        return Err(unusable("it is no database of nixfleet".to_owned()));
    }
    let whole: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| unusable(error.to_string()))?;
    if whole == "ok" { Ok(()) } else { Err(unusable(whole)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::store::{Store, settings};

    fn value(dir: &Path) -> Option<String> {
        let store = Store::open(dir).unwrap();
        store.read_blocking(|conn| settings::get(conn, "k")).unwrap()
    }

    #[actix_rt::test]
    async fn what_was_backed_up_while_the_database_was_open_comes_back() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = elsewhere.path().join("copy.db");
        {
            let store = Store::open(dir.path()).unwrap();
            store.write(|conn| settings::set(conn, "k", "then")).await.unwrap();
            backup(dir.path(), &copy).unwrap();
            store.write(|conn| settings::set(conn, "k", "now")).await.unwrap();
        }
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(backup(dir.path(), &copy).is_err(), "a backup is never overwritten");
        let kept = restore(dir.path(), &copy).unwrap().unwrap();
        assert!(kept.exists());
        assert_eq!(value(dir.path()).as_deref(), Some("then"));
        restore(elsewhere.path(), &kept).unwrap();
        assert_eq!(value(elsewhere.path()).as_deref(), Some("now"));
    }

    #[test]
    fn what_is_no_backup_is_refused_and_nothing_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let before = fs::read(dir.path().join(FILE_NAME)).unwrap();
        let rubbish = dir.path().join("rubbish");
        fs::write(&rubbish, "no database").unwrap();
        let empty = dir.path().join("empty");
        fs::write(&empty, "").unwrap();
        for from in [&rubbish, &empty, &dir.path().join("missing")] {
            assert!(restore(dir.path(), from).is_err(), "{from:?}");
        }
        assert_eq!(fs::read(dir.path().join(FILE_NAME)).unwrap(), before);
    }
}
